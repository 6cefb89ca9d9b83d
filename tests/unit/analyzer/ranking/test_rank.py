from __future__ import annotations

import math
from dataclasses import replace

import pytest
from support.single_rows import row

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import contender, failures, gain, pareto, rank, recommended, refuted
from analyzer.record.row import Phase, Row
from analyzer.statistics.estimate import Estimate


def verified(
    default: tuple[float, ...], best: tuple[float, ...], concurrency: int = 4
) -> list[Row]:
    """Rows of a default and a better variant 0, and their interleaved repetitions."""
    rows = [
        row("default", 0, concurrency=4, perf_throughput=100.0, perf_latency_p99=10.0),
        row("0", 1, concurrency=4, perf_throughput=130.0, perf_latency_p99=8.0),
    ]
    for name, rates in (("default", default), ("0", best)):
        rows += [
            row(
                name,
                10 + index,
                concurrency=concurrency,
                phase=Phase.VERIFY,
                repetition=index,
                perf_throughput=rate,
                perf_latency_p99=1000.0 / rate,
            )
            for index, rate in enumerate(rates)
        ]
    return rows


def test_a_variant_stands_by_its_best_row_that_keeps_the_constraints() -> None:
    rows = [
        row("0", 0, concurrency=1, perf_throughput=10.0, perf_latency_p99=1.0),
        row("0", 1, concurrency=2, perf_throughput=19.0, perf_latency_p99=2.0),
        row("0", 2, concurrency=4, perf_throughput=30.0, perf_latency_p99=9.0),
    ]
    (standing,) = rank(rows, parse_goal(latency_budget=3.0))
    assert standing.best is rows[1]
    assert standing.satisfies
    assert standing.rows == tuple(rows)


def test_what_keeps_the_constraints_comes_before_what_is_faster() -> None:
    rows = [
        row("0", 0, perf_throughput=500.0, perf_latency_p99=9.0),
        row("1", 1, perf_throughput=20.0, perf_latency_p99=1.0),
        row("2", 2, perf_throughput=400.0, perf_latency_p99=4.0),
        row("default", 3, perf_throughput=10.0, perf_latency_p99=1.0),
    ]
    standings = rank(rows, parse_goal(latency_budget=3.0))
    assert [each.variant[9:] for each in standings] == ["1", "default", "2", "0"]
    assert [each.satisfies for each in standings] == [True, True, False, False]


def test_equal_digests_are_one_variant_under_the_defaults_name() -> None:
    rows = [
        row("0", 0, digest="same", perf_throughput=2.0),
        row("default", 1, digest="same", perf_throughput=1.0),
    ]
    (standing,) = rank(rows, Goal())
    assert (standing.variant, standing.is_default, standing.score) == (
        "m_config_default",
        True,
        2.0,
    )


def test_repetitions_do_not_rank() -> None:
    rows = verified((100.0, 101.0), (500.0, 130.0))
    assert rank(rows, Goal())[0].score == 130.0
    assert all(each.trial.phase is not Phase.VERIFY for s in rank(rows, Goal()) for each in s.rows)


def test_a_rate_and_a_concurrency_of_one_number_are_two_loads() -> None:
    rows = verified((100.0, 101.0), (120.0, 121.0))
    opened = [
        replace(each, load=replace(each.load, request_rate=4.0)) if each.number >= 10 else each
        for each in rows
    ]
    found, other = gain(rows, Goal()), gain(opened, Goal())
    assert found is not None
    assert other is not None
    assert (found.pairs, other.pairs) == (2, 0)


def test_a_variants_rows_stand_by_rising_rate() -> None:
    rates = (400.0, 50.0, 100.5)
    rows = [
        row("0", at, rate=rate, perf_throughput=min(rate, 90.0)) for at, rate in enumerate(rates)
    ]
    (standing,) = rank(rows, Goal())
    assert [each.load.request_rate for each in standing.rows] == sorted(rates)


def test_variants_that_were_never_measured_are_failures_and_do_not_stand() -> None:
    rows = [row("0", 0, failure="no such op"), row("1", 1, perf_throughput=1.0)]
    assert [each.variant for each in rank(rows, Goal())] == ["m_config_1"]
    assert failures(rows) == (rows[0],)


