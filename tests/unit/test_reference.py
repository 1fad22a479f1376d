"""The reference of config keys: every key is described, and its default is that of the sweep that it names."""

import re
import runpy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from eval.shipped_configs import CONFIGS, GROUPS
from support.commands import ROOT
from sweep.config.compose import compose_values
from sweep.shell.keys import describe_values, list_blocks, main

ENTRY = ("low", "high", "step", "choices")
UNITLESS = {"retain.weight", "target.weight_decay", "train.clip", *(f"space.NAME.{part}" for part in ENTRY)}
"""Numbers whose unit is the hyper-parameter's own, or that have none."""
UNITS = r"number|count|hours|minutes|epochs|rows|seeds?\b|share|rate|size|gigabytes|cores|gpus|processes|positions"
UNITS += r"|layers?\b|\br\b|times|\bes\b"


def list_leaves(block: dict[str, Any], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield the keys of a block that hold no further block, with their values."""
    for name, value in block.items():
        if isinstance(value, dict) and value:
            yield from list_leaves(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def test_every_key_has_a_description_with_its_unit() -> None:
    """A key that is added without one fails here; a number says what is counted or measured."""
    keys = [key for block in list_blocks() for key in block.keys]
    assert len(keys) > 100
    assert [key.name for key in keys if not key.description.endswith(".")] == []
    numbers = [key for key in keys if "number" in key.allowed and key.name not in UNITLESS]
    assert [key.name for key in numbers if not re.search(UNITS, key.description, re.IGNORECASE)] == []


def test_defaults_are_those_of_the_sweep_that_runs() -> None:
    """Composed by Hydra from the same files, the default sweep has each of these values."""
    composed = dict(list_leaves(compose_values(CONFIGS / "wtnpo.yaml")))
    defaults = {key.name: key for block in list_blocks() if block.kind in ("", "authors") for key in block.keys}
    for name, value in list_leaves(yaml.safe_load((CONFIGS / "base.yaml").read_text(encoding="utf-8"))):
        if value not in ("???", {}):
            assert name in defaults, name
    told = {name: yaml.safe_load(key.default) for name, key in defaults.items() if key.origin}
    told["model.layers"] = composed["model.shape.layers"]  # which ${model.shape.layers} repeats
    assert len(told) > 60
    assert {name: composed[name] for name in told} == told


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "recipe"])
def test_every_key_of_a_group_is_listed(group: str) -> None:
    """Whatever a shipped option sets, but for `model.recipe`, which chooses another option."""
    known = {key.name for block in list_blocks() for key in block.keys}
    for file in (CONFIGS / group).glob("*.yaml"):
        keys = {name for name, _ in list_leaves(yaml.safe_load(file.read_text(encoding="utf-8")))}
        assert keys - known - {"model.recipe"} == set(), file


def test_the_page_is_what_the_types_say() -> None:
    """`python docs/reference.py` writes the page of the docs anew."""
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))["format_page"]()
    assert (ROOT / "docs" / "pages" / "reference.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 1000}, "whole number from 1 to 1000"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 8}, "whole number from 0 to 7"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number above 0 to 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of a, b"),
        ({"$ref": "#/$defs/Flag"}, "true or false"),
    ],
)
def test_allowed_values_in_words(node: dict[str, Any], text: str) -> None:
    """The bounds of whole numbers are those that may be typed."""
    assert describe_values(node, {"Flag": {"type": "boolean"}}) == text


def test_keys_are_explained_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """By a key or a block; an unknown one is refused with the nearest."""
    assert main(["search.seeds", "score"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "search.seeds  whole number from 1 to 1000; default: 8 (configs/base.yaml)"
    assert [line.split()[0] for line in said if not line.startswith(" ")] == ["search.seeds", "score.tau"]
    assert main(["serch.seeds"]) == 2
    assert capsys.readouterr().err == "error: serch.seeds is no key (nearest: search.seeds).\n"
