"""Slowdowns of a served system in virtual time are caught: a small version of scripts/bench's."""

from __future__ import annotations

import pytest

from analyzer.gate.values import Verdict
from benchmarks.canary import Noise, canary, truth

NOISE = Noise.of(0.01)
SECONDS = 0.3


@pytest.mark.parametrize(("slower", "verdict"), [(0.0, Verdict.PASS), (0.15, Verdict.FAIL)])
def test_the_gate_catches_what_it_should_and_nothing_else(slower: float, verdict: Verdict) -> None:
    found = canary(slower, NOISE, 2, SECONDS)
    assert found.share(verdict) == 1.0
    assert all(each.pairs <= 20 for each in found.gated)


def test_a_slowdown_is_as_large_as_it_says() -> None:
    assert truth(0.1, seconds=4.0) == pytest.approx(-0.1, abs=0.01)
