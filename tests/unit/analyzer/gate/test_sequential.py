"""When the gate has seen enough, and what it makes of several gates at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.gated import blocks

from analyzer.gate.detectable import detectable
from analyzer.gate.evidence import launches
from analyzer.gate.gates import parse
from analyzer.gate.plan import pairs_per_launch, turns
from analyzer.gate.sequential import Decision, decide, looks
from analyzer.gate.values import Block, Finding, Settings, Side, Verdict
from analyzer.statistics.histogram import Histogram

RULES = Settings()
THROUGHPUT, P99, MEMORY = map(parse, ("throughput:-5%", "p99:+10%", "cpu_used_ram:+3%"))


def series(
    change: float, noise: float, pairs: int = 20, seed: int = 0
) -> list[tuple[float, float]]:
    dice = np.random.default_rng(seed)
    return [
        (100 * float(np.exp(dice.normal(0, noise))),
         100 * (1 + change) * float(np.exp(dice.normal(0, noise))))
        for _ in range(pairs)
    ]  # fmt: skip


def only(decision: Decision) -> Finding:
    (found,) = decision.findings
    return found


def both(*each: list[Block]) -> list[Block]:
    """Join the values of blocks that were measured together."""
    return [
        replace(
            parts[0], values={tag: value for part in parts for tag, value in part.values.items()}
        )
        for parts in zip(*each, strict=True)
    ]


def test_pairs_take_turns_and_launches_last_as_long_as_told() -> None:
    order = turns(2)
    found = [next(order) for _ in range(8)]
    assert "".join(turn.side.value[0] for turn in found) == "bccbbccb"
    assert [turn.pair for turn in found] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [turn.launch for turn in found] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [turn.fresh for turn in found] == [True, True, False, False] * 2
    with pytest.raises(ValueError, match="one pair at least"):
        next(turns(0))


def test_a_launch_that_takes_long_lasts_for_more_pairs_but_not_for_all() -> None:
    assert pairs_per_launch(0.5, 2.0, RULES) == 1
    assert pairs_per_launch(4.0, 2.0, RULES) == 2
    assert pairs_per_launch(600.0, 2.0, RULES) == RULES.max_pairs // 6
    assert pairs_per_launch(600.0, 0.0, RULES) == 1


def test_nothing_is_decided_before_four_launches() -> None:
    found = decide("c", [THROUGHPUT], blocks(series(-0.5, 0.001, 3)), RULES)
    assert found.go_on
    assert only(found).verdict is Verdict.INCONCLUSIVE
    assert only(found).reason == "3 of at least 4 pairs are measured"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(0.0, Verdict.PASS), (-0.1, Verdict.FAIL), (-0.03, Verdict.PASS), (0.1, Verdict.PASS)],
)
def test_what_is_clear_is_decided_at_the_first_look(change: float, verdict: Verdict) -> None:
    found = decide("c", [THROUGHPUT], blocks(series(change, 0.0005, 4)), RULES)
    assert not found.go_on
    one = only(found)
    assert one.verdict is verdict
    assert one.pairs == 4
    assert one.change == pytest.approx(change, abs=0.002)
    assert one.interval is not None
    assert one.interval[0] < change + 0.002
    assert one.interval[1] > change - 0.002
    assert one.margin == pytest.approx(0.02)
    assert ("it is better for sure" in one.notes) is one.improved is (change > 0)
    assert any("worse for sure" in note for note in one.notes) is (change == -0.03)


def test_a_machine_too_noisy_is_told_so_after_the_whole_budget() -> None:
    made = blocks([(100.0, 85.0), (100.0, 110.0)] * 10)
    assert decide("c", [THROUGHPUT], made[:-2], RULES).go_on
    found = decide("c", [THROUGHPUT], made, RULES)
    assert not found.go_on
    assert only(found).verdict is Verdict.INCONCLUSIVE
    assert "after 20 pairs: neither within -5% nor a regression" in only(found).reason


def test_time_ends_it_as_pairs_do() -> None:
    made = blocks(series(0.0, 0.1), seconds=40.0)
    found = decide("c", [THROUGHPUT], made, RULES)
    assert not found.go_on
    # Seven pairs are 560 s, and an eighth would not be through by 600.
    assert only(found).pairs == 7
    assert only(found).alpha == RULES.alpha


def test_whoever_ends_it_early_gets_the_whole_error_for_the_last_look() -> None:
    every = launches(blocks([(1.0, 1.0)] * 5))
    assert [look.launches for look in looks(every, RULES)] == [4]
    early = list(looks(every, RULES, ended=True))
    assert [look.launches for look in early] == [4, 5]
    assert early[-1].last
    assert early[-1].spent == RULES.alpha


def test_pairs_of_one_launch_are_one_observation() -> None:
    # Processes differ by 10 %, their measurements hardly: eight pairs of four launches.
    luck = [0.9, 1.1, 1.0, 0.95]
    pairs = [(100.0, 100.0 * each) for each in luck for _ in range(2)]
    found = decide("c", [THROUGHPUT], blocks(pairs, per_launch=2), RULES, per_launch=2, ended=True)
    assert only(found).verdict is Verdict.INCONCLUSIVE
    assert only(found).pairs == 8
    half = blocks(pairs, per_launch=2)[:-2]
    assert decide("c", [THROUGHPUT], half, RULES, per_launch=2).pairs == 6


def test_the_clearest_of_several_gates_is_held_to_the_least_error() -> None:
    made = both(
        blocks(series(-0.2, 0.01, 6)), blocks(series(0.0, 0.01, 6, seed=1), "perf_latency_p99")
    )
    found = decide("c", [P99, THROUGHPUT], made, RULES)
    latency, throughput = found.findings
    assert (throughput.verdict, latency.verdict) == (Verdict.FAIL, Verdict.PASS)
    alone = only(decide("c", [THROUGHPUT], made, RULES))
    assert 1 - throughput.confidence == pytest.approx((1 - alone.confidence) / 2)
    many = decide("c", [THROUGHPUT], made, RULES, others=9)
    assert 1 - only(many).confidence == pytest.approx((1 - alone.confidence) / 10)


def test_what_failed_leaves_more_error_to_the_next() -> None:
    made = both(
        blocks(series(-0.2, 0.001, 4)), blocks(series(0.3, 0.001, 4, seed=1), "perf_latency_p99")
    )
    first, second = decide("c", [THROUGHPUT, P99], made, RULES).findings
    assert {first.verdict, second.verdict} == {Verdict.FAIL}
    errors = sorted((1 - first.confidence, 1 - second.confidence))
    assert errors[1] == pytest.approx(2 * errors[0])


def test_memory_is_decided_by_two_launches_that_agree() -> None:
    for value, verdict in ((102.0, Verdict.PASS), (103.0, Verdict.PASS), (104.0, Verdict.FAIL)):
        found = decide("c", [MEMORY], blocks([(100.0, value)] * 2, "cpu_used_ram"), RULES)
        assert not found.go_on
        assert only(found).verdict is verdict
        assert only(found).confidence == 1.0
    assert "every pair beyond +3%" in only(found).reason


def test_memory_that_launches_disagree_on_is_judged_by_its_interval() -> None:
    made = blocks([(100.0, 102.0), (100.0, 104.0)], "cpu_used_ram")
    assert decide("c", [MEMORY], made, RULES).go_on
    wild = blocks([(100.0, 102.0 + 2 * (n % 2)) for n in range(20)], "cpu_used_ram")
    found = decide("c", [MEMORY], wild, RULES)
    assert only(found).verdict is Verdict.INCONCLUSIVE
    assert not found.go_on


def test_a_counter_that_must_not_rise_is_exact() -> None:
    gate = parse("failed_requests:0%")
    for count, verdict in ((0.0, Verdict.PASS), (1.0, Verdict.FAIL)):
        made = blocks([(0.0, count)] * 2, "failed_requests")
        assert only(decide("c", [gate], made, RULES)).verdict is verdict


@pytest.mark.parametrize(("level", "verdict"), [(280.0, Verdict.FAIL), (330.0, Verdict.PASS)])
def test_an_absolute_bound_needs_the_candidate_only(level: float, verdict: Verdict) -> None:
    made = [
        block for block in blocks([(level, level)] * 3 + [(level, level * 1.001)])
        if block.side is Side.CANDIDATE
    ]  # fmt: skip
    found = only(decide("c", [parse("throughput>=300")], made, RULES))
    assert found.verdict is verdict
    assert found.baseline is None
    assert "the bound of 300 infer/sec" in found.reason


def test_what_cannot_be_compared_is_not_measured_any_further() -> None:
    missing = decide("c", [parse("gpu_power_usage:+5%")], blocks(series(0.0, 0.01, 2)), RULES)
    assert not missing.go_on
    assert only(missing).reason == (
        "gpu_power_usage was not measured of the baseline and the candidate"
    )
    zero = blocks([(0.0, 1.0)] * 4, "perf_server_queue")
    found = decide("c", [parse("perf_server_queue:+50%")], zero, RULES)
    assert not found.go_on
    assert "absolute bound" in only(found).reason


def test_promises_and_nothing_are_not_for_blocks() -> None:
    for gates in ([], [parse("p99<=15ms@rate=400")]):
        with pytest.raises(ValueError, match="one gate at least"):
            decide("c", gates, [], RULES)


def test_percentiles_of_few_requests_are_called_that() -> None:
    made = blocks(series(0.0, 0.001, 4), "perf_latency_p99", requests=100)
    (note,) = only(decide("c", [P99], made, RULES)).notes
    assert note.startswith("p99 not certifiable: a block had 100 requests, and it takes 459")


def test_all_requests_together_tell_a_percentile_besides() -> None:
    dice = np.random.default_rng(0)
    made = []
    for block in blocks(series(0.0, 0.001, 5), "perf_latency_p99"):
        slow = 1.08 if block.side is Side.CANDIDATE else 1.0
        latency = (dice.lognormal(16, 0.1, 2000) * slow).astype(np.int64)
        made.append(replace(block, histogram=Histogram.of(latency).text))
    (note,) = only(decide("c", [P99], made, RULES)).notes
    assert note.startswith("p99 of all requests together changed by +")
    change = float(note.split("+")[1].split("%")[0])
    assert change == pytest.approx(8, abs=1.5)
    alone = [block for block in made if block.side is Side.CANDIDATE]
    assert only(decide("c", [parse("p99<=500ms")], alone, RULES)).notes == ()


def test_the_same_against_itself_tells_what_could_be_seen() -> None:
    gates = [THROUGHPUT, MEMORY]
    memory = blocks([(1.0, 1.0)] * 20, "cpu_used_ram")
    (calm,), (wild,) = (
        detectable(gates, both(blocks(series(0.0, noise)), memory), RULES) for noise in (0.005, 0.1)
    )
    assert calm.gate is THROUGHPUT
    assert calm.noise == pytest.approx(0.005 * 2**0.5, rel=0.5)
    assert calm.enough
    assert not wild.enough
    assert wild.effect > 10 * calm.effect
    assert detectable(gates, blocks(series(0.0, 0.01, 3)), RULES) == ()
    short = Settings(max_seconds=16.0)
    (hurried,) = detectable([THROUGHPUT], blocks(series(0.0, 0.005)), short)
    (patient,) = detectable([THROUGHPUT], blocks(series(0.0, 0.005)), RULES)
    assert hurried.effect > patient.effect


def test_an_effect_that_is_called_detectable_is_detected() -> None:
    noise = 0.02 * 2**0.5
    (seen,) = detectable([THROUGHPUT], blocks(series(0.0, 0.02, 20, seed=5)), RULES)
    left = 0.98 / (1 + seen.effect * noise / seen.noise)
    made = [blocks(series(left - 1, 0.02, seed=number)) for number in range(40)]
    verdicts = [only(decide("c", [THROUGHPUT], each, RULES)).verdict for each in made]
    assert verdicts.count(Verdict.FAIL) >= 32
