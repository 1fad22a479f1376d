"""What a trial costs, our way and the paper's: WTNPO + KL on TOFU forget01 with a Llama of 7.4 M parameters.

python tests/timings/trial_cost.py [--tofu ../shared/tofu] [--rounds 3] [--whole] [--out FILE] [key=value ...]

A step must be at least 12 times cheaper (aim: 15), a whole trial with its evaluation at least 20 times. First it is
shown that both have the same forget loss, and that the rendering of the paper's way (paper_way.py) gives the losses of
the paper's own code where these lie beside TOFU (../shared/golden).

The two take turns, each on one thread, and the processor's seconds are counted. Ours is a trial of a warm worker, by
configs/wtnpo.yaml and the words key=value; the paper's is a process of its own. Both are evaluated at the end, on the
same 40 forget and 50 holdout rows, by exact and paraphrased questions. Unless all of it is to be run (--whole), two of
the paper's twelve steps are run and its PS on the exact questions, and the rest is taken to cost the same.
"""

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeAlias

import torch
from common import parser, seconds, show, write
from paper_way import BATCH, PS_ROWS, forget_loss, logits_of, padded, retain_loss
from subject import TOFU, Subject, tofu_subject

from eval import datasets
from eval.models.checkpoint import load_model
from eval.suite import Probes, evaluate
from objectives._base import Objective
from sweep.config.space import build_objective
from sweep.training.loss_terms import build_terms
from sweep.trial.session import Session, get_session
from sweep.trial.unlearn import measure_search_suite, run_unlearning

BARS = {"step": 12, "trial": 20}
SAME = 1e-5
"""Largest relative difference between two losses that are the same in float32."""
SETTING = {"alpha": 0.5, "beta": 0.25}
"""With larger ones a model of random weights has no forget loss to speak of; the cost does not depend on it."""
AT_THE_END = (f"data.max_holdout={PS_ROWS}", "eval.every=0")
HOLDOUT, EPOCHS, STEPS = 400, 5, 12
"""Of a trial as the configuration has it where nothing is changed."""
RUN_STEPS = 2
"""Of the paper's steps, where not the whole trial is run."""
QUESTIONS = ("question", "paraphrased_question")
PARTS = {
    "start": "start: process, model, reference",
    "step": "a step of 16 + 16 rows",
    "training": f"training, {STEPS} steps",
    "evaluation": f"evaluation of 40 + {PS_ROWS} rows",
    "trial": "trial, evaluated at its end",
    "curve": f"trial, 40 + {HOLDOUT} rows after each of {EPOCHS} epochs",
}
COMPARED = [part for part in PARTS if part != "start"]
Seconds: TypeAlias = dict[str, float]
"""The processor's seconds of each of `PARTS`."""


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "trial_cost")
    found.add_argument("--tofu", type=Path, default=TOFU, help="folder of TOFU's files (%(default)s)")
    found.add_argument("--rounds", type=int, default=3, help="trials of each kind (%(default)s)")
    found.add_argument("--whole", action="store_true", help="run the paper's trial whole: nothing is extrapolated")
    found.add_argument("words", nargs="*", metavar="key=value", help="changes to our configuration")
    return found.parse_args()


@torch.no_grad()
def loss_difference(here: Session, subject: Subject) -> float:
    """Between the forget losses of both on the same rows, relative; the model has moved away from the target."""
    forget, _ = build_terms(subject.config, objective(subject), 0, here.model, here.training_rows, here.reference)
    chosen = range(BATCH)
    ours = float(torch.stack(list(forget.loss_parts(here.model, chosen))).sum())
    batch = padded([here.training_rows.forget[i] for i in chosen])
    logits, ref_logits = (logits_of(model, batch) for model in (here.model, load_model(subject.artifacts.target)))
    return abs(float(forget_loss(logits, ref_logits, batch.labels, **SETTING)) / ours - 1)


