"""TOFU's rows (Maini et al. 2024, arXiv 2401.06121) through `datasets`, from the hub or from a local folder.

Forget rows are those of `forgetNN_perturbed`, which has the variants; holdout rows are those of `retain_perturbed`, the
first 400 of the retain split with variants; the rest of the retain split is retained. Rows with variants are checked
against the rows without. Real authors and world facts are there where the folder or the repository has them.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import escape
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any, Protocol

from eval.data import DataError, Dataset, Row, capped

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""OWNER/NAME; any other path can only be a folder."""


class Tofu(Protocol):
    """Where TOFU is and which of its splits is forgotten."""

    @property
    def paper_split(self) -> str:
        """The split that is forgotten: forget01, forget05 or forget10."""

    path: str
    """Hub id, or a folder with a file SPLIT.json for each split."""
    revision: str | None
    """Revision on the hub (None: the newest)."""
    unseen: str | None
    """A split of rows that no model has seen (None: there is none)."""
    max_retain: int | None
    """At most so many retain rows (None: all)."""
    max_holdout: int | None
    """At most so many holdout rows (None: all)."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of one split under its name."""

    name: str
    rows: tuple[Row, ...]


def load(config: Tofu) -> Dataset:
    """The rows of TOFU by the part they play when `paper_split` is forgotten.

    Raises:
        DataError: the folder, the hub, a split, a column or a value is missing or wrong, rows that should agree differ,
            or rows that should differ are the same.
    """
    forget = _read(config, f"{config.paper_split}_perturbed", _varied)
    holdout = _read(config, "retain_perturbed", _varied)
    retain = _read(config, f"retain{100 - int(config.paper_split.removeprefix('forget'))}", _plain)
    _check_same(_read(config, config.paper_split, _plain), forget)
    _check_same(replace(retain, rows=retain.rows[: len(holdout.rows)]), holdout)
    _check_once(forget)
    _check_once(retain)
    _check_apart(forget, retain, "a forget")
    kept = retain.rows[len(holdout.rows) :]
    if not kept:
        raise DataError(f"{retain.name} has no row beyond the {len(holdout.rows)} that {holdout.name} holds out")
    return Dataset(
        forget=forget.rows,
        retain=capped(kept, config.max_retain),
        holdout=capped(holdout.rows, config.max_holdout),
        unseen=_unseen(config),
        real_authors=_general(config, "real_authors_perturbed"),
        world_facts=_general(config, "world_facts_perturbed"),
    )


def _unseen(config: Tofu) -> tuple[Row, ...]:
    if config.unseen is None:
        return ()
    unseen = _read(config, config.unseen, _plain)
    _check_apart(unseen, _read(config, "full", _plain), "an unseen")
    return unseen.rows


def _general(config: Tofu, name: str) -> tuple[Row, ...]:
    """Rows of general knowledge, where they are there."""
    return _read(config, name, _perturbed).rows if _has(config, name) else ()


def _check_same(plain: Split, varied: Split) -> None:
    """Two splits have the same questions and answers, and differ only in that one has variants of them."""
    if len(plain.rows) != len(varied.rows):
        raise DataError(f"{varied.name} has {len(varied.rows)} rows, {plain.name} has {len(plain.rows)} of them")
    for number, (row, other) in enumerate(zip(plain.rows, varied.rows, strict=True), 1):
        if (row.question, row.answer) != (other.question, other.answer):
            raise DataError(f"{varied.name} row {number} is not row {number} of {plain.name}: {_short(other)}")


def _check_once(split: Split) -> None:
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(split.rows, 1):
        earlier = first.setdefault((row.question, row.answer), number)
        if earlier != number:
            raise DataError(f"{split.name} row {number} is row {earlier} again: {_short(row)}")


def _check_apart(one: Split, other: Split, kind: str) -> None:
    """No question of the one split, whose rows are of that kind, is asked in the other, whatever its answer there."""
    asked = {row.question for row in one.rows}
    for number, row in enumerate(other.rows, 1):
        if row.question in asked:
            raise DataError(f"{other.name} row {number} is {kind} row ({one.name}): {_short(row)}")


def _short(row: Row) -> str:
    return repr(shorten(row.question, 80, placeholder="…"))


