"""The report as a file: what it says, that it is one file, that nothing in it is taken for markup, and the command."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from support import toys
from support.reports import GOOD, NASTY, SIDES, reported, small
from support.trials import trial
from sweep.report.__main__ import main
from sweep.report.data import ReportData
from sweep.report.page import VEGA_LITE_VERSION, render_page
from sweep.report.sections import build_comparison_sections, build_sweep_section, describe_status
from sweep.report.write_report import PAGE_FILE, PLOTS_FOLDER, write_files
from sweep.search.study import SweepStudy, TrialRequest, create_study

OVER = "trials of the search, 0 runs of the race and 0 on report seeds are over."


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and texts outside scripts and styles."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.style = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keep it with its element."""
        if self.cdata_elem == "script":
            self.scripts.append((self.elements[-1][1], data))
        elif self.cdata_elem == "style":
            self.style += data
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a kind."""
        return [attributes for own, attributes in self.elements if own == tag]

    @property
    def text(self) -> str:
        """All texts, each space as one."""
        return " ".join(" ".join(self.texts).split())


def read(*sweeps: ReportData) -> Page:
    """The page of these sweeps."""
    return Page(render_page([build_sweep_section(one) for one in sweeps], build_comparison_sections(sweeps)))


@pytest.fixture(scope="module")
def shown() -> Page:
    """The page of one sweep."""
    return read(small())


def test_the_verdict_is_on_top_with_its_evidence(shown: Page) -> None:
    """t(.975, 2) = 4.30265, standard error .05774/√3 = .03333: .1667 ± .1434 leaves out 0."""
    top = shown.text[: shown.text.index("Pareto")]
    assert "better found stand-in other recipe" in top
    assert (
        "leaves 0.300 of the forget rows extractable at 95 % of retention, against 0.467 with alpha=1.5 beta=7" in top
    )
    assert "(difference -0.167, 95 % interval [-0.310, -0.023], 3 seeds)" in top
    assert "alpha 2.1 1.5 12% beta 6 7 4%" in top
    assert "forget ES at equal retention (the score), lower is better 0.300 ± 0.100 0.467 ± 0.153" in top
    assert "difference to the best, 95 % interval +0.167 [+0.023, +0.310]" in top
    assert "retain.reduction = &quot;tokens&quot;" not in top
    assert 'retain.reduction = "tokens", not "padded500"' in top


def test_every_plot_has_an_alternative_and_its_numbers(shown: Page) -> None:
    """A name for who does not see it, and a table for who cannot point at it, which can be reached by keyboard."""
    plots = [attributes for attributes in shown.all("div") if attributes.get("role") == "img"]
    assert len(plots) == len(shown.all("figure")) >= 6
    assert all(len(attributes["aria-label"]) > 20 for attributes in plots)
    assert len(shown.all("summary")) >= len(plots) + 2
    regions = [attributes for attributes in shown.all("div") if attributes.get("role") == "region"]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in regions)


def test_the_page_names_no_other_file(shown: Page) -> None:
    """No element of it loads anything."""
    loaded = [attributes.get("src") or attributes.get("href") for tag, attributes in shown.elements if tag != "a"]
    assert {name for name in loaded if name} == {"data:,"}
    assert not {"iframe", "object", "embed", "video"} & {tag for tag, _ in shown.elements}
    assert shown.style
    assert not re.search(r"url\(|@import", shown.style)


def test_what_anybody_wrote_stays_text(shown: Page) -> None:
    """A reason may hold anything; in a table it is text, and in a plot's data JSON."""
    assert NASTY in "".join(shown.texts)
    data = [text for attributes, text in shown.scripts if attributes.get("type") == "application/json"]
    assert any(NASTY in json.dumps(json.loads(text), ensure_ascii=False) for text in data)
    assert not any("<" in text for text in data)
    assert len([1 for attributes, _ in shown.scripts if not attributes]) == 2  # Vega's and our own
    assert not [tag for tag, attributes in shown.elements if "onerror" in attributes]


def test_no_password_is_in_it() -> None:
    """A library's error may tell one, and becomes a reason."""
    own = small()
    leaked = replace(own.records[1], state="failed", reason="cannot reach postgresql://me:secret@host/db")
    text = render_page([build_sweep_section(replace(own, records=[*own.records, leaked]))], [])
    assert "secret" not in text
    assert "postgresql://***@host/db" in text


def test_the_configuration_and_all_trials_are_there(shown: Page) -> None:
    """Nine trials: three of the search, six repeats; one failed."""
    assert "All trials (9)" in shown.text
    assert "objective: wtnpo" in shown.text
    assert "storage: /nowhere" in shown.text


