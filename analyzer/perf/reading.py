"""From the flags that were given to options: perf_analyzer's defaults, and its rules. Pure.

Every problem is found before anything is said, each with its flag. What conflicts in perf_analyzer
conflicts here; a flag that has no effect is a line in ``said``, one that is deprecated as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer.config.values import number, one_of, path, precision, shapes, text, whole
from analyzer.errors import UsageError
from analyzer.load.inputs.source import Asked
from analyzer.load.payload import Texts
from analyzer.perf import values
from analyzer.perf.conflicts import WINDOW_FLAGS, conflicts
from analyzer.perf.flags import BY_KEY, Effect, spelt
from analyzer.perf.options import (
    Measuring,
    Mode,
    PerfOptions,
    Range,
    Rule,
    Sequences,
    Tls,
)

SERVICES = ("triton",)
OTHER_SERVICES = ("triton_c_api", "tfserving", "torchserve", "openai", "dynamic_grpc")
#: how each value is read; a switch is what it is
PARSE: Mapping[str, Callable[[Any], Any]] = {
    "model_name": text,
    "model_version": text,
    "url": text,
    "protocol": lambda value: one_of("http", "grpc")(str(value).lower()),
    "batch_size": whole(),
    "bls_composing_models": values.models,
    "concurrency_range": values.levels(whole_numbers=True),
    "periodic_concurrency_range": values.staircase,
    "request_period": whole(),
    "request_rate_range": values.levels(whole_numbers=False),
    "request_distribution": one_of("constant", "poisson"),
    "distribution": values.distribution,
    "request_intervals": path,
    "schedule": values.seconds,
    "max_inflight": whole(),
    "latency_threshold": number(0),
    "slo": values.promise,
    "percentile": values.percentile,
    "precision": precision,
    "max_seconds": number(0.1),
    "slo_seconds": number(1.0),
    "request_count": whole(0),
    "warmup_request_count": whole(0),
    "senders": whole(),
    "random_seed": whole(0),
    "measurement_mode": one_of("time_windows", "count_windows"),
    "measurement_interval": whole(),
    "measurement_request_count": whole(),
    "stability_percentage": number(0),
    "max_trials": whole(),
    "input_data": tuple,
    "shape": shapes,
    "string_length": whole(),
    "string_data": text,
    "shared_memory": one_of("none", "system", "cuda"),
    "output_shared_memory_size": whole(0),
    "num_of_sequences": whole(),
    "sequence_length": whole(),
    "sequence_length_variation": number(0),
    "sequence_id_range": values.identifiers,
    "header": values.headers,
    "request_parameter": values.parameters,
    "grpc_compression_algorithm": one_of("none", "gzip", "deflate"),
    "input_tensor_format": one_of("binary", "json"),
    "output_tensor_format": one_of("binary", "json"),
    "filename": path,
    "profile_export_file": path,
    "metrics_url": text,
    "metrics_interval": whole(),
    "ssl_grpc_root_certifications_file": path,
    "ssl_grpc_private_key_file": path,
    "ssl_grpc_certificate_chain_file": path,
    "ssl_https_verify_peer": one_of("0", "1"),
    "ssl_https_verify_host": one_of("0", "1", "2"),
    "ssl_https_ca_certificates_file": path,
    "ssl_https_client_certificate_file": path,
    "ssl_https_client_certificate_type": one_of("PEM", "DER"),
    "ssl_https_private_key_file": path,
    "ssl_https_private_key_type": one_of("PEM", "DER"),
    "data_directory": text,
    "c": whole(),
    "t": whole(),
}


def read(given: Mapping[str, Any]) -> PerfOptions:
    """Make options of what was given, by the flags' keys.

    Raises:
        UsageError: every problem found, a line each.
    """
    given = {key: value for key, value in given.items() if value not in (None, False, (), [])}
    problems = list(_refused(given))
    found: dict[str, Any] = {}
    for key, value in given.items():
        try:
            found[key] = PARSE.get(key, lambda kept: kept)(value)
        except ValueError as error:
            problems.append(f"{spelt(key)}: {error}")
    if not problems:
        problems.extend(conflicts(found))
    if problems:
        raise UsageError("\n".join(problems))
    return _options(found)


def _refused(given: Mapping[str, Any]) -> Iterator[str]:
    if "model_name" not in given:
        yield "no model: pass -m NAME"
    for key in given:
        if BY_KEY[key].effect is Effect.REFUSED:
            yield f"{spelt(key)}: {BY_KEY[key].note}"
    kind = given.get("service_kind", "triton")
    if kind in OTHER_SERVICES:
        yield (
            f"--service-kind {kind} is not available here; there is: {', '.join(SERVICES)}, which "
            "is any server that speaks the V2 protocol"
        )
    elif kind not in SERVICES:
        yield f"--service-kind: expected {', '.join(SERVICES)}; found {kind!r}"


def _options(found: Mapping[str, Any]) -> PerfOptions:
    protocol = found.get("protocol", "http")
    mode, levels = _pace(found)
    # Users come at random, and that is whom a promise is given to.
    usual = "poisson" if "slo" in found else "constant"
    distribution, cv = found.get("distribution", (found.get("request_distribution", usual), 1))
    plain = PerfOptions(
        model=found["model_name"],
        version=found.get("model_version", ""),
        url=found.get("url", "localhost:8001" if protocol == "grpc" else "localhost:8000"),
        protocol=protocol,
        mode=mode,
        range=levels,
        binary_search="binary_search" in found,
        latency_ms=found.get("latency_threshold", 0.0),
        percentile=found.get("percentile"),
        extra=(found["slo"].percentile,) if "slo" in found else (),
        promise=found.get("slo"),
        promise_seconds=found.get("slo_seconds", 120.0),
        measuring=_measuring(found),
        distribution=distribution,
        distribution_cv=cv,
        intervals=found.get("request_intervals"),
        schedule_s=found.get("schedule", ()),
        request_period=found.get("request_period", 10),
        max_inflight=found.get("max_inflight", 0),
        senders=found.get("senders", 0),
        seed=found.get("random_seed", 0),
        inputs=_inputs(found),
        sequences=_sequences(found),
        tls=_tls(found, protocol),
        said=tuple(_said(found)),
    )
    return replace(plain, **_rest(found))


def _rest(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are what was given, or else their default."""
    kept = {
        "parameters": "request_parameter",
        "headers": "header",
        "compression": "grpc_compression_algorithm",
        "shared_memory": "shared_memory",
        "output_shared_memory_size": "output_shared_memory_size",
        "composing": "bls_composing_models",
        "csv": "filename",
        "export": "profile_export_file",
        "metrics_url": "metrics_url",
        "metrics_ms": "metrics_interval",
        "verbose": "verbose",
    }
    rest = {name: found[key] for name, key in kept.items() if key in found}
    for name in ("streaming", "sync", "verbose_csv", "collect_metrics"):
        rest[name] = name in found
    rest["histogram"] = "no_histogram" not in found
    rest["json_inputs"] = found.get("input_tensor_format") == "json"
    rest["json_outputs"] = found.get("output_tensor_format") == "json"
    return rest


