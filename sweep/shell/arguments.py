"""The command line of `python -m sweep.launch`."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from sweep.errors import ConfigError

DESCRIPTION = "Run a sweep, or several to compare: from config files to the best settings of unlearning objectives."
USAGE = """%(prog)s CONFIG [CONFIG ...] [key=value ...] [--name NAME] [--dry-run | --cfg job]
       %(prog)s --resume NAME [storage=DIR] [search.trials=N | CONFIG ... key=value ...] [--dry-run | --cfg job]"""
EXAMPLES = """examples:
  python -m sweep.launch configs/wtnpo.yaml
  python -m sweep.launch configs/wtnpo.yaml search.trials=8 seed=1 --name short
  python -m sweep.launch configs/wtnpo.yaml data=tofu-forget01 data.path=../tofu --dry-run
  python -m sweep.launch configs/wtnpo.yaml recipe=paper --cfg job
  python -m sweep.launch configs/wtnpo.yaml model=llama-2-7b data=tofu-forget05 cluster=a100
  python -m sweep.launch configs/wga.yaml configs/npo.yaml configs/wtnpo.yaml --name three
  python -m sweep.launch configs/compare.yaml search.trials=48
  python -m sweep.launch --resume short
  python -m sweep.launch --resume short search.trials=48

--resume also takes search.hours, search.race, seeds, save, save_as and registry: a finished sweep then goes on

exit codes: 0 each sweep has a finished trial, 1 one has none or something that it needs failed, 2 the command line is
wrong, 129 SIGHUP, 130 SIGINT, 141 the reader of the output is gone, 143 SIGTERM"""


class Parser(ArgumentParser):
    """ArgumentParser that raises ConfigError instead of exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with the message and a pointer to --help."""
        raise ConfigError(f"{message} (see --help).")


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line into `words`, `name`, `resume`, `dry_run` and `cfg`.

    Raises:
        ConfigError: an option is unknown, or two options exclude each other.
    """
    parser = Parser(
        prog="python -m sweep.launch",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="CONFIG key=value", help="YAML files, then overrides")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--name",
        help="the sweep's name (default: <config>-<model>-<data>-<UTC time>)",
    )
    which.add_argument(
        "--resume", metavar="NAME", help="resume a sweep: keep its finished trials, run the rest, or more"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="say what would happen, and start nothing")
    only.add_argument("--cfg", choices=["job"], help="print the resolved configuration as YAML, and start nothing")
    return parser.parse_intermixed_args(argv)
