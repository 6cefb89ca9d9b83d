"""The three reports in a real browser, opened from disk: what a reader does works, and is silent.

Skipped where there is no Chromium, Chrome or Edge (CHROME names one).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import report_pages
from support.chromium import Chromium, Page

from analyzer.errors import UsageError
from analyzer.report import pdf


@pytest.fixture(scope="module")
def program() -> str:
    try:
        return pdf.browser(os.environ)
    except UsageError as error:
        pytest.skip(f"no browser: {error.message}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return report_pages.write(report_pages.made_journals(folder), folder / "pages")


@pytest.fixture(scope="module")
def chromium(program: str) -> Iterator[Chromium]:
    with Chromium(program) as browser:
        yield browser


@pytest.fixture(scope="module", params=report_pages.NAMES)
def page(
    request: pytest.FixtureRequest, chromium: Chromium, files: dict[str, Path]
) -> Iterator[Page]:
    """Each report in turn, open, wide and light; tests leave it as they found it, or nearly."""
    opened = chromium.page()
    opened.open(files[request.param])
    yield opened
    assert opened.faults == []
    opened.close()


def test_every_chart_is_drawn_and_nothing_is_asked_of_the_network(page: Page) -> None:
    drawn = page.evaluate(
        "[...document.querySelectorAll('.chart')]"
        ".map(one => one.querySelector('.trace path, .trace rect') !== null)"
    )
    assert len(drawn) > 3
    assert all(drawn)
    assert {address.partition(":")[0] for address in page.asked} <= {"file", "data", "blob"}
    assert page.faults == []


def column(page: Page, table: str, index: int) -> list[float]:
    """The values of a column of numbers, as the table sorts by them, without what is unknown."""
    rows = json.dumps(f"{table} tbody tr:not(.more)")
    texts = page.evaluate(
        f"[...document.querySelectorAll({rows})].map(row => "
        f"(row.cells[{index}].dataset.order ?? row.cells[{index}].textContent))"
    )
    return [float(text.replace(",", "")) for text in texts if text.strip() != "-"]


def numeric_table(page: Page) -> tuple[str, int]:
    """A table with five lines or more, and its first column of numbers that differ."""
    found = page.evaluate(
        "[...document.querySelectorAll('table.sortable')].filter(one => one.checkVisibility()"
        " && one.tBodies[0].rows.length > 4).flatMap(one => [...one.tHead.rows[0].cells].map("
        "(head, index) => [one.id, index, head.classList.contains('t')]))"
    )
    for name, index, is_text in found:
        if is_text:
            continue
        try:
            values = column(page, f"#{name}", index)
        except ValueError:
            continue
        if len(set(values)) > 2:
            return f"#{name}", index
    pytest.fail(f"no table to sort among {found}")


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(page: Page) -> None:
    table, index = numeric_table(page)
    heading = f"{table} thead th:nth-child({index + 1})"
    before = column(page, table, index)
    page.click(f"{heading} button")
    down = column(page, table, index)
    assert down == sorted(before, reverse=True)
    assert page.evaluate(f"document.querySelector({json.dumps(heading)}).ariaSort") == "descending"
    page.click(f"{heading} button")
    assert column(page, table, index) == sorted(before)


def test_a_filter_leaves_the_lines_that_hold_it(page: Page) -> None:
    page.wait("document.querySelector('.tools input') !== null")
    shown = (
        "[...document.querySelector('.tools').parentElement.querySelectorAll('tbody tr')]"
        ".filter(row => row.offsetParent !== null).length"
    )
    lines = (
        "[...document.querySelector('.tools').nextElementSibling.querySelectorAll("
        "'tbody tr:not(.more)')].map(row => row.textContent.toLowerCase())"
    )
    every = page.evaluate(lines)
    cells = page.evaluate(
        "[...document.querySelector('.tools').nextElementSibling.querySelectorAll('tbody tr > *')]"
        ".map(cell => cell.textContent.toLowerCase())"
    )
    word = next(
        word for word in " ".join(cells).split()
        if re.fullmatch(r"\w+", word) and 0 < sum(word in line for line in every) < len(every)
    )  # fmt: skip
    page.type(".tools input", word)
    left = page.evaluate(lines)
    assert left == [line for line in every if word in line]
    assert page.evaluate(shown) > 0
    page.evaluate(
        "(() => { const field = document.querySelector('.tools input'); field.value = '';"
        "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert len(page.evaluate(lines)) == len(every)


def test_a_click_in_a_legend_hides_a_line_and_another_brings_it_back(page: Page) -> None:
    drawn = "document.querySelector('.legend').nextElementSibling.querySelectorAll('.trace').length"
    pressed = ".legend button[aria-pressed='true']"
    page.wait(f"document.querySelector({json.dumps(pressed)}) !== null")
    before = page.evaluate(drawn)
    page.click(pressed)
    page.wait(f"({drawn}) < {before}")
    page.click(".legend button[aria-pressed='false']")
    page.wait(f"({drawn}) === {before}")


def test_a_pointer_and_the_arrow_keys_show_the_numbers_behind_a_mark(page: Page) -> None:
    tip = "document.querySelector('.chart .tip:not([hidden])')?.innerText ?? ''"
    chart = page.evaluate(
        "(() => { const chart = document.querySelector('.chart');"
        "chart.scrollIntoView({block: 'center'}); chart.focus(); return chart.id; })()"
    )
    page.press("ArrowRight")
    page.wait(f"({tip}) !== ''")
    shown = page.evaluate(tip)
    assert re.search(r"\d", shown), (chart, shown)
    x, y = page.evaluate(
        "(() => { const ring = document.querySelector('.pointed circle').getBoundingClientRect();"
        "return [ring.x + ring.width / 2, ring.y + ring.height / 2]; })()"
    )
    page.press("Escape")
    page.wait(f"({tip}) === ''")
    page.move(x, y)
    page.wait(f"({tip}) === {json.dumps(shown)}")
    page.move(1, 1)
    page.wait(f"({tip}) === ''")


def test_plotly_enlarges_a_chart_to_zoom_into_and_leaves_the_page_as_it_was(page: Page) -> None:
    large = "document.querySelector('dialog[open] .large[data-drawn] .main-svg')"
    assert page.evaluate("window.Plotly === undefined || document.querySelector('dialog') === null")
    page.evaluate("document.querySelector('.enlarge').scrollIntoView({block: 'center'})")
    page.click(".enlarge")
    page.wait(f"{large} !== null")
    ways = page.evaluate(
        "[...document.querySelectorAll('dialog .modebar-btn')].map(one => one.dataset.title)"
    )
    assert {"Zoom", "Pan"} < set(ways)
    assert not [way for way in ways if re.search("share|cloud|studio|edit", way.lower())]
    traces = page.evaluate("document.querySelector('dialog .large').data.length")
    assert traces > 0
    page.press("Escape")
    page.wait("document.querySelector('dialog') === null")
    assert page.faults == []


def test_details_open_and_show_how_a_configuration_differs(page: Page) -> None:
    opened = page.evaluate(
        "(() => { const hidden = [...document.querySelectorAll('details')].find(one => !one.open);"
        "if (hidden === undefined) return 'none'; hidden.id = 'opened-here';"
        "return !hidden.querySelector('div, table').checkVisibility(); })()"
    )
    assert opened in {True, "none"}
    if opened != "none":
        page.click("#opened-here > summary")
        page.wait("document.querySelector('#opened-here').open")
    button = page.evaluate("document.querySelector('button.open') !== null")
    if button:
        page.click("button.open")
        page.wait("document.querySelector('tr.more:not([hidden])') !== null")
    added = page.evaluate("document.querySelectorAll('.diff .added').length")
    assert added > 0


def test_the_theme_is_changed_by_its_button_and_by_keyboard(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    page.wait(f"{ground} !== {json.dumps(light)}")
    assert page.evaluate("document.activeElement.id") == "theme"
    page.press("Enter", "\r")
    page.wait(f"{ground} === {json.dumps(light)}")
    page.prefer("dark")
    page.wait(f"{ground} !== {json.dumps(light)}")
    page.prefer("light")


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_page_does_not_scroll_sideways(width: int, page: Page) -> None:
    page.resize(width, 844)
    try:
        page.wait(f"document.documentElement.clientWidth === {width}")
        overflow = page.evaluate("document.documentElement.scrollWidth") - width
        guilty = page.evaluate(
            "[...document.querySelectorAll('main *')].filter(one => one.closest('.scroll, pre, "
            f".chart') === null && one.getBoundingClientRect().right > {width} + 1)"
            ".slice(0, 5).map(one => one.outerHTML.slice(0, 120))"
        )
        assert (overflow, guilty) == (0, [])
    finally:
        page.resize(1440, 900)


def test_it_prints_as_pdf(program: str, files: dict[str, Path], tmp_path: Path) -> None:
    target = pdf.print_page(files[report_pages.DETAILED], tmp_path / "report.pdf", program)
    printed = target.read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1
