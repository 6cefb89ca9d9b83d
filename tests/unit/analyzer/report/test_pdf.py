"""Which browser prints, and what becomes of one that fails; a script stands in for the browser."""

import os
from pathlib import Path

import pytest
from support.conditions import within

from analyzer.errors import AnalyzerError, UsageError
from analyzer.report import pdf

PRINTS = """
for word; do
  case "$word" in
    --print-to-pdf=*) out="${word#--print-to-pdf=}";;
    --user-data-dir=*) own="$word";;
  esac
  page="$word"
done
printf '%%PDF-1.7\\n%s\\n%s\\n' "$page" "$own" > "$out"
"""
# Both a child's, so that it is the whole of it that has to go.
HANGS = "echo $$ > '{place}/first'; sh -c 'echo $$ > {place}/second; exec tail -f /dev/null'"


def script(place: Path, text: str, name: str = "chromium") -> str:
    program = place / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return str(program)


def test_a_page_is_printed_from_its_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    page = tmp_path / "report of mine.html"
    page.write_text("<p>mine</p>")
    target = tmp_path / "report.pdf"
    target.write_text("an older one")
    program = script(tmp_path, PRINTS)
    assert pdf.print_page(page, target, program) == target
    begin, address, profile = target.read_text().splitlines()
    assert begin == "%PDF-1.7"
    assert address == page.as_uri()
    assert not Path(profile.partition("=")[2]).exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "chromium", "report of mine.html", "report.pdf"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 'cannot open display' >&2; exit 3", "ended with code 3: cannot open display"),
        ("echo 'no printer'", "printed nothing of .*page.html: no printer"),
        (PRINTS.replace("%%PDF-1.7", "<html>"), "printed nothing of .*page.html: without a word"),
    ],
)
def test_a_browser_that_fails_is_quoted_and_what_was_there_stays(
    text: str, words: str, tmp_path: Path
) -> None:
    target = tmp_path / "report.pdf"
    target.write_text("an older one")
    with pytest.raises(AnalyzerError, match=words):
        pdf.print_page(tmp_path / "page.html", target, script(tmp_path, text))
    assert target.read_text() == "an older one"
    assert len(list(tmp_path.iterdir())) == 2


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    program = script(tmp_path, HANGS.format(place=tmp_path))
    with pytest.raises(AnalyzerError, match=r"had not printed file://.* after 1 s, and was end"):
        pdf.print_page(tmp_path / "page.html", tmp_path / "report.pdf", program, seconds=1.0)
    numbers = [int((tmp_path / name).read_text()) for name in ("first", "second")]
    assert within(lambda: not any(map(_runs, numbers)))


def _runs(number: int) -> bool:
    """Whether a process does anything yet: one that nobody waited for has ended all the same."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_bytes(b"\x7fELF, but not really")
    program.chmod(0o755)
    with pytest.raises(AnalyzerError, match=r"chromium cannot be run: Exec format error"):
        pdf.print_page(tmp_path / "page.html", tmp_path / "report.pdf", str(program))


def test_the_browser_is_the_one_named_or_the_first_there_is(tmp_path: Path) -> None:
    edge = script(tmp_path, PRINTS, "microsoft-edge")
    path = {"PATH": f"{tmp_path}{os.pathsep}/nowhere"}
    assert pdf.browser(path) == edge
    chromium = script(tmp_path, PRINTS, "chromium")
    assert pdf.browser(path) == chromium
    assert pdf.browser({**path, "CHROME": "microsoft-edge"}) == edge
    assert pdf.browser({"CHROME": edge}) == edge


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "there is none on PATH: install Chromium, .* environment variable CHROME; the HTML"),
        ({"PATH": "/nowhere"}, "there is none on PATH"),
        ({"PATH": "/nowhere", "CHROME": "chromium"}, "CHROME names .chromium., which is no prog"),
        ({"CHROME": "/nowhere/chromium"}, "CHROME names '/nowhere/chromium'"),
    ],
)
def test_without_a_browser_it_is_said_what_to_do(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pdf.browser(environment)
