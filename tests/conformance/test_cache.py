"""Section 11: the response cache, with NVIDIA's clients in front of a real server."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from support.echoes import given, grpc, http, manner, rows, write_echo
from support.fake_redis import FakeRedis, redis_server
from support.heard import heard
from support.in_thread import Ports
from support.prometheus import names, of, read
from support.recorder import Recorder, recording, write
from support.served import served
from support.serving import serving, until
from tritonclient.utils import InferenceServerException

from engine.cache import Cache
from engine.caches.local import ENTRY_SIZE, Local
from engine.caches.redis import open_cache
from engine.clock import SystemClock
from engine.execution.host import Host
from engine.metering import Metering
from engine.options import ServeOptions
from engine.types import DType, InferRequest, Tensor

ON = "response_cache { enable: true }\n"
PARTS = ("compute_input", "compute_infer", "compute_output")
SUMMED = ("nv_cache_hit_summary_per_model", "nv_cache_miss_summary_per_model")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("cached", "by_grpc", "reloaded", "classes", "measured"):
        write_echo(folder, name, ON)
    write_echo(folder, "shapes", ON, batch=0, dims="-1, -1")
    write_echo(folder, "batched", f"{ON}dynamic_batching {{ }}\n{manner(latency_us=10_000)}")
    write_echo(folder, "failing", ON + manner(fail_every=2))
    write_echo(folder, "plain")
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    cache = Local(1 << 20, SystemClock())
    host = Host(cores=2, cache=cache, metering=Metering(summary_latencies=True))
    with served(repository, host=host) as ports:
        yield ports


def statistics(server: Ports, model: str) -> Any:
    address = f"http://127.0.0.1:{server.http.port}/v2/models/{model}/stats"
    with urllib.request.urlopen(address) as answer:
        (figures,) = json.load(answer)["model_stats"]
    return figures


def counts(server: Ports, model: str) -> tuple[int, int]:
    """Count the hits and the misses."""
    seen = statistics(server, model)["inference_stats"]
    return seen["cache_hit"]["count"], seen["cache_miss"]["count"]


def infer(server: Ports, model: str, array: Any, **more: Any) -> Any:
    with http(server) as client:
        return client.infer(model, given(tritonclient.http, array), **more)


@pytest.mark.triton("2e.4", "11.4", "11.5")
def test_an_equal_request_is_answered_from_the_cache_and_counted_so(server: Ports) -> None:
    first = infer(server, "cached", rows(2, 5), request_id="a")
    again = infer(server, "cached", rows(2, 5), request_id="b")
    other = infer(server, "cached", rows(2, 6))
    np.testing.assert_array_equal(again.as_numpy("Y"), rows(2, 5))
    np.testing.assert_array_equal(other.as_numpy("Y"), rows(2, 6))
    head = first.get_response()
    assert again.get_response() == {**head, "id": "b"}
    figures = statistics(server, "cached")
    seen = figures["inference_stats"]
    assert (seen["cache_hit"]["count"], seen["cache_miss"]["count"]) == (1, 2)
    assert seen["cache_hit"]["ns"] > 0 < seen["cache_miss"]["ns"]
    assert seen["success"]["count"] == seen["queue"]["count"] == 3
    assert {seen[part]["count"] for part in PARTS} == {2}
    assert (figures["inference_count"], figures["execution_count"]) == (4, 2)
    parts = sum(seen[part]["ns"] for part in ("queue", *PARTS, "cache_hit", "cache_miss"))
    assert seen["success"]["ns"] >= parts


@pytest.mark.triton("11.4")
def test_one_protocols_answer_is_the_others(server: Ports) -> None:
    infer(server, "by_grpc", rows(1, 7))
    with grpc(server) as client:
        result = client.infer("by_grpc", given(tritonclient.grpc, rows(1, 7)), request_id="c")
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(1, 7))
    assert result.get_response().id == "c"
    assert counts(server, "by_grpc") == (1, 1)


@pytest.mark.triton("11.2")
def test_requests_of_the_same_bytes_and_other_shapes_are_told_apart(server: Ports) -> None:
    array = np.arange(6, dtype=np.float32)
    for shape in ((2, 3), (3, 2), (2, 3)):
        result = infer(server, "shapes", array.reshape(shape))
        assert result.as_numpy("Y").shape == shape
    assert counts(server, "shapes") == (1, 2)


@pytest.mark.triton("11.2", "11.4")
def test_forms_of_an_answer_are_made_of_what_is_kept(server: Ports) -> None:
    client = tritonclient.http
    scores = np.array([[0.25, 0.75]], np.float32)
    for wanted in (
        client.InferRequestedOutput("Y", binary_data=True),
        client.InferRequestedOutput("Y", binary_data=False),
        client.InferRequestedOutput("Y", class_count=1),
    ):
        result = infer(server, "classes", scores, outputs=[wanted]).as_numpy("Y")
    assert result.ravel().tolist() == [b"0.750000:1"]
    assert counts(server, "classes") == (2, 1)


@pytest.mark.triton("11.4")
def test_errors_are_not_kept_and_other_models_are_not_looked_up(server: Ports) -> None:
    infer(server, "failing", rows(1, 1))
    for value in (2, 2):  # of every two runs the second fails
        with pytest.raises(InferenceServerException, match="fail_every"):
            infer(server, "failing", rows(1, value))
        infer(server, "failing", rows(1, value + 100))
        infer(server, "failing", rows(1, value + 100))
    assert statistics(server, "failing")["inference_stats"]["fail"]["count"] == 2
    infer(server, "plain", rows(1))
    infer(server, "plain", rows(1))
    assert counts(server, "plain") == (0, 0)
    assert statistics(server, "plain")["execution_count"] == 2


@pytest.mark.triton("11.4")
def test_hits_pass_by_the_batcher(server: Ports) -> None:
    infer(server, "batched", rows(1, 1))
    with http(server) as client:
        inputs = given(tritonclient.http, rows(1, 1))
        for one in [client.async_infer("batched", inputs) for _ in range(8)]:
            np.testing.assert_array_equal(one.get_result().as_numpy("Y"), rows(1, 1))
    assert counts(server, "batched") == (8, 1)
    assert statistics(server, "batched")["execution_count"] == 1


def test_a_model_loaded_anew_is_not_answered_for_by_what_it_was(
    server: Ports, repository: Path
) -> None:
    infer(server, "reloaded", rows(1))
    write_echo(repository, "reloaded", ON + manner(latency_us=1))
    with http(server) as client:
        client.load_model("reloaded")
    infer(server, "reloaded", rows(1))
    assert counts(server, "reloaded") == (0, 1)


@pytest.mark.triton("12.7", "12.9")
def test_only_models_with_a_cache_have_its_metrics(server: Ports) -> None:
    infer(server, "measured", rows(1))
    infer(server, "measured", rows(1))
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics.port}/metrics") as answer:
        got = read(answer.read().decode())

    def number(name: str) -> float:
        return of(got, name, model="measured", version="1")

    assert number("nv_cache_num_hits_per_model") == number("nv_cache_num_misses_per_model") == 1
    assert number("nv_cache_hit_duration_per_model") >= 0
    assert number("nv_cache_miss_duration_per_model") > 0
    assert number("nv_inference_request_success") == 2
    assert number("nv_inference_exec_count") == 1
    assert [number(f"{name}_count") for name in SUMMED] == [1, 1]
    of_plain = {name for name, labels in got if ("model", "plain") in labels}
    of_cached = {name for name, labels in got if ("model", "measured") in labels}
    assert not any("cache" in name for name in of_plain)
    assert "nv_inference_request_summary_us" in of_plain - of_cached
    assert "nv_cache_num_hits_per_model" in names(got)


@pytest.mark.triton("11.3")
def test_the_one_used_longest_ago_leaves_and_too_large_a_response_is_served(
    tmp_path: Path,
) -> None:
    write_echo(tmp_path, "small", ON, batch=512)
    # Room for two responses of one row.
    host = Host(cores=2, cache=Local(2 * (ENTRY_SIZE + 500), SystemClock()))
    with served(tmp_path, host=host) as server, heard() as lines:
        for value in (1, 2, 1, 3):
            infer(server, "small", rows(1, value))
        assert counts(server, "small") == (1, 3)
        infer(server, "small", rows(1, 1))
        assert counts(server, "small") == (2, 3), "2 left, since 1 was used after it"
        for _ in range(2):
            result = infer(server, "small", rows(512, 9))
            np.testing.assert_array_equal(result.as_numpy("Y"), rows(512, 9))
        assert counts(server, "small") == (2, 5)
        infer(server, "small", rows(1, 1))
        assert counts(server, "small") == (3, 5), "it has not driven out what was there"
    assert sum("Failed to insert" in line for line in lines) == 1


@pytest.mark.triton("11.4")
def test_what_is_under_way_is_computed_for_each_that_asks(tmp_path: Path) -> None:
    recorder = Recorder()
    write(tmp_path, "slow", ON)
    host = Host(cores=2, cache=Local(1 << 20, SystemClock()))
    options = ServeOptions(model_repository=(tmp_path,))
    with recording(options, host, recorder) as (server, _), ThreadPoolExecutor(2) as pool:
        with recorder.doors_closed():
            both = [pool.submit(infer, server, "slow", rows(1)) for _ in range(2)]
            recorder.wait_for(inside=1)
        wait_for(both)
        infer(server, "slow", rows(1))
        assert counts(server, "slow") in {(1, 2), (2, 1)}


@pytest.mark.triton("7.8", "11.4")
def test_where_order_is_kept_a_hit_waits_for_who_came_before_it(tmp_path: Path) -> None:
    recorder = Recorder()
    write(tmp_path, "ordered", f"{ON}dynamic_batching {{ preserve_ordering: true }}")
    host = Host(cores=2, cache=Local(1 << 20, SystemClock()))
    options = ServeOptions(model_repository=(tmp_path,))
    with recording(options, host, recorder) as (server, registry):
        model = registry.get("ordered")
        answers: list[str] = []

        def ask(name: str, value: float) -> None:
            tensor = Tensor("X", DType.FP32, rows(1, value))
            model.submit(InferRequest(inputs=(tensor,), id=name), lambda _: answers.append(name))

        server.on_loop(lambda: ask("to be known", 1))
        until(lambda: bool(answers), "the first answer")
        with recorder.doors_closed():
            server.on_loop(lambda: ask("computed", 2))
            recorder.wait_for(inside=1)
            server.on_loop(lambda: ask("known", 1))
            until(lambda: model.statistics().cache_hit.count == 1, "the hit")
            assert answers == ["to be known"]
        until(lambda: len(answers) == 3, "all answers")
    assert answers == ["to be known", "computed", "known"]


@contextmanager
def redis_in_a_thread() -> Iterator[FakeRedis]:
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    started: list[FakeRedis] = []

    async def main() -> None:
        async with redis_server() as fake:
            started.append(fake)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    until(lambda: bool(started), "a Redis server")
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.mark.triton("11.1", "11.4")
def test_servers_share_responses_in_redis_and_serve_on_without_it(
    repository: Path, tmp_path: Path
) -> None:
    with redis_in_a_thread() as fake:
        flags = (
            f"--model-repository={repository}",
            "--cache-config=redis,host=127.0.0.1",
            f"--cache-config=redis,port={fake.port}",
        )
        with serving(*flags, folder=tmp_path) as server:
            client = tritonclient.http.InferenceServerClient(server.http)
            client.infer("cached", given(tritonclient.http, rows(1)))
            until(lambda: bool(fake.kept), "the response to be kept")

        async def shared() -> Cache:
            return open_cache({"host": "127.0.0.1", "port": str(fake.port)}, SystemClock())

        cache = asyncio.run(shared())
        with served(repository, host=Host(cores=2, cache=cache)) as ports:
            np.testing.assert_array_equal(infer(ports, "cached", rows(1)).as_numpy("Y"), rows(1))
            assert counts(ports, "cached") == (1, 0)
            fake.fail = "LOADING it is away"
            with heard() as lines:
                for value in (50, 50):
                    result = infer(ports, "cached", rows(1, value))
                    np.testing.assert_array_equal(result.as_numpy("Y"), rows(1, value))
            assert counts(ports, "cached") == (1, 2)
            assert sum("does not answer" in line for line in lines) == 1
            ports.wait_for(cache.close)


@pytest.mark.triton("2e.4")
def test_a_server_without_a_cache_serves_and_warns(tmp_path: Path) -> None:
    write_echo(tmp_path, "asks", ON)
    write_echo(tmp_path, "plain")
    with heard() as lines, served(tmp_path) as server:
        for _ in range(2):
            infer(server, "asks", rows(1))
        figures = statistics(server, "asks")
    assert (figures["execution_count"], figures["inference_stats"]["cache_miss"]["count"]) == (2, 0)
    told = [line for line in lines if "without the response cache" in line]
    assert [("'asks'" in line, "start it with --cache-config" in line) for line in told] == [
        (True, True)
    ]
