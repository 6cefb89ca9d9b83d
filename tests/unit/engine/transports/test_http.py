"""V2 over HTTP on a real socket: what raw clients send, and what they get back."""

import asyncio
import contextlib
import gzip
import json
import select
import socket
from collections.abc import Iterator
from typing import Self

import numpy as np
import pytest
from support.conditions import within
from support.fake_registry import FakeModel, echo_config
from support.in_thread import Ports, serving_fakes

from engine.errors import EngineError, InvalidArgument, Unavailable
from engine.transports.http import serve_http
from engine.types import DType, InferRequest, Tensor

HEAD = (
    b'{"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"FP32","parameters":'
    b'{"binary_data_size":64}}],"parameters":{"binary_data_output":true}}'
)
TENSOR = np.arange(16, dtype=np.float32).tobytes()
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    big = FakeModel(echo_config("big", dims=(-1,)))
    with serving_fakes(FakeModel(), FakeModel(echo_config("held")), big) as ports:
        yield ports


class Client:
    """A raw socket that can read whole answers."""

    def __init__(self, server: Ports) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.http.port), PATIENCE_S)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def close(self) -> None:
        self._socket.close()

    def has_answer(self, within_s: float) -> bool:
        return bool(select.select([self._socket], [], [], within_s)[0])

    def _until(self, enough: int | bytes) -> int:
        while True:
            if isinstance(enough, int):
                if len(self._unread) >= enough:
                    return enough
            elif (at := self._unread.find(enough)) >= 0:
                return at + len(enough)
            got = self._socket.recv(1 << 16)
            if not got:
                raise EOFError
            self._unread += got

    def _take(self, size: int) -> bytes:
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def read(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        lines = self._take(self._until(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        size = 0 if bodiless else int(headers.get("content-length", "0"))
        return int(lines[0].split()[1]), headers, self._take(self._until(size))

    def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return self._socket.recv(1) == b""
        return True


@pytest.fixture
def client(server: Ports) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


def post(body: bytes, *headers: str, model: str = "identity") -> bytes:
    size = f"Content-Length: {len(body)}"
    return get(f"/v2/models/{model}/infer", size, *headers, method="POST") + body


def infer(model: str = "identity") -> bytes:
    return post(HEAD + TENSOR, f"Inference-Header-Content-Length: {len(HEAD)}", model=model)


def test_an_inference_comes_back_in_binary(client: Client) -> None:
    client.send(infer())
    status, headers, body = client.read()
    size = int(headers["inference-header-content-length"])
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert body[size:] == TENSOR
    assert json.loads(body[:size])["outputs"][0]["parameters"] == {"binary_data_size": 64}


def test_a_connection_is_kept_and_pipelined_answers_keep_their_order(client: Client) -> None:
    wanted = [200, 404, 200, 405, 200, 400]
    client.send(
        infer() + get("/nope") + get("/v2/health/live") + get("/v2", method="PUT")
        + get("/v2/models/identity") + post(b"{")
    )  # fmt: skip
    assert [client.read()[0] for _ in wanted] == wanted
    client.send(get("/v2"))
    assert client.read()[0] == 200


def test_a_body_that_looks_like_a_known_request_stays_a_body(client: Client) -> None:
    """Heads are known again only where a request can begin."""
    known = get("/v2/health/live")
    client.send(known)
    assert client.read()[0] == 200
    client.send(get("/v2/models/identity/infer", f"Content-Length: {len(known)}", method="POST"))
    assert not client.has_answer(0.05)
    client.send(known)
    assert client.read()[0] == 400
    client.send(known)
    assert client.read()[0] == 200


def test_a_later_answer_waits_for_an_earlier_one(server: Ports, client: Client) -> None:
    held = server.registry.get("held")
    server.on_loop(lambda: setattr(held, "held", True))
    client.send(infer("held") + get("/v2/health/live"))
    assert within(lambda: held.pending == 1)
    client.send(get("/nope"))
    server.on_loop(held.release)
    server.on_loop(lambda: setattr(held, "held", False))
    assert [client.read()[0] for _ in range(3)] == [200, 200, 404]


def test_a_client_that_leaves_takes_its_requests_back(server: Ports) -> None:
    held = server.registry.get("held")
    server.on_loop(lambda: setattr(held, "held", True))
    with Client(server) as leaving:
        leaving.send(infer("held") * 3)
        assert within(lambda: held.pending == 3)
    assert within(lambda: held.pending == 0)
    assert len(held.cancelled) >= 3
    server.on_loop(lambda: setattr(held, "held", False))


def test_chunked_bodies_are_joined(client: Client) -> None:
    body = HEAD + TENSOR
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:9], body[9:50], body[50:]))
    head = get(
        "/v2/models/identity/infer",
        "Transfer-Encoding: chunked",
        f"Inference-Header-Content-Length: {len(HEAD)}",
        method="POST",
    )
    client.send(head + chunks + b"0\r\nInference-Header-Content-Length: 3\r\n\r\n")
    status, _, got = client.read()
    assert (status, got[-64:]) == (200, TENSOR)


