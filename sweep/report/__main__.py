"""Write the report of a sweep or a comparison, finished or still running, and print its path.

python -m sweep.report NAME [storage=DIR] [--watch]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.signals import enable_fast_exit

# Slow imports stand in the functions that use them, so that --help and errors are answered at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 if the arguments are invalid or name no sweep."""
    from sweep.errors import ConfigError
    from sweep.shell.arguments import Parser

    parser = Parser(prog="python -m sweep.report", description=__doc__.partition("\n")[0])
    parser.add_argument("name", metavar="NAME", help="a sweep's name, or a comparison's")
    parser.add_argument("words", nargs="*", metavar="storage=DIR", help="where it is (default: ./runs)")
    parser.add_argument("--watch", action="store_true", help="write it again and again until the sweep is over")
    try:
        typed = parser.parse_intermixed_args(argv)
        print(_write_report(typed.name, typed.words, should_watch=typed.watch))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _write_report(name: str, words: Sequence[str], *, should_watch: bool) -> Path:
    from sweep.config.compose import validate_name
    from sweep.config.stored import list_sweep_names, load_stored_config, parse_storage

    storage = parse_storage(words, "python -m sweep.report")
    if should_watch:
        from sweep.report.watch import lower_priority, wait_for_sweep

        lower_priority()
        wait_for_sweep(storage / validate_name(name))
    configs = {own: load_stored_config(storage, own) for own in list_sweep_names(storage, name)}
    from sweep.report.data import load_report_data
    from sweep.report.watch import watch_sweeps
    from sweep.search.study import is_running

    return watch_sweeps(
        storage / name,
        lambda: [load_report_data(config, own) for own, config in configs.items()],
        lambda: should_watch and any(is_running(config, own) for own, config in configs.items()),
    )


if __name__ == "__main__":
    enable_fast_exit()
    sys.exit(main())
