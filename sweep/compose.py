"""From a YAML file and overrides to a `SweepConfig`: Hydra composes, pydantic validates, every mistake is one sentence.

An override is `key=value`; `~space.NAME` and `~fixed.NAME` take an entry away. The names `retain.weight`, `train.lr`
and `train.epochs` stand in `space` and `fixed` as they are: `space.retain.weight.low=0.1` changes the entry that the
file writes as `space: {retain.weight: {low: 1.0, high: 2.0}}`.
"""

import difflib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from pydantic import ValidationError

from sweep.config import ConfigError, SweepConfig
from sweep.explain import GROUPS, explain, nearest

HERE = Path(__file__).resolve().parent
SHIPPED = next(folder for folder in (HERE / "configs", HERE.parent / "configs") if folder.is_dir())
"""The configs of this project: inside an installed wheel, or beside the packages in a checkout."""
OPEN = ("space", "fixed")
"""The blocks whose keys are the user's own."""
LONGEST = 64
"""Letters of the longest name of a sweep."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """The configuration in a YAML file, with overrides `key=value` and groups `model=NAME`.

    Groups are looked for beside the file, then among the shipped ones. What the file says wins over the groups that it
    chooses, and an override wins over both. Local folders become absolute, relative to the working directory.

    Raises:
        ConfigError: something is wrong with the file, an override or a value.
    """
    with _one_sentence(path):
        raw = typed(path, overrides)
        try:
            return SweepConfig.model_validate(_absolute(raw))
        except ValidationError as error:
            raise ConfigError(explain(error, raw)) from error


def typed(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What file, groups and overrides say together, folders as they were written; raises ConfigError as `load` does."""
    with _one_sentence(path):
        file = _found(Path(path))
        changes = [_parsed(text) for text in overrides]
        config = _composed(file, [_choice(change, file) for change in changes if _is_choice(change)])
        for change in changes:
            if not _is_choice(change):
                _apply(config, change)
        return _resolved(config)


def read(path: Path) -> dict[str, Any]:
    """What a YAML file itself says, before anything acts on it; no tag is ever executed.

    Raises:
        ConfigError: it is not there, or is no block of keys and values.
    """
    with _one_sentence(path):
        _check_there(path)
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(raw, dict):
            return raw
        found = "is empty" if raw is None else f"holds a {type(raw).__name__}"
        raise ConfigError(f"{path} {found}: a configuration is a block of keys and values, as configs/wtnpo.yaml is.")


def _check_there(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a .yaml file in it.")
    if not path.exists():
        files = {file.name: file for folder in (SHIPPED, path.parent) for file in folder.glob("*.yaml")}
        near = difflib.get_close_matches(path.name, files, n=1)
        raise ConfigError(f"{path} does not exist" + (f" (nearest: {files[near[0]]})." if near else "."))
    if path.suffix != ".yaml":
        raise ConfigError(f"{path}: the name of a configuration must end in .yaml.")


def dump(config: SweepConfig) -> str:
    """The configuration as YAML from which `load` makes an equal one."""
    return OmegaConf.to_yaml(OmegaConf.create(_mapped(config.model_dump(mode="json"), _escaped)))


def valid_name(name: str) -> str:
    """The name itself, where a sweep may have it.

    Raises:
        ConfigError: it is not 1 to 64 of [a-z0-9._-], or does not begin with [a-z0-9].
    """
    if re.fullmatch(rf"[a-z0-9][a-z0-9._-]{{0,{LONGEST - 1}}}", name):
        return name
    like = _slug(name)[:LONGEST]
    raise ConfigError(
        f"name = {name!r} must be 1 to {LONGEST} of a-z, 0-9, '.', '_', '-' and begin with a letter or digit"
        f"{f' (nearest: {like})' if like else ''}."
    )


def default_name(front: str, now: datetime) -> str:
    """`<front>-<UTC time>`, cut before the time where it would be too long for a name.

    Args:
        front: what the sweep is, such as `<config>-<model>-<data>`.
        now: the time in UTC.
    """
    time = f"{now:%Y%m%d-%H%M%S}"
    return valid_name(f"{_slug(front)[: LONGEST - len(time) - 1]}-{time}".lstrip("-"))


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9._-]+", "-", text.lower()).strip("-._")


def _found(path: Path) -> Path:
    """The file, absolute, where it is there and may be composed."""
    raw = read(path)
    if "hydra" in raw or "hydra" in str(raw.get("defaults")):
        raise ConfigError(f"{path}: hydra is not allowed: Hydra's own settings are fixed.")
    for group in GROUPS:
        if "defaults" in raw and isinstance(raw.get(group), str):
            entry = f"{group}: {raw[group]}"
            raise ConfigError(f"{path}: `{entry}` names an option of a group: write it as `- {entry}` in `defaults`.")
    _mapped(raw, _plain)
    return path.absolute()


def _parsed(text: str) -> Override:
    """An override, where it is one of those that we take; a `+` in front says nothing more."""
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(f"override {text!r} has no '=': write key=value.")
    try:
        change = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(
            f"override {text!r} cannot be read: keys are ASCII, and a value with '=', '~', brackets or letters beyond"
            " ASCII stands in quotes of its own, as in 'storage=\"/data/a=b\"'."
        ) from error
    if complaint := _complaint(change):
        raise ConfigError(f"override {text!r} {complaint}.")
    return change


def _complaint(change: Override) -> str:
    """Why an override is not taken, or nothing."""
    block, _, name = change.key_or_group.partition(".")
    if re.split("[./]", block)[0] == "hydra":
        return "is not allowed: Hydra's own settings are fixed"
    if not block or change.package is not None:
        return "must begin with a key, as in search.trials=8"
    if change.is_sweep_override():
        return "must give one value, not several: the search chooses among those in `space`"
    if change.is_delete() and not (block in OPEN and name):
        return "must set a value: only entries of space and fixed can be taken away, as in ~space.alpha"
    return ""


