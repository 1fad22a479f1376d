"""Write the report of a sweep or a comparison, finished or still running, and print its path.

python -m sweep.report NAME [storage=DIR]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.signals import exit_at_once

# Slow imports stand in the functions that use them, so that --help and errors are answered at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 if the arguments are invalid or name no sweep."""
    from sweep.cli import Parser
    from sweep.errors import ConfigError

    parser = Parser(prog="python -m sweep.report", description=__doc__.partition("\n")[0])
    parser.add_argument("name", metavar="NAME", help="a sweep's name, or a comparison's")
    parser.add_argument("words", nargs="*", metavar="storage=DIR", help="where it is (default: ./runs)")
    try:
        typed = parser.parse_args(argv)
        print(_report(typed.name, typed.words))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _report(name: str, words: Sequence[str]) -> Path:
    from sweep.config.stored import config_of, names_of, storage_of

    storage = storage_of(words, "python -m sweep.report")
    configs = {own: config_of(storage, own) for own in names_of(storage, name)}
    from sweep.report.data import looked_up
    from sweep.report.write_report import write

    return write(storage / name, [looked_up(config, own) for own, config in configs.items()])[0]


if __name__ == "__main__":
    exit_at_once()
    sys.exit(main())
