"""Which numbers of a model the page shows, under which names and labels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import prometheus
from support.prometheus import Values, names, read

from engine.metering import Metering, Quantile
from engine.modelconfig.schema import MetricControl, ModelConfig
from engine.telemetry.exposition import render
from engine.telemetry.families import Described, families
from engine.telemetry.pictures import SpreadPicture
from engine.telemetry.spread import BUCKETS, FIRST_RESPONSE, QUEUE, Histogram, spread
from engine.telemetry.stats import Closing, FailureReason, Ledger, ModelStatistics, Timings

COUNTERS = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
    "nv_inference_exec_count",
}  # fmt: skip
DURATIONS = {
    f"nv_inference_{part}_duration_us"
    for part in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
GAUGES = {"nv_inference_pending_request_count", "nv_model_load_duration_secs"}
TIMINGS = Timings(5_000, 1_000, 2_999, 500)


def shown(models: Sequence[Described], metering: Metering | None = None) -> Values:
    return read(render(families(models, metering or Metering(), lambda number: f"GPU-{number}")))


def of(values: Values, name: str, **labels: str) -> float:
    return prometheus.of(values, name, **{"model": "m", "version": "1", **labels})


@pytest.mark.triton("12.5", "12.13")
def test_every_series_is_there_at_zero_from_the_start() -> None:
    got = shown([Described(statistics=Ledger("m", 1).picture())])
    assert names(got) == COUNTERS | DURATIONS | GAUGES
    assert set(got.values()) == {0}
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert of(got, "nv_inference_request_failure", reason=reason) == 0


@pytest.mark.triton("12.5")
def test_counts_are_the_ledgers_in_microseconds() -> None:
    ledger = Ledger("m", 1)
    ledger.executed(3, TIMINGS, wall_ms=7)
    ledger.succeeded(2, 3, 2_000, TIMINGS, done_ns=10_000)
    ledger.failed(FailureReason.BACKEND, 5)
    got = shown([Described(statistics=ledger.picture(pending=4), load_ns=2_500_000_000)])
    assert of(got, "nv_inference_request_success") == 2
    assert of(got, "nv_inference_count") == 3
    assert of(got, "nv_inference_exec_count") == 1
    assert of(got, "nv_inference_request_duration_us") == 18
    assert of(got, "nv_inference_queue_duration_us") == 8
    assert of(got, "nv_inference_compute_input_duration_us") == 2
    assert of(got, "nv_inference_compute_infer_duration_us") == 5
    assert of(got, "nv_inference_compute_output_duration_us") == 1
    assert of(got, "nv_inference_pending_request_count") == 4
    assert of(got, "nv_model_load_duration_secs") == 2.5
    assert of(got, "nv_inference_request_failure", reason="BACKEND") == 1


@pytest.mark.triton("2.9")
def test_tags_have_an_underscore_and_any_text_may_be_a_value() -> None:
    odd = ModelStatistics(name='a"b\\c\nd', version="1")
    got = shown([Described(statistics=odd, tags={"team": 'x"y', "my-tag": "z"})])
    labels = {"model": 'a"b\\c\nd', "version": "1", "_team": 'x"y', "_my_tag": "z"}
    assert got["nv_inference_count", frozenset(labels.items())] == 0


@pytest.mark.triton("12.13")
def test_what_runs_on_a_gpu_is_counted_under_its_uuid() -> None:
    ledger = Ledger("m", 1, (0, 1, 1))
    for instance in range(3):
        ledger.executed(4, TIMINGS, 1, instance)
        ledger.succeeded(1, 4, 0, TIMINGS, 10_000, instance)
    got = shown([Described(statistics=ledger.picture())])
    assert of(got, "nv_inference_count", gpu_uuid="GPU-0") == 4
    assert of(got, "nv_inference_count", gpu_uuid="GPU-1") == 8
    assert of(got, "nv_inference_pending_request_count") == 0
    assert ("nv_inference_count", frozenset({("model", "m"), ("version", "1")})) not in got


@pytest.mark.triton("12.7")
def test_only_models_with_a_cache_have_its_metrics() -> None:
    ledger, other = Ledger("m", 1), Ledger("other", 1)
    ledger.caches = True
    ledger.hit(3_000, 7_000)
    ledger.missed(5_000)
    got = shown([Described(statistics=one.picture()) for one in (ledger, other)])
    assert of(got, "nv_cache_num_hits_per_model") == 1
    assert of(got, "nv_cache_num_misses_per_model") == 1
    assert of(got, "nv_cache_hit_duration_per_model") == 3
    assert of(got, "nv_cache_miss_duration_per_model") == 5
    assert not any("cache" in name and ("model", "other") in labels for name, labels in got)
    assert not any(
        "cache" in name for name in names(shown([Described(statistics=other.picture())]))
    )


@pytest.mark.triton("12.10")
def test_durations_can_be_left_out() -> None:
    ledger = Ledger("m", 1)
    ledger.caches = True
    got = names(shown([Described(statistics=ledger.picture())], Metering(counter_latencies=False)))
    assert got == COUNTERS | GAUGES | {
        "nv_cache_num_hits_per_model", "nv_cache_num_misses_per_model",
    }  # fmt: skip


def test_a_server_without_models_still_has_a_page() -> None:
    assert shown([]) == {}


@given(st.lists(st.integers(0, 6_000_000_000)), st.sampled_from([FIRST_RESPONSE, QUEUE]))
def test_a_histogram_counts_each_value_at_its_bound_and_all_above(
    values: list[int], family: str
) -> None:
    histogram = Histogram(BUCKETS[family])
    for value in values:
        histogram.add(value)
    seen = histogram.picture()
    for bound, count in zip(seen.bounds, seen.counts, strict=False):
        assert count == sum(value <= bound * 1e6 for value in values)
    assert seen.counts[-1] == len(values)
    assert seen.sum_ms == pytest.approx(sum(values) / 1e6)


@pytest.mark.triton("12.8", "2.18")
def test_first_responses_are_a_decoupled_models_in_its_own_buckets() -> None:
    metering = Metering(histogram_latencies=True)
    assert spread(ModelConfig(name="m"), metering, cached=False) is None
    control = MetricControl(family=FIRST_RESPONSE, buckets=(50.0, 0.5))
    for config, bounds in (
        (ModelConfig(name="m", decoupled=True), ("100", "500", "2000", "5000", "+Inf")),
        (ModelConfig(name="m", decoupled=True, model_metrics=(control,)), ("0.5", "50", "+Inf")),
    ):
        made = spread(config, metering, cached=False)
        assert made is not None
        made.first_responded(7_000_000)
        picture = made.picture(0)
        got = shown([Described(statistics=Ledger("m", 1).picture(), spread=picture)])
        counts = [of(got, f"{FIRST_RESPONSE}_bucket", le=bound) for bound in bounds]
        assert counts == ([1] * 5 if "100" in bounds else [0, 1, 1])
        assert of(got, f"{FIRST_RESPONSE}_count") == 1
        assert of(got, f"{FIRST_RESPONSE}_sum") == 7


def summed_up(*, cached: bool) -> Values:
    metering = Metering(
        summary_latencies=True, summary_quantiles=(Quantile(0.5, 0.1), Quantile(0.99, 0.01))
    )
    made = spread(ModelConfig(name="m"), metering, cached=cached)
    assert made is not None
    made.answered([1_000, 3_000], TIMINGS, 12_000)
    made.looked_up(4_000, 12_000, hit=True)
    picture = made.picture(12_000)
    return shown([Described(statistics=Ledger("m", 1).picture(), spread=picture)], metering)


@pytest.mark.triton("12.9")
def test_summaries_show_quantiles_in_microseconds() -> None:
    got = summed_up(cached=False)
    assert of(got, "nv_inference_request_summary_us", quantile="0.5") == 9
    assert of(got, "nv_inference_request_summary_us", quantile="0.99") == 11
    assert of(got, "nv_inference_request_summary_us_sum") == 20
    assert of(got, "nv_inference_request_summary_us_count") == 2
    assert of(got, "nv_inference_queue_summary_us", quantile="0.99") == 4
    assert of(got, "nv_inference_compute_infer_summary_us", quantile="0.5") == 2.999
    assert not any("cache" in name for name in names(got))


@pytest.mark.triton("12.9")
def test_with_a_cache_lookups_have_summaries_and_whole_requests_have_none() -> None:
    got = summed_up(cached=True)
    assert of(got, "nv_cache_hit_summary_per_model", quantile="0.5") == 4
    assert of(got, "nv_cache_miss_summary_per_model_count") == 0
    assert "nv_inference_request_summary_us" not in names(got)
    assert "nv_inference_queue_summary_us" in names(got)


def test_our_own_families_are_there_where_they_are_asked_for() -> None:
    metering = Metering(queue_histogram=True, batches=True, instance_use=True)
    ledger = Ledger("m", 1, (None, None))
    ledger.executed(4, TIMINGS, 1)
    ledger.explain()(Closing.SHAPE)
    made = spread(ModelConfig(name="m"), metering, cached=False)
    assert made is not None
    made.answered([5_000 - 150_000], TIMINGS, 12_000)
    described = Described(statistics=ledger.picture(), spread=made.picture(12_000))
    got = shown([described], metering)
    assert of(got, "servetune_batches", batch_size="4") == 1
    assert of(got, "servetune_batches_closed", reason="shape") == 1
    assert of(got, "servetune_batches_closed", reason="delay") == 0
    assert of(got, "servetune_instances") == 2
    assert of(got, "servetune_instance_busy_us") == 4
    assert of(got, f"{QUEUE}_bucket", le="0.1") == 0
    assert of(got, f"{QUEUE}_bucket", le="0.5") == 1


def test_a_model_without_a_spread_has_no_series_of_one() -> None:
    got = shown([Described(statistics=Ledger("m", 1).picture(), spread=SpreadPicture())])
    assert not any("summary" in name or "histogram" in name for name in names(got))
