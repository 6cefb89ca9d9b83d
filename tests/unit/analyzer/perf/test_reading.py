from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import UsageError
from analyzer.perf import argv
from analyzer.perf.flags import BY_KEY, FLAGS, Effect
from analyzer.perf.options import Mode, PerfOptions, Promise, Range, Rule
from analyzer.perf.reading import PARSE, read


def options(**given: Any) -> PerfOptions:
    return read({"model_name": "m", **given})


def refused(**given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        options(**given)
    return caught.value.message


def test_the_defaults_are_perf_analyzers() -> None:
    found = options()
    assert (found.mode, found.range) == (Mode.CONCURRENCY, Range(start=1, end=1, step=1))
    assert (found.url, found.protocol, found.batch_size) == ("localhost:8000", "http", 1)
    assert found.inputs.sources == ("random",)
    assert found.inputs.texts.length == 128
    assert (found.sequences.at_once, found.sequences.variation) == (4, 20.0)
    assert found.output_shared_memory_size == 102400
    assert options(protocol="GRPC").url == "localhost:8001"


def test_the_measurement_is_by_precision_until_a_flag_of_windows_is_given() -> None:
    assert options().measuring.rule is Rule.PRECISION
    windows = options(measurement_interval="2000").measuring
    assert (windows.rule, windows.window_ms, windows.max_trials) == (Rule.TIME_WINDOWS, 2000, 10)
    assert options(stability_percentage="5").measuring.tolerance == 0.05
    count = options(measurement_mode="count_windows").measuring
    assert (count.rule, count.window_requests) == (Rule.COUNT_WINDOWS, 50)
    assert options(request_count="7").measuring.rule is Rule.COUNT
    precise = options(precision="1%,5", max_seconds="9").measuring
    assert (precise.throughput, precise.latency, precise.max_seconds) == (0.01, 0.05, 9)


@pytest.mark.parametrize(
    ("given", "mode", "levels"),
    [
        ({"concurrency_range": "4"}, Mode.CONCURRENCY, (4, 4, 1)),
        ({"concurrency_range": "1:8:2"}, Mode.CONCURRENCY, (1, 8, 2)),
        ({"request_rate_range": "0.5:2:0.5"}, Mode.RATE, (0.5, 2, 0.5)),
        ({"concurrency_range": "1:0", "latency_threshold": "5"}, Mode.CONCURRENCY, (1, 0, 1)),
        ({"t": "3"}, Mode.CONCURRENCY, (3, 3, 1)),
        ({"t": "2", "d": True, "c": "6"}, Mode.CONCURRENCY, (2, 6, 1)),
    ],
)
def test_what_sets_the_pace(given: Any, mode: Mode, levels: tuple[float, ...]) -> None:
    found = options(**given)
    assert found.mode is mode
    assert (found.range.start, found.range.end, found.range.step) == levels


def test_what_is_ours_is_read_beside_it() -> None:
    found = options(request_rate_range="10", distribution="gamma:2.5", max_inflight="64")
    assert (found.distribution, found.distribution_cv, found.max_inflight) == ("gamma", 2.5, 64)
    found = options(slo="p99.5 <= 1.5s")
    assert (found.mode, found.promise) == (Mode.RATE, Promise(percentile=99.5, limit_ms=1500))
    assert options(slo="p90<=250us").promise == Promise(percentile=90, limit_ms=0.25)


def test_requests_are_described_by_flags_that_repeat() -> None:
    found = options(
        header=["a: b", "c:d:e"], request_parameter=["n:3:int", "s:x:string", "b:true:BOOL"],
        shape=["x:1,2", "y:3"], sequence_id_range="0:5", bls_composing_models="a:1, b",
    )  # fmt: skip
    assert found.headers == (("a", "b"), ("c", "d:e"))
    assert found.parameters == {"n": 3, "s": "x", "b": True}
    assert found.inputs.shapes == {"x": (1, 2), "y": (3,)}
    assert found.sequences.ids == (1, 5)
    assert found.composing == (("a", "1"), ("b", ""))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"batch_size": "0"}, "--batch-size: expected at least 1, found 0"),
        ({"concurrency_range": "a"}, "--concurrency-range: expected START[:END[:STEP]] in whole"),
        ({"concurrency_range": "1:2:3:4"}, "expected START[:END[:STEP]], found '1:2:3:4'"),
        ({"concurrency_range": "0"}, "expected a start above 0"),
        ({"concurrency_range": "1:0"}, "give that too"),
        ({"concurrency_range": "1:4", "t": "1"}, "is deprecated and does not go with"),
        ({"concurrency_range": "1", "request_rate_range": "1"}, "each set the pace; give one"),
        ({"binary_search": True, "concurrency_range": "1:4"}, "needs --latency-threshold"),
        ({"streaming": True}, "--streaming needs gRPC: add -i grpc"),
        ({"streaming": True, "protocol": "grpc", "sync": True}, "does not go with --sync"),
        ({"grpc_compression_algorithm": "gzip"}, "needs gRPC"),
        ({"async_": True, "sync": True}, "exclude one another"),
        ({"periodic_concurrency_range": "1:10:5"}, "10 - 1 is no multiple of 5"),
        ({"periodic_concurrency_range": "1:10:3"}, "needs -i grpc --streaming"),
        ({"percentile": "100"}, "--percentile: expected 1 to 99, or -1 for the average"),
        ({"request_count": "5", "concurrency_range": "8"}, "--request-count 5 is below the 8"),
        ({"request_count": "5", "concurrency_range": "1:4"}, "goes with one level"),
        ({"warmup_request_count": "5", "request_rate_range": "1:4"}, "goes with one level"),
        ({"metrics_url": "x:1"}, "--metrics-url needs --collect-metrics"),
        ({"precision": "2", "max_trials": "3"}, "--max-trials asks for perf_analyzer's windows"),
        ({"precision": "x"}, "--precision: expected per cent"),
        ({"slo": "p99=10"}, "--slo: expected a percentile and a time, such as p99<=10ms"),
        ({"slo": "p99<=10ms", "concurrency_range": "4"}, "--slo looks for a request rate"),
        ({"distribution": "gamma"}, "expected constant, poisson or gamma:CV"),
        ({"max_inflight": "3"}, "--max-inflight bounds an open loop"),
        ({"service_kind": "openai"}, "--service-kind openai is not available here; there is: trit"),
        ({"service_kind": "x"}, "--service-kind: expected triton; found 'x'"),
        ({"session_concurrency": "2"}, "--session-concurrency: sessions are for OpenAI"),
        ({"header": ["x"]}, "--header: expected NAME:VALUE, found 'x'"),
        ({"request_parameter": ["a:b:int"]}, "expected NAME:VALUE:TYPE with TYPE bool, int or"),
        ({"sequence_id_range": "5:5"}, "expected an END above START"),
        ({"schedule": "2,1"}, "expected times in order"),
        ({"z": True, "input_data": ["random"]}, "-z is --input-data zero"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_by_the_flag(given: Any, text: str) -> None:
    assert text in refused(**given)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read({"batch_size": "0", "percentile": "x"})
    lines = caught.value.message.splitlines()
    assert lines[0] == "no model: pass -m NAME"
    assert len(lines) == 3


def test_flags_without_effect_and_old_ones_are_one_line_each() -> None:
    said = options(max_threads="8", trace_level="TENSORS", z=True).said
    assert len(said) == 3
    assert said[0].startswith("--max-threads has no effect here: requests are sent from processes")
    assert said[2] == "-z is deprecated in perf_analyzer; write --input-data zero"
    assert not options(sync=True).said
    assert "--sync is not followed" in options(sync=True, request_rate_range="5").said[0]


def test_a_file_to_write_is_no_folder(tmp_path: Path) -> None:
    assert "is a folder; expected a file to write" in refused(filename=str(tmp_path))


def test_every_flag_that_has_an_effect_is_read_by_something() -> None:
    switches = {flag.key for flag in FLAGS if not flag.metavar}
    taken = {flag.key for flag in FLAGS if flag.effect in {Effect.SAME, Effect.OURS}}
    assert taken - switches - {"service_kind"} <= PARSE.keys()
    assert len(BY_KEY) == len(FLAGS)


def test_long_names_may_be_cut_short_where_they_stay_unique() -> None:
    given = ["--concurrency-r=1:4", "--perc", "95", "--request", "-m", "--shape=x:1", "--"]
    completed = list(argv.completed(given))
    assert completed[:2] == ["--concurrency-range=1:4", "--percentile"]
    assert completed[2:] == given[2:]
