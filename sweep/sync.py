"""Bring MLflow up to date: with the scores of a checkpoint, or with a sweep of which it lacks trials.

python -m sweep.sync scores.json
python -m sweep.sync NAME [storage=DIR]
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.signals import exit_at_once

FORMAT = 1
"""Of the JSON files of `python -m eval.run` that are read here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 where the file or the sweep is not one, 1 where MLflow refused."""
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
    # MLflow takes a second to import; --help is answered without it.
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
    """The scores in a file of `python -m eval.run`.

    Raises:
        ConfigError: there is no such file, or it is another kind of file.
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
    """A sweep, or every sweep of a comparison."""
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
    return f"{name}: {added} attempts were missing in MLflow, now none is"


if __name__ == "__main__":
    exit_at_once()
    sys.exit(main())
