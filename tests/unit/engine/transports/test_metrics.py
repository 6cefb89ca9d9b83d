"""The metrics port: Prometheus reads it, and users probe it for other things."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from support.fake_registry import FakeModel
from support.in_thread import Ports, serving_fakes


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
