"""What a pod needs, by what was measured: each figure, its margin and its source."""

from dataclasses import replace

import pytest
from support.deployments import config, journal_head, measured, rows

from analyzer.deployment.choice import choose
from analyzer.deployment.served import served
from analyzer.deployment.sizing import size
from analyzer.deployment.values import Choice, Size, Wish
from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Row
from engine.modelconfig import convert

GOAL = parse_goal()
MACHINE = {"cores": 4}


def sized(
    made: tuple[Row, ...] = rows(),
    *,
    text: str = config(2),
    machine: dict[str, object] | None = None,
    wish: Wish | None = None,
    flags: tuple[str, ...] = (),
) -> tuple[Choice, Size]:
    choice, wish = choose(made, GOAL), wish or Wish()
    how = served(
        choice, journal_head({"server_flags": list(flags)}), {"m": convert.loads(text, "m")}, wish
    )
    return choice, size(choice, GOAL, how, wish, MACHINE if machine is None else machine)


def test_the_operating_point_is_the_knee_of_the_configurations_own_rows() -> None:
    choice, found = sized()
    assert found.knee
    assert found.operating.load.concurrency == 4
    assert choice.row.load.concurrency == 8


def test_without_a_knee_it_is_the_load_at_which_it_did_best() -> None:
    made = tuple(row for row in rows() if row.load.concurrency == 8)
    choice, found = sized(made)
    assert not found.knee
    assert found.operating == choice.row


def test_processors_are_what_was_used_and_a_tenth_more_up_to_what_there_was() -> None:
    _, found = sized()
    assert found.cpu_request is not None
    assert found.cpu_request.value == pytest.approx(0.9)  # 0.80 cores used, and 10 %
    assert "0.80 cores at concurrency 4 (measurement 4)" in found.cpu_request.source
    assert found.cpu_limit is not None
    assert found.cpu_limit.value == 4
    busy = tuple(replace(row, metrics={**row.metrics, "cpu_utilization": 390.0}) for row in rows())
    _, found = sized(busy)
    assert found.cpu_request is not None
    assert found.cpu_request.value == 4.0


def test_instances_that_are_pinned_ask_for_whole_cores() -> None:
    _, found = sized(flags=("--host-policy=cpu,cpu-cores=0-3",))
    assert found.cpu_request is not None
    assert found.cpu_request.value == 4.0


def test_memory_is_the_most_of_any_measurement_with_a_margin() -> None:
    made = rows()
    _, found = sized(made)
    most = max(row.metrics["cpu_used_ram"] for row in made if row.variant == "m_config_0")
    assert found.memory is not None
    used = most * 1e6 / 2**20
    assert found.memory.value == pytest.approx(used + 256, abs=1)
    large = tuple(replace(row, metrics={**row.metrics, "cpu_used_ram": 4000.0}) for row in made)
    _, found = sized(large)
    assert found.memory is not None
    assert found.memory.value == pytest.approx(4000e6 / 2**20 * 1.5, abs=1)


def test_a_start_has_five_times_what_it_took() -> None:
    _, found = sized()
    assert found.start.value == 100
    assert "20.0 s" in found.start.source
    quick = tuple(replace(row, launch_seconds=0.0) for row in rows())
    assert sized(quick)[1].start.value == 60


def test_requests_in_flight_are_rate_times_the_time_in_the_server() -> None:
    _, found = sized()
    # 135 requests/s, each 26.7 ms of 29.6 in the server: 3.6 at once, four fifths of it.
    assert found.in_flight["m"].value == pytest.approx(0.8 * 4 * 0.9)
    assert found.pending is not None
    assert found.pending.value == 1.0  # 0.8 waited, and one is the least
    by_eight = tuple(replace(row, load=replace(row.load, batch_size=8)) for row in rows())
    assert sized(by_eight)[1].in_flight["m"].value == pytest.approx(0.8 * 4 * 0.9 / 8)


@pytest.mark.parametrize(("platform", "waited"), [("ensemble", 0.5), ("", 1.0 + 0.5)])
def test_what_waits_in_the_models_behind_counts(platform: str, waited: float) -> None:
    """At 100 requests/s each calls one model once and another twice, 1 ms and 2 ms in a queue."""
    made = measured("default", 0, 5, 100.0)
    behind = {
        "a": {"requests": 200.0, "queue_ns": 1e6}, "b": {"requests": 400.0, "queue_ns": 2e6}
    }  # fmt: skip
    server = {"requests": 200.0, "queue_ns": 1e7, "composing": behind}
    text = config(1).replace('backend: "onnxruntime"', f'platform: "{platform}"' * bool(platform))
    metrics = {**made.metrics, "perf_server_queue": 10.0}
    _, found = sized((replace(made, server=server, metrics=metrics),), text=text)
    assert found.pending is not None
    assert f"{waited:.2f} waited" in found.pending.source


def test_what_was_not_measured_is_not_there() -> None:
    bare = tuple(
        replace(row, metrics={"perf_throughput": row.metrics["perf_throughput"]}) for row in rows()
    )
    _, found = sized(bare, machine={})
    assert (found.cpu_request, found.cpu_limit, found.memory, found.pending) == (None,) * 4
    assert not found.in_flight


@pytest.mark.parametrize(
    ("text", "wish", "expected"),
    [
        (config(2), Wish(), None),
        (config(2, kind="GPU"), Wish(), 2),
        (config(2, kind="GPU").replace("count: 2", "count: 2 gpus: [ 0 ]"), Wish(), 1),
        (config(2, kind="GPU"), Wish(gpus=1), 1),
        (config(2, kind="GPU"), Wish(gpus=0), None),
    ],
)
def test_gpus_are_those_that_instances_were_on(text: str, wish: Wish, expected: int | None) -> None:
    machine = {"cores": 4, "gpus": [{"name": "G", "uuid": "a"}, {"name": "G", "uuid": "b"}]}
    _, found = sized(text=text, wish=wish, machine=machine)
    assert (None if found.gpus is None else found.gpus.value) == expected


def test_models_that_were_loaded_together_are_scaled_by_each() -> None:
    whole = measured("default", 0, 4, 100.0)
    own = {"requests": 100, "server": {}, "histogram": ""}
    load = {"concurrency": 2, "request_rate": 0.0, "batch_size": 1}
    tags = {
        f"{name}::{tag}": value
        for name, rate in (("a", 60.0), ("b", 40.0))
        for tag, value in (("perf_throughput", rate), ("perf_latency_avg", 50.0))
    }
    made = replace(
        whole, metrics={**whole.metrics, **tags}, config="",
        composing={"a": config(1, "a"), "b": config(1, "b")},
        of_models={name: {**own, "load": load} for name in ("a", "b")},
    )  # fmt: skip
    choice = choose((made,), GOAL)
    configs = {name: convert.loads(text, name) for name, text in made.configs.items()}
    how = served(choice, journal_head({"together": {"a": {}, "b": {}}}), configs, Wish())
    assert how.loaded == ("a", "b")
    found = size(choice, GOAL, how, Wish(), MACHINE)
    assert found.in_flight["a"].value == pytest.approx(0.8 * 3.0)
    assert found.in_flight["b"].value == pytest.approx(0.8 * 2.0)
