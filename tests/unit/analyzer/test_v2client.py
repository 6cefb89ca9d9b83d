import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.v2_server import Faults, V2Server, running

from analyzer import v2client
from analyzer.counters import BatchCounters, Counters
from analyzer.errors import LaunchError
from analyzer.launcher import Endpoint
from engine.types import DType, InferRequest, Tensor, TensorSpec


@pytest.fixture
def server() -> Iterator[V2Server]:
    with running(V2Server()) as server:
        server.add("tiny")
        server.add("a/b c").ready = False
        yield server


@pytest.fixture
def endpoint(server: V2Server) -> Endpoint:
    return Endpoint(f"127.0.0.1:{server.port}")


NOWHERE = Endpoint("127.0.0.1:1")


def test_metadata_comes_as_values(endpoint: Endpoint) -> None:
    assert v2client.server_metadata(endpoint).name == "tiny"
    assert v2client.server_metadata(endpoint).extensions == ("statistics",)
    model = v2client.model_metadata(endpoint, "tiny")
    assert model.versions == ("1",)
    assert model.inputs == (
        TensorSpec("INPUT0", DType.FP32, (-1, 16)),
        TensorSpec("TOKENS", DType.INT64, (-1, -1)),
    )


def test_the_configuration_comes_as_the_engine_knows_it(endpoint: Endpoint) -> None:
    config = v2client.model_config(endpoint, "tiny")
    assert (config.name, config.max_batch_size, config.backend) == ("tiny", 8, "onnxruntime")
    assert config.input[0].dims == (16,)


def test_readiness_is_a_yes_or_a_no_whatever_happens(endpoint: Endpoint) -> None:
    assert v2client.ready(endpoint)
    assert v2client.model_ready(endpoint, "tiny")
    assert not v2client.model_ready(endpoint, "nobody")
    assert not v2client.ready(NOWHERE)
    assert not v2client.model_ready(NOWHERE, "tiny")


def test_counters_are_read_and_subtracted(server: V2Server, endpoint: Endpoint) -> None:
    before = v2client.statistics(endpoint, "tiny")
    assert before == Counters()
    server.models["tiny"].requests = 4
    seen = v2client.statistics(endpoint, "tiny") - before
    assert (seen.requests, seen.inferences, seen.executions) == (4, 4, 2)
    assert (seen.request_ns, seen.queue_ns, seen.compute_infer_ns) == (4000, 400, 2400)


def test_who_does_not_answer_a_request_says_why(endpoint: Endpoint) -> None:
    asked = InferRequest(inputs=(Tensor("INPUT0", DType.FP32, np.ones((1, 16), np.float32)),))
    with pytest.raises(LaunchError, match="nobody"):
        v2client.infer(endpoint, "nobody", asked)
    with pytest.raises(LaunchError, match="no answer"):
        v2client.infer(NOWHERE, "tiny", asked)


#: as Triton 25.x answers, with members that nobody here knows, and without some it may leave out
TRITONS: dict[str, Any] = {
    "version": "1",
    "last_inference": 1700000000000,
    "inference_count": 12,
    "execution_count": 5,
    "inference_stats": {
        "success": {"count": 10, "ns": 9000},
        "fail": {"count": 1, "ns": 50},
        "queue": {"count": 7, "ns": 700},
        "compute_input": {"count": 7, "ns": 70},
        "compute_infer": {"count": 7, "ns": 7000},
        "compute_output": {"count": 7, "ns": 77},
        "cache_hit": {"count": 3, "ns": 30},
        "cache_miss": {"count": 7, "ns": 21},
        "novelty": {"count": 1, "ns": 1},
    },
    "response_stats": {},
    "batch_stats": [
        {
            "batch_size": 1,
            "compute_input": {"count": 3, "ns": 30},
            "compute_infer": {"count": 3, "ns": 3000},
            "compute_output": {"count": 3, "ns": 33},
        },
        {"batch_size": 4, "compute_infer": {"count": 2, "ns": 4000}, "other": 1},
    ],
    "memory_usage": [{"type": "GPU", "id": 0, "byte_size": 5}],
}


