"""Model templates and datasets that the project ships as configs, read as plain YAML (a sweep composes them)."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = next(folder for folder in (ROOT / "sweep" / "configs", ROOT / "configs") if folder.is_dir())
"""Folder of the configs: inside an installed wheel, or beside the packages in a checkout."""


def list_names(group: str) -> list[str]:
    """List the names of the configs in a group (`model` or `data`), sorted."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def read_block(group: str, name: str) -> dict[str, Any]:
    """Return the group's block of one config: `read_block("data", "authors")` has the numbers of authors."""
    text = (CONFIGS / group / f"{name}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[group]
    return found


def describe_choices(group: str, wrong: str) -> str:
    """Describe the valid names, and the one nearest to the wrong name, for an error message."""
    near = get_close_matches(wrong, list_names(group), n=1)
    return f"{', '.join(list_names(group))}{f'; did you mean {near[0]}?' if near else ''}"
