"""Laws of the gate, on any blocks: what may not matter does not, and sides may be swapped."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.gated import blocks

from analyzer.errors import UsageError
from analyzer.gate.baseline import Baseline, parse, spelled
from analyzer.gate.evidence import Evidence, compared, judge, launches
from analyzer.gate.gates import parse as gate_of
from analyzer.gate.gates import spelled as gate_spelled
from analyzer.gate.quantities import quantity
from analyzer.gate.sequential import LOOKS, decide, looks
from analyzer.gate.values import Block, Settings, Side, Verdict
from analyzer.ranking.interval import Interval

GATE = gate_of("perf_throughput:-5%")
RULES = Settings()
_levels = st.floats(50.0, 200.0)
_series = st.lists(st.tuples(_levels, _levels), min_size=4, max_size=20)
#: pairs that hardly differ, so that verdicts are given
_close = st.lists(
    st.tuples(st.floats(99.0, 101.0), st.floats(88.0, 101.0)), min_size=4, max_size=20
)


@settings(max_examples=25)
@given(_close, st.randoms(use_true_random=False))
def test_the_order_in_which_blocks_come_does_not_matter(
    pairs: list[tuple[float, float]], dice: random.Random
) -> None:
    made = blocks(pairs)
    mixed = list(made)
    dice.shuffle(mixed)
    assert decide("c", [GATE], mixed, RULES) == decide("c", [GATE], made, RULES)


@settings(max_examples=30)
@given(_series, st.floats(0.01, 100.0))
def test_a_machine_so_many_times_faster_says_the_same(
    pairs: list[tuple[float, float]], factor: float
) -> None:
    one = compared(GATE, launches(blocks(pairs)))
    other = compared(GATE, launches(blocks([(a * factor, b * factor) for a, b in pairs])))
    assert other.worsenings == pytest.approx(one.worsenings, abs=1e-12)


@settings(max_examples=30)
@given(_series, st.sampled_from((1e-4, 0.01, 0.1)))
def test_swapping_the_sides_mirrors_the_interval(
    pairs: list[tuple[float, float]], error: float
) -> None:
    one, other = (
        Evidence.of(compared(GATE, launches(blocks(each))).worsenings).interval(error)
        for each in (pairs, [(b, a) for a, b in pairs])
    )
    mirrored = (-one.middle, -one.high, -one.low)
    assert (other.middle, other.low, other.high) == pytest.approx(mirrored, abs=1e-9)


@settings(max_examples=30)
@given(_series, st.sampled_from((1e-4, 0.01, 0.1)))
def test_more_of_the_same_never_widens_the_interval(
    pairs: list[tuple[float, float]], error: float
) -> None:
    worse = compared(GATE, launches(blocks(pairs))).worsenings
    once, twice = (Evidence.of(each).interval(error) for each in (worse, worse * 2))
    assert twice.high - twice.low <= once.high - once.low + 1e-12


@given(st.floats(-1.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_wider_interval_never_turns_a_verdict_round(
    middle: float, half: float, margin: float, room: float
) -> None:
    gate = {"margin": margin, "tolerance": margin + room}
    narrow = judge(Interval(middle, middle - half / 2, middle + half / 2), **gate)
    wide = judge(Interval(middle, middle - half, middle + half), **gate)
    assert wide in {narrow, Verdict.INCONCLUSIVE} or narrow is not Verdict.FAIL
    if wide is Verdict.PASS:
        assert narrow is Verdict.PASS


@given(st.floats(-1.0, 1.0), st.floats(0.0, 0.4), st.floats(0.0, 0.3), st.floats(0.0, 0.3))
def test_what_fails_is_nearer_to_the_gate_than_to_the_margin(
    middle: float, half: float, margin: float, room: float
) -> None:
    found = judge(
        Interval(middle, middle - half, middle + half), margin=margin, tolerance=margin + room
    )
    if found is Verdict.FAIL:
        assert middle > margin + room / 2 - 1e-9
    if found is Verdict.PASS:
        assert middle <= margin + room


@settings(max_examples=25)
@given(_close)
def test_a_verdict_stays_whatever_is_measured_afterwards(pairs: list[tuple[float, float]]) -> None:
    made = blocks(pairs)
    found = [decide("c", [GATE], made[: 2 * n], RULES) for n in range(1, len(pairs) + 1)]
    done = [decision for decision in found if not decision.go_on]
    assert {decision.findings[0].verdict for decision in done} <= {
        done[0].findings[0].verdict if done else None
    }


@settings(max_examples=25)
@given(_close)
@example([(100.0, 100.0)] * 20)
@example([(100.0, 90.0)] * 20)
def test_swapped_sides_never_both_fail(pairs: list[tuple[float, float]]) -> None:
    one, other = (
        decide("c", [GATE], blocks(each), RULES).findings[0].verdict
        for each in (pairs, [(b, a) for a, b in pairs])
    )
    assert {one, other} != {Verdict.FAIL}


@given(
    most=st.integers(4, 60),
    alpha=st.floats(1e-3, 0.2),
    per_launch=st.integers(1, 4),
    seconds=st.floats(0.5, 100.0),
    ended=st.booleans(),
)
def test_all_looks_together_err_no_more_often_than_alpha(
    most: int, alpha: float, per_launch: int, seconds: float, *, ended: bool
) -> None:
    rules = Settings(alpha=alpha, max_pairs=most, max_seconds=600.0)
    every = launches(
        blocks([(1.0, 1.0)] * most, per_launch=per_launch, seconds=seconds), per_launch
    )
    found = list(looks(every, rules, ended=ended))
    assert math.fsum(look.error for look in found) <= alpha * (1 + 1e-9)
    assert all(look.error > 0 for look in found)
    assert len(found) <= len(LOOKS)
    assert not any(look.last for look in found[:-1])


@given(
    st.sampled_from(("perf_throughput:-{:g}%", "perf_latency_p99:+{:g}%", "p99<={:g}ms@rate=400",
                     "cpu_used_ram<={:g}GB", "throughput>={:g}@concurrency=8", "p50 <= {:g}us")),
    st.integers(1, 9999).map(lambda hundredths: hundredths / 100),
)  # fmt: skip
def test_a_gate_that_is_written_and_read_is_the_same(form: str, number: float) -> None:
    gate = gate_of(form.format(number))
    again = gate_of(gate_spelled(gate))
    assert replace(again, change=None, bound=1.0) == replace(gate, change=None, bound=1.0)
    assert (again.change, again.bound) == (pytest.approx(gate.change), gate.bound)


@given(st.sampled_from(("perf_throughput", "perf_latency_p99")), st.floats(-0.9, 5.0))
def test_a_change_and_its_worsening_undo_each_other(tag: str, change: float) -> None:
    of = quantity(tag)
    assert of.change(of.of_change(change)) == pytest.approx(change, abs=1e-12)
    assert of.worsening(100.0, 100.0 * (1 + change)) == pytest.approx(of.of_change(change))


_names = st.text("abcxyz_0189 é", min_size=1, max_size=8)
_numbers = st.dictionaries(_names, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
_blocks = st.builds(
    Block,
    side=st.sampled_from(Side),
    pair=st.integers(0, 30),
    launch=st.integers(0, 30),
    values=_numbers,
    counts=_numbers,
    histogram=_names,
    seconds=st.floats(0.0, 1e6),
    remarks=st.lists(_names, max_size=2).map(tuple),
)
_baselines = st.builds(
    Baseline,
    taken_at=_names,
    commit=_names,
    engine_version=_names,
    environment=st.dictionaries(_names, st.one_of(_names, st.integers()), max_size=3),
    checks=st.dictionaries(_names, st.lists(_blocks, max_size=3).map(tuple), max_size=2),
    configs=st.dictionaries(_names, _names, max_size=2),
    loads=st.dictionaries(_names, _names, max_size=2),
)


@settings(max_examples=40)
@given(_baselines)
def test_a_baseline_that_is_written_and_read_is_the_same(baseline: Baseline) -> None:
    again = parse(spelled(baseline), "b.json")
    assert again == baseline
    assert again.address == baseline.address


@settings(max_examples=40)
@given(_baselines, st.data())
def test_a_baseline_that_was_changed_is_found_out(baseline: Baseline, data: st.DataObject) -> None:
    text = spelled(baseline)
    place = data.draw(st.integers(0, len(text) - 2))
    digit = data.draw(st.sampled_from("0123456789abc"))
    changed = text[:place] + digit + text[place + 1 :]
    try:
        again = parse(changed, "b.json")
    except UsageError as error:
        assert error.message.startswith("b.json")  # noqa: PT017 - either way is right
    else:
        assert again == baseline
