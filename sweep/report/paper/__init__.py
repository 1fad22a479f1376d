"""Format what a paper takes beside the plots: the main numbers as a table.

    tables    the tables of a comparison and of a single sweep
    markup    LaTeX and Markdown
    exports   the files beside the page

Imported by write_report.
"""
