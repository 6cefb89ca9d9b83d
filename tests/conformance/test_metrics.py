"""Section 12's metrics (and 4.14, 2.9), as Prometheus and perf_analyzer read them."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tritonclient.http
from support import nvml
from support.echoes import given, http, manner, rows, stream, write_echo, write_repeat
from support.in_thread import Ports
from support.prometheus import Values, names, of, read
from support.recorder import Recorder, recording, write
from support.served import served
from support.serving import serving, until
from tritonclient.utils import InferenceServerException

from engine.execution.host import Host
from engine.metering import metrics_config
from engine.options import ServeOptions

REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
COUNTERS = [
    "nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count",
    "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
]  # fmt: skip
SUMMARIES = [
    f"nv_inference_{part}_summary_us"
    for part in ("request", "queue", "compute_input", "compute_infer", "compute_output")
]
FIRST = "nv_inference_first_response_histogram_ms"
FULL = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_echo(folder, "fresh")
    write_echo(folder, "reloaded")
    write_echo(folder, "direct", manner(latency_us=2000))
    write_echo(folder, "tagged", 'metric_tags [ { key: "team" value: "blue" } ]')
    write_echo(folder, "failing", manner(fail_every=1))
    write_echo(folder, "batched", "dynamic_batching { }")
    write_repeat(folder, "repeat")
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    asked = ("summary_latencies", "histogram_latencies", "batches", "instance_use")
    metering = metrics_config(f"{one}=true" for one in asked)
    with served(repository, host=Host(cores=2, metering=metering)) as ports:
        yield ports


def fetch(address: str, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
        assert answer.status == 200
        page: str = answer.read().decode()
        assert not page or answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return page


def scrape(server: Ports) -> Values:
    return read(fetch(f"127.0.0.1:{server.metrics.port}"))


def series(values: Values, name: str, model: str, **labels: str) -> float:
    return of(values, name, model=model, version="1", **labels)


def infer(server: Ports, model: str, array: Any, name: str = "X") -> Any:
    with http(server) as client:
        return client.infer(model, given(tritonclient.http, array, name))


@pytest.mark.triton("4.14")
def test_the_page_is_at_its_path_and_any_other_is_empty(server: Ports) -> None:
    address = f"127.0.0.1:{server.metrics.port}"
    assert "nv_inference_count{" in fetch(address)
    assert "nv_inference_count{" in fetch(address, "/metrics/")
    assert not fetch(address, "/v2/health/ready")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{address}/metrics", data=b"")
    with caught.value as error:
        assert error.code == 405


@pytest.mark.triton("12.5", "12.6", "12.13")
def test_a_loaded_model_has_every_series_at_zero(server: Ports) -> None:
    got = scrape(server)
    assert [series(got, name, "fresh") for name in COUNTERS] == [0] * len(COUNTERS)
    failures = "nv_inference_request_failure"
    assert [series(got, failures, "fresh", reason=reason) for reason in REASONS] == [0] * 4
    assert series(got, "nv_inference_pending_request_count", "fresh") == 0
    assert 0 < series(got, "nv_model_load_duration_secs", "fresh") < 20
    assert not any("cache" in name for name in names(got))


@pytest.mark.triton("12.5")
def test_counters_count_requests_rows_runs_and_microseconds(server: Ports) -> None:
    for _ in range(2):
        infer(server, "direct", rows(3))
    got = scrape(server)
    assert series(got, "nv_inference_request_success", "direct") == 2
    assert series(got, "nv_inference_count", "direct") == 6
    assert series(got, "nv_inference_exec_count", "direct") == 2
    request_us = series(got, "nv_inference_request_duration_us", "direct")
    assert 4000 <= series(got, "nv_inference_compute_infer_duration_us", "direct") <= request_us
    assert request_us < 5_000_000


@pytest.mark.triton("12.5")
def test_failures_have_their_reason_and_refusals_before_the_queue_have_none(
    server: Ports,
) -> None:
    for name, text in (("X", "fail_every"), ("Z", "unexpected")):
        with pytest.raises(InferenceServerException, match=text):
            infer(server, "failing", rows(1), name)
    got = scrape(server)
    counts = [series(got, "nv_inference_request_failure", "failing", reason=r) for r in REASONS]
    assert dict(zip(REASONS, counts, strict=True)) == dict.fromkeys(REASONS, 0) | {"BACKEND": 1}
    assert series(got, "nv_inference_exec_count", "failing") == 1


@pytest.mark.triton("12.6")
def test_who_waits_is_pending_and_who_runs_or_is_turned_away_is_not(tmp_path: Path) -> None:
    recorder = Recorder()
    write(tmp_path, "slow", FULL, batch=1)
    options = ServeOptions(model_repository=(tmp_path,))
    with recording(options, Host(cores=2), recorder) as (server, _), ThreadPoolExecutor(2) as pool:

        def pending() -> float:
            return series(scrape(server), "nv_inference_pending_request_count", "slow")

        with recorder.doors_closed():
            first = pool.submit(infer, server, "slow", rows(1))
            recorder.wait_for(inside=1)
            assert pending() == 0
            second = pool.submit(infer, server, "slow", rows(1))
            until(lambda: pending() == 1, "the second to wait")
            with pytest.raises(InferenceServerException, match="Exceeds maximum queue size"):
                infer(server, "slow", rows(1))
            assert pending() == 1
        first.result()
        second.result()
        assert pending() == 0
        rejected = "nv_inference_request_failure"
        assert series(scrape(server), rejected, "slow", reason="REJECTED") == 1


@pytest.mark.triton("2.9")
def test_tags_of_a_model_become_labels(server: Ports) -> None:
    assert series(scrape(server), "nv_inference_count", "tagged", _team="blue") == 0


@pytest.mark.triton("12.9")
def test_summaries_have_tritons_quantiles(server: Ports) -> None:
    infer(server, "direct", rows(1))
    got = scrape(server)
    for name in SUMMARIES:
        quantiles = [
            series(got, name, "direct", quantile=q) for q in ("0.5", "0.9", "0.95", "0.99", "0.999")
        ]
        assert quantiles == sorted(quantiles)
        count = series(got, f"{name}_count", "direct")
        assert count == series(got, "nv_inference_request_success", "direct")
    sums = [series(got, f"{name}_sum", "direct") for name in SUMMARIES]
    totals = [series(got, name.replace("summary", "duration"), "direct") for name in SUMMARIES]
    assert sums == pytest.approx(totals, abs=1)
    assert quantiles[0] < series(got, SUMMARIES[3], "direct", quantile="0.5") >= 2000


@pytest.mark.triton("12.8")
def test_only_decoupled_models_have_a_histogram_of_first_responses(server: Ports) -> None:
    got = scrape(server)
    bounds = ["100", "500", "2000", "5000", "+Inf"]
    assert [series(got, f"{FIRST}_bucket", "repeat", le=bound) for bound in bounds] == [0] * 5
    assert series(got, f"{FIRST}_count", "repeat") == 0
    assert not any(name.startswith(FIRST) and ("model", "direct") in at for name, at in got)
    stream(server, "repeat", 3)
    got = scrape(server)
    assert [series(got, f"{FIRST}_bucket", "repeat", le=bound) for bound in bounds][-1] == 1
    assert 0 < series(got, f"{FIRST}_sum", "repeat") < 20_000


def test_who_asks_is_told_what_batches_there_were_and_why_they_were_no_larger(
    server: Ports,
) -> None:
    infer(server, "batched", rows(3))
    infer(server, "batched", rows(8))
    got = scrape(server)
    assert series(got, "servetune_batches", "batched", batch_size="3") == 1
    closed = "servetune_batches_closed"
    assert series(got, closed, "batched", reason="idle") == 1
    assert series(got, closed, "batched", reason="max") == 1
    assert not any(name == closed and ("model", "direct") in labels for name, labels in got)
    assert series(got, "servetune_instances", "batched") == 1
    assert 0 < series(got, "servetune_instance_busy_us", "batched") < 1_000_000


@pytest.mark.triton("12.13")
def test_series_begin_again_with_a_new_load_and_go_with_the_unload(
    server: Ports, repository: Path
) -> None:
    infer(server, "reloaded", rows(1))
    assert series(scrape(server), "nv_inference_count", "reloaded") == 1
    write_echo(repository, "reloaded", manner(latency_us=1))
    with http(server) as client:
        client.load_model("reloaded")
        assert series(scrape(server), "nv_inference_count", "reloaded") == 0
        client.unload_model("reloaded")
    assert not any(("model", "reloaded") in labels for _, labels in scrape(server))


@pytest.mark.triton("12.6", "12.9", "12.10", "12.11")
def test_flags_say_what_is_on_the_page(repository: Path, tmp_path: Path) -> None:
    library = nvml.build(tmp_path)
    environment = {"TINY_NVML": "count=2", "LD_LIBRARY_PATH": str(library.parent)}
    with serving(
        f"--model-repository={repository}",
        "--metrics-interval-ms=20",
        "--metrics-config=summary_latencies=true",
        "--metrics-config",
        "summary_quantiles=0.5:0.05,0.75:0.01",
        "--metrics-config=counter_latencies=false",
        folder=tmp_path,
        environment=environment,
    ) as server:
        page = fetch(server.metrics)
        got = read(page)
        # perf_analyzer looks for exactly such lines.
        for name in ("utilization", "power_usage", "memory_used_bytes", "memory_total_bytes"):
            found = re.findall(
                rf'^nv_gpu_{name}{{gpu_uuid="(.+?)"}} ([0-9.]+)$', page, re.MULTILINE
            )
            assert [uuid for uuid, _ in found] == ["GPU-tiny-0", "GPU-tiny-1"]
        quantiles = {
            dict(labels)["quantile"]
            for name, labels in got
            if name == SUMMARIES[0] and ("model", "fresh") in labels
        }
        assert quantiles == {"0.5", "0.75"}
        assert not any("duration_us" in name for name in names(got))
        assert "nv_inference_count" in names(got)
        energy = "nv_energy_consumption"
        until(
            lambda: of(read(fetch(server.metrics)), energy, gpu_uuid="GPU-tiny-1") > 1,
            "another look",
        )


@pytest.mark.triton("12.6")
def test_metrics_of_devices_can_be_switched_off(repository: Path, tmp_path: Path) -> None:
    off = ("--allow-gpu-metrics=false", "--allow-cpu-metrics=false", "--metrics-address=127.0.0.1")
    with serving(f"--model-repository={repository}", *off, folder=tmp_path) as server:
        got = names(read(fetch(server.metrics)))
        assert not any(name.startswith(("nv_gpu", "nv_cpu", "nv_energy")) for name in got)
        assert "nv_inference_count" in got
