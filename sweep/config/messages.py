"""Error messages for a configuration that YAML, Hydra or pydantic rejects: the key, its value, and what is allowed."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, get_args

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf import MissingMandatoryValue
from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eval import datasets
from eval.shipped_configs import GROUPS
from sweep.errors import ConfigError
from sweep.redaction import has_secret

MAX_SHOWN_CHARS = 80
"""Maximum length of a value that a message repeats; a whole block would hide the message."""
PLAIN_MESSAGES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a block of keys and values",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "invalid_key": "must have a text as its key",
    "model_type": "must be a block of keys and values",
    "none_required": "must be null",
    "path_type": "must be a folder",
    "string_type": "must be a text",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    **dict.fromkeys(("union_tag_invalid", "union_tag_not_found"), f"must be {' or '.join(datasets.list_names())}"),
}
"""Messages by pydantic's error type, where pydantic's own message speaks of Python; all others are kept."""
Block = TypeVar("Block", bound=BaseModel)


def nearest_hint(word: str, names: Collection[str], cutoff: float = 0.4) -> str:
    """Return ` (nearest: NAME)`, or an empty string if no name is similar to the word."""
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return f" (nearest: {near[0]})" if near else ""


def unknown_option_message(group: str, option: str, options: Sequence[str]) -> str:
    """Return the message for an option that its group does not have."""
    return f"{group}={option} is not known: allowed are {', '.join(options)}{nearest_hint(option, options)}."


@contextmanager
def translate_errors(place: object) -> Iterator[None]:
    """Translate the many exceptions of YAML, Hydra and OmegaConf into ConfigError, which itself passes unchanged.

    Args:
        place: the file or the command-line argument that contains the mistake.

    Raises:
        ConfigError: any other exception was raised inside; its message begins with the place.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(_describe_exception(place, error)) from error


def validate_block(kind: type[Block], raw: Mapping[str, object]) -> Block:
    """Build a block from plain values.

    Raises:
        ConfigError: pydantic finds mistakes; its message is about the one that most likely causes the others.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        errors = sorted(error.errors(include_url=False), key=_rank_error)
        raise ConfigError(_explain_errors(errors, kind, raw)) from error


def describe_requirement(error: ErrorDetails) -> str:
    """Return the requirement that a value violates, as the end of a sentence: `must be ...`."""
    message = PLAIN_MESSAGES.get(error["type"]) or re.sub(r"^(\w+ should|Value error, must)", "must", error["msg"])
    return message + nearest_hint(str(error["input"]), re.findall("'([^']+)'", message))


def _explain_errors(errors: Sequence[ErrorDetails], kind: type[BaseModel], raw: Mapping[str, object]) -> str:
    """Return one sentence about the first of the errors, and what else is allowed at its key."""
    first, key = errors[0], _user_key(errors[0], raw)
    place = ".".join(part if part.strip() else repr(part) for part in key)
    if first["type"] == "missing":
        return f"{place} is missing{_missing_key_hint(key, raw)}."
    shown = repr(first.get("ctx", {}).get("tag", first["input"]))
    value = f" = {shown}" if len(shown) <= MAX_SHOWN_CHARS and not has_secret(shown) else ""
    if first["type"] == "extra_forbidden":
        return f"{place}{value} {_unknown_key_message(kind, key, first['loc'])}."
    allowed = dict.fromkeys(describe_requirement(found) for found in errors if _user_key(found, raw) == key)
    return f"{place}{value} {' or '.join(allowed).replace(' or must be ', ' or ')}."


def _describe_exception(place: object, error: BaseException) -> str:
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            return f"{place}, line {mark.line + 1}: not valid YAML: {error.problem}."
        case UnicodeDecodeError():
            return f"{place}: must be UTF-8 text, but has the byte {error.object[error.start]:#04x} at {error.start}."
        case MissingConfigException(missing_cfg_file=str() as missing):
            return _missing_default_message(place, missing, error.options or ())
        case MissingMandatoryValue():
            return f"{error.full_key} is missing: {place} or an override {error.full_key}=VALUE must give it."
        case HydraException() if group := re.match(r"Could not override '(\w+)'", str(error)):
            return f"{place} has no {group[1]} in its `defaults` for {group[1]}=NAME to replace: set single keys."
        case InterpolationResolutionError() if error.full_key:
            wrong = f"{error.full_key} = {str(error.child_node)!r} repeats the value of a key that has none"
            return f"{place}: {wrong}: give {error.full_key} a value of its own."
        case GrammarParseError() if error.full_key:
            return f"{place}: {error.full_key} must be a text in which each ${{ begins ${{key}}, or is written \\${{."
        case yaml.reader.ReaderError():
            return f"{place}: must be printable text, but has {chr(error.character)!r} at {error.position}."
        case RecursionError():
            return f"{place}: its blocks and lists are nested too deep, or its `defaults` lead back to it."
        case OmegaConfBaseException() if error.full_key:
            return f"{place}: {error.full_key}: {_first_sentence(error)}."
        case _ if not str(error) and error.__cause__:
            return _describe_exception(place, error.__cause__)
    return f"{place}: {_first_sentence(error)}."


def _missing_default_message(place: object, missing: str, options: Sequence[str]) -> str:
    """Return the message for an entry of `defaults` that Hydra does not find."""
    group, _, option = missing.rpartition("/")
    if options:
        return unknown_option_message(group, option, options)
    return (
        f"{place}: `defaults` names {missing}, which does not exist{nearest_hint(group or option, [*GROUPS, 'base'])}."
    )


def _first_sentence(error: BaseException) -> str:
    return re.split("\n|; ", str(error) or type(error).__name__)[0].rstrip(".")


def _unknown_key_message(kind: type[BaseModel], key: Sequence[str], location: Collection[object]) -> str:
    """Return the end of the message for a key that its block does not have; `location` holds the block's source."""
    *above, name = key
    # All entries of the space have the same keys.
    place = "space." if above[:1] == ["space"] else "".join(f"{part}." for part in above)
    known = list(_list_blocks(kind))
    blocks = [block.model_fields for at, block in known if at == place]
    there = [
        block for block in blocks if "source" not in block or {*get_args(block["source"].annotation)} & {*location}
    ]
    here = {field for block in there if name not in block for field in block}
    if any(name in block for block in blocks):
        return f"has no place in this kind of {place.split('.')[-2]}: allowed are {', '.join(sorted(here))}"
    elsewhere = {field: at + field for at, block in reversed(known) if at != "space." for field in block.model_fields}
    names = elsewhere | {field: ".".join([*above, field]) for field in here}
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.65)
    hint = f" (nearest: {names[near[0]]})" if near else ""
    return f"is not a known key: allowed are {', '.join(sorted(here))}{hint}"