def _is_choice(change: Override) -> bool:
    """Whether it names an option of a group; a dictionary changes keys of the block instead."""
    return change.key_or_group in GROUPS and not isinstance(change.value(), dict)


def _choice(change: Override, file: Path) -> str:
    """The override as Hydra takes it, where the group has such an option."""
    group, option = change.key_or_group, change.value()
    options = sorted({path.stem for folder in (file.parent, SHIPPED) for path in (folder / group).glob("*.yaml")})
    if option not in options:
        raise ConfigError(_no_option(group, str(option), options))
    return f"{group}={option}"


def _no_option(group: str, option: str, options: Sequence[str]) -> str:
    return f"{group}={option} is not known: allowed are {', '.join(options)}{nearest(option, options)}."


def _missing(path: str | Path, missing: str, options: Sequence[str]) -> str:
    """What is said of an entry of `defaults` that Hydra does not find."""
    group, _, option = missing.rpartition("/")
    if options:
        return _no_option(group, option, options)
    names = GROUPS if group else [file.stem for file in SHIPPED.glob("*.yaml")]
    return f"{path}: `defaults` names {missing}, which does not exist{nearest(group or option, names)}."


def _composed(file: Path, choices: list[str]) -> DictConfig:
    """What file and groups say together; a model of the paper brings the paper's recipe, unless another is chosen."""
    config = _hydra(file, choices)
    model = config.get("model")
    recipe = model.pop("recipe", None) if isinstance(model, DictConfig) else None
    if recipe is None or any(choice.startswith("recipe=") for choice in choices):
        return config
    return _composed(file, [*choices, f"recipe={recipe}"])


def _hydra(file: Path, choices: list[str]) -> DictConfig:
    shipped = str(SHIPPED).replace("'", r"\'")
    with warnings.catch_warnings(), initialize_config_dir(str(file.parent), version_base="1.3"):
        warnings.simplefilter("ignore")  # without `_self_` the file itself comes last, as we want it
        config = compose(file.name, [*choices, f"hydra.searchpath=['file://{shipped}']"])
    OmegaConf.set_struct(config, False)
    return config


def _apply(config: DictConfig, change: Override) -> None:
    """Set a value, or take an entry of an open block away."""
    block, _, name = change.key_or_group.partition(".")
    if not change.is_delete():
        key = re.sub(r"^(space|fixed)\.(retain\.weight|train\.lr|train\.epochs)\b", r"\1[\2]", change.key_or_group)
        OmegaConf.update(config, key, change.value(), merge=True)
    elif name not in config[block]:
        raise ConfigError(f"override '~{block}.{name}': {block} has no {name}{nearest(name, list(config[block]))}.")
    else:
        del config[block][name]


def _resolved(config: DictConfig) -> dict[str, Any]:
    """Plain values, with every ${key} replaced."""
    _mapped(OmegaConf.to_container(config, resolve=False), _plain)
    raw = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def _absolute(raw: dict[str, Any]) -> dict[str, Any]:
    """The values with local folders made absolute, so that they mean the same from anywhere."""
    made: dict[str, Any] = {}
    if isinstance(storage := raw.get("storage"), str):
        if not storage or "://" in storage:
            raise ConfigError(f"storage = {storage!r} must be a folder of this machine or one that all nodes share.")
        made["storage"] = Path(storage).expanduser().absolute()
    for block in ("model", "target", "data"):
        path = raw[block].get("path") if isinstance(raw.get(block), dict) else None
        if isinstance(path, str) and (folder := Path(path).expanduser()).is_dir():
            made[block] = raw[block] | {"path": str(folder.absolute())}
    return raw | made


def _mapped(node: Any, change: Callable[[str], str]) -> Any:
    """The same values with every text changed."""
    if isinstance(node, dict):
        return {key: _mapped(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_mapped(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


def _plain(text: str) -> str:
    """The text, where it calls no resolver: `${oc.env:NAME}` would copy a secret into the files of the sweep."""
    if re.search(r"\$\{[^}]*(:|\$\{)", text):
        raise ConfigError(f"{text!r} is not allowed: only ${{key}}, another key's value, may stand in a value.")
    return text


def _escaped(text: str) -> str:
    """The text as OmegaConf reads it back, where `${` stands for itself."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


@contextmanager
def _one_sentence(path: str | Path) -> Iterator[None]:
    """Hydra, OmegaConf and YAML raise a score of exceptions over a user's mistake; outside they are one."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(_sentence(path, error)) from error


def _sentence(path: str | Path, error: BaseException) -> str:
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            file = mark.name if mark.name.endswith(".yaml") else path
            return f"{file}, line {mark.line + 1}: not valid YAML: {error.problem}."
        case MissingConfigException(missing_cfg_file=str() as missing):
            return _missing(path, missing, error.options or ())
        case MissingMandatoryValue():
            return f"{error.full_key} is missing: {path} or an override {error.full_key}=VALUE must give it."
        case UnicodeDecodeError():
            return f"{path}: must be UTF-8 text, but has the byte {error.object[error.start]:#04x} at {error.start}."
        case HydraException() if group := re.match(r"Could not override '(\w+)'", str(error)):
            return f"{path} has no {group[1]} in its `defaults`, which {group[1]}=NAME would change: set single keys."
        case _ if not str(error) and error.__cause__:
            return _sentence(path, error.__cause__)
        case _:
            return f"{path}: {(str(error) or type(error).__name__).splitlines()[0].rstrip('.')}."