def golden_difference(path: Path) -> float | str:
    """The largest relative difference from the losses of the paper's own code, or that they are not there."""
    if not path.exists():
        return f"{path} is not there"
    golden = json.loads(path.read_text(encoding="utf-8"))
    inputs = golden["inputs"]["plain"]

    def said(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        now, then = (torch.tensor(inputs[f"{part}_logits_{which}"]).double() for which in ("current", "oracle"))
        return now, then

    forget, labels = said("forget"), torch.tensor(inputs["forget"]["labels"])
    kl = float(retain_loss(*said("retain")))
    cases = [case for case in golden["cases"] if case["loss_type"].startswith("wtnpo")]
    losses = [float(forget_loss(*forget, labels, case["alpha_used"], case["beta_used"])) for case in cases]
    wholes = [loss + kl * case["loss_type"].endswith("_kl") for loss, case in zip(losses, cases, strict=True)]
    return max(float(abs(whole / case["loss"] - 1)) for whole, case in zip(wholes, cases, strict=True))


def objective(subject: Subject) -> Objective:
    """WTNPO."""
    return build_objective(subject.config, dict(SETTING))


def ours(subject: Subject, here: Session, everything: Probes) -> Seconds:
    """A trial of a warm worker: training is all of it but the evaluation, the reset to the target included."""
    config, artifacts = subject.config, subject.artifacts
    trial = seconds(lambda: list(run_unlearning(config, artifacts, objective(subject), 0, measure_search_suite)))
    evaluation = seconds(lambda: evaluate(here.model, here.probes))
    training = trial - evaluation
    curve = training + EPOCHS * seconds(lambda: evaluate(here.model, everything))
    return {
        "start": 0.0,
        "step": training / STEPS,
        "training": training,
        "evaluation": evaluation,
        "trial": trial,
        "curve": curve,
    }


def questions(whole: bool) -> Sequence[str]:
    """By which the paper's way is asked."""
    return QUESTIONS if whole else QUESTIONS[:1]


def papers(subject: Subject, whole: bool) -> Seconds:
    """A trial of the paper's way, as far as it is run."""
    out = subject.config.storage / "paper_way.json"
    names = questions(whole)
    setting = [f"--{name}={value}" for name, value in SETTING.items()]
    command = [sys.executable, str(Path(__file__).with_name("paper_way.py")), str(subject.artifacts.target), *setting]
    command += ["--steps", str(STEPS if whole else RUN_STEPS), "--out", str(out), "--questions", *names]
    subprocess.run(command, check=True)  # noqa: S603 (our own file)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    ps = {side: value * len(QUESTIONS) / len(names) for side, value in found["ps"].items()}
    step, start = fmean(found["steps"]), found["start"]
    return {
        "start": start,
        "step": step,
        "training": STEPS * step,
        "evaluation": sum(ps.values()),
        "trial": start + STEPS * step + sum(ps.values()),
        "curve": start + STEPS * step + EPOCHS * (ps["forget"] + ps["retain"] * HOLDOUT / PS_ROWS),
    }


def checked(here: Session, subject: Subject, golden: Path) -> dict[str, float | str]:
    """That both have the same losses; ends the script where they differ."""
    rendered, published = loss_difference(here, subject), golden_difference(golden)
    if max(rendered, published if isinstance(published, float) else 0.0) > SAME:
        sys.exit(f"the losses differ: ours and the rendering's by {rendered}, its and the paper's by {published}")
    return {
        "forget loss, ours and the rendering's, relative difference": rendered,
        "losses, the rendering's and those of the paper's code, relative difference": published,
    }


def measure(subject: Subject, asked: Namespace) -> dict[str, Any]:
    """The checks, then the rounds."""
    here = get_session(subject.config, subject.artifacts)
    whole = datasets.load(subject.config.data.model_copy(update={"max_holdout": HOLDOUT}))
    everything = Probes.from_dataset(whole, here.tokenizer, here.template)
    ours(subject, here, everything)  # warms the worker, and moves the model away from the target
    same = checked(here, subject, asked.tofu.parent / "golden" / "objectives_plain.json")
    rounds = [(ours(subject, here, everything), papers(subject, asked.whole)) for _ in range(asked.rounds)]
    return {
        "parameters": sum(weight.numel() for weight in here.model.parameters()),
        **same,
        "once per sweep, reference's values, s": subject.prepare_s,
        "ours, s": {part: median(mine[part] for mine, _ in rounds) for part in PARTS},
        "paper's, s": {part: median(theirs[part] for _, theirs in rounds) for part in PARTS},
        "ratio": {part: median(theirs[part] / mine[part] for mine, theirs in rounds) for part in COMPARED},
        "bars": BARS,
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print the table, write the JSON file."""
    asked = options()
    if not asked.tofu.is_dir():
        sys.exit(f"skipped: {asked.tofu} is not there; --tofu names the folder of TOFU's .json files.")
    torch.set_num_threads(1)
    with tofu_subject(asked.tofu, [*AT_THE_END, *asked.words]) as subject:
        found = measure(subject, asked)
    mine, theirs, ratio = found["ours, s"], found["paper's, s"], found["ratio"]
    rows = [[text, mine[part], theirs[part], ratio.get(part, ""), BARS.get(part, "")] for part, text in PARTS.items()]
    show("the processor's seconds of a trial", ["part", "ours", "the paper's way", "ratio", "at least"], rows)
    run = (
        f"{STEPS if asked.whole else RUN_STEPS} of {STEPS} steps run, and PS of {' and '.join(questions(asked.whole))}"
    )
    print(
        f"medians of {asked.rounds} rounds; the paper's way: {run}; its remainder, and the last line, are extrapolated"
    )
    for key, value in found.items():
        if isinstance(value, float | str | int):
            print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
    write(asked.out, found)


if __name__ == "__main__":
    main()
