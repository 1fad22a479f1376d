"""Complete words of the command line in a shell: commands, options, shipped configs, keys and names of options.

eval "$(register-python-argcomplete unlearn-sweep)"
"""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import argcomplete
import yaml
from argcomplete.completers import FilesCompleter

from eval.shipped_configs import CONFIGS, GROUPS, list_names
from sweep.shell.copy_configs import find_names

OPTIONS = {
    "launch": ("--name", "--resume", "--dry-run", "--cfg"),
    "submit": ("--name", "--resume", "--address", "--follow", "--detach"),
    "report": ("--watch",),
    "export": ("--as", "--output"),
    "eval": (
        *("--data", "--split", "--unseen", "--template", "--question", "--answer"),
        *("--reference", "--retain-model", "--rows", "--dtype", "--ps", "--out"),
    ),
    "g-effect": (
        *("--data", "--split", "--unseen", "--template", "--question", "--answer"),
        *("--objective", "--reference", "--retain-term", "--rows", "--by", "--seed", "--dtype", "--out"),
    ),
    "configs": ("--to",),
}
"""Options of the commands that have any, beside --help."""
FLAGS = ("--dry-run", "--follow", "--detach")
"""Options without a value."""
CHOICES = {"--cfg": ("job",), "--as": ("compared", "unlearned", "both"), "--by": ("layer", "row")}
"""Values of the options that take only some."""


def complete_line(commands: Iterable[str]) -> None:
    """Answer the shell that asks what may come next, and end the process."""
    argcomplete.autocomplete(build_parser(commands))


def build_parser(commands: Iterable[str]) -> ArgumentParser:
    """Build a parser that knows the words of each command; it is for completion alone, and checks nothing."""
    parser = ArgumentParser(prog="unlearn-sweep")
    parser.add_argument("--version", action="store_true")
    parts = parser.add_subparsers()
    for name in commands:
        part = parts.add_parser(name)
        for option in OPTIONS.get(name, ()):
            if option in FLAGS:
                part.add_argument(option, action="store_true")
            else:
                part.add_argument(option, choices=CHOICES.get(option))
        words = part.add_argument("words", nargs="*")
        vars(words)["completer"] = partial(list_words, name)
    return parser


def list_words(command: str, prefix: str = "", **parsed: object) -> list[str]:
    """List the words that may begin with `prefix` in a command: configs, files, `key=` or `group=NAME`."""
    if command == "configs":
        return [name for name in find_names() if name.startswith(prefix)]
    if command == "keys":
        return [key.removesuffix("=") for key in list_keys() if key.startswith(prefix)]
    if command in ("launch", "submit"):
        group, equals, _ = prefix.partition("=")
        if equals:
            return [f"{group}={name}" for name in list_names(group)] if group in GROUPS else []
        shipped = [name for name in find_names() if "/" not in name and name != "base"]
        files = [file for file in FilesCompleter(["yaml"])(prefix) if file.endswith((".yaml", "/"))]
        return [word for word in [*shipped, *list_keys()] if word.startswith(prefix)] + files
    return list_sweeps() if command in ("report", "sync", "export") else []


def list_keys() -> list[str]:
    """List the keys of `configs/base.yaml` and the groups, each with `=`."""
    base = yaml.safe_load((CONFIGS / "base.yaml").read_text(encoding="utf-8"))
    return [f"{group}=" for group in GROUPS] + [f"{key}=" for key in _list_leaves(base)]


def _list_leaves(block: dict[str, object]) -> Iterator[str]:
    for key, value in block.items():
        if isinstance(value, dict) and value:
            yield from (f"{key}.{inner}" for inner in _list_leaves(value))
        else:
            yield key


def list_sweeps() -> list[str]:
    """List the sweeps and comparisons in ./runs."""
    return sorted(path.name for path in Path("runs").glob("[!.]*") if path.is_dir())
