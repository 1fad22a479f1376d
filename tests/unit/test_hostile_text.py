"""Names, reasons and settings may hold anything: on terminals, in files, on pages and in MLflow they stay text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from support import toys
from support.plans import toy_plan
from support.trials import PAPER, repeats, trial
from sweep.config.schema import SweepConfig
from sweep.display.board import Board
from sweep.display.lines import TextDisplay
from sweep.records import TrialRecord, escape_unprintable
from sweep.redaction import escape_markdown
from sweep.report.data import ReportData
from sweep.report.page import render_page
from sweep.report.sections import build_comparison_sections, build_sweep_section
from sweep.report.write_report import PAGE_FILE, PLOTS_FOLDER, write_files
from sweep.results.comparison import compare_objectives
from sweep.results.console_tables import render_comparison, render_sweep
from sweep.results.csv_tables import format_comparison_csv, format_trials_csv
from sweep.results.sweep_records import SweepRecords

MARKUP = "[red]x[/red] [/nothing] [link=http://x]y"
TERMINAL = "\x1b[31m\x1b]0;title\x07\x9b2J\r\u202e"
PAGES = (
    "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)' {{ 7 * 7 }} {% raw %}"
    "[a](javascript:alert(1)) datum.x ${alert(1)} <!-- ]]>"
)
HOSTILE = f"{PAGES}{MARKUP}{TERMINAL}"
WORD = "x" * len(HOSTILE)


def named(storage: Path, word: str) -> SweepConfig:
    """A sweep in which each free text is the word, and one setting is a text."""
    plain = toys.config(storage, seeds=2)
    blocks = {block: getattr(plain, block).model_copy(update={"name": word}) for block in ("model", "data", "cluster")}
    space = {"alpha": plain.space["alpha"], "beta": {"choices": [word, 7.0]}}
    changed = plain.model_copy(update=blocks).model_dump() | {"space": space, "experiment": word}
    return SweepConfig.model_validate(changed)


def records(word: str = HOSTILE) -> list[TrialRecord]:
    """One that finished, with a text for a value, and one that failed."""
    first = trial(0, PAPER | {"beta": word}, 0.5, metrics={"score": 0.5, "forget/es": 0.2, "retain/es": 0.5})
    failed = replace(trial(1, PAPER, 0.5), state="failed", metrics={}, reason=word)
    return [replace(one, worker=word, started=1.0 + i, ended=3.0) for i, one in enumerate([first, failed])]


def answered(word: str) -> dict[str, str]:
    """A row whose question and answers are the word."""
    texts = dict.fromkeys(("question", "target", "compared", "unlearned"), word)
    return {"part": "forget", "row": "1", "chosen": "evenly spread", "answer": "known"} | texts


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The hostile one."""
    return named(tmp_path / HOSTILE.replace("/", "|"), HOSTILE)


def drawn(*what: object) -> str:
    """What reaches a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=4000, color_system=None)
    for one in what:
        console.print(one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def obeyed(text: str) -> set[str]:
    """The control characters in a text, but for the ends of lines."""
    return {letter for letter in text if not letter.isprintable()} - {"\n"}


def test_printable_keeps_what_is_read() -> None:
    """Letters of any script, several lines; the rest as Python writes it."""
    assert escape_unprintable("é ± 東\n[x]") == "é ± 東\n[x]"
    assert escape_unprintable("\x1b[31m\u202e\t") == "\\x1b[31m\\u202e\\t"


def test_the_live_table_shows_it(config: SweepConfig) -> None:
    """A reason in brackets is no markup, and no character is an order to the terminal."""
    board = Board([toy_plan(config, "sweep")])
    for record in records():
        board.update_trial("sweep", record)
    text = drawn(board)
    assert text.count(escape_unprintable(HOSTILE)) == 3  # the best's setting twice, the reason
    assert obeyed(text) == set()


def test_lines_show_it(config: SweepConfig) -> None:
    """Where there is no terminal, as well."""
    out = io.StringIO()
    TextDisplay(Console(file=out), [toy_plan(config, "sweep")]).for_sweep("sweep").on_trial_update(records()[1])
    assert f"failed ({escape_unprintable(HOSTILE)})" in out.getvalue()
    assert obeyed(out.getvalue()) == set()


def test_the_tables_at_the_end_show_it(config: SweepConfig) -> None:
    """Of a sweep and of several."""
    sweep = SweepRecords(name="one", config=config, records=records())
    text = drawn(render_sweep(sweep), render_comparison([sweep, replace(sweep, name="two")]))
    assert escape_unprintable(f"{HOSTILE}, {HOSTILE}") in text
    assert obeyed(text) == set()


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_a_spreadsheet_computes_nothing(config: SweepConfig, formula: str) -> None:
    """A text that would be a formula begins with an apostrophe; numbers are as they were."""
    there = [replace(trial(0, {"alpha": -1.5, "beta": formula}, -0.5), reason=formula)]
    other = config.model_copy(update={"model": config.model.model_copy(update={"name": formula})})
    rows = list(csv.DictReader(io.StringIO(format_trials_csv(there), newline="")))
    assert [(row["alpha"], row["beta"], row["score"], row["reason"]) for row in rows] == [
        ("-1.5", f"'{formula}", "-0.5", f"'{formula}")
    ]
    text = format_comparison_csv(compare_objectives([SweepRecords(name="one", config=other, records=there)])[0])
    assert next(csv.DictReader(io.StringIO(text, newline="")))["model"] == f"'{formula}"


def test_a_trial_is_one_line(config: SweepConfig) -> None:
    """Whatever its reason; a reader of the file finds each column."""
    rows = list(csv.DictReader(io.StringIO(format_trials_csv(records()), newline="")))
    assert [row["reason"] for row in rows] == ["", escape_unprintable(HOSTILE)]
    assert rows[0]["beta"] == escape_unprintable(HOSTILE)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its texts outside scripts and styles."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts = "", [""]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep it with texts or with scripts."""
        if self.cdata_elem is None:
            self.text += data
        else:
            self.scripts.append(data)


