"""Pin what a sweep names when it is planned: commits on the Hugging Face hub, and the content of local models."""

from collections.abc import Mapping
from pathlib import Path

from eval.models.hub import HubUnreachableError, RepoKind, is_repo_id, resolve_commit
from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.waiting import tell_wait

REPOSITORY_KINDS: Mapping[str, RepoKind] = {
    "model": "model",
    "target": "model",
    "retain_model": "model",
    "data": "dataset",
}
"""Kind of repository on the hub, by the block that may name one."""


def adopt_commits(config: SweepConfig, begun: SweepConfig) -> SweepConfig:
    """Fill in missing revisions with the commits of `begun`, the configuration of a sweep that was already started."""
    ours, theirs = _hub_paths(config) | _local_models(config), _hub_paths(begun) | _local_models(begun)
    unpinned = [block for block in ours if block in theirs and getattr(config, block).revision is None]
    adopted = _with_commits(config, {block: getattr(begun, block).revision for block in unpinned})
    known: dict[str, str | None] = {}
    begun.data.pin_rows(known.setdefault)
    return adopted.model_copy(update={"data": adopted.data.pin_rows(lambda path, commit: commit or known.get(path))})


def pin_commits(config: SweepConfig) -> SweepConfig:
    """Set the current commit of each repository on the hub and the content of each local model as its revision.

    All nodes and later runs then use the same.

    A model whose size `model.architecture` tells stays without a commit if the hub is unreachable; `check_commits`
    refuses it before anything starts.

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
            is_known = block != "data" and config.model.architecture is not None
            if not (is_known and isinstance(error, HubUnreachableError)):
                raise ConfigError(f"{block}.path = {error}.") from error
    pinned = _with_commits(config, commits | hash_local_models(config))
    rows = pinned.data.pin_rows(lambda path, revision: resolve_commit(path, "dataset", revision))
    return pinned.model_copy(update={"data": rows})


def hash_local_models(config: SweepConfig) -> dict[str, str]:
    """Return the hash of the content of each model in a local folder, by block.

    Raises:
        ConfigError: a revision is given, and the content has another hash.
    """
    if not (local := _local_models(config)):
        return {}
    from sweep.prepare.artifacts import ARTIFACTS_DIR
    from sweep.prepare.digests import digest_model

    store = config.storage / ARTIFACTS_DIR
    found = {block: digest_model(Path(path), store)[:16] for block, path in local.items()}
    for block, now in found.items():
        if (known := getattr(config, block).revision) not in (None, now):
            raise ConfigError(
                f"{block}.path = {getattr(config, block).path!r} holds another model than {block}.revision = {known!r},"
                f" with which the sweep began (now {now}): put that back, or begin another sweep."
            )
    return found


def _local_models(config: SweepConfig) -> dict[str, str]:
    """Return the paths of models that are local folders, by block."""
    paths = {block: getattr(config, block).path for block, kind in REPOSITORY_KINDS.items() if kind == "model"}
    return {block: path for block, path in paths.items() if path is not None and Path(path).is_dir()}


def check_commits(config: SweepConfig) -> None:
    """Refuse a sweep with a repository whose commit is not known, which only a dry run may have."""
    for block, path in _hub_paths(config).items():
        if getattr(config, block).revision is None:
            raise ConfigError(
                f"{block}.path = {path} is no folder and cannot be had from the hub, which is not reached: only"
                " --dry-run does without."
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
