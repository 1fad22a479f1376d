"""The forecast: the parts of the memory, whether they fit and what would help, time, and whom it refuses; by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, PreTrainedConfig

from objectives.wtnpo import WTNPO
from support.toys import config, dataset, encoded
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare import cost, forecast, memory, speed
from sweep.prepare.artifacts import locate_artifacts
from sweep.prepare.budget import ArtifactCost, Budget, format_seconds, summarize_budgets
from sweep.prepare.cost import Speed
from sweep.prepare.machine import MachineShare
from sweep.prepare.memory import StageMemory, SweepRows, count_parameters, measure_stages
from sweep.prepare.memory_tracker import MemoryTracker
from sweep.training.reference import TrainingRows

LLAMA = LlamaConfig(
    vocab_size=1000,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=3,
    num_attention_heads=4,
    tie_word_embeddings=True,
)
SHALLOW = LlamaConfig(**LLAMA.to_dict() | {"num_hidden_layers": 1})
ROWS = encoded(*[(20, 60 + i % 3) for i in range(8)])
OBJECTIVE = WTNPO(alpha=1.0, beta=1.0)


# Memory


@pytest.mark.parametrize(("precision", "bytes_each"), [("float32", 16), ("master", 16), ("kahan", 10)])
def test_bytes_of_a_parameter(precision: str, bytes_each: int, tmp_path: Path) -> None:
    """4 + 4 + 8 in float32; in bfloat16 2 + 2 + 4, and 2 for what rounding took; of 341,376 parameters."""
    asked = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=0)
    texts = SweepRows(training_rows=asked, target_rows=ROWS, retain_model_rows=ROWS, probes=ROWS)
    layer = 4 * 128 * 128 + 3 * 128 * 384 + 2 * 128  # attention, MLP, two norms
    assert count_parameters(LLAMA, "sdpa") == 1000 * 128 + 3 * layer + 128 == 767_872
    assert count_parameters(SHALLOW, "sdpa") == 1000 * 128 + layer + 128 == 341_376
    for stage in measure_stages(config(tmp_path, train={"precision": precision}), OBJECTIVE, SHALLOW, texts).values():
        if stage.gradients:
            assert stage.weights + stage.gradients + stage.optimizer == pytest.approx(bytes_each * 341_376, rel=1e-3)


def test_memory_of_a_model_that_is_shared_out(tmp_path: Path) -> None:
    """Each of two has half of weights, gradients and optimizer, and whole the embeddings, a norm and two layers."""
    asked = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=0)
    texts = SweepRows(training_rows=asked, target_rows=ROWS, retain_model_rows=ROWS, probes=ROWS)
    sweep = on_card(config(tmp_path, train={"batch": 8}), processes=2)
    shared = sweep.model_copy(update={"train": sweep.train.model_copy(update={"parallel": "fsdp"})})
    layer = 4 * 128 * 128 + 3 * 128 * 384 + 2 * 128
    gathered = 4 * (1000 * 128 + 128 + 2 * layer)
    whole, half = (measure_stages(each, OBJECTIVE, LLAMA, texts) for each in (sweep, shared))
    for name, stage in whole.items():
        copies = 1 if name == "evaluation" else 2
        assert half[name] == StageMemory(
            weights=stage.weights // 2,
            head=stage.head,
            gradients=stage.gradients // 2,
            optimizer=stage.optimizer // 2,
            activations=stage.activations + copies * gathered,
        )


def test_two_processes_take_half_of_the_rows(tmp_path: Path) -> None:
    """What a step of eight rows takes beside the weights is less where a process has four of them."""
    asked = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=100)
    texts = SweepRows(training_rows=asked, target_rows=ROWS, retain_model_rows=ROWS, probes=ROWS)
    sweep = config(tmp_path, train={"batch": 8})
    one, two = (measure_stages(on_card(sweep, processes=n), OBJECTIVE, SHALLOW, texts)["unlearning"] for n in (1, 2))
    assert 0.4 * one.activations < two.activations < 0.7 * one.activations


def test_what_is_freed_is_not_counted() -> None:
    """A view is no new memory, what is dropped is given back, and the peak is that of both at once."""
    with MemoryTracker() as alive:
        first = torch.empty(100)
        view = first[:50]
        assert alive.current == 400
        second = torch.empty(50)
        del first, view
        assert (alive.current, alive.peak) == (200, 600)
        assert alive.measure_peak(lambda: second + 1) == 200


def given(card: float | None, total: int = 70, **others: int) -> forecast.Forecast:
    """A forecast of so many GB."""
    parts = {"weights": 0, "head": 0, "gradients": 0, "optimizer": 0} | others
    stage = StageMemory(activations=total * 10**9 - sum(parts.values()), **parts)
    plenty = Budget(
        n_trials=3, trial_hours=2.0, artifact_costs={Path("a"): ArtifactCost(disk_bytes=5 * 10**9, hours=1.0)}
    )
    return forecast.Forecast(stages={"unlearning": stage}, card_bytes=card, budget=plenty)


def test_whether_it_fits() -> None:
    """70 GB and CUDA's one fit into 71, not into 70; of a card that is not known nothing is said."""
    found = [given(card) for card in (71e9, 70e9, None)]
    assert [one.has_enough_memory for one in found] == [True, False, None]
    fits, short, unknown = (one.lines[0] for one in found)
    assert fits.startswith("memory: it fits: 70 GB") and "train.tokens" not in fits
    assert fits.endswith(" (most in unlearning: activations 70 GB)")
    assert "it does not fit: 70 GB" in short
    for key in ("train.tokens", "train.checkpointing", "train.precision", "cluster.processes"):
        assert key in short
    assert "not known (cluster.gpus, cluster.memory)" in unknown
    assert found[0].lines[1].startswith("time: 7 hours of one card, 2 hours a trial")
    assert found[0].lines[2] == "disk: 5 GB for what the trials share"


