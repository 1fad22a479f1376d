"""The model templates and datasets that the project ships as configs, read as plain YAML (a sweep composes them)."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = next(folder for folder in (ROOT / "sweep" / "configs", ROOT / "configs") if folder.is_dir())
"""Inside an installed wheel, or beside the packages in a checkout."""


def names(group: str) -> list[str]:
    """What there is to choose from, in order: `model`, `data`."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def block(group: str, name: str) -> dict[str, Any]:
    """The group's block of one of its files: `block("data", "authors")` says how many authors."""
    text = (CONFIGS / group / f"{name}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[group]
    return found


def choice(group: str, wrong: str) -> str:
    """What a message says of a name that is not there: those that are, and the nearest."""
    near = get_close_matches(wrong, names(group), n=1)
    return f"{', '.join(names(group))}{f'; did you mean {near[0]}?' if near else ''}"
