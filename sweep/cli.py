"""The command line of `python -m sweep.launch`."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from sweep.errors import ConfigError

DESCRIPTION = (
    "Run a sweep, or several that are compared: from config files to the best settings of unlearning objectives."
)
USAGE = """%(prog)s CONFIG [CONFIG ...] [key=value ...] [--name NAME] [--dry-run]
       %(prog)s --resume NAME [storage=DIR | CONFIG ... key=value ...] [--dry-run]"""
EXAMPLES = """examples:
  python -m sweep.launch configs/wtnpo.yaml
  python -m sweep.launch configs/wtnpo.yaml search.trials=8 seed=1 --name short
  python -m sweep.launch configs/wtnpo.yaml data=tofu-forget01 data.path=../tofu --dry-run
  python -m sweep.launch configs/wtnpo.yaml model=llama-2-7b data=tofu-forget05 cluster=a100
  python -m sweep.launch configs/wga.yaml configs/npo.yaml configs/wtnpo.yaml --name three
  python -m sweep.launch configs/compare.yaml search.trials=48
  python -m sweep.launch --resume short

exit codes: 0 each sweep has a finished trial, 1 one has none or something broke that it needs, 2 the command line is
wrong, 129 SIGHUP, 130 SIGINT, 141 nobody reads the output, 143 SIGTERM"""


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
    parser.add_argument("words", nargs="*", metavar="CONFIG key=value", help="YAML files, then changes to them")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--name",
        help="the sweep's name (default: <config>-<model>-<data>-<UTC time>)",
    )
    which.add_argument("--resume", metavar="NAME", help="go on: finished trials are kept, the rest is run")
    parser.add_argument("--dry-run", action="store_true", help="show what would be run, and start nothing")
    return parser.parse_intermixed_args(argv)
