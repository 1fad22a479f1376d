"""Trials and targets with adapters, end to end without Ray."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eval.metrics.calibrated_score import extraction_strengths
from eval.models.checkpoint import make_config
from eval.shipped_configs import CONFIGS
from eval.suite import evaluate
from objectives.wtnpo import WTNPO
from support.targets import Prepared, Toy, made
from support.toys import config, encoded, tokenizer
from sweep.config.compose import load
from sweep.prepare.forecast import CUDA_OVERHEAD_BYTES
from sweep.prepare.memory import SweepRows, measure_stages
from sweep.training.models import load_for_training
from sweep.training.reference import TrainingRows
from sweep.training.weights import save_model, snapshot_weights
from sweep.trial.model_folder import SetMixFn
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.session import Session, get_session
from sweep.trial.unlearn import measure_search_suite, run_unlearning

LORA = {"rank": 8, "alpha": 16.0}


@pytest.mark.parametrize(
    ("words", "length", "gigabytes"),
    [
        (["model=llama-2-7b", "train.lora.rank=16", "target.lora.rank=16"], 500, 24),
        (["model=llama-3.2-1b", "train.lora.rank=16", "train.precision=kahan", "train.tokens=1024"], 0, 8),
    ],
)
def test_adapters_fit_a_small_card(words: list[str], length: int, gigabytes: int) -> None:
    """By the forecast, in bfloat16, with a gigabyte for CUDA: fine-tuning too where the target is made here."""
    sweep, rows = load(CONFIGS / "wtnpo.yaml", words), encoded(*[(60, 60)] * 16)
    assert sweep.model.architecture is not None
    architecture = make_config(sweep.model.architecture.model_dump() | {"num_hidden_layers": sweep.model.layers})
    asked = TrainingRows(forget=rows, refusals=rows, retain=rows, min_length=length)
    texts = SweepRows(training_rows=asked, target_rows=rows, retain_model_rows=rows, probes=rows)
    found = measure_stages(sweep, WTNPO(alpha=1.0, beta=1.0), architecture, texts)
    assert max(stage.total_bytes for stage in found.values()) + CUDA_OVERHEAD_BYTES < gigabytes * 1e9


def trial(toy: Toy, seed: int, folder: Path) -> TrialOutcome:
    """The outcome of one trial, whose unmixed model is saved in a folder."""

    def save(session: Session, set_mix: SetMixFn, _: TrialOutcome) -> str:
        set_mix(1.0)
        save_model(session.model, tokenizer(), folder)
        return ""

    *_, outcome = run_unlearning(*toy, WTNPO(alpha=1.0, beta=1.0), seed, measure_search_suite, save=save)
    assert isinstance(outcome, TrialOutcome)
    return outcome


@pytest.mark.parametrize("precision", ["float32", "kahan"])
def test_a_trial_trains_adapters_over_the_target(precision: str, prepared: Prepared, tmp_path: Path) -> None:
    """It forgets; the same seed gives the same numbers; its saved model is measured the same, to the bit."""
    toy = prepared(precision, train={"lora": LORA, "lr": 3e-2})
    assert toy[1] == prepared(precision)[1]
    first, other, again = (trial(toy, seed, tmp_path) for seed in (0, 1, 0))
    assert first == again != other
    here = get_session(*toy)
    es = extraction_strengths(first.metrics)
    assert es.forget < extraction_strengths(here.reference_metrics).forget
    target = load_file(toy[1].target / "model.safetensors")
    own = {name.replace(".base_layer.", "."): weight for name, weight in here.model.named_parameters()}
    assert all(torch.equal(own[name], weight) for name, weight in target.items() if name in own)
    assert all(".lora_" in name for name in snapshot_weights(here.model))
    loaded = load_for_training(tmp_path, toy[0].train)
    metrics = evaluate(loaded, here.probes)
    assert metrics and metrics == {name: first.metrics[name] for name in metrics}


def test_a_target_is_fine_tuned_by_adapters(tmp_path: Path) -> None:
    """It knows its rows, and its weights are plain ones, from which a trial starts at the target's own metrics."""
    target = {"path": None, "revision": None, "epochs": 60, "lr": 3e-2, "batch": 4, "weight_decay": 0.0, "min_es": 0.0}
    sweep = config(tmp_path, target=target | {"lora": {"rank": 32, "alpha": 64.0}})
    artifacts = made(sweep)
    assert min(extraction_strengths(artifacts.reference_metrics)) > max(extraction_strengths(artifacts.base_metrics))
    assert not any("lora" in name for name in load_file(artifacts.target / "model.safetensors"))
    here = get_session(sweep, artifacts)
    assert evaluate(here.model, here.probes) == dict(artifacts.reference_metrics)
