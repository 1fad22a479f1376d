"""Tables for a paper: which numbers are in them, which are bold, and that no text is taken for markup."""

import re
from dataclasses import replace

import pytest

from support.reports import GOOD, SIDES, reported, small
from support.trials import PAPER, repeats, trial
from sweep.report.data import ReportData
from sweep.report.paper.exports import format_exports
from sweep.report.paper.markup import format_latex, format_markdown
from sweep.report.paper.tables import PaperRow, PaperTable, build_comparison_tables, build_result_table

SPECIAL = "a_b & 100% #1 $x$ {y} ~z^2 \\input{/etc/passwd} |<b>*[c](d)`e`\n\x1b[31m"
"""Text that would be markup, a command or an order to a terminal."""


def alone(name: str, *scores: float) -> ReportData:
    """A sweep whose best setting has these scores on report seeds."""
    finalists = repeats(0, GOOD, *scores, **SIDES)
    return reported(trial(0, GOOD, scores[0]), *finalists, name=name)


def test_the_best_is_bold_beside_the_paper_s() -> None:
    """.2, .3, .4 against .3, .5, .6: .1667 ± 4.30265 · .03333 leaves out 0."""
    table = build_result_table(small())
    assert [(row.name, row.setting, row.result) for row in table.rows] == [
        ("best", "alpha=2.1 beta=6", "best"),
        ("paper (stand-in)", "alpha=1.5 beta=7", "worse"),
    ]
    assert table.rows[0].numbers == ["0.300 ± 0.100", "0.250 ± 0.000", "0.750 ± 0.000", ""]
    assert table.rows[1].numbers[0::3] == ["0.467 ± 0.153", "+0.167 [+0.023, +0.310]"]
    assert table.caption.startswith(
        "Better than the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): "
    )
    assert "until 95 % of its retain ES" in table.caption and "over 3 report seeds" in table.caption
    latex = format_latex(table).splitlines()
    assert (
        r"best & alpha=2.1 beta=6 & $\mathbf{0.300 \pm 0.100}$ & $0.250 \pm 0.000$ & $0.750 \pm 0.000$ &  & best \\"
        in (latex)
    )
    assert [line for line in latex if "rule" in line] == ["\\toprule", "\\midrule", "\\bottomrule"]
    assert "| best | alpha=2.1 beta=6 | **0.300 ± 0.100** | 0.250 ± 0.000 |" in format_markdown(table)


@pytest.mark.parametrize(
    ("paper", "results"),
    [([0.3, 0.2, 0.4], ["tied", "tied"]), ([0.1, 0.2, 0.3], ["worse", "best"]), ([0.5], ["tied", "tied"])],
)
def test_bold_is_only_what_is_not_tied(paper: list[float], results: list[str]) -> None:
    """Where the paper's setting is lower on every seed by .1 it is the best; one seed has no interval."""
    found = repeats(3, GOOD, 0.2, 0.3, 0.4, **SIDES)
    table = build_result_table(reported(trial(0, GOOD, 0.2), trial(1, PAPER, 0.5), *repeats(0, PAPER, *paper), *found))
    assert [row.result for row in table.rows] == results
    assert [row.name.startswith("best") for row in table.rows] == [True, False]
    assert ("**" in format_markdown(table)) == ("\\mathbf" in format_latex(table)) == ("best" in results)


def test_objectives_are_sorted_and_a_tie_is_not_bold() -> None:
    """One has no trial on a report seed, and comes last without numbers; sweeps of one objective have their names."""
    clear = build_comparison_tables([alone("b", 0.5, 0.6, 0.75), alone("a", 0.1, 0.2, 0.3)])[0]
    assert [(row.name, row.numbers[0], row.result) for row in clear.rows] == [
        ("a", "0.200 ± 0.100", "best"),
        ("b", "0.617 ± 0.126", "worse"),
    ]
    tied = build_comparison_tables([alone("b", 0.2, 0.1, 0.4), alone("a", 0.1, 0.2, 0.3), reported(name="c")])[0]
    assert [row.result for row in tied.rows] == ["tied", "tied", ""]
    assert tied.rows[2].numbers == ["-", "-", "-", ""]
    assert "\\mathbf" not in format_latex(tied)


def test_files_are_named_after_what_they_compare() -> None:
    """One sweep has a result once something ran on report seeds, several have a comparison."""
    assert [*format_exports([small()])] == ["result.tex", "result.md"]
    assert [*format_exports([small("a"), small("b")])] == ["comparison.tex", "comparison.md"]
    assert format_exports([reported(trial(0, PAPER, 0.5))]) == {}


def test_no_text_is_taken_for_markup() -> None:
    """Without its own escapes LaTeX and Markdown find nothing to obey, and a row is one line."""
    row = PaperRow(name=SPECIAL, setting=SPECIAL, numbers=["0.5", "-", "-", ""], result="tied")
    table = PaperTable(key="k", caption=SPECIAL, first="objective", rows=[row, replace(row, name="[1] * \\\\")])
    latex, markdown = format_latex(table), format_markdown(table)
    body = latex[latex.index("\\caption") :]
    own = r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\\[{}$&#_%]|\{[\[\]*]\}"
    assert "input" in re.sub(own, "", body) and "\\input" not in re.sub(own, "", body)
    bare = re.sub(own, "", next(line for line in body.splitlines() if line.startswith("a\\_b")))
    assert bare.count("&") == 6 and bare.count("$") == 2 and not set("#_~^<>|[]*{}") & {*bare}
    assert "{[}1{]} {*}" in body
    line = next(line for line in markdown.splitlines() if line.startswith("| a"))
    assert re.sub(r"\\.", "", line).count("|") == 8 and not set("<>*[`~&#$_") & {*re.sub(r"\\.", "", line)}
    assert "\x1b" not in latex + markdown
