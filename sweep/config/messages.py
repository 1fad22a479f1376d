"""One sentence for a configuration that YAML, Hydra or pydantic refused: the key, the value, what is allowed."""

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

from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.redaction import has_secret

GROUPS = ("model", "data", "cluster", "recipe")
"""Blocks that are chosen by name: `model=tiny` takes configs/model/tiny.yaml."""
LONGEST = 80
"""Letters of a value that is repeated to the user; a whole block would hide the sentence."""
WORDINGS = {
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
    "union_tag_invalid": "must be authors or tofu",
    "union_tag_not_found": "must be authors or tofu",
}
"""Where pydantic's own words speak of Python; elsewhere they are kept."""


def nearest(word: str, names: Collection[str], cutoff: float = 0.4) -> str:
    """` (nearest: name)`, or nothing where no name is like the word."""
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return f" (nearest: {near[0]})" if near else ""


def no_option(group: str, option: str, options: Sequence[str]) -> str:
    """What is said of an option that its group does not have."""
    return f"{group}={option} is not known: allowed are {', '.join(options)}{nearest(option, options)}."


@contextmanager
def one_sentence(place: object) -> Iterator[None]:
    """YAML, Hydra and OmegaConf raise a score of exceptions over a user's mistake; outside they are one.

    Args:
        place: the file, or the word of the command line, in which the mistake is.

    Raises:
        ConfigError: whatever else is raised inside, as a sentence that begins with the place.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(_sentence(place, error)) from error


def explain(error: ValidationError, raw: Mapping[str, object]) -> str:
    """One sentence on the mistake in `raw` that is most likely behind the others."""
    errors = sorted(error.errors(include_url=False), key=_rank)
    first, key = errors[0], _key(errors[0], raw)
    place = ".".join(part if part.strip() else repr(part) for part in key)
    if first["type"] == "missing":
        return f"{place} is missing{_remedy(key, raw)}."
    shown = repr(first.get("ctx", {}).get("tag", first["input"]))
    value = f" = {shown}" if len(shown) <= LONGEST and not has_secret(shown) else ""
    if first["type"] == "extra_forbidden":
        return f"{place}{value} {_unknown(key)}."
    allowed = dict.fromkeys(wording(found) for found in errors if _key(found, raw) == key)
    return f"{place}{value} {' or '.join(allowed).replace(' or must be ', ' or ')}."


def wording(error: ErrorDetails) -> str:
    """What a value must be, as the end of a sentence."""
    message = WORDINGS.get(error["type"]) or re.sub(r"^(\w+ should|Value error, must)", "must", error["msg"])
    return message + nearest(str(error["input"]), re.findall("'([^']+)'", message))


def _sentence(place: object, error: BaseException) -> str:
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            return f"{place}, line {mark.line + 1}: not valid YAML: {error.problem}."
        case UnicodeDecodeError():
            return f"{place}: must be UTF-8 text, but has the byte {error.object[error.start]:#04x} at {error.start}."
        case MissingConfigException(missing_cfg_file=str() as missing):
            return _missing(place, missing, error.options or ())
        case MissingMandatoryValue():
            return f"{error.full_key} is missing: {place} or an override {error.full_key}=VALUE must give it."
        case HydraException() if group := re.match(r"Could not override '(\w+)'", str(error)):
            return f"{place} has no {group[1]} in its `defaults`, which {group[1]}=NAME would change: set single keys."
        case OmegaConfBaseException() if error.full_key:
            return f"{place}: {error.full_key}: {_first_line(error)}."
        case _ if not str(error) and error.__cause__:
            return _sentence(place, error.__cause__)
    return f"{place}: {_first_line(error)}."


def _missing(place: object, missing: str, options: Sequence[str]) -> str:
    """What is said of an entry of `defaults` that Hydra does not find."""
    group, _, option = missing.rpartition("/")
    if options:
        return no_option(group, option, options)
    return f"{place}: `defaults` names {missing}, which does not exist{nearest(group or option, [*GROUPS, 'base'])}."


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _unknown(key: Sequence[str]) -> str:
    """What is said of a key that its block does not have."""
    *above, name = key
    blocks = _blocks_at(above)
    here = {field for block in blocks if name not in block.model_fields for field in block.model_fields}
    if any(name in block.model_fields for block in blocks):
        return f"has no place in this kind of {above[0]}: allowed are {', '.join(sorted(here))}"
    elsewhere = {known.rpartition(".")[2]: known for known in reversed(list(_known(SweepConfig)))}
    names = elsewhere | {field: ".".join([*above, field]) for field in here}
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.65)
    hint = f" (nearest: {names[near[0]]})" if near else ""
    return f"is not a known key: allowed are {', '.join(sorted(here))}{hint}"


def _rank(error: ErrorDetails) -> int:
    """Unknown keys come first, since a misspelt key is a missing one too; then groups from which nothing was chosen."""
    if error["type"] == "extra_forbidden":
        return 0
    return 1 if error["type"] == "missing" and error["loc"][0] in GROUPS and len(error["loc"]) == 1 else 2


def _remedy(key: Sequence[str], raw: Mapping[str, object]) -> str:
    """What to do about a missing key: choose an option of the group, or spell the hyper-parameter as it is."""
    if len(key) == 1 and key[0] in GROUPS:
        return f": choose it with `- {key[0]}: NAME` in `defaults`"
    space = raw.get("space")
    others = [name for name in space if name != key[1]] if key[0] == "space" and isinstance(space, Mapping) else []
    return nearest(key[1], others, cutoff=0.6) if len(key) > 2 else ""


def _key(error: ErrorDetails, raw: Mapping[str, object]) -> list[str]:
    """The user's way to a value: pydantic's without the names that it gives to the members of unions."""
    keys: list[str] = []
    node: object = raw
    for part in error["loc"]:
        if isinstance(node, Mapping) and part in node:
            keys, node = [*keys, str(part)], node[part]
        elif error["type"] == "missing" and part == error["loc"][-1]:
            keys = [*keys, str(part)]
    return [*keys, "source"] if error["type"].startswith("union_tag") else keys


def _blocks_at(keys: Sequence[str]) -> list[type[BaseModel]]:
    """The kinds of block that may stand at a key; the name of an entry (space.alpha) leads no deeper."""
    blocks: list[type[BaseModel]] = [SweepConfig]
    for key in keys:
        fields = [block.model_fields[key] for block in blocks if key in block.model_fields]
        blocks = [block for field in fields for block in _blocks(field.annotation)] or blocks
    return blocks


def _blocks(annotation: object) -> list[type[BaseModel]]:
    """The blocks that a type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in get_args(annotation) for block in _blocks(part)]


def _known(block: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key of the configuration, dotted, but those below the entries of open dictionaries."""
    for name, field in block.model_fields.items():
        yield above + name
        for inner in _blocks(field.annotation) if name != "space" else ():
            yield from _known(inner, f"{above}{name}.")