@pytest.mark.parametrize(
    ("states", "says"),
    [
        (
            ["finished", "failed", "pruned"],
            f"mine: 3 of 3 {OVER}",
        ),
        (
            ["finished", "running"],
            f"mine: Running, 1 under way: 1 of 3 {OVER}",
        ),
        ([], f"mine: 0 of 3 {OVER}"),
    ],
)
def test_how_far_a_sweep_is(states: list[Any], says: str) -> None:
    """Of three trials that are planned."""
    records = [replace(trial(i, GOOD, 0.5), state=state) for i, state in enumerate(states)]
    assert describe_status(replace(small(), records=records)) == says


def test_without_a_setting_of_the_paper_the_best_is_shown() -> None:
    """The paper tuned no gradient ascent."""
    space = {"retain.weight": {"low": 0.1, "high": 10.0}}
    text = read(reported(trial(0, {"retain.weight": 2.0}, 0.25), objective="ga", space=space)).text
    assert "retain.weight=2 leaves 0.250 of the forget rows extractable" in text
    assert "The paper tuned no setting for this search." in text


def test_a_sweep_that_has_just_begun_has_a_report() -> None:
    """No trial, no plot, and a line for each that is not there."""
    empty = read(replace(small(), records=[]))
    assert empty.all("figure") == []
    assert "undecided" in empty.text
    assert "No trial has a score yet." in empty.text


def test_several_sweeps_are_compared() -> None:
    """One table for the two on the same model and data, best first; each has its section, which can be jumped to."""
    both = read(
        small("one", 0.2), small("two", 0.1, objective="tnpo", fixed={}, space={"beta": {"low": 0.25, "high": 10.0}})
    )
    assert "2 sweeps compared" in both.text
    assert {"#one", "#two"} <= {attributes.get("href", "") for attributes in both.all("a")}
    assert {"one", "two"} <= {attributes.get("id", "") for attributes in both.all("section")}
    rows = re.findall(r"(w?tnpo) \+ kl \w+ (\S+) ± (\S+)", both.text)
    assert rows == [("tnpo", "0.200", "0.100"), ("wtnpo", "0.300", "0.100")]


def test_written_files(tmp_path: Path) -> None:
    """The page, at most 2 MB, and for each plot in it an SVG, a PDF, and a PNG twice as wide as a plot."""
    files = write_files(tmp_path, [small()])
    assert files[0] == tmp_path / PAGE_FILE
    assert files[0].stat().st_size < 2_000_000
    names = {file.name for file in files if file.parent == tmp_path / PLOTS_FOLDER}
    stems = {"tradeoff", "retention", "seeds", "history", "timeline"}
    assert names >= {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf", "png")}
    for file in (tmp_path / PLOTS_FOLDER).iterdir():
        if file.suffix != ".png":
            assert file.read_bytes().startswith({".svg": b"<svg ", ".pdf": b"%PDF-"}[file.suffix])
            continue
        head = file.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(head[16:20], "big") >= 1280


def test_the_same_records_give_the_same_page() -> None:
    """In whatever order they come."""
    own = small()
    assert render_page([build_sweep_section(own)], []) == render_page(
        [build_sweep_section(replace(own, records=own.records[::-1]))], []
    )


def test_the_plots_are_drawn_by_the_vega_lite_they_are_written_for() -> None:
    """Altair says which; vl-convert has several."""
    assert VEGA_LITE_VERSION in vl_convert.get_vegalite_versions()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SweepStudy]:
    """The ledger of a sweep `mine` in ./runs, which this process is running."""
    monkeypatch.chdir(tmp_path)
    with create_study(toys.config(tmp_path / "runs", seeds=1), "mine") as ledger:
        yield ledger


def test_the_command_shows_a_sweep_that_another_process_runs(
    held: SweepStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    """One trial is over, one runs; the report is there, and neither was touched."""
    first, second = (held.open_attempt(TrialRequest(phase="search", index=i, seed=0, setting=None)) for i in range(2))
    held.close_attempt(replace(first, state="finished", metrics={"score": 0.5} | SIDES))
    assert main(["mine"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == Path("runs/mine/report.html").absolute()
    text = Page(path.read_text(encoding="utf-8")).text
    assert f"mine: Running, 1 under way: 1 of 3 {OVER}" in text
    assert held.close_attempt(replace(second, state="finished", metrics={"score": 0.25})).score == 0.25


def test_the_command_shows_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder lists the sweeps, and the report goes there."""
    for name in ("both.one", "both.two"):
        with create_study(toys.config(tmp_path), name):
            pass
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "sweeps.yaml").write_text("sweeps: [both.one, both.two]", encoding="utf-8")
    assert main(["both", f"storage={tmp_path}"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'both' / PAGE_FILE}\n"
    assert "2 sweeps compared" in (tmp_path / "both" / PAGE_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["mien"], "has no sweep of this name (nearest: mine)"),
        (["mine", "storage=elsewhere"], "elsewhere has no sweep of this name"),
        (["mine", "seed=1"], "only storage=DIR"),
        (["../mine"], "nearest: mine"),
    ],
)
def test_a_mistake_is_one_sentence(
    held: SweepStudy, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    """And no report is made."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not list(Path.cwd().rglob(PAGE_FILE))