def test_of_equals_the_default_wins() -> None:
    rows = [row("0", 0, perf_throughput=5.0), row("default", 1, perf_throughput=5.0)]
    assert rank(rows, Goal())[0].is_default


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    rows = [
        row("0", 0, perf_throughput=10.0, perf_latency_p99=1.0),
        row("1", 1, perf_throughput=30.0, perf_latency_p99=3.0),
        row("2", 2, perf_throughput=20.0, perf_latency_p99=4.0),
        row("3", 3, perf_throughput=30.0, perf_latency_p99=5.0),
        row("4", 4, perf_throughput=40.0, perf_latency_p99=9.0),
        row("5", 5, failure="no"),
        row("6", 6, perf_throughput=90.0),
        row("0", 7, phase=Phase.VERIFY, perf_throughput=99.0, perf_latency_p99=0.1),
    ]
    assert pareto(rows) == (rows[0], rows[1], rows[4])


def test_the_gain_of_pairs_is_a_paired_interval_on_log_ratios() -> None:
    result = gain(verified((100.0, 110.0, 90.0), (120.0, 132.0, 111.0)), Goal())
    assert result is not None
    ratios = [math.log(1.2), math.log(1.2), math.log(111 / 90)]
    middle = sum(ratios) / 3
    spread = math.sqrt(sum((each - middle) ** 2 for each in ratios) / 2)
    reach = 4.302652730 * spread / math.sqrt(3)
    assert result.percent == pytest.approx(100 * math.expm1(middle))
    assert result.low == pytest.approx(100 * math.expm1(middle - reach))
    assert result.high == pytest.approx(100 * math.expm1(middle + reach))
    assert (result.pairs, result.tag, result.proven) == (3, "perf_throughput", True)
    assert "paired t" in result.method


def test_less_latency_is_a_gain_told_as_a_share_of_the_defaults() -> None:
    result = gain(verified((100.0,) * 2, (200.0,) * 2), parse_goal(["perf_latency_p99"]))
    assert result is not None
    assert (result.percent, result.low, result.high) == pytest.approx((50.0, 50.0, 50.0))


def test_several_objectives_gain_by_their_weighted_ratio() -> None:
    goal = parse_goal(["perf_throughput", "perf_latency_p99"])
    result = gain(verified((100.0,) * 2, (200.0,) * 2), goal)
    assert result is not None
    assert result.tag == "perf_throughput+perf_latency_p99"
    assert result.percent == pytest.approx(100.0)


def test_another_metric_can_be_compared_too() -> None:
    result = gain(verified((100.0,) * 2, (200.0,) * 2), Goal(), "perf_latency")
    assert result is not None
    assert result.tag == "perf_latency_p99"
    assert result.percent == pytest.approx(50.0)


def test_repetitions_at_another_load_prove_nothing() -> None:
    result = gain(verified((100.0, 110.0), (120.0, 132.0), concurrency=8), Goal())
    assert result is not None
    assert (result.pairs, result.low, result.high) == (0, None, None)
    assert result.percent == pytest.approx(30.0)
    assert result.method == "one measurement each, no interval"


def test_without_repetitions_the_windows_speak_and_it_is_said() -> None:
    rows = [
        row("default", 0, perf_throughput=100.0, rates=(99.0, 100.0, 101.0)),
        row("0", 1, perf_throughput=130.0, rates=(129.0, 130.0, 131.0)),
    ]
    result = gain(rows, Goal())
    assert result is not None
    assert result.low is not None
    assert result.high is not None
    assert result.low < 30.0 < result.high
    assert "Welch" in result.method
    assert "not verified" in result.method


def test_intervals_of_the_measurements_speak_before_windows_which_may_hold_a_request_each() -> None:
    """A batch's answers come at once: windows between them have rates of 0.5 and of 4,000."""
    known = {
        "0": Estimate(value=2.6, low=2.0, high=3.4, n=17),
        "default": Estimate(value=2.7, low=2.5, high=3.0, n=40),
    }
    rows = [
        replace(row(name, number, perf_throughput=known[name].value, rates=(0.5, 140.0, 4000.0)),
                estimates={"perf_throughput": known[name]}, requests=17)
        for number, name in enumerate(known)
    ]  # fmt: skip
    result = gain(rows, Goal())
    assert result is not None
    assert result.low is not None
    assert result.high is not None
    assert result.percent == pytest.approx(100 * (2.6 / 2.7 - 1))
    assert -35.0 < result.low < result.percent < result.high < 35.0
    assert result.method == "intervals of one measurement each put together, not verified"
    unbounded = [replace(each, estimates={}) for each in rows]
    assert gain(unbounded, Goal()).low is None  # type: ignore[union-attr]


