"""What a person sees: the report, MLflow's pages and optuna-dashboard, in a real Chromium against real servers."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from support.reports import large, small
from support.servers import answers, free_port, running
from sweep.report.write_report import write_files
from sweep.results.result_text import describe_sweep
from sweep.search.study import create_study
from sweep.tracking.backfill import attach_files, backfill_sweep, describe_result
from sweep.tracking.views import format_view_key, list_ui_lines

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BIN = Path(sys.executable).parent
"""Where the programs of this environment are."""
DRAWN = "document.querySelectorAll('.plot svg').length === document.querySelectorAll('.plot').length"
OVERLAPPING = """() => [...document.querySelectorAll('.plot svg')].flatMap((svg) => {
  const whole = svg.getBoundingClientRect();
  const seen = (text) => text.textContent && text.getAttribute('opacity') !== '0';
  const texts = [...svg.querySelectorAll('text')].filter(seen);
  const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  const cut = boxes.filter(([, box]) => box.left < whole.left - 1 || box.right > whole.right + 1);
  const pairs = boxes.flatMap((one, i) => boxes.slice(i + 1).map((two) => [one, two]));
  const met = pairs.filter(([[, a], [, b]]) => meet(a, b));
  return [...cut.map(([text]) => [text]), ...met.map(([[one], [two]]) => [one, two])];
})"""
"""Texts of plots that are cut off, alone, and pairs of texts that lie on one another."""

PATIENCE = 300_000
"""Milliseconds that a busy machine may take to draw what is waited for."""
expect.set_options(timeout=PATIENCE)

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no chromium, chromium-browser or google-chrome to be started"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        own = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield own
        own.close()


class Visit:
    """A page that notes what it complains of and what it asks of whom."""

    def __init__(self, browser: Browser, *, width: int = 1200, dark: bool = False) -> None:
        """An empty page."""
        self.dark = dark
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request))

    def open(self, report: Path) -> Page:
        """Open a report, and wait until all of it is drawn."""
        self.page.goto(report.as_uri())
        self.page.wait_for_function(DRAWN)
        return self.page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep with all that may be in one."""
    return write_files(tmp_path_factory.mktemp("report"), [large()])[0]


