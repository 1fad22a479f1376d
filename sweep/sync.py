"""Bring MLflow up to date: log the scores of a checkpoint, or the missing trials of a sweep.

python -m sweep.sync scores.json
python -m sweep.sync NAME [storage=DIR]
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.signals import enable_fast_exit

SCORES_FORMAT = 1
"""Format number of the JSON files by `python -m eval.run` that this command reads."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 2 for an invalid file or sweep, 1 if MLflow refused or could not be reached, else 0."""
    from eval.rows.types import DataError
    from sweep.errors import ConfigError
    from sweep.shell.arguments import Parser

    parser = Parser(prog="python -m sweep.sync", description=__doc__.partition("\n")[0])
    parser.add_argument("what", metavar="scores.json | NAME", help="a file of python -m eval.run, or a sweep's name")
    parser.add_argument("words", nargs="*", metavar="storage=DIR", help="where the sweep is (default: ./runs)")
    try:
        typed = parser.parse_args(argv)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # MLflow takes a second to import; --help need not wait for it.
    from sweep.tracking.store import TrackingError

    try:
        print(_sync_scores(Path(typed.what)) if typed.what.endswith(".json") else _sync_sweeps(typed.what, typed.words))
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read_scores(path: Path) -> Mapping[str, object]:
    """Read the scores from a file that `python -m eval.run` wrote.

    Raises:
        ConfigError: the file does not exist, or is of another kind.
    """
    from sweep.errors import ConfigError

    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not JSON'}.") from error
    if not isinstance(scores, dict) or scores.get("format") != SCORES_FORMAT:
        raise ConfigError(f"{path} is no file of python -m eval.run --out: it lacks format = {SCORES_FORMAT}.")
    return scores


def _sync_scores(path: Path) -> str:
    from sweep.tracking.address import check_tracking_uri
    from sweep.tracking.backfill import log_scores

    scores = read_scores(path)
    check_tracking_uri()
    run = log_scores(scores, path)
    return f"{path} is run {run.run_id} of experiment {run.experiment} at {run.tracking_uri}"


def _sync_sweeps(name: str, words: Sequence[str]) -> str:
    """Log the missing trials of a sweep, or of every sweep of a comparison; return a line for each."""
    from sweep.config.stored import list_sweep_names, load_stored_config, parse_storage
    from sweep.plan.checks import check_databases

    storage = parse_storage(words, "python -m sweep.sync")
    names = list_sweep_names(storage, name)
    check_databases({own: load_stored_config(storage, own) for own in names})
    return "\n".join(_sync_sweep(storage, own) for own in names)


def _sync_sweep(storage: Path, name: str) -> str:
    from sweep.outputs import publish_report
    from sweep.plan.sweep_plan import plan_stored_sweep
    from sweep.records import INTERRUPTED_REASON
    from sweep.tracking.backfill import backfill_sweep

    wanted = plan_stored_sweep(storage, name)
    with wanted.open_study() as ledger:
        records, every = ledger.list_records(), ledger.list_all_attempts()
        killed = any(record.reason == INTERRUPTED_REASON for record in records)
        added, logged = backfill_sweep(
            wanted.config, name, "KILLED" if killed else "FINISHED", every, ledger.run_id or ""
        )
    publish_report(wanted, records, logged)
    return f"{name}: logged {added} missing trials to MLflow"


if __name__ == "__main__":
    enable_fast_exit()
    sys.exit(main())
