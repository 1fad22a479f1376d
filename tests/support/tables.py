"""Tables of rows in every format that can be read."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.tofu import Record, Splits

FORMATS = (".json", ".jsonl", ".csv", ".parquet", "")
"""End of a table's name, by format; empty for a folder of `Dataset.save_to_disk`."""


def write_table(path: Path, records: Sequence[Record]) -> Path:
    """Write a table in the format of its name, `.json` as one list; return the path."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    elif path.suffix in (".json", ".jsonl"):
        lines = (json.dumps(record) + "\n" for record in records)
        path.write_text(json.dumps(records, indent=1) if path.suffix == ".json" else "".join(lines), encoding="utf-8")
    else:
        _write_with_datasets(path, records)
    return path


def write_layout(folder: Path, splits: Splits, suffix: str) -> Path:
    """Write TOFU's layout, a table for each split; return the folder."""
    folder.mkdir()
    for name, records in splits.items():
        write_table(folder / f"{name}{suffix}", records)
    return folder


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _write_with_datasets(path: Path, records: Sequence[Record]) -> None:
    import datasets

    table = datasets.Dataset.from_list([*records])
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.save_to_disk(path)
