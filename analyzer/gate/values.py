"""What a gate asks, what is measured for it, and what it answers: the words of ``analyze check``.

Owns the values and what holds of each alone. Does not own how gates are spelled (``gates``), which
quantities there are (``quantities``), or how a verdict is come to (``sequential`` and its
neighbours). Pure.

Worsening is counted in logarithms and is positive towards the worse side, whichever way a metric is
better: ln(baseline / candidate) of a throughput, ln(candidate / baseline) of a latency. So half as
fast and twice as fast are equally far from no change, and swapping the sides turns its sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from analyzer.errors import UsageError
from analyzer.metrics import Direction
from analyzer.statistics.estimate import Estimate

#: the schema of reports and baselines as JSON
SCHEMA = 1
#: the count that every block has: how many requests were answered
REQUESTS = "requests"


class Side(Enum):
    """Which of the two a block was measured of."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


class Verdict(Enum):
    """What is known: within the gate, beyond it, or neither for sure."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class OnInconclusive(Enum):
    """What to make of neither: exit 4, exit 1, or measure once more before exit 4."""

    WARN = "warn"
    FAIL = "fail"
    RETRY = "retry"


class Kind(Enum):
    """How a gate is judged.

    ``RELATIVE``: by the interval of the paired change. ``EXACT``: memory and counters, where every
    pair has to say the same. ``BOUND``: by the interval of the candidate's own values. ``SLO``: a
    percentile at a request rate, by how many requests were late (``slo``).
    """

    RELATIVE = "relative"
    EXACT = "exact"
    BOUND = "bound"
    SLO = "slo"


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is compared: a metric's tag, or a counter's name, its unit, and which way it is better.

    ``exact`` ones hardly vary from one run to the next (memory, counters).
    """

    tag: str
    unit: str
    direction: Direction
    exact: bool = False

    @property
    def percentile(self) -> float | None:
        """Which percentile it is; None where it is none."""
        _, found, digits = self.tag.rpartition("_p")
        return float(digits) if found and digits.isdigit() else None

    def worsening(self, before: float, after: float) -> float:
        """Return by how much ``after`` is worse, in logarithms; both are at least 0.

        Two zeros are no change; from 0, or to 0, it is infinite.
        """
        if before == after:
            return 0.0
        if not before or not after:
            return math.inf if (after > before) is (self.direction is Direction.LESS) else -math.inf
        return -self.direction.value * (math.log(after) - math.log(before))

    def change(self, worsening: float) -> float:
        """Return the relative change that a worsening is: -0.05 where 5 % are missing."""
        signed = -self.direction.value * worsening
        # exp overflows from 710 on; infinity is what such a change is.
        return math.inf if signed > _MOST else math.expm1(signed)

    def of_change(self, change: float) -> float:
        """Return the worsening that a relative change (> -1) is: what ``change`` undoes."""
        return -self.direction.value * math.log1p(change)


_MOST = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """How bad something may get: a relative ``change`` to the baseline, or an absolute ``bound``.

    ``change`` points to the worse side (-0.05: throughput may fall by 5 %; 0: not at all), and
    ``bound`` is in the quantity's unit. With a ``rate`` (requests a second) it is a promise about
    an open loop; with a ``concurrency``, about so many in flight; without, about the check's load.

    Raises:
        UsageError: it has neither or both, or a change towards the better side.
    """

    quantity: Quantity
    change: float | None = None
    bound: float | None = None
    rate: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        tag = self.quantity.tag
        if (self.change is None) is (self.bound is None):
            raise UsageError(f"a gate of {tag} has either a relative change or an absolute bound")
        if self.change is not None and not self.change > -1:
            raise UsageError(f"a gate of {tag} cannot let it fall by {-self.change:.0%} or more")
        if self.change is not None and self.change * self.quantity.direction.value > 0:
            better = "more" if self.quantity.direction is Direction.MORE else "less"
            raise UsageError(
                f"a gate says how much worse {tag} may get, and {better} of it is better: write "
                f"{tag}:{-self.change * 100:+g}%"
            )
        if self.change == 0 and not self.quantity.exact:
            raise UsageError(
                f"{tag} varies, so a gate of 0% would pass only what is better for sure; write "
                f"what it may lose, such as {tag}:{-self.quantity.direction.value * 2:+d}%"
            )
        if self.bound is not None and not self.bound > 0:
            raise UsageError(f"a bound of {tag} is above 0, not {self.bound:g}")
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"the rate of a gate of {tag} is above 0, not {self.rate:g}")

    @property
    def kind(self) -> Kind:
        """How it is judged."""
        if self.bound is not None:
            return Kind.BOUND if self.rate is None else Kind.SLO
        return Kind.EXACT if self.quantity.exact else Kind.RELATIVE

    @property
    def tolerance(self) -> float:
        """The worsening that it bears: of the baseline's value, or 0 of a bound's."""
        return 0.0 if self.change is None else self.quantity.of_change(self.change)

    def margin(self, settings: Settings) -> float:
        """Return the worsening that is no more than noise, which fails nothing.

        It is the settings', but at most two fifths of what the gate bears: between the two there
        has to be room to tell them apart. Bounds, memory and counters have no such room: what is
        worse than the gate bears fails.
        """
        if self.kind is not Kind.RELATIVE:
            return self.tolerance
        change = -self.quantity.direction.value * settings.margin
        return min(abs(self.quantity.of_change(change)), _ROOM * self.tolerance)


