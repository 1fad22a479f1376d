"""Command line of `python -m eval.run`: options, rows, row template and checkpoints."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from eval import shipped_configs
from eval.models import adapters, hub, packaged
from eval.rows.types import DataError, Dataset

TOFU_PREFIX = "tofu-"
"""Prefix of the shipped configs of TOFU, before the split."""
ROWS_FILE = "rows.json"
TEMPLATE_FILE = "template.json"
DTYPES = ("float32", "bfloat16")
"""Types of the weights, the default first."""
EXAMPLES = """examples:
  python -m eval.run ./unlearned --data tofu-forget05 --template llama-2-7b --reference ./target --out scores.json
  python -m eval.run ./unlearned --data ../tofu --split forget01 --template phi-1.5 --retain-model ./retain99
  python -m eval.run ./unlearned --data own data.forget=forget.jsonl data.retain=retain.jsonl --template tiny
  python -m eval.run ./unlearned --data runs/.artifacts/TARGET --template tiny --rows 20 --dtype bfloat16

exit codes: 0 measured, 2 the arguments, the rows or a checkpoint are wrong"""


class UsageError(ValueError):
    """Wrong input on the command line; the message is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class TextTemplate:
    """Text of a row, as in fine-tuning: `question` contains {question}, `answer` contains {answer}."""

    question: str
    answer: str


class Parser(ArgumentParser):
    """ArgumentParser that raises its errors as UsageError."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message."""
        raise UsageError(f"{message} (see --help).")


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line.

    Raises:
        UsageError: an option is unknown or lacks its value.
    """
    parser = Parser(
        prog="python -m eval.run",
        description="Measure any checkpoint with the full suite; no sweep is needed.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a Hugging Face folder or hub id, with safetensors")
    parser.add_argument("changes", metavar="data.KEY=VALUE", nargs="*", help="keys of the config that --data names")
    add_row_options(parser)
    add_template_options(parser)
    parser.add_argument("--reference", metavar="CHECKPOINT", help="the model before unlearning, for comparison")
    parser.add_argument(
        "--retain-model", metavar="CHECKPOINT", help="trained without forget rows: for forget quality and privleak"
    )
    parser.add_argument(
        "--rows",
        type=parse_count,
        metavar="N",
        help="measure N evenly chosen rows of each part at most (default: all)",
    )
    add_dtype_option(parser)
    parser.add_argument("--ps", action="store_true", help="the paper's own extraction strength too, bugs included")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON, by row too")
    return parser.parse_intermixed_args(argv)


def add_dtype_option(parser: ArgumentParser) -> None:
    """Add the option that names the type of the weights."""
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="of the weights: bfloat16 is quicker, and rounds (%(default)s)",
    )


def parse_count(text: str) -> int:
    """Parse a number of rows, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} must be a number of rows, 1 or more")
    return int(text)


def add_row_options(parser: ArgumentParser) -> None:
    """Add the options that name the rows: `load_dataset` reads them, with `changes` of keys."""
    names = ", ".join(shipped_configs.list_names("data"))
    parser.add_argument(
        "--data",
        metavar="NAME|FOLDER",
        help=f"{names}; or a folder with TOFU's files or a sweep's {ROWS_FILE}"
        f" (default: the checkpoint's own {ROWS_FILE})",
    )
    parser.add_argument("--split", choices=_list_splits(), help="which split of TOFU in a FOLDER is forgotten")
    parser.add_argument(
        "--unseen", metavar="SPLIT", help="a split of TOFU that no model has seen: for mia and privleak"
    )


def _list_splits() -> list[str]:
    names = shipped_configs.list_names("data")
    return [name.removeprefix(TOFU_PREFIX) for name in names if name.startswith(TOFU_PREFIX)]


def add_template_options(parser: ArgumentParser) -> None:
    """Add the options that name the text of a row: `choose_template` reads them."""
    names = ", ".join(shipped_configs.read_templates())
    parser.add_argument("--template", metavar="NAME", help=f"text of a row, named after a model: {names}")
    parser.add_argument("--question", metavar="TEXT", help="or the text itself: the prompt, with {question} in it")
    parser.add_argument("--answer", metavar="TEXT", help="and the text that follows it, with {answer} in it")


