"""Model templates and datasets that the project ships as configs, read as plain YAML (a sweep composes them)."""

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = next(folder for folder in (ROOT / "sweep" / "configs", ROOT / "configs") if folder.is_dir())
"""Folder of the configs: inside an installed wheel, or beside the packages in a checkout."""
GROUPS = ("model", "data", "cluster", "recipe")
"""Blocks that are chosen by name: `model=tiny` selects configs/model/tiny.yaml."""


def list_names(group: str) -> list[str]:
    """List the names of the configs in a group (`model` or `data`), sorted."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def read_block(group: str, name: str) -> dict[str, Any]:
    """Return the group's block of one config: `read_block("data", "authors")` has the numbers of authors."""
    text = (CONFIGS / group / f"{name}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[group]
    return found


def read_templates() -> dict[str, dict[str, str]]:
    """Return the texts of a row by the name of their model, for the models that spell it out."""
    found = {name: read_block("model", name)["template"] for name in list_names("model")}
    return {name: template for name, template in found.items() if template and "question" in template}


def describe_choices(names: Collection[str], wrong: str) -> str:
    """Describe the valid names, and the one nearest to the wrong name, for an error message."""
    near = get_close_matches(wrong, names, n=1)
    return f"{', '.join(names)}{f'; did you mean {near[0]}?' if near else ''}"
