"""One row at a time, with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.record.row import Failure, LoadSpec, Phase, Row, RunHead, Trial
from analyzer.space import CONCURRENCY, INSTANCE_COUNT, REQUEST_RATE, Candidate

MODEL = "m"


def row(
    variant: str,
    number: int = 0,
    *,
    concurrency: int = 1,
    rate: float = 0.0,
    phase: Phase = Phase.SEARCH,
    repetition: int = 0,
    failure: str | None = None,
    rates: tuple[float, ...] = (),
    digest: str | None = None,
    **metrics: float,
) -> Row:
    """Make a row of ``m_config_<variant>``; metrics by tag, a failure by its text.

    With a ``rate`` its loop is open.
    """
    name = f"{MODEL}_config_{variant}"
    level = {REQUEST_RATE: rate} if rate else {CONCURRENCY: concurrency}
    loaded = Candidate.of(**level)
    candidate = loaded
    if variant != "default":
        candidate = loaded.replaced(**{INSTANCE_COUNT: sum(map(ord, variant))})
    return Row(
        number=number,
        taken_at="2026-01-02T03:04:05+00:00",
        seconds=4.0,
        model=MODEL,
        variant=name,
        digest=name if digest is None else digest,
        trial=Trial(candidate=candidate, phase=phase, repetition=repetition),
        load=LoadSpec(concurrency=concurrency, request_rate=rate),
        stable=failure is None,
        metrics={} if failure else metrics,
        window_rates=rates,
        failure=None if failure is None else Failure(stage="launch", message=failure),
    )


def head(options: Mapping[str, object] | None = None, digest: str = "d") -> RunHead:
    """Make a journal's first line."""
    return RunHead(
        schema=1,
        run="20260102T030405Z",
        model=MODEL,
        started_at="2026-01-02T03:04:05+00:00",
        versions={"servetune": "0.1.0"},
        machine={"cores": 2},
        options=dict(options or {"window_seconds": 1.0}),
        options_digest=digest,
    )
