"""Bring MLflow up to date: log the scores of a checkpoint, or the missing trials of a sweep.

python -m sweep.sync scores.json
python -m sweep.sync NAME [storage=DIR]
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.signals import exit_at_once

FORMAT = 1
"""Format number of the JSON files by `python -m eval.run` that this command reads."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 2 for an invalid file or sweep, 1 if MLflow refused or could not be reached, else 0."""
    from sweep.cli import Parser
    from sweep.errors import ConfigError

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
        print(_scores(Path(typed.what)) if typed.what.endswith(".json") else _sweeps(typed.what, typed.words))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def read(path: Path) -> Mapping[str, object]:
    """Read the scores from a file that `python -m eval.run` wrote.

    Raises:
        ConfigError: the file does not exist, or is of another kind.
    """
    from sweep.errors import ConfigError

    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not JSON'}.") from error
    if not isinstance(scores, dict) or scores.get("format") != FORMAT:
        raise ConfigError(f"{path} is no file of python -m eval.run --out: it lacks format = {FORMAT}.")
    return scores


def _scores(path: Path) -> str:
    from sweep.tracking.backfill import log_scores

    run = log_scores(read(path), path)
    return f"{path} is run {run.run_id} of experiment {run.experiment} at {run.tracking_uri}"


def _sweeps(name: str, words: Sequence[str]) -> str:
    """Log the missing trials of a sweep, or of every sweep of a comparison; return a line for each."""
    from sweep.config.stored import names_of, storage_of

    storage = storage_of(words, "python -m sweep.sync")
    return "\n".join(_sweep(storage, own) for own in names_of(storage, name))


def _sweep(storage: Path, name: str) -> str:
    from sweep.outputs import report
    from sweep.plan.sweep_plan import resumed
    from sweep.records import INTERRUPTED
    from sweep.tracking.backfill import fill

    wanted = resumed(storage, name)
    with wanted.held() as ledger:
        records, every = ledger.records(), ledger.history()
        killed = any(record.reason == INTERRUPTED for record in records)
        added, logged = fill(wanted.config, name, "KILLED" if killed else "FINISHED", every, ledger.run_id or "")
    report(wanted, records, logged)
    return f"{name}: logged {added} missing trials to MLflow"


if __name__ == "__main__":
    exit_at_once()
    sys.exit(main())
