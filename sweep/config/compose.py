"""Build a `SweepConfig` from a YAML file and overrides: Hydra composes, pydantic validates, errors are ConfigErrors.

An override is `key=value`; `~space.NAME` and `~fixed.NAME` remove an entry. In `space` and `fixed`, the dotted names
`retain.weight`, `train.lr` and `train.epochs` are single keys: `space.retain.weight.low=0.1` changes the entry that the
file writes as `space: {retain.weight: {low: 1.0, high: 2.0}}`.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from eval.shipped_configs import CONFIGS, GROUPS
from sweep.config.messages import nearest_hint, translate_errors, unknown_option_message, validate_block
from sweep.config.model_layers import fill_layers
from sweep.config.schema import SweepConfig
from sweep.config.search_also import add_searched_keys
from sweep.config.yaml_files import check_config_path, check_texts, compose_yaml, read_config_file
from sweep.errors import ConfigError

OPEN_BLOCKS = ("space", "fixed")
"""Blocks whose keys the user chooses."""
MAX_NAME_CHARS = 64
"""Maximum length of a sweep's name."""
INTERPOLATION_PATTERN = re.compile(r"(?<!\\)(?:\\\\)*\$\{")
"""Start of an interpolation `${key}`; a backslash in front makes it plain text."""
MAX_INTERPOLATIONS = 20
"""Maximum number of interpolations in a configuration, because nested ones can grow without bound."""
LORA_LR_FACTOR, MAX_LORA_LR = 10, 5e-4
"""Learning rate of adapters as a multiple of the model's for all weights, and the highest in use (from 1e-4); the small
model's own is above it, and stays."""
MAX_OVERRIDE_CHARS = 2_000
"""Maximum length of an override, because the time to parse one grows with its length."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """Load the configuration in a YAML file, with overrides `key=value` and groups `model=NAME`.

    Groups are looked up beside the file, then among the shipped ones. The file's values take precedence over those of
    the groups that it chooses, and overrides take precedence over both. Relative local folders are resolved against the
    working directory. `search.also` is replaced by ranges in `space`, a null number of layers by the model's, and the
    model's learning rate by that of adapters where `lora` trains these.

    Raises:
        ConfigError: the file, an override or a value is invalid.
    """
    with translate_errors(path):
        config = validate_block(SweepConfig, _make_folders_absolute(compose_values(path, overrides)))
        return add_searched_keys(config)


def compose_values(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Compose file, groups and overrides into plain values, folders as written; raise ConfigError as `load` does."""
    with translate_errors(path):
        check_config_path(Path(path))
        file = Path(path).absolute()
        changes = [_parse_override(text) for text in overrides]
        # A dictionary changes keys of the block instead of choosing an option.
        choices = [
            change for change in changes if change.key_or_group in GROUPS and not isinstance(change.value(), dict)
        ]
        config = _compose_file(
            file, [_validate_option(change.key_or_group, change.value(), file) for change in choices]
        )
        for change in changes:
            if change not in choices:
                with translate_errors(f"override {change.input_line!r}"):
                    _apply_override(config, change)
        fill_layers(config)
        _fill_lora_rates(config, read_config_file(file), changes)
        return _resolve_values(config)


def dump(config: SweepConfig) -> str:
    """Convert the configuration to YAML from which `load` restores one with equal stored values."""
    # `${` is plain text after an odd number of backslashes; JSON, too, writes two for each.
    text = re.sub(r"(\\*)\$\{", r"\1\1\\\\${", config.model_dump_json())
    return OmegaConf.to_yaml(OmegaConf.create(json.loads(text)))


def validate_name(name: str) -> str:
    """Return the name unchanged if it is a valid name of a sweep.

    Raises:
        ConfigError: it is not 1 to 64 characters of [a-z0-9._-], or does not begin with [a-z0-9].
    """
    if re.fullmatch(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_NAME_CHARS - 1}}}", name):
        return name
    like = _slugify(name)[:MAX_NAME_CHARS]
    raise ConfigError(
        f"name = {name!r} must be 1 to {MAX_NAME_CHARS} of a-z, 0-9, '.', '_', '-' and begin with a letter or digit"
        f"{f' (nearest: {like})' if like else ''}."
    )


def default_name(front: str, now: datetime) -> str:
    """Return `<front>-<UTC time>`, with `front` shortened so that the name is not too long.

    Args:
        front: describes the sweep, for example `<config>-<model>-<data>`.
        now: the time in UTC.
    """
    time = f"{now:%Y%m%d-%H%M%S}"
    return validate_name(f"{_slugify(front)[: MAX_NAME_CHARS - len(time) - 1]}-{time}".lstrip("-"))


def _slugify(text: str) -> str:
    return re.sub("[^a-z0-9._-]+", "-", text.lower()).strip("-._")


