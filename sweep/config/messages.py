"""Error messages for a configuration that YAML, Hydra or pydantic rejects: the key, its value, and what is allowed."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import get_args

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf import MissingMandatoryValue
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eval import datasets
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.redaction import has_secret

GROUPS = ("model", "data", "cluster", "recipe")
"""Blocks that are chosen by name: `model=tiny` selects configs/model/tiny.yaml."""
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
    "path_type": "must be a folder",
    "string_type": "must be a text",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    **dict.fromkeys(("union_tag_invalid", "union_tag_not_found"), f"must be {' or '.join(datasets.list_names())}"),
}
"""Messages by pydantic's error type, where pydantic's own message speaks of Python; all others are kept."""


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


def explain_validation_error(error: ValidationError, raw: Mapping[str, object]) -> str:
    """Return one sentence about the mistake in `raw` that most likely causes the others."""
    errors = sorted(error.errors(include_url=False), key=_rank_error)
    first, key = errors[0], _user_key(errors[0], raw)
    place = ".".join(part if part.strip() else repr(part) for part in key)
    if first["type"] == "missing":
        return f"{place} is missing{_missing_key_hint(key, raw)}."
    shown = repr(first.get("ctx", {}).get("tag", first["input"]))
    value = f" = {shown}" if len(shown) <= MAX_SHOWN_CHARS and not has_secret(shown) else ""
    if first["type"] == "extra_forbidden":
        return f"{place}{value} {_unknown_key_message(key)}."
    allowed = dict.fromkeys(describe_requirement(found) for found in errors if _user_key(found, raw) == key)
    return f"{place}{value} {' or '.join(allowed).replace(' or must be ', ' or ')}."


def describe_requirement(error: ErrorDetails) -> str:
    """Return the requirement that a value violates, as the end of a sentence: `must be ...`."""
    message = PLAIN_MESSAGES.get(error["type"]) or re.sub(r"^(\w+ should|Value error, must)", "must", error["msg"])
    return message + nearest_hint(str(error["input"]), re.findall("'([^']+)'", message))


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
        case OmegaConfBaseException() if error.full_key:
            return f"{place}: {error.full_key}: {_first_line(error)}."
        case _ if not str(error) and error.__cause__:
            return _describe_exception(place, error.__cause__)
    return f"{place}: {_first_line(error)}."


def _missing_default_message(place: object, missing: str, options: Sequence[str]) -> str:
    """Return the message for an entry of `defaults` that Hydra does not find."""
    group, _, option = missing.rpartition("/")
    if options:
        return unknown_option_message(group, option, options)
    return (
        f"{place}: `defaults` names {missing}, which does not exist{nearest_hint(group or option, [*GROUPS, 'base'])}."
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _unknown_key_message(key: Sequence[str]) -> str:
    """Return the end of the message for a key that its block does not have."""
    *above, name = key
    blocks = _find_blocks(above)
    here = {field for block in blocks if name not in block.model_fields for field in block.model_fields}
    if any(name in block.model_fields for block in blocks):
        return f"has no place in this kind of {above[0]}: allowed are {', '.join(sorted(here))}"
    elsewhere = {known.rpartition(".")[2]: known for known in reversed(list(_list_keys(SweepConfig)))}
    names = elsewhere | {field: ".".join([*above, field]) for field in here}
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.65)
    hint = f" (nearest: {names[near[0]]})" if near else ""
    return f"is not a known key: allowed are {', '.join(sorted(here))}{hint}"


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
        elif error["type"] == "missing" and part == error["loc"][-1]:
            keys = [*keys, str(part)]
    return [*keys, "source"] if error["type"].startswith("union_tag") else keys


def _find_blocks(keys: Sequence[str]) -> list[type[BaseModel]]:
    """Return the block types that a key may hold; the name of an entry (space.alpha) stays at the same block."""
    blocks: list[type[BaseModel]] = [SweepConfig]
    for key in keys:
        fields = [block.model_fields[key] for block in blocks if key in block.model_fields]
        blocks = [block for field in fields for block in _blocks_in_type(field.annotation)] or blocks
    return blocks


def _blocks_in_type(annotation: object) -> list[type[BaseModel]]:
    """Return the block types in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in get_args(annotation) for block in _blocks_in_type(part)]


def _list_keys(block: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield every dotted key of the configuration, except those below the entries of open dictionaries."""
    for name, field in block.model_fields.items():
        yield above + name
        for inner in _blocks_in_type(field.annotation) if name != "space" else ():
            yield from _list_keys(inner, f"{above}{name}.")
