"""A training that is interrupted goes on from its checkpoint to the bit, and never from one that does not fit."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from support import toys
from sweep.prepare import build
from sweep.prepare.artifacts import StageProgress
from sweep.records import Pace
from sweep.training import checkpoint as module
from sweep.training.checkpoint import MANIFEST_FILE, Checkpoint
from sweep.training.loop import Schedule, StepResult, shuffled_batches, train_steps
from sweep.training.loss_terms import nll_parts
from sweep.training.precision import apply_precision
from sweep.trial.outcomes import EpochResult
from sweep.trial.state import Candidate, TrialState

ROWS = toys.encoded(*[(2, 3)] * 7)
INPUTS = {"artifact": "a"}
ALWAYS = 1e-9
"""Minutes after which a checkpoint is due at every step."""
SCHEDULE = Schedule(
    n_rows=7, n_epochs=3, batch_size=2, lr=1e-2, warmup_from=0, weight_decay=0.1, max_grad_norm=1.0, checkpointing=False
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long writing takes, the next checkpoint is due."""
    monkeypatch.setattr(module, "MAX_WRITING_SHARE", float("inf"))


def model_of(precision: str = "float32") -> PreTrainedModel:
    """The same model each time."""
    return apply_precision(toys.llama(), precision)


def opened(folder: Path, model: PreTrainedModel, minutes: float | None = ALWAYS, **inputs: object) -> Checkpoint:
    """The checkpoint of the training in a folder."""
    return Checkpoint(folder, INPUTS | inputs, minutes, model)


def steps_of(model: PreTrainedModel, checkpoint: Checkpoint) -> Iterator[StepResult]:
    """The training's steps, ten of them: those that the checkpoint leaves."""
    batches = shuffled_batches(len(ROWS), SCHEDULE.batch_size, 0)
    return train_steps(model, SCHEDULE, (nll_parts(model, ROWS, chosen, 8192) for chosen in batches), checkpoint)


def interrupt(folder: Path, n_steps: int, precision: str = "float32") -> None:
    """Train until so many steps are done and the next one is asked for, and lose all but the checkpoint."""
    model = model_of(precision)
    list(islice(steps_of(model, opened(folder, model)), n_steps + 1))


def bits(model: PreTrainedModel, taken: Sequence[StepResult]) -> list[Tensor]:
    """All weights, and the last steps' losses and norms."""
    return [
        *(weight.detach() for weight in model.parameters()),
        *(value for step in taken[-3:] for value in (step.loss_parts, step.grad_norm)),
    ]


@pytest.mark.parametrize("precision", ["float32", "master", "kahan"])
def test_a_continued_training_is_the_undisturbed_one(tmp_path: Path, precision: str) -> None:
    """Interrupted after 3 and again after 6 of 10 steps: weights, losses and norms have the same bits, and no NaN."""
    whole = model_of(precision)
    plain = list(steps_of(whole, opened(tmp_path / "none", whole, None)))
    interrupt(tmp_path / "one", 3, precision)
    interrupt(tmp_path / "one", 3, precision)
    model = model_of(precision)
    left = list(steps_of(model, resumed := opened(tmp_path / "one", model)))
    assert (len(plain), resumed.n_steps, len(left)) == (10, 6, 4)
    ours, theirs = bits(model, left), bits(whole, plain)
    assert all(torch.equal(own, other) for own, other in zip(ours, theirs, strict=True))
    assert {tensor.dtype for tensor in ours} == {tensor.dtype for tensor in theirs}
    assert not (tmp_path / "none").exists()
    assert len(list((tmp_path / "one").iterdir())) == 2  # the manifest and one state


def test_a_short_training_writes_nothing(tmp_path: Path) -> None:
    """It ends before its minutes are over."""
    model = model_of()
    list(steps_of(model, opened(tmp_path / "short", model, minutes=10)))
    assert list(tmp_path.iterdir()) == []


