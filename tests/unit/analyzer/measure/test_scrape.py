"""A metrics page that is read again and again."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.conditions import within

from analyzer.errors import UsageError
from analyzer.measure.scrape import PageWatch, address, default_url, why_unreadable

PAGE = """\
nv_inference_request_success{model="m",version="1"} %(requests)d
nv_gpu_utilization{gpu_uuid="GPU-a"} 0.5
nv_gpu_memory_total_bytes{gpu_uuid="GPU-a"} 1000
"""


class Metrics(ThreadingHTTPServer):
    """Serves the page and counts how often it is asked; ``status`` may be set meanwhile."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 200
        self.text = PAGE
        self.asked = 0

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Metrics

    def do_GET(self) -> None:
        self.server.asked += 1
        body = (self.server.text.replace("%(requests)d", str(self.server.asked))).encode()
        self.send_response(self.server.status if self.path == "/metrics" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with Metrics() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_page_is_read_at_once_and_again_after_each_interval(metrics: Metrics) -> None:
    with PageWatch(metrics.url, "m", period_s=0.01) as watch:
        first = watch.seen()
        assert within(lambda: len(watch.seen().glimpses) > 3)
    seen = watch.seen()
    assert first.glimpses[0].counters is not None
    assert first.glimpses[0].counters.requests == 1
    assert seen.glimpses[-1].counters is not None
    assert seen.glimpses[-1].counters.requests == metrics.asked
    assert [gpu.uuid for gpu in seen.gpus] == ["GPU-a"]
    assert (seen.gpus[0].total_bytes, seen.gpu_reason) == (1000, "")
    assert "metrics_page" not in seen.absent
    assert "runs elsewhere" in seen.absent["cpu_utilization"]
    assert all(one.gpus[0].utilization == 0.5 for one in seen.glimpses)


def test_a_server_without_gpus_says_so(metrics: Metrics) -> None:
    metrics.text = "nv_cpu_utilization 0.5\n"
    with PageWatch(metrics.url) as watch:
        pass
    assert "the page shows no GPU" in watch.seen().gpu_reason
    assert watch.seen().glimpses[0].machine_share == 0.5


def test_readings_that_failed_in_between_are_counted_and_the_others_kept(metrics: Metrics) -> None:
    with PageWatch(metrics.url, period_s=0.01) as watch:
        metrics.status = 503
        assert within(lambda: "metrics_page" in watch.seen().absent)
        metrics.status = 200
        before = len(watch.seen().glimpses)
        assert within(lambda: len(watch.seen().glimpses) > before)
    assert "answered 503" in watch.seen().absent["metrics_page"]
    assert watch.seen().gpu_reason == ""


def closed_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def test_that_nothing_answers_is_a_reason_and_no_crash() -> None:
    with PageWatch(closed_port(), period_s=0.01) as watch:
        pass
    seen = watch.seen()
    assert (seen.glimpses, seen.gpus) == ((), ())
    assert "refused" in seen.gpu_reason
    assert "--triton-metrics-url" in seen.gpu_reason


def test_what_is_no_page_is_a_reason(metrics: Metrics) -> None:
    metrics.status = 404
    assert "answered 404" in why_unreadable(metrics.url)
    metrics.status = 200
    assert why_unreadable(metrics.url) == ""


def test_what_does_not_speak_http_or_does_not_answer_is_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"127.0.0.1:{listening.getsockname()[1]}"
        with PageWatch(url, period_s=60, timeout_s=0.05) as watch:
            assert "timed out" in watch.seen().gpu_reason


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("gpu1", "http://gpu1:8002/metrics"),
        ("gpu1:9000", "http://gpu1:9000/metrics"),
        ("http://gpu1:9000/", "http://gpu1:9000/metrics"),
        ("https://gpu1/a/b?c=d", "https://gpu1:443/a/b?c=d"),
        ("[::1]:8002", "http://[::1]:8002/metrics"),
    ],
)
def test_an_address_may_be_short(given: str, whole: str) -> None:
    assert address(given) == whole


@pytest.mark.parametrize("given", ["", "ftp://a", "http://", "a:port", "http://[::1"])
def test_what_is_no_address_is_an_error(given: str) -> None:
    with pytest.raises(UsageError, match="not the address of a metrics page"):
        address(given)


def test_metrics_are_on_the_servers_host_unless_said_otherwise() -> None:
    assert default_url("gpu1:8000") == "http://gpu1:8002/metrics"
    assert default_url("http://[::1]:9000") == "http://[::1]:8002/metrics"
