"""What the timings share: a command line, the processor's clock, one table and one JSON file."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def parser(doc: str | None, name: str) -> ArgumentParser:
    """A command line that says where the JSON file goes."""
    found = ArgumentParser(description=(doc or "").partition("\n")[0])
    found.add_argument("--out", type=Path, default=Path(f"{name}.json"), help="the JSON file (%(default)s)")
    return found


def seconds(work: Callable[[], object]) -> float:
    """The processor's seconds that it takes, on which others on the machine have little influence."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def memory(key: str) -> float:
    """What Linux says of this process's memory, in MB: now (VmRSS), or its peak (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024 / 2**20


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the table; numbers to four digits."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)


def write(out: Path, found: Mapping[str, Any]) -> None:
    """Write the JSON file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
