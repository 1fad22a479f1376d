"""What the timings of training run on: a target with random weights and its artifacts, in a passing folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import transformers
from common import seconds
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval import datasets
from eval.rows.types import Dataset
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.model_schema import Shape
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, locate_artifacts
from sweep.prepare.build import make_reference
from sweep.training.models import collect_known_texts, make_llama, make_tokenizer

TOFU = Path(__file__).resolve().parents[3] / "shared" / "tofu"
"""Where TOFU is looked for: beside the checkout."""
LLAMA = Shape(layers=6, hidden=256, intermediate=704, heads=4, vocabulary=10240)
"""7.4 M parameters, with a vocabulary of TOFU's own."""
TOKENS = 512
"""Positions of a pass that suit a CPU, as in configs/model/smollm2-135m.yaml."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a configuration whose artifacts are made, and how long they took."""

    config: SweepConfig
    artifacts: Artifacts
    prepare_s: float


@contextmanager
def tofu_subject(folder: Path, words: Sequence[str]) -> Iterator[Subject]:
    """WTNPO + KL on forget01 with the Llama of 7.4 M parameters, whose tokenizer is trained on all rows of TOFU."""
    fixed = ["data=tofu-forget01", f"data.path={folder}", "data.max_retain=400", f"train.tokens={TOKENS}"]
    everything = datasets.load(load(CONFIGS / "wtnpo.yaml", [*fixed, "data.max_retain=null"]).data)
    tokenizer = make_tokenizer(collect_known_texts(everything), LLAMA.vocabulary)
    with subject(make_llama(LLAMA, tokenizer, seed=0), tokenizer, [*fixed, *words]) as found:
        yield found


@contextmanager
def subject(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, words: Sequence[str], rows: Dataset | None = None
) -> Iterator[Subject]:
    """Take the model, as it is, for the target of configs/wtnpo.yaml with `words`; all is made in a passing folder."""
    transformers.utils.logging.disable_progress_bar()
    layers = model.config.num_hidden_layers
    with TemporaryDirectory(prefix="timings-") as name:
        tuned = Path(name) / "model"
        model.save_pretrained(tuned)
        tokenizer.save_pretrained(tuned)
        own = [f"model.shape.layers={layers}", f"model.deepest={layers - 1}", f"target.path={tuned}", f"storage={name}"]
        config = load(CONFIGS / "wtnpo.yaml", [*own, *words])
        dataset = datasets.load(config.data) if rows is None else rows
        artifacts = locate_artifacts(config, dataset)
        took = seconds(lambda: list(make_reference(config, dataset, artifacts)))
        yield Subject(config=config, artifacts=artifacts, prepare_s=took)
