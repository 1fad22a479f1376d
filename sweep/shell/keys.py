"""Explain the keys of a configuration: description, allowed values, default.

unlearn-sweep keys
unlearn-sweep keys search.seeds cluster
"""

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import yaml

from eval.shipped_configs import CONFIGS
from sweep.errors import ConfigError
from sweep.shell.arguments import Parser

Node: TypeAlias = Mapping[str, Any]
"""Part of a JSON schema."""
DEFAULT_FILES = (
    *("recipe/default", "cluster/local", "model/tiny"),
    *("data/authors", "data/own", "data/tofu-forget10", "base"),
)
"""Files of configs/ that a key's default is taken from: the first one that has it, as groups overrule base.yaml."""
TYPE_NAMES = {"string": "text", "null": "null", "boolean": "true or false", "object": "block"}
"""Names of types without bounds, by JSON's."""
LINE_CHARS = 100
"""Length of a printed line."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key that a configuration may have.

    Attributes:
        name: the key as it is typed; NAME stands for a hyper-parameter of the user's choice.
        description: its meaning, with the unit.
        allowed: the values that it takes.
        default: its value unless it is given, as YAML; empty where there is none.
        origin: the file of configs/ that gives the default; empty where none does.
    """

    name: str
    description: str
    allowed: str
    default: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """Keys that stand together; a dataset's kind has a block of its own.

    Attributes:
        name: the keys' common beginning; empty for those without one.
        kind: the value of `source` that the block is for; empty where all sweeps have it.
        description: its meaning.
        keys: its keys.
    """

    name: str
    kind: str
    description: str
    keys: Sequence[Key]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a key that is unknown."""
    parser = Parser(prog="unlearn-sweep keys", description=__doc__.partition("\n")[0])
    parser.add_argument("prefixes", nargs="*", metavar="KEY", help="keys or blocks to explain; none: all")
    try:
        for line in explain_keys(parser.parse_args(argv).prefixes):
            print(line)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def explain_keys(prefixes: Sequence[str]) -> Iterator[str]:
    """Yield the lines that explain the keys that begin with one of the prefixes, or all keys.

    Raises:
        ConfigError: no key begins with a prefix.
    """
    from sweep.config.messages import nearest_hint

    keys = [key for block in list_blocks() for key in block.keys]
    for prefix in prefixes:
        if not any(key.name.startswith(prefix) for key in keys):
            raise ConfigError(f"{prefix} is no key{nearest_hint(prefix, [key.name for key in keys])}.")
    for key in keys:
        if key.name.startswith(tuple(prefixes) or ""):
            origin = f" ({key.origin})" if key.origin else ""
            given = f"; default: {key.default}{origin}" if key.default else ""
            yield f"{key.name}  {key.allowed}{given}"
            yield from textwrap.wrap(key.description, LINE_CHARS, initial_indent="    ", subsequent_indent="    ")


def list_blocks() -> list[Block]:
    """List all keys of a sweep's configuration in blocks, read from its types and from configs/."""
    from sweep.config.schema import SweepConfig

    schema = SweepConfig.model_json_schema()
    return [*_walk_block("", schema, schema["$defs"])]


def _walk_block(place: str, node: Node, defs: Node, kind: str = "") -> Iterator[Block]:
    """Yield the block of an object, then those that its keys hold."""
    inner = {name: _find_objects(value, defs) for name, value in node["properties"].items()}
    kind = node["properties"].get("source", {}).get("const", kind)
    keys = [
        _describe_key(place + name, kind, value, defs)
        for name, value in node["properties"].items()
        if not inner[name] or "description" in value
    ]
    yield Block(name=place.rstrip("."), kind=kind, description=node.get("description", ""), keys=keys)
    for name, objects in inner.items():
        middle = "NAME." if name == "space" else ""
        for each in objects:
            yield from _walk_block(f"{place}{name}.{middle}", each, defs, kind)


def _find_objects(node: Node, defs: Node) -> list[Node]:
    """Return the objects with known keys that a value may be, or whose values are such objects."""
    if "$ref" in node:
        return _find_objects(defs[node["$ref"].rpartition("/")[2]], defs)
    if "properties" in node:
        return [node]
    parts = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    values = node.get("additionalProperties")
    return [
        found
        for part in [*parts, *([values] if isinstance(values, dict) else [])]
        for found in _find_objects(part, defs)
    ]


def _describe_key(name: str, kind: str, node: Node, defs: Node) -> Key:
    default, origin = _find_default(name, kind)
    if not default and "default" in node:
        default = _format_value(node["default"])
    allowed = describe_values(node, defs)
    is_filled = default == "null" and "null" not in allowed  # by the value that the description names
    return Key(
        name=name,
        description=" ".join(node.get("description", "").split()),
        allowed=f"{allowed} or null" if is_filled else allowed,
        default=default,
        origin=origin,
    )


def describe_values(node: Node, defs: Node) -> str:
    """Describe the values that a part of a JSON schema allows."""
    if "$ref" in node:
        return describe_values(defs[node["$ref"].rpartition("/")[2]], defs)
    if parts := [*node.get("anyOf", ()), *node.get("oneOf", ())]:
        return " or ".join(dict.fromkeys(describe_values(part, defs) for part in parts))
    if "enum" in node or "const" in node:
        return ", ".join(map(str, node.get("enum", [node.get("const")])))
    match node["type"]:
        case "integer" | "number" as kind:
            return _describe_number("whole number" if kind == "integer" else "number", node)
        case "array":
            return f"list of {describe_values(node['items'], defs)}"
        case "string" if node.get("format") in ("path", "date"):
            return "folder" if node["format"] == "path" else "day"
        case kind:
            return TYPE_NAMES[kind]


def _describe_number(kind: str, node: Node) -> str:
    """Describe a number with its bounds."""
    if kind == "whole number" and "exclusiveMinimum" in node:
        node = {**node, "minimum": node["exclusiveMinimum"] + 1}
    if "exclusiveMaximum" in node:
        node = {**node, "maximum": node["exclusiveMaximum"] - 1}
    low, above, high = (node.get(bound) for bound in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f"{kind} from {low:.15g} to {high:.15g}"
    bounds = [("from", low), ("above", None if low is not None else above), ("to", high)]
    return " ".join([kind, *(f"{word} {bound:.15g}" for word, bound in bounds if bound is not None)])


def _find_default(name: str, kind: str) -> tuple[str, str]:
    """Return the default of a key as YAML and the file that gives it; both are empty where it has none."""
    for file in DEFAULT_FILES:
        found: Any = _read_file(file)
        if kind and found.get("data", {}).get("source") != kind:
            continue
        for part in name.split("."):
            found = found.get(part, "???") if isinstance(found, dict) else "???"
        if found != "???" and not isinstance(found, dict):
            return _format_value(found), f"configs/{file}.yaml"
    return "", ""


@cache
def _read_file(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    return read


def _format_value(value: object) -> str:
    """Format a value as it is typed in YAML."""
    is_plain = isinstance(value, str) and value == value.strip() and "\n" not in value
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)