def _read(config: Tofu, name: str, row: Callable[[str, dict[str, Any]], Row]) -> Split:
    folder = Path(expanduser(config.path))
    if folder.is_dir():
        records = _from_folder(folder, name)
    elif HUB_ID.fullmatch(config.path):
        records = _from_hub(config.path, name, config.revision)
    else:
        raise DataError(f"data.path={config.path}: there is no such folder")
    if not records:
        raise DataError(f"data.path={config.path}: {name} has no rows")
    return Split(name=name, rows=tuple(row(f"{name} row {number}", each) for number, each in enumerate(records, 1)))


def _has(config: Tofu, name: str) -> bool:
    """Whether the folder or the repository has a split."""
    folder = Path(expanduser(config.path))
    return (folder / f"{name}.json").is_file() if folder.is_dir() else name in _on_hub(config.path, config.revision)


def _on_hub(path: str, revision: str | None) -> list[str]:
    """The configurations of a repository on the hub, from the hub's own cache where it has been loaded before."""
    import datasets

    with _quiet():
        try:
            return list(datasets.get_dataset_config_names(path, revision=revision))
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"data.path={path}: its splits cannot be listed ({_first_line(error)})") from error


def _from_folder(folder: Path, name: str) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; nothing is asked of the network and no cache is kept."""
    file = folder / f"{name}.json"
    if not file.is_file():
        there = ", ".join(sorted(other.name for other in folder.glob("*.json"))) or "no .json file"
        raise DataError(f"data.path={folder}: there is no {file.name}, but {there}")
    import datasets  # costs a second, and only TOFU needs it

    with TemporaryDirectory() as cache, _quiet():
        try:
            return list(datasets.Dataset.from_json(escape(str(file)), cache_dir=cache, keep_in_memory=True))
        except StopIteration:  # how an empty file ends
            return []
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"{file} cannot be read as JSON lines: {_first_line(error)}") from error


def _from_hub(path: str, name: str, revision: str | None) -> list[dict[str, Any]]:
    """The records of a configuration on the hub, from the hub's own cache where it has been loaded before."""
    import datasets

    with _quiet():
        try:
            return list(datasets.load_dataset(path, name, split="train", revision=revision))
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataError(
                f"data.path={path}: {name} cannot be had from the hub ({_first_line(error)}), and no folder has that "
                f"name; data.path=FOLDER reads FOLDER/{name}.json"
            ) from error


def _first_line(error: Exception) -> str:
    return shorten(str(error.__cause__ or error).partition("\n")[0], 200, placeholder="…")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no log, since our display is live and errors are raised; no load is reported to the hub."""
    import datasets
    import huggingface_hub.utils

    log, reported = logging.root.manager.disable, datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    bars = [lib for lib in (datasets.utils, huggingface_hub.utils) if not lib.are_progress_bars_disabled()]
    logging.disable(logging.ERROR)
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    for lib in bars:
        lib.disable_progress_bars()
    try:
        yield
    finally:
        logging.disable(log)
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = reported
        for lib in bars:
            lib.enable_progress_bars()


def _plain(where: str, record: dict[str, Any]) -> Row:
    return Row(question=_text(where, record, "question"), answer=_text(where, record, "answer"))


def _perturbed(where: str, record: dict[str, Any]) -> Row:
    perturbed = _value(where, record, "perturbed_answer")
    if not isinstance(perturbed, list) or not perturbed:
        raise DataError(f"{where}: perturbed_answer is {perturbed!r}, not a list of texts")
    texts = tuple(_checked(f"{where}: perturbed_answer", text) for text in perturbed)
    return replace(_plain(where, record), perturbed_answers=texts)


def _varied(where: str, record: dict[str, Any]) -> Row:
    return replace(
        _perturbed(where, record),
        paraphrased_question=_text(where, record, "paraphrased_question"),
        paraphrased_answer=_text(where, record, "paraphrased_answer"),
    )


def _text(where: str, record: dict[str, Any], column: str) -> str:
    return _checked(f"{where}: {column}", _value(where, record, column))


def _value(where: str, record: dict[str, Any], column: str) -> Any:
    if record.get(column) is None:
        raise DataError(f"{where} has no {column}")
    return record[column]


def _checked(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"{what} is {value!r}, not text")
    if not value.strip():
        raise DataError(f"{what} is empty")
    return value
