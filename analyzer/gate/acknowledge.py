"""What people have agreed to bear for a while: ``perf-ack.yaml``. Pure.

The file is a list under ``acknowledgements``, each of

=========== ==================================================================================
``check``   the check's name
``metric``  the metric or counter; left out, all of the check's
``reason``  why it is borne; it is shown wherever the finding is
``until``   the last day on which it counts, YYYY-MM-DD
``expected`` what is expected until then: a change (``-8%``) or a level in the metric's unit (280)
=========== ==================================================================================

With ``expected`` the gate is put around the new level: what is worse than that by more than the
gate bears still fails. Without, whatever it is is borne. What has expired counts no more, and the
finding says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from analyzer.errors import UsageError
from analyzer.gate.evidence import judge
from analyzer.gate.quantities import quantity
from analyzer.gate.values import Finding, Kind, Quantity, Settings, Verdict
from analyzer.ranking.interval import Interval

KEY = "acknowledgements"
_FIELDS = ("check", "metric", "reason", "until", "expected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """One line of the file; ``change`` or ``level``, or neither, is what is expected."""

    check: str
    metric: str
    reason: str
    until: date
    change: float | None = None
    level: float | None = None

    @property
    def expects(self) -> bool:
        """Whether it says what is expected."""
        return self.change is not None or self.level is not None

    def covers(self, finding: Finding) -> bool:
        """Whether it speaks of this finding."""
        return self.check == finding.check and self.metric in {"", finding.metric}


def read(plain: Any, source: str) -> tuple[Acknowledgement, ...]:  # noqa: ANN401 - as YAML has it
    """Read the file's content, as YAML gives it.

    Raises:
        UsageError: it is something else; all that is wrong, each with its place.
    """
    if plain is None:
        return ()
    if not isinstance(plain, Mapping) or set(plain) - {KEY}:
        raise UsageError(f"{source}: expected a list under {KEY!r}, and nothing else")
    every = plain.get(KEY) or []
    if not isinstance(every, list):
        raise UsageError(f"{source}: {KEY}: expected a list, found {every!r:.60}")
    found: list[Acknowledgement] = []
    wrong: list[str] = []
    for number, one in enumerate(every):
        try:
            found.append(_one(one))
        except UsageError as error:
            wrong.append(f"{source}: {KEY}[{number}]: {error.message}")
    if wrong:
        raise UsageError("\n".join(wrong))
    return tuple(found)


def _one(plain: Any) -> Acknowledgement:  # noqa: ANN401 - as YAML has it
    if not isinstance(plain, Mapping):
        raise UsageError(f"expected {', '.join(_FIELDS)}, found {plain!r:.60}")
    if unknown := sorted(map(str, set(plain) - set(_FIELDS))):
        raise UsageError(f"unknown {', '.join(unknown)}; there are: {', '.join(_FIELDS)}")
    for name in ("check", "reason"):
        if not isinstance(plain.get(name), str) or not plain[name].strip():
            raise UsageError(f"{name}: expected a text, found {plain.get(name)!r}")
    metric = plain.get("metric") or ""
    if not isinstance(metric, str):
        raise UsageError(f"metric: expected a name, found {metric!r}")
    change, level = _expected(plain.get("expected"))
    if plain.get("expected") is not None and not metric:
        raise UsageError("expected: name the metric whose level it is")
    return Acknowledgement(
        check=plain["check"],
        metric=quantity(metric).tag if metric else "",
        reason=plain["reason"].strip(),
        until=_day(plain.get("until")),
        change=change,
        level=level,
    )


def _expected(plain: Any) -> tuple[float | None, float | None]:  # noqa: ANN401 - as YAML has it
    """Return the expected change, or the expected level."""
    if plain is None:
        return None, None
    if isinstance(plain, str) and plain.strip().endswith("%"):
        try:
            change = float(plain.strip()[:-1]) / 100
        except ValueError:
            change = -1.0
        if change > -1:
            return change, None
    elif isinstance(plain, int | float) and not isinstance(plain, bool) and plain > 0:
        return None, float(plain)
    raise UsageError(f"expected: a change such as -8%, or a level above 0, not {plain!r}")


def _day(plain: Any) -> date:  # noqa: ANN401 - as YAML has it
    if isinstance(plain, date) and not isinstance(plain, datetime):
        return plain
    try:
        return date.fromisoformat(str(plain))
    except ValueError as error:
        raise UsageError(f"until: expected a day such as 2027-01-31, found {plain!r}") from error


def applied(
    findings: Sequence[Finding],
    every: Sequence[Acknowledgement],
    settings: Settings,
    today: date,
) -> tuple[Finding, ...]:
    """Judge anew what was acknowledged; what passes anyway stays as it is."""
    return tuple(_applied(finding, every, settings, today) for finding in findings)


def _applied(
    finding: Finding, every: Sequence[Acknowledgement], settings: Settings, today: date
) -> Finding:
    if finding.verdict is not Verdict.FAIL:
        return finding
    mine = [one for one in every if one.covers(finding)]
    current = [one for one in mine if today <= one.until]
    if not current:
        gone = max((one.until for one in mine), default=None)
        if gone is None:
            return finding
        note = f"an acknowledgement of it expired on {gone}"
        return replace(finding, notes=(*finding.notes, note))
    # The most special one: of this metric, and with a level.
    one = max(current, key=lambda each: (bool(each.metric), each.expects))
    verdict = _anew(finding, one, settings)
    if verdict is Verdict.FAIL:
        note = f"it was acknowledged until {one.until}, but it is worse than was expected"
        return replace(finding, notes=(*finding.notes, note))
    text = f"{one.reason} (until {one.until})"
    return replace(finding, verdict=verdict, acknowledged=text)


def _anew(finding: Finding, one: Acknowledgement, settings: Settings) -> Verdict:
    """Judge a failure by the level that is expected now."""
    gate, of = finding.gate, finding.gate.quantity
    if not one.expects:
        return Verdict.PASS
    expected = _worsening(finding, one, of)
    if expected is None or finding.interval is None:
        return Verdict.FAIL
    low, high = sorted(of.of_change(max(end, _LEAST)) - expected for end in finding.interval)
    if gate.kind is Kind.RELATIVE:
        interval = Interval((low + high) / 2, low, high)
        return judge(interval, margin=gate.margin(settings), tolerance=gate.tolerance)
    return Verdict.PASS if high <= gate.tolerance + _ROUNDING else Verdict.FAIL


#: a change has to be above -1 to have a logarithm
_LEAST = -1 + 1e-15
_ROUNDING = 1e-9


def _worsening(finding: Finding, one: Acknowledgement, of: Quantity) -> float | None:
    """Return how much worse it is expected to be; of a bound, than the bound."""
    if one.change is not None:
        return of.of_change(one.change)
    assert one.level is not None
    if finding.gate.bound is not None:
        return of.worsening(finding.gate.bound, one.level)
    if finding.baseline is None or not finding.baseline.value > 0:
        return None
    return of.worsening(finding.baseline.value, one.level)
