"""A model that says the same whatever it reads, with chosen probabilities: every metric can be worked out by hand."""

import torch
from torch import nn
from transformers import PreTrainedModel

from support.toys import SHAPE, llama, tokenizer
from sweep.config.schema import Template

TEMPLATE = Template(question="{question}?", answer="{answer}")
"""Without a space before the answer, so that `xxx` is three tokens `x`: the toy tokenizer has merged none of them."""
END = "<|end|>"


def unigram(**probability: float) -> PreTrainedModel:
    """Its next token is a letter with that probability (`end`: EOS), or any other with an equal share of the rest."""
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