def choose_template(typed: Namespace) -> TextTemplate:
    """Choose the text of a row: typed, a shipped model's, or the one in the checkpoint's or the rows' folder.

    Raises:
        UsageError: no template is known, or it is not a question and an answer.
    """
    if typed.question is not None or typed.answer is not None:
        return _parse_template(typed)
    if typed.template is not None:
        templates = shipped_configs.read_templates()
        if typed.template not in templates:
            raise UsageError(
                f"--template {typed.template}: there are {shipped_configs.describe_choices(templates, typed.template)}"
            )
        return TextTemplate(**templates[typed.template])
    brought = _find_file(TEMPLATE_FILE, typed.checkpoint, typed.data)
    if brought is None:
        names = " or ".join(shipped_configs.read_templates())
        raise UsageError(f"no text of a row: give --template {names}, or --question and --answer")
    try:
        return TextTemplate(**json.loads(brought.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{brought} is not a question and an answer") from error


def _parse_template(typed: Namespace) -> TextTemplate:
    if typed.template is not None or typed.question is None or typed.answer is None:
        raise UsageError("--question and --answer belong together, and replace --template")
    for name in ("question", "answer"):
        if f"{{{name}}}" not in getattr(typed, name):
            raise UsageError(f"--{name} {getattr(typed, name)!r} must have {{{name}}} in it")
    return TextTemplate(question=typed.question, answer=typed.answer)


def load_dataset(typed: Namespace) -> Dataset:
    """Load the rows of a shipped dataset, of a folder, or of the checkpoint's folder.

    Raises:
        UsageError: no rows are named, or an option contradicts the rows that are.
        DataError: the rows cannot be loaded.
    """
    if typed.data in shipped_configs.list_names("data"):
        _refuse_option(typed, "split", f"--data {typed.data} already fixes it")
        return _load_block(typed, shipped_configs.read_block("data", typed.data) | _parse_changes(typed.changes))
    if typed.changes:
        raise UsageError(f"{typed.changes[0]} is not allowed here: it changes a key of a dataset that --data names")
    brought = _find_file(ROWS_FILE, typed.checkpoint if typed.data is None else typed.data)
    if brought is None:
        return _load_block(typed, _read_tofu_block(typed))
    for option in ("split", "unseen"):
        _refuse_option(typed, option, f"{brought} already divides its rows into parts")
    return _read_rows(brought)


def _read_tofu_block(typed: Namespace) -> dict[str, Any]:
    """Return the shipped options of TOFU's split, with the folder that was typed."""
    if typed.data is None:
        raise UsageError(f"no rows: give --data {' or '.join(shipped_configs.list_names('data'))}, or a folder")
    if not Path(typed.data).expanduser().is_dir():
        names = shipped_configs.list_names("data")
        raise UsageError(
            f"--data {typed.data}: no such folder; there are {shipped_configs.describe_choices(names, typed.data)}"
        )
    if typed.split is None:
        raise UsageError(f"--data {typed.data} needs --split {' or '.join(_list_splits())}")
    return shipped_configs.read_block("data", TOFU_PREFIX + typed.split) | {"path": typed.data, "revision": None}


def _parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Parse `data.KEY=VALUE`, with a value in YAML as in a config."""
    parsed = {}
    for change in changes:
        key, is_change, value = change.partition("=")
        if not is_change or not key.startswith("data."):
            raise UsageError(f"{change} must be data.KEY=VALUE, as in data.forget=forget.jsonl")
        try:
            parsed[key.removeprefix("data.")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"{change}: the value is not YAML") from error
    return parsed


def _load_block(typed: Namespace, block: dict[str, Any]) -> Dataset:
    """Load the rows that a config's block names, with the unseen split that was typed."""
    # They import pydantic, which --help does not need.
    from pydantic import ValidationError

    from eval import datasets

    options = datasets.load_options(block["source"])
    if not options.has_unseen_split:
        _refuse_option(typed, "unseen", f"--data {typed.data} makes its own")
    elif typed.unseen is not None:
        block["unseen"] = typed.unseen
    if missing := next((key for key, value in block.items() if value == "???"), None):
        raise UsageError(f"--data {typed.data} needs data.{missing}=VALUE")
    try:
        return datasets.load(options.model_validate(block))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        key = ".".join(map(str, wrong["loc"]))
        raise UsageError(f"data.{key} = {wrong['input']!r} is not allowed: {wrong['msg']}") from error


def _read_rows(file: Path) -> Dataset:
    """Read the rows that a sweep wrote."""
    try:
        rows = Dataset.from_file(file)
    except DataError as error:
        raise UsageError(f"{file}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{file} is not a sweep's file of rows") from error
    if not rows.forget or not rows.holdout:
        raise UsageError(f"{file} has no {'holdout' if rows.forget else 'forget'} rows")
    return rows


def _refuse_option(typed: Namespace, option: str, why: str) -> None:
    if getattr(typed, option) is not None:
        raise UsageError(f"--{option} {getattr(typed, option)} is not allowed here: {why}")


def _find_file(name: str, *folders: str | None) -> Path | None:
    """Return the file of that name in the first folder that has one, or None."""
    files = (Path(folder).expanduser() / name for folder in folders if folder is not None)
    return next((file for file in files if file.is_file()), None)


def check_output_file(out: Path | None) -> None:
    """Refuse an output file that cannot be written, before anything is computed.

    Raises:
        UsageError: it is a folder, or its folder does not exist.
    """
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        raise UsageError(f"--out {out} is {'a folder' if out.is_dir() else 'in a folder that does not exist'}")


def check_checkpoint(checkpoint: str) -> None:
    """Refuse a checkpoint that cannot be read without running code from it.

    Raises:
        UsageError: there is no such folder.
        DataError: its weights are not safetensors, or its package is not installed.
    """
    folder = Path(checkpoint)
    if folder.is_dir():
        adapters.check_model_folder(folder)
    elif packaged.is_packaged(checkpoint):
        packaged.digest_package(checkpoint)
    elif not hub.is_repo_id(checkpoint, "model"):
        raise UsageError(f"{checkpoint}: there is no such folder")
