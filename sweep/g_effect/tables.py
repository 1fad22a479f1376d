"""Print gradient effects as tables: by term and part of the model, by layer, by row, and the weights of tokens."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sweep.g_effect.request import EffectRequest
from sweep.records import GEffect, format_setting

RISK_ROWS = {"forget": "forget rows", "retain": "holdout rows"}
"""Rows whose mean cross-entropy is a risk."""
SIGN = (
    "A small step against the term's gradient lowers a risk with a positive effect and raises one with a negative"
    " effect: wanted are forget far below 0 and retain not below 0."
)


def print_request(typed: Namespace, request: EffectRequest) -> None:
    """Print the objective, checkpoint, rows and reference of a measurement that begins."""
    console = Console(soft_wrap=True)
    label = " ".join(filter(None, (typed.objective, format_setting(request.setting))))
    counts = {part: len(getattr(request.dataset, part)) for part in ("forget", "holdout", "retain")}
    console.print(
        f"{label} at {typed.checkpoint}: {', '.join(f'{n} {part}' for part, n in counts.items())} rows",
        markup=False,
        highlight=False,
    )
    if typed.reference is None:
        console.print("the reference is the checkpoint itself (--reference names another)", highlight=False)


def print_effect(effect: GEffect, by: Sequence[str]) -> None:
    """Print the effects as tables, with what explains their sign, and the shares that are asked for."""
    console = Console(soft_wrap=True)
    _print_terms(console, effect)
    _print_shares(console, effect, by)
    _print_weights(console, effect)


def _print_terms(console: Console, effect: GEffect) -> None:
    """Print the effect of each term on each risk, whole and by part of the model."""
    columns = {
        f"{one['term'].replace('_', ' ')} on {RISK_ROWS[one['risk']]}": {"whole": one["whole"], **one["parts"]}
        for one in effect["effects"]
    }
    names = next(iter(columns.values()))
    rows = [[name, *(_format(column[name]) for column in columns.values())] for name in names]
    _print_table(console, {"weights": "left"}, rows, [*columns])
    console.print(SIGN, highlight=False)


def _print_shares(console: Console, effect: GEffect, by: Sequence[str]) -> None:
    """Print each layer's or each row's share of the objective's effects."""
    forget, retain = effect["effects"][:2]
    shares = {
        "layer": zip(range(1, len(forget["layers"]) + 1), forget["layers"], retain["layers"], strict=True),
        "row": zip(effect["rows"], forget["rows"], retain["rows"], strict=True),
    }
    for name in dict.fromkeys(by):
        rows = [[str(number), *map(_format, pair)] for number, *pair in shares[name]]
        _print_table(console, {name: "right"}, rows, [f"objective on {rows_of}" for rows_of in RISK_ROWS.values()])


def _print_weights(console: Console, effect: GEffect) -> None:
    """Print the objective's weights of tokens by their probability."""
    if not effect["weights"]:
        console.print("the objective reads no probability of its labels, so that its tokens have no weights")
        return
    rows = [
        [
            f"{one['p']:.1f} to {one['p'] + 0.1:.1f}",
            str(one["n"]),
            *map(_format, (one["mean"], one["low"], one["high"])),
        ]
        for one in effect["weights"]
    ]
    _print_table(console, {"p of the token": "left"}, rows, ["tokens", "mean weight", "10 %", "90 %"])


def _print_table(
    console: Console, names: Mapping[str, Any], rows: Sequence[Sequence[str]], numbers: Sequence[str]
) -> None:
    """Print rows under the names of columns, each with its side, and those of numbers."""
    table = Table()
    for name, side in {**names, **dict.fromkeys(numbers, "right")}.items():
        table.add_column(name, justify=side)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _format(value: float) -> str:
    return f"{value:.4g}"
