"""The report's newer parts in a real Chromium: two trials, long tables, parallel coordinates, and the refresh."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from support.g_effects import gallery
from support.reports import large, reported, small, spiral
from sweep.report.page import render_page
from sweep.report.sections import build_comparison_sections, build_sweep_section

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRAWN = "document.querySelectorAll('.vega-embed').length === document.querySelectorAll('.plot').length"
PATIENCE_MS = 300_000
"""Time that a busy machine may take to draw what is waited for."""
N_MANY = 1000
MAX_BYTES, MAX_NODES = 2_000_000, 15_000
"""Limits of the page of a thousand trials."""
expect.set_options(timeout=PATIENCE_MS)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to be started")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        own = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield own
        own.close()


def open_page(browser: Browser, file: Path) -> Page:
    """Open a report, and wait until all of it is drawn."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(file.as_uri())
    page.wait_for_function(DRAWN)
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of a sweep with all that may be in one."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_page([build_sweep_section(large())], []), encoding="utf-8")
    return open_page(browser, file)


def test_two_trials_are_chosen_by_keyboard(page: Page) -> None:
    """Best and paper on seed 1 at first: .2 and .3; a letter or an arrow chooses another, and the table follows."""
    card = page.locator(".pair")
    row = card.locator("tbody tr").first
    expect(row.locator("td")).to_have_text(
        ["forget ES at equal retention (the score), lower is better", "0.2", "0.3", "+0.1"]
    )
    card.get_by_label("second trial").focus()
    page.keyboard.press("ArrowDown")
    expect(row.locator("td").nth(2)).to_have_text("0.5")
    expect(row.locator("td").nth(3)).to_have_text("+0.3")


def test_a_line_of_the_parallel_coordinates_stands_out_where_it_is_pointed_at(page: Page) -> None:
    """And it names its trial, setting and score."""
    figure = page.locator("figure").filter(has_text="trials across 2 hyper-parameters")
    line = figure.locator(".mark-line.role-mark path").last
    line.scroll_into_view_if_needed()
    assert line.get_attribute("stroke-width") == "2"
    line.dispatch_event("pointerover")
    line.dispatch_event("mousemove")
    expect(figure.locator('.mark-line path[stroke-width="5"]')).to_have_count(1)


def test_a_thousand_trials(browser: Browser, tmp_path: Path) -> None:
    """At most 2 MB; few elements, until a table is asked for all its rows, which then are sorted as one."""
    file = tmp_path / "report.html"
    file.write_text(render_page([build_sweep_section(reported(*spiral(N_MANY)))], []), encoding="utf-8")
    assert file.stat().st_size < MAX_BYTES
    page = open_page(browser, file)
    assert page.evaluate("document.querySelectorAll('*').length") < MAX_NODES
    card = page.locator("details.card").filter(has_text=f"All trials ({N_MANY})")
    card.locator("summary").click()
    assert card.locator("tbody tr").count() == 50
    card.get_by_role("button", name="score", exact=True).click()
    assert card.locator("tbody tr").count() == N_MANY
    scores = [float(text) for text in card.locator("tbody td:nth-child(7)").all_inner_texts()]
    assert scores == sorted(scores)
    expect(card.get_by_role("button", name=f"Show all {N_MANY} rows")).to_have_count(0)


def test_gradient_effects_on_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    """All is drawn, nothing is wider than the screen, and no plot is empty."""
    sweeps = [gallery("one"), gallery("two")]
    file = tmp_path / "report.html"
    sections = [build_sweep_section(sweep) for sweep in sweeps]
    file.write_text(render_page(sections, build_comparison_sections(sweeps)), encoding="utf-8")
    page = open_page(browser, file)
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    panels = page.locator(".panels figure")
    assert panels.count() == 6
    for place in range(6):
        assert panels.nth(place).locator(".mark-line.role-mark path").count() == 2


def test_a_page_that_is_watched_reads_itself_again_where_it_was_left(browser: Browser, tmp_path: Path) -> None:
    """What was open stays open, the place and the choice stay; and once it is over it rests."""
    file = tmp_path / "report.html"
    file.write_text(render_page([build_sweep_section(small())], [], refresh_s=1), encoding="utf-8")
    page = open_page(browser, file)
    page.evaluate("document.querySelector('details').open = true; scrollTo(0, 700)")
    page.evaluate("const one = document.querySelector('select'); one.value = 1; one.dispatchEvent(new Event('change'))")
    over = render_page([build_sweep_section(reported(*small().records, *spiral(1)))], [])
    file.write_text(over.replace("<h1>", "<h1>Over: "), encoding="utf-8")
    expect(page.locator("h1")).to_contain_text("Over: ")
    assert page.locator("meta[name=refresh-s]").count() == 0
    page.wait_for_function(DRAWN)
    assert page.evaluate("document.querySelector('details').open")
    assert page.locator("select").first.input_value() == "1"
    assert page.evaluate("scrollY") == 700
