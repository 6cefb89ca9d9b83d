"""The command that takes one measurement again: its load in the words of ``analyze perf``. Pure.

Owns the spelling of that command line. Does not own how the configuration is served meanwhile
(``commands`` of the whole run, and whoever knows where its repository lies).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from analyzer.record.row import LoadSpec, Row, RunHead

#: field of a load -> flag of ``analyze perf``, where the field is not as usual
_FLAGS: Mapping[str, str] = {
    "protocol": "--protocol",
    "batch_size": "--batch-size",
    "warmup_requests": "--warmup-request-count",
    "percentile": "--percentile",
    "senders": "--senders",
    "seed": "--random-seed",
    "streaming": "--streaming",
    "shared_memory": "--shared-memory",
    "output_shared_memory_size": "--output-shared-memory-size",
    "num_of_sequences": "--num-of-sequences",
    "sequence_length": "--sequence-length",
    "sequence_length_variation": "--sequence-length-variation",
    "sequence_id_range": "--sequence-id-range",
    "serial_sequences": "--serial-sequences",
    "compression": "--grpc-compression-algorithm",
    "input_tensor_format": "--input-tensor-format",
}
#: the usual load, as ``analyze perf`` has it where nobody says otherwise: latency by its mean
_USUAL = LoadSpec(percentile=0)
_LOCAL = "local"


def again(row: Row, head: RunHead) -> str:
    """Return the command line.

    "" where none says it: several models were loaded at once, or another program measured.
    """
    if row.of_models or "measured_by" in head.options:
        return ""
    words = ["analyze", "perf", "--model-name", row.model, *_server(row, head), *_level(row.load)]
    for name, flag in _FLAGS.items():
        value = getattr(row.load, name)
        if name == "percentile" and row.load.limit_ms:
            continue
        if value != getattr(_USUAL, name):
            words += [flag] if value is True else [flag, _text(value)]
    words += [*_rule(row.load), *_input(row, head)]
    for name, value in row.load.headers:
        words += ["--header", f"{name}:{value}"]
    return shlex.join(words)


def _server(row: Row, head: RunHead) -> Iterator[str]:
    """Name a server elsewhere; one of our own listens where ``analyze perf`` asks."""
    there = str(head.options.get("server", _LOCAL))
    if there == _LOCAL:
        return
    if row.load.protocol == "grpc":
        there = str(head.command.get("grpc_endpoint") or there)
    yield from ("--url", there)


def _level(load: LoadSpec) -> Iterator[str]:
    if load.limit_ms:
        yield from ("--slo", f"p{load.percentile}<={load.limit_ms:g}ms")
        if load.max_seconds:
            yield from ("--slo-seconds", _text(load.max_seconds))
    elif load.is_open:
        yield from ("--request-rate-range", _text(load.request_rate))
    else:
        yield from ("--concurrency-range", str(load.concurrency))
    if not load.is_open:
        return
    if load.distribution == "gamma":
        yield from ("--distribution", f"gamma:{load.distribution_cv:g}")
    elif load.distribution != "constant":
        yield from ("--distribution", load.distribution)
    if load.max_inflight:
        yield from ("--max-inflight", str(load.max_inflight))


def _rule(load: LoadSpec) -> Iterator[str]:
    """Say when the measurement ends."""
    if load.limit_ms:
        return
    if load.rule == "windows":
        yield from ("--measurement-mode", "time_windows")
        yield from ("--measurement-interval", _text(1000 * load.window_seconds))
        yield from ("--stability-percentage", _text(100 * load.tolerance))
        yield from ("--max-trials", str(load.max_windows))
    elif load.rule == "count":
        yield from ("--request-count", str(load.request_count))
    else:
        shares = (load.throughput_precision, load.latency_precision)
        yield from ("--precision", ",".join(_text(100 * share) for share in shares))
        if load.max_seconds:
            yield from ("--max-seconds", _text(load.max_seconds))


def _input(row: Row, head: RunHead) -> Iterator[str]:
    if row.load.data != _USUAL.data:
        for source in row.load.data.split(","):
            yield from ("--input-data", source)
    for shape in head.options.get("shapes") or ():
        yield from ("--shape", str(shape))


def _text(value: Any) -> str:  # noqa: ANN401 - a field of a load may be text or number
    return f"{value:.6g}" if isinstance(value, float) else str(value)
