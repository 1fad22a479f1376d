"""All commands under one name.

unlearn-sweep COMMAND ...         where the package is installed
python -m sweep COMMAND ...       anywhere
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from sweep.signals import enable_fast_exit
from sweep.status import enable_early_words

PACKAGE = "unlearn-sweep"
"""Name of the distribution."""


@dataclass(frozen=True)
class Command:
    """A command: the module whose `main` runs it, and a sentence that says what it does."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "launch": Command("sweep.launch", "run a sweep, or several to compare; --resume NAME continues them"),
    "submit": Command("sweep.submit", "run a sweep on a Ray cluster, as a job on its head"),
    "report": Command("sweep.report.__main__", "write the report of a sweep, finished or still running"),
    "export": Command("sweep.export.__main__", "save the model of any trial, by running the trial again"),
    "sync": Command("sweep.sync", "log to MLflow what is missing there"),
    "eval": Command("eval.run", "measure any checkpoint with the full suite"),
    "g-effect": Command("sweep.g_effect.__main__", "measure the gradient effects of an objective at any checkpoint"),
    "configs": Command("sweep.shell.copy_configs", "list the shipped configs, or copy some"),
    "keys": Command("sweep.shell.keys", "explain the keys of a config: meaning, unit, allowed values, default"),
    "objectives": Command("objectives.__main__", "list the objectives with their fields, bounds and formulas"),
}
"""Commands by name; each has a --help of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; without one, show all commands."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may come next
        from sweep.shell.completion import complete_line

        complete_line(COMMANDS)
    words = [*(sys.argv[1:] if argv is None else argv)]
    if not words or words[0] in ("-h", "--help"):
        print(describe_commands())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"{PACKAGE} {find_version()}")
        return 0
    if words[0] not in COMMANDS:
        near = get_close_matches(words[0], COMMANDS, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        print(f"error: {words[0]} is no command: allowed are {', '.join(COMMANDS)}{hint}.", file=sys.stderr)
        return 2
    code: int | None = import_module(COMMANDS[words[0]].module).main(words[1:])
    return code or 0


def run_process() -> NoReturn:
    """Run the command of this process, which is its own."""
    enable_fast_exit()
    enable_early_words()
    sys.exit(main())


def describe_commands() -> str:
    """Return the commands, a line each, with the first one to try."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PACKAGE} COMMAND ...   or   python -m sweep COMMAND ...",
            "",
            "Hyper-parameter sweeps for LLM unlearning objectives, compared at equal retention.",
            "",
            *lines,
            "",
            f"first: {PACKAGE} launch wtnpo      (two to three minutes on two cores; no download, no GPU)",
            f"look:  {PACKAGE} launch wtnpo --dry-run      (says what would happen; --cfg job prints all keys)",
            f"help:  {PACKAGE} COMMAND --help, {PACKAGE} --version",
            f'shell: eval "$(register-python-argcomplete {PACKAGE})" completes commands, configs and keys',
        ]
    )


def find_version() -> str:
    """Return the version of the installed package; `(not installed)` in a checkout that is only run."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    run_process()
