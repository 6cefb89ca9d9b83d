from dataclasses import fields, replace

import numpy as np
import pytest

from analyzer.launcher import Endpoint
from analyzer.load.driven import Driven
from analyzer.load.window import WindowSample
from analyzer.load.wire import (
    Alive,
    Failed,
    Job,
    Line,
    Warmed,
    from_line,
    job_to_line,
    line_to_job,
    to_line,
)
from analyzer.metrics import BatchTimes, ServerTimes
from analyzer.record.row import LoadSpec

WINDOW = WindowSample(seconds=1.5, requests=3, failed=1, latency_avg_ns=2.5, latency_p99_ns=4.0)
TIMES = ServerTimes(
    requests=2,
    inferences=4,
    executions=1,
    request_ns=5.0,
    queue_ns=1.0,
    compute_input_ns=1.0,
    compute_infer_ns=2.0,
    compute_output_ns=1.0,
    cache_hits=1,
    batches=(
        BatchTimes(
            batch_size=4,
            executions=1,
            compute_input_ns=1.0,
            compute_infer_ns=2.0,
            compute_output_ns=1.0,
        ),
    ),
)
ENSEMBLE = replace(TIMES, composing={"first": TIMES, "second": replace(TIMES, batches=())})


def driven(server: ServerTimes | None) -> Driven:
    return Driven(
        protocol="http",
        started_ns=2**60,
        ended_ns=2**60 + 7,
        latency_ns=np.array([1, 2**62, 3], dtype=np.int64),
        window_rates=(1.5, 2.5),
        send_ns=1.0,
        receive_ns=None,
        failed=1,
        first_error="HTTP 400: no",
        stable=True,
        client_cpu=0.5,
        server=server,
        windows=4,
        warmup_requests=8,
        warmup_seconds=0.5,
    )


def test_a_job_survives_its_line() -> None:
    job = Job(
        endpoint=Endpoint("a:1", grpc="a:2", pid=3),
        model="m/1",
        load=LoadSpec(protocol="grpc", concurrency=7, window_seconds=0.25),
        request=bytes(range(256)),
    )
    assert "\n" not in job_to_line(job)
    assert line_to_job(job_to_line(job)) == job


@pytest.mark.parametrize("said", [Alive(5, 2), Warmed(8, 0.5), WINDOW, Failed('no\n"way"')])
def test_what_the_client_says_survives_its_line(said: Line) -> None:
    assert "\n" not in to_line(said)
    assert from_line(to_line(said)) == said


@pytest.mark.parametrize("server", [None, TIMES, ENSEMBLE])
def test_a_result_survives_its_line_to_the_last_nanosecond(server: ServerTimes | None) -> None:
    said = driven(server)
    heard = from_line(to_line(said))
    assert isinstance(heard, Driven)
    for field in fields(Driven):
        if field.name != "records":
            assert np.array_equal(getattr(heard, field.name), getattr(said, field.name))
    assert heard.latency_ns.dtype == np.int64


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"kind": "song"}', '{"kind": "alive"}'])
def test_a_line_that_says_nothing_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one too
        from_line(line)


def test_a_line_that_is_no_job_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a job"):
        line_to_job('{"model": "m"}')
