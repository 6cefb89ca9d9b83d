"""How gates are written, and what is said of those that are none."""

from __future__ import annotations

import pytest

from analyzer.errors import UsageError
from analyzer.gate.gates import parse, spelled
from analyzer.gate.quantities import known, quantity
from analyzer.gate.values import Gate, Kind, Settings, Verdict, overall
from analyzer.metrics import Direction


@pytest.mark.parametrize(
    ("text", "tag", "change", "bound", "kind"),
    [
        ("perf_throughput:-5%", "perf_throughput", -0.05, None, Kind.RELATIVE),
        (" p99 : +10 % ", "perf_latency_p99", 0.1, None, Kind.RELATIVE),
        ("gpu_used_memory:+3%", "gpu_used_memory", 0.03, None, Kind.EXACT),
        ("failed_requests:0%", "failed_requests", 0.0, None, Kind.EXACT),
        ("perf_latency_p99<=15ms", "perf_latency_p99", None, 15.0, Kind.BOUND),
        ("perf_latency_p99<=0.015s@rate=400", "perf_latency_p99", None, 15.0, Kind.SLO),
        ("p95 <= 900us @ rate = 1e3 /s", "perf_latency_p95", None, 0.9, Kind.SLO),
        ("throughput>=300/s", "perf_throughput", None, 300.0, Kind.BOUND),
        ("cpu_used_ram<=1.5GB", "cpu_used_ram", None, 1500.0, Kind.BOUND),
        ("mine::perf_throughput:-5%", "mine::perf_throughput", -0.05, None, Kind.RELATIVE),
    ],
)
def test_gates_are_read(
    text: str, tag: str, change: float | None, bound: float | None, kind: Kind
) -> None:
    gate = parse(text)
    assert (gate.quantity.tag, gate.kind) == (tag, kind)
    assert gate.change == (None if change is None else pytest.approx(change))
    assert gate.bound == (None if bound is None else pytest.approx(bound))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("perf_throughput", "is no gate"),
        ("perf_throughput:-5", "is no gate"),
        ("perf_througput:-5%", "did you mean perf_throughput"),
        ("perf_throughput:+5%", "write perf_throughput:-5%"),
        ("perf_latency_p99:-10%", "write perf_latency_p99:+10%"),
        ("perf_throughput:-100%", "cannot let it fall by 100%"),
        ("perf_throughput:0%", "write what it may lose, such as perf_throughput:-2%"),
        ("perf_latency_p99>=15ms", "perf_latency_p99<="),
        ("perf_latency_p99<=15MB", "is in ms"),
        ("perf_latency_p99<=0ms", "above 0"),
        ("perf_throughput>=300@rate=400", "a percentile of latency"),
        ("perf_latency_p99<=15ms@rate=0", "is above 0"),
        ("perf_latency_p99<=15ms@concurrency=1.5", "whole number"),
        ("cost_per_million:+5%", "no metric or counter"),
    ],
)
def test_what_is_no_gate_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("+", r"\+")):
        parse(text)


def test_a_gate_is_either_relative_or_absolute() -> None:
    with pytest.raises(UsageError, match="either"):
        Gate(quantity=quantity("p99"))
    with pytest.raises(UsageError, match="either"):
        Gate(quantity=quantity("p99"), change=0.1, bound=15.0)


def test_units_are_told_and_small_numbers_are_kept() -> None:
    assert spelled(parse("p99<=15ms@rate=400")) == "perf_latency_p99<=15.0ms@rate=400.0"
    assert spelled(parse("throughput:-7%")) == "perf_throughput:-7%"


def test_every_known_name_is_found_and_has_a_direction() -> None:
    assert {quantity(name).direction for name in known()} == set(Direction)


def test_margins_leave_room_below_their_gate() -> None:
    settings = Settings()
    for text, share in (("p99:+10%", 0.02), ("throughput:-5%", 0.02), ("p99:+1%", 0.004)):
        gate = parse(text)
        found = abs(gate.quantity.change(gate.margin(settings)))
        assert found == pytest.approx(share, rel=0.02)
        assert gate.margin(settings) < gate.tolerance
    memory = parse("cpu_used_ram:+3%")
    assert memory.margin(settings) == memory.tolerance


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"margin": -0.1}, "margin"),
        ({"alpha": 0.0}, "alpha"),
        ({"max_pairs": 3}, "max-pairs"),
        ({"max_seconds": 0.0}, "max-time"),
    ],
)
def test_settings_that_make_no_sense_are_refused(asked: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Settings(**asked)  # type: ignore[arg-type]


def test_there_is_no_verdict_on_nothing() -> None:
    with pytest.raises(ValueError, match="no gate was judged"):
        overall(())
    assert Verdict("pass") is Verdict.PASS