def test_writing_takes_a_tenth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 minute between checkpoints, one that takes 12 s lets the next wait for 120 s."""
    clock = [0.0]
    monkeypatch.setattr(module, "MAX_WRITING_SHARE", 0.1)
    monkeypatch.setattr(module, "shared_clock", lambda: clock[0])
    model = model_of()
    (own := opened(tmp_path / "slow", model, minutes=1)).collect_notes = lambda: (
        clock.__setitem__(0, clock[0] + 12) or {}
    )
    optimizer = torch.optim.AdamW(model.parameters())
    for at in (59, 60, 191, 192):
        clock[0] = float(at)
        own.write_when_due(model, optimizer, at, clock[0])
        written = [path.name for path in (tmp_path / "slow").glob("*.pt")]
        assert written == {59: [], 60: ["60-0.pt"], 191: ["60-0.pt"], 192: ["192-0.pt"]}[at]


@pytest.mark.parametrize("harm", ["damaged", "half-written", "no manifest", "other inputs", "other processes", "off"])
def test_what_does_not_fit_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """The training then begins anew, with the model as it is, and its next checkpoint takes the place."""
    folder = tmp_path / "one"
    interrupt(folder, 3)
    (state,) = folder.glob("*.pt")
    content = state.read_bytes()
    inputs: dict[str, object] = {}
    if harm == "damaged":
        state.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    elif harm == "half-written":
        state.write_bytes(content[: len(content) // 2])
    elif harm == "no manifest":
        (folder / MANIFEST_FILE).unlink()
    elif harm == "other inputs":
        inputs["artifact"] = "b"
    elif harm == "other processes":
        monkeypatch.setattr(module, "world_size", lambda: 2)
    model, same = model_of(), model_of()
    found = opened(folder, model, None if harm == "off" else ALWAYS, **inputs)
    assert (found.n_steps, found.notes) == (0, {})
    next(steps_of(model, found))
    next(steps_of(same, opened(tmp_path / "none", same, None)))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))


def test_no_room_for_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one stays, nothing half lies beside it, and the training goes on after a warning."""
    folder, model = tmp_path / "one", model_of()
    steps = steps_of(model, opened(folder, model))
    list(islice(steps, 3))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fill(state: object, out: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill)
    list(islice(steps, 2))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "warning: no checkpoint could be written: [Errno 28] No space left on device" in capsys.readouterr().err


def test_frozen_weights_are_not_stored(tmp_path: Path) -> None:
    """Only what is trained changes, so only that is written."""
    model = model_of()
    for name, weight in model.named_parameters():
        weight.requires_grad_("mlp" in name)
    list(islice(steps_of(model, opened(tmp_path / "one", model)), 2))
    (file,) = (tmp_path / "one").glob("*.pt")
    state = torch.load(file, weights_only=True)
    assert state["weights"].keys() == {name for name, _ in model.named_parameters() if "mlp" in name}


def test_a_fine_tuning_goes_on_and_says_where(tmp_path: Path) -> None:
    """Of 6 steps 3 were done, in the second of three epochs: the first is not asked about again."""
    target = {"path": None, "revision": None, "epochs": 3, "lr": 1e-2, "batch": 4, "weight_decay": 0.0, "min_es": 0.0}
    config = toys.config(tmp_path, target=target)
    rows, asked = toys.encoded(*[(2, 2)] * 8), list[str]()

    def note_epoch(name: str) -> bool:
        asked.append(name)
        return False

    def tune(minutes: float | None, name: str) -> Iterator[StageProgress]:
        model = toys.llama()
        models.append(model)
        own = opened(tmp_path / "one", model, minutes)
        return build._fine_tune("target", config, model, rows, 0, partial(note_epoch, name), own)

    models = list[PreTrainedModel]()
    list(islice(tune(ALWAYS, "killed"), 4))
    steps = list(tune(ALWAYS, "continued"))
    plain = list(tune(None, "plain"))
    assert steps[0] == StageProgress(stage="target", done=3, total=6, goes_on=True)
    assert [step.done for step in steps] == [3, 4, 5, 6]
    assert [step.done for step in plain] == [1, 2, 3, 4, 5, 6]
    assert asked == ["killed", "continued", "plain", "plain"]
    assert all(torch.equal(a, b) for a, b in zip(models[1].parameters(), models[2].parameters(), strict=True))


def test_the_pace_of_a_fine_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 2 s with 2 rows of 5 tokens each, so 4 labels are predicted from 4 inputs of each: 4 tokens/s."""
    from sweep.training import progress_meter

    monkeypatch.setattr(progress_meter, "shared_clock", lambda: 100.0)
    meter = progress_meter.ProgressMeter(SCHEDULE, [[4] * 7], interval_s=3.0, n_steps=4)
    found = [
        meter.measure_pace(StepResult(loss_parts=torch.tensor([1.0, 0.5]), grad_norm=torch.tensor(1.0), at=at), done)
        for done, at in ((5, 102.0), (6, 104.0), (7, 106.0), (8, 108.0))
    ]
    assert found == [
        None,
        Pace(loss=1.5, tokens_per_s=4.0, left_s=8.0),
        None,
        Pace(loss=1.5, tokens_per_s=4.0, left_s=4.0),
    ]


def test_the_state_of_a_trial_survives_plain_types(tmp_path: Path) -> None:
    """What `torch.load` reads without running code gives the same state."""
    result = EpochResult(epoch=1, metrics={"forget/es": 1 / 3})
    step = StepResult(loss_parts=torch.tensor([1.5]), grad_norm=torch.tensor(2.0), at=0.5)
    state = TrialState(results=[result], taken=[step], kept=Candidate(result=result, weights={"w": torch.ones(2)}))
    torch.save(state.to_notes(), tmp_path / "notes")
    found = TrialState.from_notes(torch.load(tmp_path / "notes", weights_only=True))
    assert (found.results, found.taken) == ([result], [step])
    assert (
        found.kept is not None and found.kept.result == result and torch.equal(found.kept.weights["w"], torch.ones(2))
    )
    assert TrialState.from_notes({}) == TrialState()
