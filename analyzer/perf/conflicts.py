"""What cannot be asked of ``analyze perf`` together, as perf_analyzer has it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.perf.flags import spelt
from analyzer.perf.options import NO_LIMIT, Range

WINDOW_FLAGS = (
    "measurement_mode",
    "measurement_interval",
    "measurement_request_count",
    "stability_percentage",
    "max_trials",
)
#: what sets the pace: one of them may be given
MODES = (
    "concurrency_range",
    "periodic_concurrency_range",
    "request_rate_range",
    "request_intervals",
    "schedule",
    "fixed_schedule",
)
_OPEN = (*MODES[2:], "slo")
_OLD = ("c", "d", "t")


@dataclass(frozen=True, slots=True)
class Rule:
    """A problem where ``given`` is there, none of ``needs`` is, and one of ``beside`` is.

    An empty ``needs`` or ``beside`` asks nothing.
    """

    given: str
    text: str
    needs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def broken(self, found: Mapping[str, Any]) -> bool:
        """Whether these flags break it."""
        return (
            self.given in found
            and not any(key in found for key in self.needs)
            and (not self.beside or any(key in found for key in self.beside))
        )


RULES = (
    Rule("streaming", "--streaming needs gRPC: add -i grpc", needs=("grpc",)),
    Rule(
        "grpc_compression_algorithm",
        "--grpc-compression-algorithm needs gRPC: add -i grpc",
        needs=("grpc",),
    ),
    Rule(
        "streaming",
        "--streaming does not go with --sync: a stream's answers come when they come",
        beside=("sync",),
    ),
    Rule("async_", "--async and --sync exclude one another", beside=("sync",)),
    Rule(
        "periodic_concurrency_range",
        "--periodic-concurrency-range needs -i grpc --streaming",
        needs=("streaming",),
    ),
    Rule(
        "periodic_concurrency_range",
        "--periodic-concurrency-range needs --profile-export-file: the times are its result",
        needs=("profile_export_file",),
    ),
    Rule(
        "distribution",
        "--distribution and --request-distribution say the same; give one",
        beside=("request_distribution",),
    ),
    Rule(
        "z",
        "-z is --input-data zero, and does not go with other input data",
        beside=("input_data", "data_directory"),
    ),
    Rule("metrics_url", "--metrics-url needs --collect-metrics", needs=("collect_metrics",)),
    Rule(
        "metrics_interval",
        "--metrics-interval needs --collect-metrics",
        needs=("collect_metrics",),
    ),
    Rule(
        "schedule",
        "--warmup-request-count does not go with --schedule",
        beside=("warmup_request_count",),
    ),
    Rule(
        "fixed_schedule",
        "--warmup-request-count does not go with --fixed-schedule",
        beside=("warmup_request_count",),
    ),
    Rule(
        "max_inflight",
        "--max-inflight bounds an open loop: add --request-rate-range",
        needs=_OPEN,
    ),
    Rule(
        "slo",
        "--slo looks for a request rate by itself, in an open loop of its own; leave the other "
        "search and load out",
        beside=("binary_search", "request_count", "latency_threshold", *MODES),
    ),
)


def conflicts(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with these values, by the flags' keys, taken together."""
    words = {**found, "grpc": True} if found.get("protocol") == "grpc" else found
    yield from (rule.text for rule in RULES if rule.broken(words))
    yield from _pace(found)
    yield from _levels(found)
    windows = [key for key in WINDOW_FLAGS if key in found]
    ours = [key for key in ("precision", "max_seconds") if key in found]
    if windows and ours:
        yield (
            f"{spelt(windows[0])} asks for perf_analyzer's windows, and {spelt(ours[0])} for "
            "intervals; give one"
        )
    for key in ("filename", "profile_export_file"):
        if key in found and found[key].is_dir():
            yield f"{spelt(key)} {found[key]}: is a folder; expected a file to write"


def _pace(found: Mapping[str, Any]) -> Iterator[str]:
    modes = [spelt(key) for key in MODES if key in found]
    old = [spelt(key) for key in _OLD if key in found]
    if len(modes) > 1:
        yield f"{' and '.join(modes)} each set the pace; give one"
    if modes and old:
        yield f"{old[0]} is deprecated and does not go with {modes[0]}; give {modes[0]} alone"


def _levels(found: Mapping[str, Any]) -> Iterator[str]:
    key = "request_rate_range" if "request_rate_range" in found else "concurrency_range"
    levels: Range = found.get(key, Range())
    name, endless = spelt(key), levels.end == NO_LIMIT
    many = endless or levels.start < levels.end
    limit = found.get("latency_threshold")
    if endless and not limit:
        yield f"{name}: an end of 0 goes on until --latency-threshold is reached; give that too"
    if "binary_search" in found:
        if levels.end < levels.start:
            yield f"--binary-search needs an end of {name} that is at least its start"
        if not limit:
            yield "--binary-search needs --latency-threshold: it looks for the load that keeps it"
    if "warmup_request_count" in found and many:
        yield f"--warmup-request-count goes with one level of {name}, not with several"
    count = found.get("request_count")
    if count and many:
        yield f"--request-count goes with one level of {name}, not with several"
    elif count and key in found and count < int(levels.start):
        yield f"--request-count {count} is below the {levels.start:g} of {name}"
