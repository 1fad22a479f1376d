"""Training with torch: one loop, for fine-tuning and for unlearning.

    loop            shuffled batches, AdamW, warm-up and decay
    checkpoint      what a long training goes on from after a kill
    progress_meter  loss, tokens a second and time left of a long training
    loss_terms      the loss of a step in parts: forget term and retain term
    g_effect        gradient effects of the loss on the risks of forget and holdout rows
    reference       the reference's outputs for the rows, computed once
    models          load models and tokenizers, or make them
    weights         reset, mix, copy and write weights
    precision       `train.precision`
    lora            `train.lora` and `target.lora`: adapters over frozen weights
    distributed     several processes a trial: ddp and fsdp
    out_of_memory   one error message for memory that ran out
    freed_memory    give memory that was freed back to the system

Imported by prepare and trial; imports neither Ray nor Optuna nor MLflow.
"""
