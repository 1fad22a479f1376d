"""A model with the same chosen probabilities after every input, so that each metric can be computed by hand."""

import torch
from torch import nn
from transformers import PreTrainedModel

from support.toys import SHAPE, llama, tokenizer
from sweep.config.template import Template

TEMPLATE = Template(question="{question}?", answer="{answer}")
"""Template without a space before the answer, so that the toy tokenizer splits `xxx` into three tokens `x`."""
END = "<|end|>"


def unigram(**probability: float) -> PreTrainedModel:
    """Make a model that predicts each letter with this probability (`end`: EOS), and all others with equal shares."""
    tokens = tokenizer()
    vocabulary = len(tokens)
    p = torch.full((vocabulary,), (1 - sum(probability.values())) / (vocabulary - len(probability)))
    for letter, value in probability.items():
        p[tokens.convert_tokens_to_ids(END if letter == "end" else letter)] = value
    head = nn.Linear(SHAPE.hidden, vocabulary)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(p.log())
    model = llama()
    model.set_output_embeddings(head)
    return model