def test_of_a_metric_of_which_less_is_better_the_interval_is_turned() -> None:
    known = {"default": (10.0, 9.0, 12.0), "0": (5.0, 4.5, 5.5)}
    rows = [
        replace(row(name, number, perf_latency_p99=value), estimates={
            "perf_latency_p99": Estimate(value=value, low=low, high=high, n=900)})
        for number, (name, (value, low, high)) in enumerate(known.items())
    ]  # fmt: skip
    result = gain(rows, parse_goal("perf_latency_p99"))
    assert result is not None
    assert result.low is not None
    assert result.high is not None
    assert 0.0 < result.low < 50.0 < result.high < 100.0


def test_there_is_no_gain_where_there_is_nothing_to_compare() -> None:
    assert gain([], Goal()) is None
    assert gain([row("0", perf_throughput=1.0)], Goal()) is None
    assert gain([row("default", perf_throughput=1.0)], Goal()) is None
    assert gain(verified((1.0, 1.0), (2.0, 2.0)), Goal(), "gpu_utilization") is None


def test_a_default_that_leads_is_compared_with_its_closest_rival() -> None:
    better = row("default", 1, perf_throughput=2.0)
    result = gain([row("0", perf_throughput=1.0), better], Goal())
    assert result is not None
    assert result.percent == pytest.approx(-50.0)


def test_a_rival_that_breaks_what_the_default_keeps_is_none() -> None:
    rows = [
        row("default", 1, perf_throughput=2.0, perf_latency_p99=5.0),
        row("0", perf_throughput=9.0, perf_latency_p99=50.0),
    ]
    goal = parse_goal(latency_budget=10.0)
    assert contender(rows, goal) is None
    assert gain(rows, goal) is None
    assert recommended(rows, goal) == rank(rows, goal)[0]


def test_a_rival_behind_in_the_search_and_ahead_in_the_repetitions_is_recommended() -> None:
    rows = verified((100.0, 101.0, 99.0), (120.0, 121.0, 119.0))
    rows[1] = row("0", 1, concurrency=4, perf_throughput=95.0, perf_latency_p99=8.0)
    chosen = recommended(rows, Goal())
    assert rank(rows, Goal())[0].is_default
    assert chosen is not None
    assert chosen.variant == "m_config_0"


def test_the_contender_is_recommended_only_when_repetitions_prove_it_better() -> None:
    better = verified((100.0, 101.0, 99.0), (120.0, 121.0, 119.0))
    worse = verified((100.0, 101.0, 99.0), (80.0, 81.0, 79.0))
    unclear = verified((100.0, 101.0, 99.0), (90.0, 121.0, 99.0))
    names = [
        None if (standing := recommended(rows, Goal())) is None else standing.variant
        for rows in (better, worse, unclear, [])
    ]
    assert names == ["m_config_0", "m_config_default", "m_config_default", None]


def test_a_default_that_breaks_the_constraints_is_never_recommended_for_being_faster() -> None:
    rows = verified((100.0, 101.0, 99.0), (80.0, 81.0, 79.0))
    latency = {"m_config_default": 10.0, "m_config_0": 8.0}
    rows = [
        replace(each, metrics={**each.metrics, "perf_latency_p99": latency[each.variant]})
        for each in rows
    ]
    chosen = recommended(rows, parse_goal(latency_budget=9.0))
    assert chosen is not None
    assert chosen.variant == "m_config_0"


def test_what_breaks_the_constraints_when_verified_is_not_recommended_at_that_load() -> None:
    goal = parse_goal(latency_budget=9.0)
    rows = verified((200.0, 201.0), (100.0, 101.0))
    rows[0] = row("default", 0, concurrency=4, perf_throughput=80.0, perf_latency_p99=5.0)
    # It kept 9 ms in the search, and had 10 ms twice when it was measured again.
    (found,) = refuted(rows, goal)
    assert (found.row, found.times) == (rows[1], 2)
    assert found.metrics["perf_latency_p99"] == pytest.approx((1000 / 100 + 1000 / 101) / 2)
    assert [each.satisfies for each in rank(rows, goal)] == [True, False]
    chosen = recommended(rows, goal)
    assert chosen is not None
    assert chosen.is_default
    # At a lower load the same variant is still one to serve.
    lower = row("0", 2, concurrency=2, perf_throughput=95.0, perf_latency_p99=6.0)
    first = rank([*rows, lower], goal)[0]
    assert (first.variant, first.best, first.satisfies) == ("m_config_0", lower, True)


def test_one_unlucky_repetition_refutes_nothing() -> None:
    goal = parse_goal(latency_budget=9.0)
    assert refuted(verified((90.0,), (100.0,)), goal) == ()
    assert refuted(verified((120.0,) * 2, (100.0, 130.0)), goal) == ()
    assert refuted(verified((90.0,) * 2, (100.0, 100.0)), parse_goal()) == ()