def forecasted(sweep: SweepConfig) -> forecast.Forecast:
    """The forecast of a sweep on the toy rows."""
    return forecast.forecast_sweep(sweep, dataset(), locate_artifacts(sweep, dataset()))


def estimated(sweep: SweepConfig) -> Budget:
    """Time and disk of a sweep on the toy rows."""
    return cost.estimate_budget(sweep, dataset(), locate_artifacts(sweep, dataset()))


def model_info(sweep: SweepConfig) -> cost.ModelInfo:
    """What is known of a sweep's model."""
    return cost.load_model_info(sweep.model, sweep.target, dataset(), sweep.train.attention)


def on_card(sweep: SweepConfig, **cluster: object) -> SweepConfig:
    """The sweep with GPUs."""
    return sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update=cluster)})


@pytest.mark.parametrize(("gpus", "card"), [(0.5, 40e9), (1.0, 80e9), (2.0, 80e9), (0.0, None)])
def test_the_share_of_a_card(gpus: float, card: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a GPU has half the memory; two GPUs give a trial no more than one."""
    monkeypatch.setattr(memory, "measure_stages", lambda *_: {})
    assert forecasted(on_card(config(tmp_path), gpus=gpus, memory=80.0)).card_bytes == card


def test_the_whole_forecast(tmp_path: Path) -> None:
    """The toy sweep fits a small card; fine-tuning has no head of its own, and an evaluation no gradients."""
    found = forecasted(on_card(config(tmp_path), gpus=1.0, memory=2.0))
    assert [*found.stages] == ["unlearning", "evaluation", "fine-tuning"]
    assert found.lines[0].startswith("memory: it fits") and found.has_enough_memory
    weights = 4 * model_info(config(tmp_path)).n_parameters
    assert {stage.weights for stage in found.stages.values()} == {weights}
    assert found.stages["evaluation"].gradients == 0 == found.stages["fine-tuning"].head


# Time


def test_hours(tmp_path: Path) -> None:
    """6 P of each position in 6 steps of 2 + 2 rows, 2 P of each that 4 points and 10 mixes read, at 40 % of a card."""
    sweep = on_card(config(tmp_path, train={"precision": "kahan"}), gpus=1.0, accelerator="A100")
    texts, own = cost.encode_sweep_rows(sweep, dataset()), model_info(sweep)
    forget, retain, probes = (
        [len(row.ids) - 1 for row in rows]
        for rows in (texts.training_rows.forget, texts.training_rows.retain, texts.probes)
    )
    trained = 6 * (2 * sum(forget) / 3 + 2 * sum(retain) / 3)
    operations = own.n_parameters * (6 * trained + 2 * 14 * sum(probes))
    found = estimated(sweep)
    assert found.trial_hours is not None
    assert found.trial_hours == pytest.approx(operations / (0.4 * 312e12) / 3600)
    tuning = own.n_parameters * 6 * 60 * sum(len(row.ids) - 1 for row in texts.target_rows) / (0.4 * 312e12) / 3600
    assert found.artifact_costs[locate_artifacts(sweep, dataset()).target].hours == pytest.approx(tuning)
    assert found.n_trials == 3 and found.total_hours is not None and found.total_hours > 3 * found.trial_hours
    again = estimated(on_card(sweep, gpus=2.0, processes=2))
    assert again.trial_hours == found.trial_hours, "half as long, on two cards"


def test_sweeps_together_pay_once_for_what_they_share() -> None:
    """3 · 2 + 2 · 1 hours of trials and one of an artifact; one whose hours are not known adds none."""
    shared, own = (
        {Path("a"): ArtifactCost(disk_bytes=5 * 10**9, hours=1.0)},
        {Path("b"): ArtifactCost(disk_bytes=10**9, hours=None)},
    )
    first = Budget(n_trials=3, trial_hours=2.0, artifact_costs=shared)
    second = Budget(n_trials=2, trial_hours=1.0, artifact_costs=shared | own)
    assert summarize_budgets([first, second]) == (
        "together: time 9 hours of one card, assuming 40% of its peak; disk 6 GB for what the trials share"
    )
    assert second.total_hours == 3.0


@pytest.mark.parametrize(("precision", "bytes_each"), [("float32", 12), ("master", 12), ("kahan", 8)])
def test_disk_for_checkpoints(tmp_path: Path, precision: str, bytes_each: int) -> None:
    """Two of weights and optimizer where the time is not known or long; none where it is short, or not wanted."""
    sweep = config(tmp_path, train={"precision": precision})
    assert estimated(sweep).checkpoint_bytes == 2 * bytes_each * model_info(sweep).n_parameters
    assert " for each long training while it runs (cluster.checkpoint)" in estimated(sweep).disk_text
    off, short = on_card(sweep, checkpoint=None), on_card(sweep, gpus=1.0, accelerator="A100")
    for one in (off, short):
        assert estimated(one).checkpoint_bytes == 0
        assert "checkpoint" not in estimated(one).disk_text


def test_hours_of_an_unknown_card(tmp_path: Path) -> None:
    """None, and it is said what would have to be known."""
    found = estimated(config(tmp_path))
    assert found.trial_hours is None and found.total_hours is None
    assert "cluster.accelerator" in found.time_text


def test_hours_of_this_machine(tmp_path: Path) -> None:
    """6 steps of 3 s, .01 s for each position that is trained on, .001 s for each of 14 readings; two at once."""
    sweep, known = config(tmp_path), Speed(step_s=3.0, trained_s=0.01, read_s=0.001, n_at_once=2)
    texts, places = cost.encode_sweep_rows(sweep, dataset()), locate_artifacts(sweep, dataset())
    forget, retain, probes, tuned = (
        sum(len(row.ids) - 1 for row in rows)
        for rows in (texts.training_rows.forget, texts.training_rows.retain, texts.probes, texts.target_rows)
    )
    trial_s = 6 * 3 + 0.01 * 6 * (2 * forget / 3 + 2 * retain / 3) + 0.001 * 14 * probes
    found = cost.estimate_budget(sweep, dataset(), places, known)
    assert found.trial_hours == pytest.approx(trial_s / 3600)
    steps = sweep.target.epochs * len(texts.target_rows) // sweep.target.batch
    tuning_s = 3 * steps + 0.01 * sweep.target.epochs * tuned
    assert found.artifact_costs[places.target].hours == pytest.approx(tuning_s / 3600)
    done = replace(found, n_trials=4, trial_hours=1.0, artifact_costs={})
    assert done.time_text.startswith("about 2 h: 60 min a trial, 2 at once (")
    assert summarize_both(done).startswith("together: time about 4 h (steps of these models, timed on this")


def summarize_both(one: Budget) -> str:
    """Time and disk of two such sweeps."""
    return summarize_budgets([one, one])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.24, "1.2 s"),
        (42, "42 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (700, "12 min"),
        (5401, "1.5 h"),
        (40_000, "11 h"),
        (86_400 * 12, "12 days"),
    ],
)
def test_a_forecast_of_time_is_rough(seconds: float, text: str) -> None:
    """Two digits, in the largest unit of which it is one and a half."""
    assert format_seconds(seconds) == text


def test_this_machine_is_timed_where_trials_run_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and readings take some time; trials elsewhere, that do not fit, or of a large model are not timed."""
    monkeypatch.setattr(speed, "TIMED_S", 1e-9)
    sweep, threads = config(tmp_path), torch.get_num_threads()
    room = MachineShare(tensor_bytes=10**6, n_processes=1, n_at_once=4, machine_bytes=2.1e9)
    found = forecast.time_sweep(sweep, dataset(), room)
    assert found is not None
    assert min(found.step_s, found.trained_s, found.read_s) > 0 and found.n_at_once == 2
    assert torch.get_num_threads() == threads
    assert forecast.time_sweep(sweep, dataset(), None) is None
    assert forecast.time_sweep(sweep, dataset(), replace(room, tensor_bytes=10**12)) is None
    monkeypatch.setattr(speed, "MAX_PARAMETERS", 10)
    assert forecast.time_sweep(sweep, dataset(), room) is None


def test_no_model_is_looked_at_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of the same model and rows share what has to be found out about them, whatever their objective."""
    counted: list[PreTrainedConfig] = []

    def count(architecture: PreTrainedConfig, attention: str) -> int:
        counted.append(architecture)
        return count_parameters(architecture, attention)

    monkeypatch.setattr(cost, "count_parameters", count)
    monkeypatch.setattr(cost, "load_model_info", cache(cost.load_model_info.__wrapped__))
    for objective in ("wtnpo", "tnpo", "npo"):
        estimated(config(tmp_path).model_copy(update={"objective": objective}))
    assert len(counted) == 1


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """It could not be trained either; one sentence with the key."""
    LLAMA.save_pretrained(tmp_path)
    sweep = config(tmp_path / "runs")
    lacking = sweep.model_copy(update={"model": sweep.model.model_copy(update={"path": str(tmp_path)})})
    with pytest.raises(ConfigError, match=r"model\.path = "):
        forecasted(lacking)
