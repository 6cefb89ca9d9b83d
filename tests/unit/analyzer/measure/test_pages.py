"""Metrics pages, as Triton and others write them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import prometheus

from analyzer.measure.pages import Series, page, read
from engine.nvml import GpuLook
from engine.telemetry.exposition import Family, Kind, Sample, render

#: as Triton 25.x writes it, shortened
TRITON = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{gpu_uuid="GPU-a",model="m",version="1"} 60
nv_inference_request_success{gpu_uuid="GPU-b",model="m",version="1"} 30
nv_inference_request_success{model="m",version="2"} 10
nv_inference_request_success{model="other",version="1"} 7
nv_inference_request_failure{model="m",reason="REJECTED",version="1"} 2
nv_inference_request_failure{model="m",reason="OTHER",version="1"} 1
nv_inference_count{model="m",version="1"} 400
nv_inference_exec_count{model="m",version="1"} 50
nv_inference_request_duration_us{model="m",version="1"} 9000
nv_inference_queue_duration_us{model="m",version="1"} 1000
nv_inference_compute_input_duration_us{model="m",version="1"} 100
nv_inference_compute_infer_duration_us{model="m",version="1"} 7000
nv_inference_compute_output_duration_us{model="m",version="1"} 200
nv_inference_pending_request_count{model="m",version="1"} 3
nv_cache_num_hits_per_model{model="m",version="1"} 40
nv_cache_hit_duration_per_model{model="m",version="1"} 80
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-a"} 0.250000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-a"} 85899345920.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-a"} 1.5e9
nv_gpu_power_usage{gpu_uuid="GPU-a"} 70.5
nv_energy_consumption{gpu_uuid="GPU-a"} 1234.5
nv_gpu_utilization{gpu_uuid="GPU-b"} 0.5
nv_cpu_utilization 0.125
nv_cpu_memory_total_bytes 16000000000
nv_cpu_memory_used_bytes 4000000000
"""


def test_a_page_of_tritons_tells_gpus_machine_and_a_models_counters() -> None:
    seen = page(read(TRITON), "m")
    first, second = seen.gpus
    assert first == GpuLook(
        uuid="GPU-a",
        utilization=0.25,
        total_bytes=80 << 30,
        used_bytes=1_500_000_000,
        power_watts=70.5,
        energy_joules=1234.5,
    )
    assert second == GpuLook(uuid="GPU-b", utilization=0.5)
    assert (seen.machine_share, seen.available_bytes) == (0.125, 12_000_000_000)
    counters = seen.counters
    assert counters is not None
    assert (counters.requests, counters.failed) == (100, 3), "versions, GPUs and reasons add up"
    assert (counters.inferences, counters.executions) == (400, 50)
    assert (counters.request_ns, counters.queue_ns) == (9_000_000, 1_000_000)
    assert (counters.compute_infer_ns, counters.compute_output_ns) == (7_000_000, 200_000)
    assert (counters.cache_hits, counters.cache_hit_ns, counters.cache_misses) == (40, 80_000, 0)


def test_a_model_that_is_not_on_it_has_no_counters() -> None:
    assert page(read(TRITON), "nobody").counters is None


@pytest.mark.parametrize(
    ("line", "series"),
    [
        ("up 1", Series("up", {}, 1)),
        ("  up{}\t+2.5e3 \r", Series("up", {}, 2500)),
        ("up 1 1700000000000", Series("up", {}, 1)),
        ('up{a="1",} 1 -5', Series("up", {"a": "1"}, 1)),
        ('up { a = "x" , b = "y" } 1', Series("up", {"a": "x", "b": "y"}, 1)),
        (r'up{a="q\"q\\n\n,}# {"} 1', Series("up", {"a": 'q"q\\n\n,}# {'}, 1)),
        ('hits_total{a="1"} 3 # {trace="}"} 0.5 17.1', Series("hits_total", {"a": "1"}, 3)),
    ],
)
def test_every_spelling_of_a_line_is_read(line: str, series: Series) -> None:
    assert read(line) == (series,)


@pytest.mark.parametrize(
    "line",
    [
        "", "# HELP up 1", "# EOF", "up", "up{", 'up{a="1" 1', "up{a=1} 1", 'up{a="1"b} 1', "up x",
        "up NaN", "up +Inf", "1up 2", "<html>", "up 1 2 3 4", 'up{a="1"}',
    ],
)  # fmt: skip
def test_what_is_no_line_is_passed_over_and_the_rest_is_read(line: str) -> None:
    assert read(f"first 1\n{line}\nlast 2") == (Series("first", {}, 1), Series("last", {}, 2))


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    page(read(text), "m")


_names = st.from_regex(r"[a-z_:][a-z0-9_:]{0,8}", fullmatch=True)
_labels = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    max_size=3,
)
_samples = st.builds(Sample, value=st.floats(allow_nan=False, allow_infinity=False), labels=_labels)
_families = st.lists(
    st.builds(
        Family,
        name=_names,
        kind=st.just(Kind.GAUGE),
        help=st.text(max_size=8),
        samples=st.lists(_samples, max_size=3),
    ),
    max_size=3,
)


@settings(max_examples=40)
@given(_families)
def test_what_the_engine_writes_is_read_as_it_was_meant(families: list[Family]) -> None:
    meant = [
        Series(family.name, sample.labels, sample.value)
        for family in families
        for sample in family.samples
    ]
    assert list(read(render(families))) == meant


def test_it_is_read_as_prometheuss_own_client_reads_it() -> None:
    told: dict[Any, float] = {
        (one.name, frozenset(one.labels.items())): one.value for one in read(TRITON)
    }
    assert told == prometheus.read(TRITON)