def _pace(found: Mapping[str, Any]) -> tuple[Mode, Range]:
    for key, mode in (
        ("periodic_concurrency_range", Mode.PERIODIC),
        ("request_rate_range", Mode.RATE),
        ("concurrency_range", Mode.CONCURRENCY),
    ):
        if key in found:
            return mode, found[key]
    if "request_intervals" in found:
        return Mode.INTERVALS, Range()
    if "schedule" in found or "fixed_schedule" in found:
        return Mode.SCHEDULE, Range()
    if "slo" in found:
        return Mode.RATE, Range(start=0, end=0)
    start = found.get("t", 1)
    return Mode.CONCURRENCY, Range(
        start=start, end=found.get("c", start) if "d" in found else start
    )


def _measuring(found: Mapping[str, Any]) -> Measuring:
    throughput, latency = found.get("precision", (0.05, None))
    rule = Rule.PRECISION
    if any(key in found for key in WINDOW_FLAGS):
        by_count = found.get("measurement_mode") == "count_windows"
        rule = Rule.COUNT_WINDOWS if by_count else Rule.TIME_WINDOWS
    count = found.get("request_count", len(found.get("schedule", ())))
    if "periodic_concurrency_range" in found:
        # Each request is sent once, and ends when its answers do.
        count = int(found["periodic_concurrency_range"].end)
    if count or "fixed_schedule" in found:
        rule = Rule.COUNT
    return Measuring(
        rule=rule,
        throughput=throughput,
        latency=0.10 if latency is None else latency,
        max_seconds=found.get("max_seconds", 30.0),
        window_ms=found.get("measurement_interval", 5000),
        window_requests=found.get("measurement_request_count", 50),
        tolerance=found.get("stability_percentage", 10.0) / 100,
        max_trials=found.get("max_trials", 10),
        request_count=count,
        warmup_requests=found.get("warmup_request_count", 0),
    )


def _inputs(found: Mapping[str, Any]) -> Asked:
    sources = found.get("input_data", ("random",))
    if "data_directory" in found:
        sources = (found["data_directory"],)
    if "z" in found:
        sources = ("zero",)
    return Asked(
        sources=sources,
        batch_size=found.get("batch_size", 1),
        shapes=found.get("shape", {}),
        texts=Texts(length=found.get("string_length", 128), content=found.get("string_data")),
        seed=found.get("random_seed", 0),
    )


def _sequences(found: Mapping[str, Any]) -> Sequences:
    return Sequences(
        at_once=found.get("num_of_sequences", 4),
        length=found.get("sequence_length"),
        variation=found.get("sequence_length_variation", 20.0),
        ids=found.get("sequence_id_range", (1, None)),
        serial="serial_sequences" in found,
    )


def _tls(found: Mapping[str, Any], protocol: str) -> Tls:
    def file(grpc: str, https: str) -> Path | None:
        given: Path | None = found.get(grpc if protocol == "grpc" else https)
        return given

    return Tls(
        grpc="ssl_grpc_use_ssl" in found,
        root=file("ssl_grpc_root_certifications_file", "ssl_https_ca_certificates_file"),
        key=file("ssl_grpc_private_key_file", "ssl_https_private_key_file"),
        chain=file("ssl_grpc_certificate_chain_file", "ssl_https_client_certificate_file"),
        verify_peer=found.get("ssl_https_verify_peer", "1") == "1",
        verify_host=found.get("ssl_https_verify_host", "2") != "0",
        key_type=found.get("ssl_https_private_key_type", "PEM"),
        chain_type=found.get("ssl_https_client_certificate_type", "PEM"),
    )


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about each flag that is without effect or deprecated."""
    for key in found:
        flag = BY_KEY[key]
        if flag.effect is Effect.NONE:
            yield f"{spelt(key)} has no effect here: {flag.note}"
        elif flag.effect is Effect.DEPRECATED:
            yield f"{spelt(key)} is deprecated in perf_analyzer; write {flag.note}"
    if "sync" in found and not _pace(found)[0].closed:
        yield (
            "--sync is not followed in an open loop: threads that wait for answers would send "
            "late, and the latency would look better than it is"
        )
