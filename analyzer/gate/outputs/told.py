"""What every form tells: the report, and what a reader needs to know beside it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analyzer.gate.values import Finding, Report, Verdict
from analyzer.statistics.estimate import Estimate

#: how each verdict is marked in text
MARKS: Mapping[Verdict, str] = {
    Verdict.PASS: "\N{WHITE HEAVY CHECK MARK}",
    Verdict.FAIL: "\N{CROSS MARK}",
    Verdict.INCONCLUSIVE: "\N{WHITE QUESTION MARK ORNAMENT}",
}
_HUNDRED, _TEN, _THOUSAND = 100.0, 10.0, 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One check: its model, its load in words, and the file and line (0: none) that it stands on.

    ``samples`` is the file with its measurements, "" where none was kept.
    """

    model: str
    load: str
    file: str
    line: int = 0
    samples: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A report with its subjects by the name of the check, and how it ends.

    ``baseline`` and ``candidate`` say in words what was compared. ``code`` is the exit code;
    ``notes`` are what is to be said of the whole.
    """

    report: Report
    subjects: Mapping[str, Subject]
    baseline: str
    candidate: str
    code: int
    taken_at: str
    version: str
    notes: tuple[str, ...] = ()
    strict: bool = field(default=False)

    def subject(self, finding: Finding) -> Subject:
        """Return what a finding is of."""
        return self.subjects[finding.check]

    def findings(self, verdict: Verdict) -> Iterator[Finding]:
        """Yield the findings with that verdict."""
        return (each for each in self.report.findings if each.verdict is verdict)

    def fails(self, finding: Finding) -> bool:
        """Whether a finding counts as a failure: where doubt fails, a doubt does."""
        doubt = self.strict and finding.verdict is Verdict.INCONCLUSIVE
        return finding.verdict is Verdict.FAIL or doubt


def headline(told: Told) -> str:
    """Say the whole in one line."""
    report = told.report
    failed = [each.metric for each in told.findings(Verdict.FAIL)]
    doubtful = [each.metric for each in told.findings(Verdict.INCONCLUSIVE)]
    gates = f"{len(report.findings)} gate{'s' * (len(report.findings) != 1)}"
    match report.verdict:
        case Verdict.FAIL:
            text = f"Regression: {_listed(failed)} beyond the gate"
        case Verdict.INCONCLUSIVE:
            text = f"Cannot tell: {_listed(doubtful)} undecided"
        case _:
            text = f"No regression: {gates} held"
    return f"{text} (the machine was disturbed)" if report.tainted else text


def number(value: float) -> str:
    """Spell a value with as many digits as are of use."""
    if not math.isfinite(value):
        return "unbounded" if value > 0 else "-unbounded"
    size = abs(value)
    if size >= _THOUSAND:
        return f"{value:,.0f}"
    if size >= _HUNDRED:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= _TEN else f"{value:.3g}"


def value(one: Estimate | None, unit: str) -> str:
    """Spell an estimate with its unit; a dash where there is none."""
    return "\N{EN DASH}" if one is None else f"{number(one.value)} {unit}"


def percent(share: float | None) -> str:
    """Spell a relative change with its sign; a dash where there is none."""
    if share is None:
        return "\N{EN DASH}"
    return f"{share * 100:+.1f} %" if math.isfinite(share) else f"{number(share)} %"


def interval(finding: Finding) -> str:
    """Spell the interval of a change; "" where there is none."""
    if finding.interval is None:
        return ""
    low, high = finding.interval
    return f"[{percent(low)} to {percent(high)}]"


def described(environment: Mapping[str, Any], name: str) -> str:
    """Spell a part of a machine's description; "" where it is not known."""
    found = environment.get(name, "")
    if isinstance(found, Mapping):
        return ", ".join(f"{key} {one}" for key, one in found.items())
    if isinstance(found, list):
        return "; ".join(described({"": one}, "") for one in found)
    return str(found)


def finite(share: float | None) -> float | None:
    """Return a number that JSON can hold; None for what it cannot."""
    return share if share is not None and math.isfinite(share) else None


def _listed(names: list[str]) -> str:
    *most, last = dict.fromkeys(names)
    text = f"{', '.join(most)} and {last}" if most else last
    return f"{text} {'are' if most else 'is'}"
