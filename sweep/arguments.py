"""The command line of `python -m sweep.launch`."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from sweep.config import ConfigError

DESCRIPTION = "Run a sweep: from a config file to the best setting of an unlearning objective."
USAGE = """%(prog)s CONFIG [key=value ...] [--name NAME] [--dry-run]
       %(prog)s --resume NAME [storage=DIR] [--dry-run]"""
EXAMPLES = """examples:
  python -m sweep.launch configs/wtnpo.yaml
  python -m sweep.launch configs/wtnpo.yaml search.trials=8 seed=1 --name short
  python -m sweep.launch configs/wtnpo.yaml data=tofu-forget01 data.path=../tofu --dry-run
  python -m sweep.launch configs/wtnpo.yaml model=llama-2-7b data=tofu-forget05 cluster=a100
  python -m sweep.launch --resume short

exit codes: 0 a trial succeeded, 1 none did, 2 the config or the arguments are wrong, 130 SIGINT, 143 SIGTERM"""


class Parser(ArgumentParser):
    """An ArgumentParser whose errors are a user's mistakes like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message} (see --help).")


def parse(argv: Sequence[str] | None) -> Namespace:
    """What was typed: `words`, `name`, `resume` and `dry_run`.

    Raises:
        ConfigError: there is no such option, or options exclude one another.
    """
    parser = Parser(
        prog="python -m sweep.launch",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="CONFIG key=value", help="a YAML file, then changes to it")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--name", help="the sweep's name (default: <config>-<model>-<data>-<UTC time>)")
    which.add_argument("--resume", metavar="NAME", help="go on with a sweep: finished trials are kept, the rest is run")
    parser.add_argument("--dry-run", action="store_true", help="show what would be run, and start nothing")
    return parser.parse_intermixed_args(argv)
