"""Expand config files, or a file that lists configs, models and datasets, into the sweeps of one command.

`configs/compare.yaml` lists configs; `configs/recover.yaml` combines every config with every model and dataset;
`configs/g_effect.yaml` changes keys of all sweeps, and of single ones.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Discriminator, Field, Tag

from eval.options import Frozen
from eval.shipped_configs import CONFIGS
from sweep.config.messages import nearest_hint, validate_block
from sweep.config.yaml_files import read_config_file
from sweep.errors import ConfigError

OptionNames = Annotated[tuple[str, ...], Field(strict=False)]
Overrides = Annotated[tuple[str, ...], Field(strict=False)]
"""Words as on the command line: `key=value`, `~space.NAME`."""


class MatrixEntry(Frozen):
    """A sweep of the list that has a name or overrides of its own."""

    config: str
    """Config beside the file, or a shipped one, without `.yaml`."""
    name: str | None = None
    """Name of the sweep within the command; if null, that of the config."""
    overrides: Overrides = ()
    """Changes of this sweep."""


def _entry_tag(entry: object) -> str:
    """Return the tag of the type that an entry of `sweeps` is meant to have."""
    return "-block" if isinstance(entry, MatrixEntry | Mapping) else "-text"


Entry: TypeAlias = Annotated[
    Annotated[str, Tag("-text")] | Annotated[MatrixEntry, Tag("-block")], Discriminator(_entry_tag)
]


class SweepMatrix(Frozen):
    """The lists in a file of several sweeps; every combination of their entries is a sweep."""

    sweeps: Annotated[tuple[Entry, ...], Field(strict=False, min_length=1)]
    """Configs beside the file, or shipped ones, without `.yaml`; or blocks with a config, a name and overrides."""
    model: OptionNames = ()
    """Options of `model=`; if empty, each config keeps its own."""
    data: OptionNames = ()
    """Options of `data=`; if empty, each config keeps its own."""
    overrides: Overrides = ()
    """Changes of all sweeps; those of one sweep come after them, and those of the command line last."""
    needs_paper: bool = False
    """True if the sweeps recover settings of the paper, so that data on which it tuned nothing is refused."""


@dataclass(frozen=True, kw_only=True)
class SweepSource:
    """Source of one sweep: its name within the command, its config file, overrides (groups first), need."""

    name: str
    file: Path
    choices: tuple[str, ...]
    needs_paper: bool = False


def is_matrix(path: Path) -> bool:
    """Return True if the file lists sweeps instead of configuring one.

    Raises:
        ConfigError: the file cannot be read.
    """
    return "sweeps" in read_config_file(path)


def expand_files(files: Sequence[Path], overrides: Sequence[str]) -> list[SweepSource]:
    """Expand the files, each a config or a list of sweeps, into the sources of single sweeps.

    Args:
        files: the paths as typed.
        overrides: `model=NAME` and `data=NAME` replace the models and datasets that a file lists.

    Raises:
        ConfigError: a file of several sweeps is invalid, or two sweeps have the same name.
    """
    chosen = {word.partition("=")[0] for word in overrides}
    found = [member for file in files for member in _expand_file(file, chosen)]
    names = [member.name for member in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice: a sweep is run once in one command.")
    return found


def _expand_file(path: Path, chosen: Collection[str]) -> list[SweepSource]:
    """Return the file's one sweep, or every combination of the configs, models and datasets that it lists."""
    raw = read_config_file(path)
    if "sweeps" not in raw:
        return [SweepSource(name=path.stem, file=path, choices=())]
    matrix = validate_block(SweepMatrix, raw)
    entries = [one if isinstance(one, MatrixEntry) else MatrixEntry(config=one) for one in matrix.sweeps]
    lists = {group: options for group, options in (("model", matrix.model), ("data", matrix.data)) if options}
    groups = [[f"{group}={option}" for option in lists[group]] for group in lists if group not in chosen]
    return [
        SweepSource(
            name="-".join([entry.name or entry.config, *(choice.partition("=")[2] for choice in choices)]),
            file=file,
            choices=(*choices, *matrix.overrides, *entry.overrides),
            needs_paper=matrix.needs_paper,
        )
        for entry, file in ((entry, _find_config(path, entry.config)) for entry in entries)
        for choices in product(*groups)
    ]


def _find_config(path: Path, name: str) -> Path:
    """Return the path of the config `name` beside the file, else of the shipped one."""
    places = [folder / f"{name}.yaml" for folder in (path.parent, CONFIGS)]
    found = next((place for place in places if place.is_file() and not is_matrix(place)), None)
    if found is None:
        there = sorted({file.stem for place in places for file in place.parent.glob("*.yaml")})
        raise ConfigError(f"{path}: sweeps: there is no config {name}{nearest_hint(name, there)}.")
    return found