def test_too_many_chunks_are_refused(client: Client) -> None:
    head = get("/v2/models/identity/infer", "Transfer-Encoding: chunked", method="POST")
    with contextlib.suppress(ConnectionError):
        client.send(head + b"1\r\nx\r\n" * 65_538)
    status, headers, body = client.read()
    assert (status, headers["connection"]) == (400, "close")
    assert b"Chunked request body exceeds maximum of 65536 non-empty chunks." in body


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(client: Client) -> None:
    whole = post(
        HEAD + TENSOR, "Expect: 100-continue", f"Inference-Header-Content-Length: {len(HEAD)}"
    )
    cut = whole.index(b"\r\n\r\n") + 4
    for _ in range(2):
        client.send(whole[:cut])
        assert client.read(bodiless=True)[0] == 100
        client.send(whole[cut:])
        assert client.read()[0] == 200


def test_going_on_is_said_after_the_answers_before_it(server: Ports, client: Client) -> None:
    held = server.registry.get("held")
    server.on_loop(lambda: setattr(held, "held", True))
    size = f"Inference-Header-Content-Length: {len(HEAD)}"
    whole = post(HEAD + TENSOR, "Expect: 100-continue", size)
    cut = whole.index(b"\r\n\r\n") + 4
    client.send(infer("held") + whole[:cut])
    assert within(lambda: held.pending == 1)
    server.on_loop(held.release)
    server.on_loop(lambda: setattr(held, "held", False))
    assert client.read()[0] == 200
    assert client.read(bodiless=True)[0] == 100
    client.send(whole[cut:])
    assert client.read()[0] == 200


def test_a_tensor_that_comes_in_pieces_is_aligned_without_a_copy(
    server: Ports, client: Client
) -> None:
    """The body is joined so that what follows the head stands where vector code wants it."""
    model = server.registry.get("big")
    count = 200_000
    for blanks in range(3):
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "INPUT0",
                        "shape": [1, count],
                        "datatype": "FP32",
                        "parameters": {"binary_data_size": 4 * count},
                    }
                ]
            }
        ).encode()
        head += b" " * blanks + b" " * (1 - len(head) % 2)  # odd, and even
        client.send(
            post(
                head + bytes(4 * count),
                f"Inference-Header-Content-Length: {len(head)}",
                model="big",
            )
        )
        assert client.read()[0] == 200
        array = model.requests[-1].inputs[0].array
        assert array.flags.aligned
        assert isinstance(array.base, np.ndarray)
        assert not array.base.flags.owndata, "a copy was made"


def test_a_text_that_is_too_large_is_refused_before_it_is_sent(client: Client) -> None:
    size = "Content-Length: 3000000"
    client.send(get("/v2/models/identity/infer", size, "Expect: 100-continue", method="POST"))
    status, headers, body = client.read()
    assert (status, headers["connection"]) == (400, "close")
    assert b"request JSON size of 3000000 bytes exceeds the maximum allowed" in body
    assert client.is_closed()


def test_a_chunked_text_that_grows_too_large_is_refused(client: Client) -> None:
    head = get("/v2/models/identity/infer", "Transfer-Encoding: chunked", method="POST")
    chunk = b"%x\r\n%s\r\n" % (400_000, bytes(400_000))
    with contextlib.suppress(ConnectionError):
        client.send(head + chunk * 4)
    status, _, body = client.read()
    assert status == 400
    assert b"exceeds the maximum allowed input size of 1048576 bytes" in body


