"""Find and load the sweeps of a storage: each is a folder that holds its resolved configuration.

The first line of a sweep's config.yaml tells the format of all that the folder and the study hold.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from sweep.config.compose import dump, load, validate_name
from sweep.config.diff import BUDGET_KEYS
from sweep.config.messages import nearest_hint
from sweep.config.schema import SAVING_KEYS, SweepConfig
from sweep.config.yaml_files import read_config_file
from sweep.errors import ConfigError

CONFIG_FILE = "config.yaml"
"""File with the resolved configuration, in a sweep's folder."""
FORMAT = 3
"""Format of a sweep: increased, with `VERSION`, when a stored key or a trial's number changes its meaning."""
VERSION = "0.3.0"
"""The program's version, as in pyproject.toml; a Ray job's code is not installed, so that no metadata holds it."""
FORMAT_LINE = "# written by version {version}, format {format}"
"""The first line of a sweep's config.yaml; version 0.1.0, of format 1, did not write it."""
SWEEP_LIST_FILE = "sweeps.yaml"
"""File with the names of a comparison's sweeps, in the comparison's folder."""


def dump_stored_config(config: SweepConfig) -> str:
    """Return the text of a sweep's config.yaml."""
    return f"{FORMAT_LINE.format(version=VERSION, format=FORMAT)}\n{dump(config)}"


def load_stored_config(storage: Path, name: str, changes: Sequence[str] = ()) -> SweepConfig:
    """Load the configuration of a stored sweep, with overrides `key=value`.

    Raises:
        ConfigError: the storage has no such sweep, the sweep has another format, or its configuration is invalid.
    """
    file = storage / validate_name(name) / CONFIG_FILE
    if not file.is_file():
        there = [path.parent.name for path in storage.glob(f"*/{CONFIG_FILE}")]
        raise ConfigError(f"{name}: {storage} has no sweep of this name{nearest_hint(name, there)}.")
    _check_format(file, name)
    # The storage may have been moved since the sweep began.
    return load(file, changes).model_copy(update={"storage": storage})


def _check_format(file: Path, name: str) -> None:
    """Refuse a sweep whose config.yaml tells another format, or none, as version 0.1.0 left it."""
    first, *_ = file.read_text(encoding="utf-8", errors="replace").split("\n", 1)
    told = re.fullmatch(FORMAT_LINE.format(version="([^ ]+)", format="([0-9]+)"), first)
    version, found = told.groups() if told else ("0.1.0", "1")
    if found != str(FORMAT):
        raise ConfigError(
            f"{name} has format {found}, which version {version} of this program reads; this is version {VERSION},"
            f" which reads format {FORMAT}."
        )


def list_sweep_names(storage: Path, name: str) -> list[str]:
    """Return the names of a comparison's sweeps; for any other name, return that name alone.

    Raises:
        ConfigError: the name is invalid, or the comparison's file does not hold a list of sweeps.
    """
    file = storage / validate_name(name) / SWEEP_LIST_FILE
    if not file.is_file():
        return [name]
    sweeps = read_config_file(file).get("sweeps")
    if not isinstance(sweeps, list) or not sweeps or not all(isinstance(own, str) for own in sweeps):
        raise ConfigError(f"{file}: sweeps must be a list of the comparison's sweeps.")
    return sweeps


def find_comparison(storage: Path, name: str) -> str | None:
    """Return the name of the comparison that a sweep belongs to; None for a sweep of its own."""
    there = [file.parent.name for file in sorted(storage.glob(f"*/{SWEEP_LIST_FILE}"))]
    return next((one for one in there if name.startswith(f"{one}.") and name in list_sweep_names(storage, one)), None)


DEFAULT_STORAGE = Path("runs")
"""Default storage of stored sweeps, relative to the working directory; equal to `storage` in configs/base.yaml."""


def sweep_arguments(storage: Path, name: str) -> str:
    """Return the arguments that name a sweep on a command line: its name, and storage=DIR unless it is the default."""
    return name if storage == DEFAULT_STORAGE.absolute() else f"{name} {shlex.quote(f'storage={storage}')}"


def parse_storage(words: Sequence[str], command: str) -> Path:
    """Parse `storage=DIR`, the only argument allowed beside a sweep's name; without it, return the default storage.

    Raises:
        ConfigError: there is another argument.
    """
    others = [word for word in words if not word.startswith("storage=")]
    if others:
        raise ConfigError(
            f"{command} uses the sweep's own configuration and takes only storage=DIR besides, not {others[0]!r}."
        )
    return Path(words[-1].removeprefix("storage=") if words else DEFAULT_STORAGE).absolute()


def parse_resume(words: Sequence[str], name: str) -> tuple[Path, list[str]]:
    """Parse the arguments beside the name of a sweep that is resumed: its storage, and what it is to do further.

    Raises:
        ConfigError: there is an argument for a key that may not change.
    """
    keys = ("storage", *BUDGET_KEYS, *SAVING_KEYS)
    for word in words:
        if (key := word.partition("=")[0]) not in keys:
            raise ConfigError(
                f"--resume {name} uses the sweep's own configuration and takes only storage=DIR,"
                f" {', '.join(keys[1:])} besides, not {word!r}{nearest_hint(key, keys, 0.5)}"
                f"{warm_start_hint(name) if key.startswith('space.') else ''}."
            )
    storage = [word for word in words if word.startswith("storage=")]
    return parse_storage(storage, "--resume"), [word for word in words if word not in storage]


def warm_start_hint(name: str) -> str:
    """Return the end of a sentence that refuses another space for a sweep: how to keep its trials in that space."""
    return f"; in another space, a new sweep learns from its trials: --name NEW and search.warm_start=[{name}]"
