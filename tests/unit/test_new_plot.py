"""A plot of the report is a file of sweep/report/plots and a line: added to a copy, it is in the page and a PNG."""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

import sweep
from support.commands import ROOT
from support.reports import small

MODULE = '''
"""Plot how many trials ended in each state."""

from collections import Counter

import altair as alt

from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Table
from sweep.report.marks import embed_rows


def plot_states(sweep: ReportData) -> Figure:
    """Plot the number of trials by state."""
    counts = Counter(record.state for record in sweep.records)
    rows = [{"state": state, "trials": n} for state, n in counts.items()]
    bars = alt.Chart(embed_rows(rows)).mark_bar().encode(x="trials:Q", y="state:N")
    return Figure(
        key="states",
        title=f"{counts['finished']} trials finished",
        note="All trials of the search, and all repeats.",
        alt="Bar chart of the number of trials by state.",
        plot=alt.layer(bars).properties(height=PLOT_HEIGHT_PX),
        table=Table(columns=("state", "trials"), rows=[list(pair) for pair in counts.items()]),
    )
'''
IMPORT = "from sweep.report.plots.timeline import plot_timeline\n"
LINE = "        plot_timeline(sweep),\n"
CHANGES = {IMPORT: IMPORT.replace("timeline", "states"), LINE: LINE.replace("timeline", "states")}
"""Lines of sections.py, and the line that is added before each."""


@pytest.fixture
def sections(tmp_path: Path) -> Iterator[Path]:
    """The sections of a copy of sweep/report/ with the new file, from which a program that has just started imports."""
    shutil.copytree(ROOT / "sweep/report", tmp_path / "sweep/report", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "sweep/report/plots/states.py").write_text(MODULE, encoding="utf-8")
    with patch.dict(sys.modules), patch.dict(vars(sweep)):
        for name in [name for name in sys.modules if name.startswith("sweep.report")]:
            del sys.modules[name]
        sweep.__path__ = [str(tmp_path / "sweep"), *sweep.__path__]
        yield tmp_path / "sweep/report/sections.py"


def test_a_new_plot_is_in_the_page_and_a_png(sections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two search trials and six repeats that finished, and the one that failed, the page has the numbers too."""
    text = sections.read_text(encoding="utf-8")
    for before, line in CHANGES.items():
        assert text.count(before) == 1
        text = text.replace(before, line + before)
    sections.write_text(text, encoding="utf-8")
    page, files = map(import_module, ("sweep.report.page", "sweep.report.write_report"))
    assert page.__file__ == str(sections.with_name("page.py"))
    monkeypatch.setattr(page, "build_vega_script", str)  # it takes a second, as does each PNG
    monkeypatch.setattr(files, "render_plot", lambda figure: {"png": figure.key.encode()})
    html, *pictures = files.write_files(tmp_path, [small()])
    found = html.read_text(encoding="utf-8")
    figure = found[found.index("<h3>8 trials finished</h3>") :].partition("</figure>")[0]
    assert 'aria-label="Bar chart of the number of trials by state."' in figure
    assert re.findall(r"<td[^>]*>(\w+)</td>", figure) == ["finished", "8", "failed", "1"]
    assert (tmp_path / "plots/states.png").read_bytes() == b"states"
    assert tmp_path / "plots/states.png" in pictures