def test_binary_tensors_have_no_limit(client: Client) -> None:
    count = 1_000_003
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "INPUT0",
                    "shape": [1, count],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": 4 * count},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    tensor = np.random.default_rng(0).random(count, np.float32).tobytes()
    request = post(head + tensor, f"Inference-Header-Content-Length: {len(head)}", model="big")
    for _ in range(2):
        client.send(request)
        status, _, body = client.read()
        assert (status, body[-4 * count :] == tensor) == (200, True)


def test_a_client_that_does_not_read_is_not_read_from(server: Ports) -> None:
    """What waits to be sent is bounded, and all of it arrives once the client reads."""
    held = server.registry.get("held")
    server.on_loop(lambda: setattr(held, "held", True))
    with Client(server) as slow:
        count = 300
        for _ in range(count):
            slow.send(infer("held"))
        assert within(lambda: held.pending >= 128)
        assert held.pending <= count
        server.on_loop(lambda: setattr(held, "held", False))
        server.on_loop(held.release)
        assert [slow.read()[0] for _ in range(count)] == [200] * count


@pytest.mark.parametrize(
    "content",
    [
        b"hello\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"BREW /v2 HTTP/1.1\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nNo colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(
    client: Client, content: bytes
) -> None:
    client.send(get("/v2/health/live") + content)
    assert client.read()[0] == 200
    status, headers, body = client.read()
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["error"].startswith("not an HTTP/1.1 request: ")
    assert client.is_closed()


def test_an_endless_head_is_refused(client: Client) -> None:
    client.send(b"GET /v2 HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            client.send(b"X-More: " + b"y" * 10_000 + b"\r\n")
    assert b"head is larger than 65536 bytes" in client.read()[2]


def test_a_head_may_come_byte_by_byte(client: Client) -> None:
    for byte in get("/v2/health/ready"):
        client.send(bytes((byte,)))
    assert client.read()[0] == 200


def test_a_head_request_has_no_body(client: Client) -> None:
    client.send(get("/v2/health/live", method="HEAD") + get("/v2"))
    assert client.read(bodiless=True)[0] == 405
    assert json.loads(client.read()[2])["name"] == "triton"


def test_connections_end_when_the_client_says_so(server: Ports) -> None:
    for request, kept in (
        (get("/v2", "Connection: close"), False),
        (get("/v2", version="1.0"), False),
        (get("/v2", "Connection: keep-alive", version="1.0"), True),
    ):
        with Client(server) as client:
            client.send(request)
            _, headers, _ = client.read()
            assert headers.get("connection") == ("keep-alive" if kept else "close")
            if not kept:
                assert client.is_closed()


def test_what_follows_the_last_request_is_nobodys(client: Client) -> None:
    client.send(get("/v2", "Connection: close") + get("/v2"))
    assert client.read()[0] == 200
    assert client.is_closed()


def test_an_offer_to_speak_another_protocol_is_passed_over(client: Client) -> None:
    client.send(get("/v2", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c") + get("/nope"))
    assert [client.read()[0] for _ in range(2)] == [200, 404]


def test_bodies_are_compressed_both_ways(client: Client) -> None:
    plain = {
        "inputs": [{"name": "INPUT0", "shape": [1, 900], "datatype": "FP32", "data": [0] * 900}]
    }
    packed = gzip.compress(json.dumps(plain).encode())
    client.send(post(packed, "Content-Encoding: gzip", "Accept-Encoding: gzip", model="big"))
    status, headers, body = client.read()
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert json.loads(gzip.decompress(body))["outputs"][0]["data"] == [0] * 900


def test_a_request_without_a_head_gets_its_output_in_binary(client: Client) -> None:
    client.send(post(TENSOR, "Inference-Header-Content-Length: 0"))
    status, headers, body = client.read()
    assert status == 200
    assert body[int(headers["inference-header-content-length"]) :] == TENSOR


def test_loads_are_awaited_and_answered_without_a_body(server: Ports, client: Client) -> None:
    target = "/v2/repository/models/{}/load"
    client.send(
        get(target.format("m"), "Content-Length: 0", method="POST")
        + get(target.format("broken"), "Content-Length: 0", method="POST")
        + get("/v2/health/live")
    )
    loaded, broken, live = (client.read() for _ in range(3))
    assert (loaded[0], loaded[2], live[0]) == (200, b"", 200)
    assert (broken[0], json.loads(broken[2])) == (503, {"error": "load failed for model 'broken'"})
    assert ("load", "m", {}) in server.registry.calls


def test_a_fault_of_ours_ends_one_request_only() -> None:
    def fault(_: InferRequest) -> tuple[Tensor, ...]:
        return (Tensor("OUTPUT0", DType.FP32, "not an array"),)  # type: ignore[arg-type]

    def refuse(_: InferRequest) -> tuple[Tensor, ...]:
        raise InvalidArgument("the model says no")

    models = (
        FakeModel(compute=fault),
        FakeModel(echo_config("no"), compute=refuse),
        FakeModel(echo_config("good")),
    )
    with serving_fakes(*models) as ports, Client(ports) as client:
        client.send(infer() + infer("no") + infer("good"))
        answers = [client.read() for _ in models]
    assert [status for status, _, _ in answers] == [500, 400, 200]
    assert json.loads(answers[0][2])["error"].startswith("internal error: AttributeError")
    assert json.loads(answers[1][2]) == {"error": "the model says no"}


def test_draining_answers_what_is_in_flight_and_refuses_the_rest() -> None:
    model = FakeModel()
    with serving_fakes(model) as ports, Client(ports) as idle, Client(ports) as busy:
        idle.send(get("/v2"))
        assert idle.read()[0] == 200
        ports.on_loop(lambda: setattr(model, "held", True))
        busy.send(infer())
        assert within(lambda: model.pending == 1)
        ports.on_loop(ports.http.stop_accepting)
        drained = asyncio.run_coroutine_threadsafe(ports.http.drain(5), ports.loop)
        assert idle.is_closed()
        busy.send(infer() + get("/v2/health/live"))
        assert within(lambda: len(model.requests) == 1)
        with pytest.raises(ConnectionError):
            Client(ports)
        ports.on_loop(model.release)
        answers = [busy.read() for _ in range(3)]
        drained.result(10)
        assert busy.is_closed()
    assert [status for status, _, _ in answers] == [200, 503, 503]
    assert "scheduler for model has stopped accepting" in json.loads(answers[1][2])["error"]
    assert json.loads(answers[2][2]) == {"error": "Server exiting"}
    assert answers[2][1]["connection"] == "close"


def test_a_request_that_was_not_read_when_the_stop_began_is_answered() -> None:
    with serving_fakes(FakeModel()) as ports, Client(ports) as late:
        late.send(get("/v2"))
        assert late.read()[0] == 200

        def stop() -> None:
            late.send(infer())  # in the socket's buffer: the loop is in here and reads nothing
            ports.http.stop_accepting()

        ports.on_loop(stop)
        ports.wait_for(lambda: ports.http.drain(5))
        status, headers, _ = late.read()
        assert (status, headers["connection"]) == (200, "close")
        assert late.is_closed()


def test_a_request_that_never_ends_does_not_hold_up_a_stop() -> None:
    with serving_fakes(FakeModel()) as ports, Client(ports) as stalled:
        stalled.send(infer()[:-1])
        ports.on_loop(ports.http.stop_accepting)
        drained = asyncio.run_coroutine_threadsafe(ports.http.drain(60), ports.loop)
        assert stalled.is_closed()
        drained.result(PATIENCE_S)


def test_a_port_in_use_is_told_with_its_flag(server: Ports) -> None:
    async def again() -> None:
        await serve_http(
            server.service, address="127.0.0.1", port=server.http.port, max_input_size=1
        )

    with pytest.raises(EngineError) as caught:
        server.wait_for(again)
    assert isinstance(caught.value, Unavailable)
    assert caught.value.message == (
        f"port {server.http.port} is in use; stop what listens there or pass --http-port"
    )
