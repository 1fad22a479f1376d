"""Models that a sweep keeps: their folders, what the folders say, and which trials a worker saves as they end."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from sweep.atomic_io import count_free_bytes
from sweep.records import Phase, Setting, TrialRecord, format_bytes

MODELS_DIR = "models"
"""Folder of the models, in the sweep's folder; a model lies in `LABEL/KIND/` below it."""
TRIAL_FILE = "trial.json"
"""File in a model's folder that describes the trial; the folder gets its name only once all files are in it."""
CARD_FILE = "README.md"
CONFIG_FILE = "sweep.yaml"
"""The configuration that runs the trial alone, in the model's folder."""
Kind: TypeAlias = Literal["unlearned", "compared"]
"""Weights of a model: `unlearned` at the end of the trial, `compared` the mix θ(m*) that was scored."""
KINDS: tuple[Kind, ...] = get_args(Kind)
RECORD_KEYS = ("phase", "index", "seed", "setting", "metrics", "reason", "started", "worker")
"""Fields of the trial's record that `TRIAL_FILE` holds."""
SPARE_BYTES = 10**8
"""Bytes that a disk must have free beside those of a model, for its other files and for the sweep."""
COMPARED_PREFIX = "compared/"
"""Prefix of the metrics that are measured with the mix θ(m*)."""


@dataclass(frozen=True, kw_only=True)
class SaveRequest:
    """A request to save the model of a trial.

    Attributes:
        sweep: the sweep's name.
        label: the model's.
        folders: the folder of each kind of weights that is wanted.
    """

    sweep: str
    label: str
    folders: Mapping[Kind, Path]


@dataclass(frozen=True, kw_only=True)
class EarlySaves:
    """The trials whose models a worker saves as they end, since it is clear that the sweep keeps them.

    Attributes:
        sweep: the sweep's name.
        folder: the sweep's folder.
        kinds: the kinds of weights that are wanted.
        phase: the phase of these trials.
        seed: their seed.
        paper: the paper's setting.
        paper_label: the label of its model; empty where it is not kept, or may turn out to be the best.
    """

    sweep: str
    folder: Path
    kinds: Sequence[Kind]
    phase: Phase
    seed: int
    paper: Setting | None
    paper_label: str

    def find_request(self, record: TrialRecord) -> SaveRequest | None:
        """Return the request for a trial's model; None if it is not saved yet."""
        label = self.paper_label if record.setting == self.paper else "best"
        if (record.phase, record.seed) != (self.phase, self.seed) or not label:
            return None
        return request_model(self.sweep, self.folder, label, self.kinds)


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model in a sweep's folder.

    Attributes:
        label: best, paper, or phase and index of its trial.
        kind: the kind of its weights.
        folder: the model's folder.
        size: bytes of its files.
        trial: the content of its `TRIAL_FILE`.
    """

    label: str
    kind: Kind
    folder: Path
    size: int
    trial: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name that tells sweep, trial and kind of weights."""
        return f"{self.trial['sweep']}-{self.label}-{self.kind}"

    @property
    def record(self) -> TrialRecord:
        """The trial's record."""
        return TrialRecord(state="finished", **{key: self.trial[key] for key in RECORD_KEYS})

    @property
    def trial_label(self) -> str:
        """Phase and index of its trial."""
        return f"{self.trial['phase']}-{self.trial['index']}"

    @property
    def summary(self) -> dict[str, object]:
        """The model as summary.json lists it."""
        keys = ("phase", "index", "seed", "setting", "mix")
        own = {"label": self.label, "weights": self.kind, "path": str(self.folder), "bytes": self.size}
        return own | {key: self.trial[key] for key in keys}


def request_model(sweep: str, folder: Path, label: str, kinds: Sequence[Kind]) -> SaveRequest:
    """Request a model in its place below the sweep's folder."""
    return SaveRequest(sweep=sweep, label=label, folders={kind: folder / MODELS_DIR / label / kind for kind in kinds})


def expand_kinds(save_as: str) -> tuple[Kind, ...]:
    """Return the kinds of weights that `save_as` names."""
    return tuple(kind for kind in KINDS if save_as in (kind, "both"))


def select_kinds(kinds: Sequence[Kind], metrics: Mapping[str, float]) -> list[Kind]:
    """Return those of the kinds that a trial has: none if it diverged, no compared weights where no mix keeps τ."""
    there = {"unlearned": "forget/es" in metrics, "compared": metrics.get("mix", 0.0) > 0}
    return [kind for kind in kinds if there[kind]]


def describe_trial(request: SaveRequest, record: TrialRecord, kind: Kind) -> dict[str, object]:
    """Describe a model's trial, as its `TRIAL_FILE` holds it."""
    named = {"sweep": request.sweep, "label": request.label, "weights": kind}
    mix = 1.0 if kind == "unlearned" else record.metrics["mix"]
    return named | {"mix": mix} | {key: getattr(record, key) for key in RECORD_KEYS}


def describe_full_disk(place: Path, size: int) -> str:
    """Return a text if the disk has no room for a model of this size at a place, else an empty one."""
    free = count_free_bytes(place)
    if free >= size + SPARE_BYTES:
        return ""
    return f"the disk of {place.parent} has {format_bytes(free)} free, and the model takes {format_bytes(size)}"


def name_remote_copy(request: SaveRequest, record: TrialRecord, kind: Kind) -> str:
    """Name the copy of a model at the URL of the artifacts, where sweeps of several users may have the same names."""
    own = [request.sweep, request.label, kind, record.phase, record.index, record.started, str(request.folders[kind])]
    return f"model-{hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16]}"


def read_models(folder: Path) -> list[SavedModel]:
    """Read the models in a sweep's folder, by label and kind; half a model is none."""
    there = sorted(path for kind in KINDS for path in (folder / MODELS_DIR).glob(f"*/{kind}"))
    return [model for model in map(read_model, there) if model is not None]


def read_model(folder: Path) -> SavedModel | None:
    """Read the model in a folder; None if there is none."""
    try:
        trial = json.loads((folder / TRIAL_FILE).read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in folder.iterdir())
        return SavedModel(label=trial["label"], kind=trial["weights"], folder=folder, size=size, trial=trial)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_saved(folder: Path, record: TrialRecord) -> bool:
    """Return True if the folder holds the model of this trial."""
    model = read_model(folder)
    own = None if model is None else [model.trial[key] for key in ("phase", "index", "seed", "setting")]
    return own == [record.phase, record.index, record.seed, record.setting]
