"""Rows: typed, checked, and as tokens.

    table_files    reads tables: JSON lines, JSON, CSV, Parquet, saved datasets, the hub
    parse          turns a table's records into checked rows
    types          question, answer and their variants
    encode         from rows to batches of tokens
    chat_template  the text of a row from a tokenizer's chat template
    refusals       answers that say "I don't know"
    length_check   refuses rows that are longer than the model's positions

Imported by eval.datasets, eval.models and everything after them.
"""
