"""Section 7 of Triton's features: which requests run together and when, as its clients see it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.batches import KITS, PATIENCE_S, Line, lining_up, refusal, spelled
from support.conditions import within

CONFIG = """
backend: "recorder" max_batch_size: %(batch)d
input [ { name: "X" data_type: TYPE_FP32 dims: [ %(dims)s ] }, %(input)s ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ %(dims)s ] } ]
instance_group [ { kind: KIND_CPU count: %(instances)d } ]
"""
OPTIONAL = '{ name: "O" data_type: TYPE_FP32 dims: [ 2 ] optional: true }'
LEVELS = "priority_levels: 3 default_priority_level: 2"
TIMED = "default_timeout_microseconds: %d allow_timeout_override: true"
SECOND_US = 1_000_000
LATE, FULL = "Request timeout expired", "Exceeds maximum queue size"
UNAVAILABLE = {"http": "503", "grpc": "StatusCode.UNAVAILABLE"}


def _model(folder: Path, name: str, batcher: str | None = None, **more: Any) -> None:
    """Write a model; ``batcher`` is what stands in its dynamic_batching, None if it has none."""
    given = {
        "backend": "recorder",
        "batch": 4,
        "dims": "2",
        "input": "",
        "instances": 1,
        "more": "",
    }
    given |= more
    text = (CONFIG % given).replace(", ]", " ]").replace("},  ]", "} ]")
    if batcher is not None:
        text += f"dynamic_batching {{ {batcher} }}\n"
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(text)


def _policy(name: str, text: str) -> str:
    return f"{name} {{ {text} }}"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("models")
    _model(folder, "unbatched")
    _model(folder, "batched", "")
    _model(folder, "patient", "max_queue_delay_microseconds: 200000")
    _model(folder, "choosy", "preferred_batch_size: [ 3 ]", batch=8)
    _model(
        folder,
        "choosy_patient",
        "preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 500000",
        batch=8,
    )
    _model(folder, "varying", "", dims="-1")
    _model(folder, "optional", "", input=OPTIONAL)
    for name, ordered in (("in_order", "preserve_ordering: true"), ("as_ready", "")):
        _model(folder, name, ordered, instances=2)
    _model(folder, "levels", LEVELS, batch=1)
    reject = _policy("default_queue_policy", TIMED % (10 * SECOND_US))
    _model(folder, "timed", reject)
    _model(folder, "untimed", _policy("default_queue_policy", TIMED % 0))
    fixed = "default_timeout_microseconds: 60000"
    _model(folder, "fixed", _policy("default_queue_policy", fixed))
    delay = f"timeout_action: DELAY {TIMED % (10 * SECOND_US)}"
    _model(folder, "put_off", _policy("default_queue_policy", delay), batch=1)
    _model(folder, "bounded", _policy("default_queue_policy", "max_queue_size: 2"))
    own = f"key: 1 value: {{ timeout_action: DELAY max_queue_size: 1 {TIMED % (10 * SECOND_US)} }}"
    by_level = _policy("priority_queue_policy", own) + _policy(
        "default_queue_policy", f"max_queue_size: 2 {TIMED % (10 * SECOND_US)}"
    )
    _model(folder, "by_level", f"{LEVELS} {by_level}", batch=1)
    with lining_up(folder) as served:
        yield served


@pytest.fixture(params=list(KITS))
def kit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _passed(since: float, seconds: float) -> bool:
    """Wait until so many seconds have gone by."""
    return within(lambda: time.monotonic() > since + seconds)


@pytest.mark.triton("7.1", "7.2")
def test_without_a_batcher_each_runs_alone_in_order_whatever_its_priority_and_timeout(
    line: Line, kit: str
) -> None:
    begun = time.monotonic()
    with line.occupied("unbatched"):
        for number, priority in enumerate((3, 1, 2), 1):
            line.queue("unbatched", number, kit=kit, priority=priority, timeout=1000)
        assert _passed(begun, 0.01)
    assert line.ran("unbatched") == [[1], [2], [3]]
    assert set(line.batch_sizes("unbatched")) == {1, 4}


@pytest.mark.triton("7.2", "7.4", "7.5")
def test_a_batch_grows_until_the_instance_takes_it_and_no_request_is_split(line: Line) -> None:
    with line.occupied("batched"):
        for number, rows in enumerate((1, 2, 2, 1, 1), 1):
            line.queue("batched", number, rows=rows)
    assert line.ran("batched") == [[1, 2, 2], [3, 3, 4, 5]]
    assert line.batch_sizes("batched") == {3: 1, 4: 2}


@pytest.mark.triton("7.2")
def test_more_rows_than_a_batch_may_have_are_refused_before_they_queue(
    line: Line, kit: str
) -> None:
    status, message = refusal(line.ask("batched", 1, rows=5, kit=kit))
    assert "inference request batch-size must be <= 4 for 'batched'" in message
    assert status == {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"}[kit]


@pytest.mark.triton("7.3")
def test_a_preferred_size_that_is_reached_leaves_before_all_that_would_fit(line: Line) -> None:
    with line.occupied("choosy", 3):
        for number in range(1, 6):
            line.queue("choosy", number)
    assert line.ran("choosy") == [[1, 2, 3], [4, 5]]


@pytest.mark.triton("7.3", "7.4")
def test_a_preferred_size_ends_the_wait_and_less_waits_for_the_delay(line: Line) -> None:
    line.recorder.forget()
    begun = time.monotonic()
    for number in (1, 2):
        line.queue("choosy_patient", number)
    line.ask("choosy_patient", 3)
    line.settle()
    assert time.monotonic() - begun < 0.49
    begun = time.monotonic()
    for number in (4, 5):
        line.queue("choosy_patient", number)
    line.settle()
    assert time.monotonic() - begun >= 0.5
    assert line.ran("choosy_patient") == [[1, 2, 3], [4, 5]]


@pytest.mark.triton("7.4")
def test_beyond_the_delay_all_that_fits_leaves_preferred_or_not(line: Line) -> None:
    begun = time.monotonic()
    with line.occupied("choosy_patient", 3):
        for number in range(1, 5):
            line.queue("choosy_patient", number)
        assert _passed(begun, 0.6)
    assert line.ran("choosy_patient") == [[1, 2, 3, 4]]


@pytest.mark.triton("7.4")
def test_a_request_alone_waits_for_others_as_long_as_the_delay_says(line: Line) -> None:
    line.recorder.forget()
    begun = time.monotonic()
    line.ask("patient", 1).result(PATIENCE_S)
    assert time.monotonic() - begun >= 0.2


@pytest.mark.triton("7.6")
def test_another_shape_closes_a_batch_and_order_is_kept(line: Line) -> None:
    with line.occupied("varying"):
        for number, width in enumerate((2, 2, 3, 2), 1):
            line.queue("varying", number, width=width)
    assert line.ran("varying") == [[1, 2], [3], [4]]


@pytest.mark.triton("2.7")
def test_optional_inputs_may_be_left_out_and_only_equal_sets_share_a_batch(line: Line) -> None:
    also = {"O": np.ones((1, 2), np.float32)}
    with line.occupied("optional"):
        for number, brings in enumerate(({}, {}, also, also, {}), 1):
            line.queue("optional", number, also=brings)
    assert line.ran("optional") == [[1, 2], [3, 4], [5]]
    given = [sorted(inputs) for name, inputs in line.recorder.seen if name == "optional"]
    assert given == [["X"], ["X"], ["O", "X"], ["X"]]


@pytest.mark.triton("7.8")
def test_preserve_ordering_holds_a_fast_answer_back_and_nobodys_run(line: Line) -> None:
    """Request 2 is done, on the second instance, while request 1 still runs on the first."""
    line.recorder.forget()
    with line.recorder.doors_closed(lambda given: given["X"][0, 0] == 2):
        first = line.ask("as_ready", 1, rows=4)
        line.recorder.wait_for(1, "as_ready")
        assert line.ask("as_ready", 2).result(PATIENCE_S) is not None
        assert not first.done()
        first = line.ask("in_order", 1, rows=4)
        line.recorder.wait_for(1, "in_order")
        second = line.ask("in_order", 2)
        assert within(lambda: line.ran("in_order") == [[1] * 4, [2]])
        line.ask("as_ready", 2).result(PATIENCE_S)  # long enough for an answer to arrive
        assert not second.done()
    assert first.result(PATIENCE_S) is not None
    assert second.result(PATIENCE_S) is not None
    line.settle()


@pytest.mark.triton("7.9")
def test_higher_levels_are_served_first_and_no_level_is_the_default_level(
    line: Line, kit: str
) -> None:
    with line.occupied("levels", 1):
        for number, priority in enumerate((3, 0, 2, 1, 9, 1), 1):
            line.queue("levels", number, kit=kit, priority=priority)
    assert line.ran("levels") == [[4], [6], [2], [3], [5], [1]]


@pytest.mark.triton("7.10", "7.11")
def test_who_waits_too_long_is_refused_while_the_instance_still_runs(line: Line, kit: str) -> None:
    failed = line.failures("fixed", "REJECTED")
    with line.occupied("fixed"):
        begun = time.monotonic()
        # Without allow_timeout_override its own timeout counts for nothing.
        status, message = refusal(line.queue("fixed", 1, kit=kit, timeout=1))
        assert 0.06 <= time.monotonic() - begun < 5
    assert (status, LATE in message) == (UNAVAILABLE[kit], True)
    assert line.ran("fixed") == []
    assert line.failures("fixed", "REJECTED") == failed + 1


@pytest.mark.triton("7.10")
def test_a_timeout_of_its_own_only_shortens_a_default(line: Line, kit: str) -> None:
    with line.occupied("timed"):
        late = line.queue("timed", 1, kit=kit, timeout=30_000)
        longer = line.queue("timed", 2, kit=kit, timeout=99 * SECOND_US)
        assert LATE in refusal(late)[1]
        assert not longer.done()
    assert line.ran("timed") == [[2]]
    begun = time.monotonic()
    with line.occupied("untimed"):  # without a default it never counts
        line.queue("untimed", 1, kit=kit, timeout=1)
        assert _passed(begun, 0.03)
    assert line.ran("untimed") == [[1]]


@pytest.mark.triton("7.11")
def test_who_is_put_off_runs_after_all_who_are_in_time(line: Line, kit: str) -> None:
    with line.occupied("put_off", 1):
        line.queue("put_off", 1, kit=kit, timeout=1000)
        line.queue("put_off", 2, kit=kit)
        line.queue("put_off", 3, kit=kit)
        assert _passed(time.monotonic(), 0.01)
    assert line.ran("put_off") == [[2], [3], [1]]


@pytest.mark.triton("7.10")
def test_a_full_queue_refuses_at_once_and_keeps_those_it_has(line: Line, kit: str) -> None:
    with line.occupied("bounded"):
        for number in (1, 2):
            line.queue("bounded", number)
        status, message = refusal(line.ask("bounded", 3, kit=kit))
        assert (status, FULL in message) == (UNAVAILABLE[kit], True)
        assert line.pending("bounded") == 2
    assert line.ran("bounded") == [[1, 2]]


@pytest.mark.triton("7.9", "7.10", "7.11")
def test_each_level_has_the_policy_of_its_own_or_the_default_one(line: Line) -> None:
    with line.occupied("by_level", 1):
        line.queue("by_level", 1, priority=1, timeout=1000)
        line.queue("by_level", 2, priority=3, timeout=1000)
        assert LATE in refusal(line.sent[-1])[1]
        assert _passed(time.monotonic(), 0.01)
        assert FULL in refusal(line.ask("by_level", 3, priority=1))[1]
        for number in (4, 5):
            line.queue("by_level", number, priority=2)
        assert FULL in refusal(line.ask("by_level", 6, priority=2))[1]
    # Put off, 1 still comes before a lower level.
    assert line.ran("by_level") == [[1], [4], [5]]


@pytest.mark.triton("7.12")
def test_a_cancelled_request_leaves_the_queue_at_once_and_never_runs(line: Line) -> None:
    failed = line.failures("batched", "CANCELED")
    answers: list[Any] = []
    with line.occupied("batched"), line.client("grpc") as client:
        x = spelled(KITS["grpc"], {"X": np.ones((1, 2), np.float32)})
        call = client.async_infer(
            "batched", x, lambda result, error: answers.append((result, error))
        )
        assert within(lambda: line.pending("batched") == 1)
        call.cancel()
        assert within(lambda: line.pending("batched") == 0)
        assert within(lambda: bool(answers))
    ((result, error),) = answers
    assert result is None
    assert "CANCELLED" in str(error)
    assert line.ran("batched") == []
    assert line.failures("batched", "CANCELED") == failed + 1


@pytest.mark.triton("7.12")
def test_who_hangs_up_or_waits_no_longer_leaves_the_queue_as_well(line: Line) -> None:
    body = b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,1]}]}'
    head = (
        f"POST /v2/models/batched/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with line.occupied("batched"):
        with socket.create_connection(("127.0.0.1", line.ports.http.port)) as connection:
            connection.sendall(head.encode() + body)
            assert within(lambda: line.pending("batched") == 1)
        assert within(lambda: line.pending("batched") == 0)
        late = line.queue("batched", 2, kit="grpc", client_timeout=0.05)
        assert "Deadline Exceeded" in refusal(late)[1]
        assert within(lambda: line.pending("batched") == 0)
    assert line.ran("batched") == []
