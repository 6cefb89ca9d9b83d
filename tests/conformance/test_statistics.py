"""Section 12's statistics (and 4.7), as NVIDIA's clients and perf_analyzer read them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tritonclient.http
from support.echoes import given, grpc, http, manner, rows, stream, write_echo, write_repeat
from support.in_thread import Ports
from support.served import served
from tritonclient.utils import InferenceServerException

from analyzer import v2client
from analyzer.launcher import Endpoint

TALLIES = [
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit",
    "cache_miss",
]  # fmt: skip
PARTS = ["compute_input", "compute_infer", "compute_output"]
RESPONSES = [*PARTS[1:], "success", "fail", "empty_response", "cancel"]
PATIENCE_S = 20


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_echo(folder, "fresh")
    write_echo(folder, "reloaded")
    write_echo(folder, "direct", manner(latency_us=2000))
    write_echo(folder, "batched", f"dynamic_batching {{ }}\n{manner(latency_us=40_000)}")
    write_echo(folder, "failing", manner(fail_every=1))
    (folder / "two" / "2").mkdir(parents=True)
    write_echo(folder, "two", "version_policy { all { } }")
    write_repeat(folder, "repeat")
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    with served(repository) as ports:
        yield ports


def fetched(server: Ports, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http.port}/v2/{path}") as answer:
        return json.load(answer)


def statistics(server: Ports, model: str) -> Any:
    (figures,) = fetched(server, f"models/{model}/stats")["model_stats"]
    return figures


def infer(server: Ports, model: str, array: Any, count: int = 1) -> None:
    """Send the same request so many times, side by side."""
    inputs = given(tritonclient.http, array)
    with http(server) as client:
        started = [client.async_infer(model, inputs) for _ in range(count)]
        for one in started:
            one.get_result(timeout=PATIENCE_S)


@pytest.mark.triton("12.1")
def test_every_key_is_there_from_the_start_and_every_number_is_a_whole_one(server: Ports) -> None:
    raw = json.dumps(statistics(server, "fresh"))
    zero = {"count": 0, "ns": 0}
    assert json.loads(raw) == {
        "name": "fresh",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": dict.fromkeys(TALLIES, zero),
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }
    assert "." not in raw, "perf_analyzer reads whole numbers only"
    with grpc(server) as client:
        (figures,) = client.get_inference_statistics("fresh").model_stats
    assert all(figures.inference_stats.HasField(name) for name in TALLIES)
    assert (figures.name, figures.version, len(figures.response_stats)) == ("fresh", "1", 0)


@pytest.mark.triton("12.2")
def test_the_keys_are_there_and_whole_after_a_batch_too(server: Ports) -> None:
    infer(server, "direct", rows(3))
    figures = statistics(server, "direct")
    (batch,) = figures["batch_stats"]
    assert list(batch) == ["batch_size", *PARTS]
    assert batch["batch_size"] == 3
    numbers = [figures["last_inference"], batch["compute_infer"]["ns"]]
    numbers += [tally[key] for tally in figures["inference_stats"].values() for key in tally]
    assert all(type(number) is int for number in numbers)
    assert figures["last_inference"] > 1_600_000_000_000, "ms since 1970"


@pytest.mark.triton("12.2")
def test_each_request_is_charged_the_whole_batch_it_was_in(server: Ports) -> None:
    infer(server, "batched", rows(2), count=8)
    figures = statistics(server, "batched")
    tallies, batches = figures["inference_stats"], figures["batch_stats"]
    assert {tallies[name]["count"] for name in ("success", "queue", *PARTS)} == {8}
    assert figures["inference_count"] == 16
    assert figures["execution_count"] == sum(one["compute_infer"]["count"] for one in batches) < 8
    assert sum(one["batch_size"] * one["compute_infer"]["count"] for one in batches) == 16
    assert tallies["compute_infer"]["ns"] >= 8 * 40_000_000, "not parted among the requests"
    ran = sum(one["compute_infer"]["ns"] for one in batches)
    assert ran < tallies["compute_infer"]["ns"], "but a batch's own time counts once"
    assert tallies["queue"]["ns"] >= 40_000_000, "the second batch waited for the first"
    parts = sum(tallies[name]["ns"] for name in ("queue", *PARTS))
    assert tallies["success"]["ns"] >= parts, "perf_analyzer takes the rest for overhead"
    assert all(tallies[name] == {"count": 0, "ns": 0} for name in ("fail", "cache_hit"))


@pytest.mark.triton("12.2")
def test_what_fails_in_the_model_is_counted_and_what_never_reaches_it_is_not(
    server: Ports,
) -> None:
    with http(server) as client, pytest.raises(InferenceServerException, match="fail_every"):
        client.infer("failing", given(tritonclient.http, rows(1)))
    with http(server) as client, pytest.raises(InferenceServerException, match="unexpected"):
        client.infer("failing", given(tritonclient.http, rows(1), "Z"))
    figures = statistics(server, "failing")
    assert figures["inference_stats"]["fail"]["count"] == 1
    assert figures["inference_stats"]["fail"]["ns"] > 0
    assert (figures["inference_count"], figures["execution_count"]) == (0, 1)
    assert figures["inference_stats"]["success"] == {"count": 0, "ns": 0}


@pytest.mark.triton("12.3")
def test_responses_of_decoupled_models_are_counted_by_their_place(server: Ports) -> None:
    stream(server, "repeat", 2)
    stream(server, "repeat", 1)
    stream(server, "repeat", -1)
    figures = statistics(server, "repeat")
    responses = figures["response_stats"]
    assert list(responses) == ["0", "1", "2"]
    assert all(list(one) == RESPONSES for one in responses.values())
    counts = {
        place: {name: tally["count"] for name, tally in one.items() if tally["count"]}
        for place, one in responses.items()
    }
    assert counts["0"] == {"compute_infer": 3, "compute_output": 3, "success": 3}
    # A final word that carries nothing is an empty response.
    assert counts["1"] == {
        "compute_infer": 3, "compute_output": 2, "success": 1, "fail": 1, "empty_response": 1,
    }  # fmt: skip
    assert counts["2"] == {"compute_infer": 2, "empty_response": 2}
    assert figures["inference_stats"]["success"]["count"] == 3
    with grpc(server) as client:
        (same,) = client.get_inference_statistics("repeat").model_stats
    assert same.response_stats["1"].fail.count == 1
    assert same.response_stats["0"].success.ns == responses["0"]["success"]["ns"]


@pytest.mark.triton("4.7", "12.4")
def test_one_version_one_model_or_all_that_are_ready_can_be_asked_for(server: Ports) -> None:
    def listed(path: str) -> list[tuple[str, str]]:
        return [(one["name"], one["version"]) for one in fetched(server, path)["model_stats"]]

    assert listed("models/two/versions/2/stats") == [("two", "2")]
    assert listed("models/two/stats") == [("two", "1"), ("two", "2")]
    every = listed("models/stats")
    assert {("two", "1"), ("two", "2"), ("fresh", "1"), ("repeat", "1")} <= set(every)
    with grpc(server) as client:
        same = client.get_inference_statistics().model_stats
    assert [(one.name, one.version) for one in same] == every


@pytest.mark.triton("4.7", "5.2")
@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("nobody", "", "requested model 'nobody' is not available"),
        ("two", "3", "requested model version is not available for model 'two'"),
    ],
)
def test_who_is_not_ready_has_no_statistics(
    server: Ports, name: str, version: str, text: str
) -> None:
    path = f"models/{name}/versions/{version}/stats" if version else f"models/{name}/stats"
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetched(server, path)
    with caught.value as error:
        assert (error.code, json.load(error)) == (400, {"error": text})
    with grpc(server) as client, pytest.raises(InferenceServerException, match=text) as refused:
        client.get_inference_statistics(name, version)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.triton("12.4")
def test_a_model_loaded_anew_begins_at_zero_and_an_unloaded_one_is_not_listed(
    server: Ports, repository: Path
) -> None:
    infer(server, "reloaded", rows(1))
    assert statistics(server, "reloaded")["inference_count"] == 1
    write_echo(repository, "reloaded", manner(latency_us=1))
    with http(server) as client:
        client.load_model("reloaded")
        assert statistics(server, "reloaded")["inference_count"] == 0
        client.unload_model("reloaded")
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetched(server, "models/reloaded/stats")
    caught.value.close()
    listed = fetched(server, "models/stats")["model_stats"]
    assert "reloaded" not in {one["name"] for one in listed}


@pytest.mark.triton("12.2")
def test_the_numbers_add_up_while_requests_are_under_way(server: Ports) -> None:
    before = statistics(server, "batched")
    with ThreadPoolExecutor(3) as workers:
        running = [workers.submit(infer, server, "batched", rows(1), 4) for _ in range(2)]
        while not all(one.done() for one in running):
            tallies = statistics(server, "batched")["inference_stats"]
            assert len({tallies[name]["count"] for name in ("success", "queue", *PARTS)}) == 1
        for one in running:
            one.result()
    after = statistics(server, "batched")
    assert after["inference_count"] - before["inference_count"] == 8


def test_what_runs_a_model_is_told_under_a_path_of_its_own(server: Ports) -> None:
    (told,) = fetched(server, "models/fresh/stats/runtime")["model_stats"]
    assert told.pop("runtime")["runtime"] == "synthetic"
    assert told.keys() == statistics(server, "fresh").keys()
    endpoint = Endpoint(f"127.0.0.1:{server.http.port}")
    assert v2client.runtime(endpoint, "fresh")["instances"] == "1"
