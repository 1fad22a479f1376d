"""Plot the best setting's gradient effects over steps as heat maps: by layer, and by forget row."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import altair as alt

from sweep.records import Risk, TermEffect
from sweep.report.figure import Figure, Plot, Table
from sweep.report.g_effect.curves import RISKS, EffectCurve, list_terms
from sweep.report.g_effect.scales import TICK_FORMAT, build_colours
from sweep.report.g_effect.steps import describe_seeds
from sweep.report.marks import Row, build_tooltips, embed_rows
from sweep.report.numbers import format_number

COLOURS_NOTE = (
    "Blue: below 0, the risk rises. Orange: above 0, it falls. The colours are logarithmic on both sides of 0."
)
ENDS = ("embeddings", "head")
MIN_ROW_PX, MAX_HEIGHT_PX = 14, 420


def plot_layers(key: str, curve: EffectCurve, risk: Risk) -> Figure:
    """Plot the objective's effect on a risk by layer and step; by third of the layers where no layer was kept."""
    rows = _build_rows(curve, risk, "layer")
    places = list(dict.fromkeys(str(row["layer"]) for row in rows))
    sums = {place: sum(float(str(row["effect"])) for row in rows if row["layer"] == place) for place in places}
    most = max(sums, key=lambda place: abs(sums[place]))
    share = abs(sums[most]) / (sum(map(abs, sums.values())) or 1.0)
    seen = f"Effect on the {RISKS[risk]} by layer: {share:.0%} of it lies in {_name_place(most)}"
    return Figure(
        key=key,
        title=seen,
        note=f"Setting “{curve.label}”, effect of the objective; the cells of a step sum to its effect. {COLOURS_NOTE}"
        f"{describe_seeds([curve])}",
        alt=f"Heat map of the gradient effect on the {RISKS[risk]} by layer and step. {seen}.",
        plot=_draw_map(rows, "layer", places[::-1]),
        table=Table(columns=("layer", "step", "effect"), rows=[list(row.values()) for row in rows]),
    )


def plot_rows(key: str, curve: EffectCurve, risk: Risk) -> Figure:
    """Plot each forget row's share of the objective's effect on a risk, by step; no plot where none was measured."""
    rows = _build_rows(curve, risk, "row")
    places = list(dict.fromkeys(str(row["row"]) for row in rows))
    sums = {place: sum(float(str(row["effect"])) for row in rows if row["row"] == place) for place in places}
    seen = f"No forget row's share of the effect on the {RISKS[risk]} was measured (eval.g_effect.by=[layer,row])"
    if sums:
        lowest = min(sums, key=sums.__getitem__)
        total = sum(sums.values())
        seen = (
            f"Effect on the {RISKS[risk]} by forget row: row {lowest} has the lowest sum,"
            f" {format_number(sums[lowest], 3)} of {format_number(total, 3)}"
        )
    return Figure(
        key=key,
        title=seen,
        note=f"Setting “{curve.label}”: what each forget row's part of the objective does to the {RISKS[risk]}; the "
        f"cells of a step sum to its effect. {COLOURS_NOTE}{describe_seeds([curve])}",
        alt=f"Heat map of the gradient effect on the {RISKS[risk]} by forget row and step. {seen}.",
        plot=_draw_map(rows, "row", sorted(places, key=int)) if rows else None,
        table=Table(columns=("row", "step", "effect"), rows=[list(row.values()) for row in rows]),
    )


def _name_place(place: str) -> str:
    return f"the {place}" if place in ENDS else f"layer {place}" if place.isdigit() else f"the {place} layers"


def _build_rows(curve: EffectCurve, risk: Risk, kind: str) -> list[Row]:
    """Build a row for each place (a layer or a forget row) and step, with the mean over runs."""
    rows: list[Row] = []
    for step, effects in curve.steps.items():
        found = list_terms(effects, risk)
        numbers = next((effect["rows"] for effect in effects), [])
        by_place = [_split_layers(one) if kind == "layer" else _split_rows(one, numbers) for one in found]
        for place in by_place[0] if by_place else ():
            rows.append({kind: place, "step": step, "effect": fmean(one[place] for one in by_place)})
    return rows


def _split_layers(one: TermEffect) -> Mapping[str, float]:
    """Return an effect by layer, between embeddings and head; by third where layers were not kept."""
    parts = one["parts"]
    if not one["layers"]:
        return parts
    layers = {str(number): value for number, value in enumerate(one["layers"], 1)}
    return {ENDS[0]: parts[ENDS[0]], **layers, ENDS[1]: parts[ENDS[1]]}


def _split_rows(one: TermEffect, numbers: Sequence[int]) -> Mapping[str, float]:
    return {str(number): value for number, value in zip(numbers, one["rows"], strict=False)}


def _draw_map(rows: Sequence[Row], kind: str, places: Sequence[str]) -> Plot:
    scale, ends = build_colours(float(str(row["effect"])) for row in rows)
    legend = alt.Legend(title=None, orient="bottom", offset=6, values=ends, format=TICK_FORMAT, gradientLength=200)
    shown = alt.Axis(labelAngle=0, labelOverlap=True, grid=False)
    cells = alt.Chart(embed_rows(rows)).mark_rect()
    encoded = cells.encode(
        x=alt.X("step:O", title="steps taken", axis=shown),
        y=alt.Y(f"{kind}:N", title="forget row" if kind == "row" else "layer", sort=[*places], axis=shown),
        color=alt.Color("effect:Q", scale=scale, legend=legend),
        tooltip=[alt.Tooltip(f"{kind}:N"), *build_tooltips(("step", "effect"))],
    )
    height = min(MAX_HEIGHT_PX, max(MIN_ROW_PX, 200 // len(places)) * len(places))
    return alt.layer(encoded).properties(height=height)
