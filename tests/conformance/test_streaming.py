"""Decoupled models and ModelStreamInfer, with NVIDIA's clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
from support.in_thread import Ports
from support.raw_http import ask
from support.served import served
from support.streams import Streaming, spelled, streaming
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from engine import examples


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    for name in ("repeat_int32", "square_int32", "delayed_identity", "identity"):
        examples.build(name, repository)
    with served(repository) as ports:
        yield ports


@pytest.fixture
def stream(server: Ports) -> Iterator[Streaming]:
    with streaming(server.grpc.port) as opened:
        yield opened


def repeat(values: Sequence[int], delays: Sequence[int] | None = None, wait: int = 0) -> Any:
    return {
        "IN": np.array(values, np.int32),
        "DELAY": np.array(delays or [0] * len(values), np.uint32),
        "WAIT": np.array([wait], np.uint32),
    }


def square(value: int) -> Any:
    return {"IN": np.array([[value]], np.int32)}


def slow(value: float, delay_ms: int) -> tuple[Any, Any]:
    inputs = {"INPUT0": np.full((1, 2), value, np.float32)}
    return inputs, {"parameters": {"delay_ms": delay_ms}}


def quick(value: float) -> Any:
    return {"INPUT0": np.full((1, 16), value, np.float32)}


@pytest.mark.triton("5.5", "2.12")
def test_a_decoupled_model_answers_any_number_of_times_and_its_end_is_told_if_asked(
    stream: Streaming,
) -> None:
    stream.send("repeat_int32", repeat([7, 8, 9]), "r", enable_empty_final_response=True)
    came = [stream.next() for _ in range(4)]
    assert [one.error for one in came] == [None] * 4
    assert [one.value("OUT") for one in came[:3]] == [[7], [8], [9]]
    assert [one.value("IDX") for one in came[:3]] == [[0], [1], [2]]
    assert [one.final for one in came] == [False, False, False, True]
    assert [one.empty for one in came] == [False, False, False, True]
    last = came[3].result.get_response()
    assert (last.id, last.model_name, last.model_version) == ("r", "repeat_int32", "1")


@pytest.mark.triton("5.5", "2.12")
def test_the_end_that_is_no_answer_is_not_told_unless_asked_and_there_may_be_no_answer_at_all(
    stream: Streaming,
) -> None:
    stream.send("square_int32", square(0), "none")
    stream.send("square_int32", square(2), "two")
    stream.send("square_int32", square(0), "end", enable_empty_final_response=True)
    came = [stream.next() for _ in range(3)]
    assert sorted((one.id, one.final) for one in came) == [
        ("end", True), ("two", False), ("two", False),
    ]  # fmt: skip
    stream.stop()
    assert stream.quiet()


@pytest.mark.triton("5.5")
def test_answers_of_models_that_are_not_decoupled_come_in_the_order_of_their_requests(
    stream: Streaming,
) -> None:
    inputs, more = slow(1, 150)
    stream.send("delayed_identity", inputs, "slow", **more)
    stream.send("identity", quick(2), "quick")
    stream.send("not_there", quick(2), "wrong")
    stream.send("identity", quick(3), "last")
    first, second, wrong, last = [stream.next() for _ in range(4)]
    assert [first.id, second.id, last.id] == ["slow", "quick", "last"]
    assert "unknown model" in str(wrong.error)
    assert first.final and second.final and last.final  # noqa: PT018 - one law
    assert last.value("OUTPUT0") == [3.0] * 16


@pytest.mark.triton("5.5")
def test_answers_of_decoupled_models_interleave_with_all_others(stream: Streaming) -> None:
    inputs, more = slow(1, 200)
    stream.send("delayed_identity", inputs, "slow", **more)
    stream.send("repeat_int32", repeat([1, 2], [100, 5000]), "long")
    stream.send("repeat_int32", repeat([3, 4], [0, 0]), "short")
    came = [stream.next().id for _ in range(4)]
    assert came == ["short", "short", "long", "slow"]


@pytest.mark.triton("5.5")
def test_an_error_is_told_with_its_requests_id_and_the_stream_goes_on(server: Ports) -> None:
    def request(model: str, inputs: Any, name: str) -> Any:
        message = service_pb2.ModelInferRequest(model_name=model, id=name)
        for one in spelled(inputs):
            message.inputs.add().CopyFrom(one._get_tensor())  # noqa: SLF001 - a client's own bytes
            message.raw_input_contents.append(one._get_content())  # noqa: SLF001 - as above
        return message

    wrong_type = request("identity", quick(1), "type")
    wrong_type.parameters["triton_enable_empty_final_response"].int64_param = 1
    asked = [
        request("not_there", quick(1), "unknown"),
        request("identity", {"INPUT0": np.zeros((1, 3), np.float32)}, "shape"),
        wrong_type,
        request("repeat_int32", repeat([1, 2], [1]), "length"),
        request("identity", quick(1), "fine"),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(asked))
        came = {one.infer_response.id: one for one in call}
        assert call.code() is grpc.StatusCode.OK
    texts = {
        "unknown": "unknown model: 'not_there' is not found",
        "shape": "unexpected shape for input 'INPUT0' for model 'identity'",
        "type": "invalid value type for 'triton_enable_empty_final_response' parameter",
        "length": "expected IN and DELAY to be as long, got 2 and 1",
        "fine": "",
    }
    assert came.keys() == texts.keys()
    for name, text in texts.items():
        assert text in came[name].error_message
        assert bool(came[name].error_message) == bool(text)
        assert came[name].infer_response.parameters["triton_final_response"].bool_param
    assert [name for name in came if name != "length"] == ["unknown", "shape", "type", "fine"]


@pytest.mark.triton("5.6")
def test_with_the_header_triton_grpc_error_the_first_error_ends_the_stream(server: Ports) -> None:
    with streaming(server.grpc.port, {"triton_grpc_error": "true"}) as stream:
        stream.send("identity", quick(1), "first")
        stream.send("repeat_int32", repeat([1], [60_000]), "long")
        stream.send("not_there", quick(1), "wrong")
        assert stream.next().id == "first"
        error = stream.next().error
        assert error.status() == "StatusCode.NOT_FOUND"
        assert "unknown model: 'not_there'" in error.message()


@pytest.mark.triton("5.5")
def test_a_half_closed_stream_gets_the_answers_that_are_owed_and_ends_well(
    stream: Streaming,
) -> None:
    stream.send("repeat_int32", repeat([1, 2], [50, 100]), "r", enable_empty_final_response=True)
    inputs, more = slow(1, 200)
    stream.send("delayed_identity", inputs, "slow", **more)
    stream.stop()
    came = [stream.next() for _ in range(4)]
    assert [one.error for one in came] == [None] * 4
    assert [one.id for one in came] == ["r", "r", "r", "slow"]
    assert stream.quiet()


@pytest.mark.triton("5.5")
def test_a_thousand_requests_of_one_stream_are_all_answered_in_order(stream: Streaming) -> None:
    for number in range(1000):
        stream.send("identity", quick(number), str(number))
    assert [stream.next().id for _ in range(1000)] == [str(number) for number in range(1000)]


@pytest.mark.triton("5.5", "2.12")
def test_the_asyncio_client_streams_too(server: Ports) -> None:
    async def main() -> list[tuple[str, list[int]]]:
        async def requests() -> AsyncIterator[dict[str, Any]]:
            for name in ("a", "b"):
                yield {
                    "model_name": "square_int32",
                    "inputs": spelled(square(2), tritonclient.grpc.aio),
                    "request_id": name,
                }

        address = f"127.0.0.1:{server.grpc.port}"
        async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
            found = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.append((result.get_response().id, result.as_numpy("OUT").ravel().tolist()))
        return found

    assert sorted(asyncio.run(main())) == [("a", [2])] * 2 + [("b", [2])] * 2


@pytest.mark.triton("4.8", "5.8")
def test_one_answer_calls_refuse_decoupled_models_in_tritons_words(server: Ports) -> None:
    address = f"127.0.0.1:{server.grpc.port}"
    with (
        tritonclient.grpc.InferenceServerClient(address) as client,
        pytest.raises(InferenceServerException) as refused,
    ):
        client.infer("square_int32", spelled(square(1)))
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    text = "ModelInfer RPC doesn't support models with decoupled transaction policy"
    assert refused.value.message() == text

    body = {"inputs": [{"name": "IN", "datatype": "INT32", "shape": [1, 1], "data": [1]}]}
    answer = ask(
        server.http.port, "POST", "/v2/models/square_int32/infer", json.dumps(body).encode()
    )
    assert answer.status == 501
    assert answer.error == "HTTP end point doesn't support models with decoupled transaction policy"


@pytest.mark.triton("2.12")
def test_a_configuration_says_that_its_model_is_decoupled(server: Ports) -> None:
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http.port}") as client:
        config = client.get_model_config("repeat_int32")
        assert config["model_transaction_policy"] == {"decoupled": True}
        assert not client.get_model_config("identity").get("model_transaction_policy")


@pytest.mark.triton("12.3")
def test_statistics_count_a_decoupled_models_responses_by_their_index(server: Ports) -> None:
    address = f"127.0.0.1:{server.http.port}"
    with tritonclient.http.InferenceServerClient(address) as client:

        def stats() -> Any:
            (found,) = client.get_inference_statistics("square_int32")["model_stats"]
            return found

        def counts(found: Any, index: str) -> tuple[int, ...]:
            responses = found["response_stats"].get(index, {})
            kinds = ("success", "fail", "empty_response", "cancel")
            return tuple(responses.get(kind, {}).get("count", 0) for kind in kinds)

        before = stats()
        with streaming(server.grpc.port) as stream:
            for value in (0, 2):
                stream.send("square_int32", square(value), enable_empty_final_response=True)
            for _ in range(4):
                stream.next()
        after = stats()
        grown = [
            tuple(new - old for new, old in zip(counts(after, one), counts(before, one)))  # noqa: B905 - both four
            for one in ("0", "1", "2")
        ]
        assert grown == [(1, 0, 1, 0), (1, 0, 0, 0), (0, 0, 1, 0)]

        def more(*path: str) -> int:
            new, old = after, before
            for step in path:
                new, old = new[step], old[step]
            return int(new - old)

        assert more("inference_stats", "success", "count") == 2
        assert more("inference_stats", "queue", "count") == 2
        assert more("inference_stats", "compute_infer", "count") == 2
        assert more("inference_count") == 2
        assert 1 <= more("execution_count") <= 2
        spent = more("inference_stats", "queue", "ns") + more(
            "inference_stats", "compute_infer", "ns"
        )
        assert more("inference_stats", "success", "ns") >= spent
