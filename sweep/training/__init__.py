"""Training with torch: one loop, for fine-tuning and for unlearning.

    loop            shuffled batches, AdamW, warm-up and decay
    loss_terms      the loss of a step in parts: forget term and retain term
    reference       what the reference says of the rows, computed once
    models          models and tokenizers that are made or loaded
    weights         reset, mix, copy and write weights
    precision       `train.precision`
    distributed     several processes a trial: ddp and fsdp
    out_of_memory   one sentence for memory that ran out

Imported by prepare and trial; knows neither Ray nor Optuna nor MLflow.
"""