def compared(config: SweepConfig, trials: Sequence[TrialRecord]) -> list[ReportData]:
    """Two sweeps that are compared."""
    first, second = repeats(0, trials[0].setting, 0.5, 0.25)
    repeated = [replace(first, answers=[answered(trials[0].worker)]), second]
    one = ReportData(name="one", config=config, records=[*trials, *repeated], target_metrics={})
    return [one, replace(one, name="two")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the report of the hostile ones is written."""
    above = tmp_path_factory.mktemp("above")
    own = above / "report"
    own.mkdir()
    path, *_ = write_files(own, compared(named(above / HOSTILE.replace("/", "|"), HOSTILE), records()))
    assert path == own / PAGE_FILE
    return own


@pytest.fixture(scope="module")
def shown(folder: Path) -> Elements:
    """The page, as a browser takes it apart."""
    return Elements((folder / PAGE_FILE).read_text(encoding="utf-8"))


def test_the_report_shows_it(shown: Elements, folder: Path) -> None:
    """It has the elements and attributes of a page of harmless names; files stay in their folder."""
    sweeps = compared(named(folder, WORD), records(WORD))
    harmless = Elements(render_page([build_sweep_section(one) for one in sweeps], build_comparison_sections(sweeps)))
    assert [(tag, [*values]) for tag, values in shown.found] == [(tag, [*values]) for tag, values in harmless.found]
    assert shown.text.count("{{ 7 * 7 }} {% raw %}") > 10
    ids = [str(values["id"]) for _, values in shown.found if "id" in values]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in ids)
    assert {file.parent for file in folder.parent.rglob("*") if file.is_file()} == {folder, folder / PLOTS_FOLDER}


def test_the_tables_of_a_paper_show_it(folder: Path) -> None:
    """No control character, and no markup that is not escaped."""
    latex, markdown = ((folder / f"comparison.{kind}").read_text(encoding="utf-8") for kind in ("tex", "md"))
    assert obeyed(latex + markdown) == set()
    assert "alert" in latex and "alert" in markdown
    assert not re.search(r"(?<!\\)[<>]", markdown) and not re.search("[<>]", latex)


def test_plots_hold_it_as_data(shown: Elements) -> None:
    """In the JSON of a plot it is a value or a title; no expression of Vega is made of it."""
    specs = [json.loads(text) for text in shown.scripts if text.startswith("{")]
    assert any(HOSTILE in _values(spec) for spec in specs)
    expressions = [text for spec in specs for text in _expressions(spec)]
    assert expressions
    assert not any("alert" in text for text in expressions)


def _values(node: object) -> list[object]:
    """All that is in a specification."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [value for each in inner for value in _values(each)] or [node]


def _expressions(node: object) -> list[str]:
    """What Vega computes in a specification."""
    if isinstance(node, list):
        return [text for each in node for text in _expressions(each)]
    if not isinstance(node, dict):
        return []
    own = [str(node[key]) for key in ("expr", "signal", "calculate", "filter", "test") if key in node]
    return own + [
        text for key, each in node.items() if key not in ("values", "datasets") for text in _expressions(each)
    ]


def test_mlflow_keeps_it(config: SweepConfig, mlflow_here: Path) -> None:
    """Tags, params and names hold it letter for letter; in the sweep's note, which is Markdown, it is no markup."""
    from support.tracked import client  # MLflow takes a second, and only here it is needed
    from sweep.tracking.backfill import backfill_sweep

    stored = config.model_copy(update={"experiment": "hostile", "storage": mlflow_here})
    backfill_sweep(stored, "sweep", "FINISHED", records())
    store = client(mlflow_here)
    experiment = store.get_experiment_by_name("hostile")
    assert experiment is not None
    runs = store.search_runs([experiment.experiment_id])
    assert len(runs) == 3
    assert all(run.data.tags["model"] == run.data.tags["data"] == HOSTILE for run in runs)
    assert [run.data.tags["reason"] for run in runs if "reason" in run.data.tags] == [HOSTILE]
    assert HOSTILE in {run.data.params.get("beta") for run in runs}
    (note,) = [run.data.tags["mlflow.note.content"] for run in runs if "mlflow.note.content" in run.data.tags]
    assert note.startswith(f"**{escape_markdown(f'wtnpo on {HOSTILE}, {HOSTILE}')}: the sweep has ended.**")
    assert not re.search(r"(?<!\\)[<!]", note)
