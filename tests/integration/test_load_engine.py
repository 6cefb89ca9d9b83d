"""The load client against a real engine: what only a server with models of all kinds can show."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.in_thread import Ports
from support.onnx_identity import write_identity
from support.served import served
from tritonclient.http import InferenceServerClient

from analyzer import v2client
from analyzer.accuracy.guard import Guard, Terms
from analyzer.errors import LoadError
from analyzer.launcher import Endpoint
from analyzer.load.arrivals import Staircase
from analyzer.load.driver import Driven, run
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from engine import examples
from engine.memory.cuda import OpenCuda
from engine.memory.system import open_system
from engine.memory.table import RegionTable
from engine.types import DType, InferRequest, Tensor


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    for name in ("repeat_int32", "identity", "sequence"):
        examples.build(name, repository)
    write_identity(repository, "large", ["FP32"], max_batch_size=0)
    with served(repository, regions=RegionTable(open_system, OpenCuda())) as ports:
        yield ports


def endpoint(server: Ports) -> Endpoint:
    return Endpoint(f"127.0.0.1:{server.http.port}", grpc=f"127.0.0.1:{server.grpc.port}")


def load(server: Ports, item: Item, **changes: Any) -> Driven:
    spec = LoadSpec(**{"protocol": "grpc", "rule": "count", "request_count": 60, **changes})
    driven = run(endpoint(server), Workload((item,)), spec)
    assert driven.failed == 0, driven.first_error
    assert driven.requests == spec.request_count
    return driven


def repeated(*counts: int, delay_ms: int = 0) -> Item:
    """Ask for so many responses of each request, each so long after the one before."""
    requests = tuple(
        InferRequest(
            inputs=(
                Tensor("IN", DType.INT32, np.arange(count, dtype=np.int32)),
                Tensor("DELAY", DType.UINT32, np.full(count, delay_ms, dtype=np.uint32)),
                Tensor("WAIT", DType.UINT32, np.zeros(1, dtype=np.uint32)),
            )
        )
        for count in counts
    )
    return Item(model="repeat_int32", requests=requests)


def quick(rows: int = 1) -> Item:
    ones = np.ones((rows, 16), np.float32)
    request = InferRequest(inputs=(Tensor("INPUT0", DType.FP32, ones),), binary_default=True)
    return Item(model="identity", requests=(request,), inferences=rows)


def test_a_default_that_is_asked_answers_its_samples_by_http_and_grpc(
    server: Ports, tmp_path: Path
) -> None:
    for number, here in enumerate((endpoint(server), replace(endpoint(server), http=""))):
        config = v2client.model_config(here, "identity")
        terms = Terms(asked=("identity",), place=tmp_path / f"{number}.npz", count=3)
        Guard({"identity": config}, terms).learn(here)
        # What was kept is known to whoever comes later, who need not ask.
        later = Guard({"identity": config}, terms)
        assert not later.wants_default
        found = later.check(here, {"identity": replace(config, parameters={"other": "1"})})
        assert (found.fault, found.unchecked, found.samples) == ("", "", 3)
        assert found.worst == 0.0


def test_each_response_of_a_decoupled_model_is_seen(server: Ports) -> None:
    driven = load(server, repeated(3, 0, 5), streaming=True, concurrency=4)
    records = driven.records
    assert sorted(records.array["responses"].tolist()) == [0] * 20 + [3] * 20 + [5] * 20
    for index, record in enumerate(records.array):
        times = records.responses_of(index).tolist()
        assert len(times) == record["responses"]
        assert times == sorted(times)
        if times:
            assert [record["first"], record["last"]] == [times[0], times[-1]]


def test_another_stream_begins_when_those_there_are_have_had_a_period_of_responses(
    server: Ports,
) -> None:
    spec = LoadSpec(protocol="grpc", rule="count", request_count=40, streaming=True)
    stairs = Staircase(1, end=3, step=1, period=10)
    driven = run(endpoint(server), Workload((repeated(60, delay_ms=10),)), spec, stairs)
    array = driven.records.array
    assert driven.failed == 0
    assert array["responses"].tolist() == [60, 60, 60]
    # 10 of the first one's, then 10 of the second one's: a sixth of their time each, or more.
    began, last = np.sort(array["began"]), np.sort(array["last"])
    sixth = int((array["last"] - array["began"]).min()) // 6
    assert (np.diff(began) > 0.8 * sixth).all()
    assert began[2] < last[0], "all three are under way at once"


def test_a_model_that_answers_once_streams_too(server: Ports) -> None:
    driven = load(server, quick(), streaming=True, concurrency=4)
    assert set(driven.records.array["responses"].tolist()) == {1}


def test_a_streams_failures_are_quoted(server: Ports) -> None:
    wrong = InferRequest(inputs=(Tensor("IN", DType.FP32, np.ones((1, 1), np.float32)),))
    spec = LoadSpec(protocol="grpc", rule="count", request_count=30, streaming=True)
    items = (quick(), Item(model="repeat_int32", requests=(wrong,)))
    driven = run(endpoint(server), Workload(items), spec)
    assert 0 < driven.failed < 30
    assert driven.first_error is not None
    assert driven.first_error.startswith("gRPC stream: ")
    assert "repeat_int32" in driven.first_error


def running_sum(*streams: tuple[int, ...], known: bool = True) -> Item:
    """Have sequences added up, one a stream."""
    sums = [list(itertools.accumulate(stream)) for stream in streams]
    return Item(
        model="sequence",
        sequences=tuple(
            tuple(
                InferRequest(inputs=(number("INPUT", each),), binary_default=True)
                for each in stream
            )
            for stream in streams
        ),
        expected=tuple((number("OUTPUT", each),) for some in sums for each in some) * known,
        places=tuple(f"sum {each}" for some in sums for each in some) * known,
    )


def number(name: str, value: int) -> Tensor:
    return Tensor(name, DType.INT32, np.array([[value]], np.int32))


SEQUENCES = ((1, 2, 3), (10, 20), (7,), (4, 5, 6, 7, 8))


@pytest.mark.parametrize(
    "how",
    [
        {"protocol": "http"},
        {"protocol": "grpc"},
        {"protocol": "grpc", "streaming": True, "compression": "gzip"},
        {"protocol": "http", "request_rate": 2000.0, "num_of_sequences": 3},
    ],
    ids=str,
)
def test_sequences_are_sent_in_their_order_and_to_their_end(
    server: Ports, how: dict[str, Any]
) -> None:
    # The model itself shows it: each answer is the sum of what its sequence had until then.
    spec = {"concurrency": 3, "sequence_length": 0, "sequence_id_range": "100:100000"}
    driven = load(server, running_sum(*SEQUENCES), **{**spec, **how})
    array = driven.records.array
    lengths = [len(array[array["sequence"] == one]) for one in np.unique(array["sequence"])]
    assert array["sequence"].min() >= 100
    assert max(lengths) == 5


@pytest.mark.parametrize("how", [{"protocol": "http"}, {}, {"streaming": True}], ids=str)
def test_an_answer_that_is_not_the_expected_fails_within_a_sequence(
    server: Ports, how: dict[str, Any]
) -> None:
    item = running_sum((1, 2))
    wrong = replace(item, expected=(item.expected[0], (number("OUTPUT", 4),)))
    spec = LoadSpec(
        **{"protocol": "grpc", "rule": "count", "request_count": 8, "sequence_length": 0, **how}
    )
    driven = run(endpoint(server), Workload((wrong,)), spec)
    assert (driven.requests, driven.failed) == (4, 4)
    assert (
        driven.first_error == "sum 3: OUTPUT: expected 4 at [0, 0], found 3 (1 of 1 values differ)"
    )


def test_sequences_under_way_are_ended_at_the_end(server: Ports) -> None:
    # Eight fill all places of the model: the second run finds them free, or fails.
    for _ in range(2):
        load(server, running_sum((1, 2, 3)), request_count=12, concurrency=8, sequence_length=0)


@pytest.mark.parametrize(
    "how", [{"protocol": "http"}, {}, {"streaming": True, "rule": "count"}], ids=str
)
def test_tensors_lie_in_shared_memory_and_nothing_is_left_of_it(
    server: Ports, how: dict[str, Any]
) -> None:
    before = set(Path("/dev/shm").iterdir())
    driven = load(server, quick(8), shared_memory="system", concurrency=2, **how)
    # 8 rows of 64 bytes would be in each message; here only their place is.
    assert driven.protocol == how.get("protocol", "grpc")
    load(server, running_sum((1, 2), known=False), shared_memory="system", **how)
    # What tests beside this one have there goes as well.
    assert within(lambda: set(Path("/dev/shm").iterdir()) <= before)
    with InferenceServerClient(f"127.0.0.1:{server.http.port}") as client:
        assert client.get_system_shared_memory_status() == []


def test_memory_that_is_too_small_for_an_output_is_the_servers_to_tell(server: Ports) -> None:
    request = InferRequest(inputs=(Tensor("IN_FP32", DType.FP32, np.ones((50, 50), np.float32)),))
    item = Item(model="large", requests=(request,))
    with pytest.raises(LoadError, match="OUT_FP32"):
        load(server, item, shared_memory="system", output_shared_memory_size=100)
    load(server, item, shared_memory="system", output_shared_memory_size=10_000)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_that_there_is_no_gpu_is_said(server: Ports) -> None:
    with pytest.raises(LoadError, match=r"--shared-memory cuda needs an NVIDIA GPU.*use system"):
        load(server, quick(), shared_memory="cuda")


def test_made_up_sequences_have_lengths_around_the_mean(server: Ports) -> None:
    driven = load(
        server, running_sum((1,), known=False), concurrency=4, request_count=300,
        sequence_length=10, sequence_length_variation=30.0,
    )  # fmt: skip
    sequences = driven.records.array["sequence"].tolist()
    unfinished = set(sequences[-12:])
    lengths = {sequences.count(one) for one in set(sequences) - unfinished}
    assert lengths
    assert lengths <= set(range(7, 14))
    assert len(lengths) > 1


def test_too_narrow_a_range_of_ids_is_said(server: Ports) -> None:
    with pytest.raises(LoadError, match="fewer than there may be sequences at a time"):
        load(server, running_sum((1,)), concurrency=8, sequence_id_range="1:5")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests_are_read(server: Ports, compression: str, protocol: str) -> None:
    load(server, quick(64), compression=compression, protocol=protocol, concurrency=2)


def test_headers_and_a_refusal_go_with_compression(server: Ports) -> None:
    spec = {"compression": "gzip", "protocol": "http", "headers": (("X-Whose", "ours"),)}
    with pytest.raises(LoadError, match="batch-size must be <= 64 for 'identity'"):
        load(server, quick(65), **spec)


def test_large_messages_go_through_the_windows_both_ways(server: Ports) -> None:
    millions = np.ones((1000, 1000), np.float32)
    request = InferRequest(inputs=(Tensor("IN_FP32", DType.FP32, millions),))
    load(server, Item(model="large", requests=(request,)), request_count=9, concurrency=3)
