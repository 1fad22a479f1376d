"""Parse the arguments of a command line into the sweeps that they request."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from eval.shipped_configs import CONFIGS
from sweep.config.compose import default_name, dump, load, validate_name
from sweep.config.diff import find_differences
from sweep.config.matrix import SweepSource, expand_files, is_matrix
from sweep.config.schema import SweepConfig
from sweep.config.stored import list_sweep_names, load_stored_config, parse_storage
from sweep.errors import ConfigError

SHARED_BLOCKS = ("cluster", "storage", "search", "score", "seed", "seeds")
"""Keys that must be equal in all sweeps of a comparison: equal budgets on the same seeds."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The sweeps that a command line requests, parsed from its arguments and config files alone.

    Attributes:
        name: the name of the sweep, or of the comparison.
        files: the config files as typed.
        sources: the config file and the overrides of each sweep, by the sweep's full name.
        configs: the configuration of each sweep, by the sweep's full name.
    """

    name: str
    files: Sequence[Path]
    sources: Mapping[str, SweepSource]
    configs: Mapping[str, SweepConfig]


def parse_request(words: Sequence[str], name: str | None) -> SweepRequest:
    """Parse config files, followed by overrides `key=value`; generate a name if `name` is None.

    Raises:
        ConfigError: no file is named, the name is invalid, a configuration is invalid, or sweeps cannot be compared.
    """
    wanted = None if name is None else validate_name(name)
    files = leading_files(words)
    overrides = words[len(files) :]
    if not files:
        raise ConfigError(
            "a config file must come first, or the name of a shipped one,"
            " as in python -m sweep.launch configs/wtnpo.yaml."
        )
    if len(files) > 1 or is_matrix(files[0]):
        return _parse_comparison(files, overrides, wanted)
    config = load(files[0], overrides)
    own = wanted or default_name(f"{files[0].stem}-{config.model.name}-{config.data.name}", datetime.now(UTC))
    source = SweepSource(name=files[0].stem, file=files[0], choices=tuple(overrides))
    return SweepRequest(name=own, files=files, sources={own: source}, configs={own: config})


def dump_configs(words: Sequence[str], name: str | None, resume: str | None) -> str:
    """Return the resolved configurations of a command line as YAML, one document for each sweep.

    Args:
        words: config files and overrides, or with `resume` nothing or storage=DIR.
        name: the sweep's name, or None.
        resume: the name of the stored sweep or comparison to continue, or None.

    Raises:
        ConfigError: as `parse_request`, or there is no such stored sweep.
    """
    if resume is not None and not leading_files(words):
        storage = parse_storage(words, "--resume")
        configs = {own: load_stored_config(storage, own) for own in list_sweep_names(storage, resume)}
    else:
        configs = {**parse_request(words, resume or name).configs}
    if len(configs) == 1:
        return dump(*configs.values())
    return "---\n".join(f"# {own}\n{dump(config)}" for own, config in configs.items())


def leading_files(words: Sequence[str]) -> list[Path]:
    """Return the config files that the arguments before the first override name."""
    return [find_config(word) for word in takewhile(lambda word: "=" not in word and not word.startswith("~"), words)]


def find_config(word: str) -> Path:
    """Find a config file by its path, else by the name of a shipped one: `configs/wtnpo.yaml`, or `wtnpo`."""
    shipped = {path.stem: path for path in CONFIGS.glob("*.yaml")}
    return shipped[word] if word in shipped and not Path(word).exists() else Path(word)


def _parse_comparison(files: Sequence[Path], overrides: Sequence[str], wanted: str | None) -> SweepRequest:
    """Parse several sweeps, and check that they can be compared."""
    name = wanted or default_name("-".join(file.stem for file in files), datetime.now(UTC))
    changed = [replace(one, choices=(*one.choices, *overrides)) for one in expand_files(files, overrides)]
    named = {validate_name(f"{name}.{one.name}"): one for one in changed}
    configs = {own: load(one.file, one.choices) for own, one in named.items()}
    for own, config in configs.items():
        if named[own].needs_paper and config.data.paper_split is None:
            raise ConfigError(
                f"data.name = {config.data.name}: the paper tuned nothing on this data, so that no setting can be"
                f" recovered: launch configs/{config.objective}.yaml instead."
            )
    check_shared_blocks(configs)
    return SweepRequest(name=name, files=files, sources=named, configs=_share_experiment(name, configs))


def _share_experiment(name: str, configs: Mapping[str, SweepConfig]) -> Mapping[str, SweepConfig]:
    """Use the comparison's name as MLflow experiment if the sweeps differ in model or data and none is configured."""
    if len({(config.model.name, config.data.name) for config in configs.values()}) == 1:
        return configs
    return {own: config.model_copy(update={"experiment": config.experiment or name}) for own, config in configs.items()}


def check_shared_blocks(configs: Mapping[str, SweepConfig], blocks: Collection[str] = SHARED_BLOCKS) -> None:
    """Refuse sweeps that cannot be compared, or cannot run on the same workers."""
    (first, ours), *others = ((name, config.model_dump(include={*blocks})) for name, config in configs.items())
    for name, theirs in others:
        for key, one, other in find_differences(ours, theirs):
            raise ConfigError(
                f"{key} = {one} in {first} but {other} in {name}: sweeps that are compared have the same"
                f" {', '.join(SHARED_BLOCKS)}: give {key}=VALUE for all of them."
            )