def _parse_override(text: str) -> Override:
    """Parse an override of a kind that we accept; a leading `+` has no effect."""
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(f"override {text!r} has no '=': write key=value.")
    if len(text) > MAX_OVERRIDE_CHARS:
        raise ConfigError(f"override {text!r} must have at most {MAX_OVERRIDE_CHARS} characters.")
    try:
        change = OverridesParser.create().parse_override(text)
    except (HydraException, RecursionError) as error:
        raise ConfigError(
            f"override {text!r} cannot be read: keys must be ASCII, and a value with '=', '~', brackets or non-ASCII"
            " letters needs quotes of its own, as in 'storage=\"/data/a=b\"'."
        ) from error
    if complaint := _override_problem(change):
        raise ConfigError(f"override {text!r} {complaint}.")
    return change


def _override_problem(change: Override) -> str:
    """Return the reason for which an override is rejected, or an empty string."""
    block, _, name = change.key_or_group.partition(".")
    if re.split("[./]", block)[0] == "hydra":
        return "is not allowed: Hydra's own settings are fixed"
    if not block or change.package is not None:
        return "must begin with a key, as in search.trials=8"
    if change.is_sweep_override():
        return "must give one value, not several: the search chooses among those in `space`"
    if change.is_delete() and not (block in OPEN_BLOCKS and name):
        return "must set a value: only entries of space and fixed can be taken away, as in ~space.alpha"
    return ""


def _validate_option(group: str, option: object, file: Path) -> str:
    """Return Hydra's `group=option`, or raise ConfigError if the group has no such option."""
    options = sorted({path.stem for folder in (file.parent, CONFIGS) for path in (folder / group).glob("*.yaml")})
    if option not in options:
        raise ConfigError(unknown_option_message(group, str(option), options))
    return f"{group}={option}"


def _compose_file(file: Path, choices: list[str]) -> DictConfig:
    """Compose the file with its groups; a model may select its recipe (the paper's models do), unless one is chosen."""
    config = compose_yaml(file, choices)
    model = config.get("model")
    recipe = model.pop("recipe", None) if isinstance(model, DictConfig) else None
    if recipe is None or any(choice.startswith("recipe=") for choice in choices):
        return config
    return _compose_file(file, [*choices, _validate_option("recipe", recipe, file)])


def _apply_override(config: DictConfig, change: Override) -> None:
    """Set a value, or remove an entry of an open block."""
    block, _, name = change.key_or_group.partition(".")
    if not change.is_delete():
        key = re.sub(r"^(space|fixed)\.(retain\.weight|train\.lr|train\.epochs)\b", r"\1[\2]", change.key_or_group)
        check_texts(change.value(), change.key_or_group)
        OmegaConf.update(config, key, change.value(), merge=isinstance(change.value(), dict))
        return
    entries = config.get(block)
    names = [str(entry) for entry in entries] if isinstance(entries, DictConfig) else []
    if name not in names:
        raise ConfigError(f"override '~{block}.{name}': {block} has no {name}{nearest_hint(name, names)}.")
    del entries[name]


def _fill_lora_rates(config: DictConfig, own: dict[str, Any], changes: Sequence[Override]) -> None:
    """Raise the model's learning rates where adapters are trained; one that the file or an override gives stays."""
    for block in ("train", "target"):
        values = config.get(block)
        given = [own.get(block), *(change.value() for change in changes if change.key_or_group == block)]
        is_given = any(isinstance(each, dict) and "lr" in each for each in given)
        if is_given or any(change.key_or_group == f"{block}.lr" for change in changes):
            continue
        if isinstance(values, DictConfig) and values.get("lora") and isinstance(lr := values.get("lr"), float):
            values.lr = max(lr, min(float(f"{LORA_LR_FACTOR * lr:.6g}"), MAX_LORA_LR))


def _resolve_values(config: DictConfig) -> dict[str, Any]:
    """Convert to plain values, with every ${key} replaced."""
    if (found := len(INTERPOLATION_PATTERN.findall(OmegaConf.to_yaml(config)))) > MAX_INTERPOLATIONS:
        raise ConfigError(
            f"${{key}} repeats another key's value {found} times, at most {MAX_INTERPOLATIONS} are allowed."
        )
    raw = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def _make_folders_absolute(raw: dict[str, Any]) -> dict[str, Any]:
    """Make local folders absolute, so that they do not depend on the working directory."""
    made: dict[str, Any] = {}
    if isinstance(storage := raw.get("storage"), str):
        if not storage or "://" in storage:
            raise ConfigError(f"storage = {storage!r} must be a folder of this machine or one that all nodes share.")
        made["storage"] = _expand_home("storage", storage).absolute()
    for block in ("model", "target", "data"):
        path = raw[block].get("path") if isinstance(raw.get(block), dict) else None
        if isinstance(path, str) and (folder := _expand_home(f"{block}.path", path)).is_dir():
            made[block] = raw[block] | {"path": str(folder.absolute())}
    return raw | made


def _expand_home(key: str, path: str) -> Path:
    """Replace `~` by the home folder; raise ConfigError if no file system can have such a path."""
    with translate_errors(f"{key} = {path!r}"):
        whole = Path(path).expanduser()
        whole.exists()
        return whole
