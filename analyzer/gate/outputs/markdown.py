"""The report as Markdown, for ``$GITHUB_STEP_SUMMARY`` or a comment on a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import MARKS, Told, described, headline, interval, percent, value
from analyzer.gate.values import Finding

_HEAD = ("", "check", "metric", "base", "new", "\N{GREEK CAPITAL LETTER DELTA} [interval]", "gate")
#: what of a machine's description belongs on a page
_SHOWN = ("cpu", "cores", "ram_bytes", "os", "kernel", "cpu_governor", "gpu_driver", "versions")


def text(told: Told) -> str:
    """Return the file's text."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Told) -> Iterator[str]:
    report = told.report
    yield f"## {MARKS[report.verdict]} {_cell(headline(told))}"
    yield ""
    yield f"`{_code(told.candidate)}` against `{_code(told.baseline)}`"
    yield ""
    yield _row(*_HEAD)
    yield _row(*("---",) * len(_HEAD))
    for each in report.findings:
        yield _row(
            MARKS[each.verdict], _cell(each.check), f"`{_code(each.metric)}`",
            value(each.baseline, each.unit), value(each.candidate, each.unit),
            f"{percent(each.change)} {interval(each)}".strip(), f"`{_code(spelled(each.gate))}`",
        )  # fmt: skip
    yield ""
    for each in report.findings:
        yield from _said(each)
    for why in report.tainted:
        yield f"- Disturbed: {_cell(why)}"
    for note in told.notes:
        yield f"- {_cell(note)}"
    yield from _folded("Environment", _environment(told))
    if report.reproduce:
        yield from _folded("Reproduce", ("```", *report.reproduce, "```"))


def _said(each: Finding) -> Iterator[str]:
    extra = f" (acknowledged: {each.acknowledged})" if each.acknowledged else ""
    yield f"- **{_cell(each.check)}, {_cell(each.metric)}**: {_cell(each.reason + extra)}"
    for note in each.notes:
        yield f"  - {_cell(note)}"


def _environment(told: Told) -> Iterator[str]:
    before, after = told.report.baseline_environment, told.report.candidate_environment
    yield _row("", "baseline", "candidate")
    yield _row("---", "---", "---")
    for name in _SHOWN:
        if name in before or name in after:
            yield _row(name, *(_cell(described(each, name)) for each in (before, after)))
    if told.report.commit:
        yield _row("commit", "", _cell(told.report.commit))


def _folded(title: str, lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(said: str) -> str:
    """Keep what is said from ending a cell, or being taken for HTML."""
    plain = " ".join(said.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _code(said: str) -> str:
    """Keep what stands between back quotes there."""
    return " ".join(said.split()).replace("`", "'").replace("|", "\\|")