@pytest.fixture(scope="module", params=["wide and light", "narrow and dark"])
def visit(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The report as it opens on a desk by day and on a phone by night; who visits leaves it so."""
    own = Visit(browser, width=400, dark=True) if request.param == "narrow and dark" else Visit(browser)
    own.open(report)
    yield own
    own.page.close()


def whole_and_alone(visit: Visit, report: Path) -> None:
    """No complaint, no request but for itself; nothing wider than the page, no text cut off or on another."""
    assert visit.complaints == []
    assert {request.url for request in visit.requests if not request.url.startswith("data:")} == {report.as_uri()}
    assert visit.page.viewport_size is not None
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= visit.page.viewport_size["width"]
    assert visit.page.evaluate(OVERLAPPING) == []


def test_the_report_is_whole_and_alone(visit: Visit, report: Path) -> None:
    """As it opens."""
    whole_and_alone(visit, report)


def test_every_plot_has_a_name(visit: Visit) -> None:
    """As the accessibility tree has it: an image with what it shows, and nothing inside."""
    page = visit.page
    tree = page.locator("main").aria_snapshot()
    names = re.findall(r'\bimg "(.+?)"', tree)
    assert len(names) == page.locator(".plot").count() >= 9
    assert all(len(name) > 20 for name in names)
    assert len(re.findall(r"\bimg\b", tree)) == len(names)


def test_the_report_follows_light_and_dark(visit: Visit, report: Path) -> None:
    """The plots too, when the preference changes while it is open, and back: each has the colour of its card."""
    page, olds = visit.page, []
    colours = "[...document.querySelectorAll('figure, .plot svg')].map((one) => getComputedStyle(one).backgroundColor)"
    for dark in (not visit.dark, visit.dark):
        (old,) = set(page.evaluate(colours))
        olds.append(old)
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.wait_for_function(f"{DRAWN} && {colours}.every((one, i, all) => one === all[0] && one !== '{old}')")
        whole_and_alone(visit, report)
    assert {*page.evaluate(colours)} == {olds[0]}


def test_the_numbers_can_be_reached_by_keyboard(browser: Browser, report: Path) -> None:
    """Tab comes to a plot's data, Enter opens it, Tab goes on into the table, whose headings sort by Enter."""
    page = Visit(browser).open(report)

    def focus(text: str) -> None:
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent").strip() == text:
                return
        raise AssertionError(f"Tab does not come to {text}")

    focus("Data of this plot")
    page.keyboard.press("Enter")
    table = page.locator("figure").first.locator("table")
    expect(table).to_be_visible()
    focus("score")
    page.keyboard.press("Enter")
    column = [float(cell) for cell in table.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert column == sorted(column)
    assert table.locator("th").nth(2).get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert [float(cell) for cell in table.locator("tbody td:nth-child(3)").all_inner_texts()] == column[::-1]


def test_markup_in_a_reason_is_never_run(visit: Visit) -> None:
    """Not in a table, and not where a plot is pointed at."""
    page = visit.page
    failed = page.locator("figure").last.locator(".mark-text.role-mark text").first
    failed.scroll_into_view_if_needed()
    failed.hover(force=True)
    expect(page.locator("#vg-tooltip-element")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img, main script:not([type])").count() == 0
    box = page.locator("#vg-tooltip-element").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert page.viewport_size is not None
    assert box["x"] + box["width"] <= page.viewport_size["width"]
    assert visit.complaints == []


def test_several_sweeps(browser: Browser, tmp_path: Path) -> None:
    """Compared on top, then one after the other; still no request, and no wider than a phone."""
    tnpo = small("two", 0.1, objective="tnpo", space={"beta": {"low": 0.25, "high": 10.0}})
    (path, *_) = write_files(tmp_path, [small("one"), tnpo])
    visit = Visit(browser, width=400)
    page = visit.open(path)
    assert (visit.complaints, [r.url for r in visit.requests if not r.url.startswith("data:")]) == ([], [path.as_uri()])
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate(OVERLAPPING) == []
    page.get_by_role("link", name="tnpo on toy, authors", exact=True).click()
    expect(page.locator("#two")).to_be_in_viewport()


class Served(NamedTuple):
    """A sweep on the MLflow server: the link to it, its experiment's pages and id, the parent's run, the search's."""

    link: str
    address: str
    experiment: str
    parent: str
    nested: list[str]


@pytest.fixture(scope="module")
def served(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A sweep with a failed trial and repeats, as its driver leaves it."""
    folder = tmp_path_factory.mktemp("served")
    sweep = small()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "browser")
        _, parent = backfill_sweep(sweep.config, sweep.name, "FINISHED", sweep.records)
        attach_files(parent, folder, write_files(folder, [sweep]), {})
        describe_result(parent, describe_sweep(sweep, folder))
    client = MlflowClient(tracking_uri=mlflow_server)
    experiment = client.get_run(parent.run_id).info.experiment_id
    found = "tags.phase = 'search' and attributes.status = 'FINISHED'"
    nested = [run.info.run_id for run in client.search_runs([experiment], found)]
    (link,) = list_ui_lines(mlflow_server, experiment, format_view_key(sweep.name, parent.run_id))
    return Served(link, mlflow_server, experiment, parent.run_id, nested)


def test_the_link_shows_the_trials_without_a_click(browser: Browser, served: Served) -> None:
    """In a profile that has never seen MLflow: the lowest score first, beside it the searched hyper-parameters."""
    page = Visit(browser, width=1700).page
    page.goto(served.link)
    names = page.get_by_role("link", name=re.compile(r"#\d"))
    expect(names.first).to_have_text(re.compile(r"#\d 0\.200 alpha=2\.1 beta=6 seed="))
    expect(names.last).to_have_text("#2 failed alpha=0 beta=1 seed=0")
    for column in ("score", "alpha", "beta"):
        expect(page.get_by_role("columnheader", name=column, exact=True).first).to_be_in_viewport()
    scores = [float(name.split(" 0.")[1][:3]) for name in names.all_inner_texts()[:-1]]
    assert scores == sorted(scores)
    assert len(scores) == 8


def test_the_charts_show_settings_against_the_score(browser: Browser, served: Served) -> None:
    """As the link in the description of the sweep's run opens them, beside the verdict."""
    page = Visit(browser, width=1700).page
    page.goto(f"{served.address}/#/experiments/{served.experiment}/runs/{served.parent}")
    verdict = page.get_by_text("Better than the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): ")
    expect(verdict).to_be_visible()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Charts of settings and score").click()
    opened.value.set_default_timeout(PATIENCE)
    expect(opened.value.get_by_role("heading", name="alpha vs. score")).to_be_visible()
    expect(opened.value.get_by_role("heading", name="Parallel Coordinates")).to_be_visible()


def test_the_experiment_lists_runs_that_a_person_recognises(browser: Browser, served: Served) -> None:
    """The parent by the sweep's name; below it, once unfolded, each trial by what distinguishes it."""
    page = Visit(browser).page
    page.goto(f"{served.address}/#/experiments/{served.experiment}/runs")
    parent = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name="mine", exact=True))
    parent.get_by_role("button").first.click()
    expect(page.get_by_role("link", name="#0 0.500 alpha=1.5 beta=7 seed=0")).to_be_visible()
    expect(page.get_by_role("link", name="finalist #5 0.400 alpha=2.1 beta=6 seed=3")).to_be_visible()


def test_the_compare_page_draws_settings_against_the_score(browser: Browser, served: Served) -> None:
    """Parallel coordinates of both hyper-parameters; the metric is one of the list."""
    visit = Visit(browser, width=1500)
    page = visit.page
    runs, experiments = quote(json.dumps(served.nested)), quote(json.dumps([served.experiment]))
    page.goto(f"{served.address}/#/compare-runs?runs={runs}&experiments={experiments}")
    plot = page.locator(".js-plotly-plot").first
    expect(plot).to_contain_text("alpha")
    metrics = page.get_by_role("combobox").nth(1)
    metrics.click()
    metrics.press("Backspace")
    metrics.press_sequentially("score")
    page.locator(".rc-virtual-list").get_by_text("score", exact=True).click()
    expect(plot.get_by_text("score", exact=True)).to_be_visible()
    expect(plot.get_by_text("beta", exact=True)).to_be_visible()
    assert plot.locator("canvas").count() > 0
    expect(page.get_by_text("#1 0.200 alpha=2.1 beta=6 seed=0").first).to_be_visible()


def test_the_report_opens_as_an_artifact(browser: Browser, served: Served) -> None:
    """Inside MLflow's own page, drawn, and without a request to anybody but the server."""
    visit = Visit(browser)
    visit.page.goto(f"{served.address}/#/experiments/{served.experiment}/runs/{served.parent}/artifacts/report.html")
    frame = visit.page.frame_locator("iframe").first
    expect(frame.locator("h1")).to_have_text("wtnpo on toy, authors")
    expect(frame.locator(".plot svg").first).to_be_visible()
    elsewhere = [
        request.url for request in visit.requests if not request.url.startswith((served.address, "data:", "blob:"))
    ]
    assert elsewhere == []


def test_optuna_dashboard_opens_the_study(tmp_path: Path) -> None:
    """It lists the sweep under its name."""
    sweep = small()
    with create_study(sweep.config.model_copy(update={"storage": tmp_path}), "mine"):
        port = free_port()
        command = [str(BIN / "optuna-dashboard"), f"sqlite:///{tmp_path / 'mine' / 'study.db'}", "--port", str(port)]
        listed = f"http://127.0.0.1:{port}/api/studies"
        with running(command, tmp_path, lambda: answers(listed)), urlopen(listed) as answer:
            studies = json.load(answer)["study_summaries"]
    assert {"mine", "mine/race", "mine/finalists"} == {study["study_name"] for study in studies}
