"""What the report shows of gradient effects, against numbers worked out by hand."""

import math
from dataclasses import replace

import altair as alt
import pytest

from support.g_effects import gallery, measured, with_effects
from support.reports import GOOD, reported, small, spiral
from support.trials import PAPER, repeats, trial
from sweep.records import GEffect, TermEffect
from sweep.report import page
from sweep.report.figure import Figure
from sweep.report.g_effect.curves import choose_curves
from sweep.report.g_effect.early import correlate, measure_early, plot_early
from sweep.report.g_effect.scales import build_symlog
from sweep.report.g_effect.sections import plot_g_effects
from sweep.report.sections import build_comparison_sections, build_sweep_section


def find(figures: list[Figure], key: str) -> Figure:
    """The figure with this key."""
    return next(figure for figure in figures if figure.key == f"g-effect-{key}")


def test_without_effects_there_is_no_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a sweep nor for a comparison."""
    monkeypatch.setattr(page, "build_vega_script", str)  # it takes a second
    sweeps = [small(), small("other")]
    sections, compared = [build_sweep_section(sweep) for sweep in sweeps], build_comparison_sections(sweeps)
    assert [section.g_effects for section in sections] == [[], []] and compared[0].g_effects is None
    assert "Gradient effects" not in page.render_page(sections, compared)


def test_a_few_settings_have_a_line_each() -> None:
    """In the order of their values; after 3 steps the objective has -10 - 1, and the retain term 4: -7 in all."""
    sweep = gallery()
    assert [curve.label for curve in choose_curves(sweep)] == ["alpha=0.5 beta=1", "alpha=2 beta=1"]
    figure = find(plot_g_effects(sweep), "forget")
    assert [list(row) for row in figure.table.rows][2:] == [
        ["alpha=2 beta=1", 0, -2.0, 0.0, -2.0, 1],
        ["alpha=2 beta=1", 3, -11.0, 4.0, -7.0, 1],
    ]
    assert figure.title == "Effect on the forget risk: lowest -21 after 3 steps, “alpha=0.5 beta=1”"
    assert find(plot_g_effects(sweep), "terms-forget").title.endswith("at 4 of 4 points")


def test_finalists_are_means_over_report_seeds() -> None:
    """Of -1 - 1 and -3 - 1 the mean is -3; the trials of the search are not drawn any more."""
    runs = [
        with_effects(run, measured(0, size)) for run, size in zip(repeats(0, GOOD, 0.1, 0.2), (1.0, 3.0), strict=True)
    ]
    search = [with_effects(trial(0, PAPER, 0.5), measured(0, 7.0)), with_effects(trial(1, GOOD, 0.2), measured(0, 7.0))]
    figure = find(plot_g_effects(reported(*search, *runs)), "forget")
    assert [list(row) for row in figure.table.rows] == [["best", 0, -3.0, 0.0, -3.0, 2]]
    assert figure.note.endswith("Mean over 2 seeds.")
    before = find(plot_g_effects(reported(*search)), "forget")
    assert [row[0] for row in before.table.rows] == ["best", "runner-up = paper (stand-in)"]


def test_layers_and_rows_of_the_best_setting() -> None:
    """After 3 steps the first of 3 layers has -10 of -11; of the retain risk row 2 has 0, row 5 has 9."""
    figures = plot_g_effects(gallery())
    cells = {(row[0], row[1]): row[2] for row in find(figures, "layers-forget").table.rows}
    assert cells["1", 3] == -10.0 and cells["embeddings", 3] == -1.0 and cells["head", 0] == 0.0
    assert [list(row) for row in find(figures, "rows-retain").table.rows][2:] == [["2", 3, 0.0], ["5", 3, 9.0]]
    assert "row 2 has the lowest sum, -11 of -13" in find(figures, "rows-forget").title


def test_without_shares_the_thirds_stand_in_and_rows_say_how() -> None:
    """eval.g_effect.by=[] keeps the thirds alone."""
    bare = gallery()
    records = [replace(record, g_effects=[_strip(one) for one in record.g_effects]) for record in bare.records]
    figures = plot_g_effects(replace(bare, records=records))
    assert {row[0] for row in find(figures, "layers-forget").table.rows} == {
        "embeddings", "shallow", "middle", "deep", "head"
    }  # fmt: skip
    rows = find(figures, "rows-forget")
    assert rows.plot is None and "eval.g_effect.by=[layer,row]" in rows.title


def _strip(effect: GEffect) -> GEffect:
    bare = [TermEffect(**{**one, "layers": [], "rows": []}) for one in effect["effects"]]
    return GEffect(step=effect["step"], effects=bare, rows=[], weights=effect["weights"])


def test_token_weights() -> None:
    """A row for each tenth of p that has tokens, at its middle; without weights the title says why."""
    figure = find(plot_g_effects(gallery()), "weights-3")
    assert list(figure.table.rows[0]) == ["alpha=0.5 beta=1", 0.05, pytest.approx(0.2), 0.1, 0.3, 3]
    assert figure.title == "Token weights after 3 steps: 0.2 where p < 0.1, 1 where p > 0.9"
    none = find(plot_g_effects(gallery(weights=False)), "weights-0")
    assert none.plot is None and none.title.startswith("Token weights: none, as the objective's loss does not read")


def test_the_rank_correlation_of_early_effects_and_scores() -> None:
    """Scores rise with alpha, the forget effect falls: -1; of 6 pairs two neighbours are swapped: 1 - 6·2 / (6·35)."""
    trials = [with_effects(record, measured(0, 1.0 + i)) for i, record in enumerate(spiral(8))]
    figure = plot_early(reported(*trials), "forget")
    assert figure.title == "Early effect on the forget risk and score: rank correlation -1.00 (8 trials, p < 0.001)"
    found = correlate([(0.0, 1.0), (1.0, 0.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0), (5.0, 5.0)])
    assert found is not None and found.rho == pytest.approx(1 - 6 * 2 / (6 * 35))
    assert plot_early(reported(*trials[:4]), "retain").plot is None
    equal = correlate([(1.0, float(i)) for i in range(5)])
    assert equal is not None and math.isnan(equal.rho) and "not defined" in str(equal)


def test_early_is_the_first_epoch() -> None:
    """5 forget rows in batches of 2 are 2 steps: -2 and -4 count, step 2 does not; without the rows step 0 alone."""
    record = with_effects(trial(0, GOOD, 0.2), measured(0, 1.0), measured(1, 3.0), measured(2, 99.0))
    sweep = reported(record)
    assert sweep.config.train.batch == 2
    assert measure_early(replace(sweep, n_forget=5), record, "forget") == -3.0
    assert measure_early(sweep, record, "forget") == -2.0
    assert "mean effect in the first epoch" in plot_early(replace(sweep, n_forget=5), "forget").note
    assert "effect at the target" in plot_early(sweep, "forget").note


def test_the_axis_shows_four_decades_of_both_signs() -> None:
    """Of 152 these are 100, 10, 1 and 0.1; where all is 0 there is an axis too."""
    scale, ticks = build_symlog([-152.0, 0.001])
    assert scale.constant == pytest.approx(0.1)
    assert ticks == pytest.approx([-100, -10, -1, -0.1, 0, 0.1, 1, 10, 100])
    assert 0.0 in build_symlog([0.0])[1] and build_symlog([5e-324]) == build_symlog([])


def test_a_comparison_lays_best_settings_over_one_another_and_all_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three small plots for each objective, a table with a row for each and for all together."""
    sweeps = [gallery("one"), gallery("two")]
    (section,) = build_comparison_sections(sweeps)
    compared = section.g_effects
    assert compared is not None
    assert [figure.key.rsplit("-", 1)[1] for figure in compared.overlays] == ["forget", "retain"]
    assert {row[0] for row in compared.overlays[0].table.rows} == {"one", "two"}
    assert [len(panels) for panels in compared.panels] == [3, 3]
    assert [list(row[:3]) for row in compared.correlations.rows] == [
        ["one", 2, "too few trials"],
        ["two", 2, "too few trials"],
        ["all together", 4, "too few trials"],
    ]
    monkeypatch.setattr(page, "build_vega_script", str)
    html = page.render_page([build_sweep_section(sweep) for sweep in sweeps], [section])
    assert html.count("<h2>Gradient effects</h2>") == 2 and "Gradient effects of the objectives" in html


def test_every_plot_is_valid() -> None:
    """By Vega-Lite's schema; and every figure has an alternative text, and its numbers as a table."""
    (section,) = build_comparison_sections([gallery("one"), gallery("two")])
    assert section.g_effects is not None
    figures = [*plot_g_effects(gallery()), *section.g_effects.list_figures()]
    figures.append(plot_early(reported(*(with_effects(r, measured(0, 1.0)) for r in spiral(6))), "forget"))
    for figure in (one for one in figures if one.plot is not None):
        assert isinstance(figure.plot, alt.LayerChart)
        figure.plot.to_dict(validate=True)
        assert figure.alt.endswith(".") and figure.table.rows


def test_a_large_sweep_does_not_hold_the_effects_of_all_trials() -> None:
    """Of 60 trials with 20 measurements each the page has those of the highlighted ones, and a point for each trial."""
    effects = [measured(step, 1.0 + step) for step in range(20)]
    sweep = reported(*(with_effects(record, *effects) for record in spiral(60)))
    n_rows = sum(len(figure.table.rows) for figure in plot_g_effects(sweep))
    assert n_rows < 60 * 20