def _list_blocks(kind: type[BaseModel], place: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every block type with its place, such as `model.shape.`; those that a key may hold have the same place."""
    yield place, kind
    for name, field in kind.model_fields.items():
        for inner in _blocks_in_type(field.annotation):
            yield from _list_blocks(inner, f"{place}{name}.")


def _blocks_in_type(annotation: object) -> list[type[BaseModel]]:
    """Return the block types in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in get_args(annotation) for block in _blocks_in_type(part)]


def _rank_error(error: ErrorDetails) -> int:
    """Rank unknown keys first (a misspelt key is also a missing one), then groups without a choice, then all others."""
    if error["type"] == "extra_forbidden":
        return 0
    return 1 if error["type"] == "missing" and error["loc"][0] in GROUPS and len(error["loc"]) == 1 else 2


def _missing_key_hint(key: Sequence[str], raw: Mapping[str, object]) -> str:
    """Return a hint for a missing key: choose an option of the group, or correct the spelling of a hyper-parameter."""
    if len(key) == 1 and key[0] in GROUPS:
        return f": choose it with `- {key[0]}: NAME` in `defaults`"
    space = raw.get("space")
    others = [name for name in space if name != key[1]] if key[0] == "space" and isinstance(space, Mapping) else []
    return nearest_hint(key[1], others, cutoff=0.6) if len(key) > 2 else ""


def _user_key(error: ErrorDetails, raw: Mapping[str, object]) -> list[str]:
    """Return the keys that lead to a value: pydantic's location without its names for the members of unions."""
    keys: list[str] = []
    node: object = raw
    for part in error["loc"]:
        if isinstance(node, Mapping) and part in node:
            keys, node = [*keys, str(part)], node[part]
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part]
        elif error["type"] == "missing" and part == error["loc"][-1]:
            keys = [*keys, str(part)]
    return [*keys, "source"] if error["type"].startswith("union_tag") else keys
