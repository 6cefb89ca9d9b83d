"""Slowdowns of a served system in virtual time are caught: a small version of scripts/bench's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.gate.values import Verdict
from benchmarks import real_gates
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


def test_real_gates_that_were_cut_off_are_kept_and_gone_on_with(tmp_path: Path) -> None:
    machine = {"cpu": "Some CPU", "cores": "2"}
    asked: list[float] = []

    def gate(slower: float) -> real_gates.Real:
        asked.append(slower)
        if len(asked) == 3:
            raise KeyboardInterrupt
        finding = {"metric": "perf_throughput", "gate": "-5%", "verdict": "pass",
                   "change_pct": -1.0, "ci_pct": [-2.0, 0.0], "pairs": 4}  # fmt: skip
        return real_gates.Real(
            slower=slower, exit_code=0, verdict="pass", seconds=1.0, tainted=(), findings=[finding]
        )

    with pytest.raises(KeyboardInterrupt):
        real_gates.run((0.0, 0.1), 2, tmp_path, machine, gate)
    (file,) = tmp_path.glob("*-some-cpu-2-canary-real.json")
    assert [each["slower"] for each in json.loads(file.read_text())["gates"]] == [0.0, 0.1]
    busy = {**machine, "load before, a core": "3.20"}
    assert len(real_gates.run((0.0, 0.1), 2, tmp_path, busy, gate)) == 4
    assert asked == [0.0, 0.1, 0.0, 0.0, 0.1]
    assert len(json.loads(file.read_text())["gates"]) == 4
    assert file.with_suffix(".md").read_text().count("| pass |") == 4
    other = {**machine, "servetune": "9.9"}
    assert len(real_gates.run((0.1,), 1, tmp_path, other, gate)) == 1
