"""The metrics page, as Prometheus reads it."""

import re

from engine.telemetry.exposition import render
from engine.telemetry.stats import FailureReason, Ledger, ModelStatistics, Timings

SERIES = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
    "nv_inference_exec_count", "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us", "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us", "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
}  # fmt: skip
LINE = re.compile(r'^(\w+)\{(\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*)\} (\d+)$')


def values(page: str) -> dict[str, int]:
    found = [LINE.match(line) for line in page.splitlines() if not line.startswith("#")]
    assert all(found), page
    return {f"{match[1]}{{{match[2]}}}": int(match[3]) for match in found if match}


def test_every_series_is_there_at_zero_from_the_start() -> None:
    page = render([(Ledger("m", 2).picture(), {})])
    got = values(page)
    assert {name.partition("{")[0] for name in got} == SERIES
    assert set(got.values()) == {0}
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert f'nv_inference_request_failure{{model="m",version="2",reason="{reason}"}}' in got


def test_each_metric_is_described_once_before_its_series() -> None:
    page = render([(Ledger("a", 1).picture(), {}), (Ledger("b", 1).picture(), {})])
    for name in SERIES:
        kind = "gauge" if "pending" in name else "counter"
        assert page.count(f"# TYPE {name} {kind}\n") == 1
        assert page.count(f"# HELP {name} ") == 1
        assert page.index(f"# TYPE {name} ") < page.index(f"{name}{{")


def test_counts_are_the_ledgers_in_microseconds() -> None:
    ledger = Ledger("m", 1)
    ledger.executed(3, Timings(5_000, 1_000, 2_999, 500), wall_ms=7)
    ledger.succeeded(2, 3, 2_000, Timings(5_000, 1_000, 2_999, 500), done_ns=10_000)
    ledger.failed(FailureReason.BACKEND, 5)
    got = values(render([(ledger.picture(pending=4), {})]))

    def series(name: str, more: str = "") -> int:
        return got[f'nv_inference_{name}{{model="m",version="1"{more}}}']

    assert (series("request_success"), series("count"), series("exec_count")) == (2, 3, 1)
    assert series("request_duration_us") == 18
    assert series("queue_duration_us") == 8
    assert series("compute_input_duration_us") == 2
    assert series("compute_infer_duration_us") == 5
    assert series("compute_output_duration_us") == 1
    assert series("pending_request_count") == 4
    assert series("request_failure", ',reason="BACKEND"') == 1


def test_labels_are_escaped_and_tags_have_an_underscore() -> None:
    odd = ModelStatistics(name='a"b\\c\nd', version="1")
    page = render([(odd, {"team": "x"})])
    assert r'nv_inference_count{model="a\"b\\c\nd",version="1",_team="x"} 0' in page
    assert values(page)


def test_a_server_without_models_still_has_a_page() -> None:
    assert values(render([])) == {}
