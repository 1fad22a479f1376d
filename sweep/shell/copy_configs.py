"""List the shipped configs, or copy some of them to change them.

unlearn-sweep configs
unlearn-sweep configs wtnpo model/llama-2-7b --to FOLDER
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.shipped_configs import CONFIGS, GROUPS
from sweep.errors import ConfigError
from sweep.shell.arguments import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a name that is unknown, or a file that is there already."""
    parser = Parser(prog="unlearn-sweep configs", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="configs to copy; none: list all")
    parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="copy into it (default: here)")
    try:
        typed = parser.parse_args(argv)
        for line in copy_configs(typed.names, typed.to) if typed.names else list_configs():
            print(line)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def list_configs() -> Iterator[str]:
    """Yield a line for each shipped config: the name to type, and what it is."""
    names = find_names()
    width = max(map(len, names))
    for name, path in names.items():
        yield f"{name:{width}}  {summarize(path)}"


def find_names() -> dict[str, Path]:
    """Find the shipped configs by the name that a user types: sweeps first, then the options of each group."""
    folders = [CONFIGS, *(CONFIGS / group for group in GROUPS)]
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    return {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in files}


def summarize(path: Path) -> str:
    """Return the first sentence of the comment on top of a config."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("# ") and "@package" not in line]
    return " ".join(comment).partition(". ")[0].rstrip(".:")


def copy_configs(names: Sequence[str], folder: Path) -> list[str]:
    """Copy configs into a folder, options into the folder of their group; return a line for each.

    Raises:
        ConfigError: a name is unknown, or a file is there already.
    """
    from sweep.config.messages import nearest_hint

    known = find_names()
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{name} is no shipped config{nearest_hint(name, known)}: unlearn-sweep configs lists all."
            )
        if (there := folder / f"{name}.yaml").exists():
            raise ConfigError(f"{there} is there already: move it away, or choose another folder with --to.")
    return [_copy_config(known[name], folder / f"{name}.yaml") for name in names]


def _copy_config(source: Path, copy: Path) -> str:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, copy)
    return f"copied {copy}"
