"""The one really pretrained model that needs no hub: it is whole after its conversion, and it speaks English."""

import math
from pathlib import Path

import pytest
import torch

from eval.models.checkpoint import load_model, load_tokenizer
from eval.models.packaged import PACKAGED_MODELS, is_installed

(SMOLLM2,) = PACKAGED_MODELS
SENTENCES = (
    "Water freezes at zero degrees Celsius and boils at one hundred degrees Celsius at sea level.",
    "The Earth goes around the Sun once a year, and the Moon goes around the Earth once a month.",
    "Plants take in carbon dioxide from the air and give off oxygen with the help of sunlight.",
    "A week has seven days: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    "Paris is the capital of France, Rome is the capital of Italy, and Madrid is the capital of Spain.",
    "The heart pumps blood through the body, and the lungs bring oxygen into the blood.",
)
"""Plain sentences that nobody wrote down elsewhere, of what everybody knows."""

pytestmark = pytest.mark.skipif(not is_installed(SMOLLM2), reason=f"it is not installed ({SMOLLM2.install_hint})")


@torch.no_grad()
def perplexity(sentences: tuple[str, ...]) -> float:
    """Perplexity over all tokens of the sentences but the first of each."""
    model, tokenizer = load_model(SMOLLM2.path), load_tokenizer(SMOLLM2.path)
    total, count = 0.0, 0
    for sentence in sentences:
        ids = tokenizer(sentence, return_tensors="pt").input_ids
        logp = model(ids).logits[0, :-1].float().log_softmax(-1)
        total -= float(logp.gather(1, ids[0, 1:, None]).sum())
        count += ids.shape[1] - 1
    return math.exp(total / count)


def test_it_is_a_working_model(home: Path) -> None:
    """Plain sentences are likely, and the same words backwards are not."""
    backwards = tuple(" ".join(sentence.split()[::-1]) for sentence in SENTENCES)
    plain = perplexity(SENTENCES)
    assert plain < 15 and perplexity(backwards) > 10 * plain  # 10.1 and some thousands