#: a margin is at most this share of its gate: 2 % of 5 %
_ROOM = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How sure to be, and how long to try.

    A worsening below ``margin`` (a share) fails with a probability of at most ``alpha``, one beyond
    the gate passes with at most as much, however often it was looked meanwhile. ``max_seconds``
    counts the time that blocks took, launches included.

    Raises:
        UsageError: one of them makes no sense.
    """

    margin: float = 0.02
    alpha: float = 0.01
    max_pairs: int = 20
    max_seconds: float = 600.0
    on_inconclusive: OnInconclusive = OnInconclusive.WARN

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 1:
            raise UsageError(f"margin is a share from 0 % to below 100 %, not {self.margin:.4g}")
        if not 0 < self.alpha <= MOST_ALPHA:
            raise UsageError(f"alpha is above 0 and at most {MOST_ALPHA:g}, not {self.alpha:g}")
        if self.max_pairs < FEWEST_PAIRS:
            raise UsageError(
                f"max-pairs is at least {FEWEST_PAIRS}, which an interval needs, not "
                f"{self.max_pairs}"
            )
        if not self.max_seconds > 0:
            raise UsageError(f"max-time is above 0 s, not {self.max_seconds:g} s")


MOST_ALPHA = 0.2
#: as many pairs are measured before anything that varies is judged
FEWEST_PAIRS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One side, measured once.

    Blocks of the same ``pair`` are compared; those of the same ``launch`` came from the same two
    processes, so together they say what one pair does (``sequential.units``). ``values`` are
    metrics by tag, in their units, ``counts`` are counters by name, with ``requests`` among them;
    what was not measured is absent. ``histogram`` holds the latencies, ns
    (``statistics.histogram``), "" where there are none. ``seconds`` is all the time it took, a
    launch before it included. ``remarks`` say what disturbed it.
    """

    side: Side
    pair: int
    launch: int
    values: Mapping[str, float]
    counts: Mapping[str, float] = field(default_factory=dict)
    histogram: str = ""
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()

    def value(self, tag: str) -> float | None:
        """Return a metric or a counter; None where it was not measured."""
        return self.values.get(tag, self.counts.get(tag))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One gate of one check, and what came of it.

    ``change`` and its ``interval`` are relative and signed as they are (-0.03: 3 % less), and are
    None where nothing could be compared; the interval holds the truth with ``confidence``, each end
    failing half as often as that leaves. For an absolute bound they are the distance from it.
    ``margin`` is the share that is noise, ``alpha`` the probability of error that was spent so far,
    and ``pairs`` how many pairs it rests on. ``reason`` says why, in one sentence; ``notes`` what
    else a reader should know. ``acknowledged`` is the reason that a person gave for bearing it.
    """

    check: str
    gate: Gate
    baseline: Estimate | None
    candidate: Estimate | None
    change: float | None
    interval: tuple[float, float] | None
    confidence: float
    margin: float
    alpha: float
    pairs: int
    verdict: Verdict
    reason: str
    notes: tuple[str, ...] = ()
    acknowledged: str = ""

    @property
    def metric(self) -> str:
        """The metric's tag, or the counter's name."""
        return self.gate.quantity.tag

    @property
    def improved(self) -> bool:
        """Whether it is better for sure."""
        if self.interval is None or self.gate.kind is not Kind.RELATIVE:
            return False
        least = min(end * self.direction.value for end in self.interval)
        return self.verdict is Verdict.PASS and least > 0

    @property
    def unit(self) -> str:
        """What its values are in."""
        return self.gate.quantity.unit

    @property
    def direction(self) -> Direction:
        """Which way it is better."""
        return self.gate.quantity.direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a check came to.

    ``baseline_environment`` and ``candidate_environment`` are ``measure.machine.describe``'s, and
    what the sides ran with. ``tainted`` says why this machine, or this hour, was no good for
    measuring. ``reproduce`` are commands.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    baseline_environment: Mapping[str, Any] = field(default_factory=dict)
    candidate_environment: Mapping[str, Any] = field(default_factory=dict)
    tainted: tuple[str, ...] = ()
    commit: str = ""
    reproduce: tuple[str, ...] = ()


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on all of them: one failure fails, one doubt is a doubt.

    Raises:
        ValueError: there are none, and of nothing nothing is known.
    """
    if not findings:
        raise ValueError("no gate was judged, so there is no verdict")
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS
