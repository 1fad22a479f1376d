"""A trial the paper's way, in our own words: the process that `trial_cost.py` starts and compares ours with.

python tests/timings/paper_way.py TARGET --steps 2 --questions question --out paper_way.json

As the code of the paper (tmlr-group/G-effect) and of its group's PS (Unlearning-with-Control) goes about it: a new
process loads the model and the reference; every row is padded to 500 tokens; a step is four micro-batches of 4 forget
and 4 retain rows, on each of which the reference runs beside the model; logits of all positions are held in float32;
labels are given to the models, which work out a cross-entropy that nobody reads; the KL is averaged over all 500
positions; PS bisects for the prefix with greedy generation up to 200 tokens, for the forget rows and 50 retain rows,
exact and paraphrased.

Left out, all in favour of the paper's way: its Trainer and DeepSpeed, gradient checkpointing (which its Llama has), the
checkpoint in between and the second process that loads it, and PS of the original model, which it measures each time.
"""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.checkpoint import load_model, load_tokenizer
from eval.rows.encode import EncodedRow, encode, encode_rows
from eval.rows.types import Dataset, Row
from sweep.config.template import Template

LENGTH = 500
"""Tokens to which every row is padded."""
BATCH, ACCUMULATION = 4, 4
"""Rows of a micro-batch, and micro-batches of a step."""
PS_ROWS = 50
"""Rows of a side that PS is measured on."""
LONGEST = 200
"""Tokens of a prefix and its continuation together."""
IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Padded:
    """Rows [B, 500]: input tokens, labels (-100 where there is none) and the mask of real tokens."""

    ids: Tensor
    labels: Tensor
    mask: Tensor


def padded(rows: Sequence[EncodedRow]) -> Padded:
    """Pad rows with EOS, the first of which is the last label."""
    ids, labels, mask = [], [], []
    for row in rows:
        real, rest = len(row.inputs), LENGTH - len(row.inputs)
        ids.append([*row.inputs, *row.ids[-1:] * rest])
        labels.append([*[IGNORED] * row.start, *row.labels, *[IGNORED] * (rest - 1)])
        mask.append([1] * real + [0] * rest)
    return Padded(ids=torch.tensor(ids), labels=torch.tensor(labels), mask=torch.tensor(mask))


def logits_of(model: PreTrainedModel, batch: Padded) -> Tensor:
    """Logits [B, 500, V]."""
    logits: Tensor = model(input_ids=batch.ids, labels=batch.labels, attention_mask=batch.mask, use_cache=False).logits
    return logits


def forget_loss(logits: Tensor, ref_logits: Tensor, labels: Tensor, alpha: float, beta: float) -> Tensor:
    """WTNPO: the mean over answer tokens, from logits of all positions [B, T, V] and labels [B, T]."""
    label = labels[:, 1:].flatten()
    ce, ref_ce = (
        cross_entropy(said[:, :-1].flatten(0, 1), label, ignore_index=IGNORED, reduction="none")
        for said in (logits, ref_logits)
    )
    p, ref_p = (-ce).exp().detach(), (-ref_ce).exp()
    weight = 2 * p ** (alpha + beta) / (p**beta + ref_p**beta + 1e-5)
    return -(weight * ce)[label != IGNORED].mean()


