"""The metrics port: Prometheus reads it, and users probe it for other things."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import uvloop
from support.fake_registry import FakeModel
from support.heard import heard
from support.in_thread import Ports, serving_fakes

from engine.transports.metrics import serve_metrics


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with serving_fakes(FakeModel()) as ports:
        yield ports


def url(server: Ports, path: str) -> str:
    return f"http://127.0.0.1:{server.metrics.port}{path}"


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics?name=x"])
def test_the_page_is_text_for_prometheus(server: Ports, path: str) -> None:
    with urllib.request.urlopen(url(server, path)) as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert b'nv_inference_count{model="identity",version="1"} 0\n' in answer.read()


@pytest.mark.parametrize("path", ["/", "/v2/health/ready", "/metricsx"])
def test_any_other_path_is_fine_and_empty(server: Ports, path: str) -> None:
    with urllib.request.urlopen(url(server, path)) as answer:
        assert (answer.status, answer.read()) == (200, b"")


def test_only_get_is_allowed(server: Ports) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url(server, "/metrics"), data=b"x")
    with caught.value as error:
        assert (error.code, error.read()) == (405, b'{"error":"Method Not Allowed"}')


@pytest.mark.parametrize("when", ["taken", "written"])
def test_a_page_that_fails_is_an_error_of_its_own_request(when: str) -> None:
    def fails() -> str:
        message = "no numbers today"
        raise ValueError(message)

    def freeze() -> Callable[[], str]:
        if when == "taken":
            fails()
        return fails

    async def main() -> bytes:
        listener = await serve_metrics(freeze, address="127.0.0.1", port=0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        listener.close()
        await listener.drain(5)
        return answer

    with heard() as lines, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer = runner.run(main())
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"no numbers today" in answer
    assert any("a fault" in line for line in lines)
