from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.metrics import METRICS
from analyzer.ranking.goal import parse_goal
from analyzer.report import wording


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (12345.6, "12,346"),
        (105.24, "105"),
        (48.94, "48.9"),
        (3.421, "3.42"),
        (0.0424, "0.042"),
        (0.0, "0"),
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "-"),
    ],
)
def test_numbers_carry_as_many_digits_as_they_are_worth(value: float | None, said: str) -> None:
    assert wording.number(value) == said


@given(st.lists(st.floats(0.01, 1e6), min_size=1))
def test_a_column_shows_two_digits_of_its_smallest_value_unless_it_spans_thousands(
    values: list[float],
) -> None:
    places = wording.decimals(values)
    if max(values) < 1000:
        assert float(f"{min(values):.{places}f}") == pytest.approx(min(values), rel=0.06)
    else:
        assert places <= 1


@pytest.mark.parametrize(
    ("value", "said"),
    [(21.4, "+21%"), (9.96, "+10%"), (9.94, "+9.9%"), (-3.26, "-3.3%"), (0.01, "0%"), (-0.0, "0%")],
)
def test_percentages_are_whole_from_ten_up(value: float, said: str) -> None:
    assert wording.percent(value, signed=True) == said


def test_an_interval_says_percent_once() -> None:
    assert wording.interval(17.2, 25.1) == "17 to 25%"
    assert wording.interval(-1.04, 5.2) == "-1.0 to 5.2%"


def test_a_goal_is_said_as_a_sentence_has_it() -> None:
    goal = parse_goal(
        {"perf_throughput": 3, "perf_latency_p99": 1},
        {"gpu_utilization": {"max": 80}},
        latency_budget=100,
    )
    assert wording.aim(goal) == (
        "maximizing throughput (weight 0.75) and minimizing p99 latency (weight 0.25)"
    )
    assert wording.limits(goal) == ("GPU utilization at most 80%", "p99 latency at most 100 ms")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.tag)
def test_every_metric_has_a_title_for_sentences_and_one_for_headings(metric: Any) -> None:
    title = wording.title(metric.tag)
    assert title.lower() == metric.title.lower()
    assert "GPU" in title or "GPU" not in metric.title
    assert wording.heading(metric.tag).lower() == title.lower()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {
                "instance_group": "4:GPU + 1:CPU",
                "max_batch_size": 8,
                "dynamic_batching": True,
                "max_queue_delay_microseconds": 1500,
                "intra_op_thread_count": 1,
            },
            (
                "4 GPU instances and 1 CPU instance, max batch size 8, "
                "dynamic batching, delay 1,500 µs, 1 intra-op thread"
            ),
        ),
        (
            {"instance_group": "", "max_batch_size": 0, "dynamic_batching": False},
            "no batching, no dynamic batching",
        ),
        ({}, "no dynamic batching"),
    ],
)
def test_settings_are_said_in_one_line(settings: dict[str, Any], said: str) -> None:
    assert wording.setup(settings) == said


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"cpu": "Xeon", "cores": 1}, "1 core of Xeon"),
        ({"cores": 2}, "2 CPU cores"),
        ({"cpu": "Xeon", "cores": 2, "gpus": [{"name": "H200"}, {"name": "H200"}]}, "2 x H200"),
        ({"gpus": ["A100", "T4"]}, "1 x A100 and 1 x T4"),
        ({}, ""),
    ],
)
def test_hardware_is_named_by_what_computes(machine: dict[str, Any], said: str) -> None:
    assert wording.hardware(machine) == said


def test_facts_are_readable_whatever_they_hold() -> None:
    facts = dict(
        wording.facts({
            "ram_bytes": 8_243_113_984,
            "cpu_governor": "performance",
            "seed": 0,
            "gpus": [{"name": "H200", "total_bytes": 150_754_820_096}],
            "nothing": None,
            "empty": [],
        })
    )  # fmt: skip
    assert facts == {
        "RAM": "8.2 GB",
        "CPU governor": "performance",
        "seed": "0",
        "GPUs": "name: H200, total: 150.8 GB",
    }


def test_durations_read_as_people_say_them() -> None:
    assert [wording.duration(s) for s in (9.4, 141.2, 7325.0)] == ["9 s", "2 min 21 s", "2 h 2 min"]