def retain_loss(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(reference ‖ model), the mean over all positions, padding included."""
    logp, ref_logp = (said.log_softmax(-1).flatten(0, 1) for said in (logits, ref_logits))
    return kl_div(logp, ref_logp, reduction="batchmean", log_target=True)


def loss_of(trial: "Trial", forget: Padded, retain: Padded) -> Tensor:
    """Both terms on a micro-batch, λ = 1."""
    logits = logits_of(trial.model, forget)
    with torch.no_grad():
        ref_logits, ref_retain = logits_of(trial.reference, forget), logits_of(trial.reference, retain)
    loss = forget_loss(logits, ref_logits, forget.labels, trial.alpha, trial.beta)
    return loss + retain_loss(logits_of(trial.model, retain), ref_retain)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a process of the paper's way holds."""

    dataset: Dataset
    tokenizer: PreTrainedTokenizerFast
    template: Template
    model: PreTrainedModel
    reference: PreTrainedModel
    alpha: float
    beta: float


def started(options: Namespace) -> Trial:
    """Load everything."""
    template = Template(**json.loads((options.target / "template.json").read_text(encoding="utf-8")))
    return Trial(
        dataset=Dataset.from_file(options.target / "rows.json"),
        tokenizer=load_tokenizer(options.target),
        template=template,
        model=load_model(options.target),
        reference=load_model(options.target),
        alpha=options.alpha,
        beta=options.beta,
    )


def step_times(trial: Trial, steps: int, lr: float) -> list[float]:
    """Train; gives the processor's seconds of each step."""
    rows = trial.dataset
    forget, retain = (encode_rows(trial.tokenizer, trial.template, part) for part in (rows.forget, rows.retain))
    draw = Random(0)  # noqa: S311 (rows, not secrets)
    optimizer = AdamW(trial.model.parameters(), lr=lr, weight_decay=0.0)
    marks = [time.process_time()]
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(ACCUMULATION):
            loss = loss_of(trial, padded(draw.sample(forget, BATCH)), padded(draw.sample(retain, BATCH)))
            (loss / ACCUMULATION).backward()
        optimizer.step()
        marks.append(time.process_time())
    return [after - before for before, after in pairwise(marks)]


def ps(trial: Trial, rows: Sequence[Row], question: str) -> list[float]:
    """PS of at most 50 rows, asked by their field `question`: 1 − (k − s)/(n − s), as eval.metrics has it."""
    chosen = Random(42).sample(list(rows), min(PS_ROWS, len(rows)))  # noqa: S311 (rows, not secrets)
    asked = [str(getattr(row, question)) for row in chosen]
    pairs = zip(asked, chosen, strict=True)
    texts = [list(encode(trial.tokenizer, trial.template, words, row.answer).inputs) for words, row in pairs]
    starts = [len(ids) for ids in tokens(trial, asked)]
    low, high, middle = starts, [len(text) for text in texts], [-1] * len(texts)
    while middle != (middle := [(a + b) // 2 for a, b in zip(low, high, strict=True)]):
        right = completed(trial, texts, middle)
        low = [a if found else at for a, at, found in zip(low, middle, right, strict=True)]
        high = [at if found else b for b, at, found in zip(high, middle, right, strict=True)]
    return [1 - (k - s) / (len(text) - s) for k, s, text in zip(high, starts, texts, strict=True)]


def tokens(trial: Trial, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts."""
    found: list[list[int]] = trial.tokenizer(list(texts))["input_ids"]
    return found


def completed(trial: Trial, texts: Sequence[list[int]], at: Sequence[int]) -> list[bool]:
    """Whether what the model says after the first `at` tokens of each text is the text, as far as both go."""
    heads = [text[:k] for text, k in zip(texts, at, strict=True)]
    prefixes = trial.tokenizer.batch_decode(heads, skip_special_tokens=True)
    batch = trial.tokenizer(prefixes, padding=True, return_tensors="pt")
    generating: Any = trial.model  # every causal model can, but the type does not say so
    said = generating.generate(**batch, max_length=LONGEST, do_sample=False, use_cache=True)
    whole = tokens(trial, trial.tokenizer.batch_decode(said, skip_special_tokens=True))
    more = [found[k : len(text)] for found, k, text in zip(whole, at, texts, strict=True)]
    return [text[k : k + len(added)] == added for text, k, added in zip(texts, at, more, strict=True)]


def ps_times(trial: Trial, questions: Sequence[str]) -> dict[str, float]:
    """The processor's seconds of PS of each side, all questions of the names together."""
    trial.tokenizer.pad_token, trial.tokenizer.padding_side = trial.tokenizer.eos_token, "left"
    sides, times = {"forget": trial.dataset.forget, "retain": trial.dataset.holdout}, {}
    for side, rows in sides.items():
        begin = time.process_time()
        for question in questions:
            ps(trial, rows, question)
        times[side] = time.process_time() - begin
    return times


def options() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path, help="a target that a sweep made: model, tokenizer, rows and template")
    parser.add_argument("--steps", type=int, default=2, help="steps of the training that are run")
    parser.add_argument("--questions", nargs="+", default=["question"], choices=["question", "paraphrased_question"])
    parser.add_argument("--alpha", type=float, default=1.5)
    parser.add_argument("--beta", type=float, default=5.0)
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--out", type=Path, default=Path("paper_way.json"))
    return parser.parse_args()


def main() -> None:
    """Run the trial on one thread and write its times: the start's is all that comes before the first step."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    asked = options()
    trial = started(asked)
    times = {
        "start": time.process_time(),
        "steps": step_times(trial, asked.steps, asked.lr),
        "ps": ps_times(trial, asked.questions),
    }
    asked.out.write_text(json.dumps(times) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
