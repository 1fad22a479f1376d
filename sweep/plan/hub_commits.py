"""Pin what a sweep names when it is planned: commits on the Hugging Face hub, and the content of local models."""

from collections.abc import Mapping
from pathlib import Path

from eval.models import packaged
from eval.models.hub import HubUnreachableError, RepoKind, is_repo_id, resolve_commit
from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.services.waiting import tell_wait

REPOSITORY_KINDS: Mapping[str, RepoKind] = {
    "model": "model",
    "target": "model",
    "retain_model": "model",
    "data": "dataset",
}
"""Kind of repository on the hub, by the block that may name one."""


def adopt_commits(config: SweepConfig, begun: SweepConfig) -> SweepConfig:
    """Fill in missing revisions with the commits of `begun`, the configuration of a sweep that was already started.

    If `begun` has the model of a package instead of the one on the hub, so has the result.
    """
    stand_in = _find_stand_in(config)
    if stand_in is not None and begun.model.path == stand_in.path:
        config = _with_model_path(config, stand_in.path)
    ours, theirs = _hub_paths(config) | _local_models(config), _hub_paths(begun) | _local_models(begun)
    unpinned = [block for block in ours if block in theirs and getattr(config, block).revision is None]
    adopted = _with_commits(config, {block: getattr(begun, block).revision for block in unpinned})
    known: dict[str, str | None] = {}
    begun.data.pin_rows(known.setdefault)
    return adopted.model_copy(update={"data": adopted.data.pin_rows(lambda path, commit: commit or known.get(path))})


def pin_commits(config: SweepConfig) -> SweepConfig:
    """Set the current commit of each repository on the hub and the content of each local model as its revision.

    All nodes and later runs then use the same.

    If the hub is unreachable, the model of an installed package stands in for its repository, and another whose size
    `model.architecture` tells stays without a commit; `check_commits` refuses it before anything starts.

    Raises:
        ConfigError: a repository does not exist, the hub is unreachable and the cache does not have it, or a local
            model is not the one that its revision names.
        DataError: the same of a repository of rows of the user's own, or the rows cannot be loaded.
    """
    commits = {}
    for block, path in _hub_paths(config).items():
        try:
            with tell_wait(f"the hub to answer for {block}.path = {path!r}"):
                commits[block] = resolve_commit(path, REPOSITORY_KINDS[block], getattr(config, block).revision)
        except DataError as error:
            if not isinstance(error, HubUnreachableError):
                raise ConfigError(f"{block}.path = {error}.") from error
            if not _is_known(config, block):
                raise ConfigError(f"{block}.path = {error}: {_name_remedy(config, block)}.") from error
            stand_in = _find_stand_in(config) if block == "model" else None
            if stand_in is not None and packaged.is_installed(stand_in):
                config = _with_model_path(config, stand_in.path)
    pinned = _with_commits(config, commits | hash_local_models(config))
    try:
        rows = pinned.data.pin_rows(lambda path, revision: resolve_commit(path, "dataset", revision))
    except HubUnreachableError as error:
        raise ConfigError(f"{error}: give files of these rows, as data.forget=FILE.") from error
    return pinned.model_copy(update={"data": rows})


def _name_remedy(config: SweepConfig, block: str) -> str:
    """Name what to do without the hub about the repository of a block."""
    stand_in = _find_stand_in(config) if block == "model" else None
    if stand_in is None:
        return f"give {block}.path=FOLDER"
    return (
        f"give {block}.path=FOLDER, or install {stand_in.distribution}, which has its weights quantised to"
        f" {stand_in.quantisation} ({stand_in.install_hint})"
    )


def _is_known(config: SweepConfig, block: str) -> bool:
    """Return True if a dry run can do without the repository of this block."""
    return block != "data" and config.model.architecture is not None


def _find_stand_in(config: SweepConfig) -> packaged.PackagedModel | None:
    """Return the packaged model that can stand in for the sweep's on the hub, unless a commit of that is asked for."""
    return None if config.model.revision else packaged.find_stand_in(config.model.path)


def _with_model_path(config: SweepConfig, path: str) -> SweepConfig:
    return config.model_copy(update={"model": config.model.model_copy(update={"path": path})})


def hash_local_models(config: SweepConfig) -> dict[str, str]:
    """Return the hash of the content of each model in a local folder or a package, by block.

    Raises:
        ConfigError: a revision is given, and the content has another hash; or it cannot be read.
    """
    if not (local := _local_models(config)):
        return {}
    from sweep.prepare.artifacts import ARTIFACTS_DIR
    from sweep.prepare.digests import digest_model

    store = config.storage / ARTIFACTS_DIR
    found = {}
    for block, path in local.items():
        try:
            is_packaged = packaged.is_packaged(path)
            found[block] = packaged.digest_package(path) if is_packaged else digest_model(Path(path), store)[:16]
        except DataError as error:
            raise ConfigError(f"{block}.path = {error}.") from error
    for block, now in found.items():
        if (known := getattr(config, block).revision) not in (None, now):
            raise ConfigError(
                f"{block}.path = {getattr(config, block).path!r} holds another model than {block}.revision = {known!r},"
                f" with which the sweep began (now {now}): put that back, or begin another sweep."
            )
    return found


def _local_models(config: SweepConfig) -> dict[str, str]:
    """Return the paths of models that are local folders or in packages, by block."""
    paths = {block: getattr(config, block).path for block, kind in REPOSITORY_KINDS.items() if kind == "model"}
    return {
        block: path
        for block, path in paths.items()
        if path is not None and (packaged.is_packaged(path) or Path(path).is_dir())
    }


def check_commits(config: SweepConfig) -> None:
    """Refuse a sweep with a repository whose commit is not known, which only a dry run may have."""
    for block, path in _hub_paths(config).items():
        if getattr(config, block).revision is None:
            raise ConfigError(
                f"{block}.path = {path} is no folder and cannot be had from the hub, which is not reached:"
                f" {_name_remedy(config, block)}; only --dry-run does without."
            )


def _hub_paths(config: SweepConfig) -> dict[str, str]:
    """Return the paths that are repositories on the hub and not local folders, by block."""
    paths = {block: getattr(getattr(config, block), "path", None) for block in REPOSITORY_KINDS}
    return {
        block: path
        for block, path in paths.items()
        if path is not None and is_repo_id(path, REPOSITORY_KINDS[block]) and not Path(path).is_dir()
    }


def _with_commits(config: SweepConfig, commits: Mapping[str, str]) -> SweepConfig:
    blocks = {block: getattr(config, block).model_copy(update={"revision": sha}) for block, sha in commits.items()}
    return config.model_copy(update=blocks)
