"""How a row that is less sure than asked for says so."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from support import rows as made

from analyzer.record.doubt import doubt, mark
from analyzer.record.row import LoadSpec, Row
from analyzer.statistics.estimate import Estimate

SWEEP = made.resnet50()
GOOD = next(row for row in SWEEP if row.failure is None)


def row(throughput: float, latency: float, **load: Any) -> Row:
    """A row whose intervals reach so far, as shares of their values."""
    return replace(
        GOOD,
        stable=False,
        load=LoadSpec(
            **{"rule": "precision", "percentile": 0, "throughput_precision": 0.05, **load}
        ),
        estimates={
            tag: Estimate(value=10, low=10 - 10 * share, high=10 + 10 * share)
            for tag, share in (("perf_throughput", throughput), ("perf_latency_avg", latency))
        },
    )


@pytest.mark.parametrize(
    ("found", "said", "marked"),
    [
        (row(0.07, 0.02), "throughput +-7%, wider than the 5% asked for", "±7%"),
        (row(0.052, 0.3), "throughput +-5.2%, wider than the 5% asked for", "±5.2%"),
        (row(0.04, 0.126), "mean latency +-13%, wider than the 10% asked for", "±13%"),
        (
            row(math.inf, 0.02),
            "throughput not bounded yet, where +-5% was asked for",
            "unstable",
        ),
        (row(0.04, 0.05), "as precise as asked for only at the end", "unstable"),
        (row(0.5, 0.5, rule="windows"), "its windows differ by more than 10%", "unstable"),
        (row(0.5, 0.5, rule="count"), "stopped before all was sent", "unstable"),
        (
            replace(row(0.5, 0.5), remarks=("drift: x", "stopped: clearly slower than y")),
            "clearly slower than the best",
            "±50%",
        ),
        (replace(row(0.5, 0.5), stable=True), "", ""),
    ],
)
def test_what_is_not_stable_says_how_far_its_interval_reaches(
    found: Row, said: str, marked: str
) -> None:
    assert doubt(found) == said
    assert mark(found) == marked


def test_a_failure_has_a_reason_of_its_own() -> None:
    failed = next(row for row in SWEEP if row.failure is not None)
    assert doubt(failed) == mark(failed) == ""
