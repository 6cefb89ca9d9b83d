"""Says what a check came to: on the terminal, and in every file that was asked for.

Owns the lines on the terminal and the writing. The files' texts are ``outputs``'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console

from analyzer.errors import AnalyzerError
from analyzer.gate.gates import spelled
from analyzer.gate.options import Outputs
from analyzer.gate.outputs import as_json, dashboards, junit, markdown, noise, page, sarif, workflow
from analyzer.gate.outputs.noise import Noise
from analyzer.gate.outputs.told import Told, headline, interval, percent, value
from analyzer.gate.values import Finding, Verdict

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}
#: the file that GitHub shows of a job, to which steps append
_SUMMARY = "GITHUB_STEP_SUMMARY"


def say(console: Console, told: Told) -> None:
    """Print the findings and what they come to."""
    for each in told.report.findings:
        console.print(
            _line(told, each), style=_COLOURS[each.verdict], highlight=False, markup=False
        )
        console.print(f"      {each.reason}", highlight=False, markup=False)
        borne = (f"acknowledged: {each.acknowledged}",) if each.acknowledged else ()
        for note in (*borne, *each.notes):
            console.print(f"      {note}", style="dim", highlight=False, markup=False)
    for why in told.report.tainted:
        console.print(f"Disturbed: {why}", style="yellow", highlight=False, markup=False)
    for note in told.notes:
        console.print(f"Note: {note}", style="dim", highlight=False, markup=False)
    console.print(
        headline(told), style=f"bold {_COLOURS[told.report.verdict]}", highlight=False,
        markup=False,
    )  # fmt: skip


def say_noise(console: Console, seen: Noise) -> None:
    """Print what gates can see on this machine."""
    for check, found in seen.found.items():
        load = seen.subjects[check].load
        if not found:
            console.print(
                f"{check} ({load})  none of its gates is on what varies, or too few pairs",
                style="yellow", highlight=False, markup=False,
            )  # fmt: skip
        for each in found:
            mark, colour = ("ENOUGH", "green") if each.enough else ("TOO COARSE", "yellow")
            what = f"{check} ({load})  {each.gate.quantity.tag}  gate {spelled(each.gate)}"
            console.print(f"{mark}  {what}", style=colour, highlight=False, markup=False)
            console.print(f"      {noise.sentence(each)}", highlight=False, markup=False)
    for why in seen.tainted:
        console.print(f"Disturbed: {why}", style="yellow", highlight=False, markup=False)
    good = bool(seen.every) and all(each.enough for each in seen.every)
    console.print(
        noise.headline(seen), style=f"bold {'green' if good else 'yellow'}",
        highlight=False, markup=False,
    )  # fmt: skip
    if not good:
        console.print(noise.ADVICE, highlight=False, markup=False)


def annotate(console: Console, told: Told, asked: str) -> None:
    """Print GitHub's annotations, if it is GitHub who reads."""
    if asked == "on" or (asked == "auto" and os.environ.get("GITHUB_ACTIONS") == "true"):
        for line in workflow.lines(told):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def write(told: Told, outputs: Outputs) -> tuple[Path, ...]:
    """Write the files that were asked for, and return them.

    Raises:
        AnalyzerError: one cannot be written; the others are.
    """
    return _written(_texts(told, outputs))


def write_noise(seen: Noise, outputs: Outputs) -> tuple[Path, ...]:
    """Write what ``--aa`` found to the files that were asked for, and return them.

    Raises:
        AnalyzerError: one cannot be written; the others are.
    """
    forms = ((outputs.json, noise.text), (outputs.report_md, noise.markdown))
    return _written((path, partial(form, seen)) for path, form in forms if path is not None)


def _written(texts: Iterable[tuple[Path, Callable[[], str]]]) -> tuple[Path, ...]:
    written, wrong = [], []
    for path, text in texts:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if str(path) == os.environ.get(_SUMMARY):
                with path.open("a", encoding="utf-8") as file:
                    file.write(text())
            else:
                path.write_text(text(), encoding="utf-8")
        except OSError as error:
            wrong.append(f"{path}: cannot be written: {error.strerror or error}")
        else:
            written.append(path)
    if wrong:
        raise AnalyzerError("; ".join(wrong))
    return tuple(written)


def _texts(told: Told, outputs: Outputs) -> Iterator[tuple[Path, Callable[[], str]]]:
    forms: Mapping[str, Callable[[Told], str]] = {
        "junit": junit.text, "json": as_json.text, "report_md": markdown.text,
        "sarif": sarif.text, "html": page.text, "bmf": dashboards.bencher,
    }  # fmt: skip
    for name, form in forms.items():
        if (path := getattr(outputs, name)) is not None:
            yield path, partial(form, told)
    if outputs.action_benchmark is not None:
        for better, name in dashboards.ACTION_FILES.items():
            yield (
                outputs.action_benchmark / name,
                partial(dashboards.action_benchmark, told, better),
            )


def _line(told: Told, each: Finding) -> str:
    change = f"{percent(each.change)} {interval(each)}".strip()
    sides = f"{value(each.baseline, each.unit)} -> {value(each.candidate, each.unit)}"
    mark = "BORNE" if each.acknowledged else each.verdict.value.upper()
    what = f"{each.check} ({told.subject(each).load})  {each.metric}"
    return f"{mark}  {what}  {sides}  {change}  gate {spelled(each.gate)}"


def write_broken(models: Mapping[str, str], error: AnalyzerError, outputs: Outputs) -> None:
    """Write the JUnit file of a run that could not be measured, if one was asked for."""
    if outputs.junit is not None:
        outputs.junit.parent.mkdir(parents=True, exist_ok=True)
        outputs.junit.write_text(junit.broken(models, error.message), encoding="utf-8")