def test_tritons_own_statistics_are_read_with_cache_and_batches(
    server: V2Server, endpoint: Endpoint
) -> None:
    server.models["tiny"].statistics = TRITONS
    read = v2client.statistics(endpoint, "tiny")
    assert (read.requests, read.failed, read.inferences, read.executions) == (10, 1, 12, 5)
    assert (read.cache_hits, read.cache_hit_ns) == (3, 30)
    assert (read.cache_misses, read.cache_miss_ns) == (7, 21)
    assert read.batches == {
        1: BatchCounters(
            executions=3, compute_input_ns=30, compute_infer_ns=3000, compute_output_ns=33
        ),
        4: BatchCounters(executions=2, compute_infer_ns=4000),
    }


def test_statistics_may_lack_what_a_server_does_not_count(
    server: V2Server, endpoint: Endpoint
) -> None:
    server.models["tiny"].statistics = {"inference_stats": {"success": {"count": 2, "ns": 9}}}
    assert v2client.statistics(endpoint, "tiny") == Counters(requests=2, request_ns=9)


def step(model: str) -> dict[str, Any]:
    return {"model_name": model, "model_version": -1, "input_map": {}, "output_map": {}}


def ensemble(*models: str) -> dict[str, Any]:
    return {
        "platform": "ensemble",
        "backend": "",
        "ensemble_scheduling": {"step": [step(model) for model in models]},
    }


def test_an_ensembles_counters_come_with_those_of_its_models(
    server: V2Server, endpoint: Endpoint
) -> None:
    server.add("inner", **ensemble("tiny", "gone"))
    server.add("outer", **ensemble("tiny", "inner"))
    read = v2client.CounterReader(endpoint, "outer")
    server.models["outer"].requests, server.models["tiny"].requests = 2, 6
    seen = read()
    assert seen is not None
    assert seen.requests == 2
    assert {name: one.requests for name, one in seen.composing.items()} == {
        "tiny": 6,
        "inner": 0,
        "gone": 0,
    }


def test_a_reader_reads_one_model_and_none_where_there_are_no_statistics(
    server: V2Server, endpoint: Endpoint
) -> None:
    server.faults = Faults(no_config=True)
    read = v2client.CounterReader(endpoint, "tiny")
    assert read() == Counters()
    server.faults = Faults(no_statistics=True)
    assert read() is None
    assert v2client.CounterReader(NOWHERE, "tiny")() is None


def test_a_server_that_does_not_say_what_runs_a_model_says_nothing(endpoint: Endpoint) -> None:
    assert v2client.runtime(endpoint, "tiny") == {}


def test_the_index_says_what_is_not_ready_and_why(endpoint: Endpoint) -> None:
    tiny, other = v2client.index(endpoint)
    assert (tiny.name, tiny.state, tiny.reason) == ("tiny", "READY", "")
    assert (other.state, other.reason) == ("UNAVAILABLE", "unloaded")


def test_a_refusal_carries_status_and_the_servers_reason(
    server: V2Server, endpoint: Endpoint
) -> None:
    server.faults = Faults(no_statistics=True)
    with pytest.raises(v2client.Refused, match="answered 404: Not Found") as caught:
        v2client.statistics(endpoint, "tiny")
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")


def test_that_nothing_answers_says_where() -> None:
    with pytest.raises(v2client.Unreachable, match=r"http://127\.0\.0\.1:1/v2: .*refused"):
        v2client.server_metadata(NOWHERE)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"220 mail.example ready\r\n", "no answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<h1>",
            "not the answer of a V2 server: failed to parse",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "expected an object"),
        (
            b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"name":"m"}',
            "not the answer of a V2 server: Unable to parse 'inputs'",
        ),
    ],
)
def test_what_answers_like_no_v2_server_is_an_error(reply: bytes, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LaunchError, match=text):
            v2client.model_metadata(Endpoint(f"127.0.0.1:{listening.getsockname()[1]}"), "m")
        thread.join()


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("host:81", ("host", 81)),
        ("host", ("host", 8000)),
        ("http://host:81/", ("host", 81)),
        ("[::1]:81", ("::1", 81)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert v2client.split(address) == parts
