"""The flags of other programs that a file may hold: perf_analyzer's and tritonserver's. Pure.

Owns which of them mean something to a profile: perf_analyzer's become options of ours or of its
load client, tritonserver's go to ``engine serve``. Names may be spelt with dashes or underscores,
and flags may be a mapping, a list of mappings, or have lists of values, as in Model Analyzer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analyzer.config import values
from analyzer.config.values import Parse, Way, Wrong, near

#: perf_analyzer's flag -> the option that it is here
OPTIONS: Mapping[str, str] = {
    "input-data": "input_data",
    "shape": "shapes",
    "concurrency-range": "concurrency",
    "request-rate-range": "request_rate",
    "request-distribution": "request_distribution",
    "measurement-mode": "measurement_mode",
    "measurement-interval": "measurement_interval",
    "stability-percentage": "stability_percentage",
    "max-trials": "max_windows",
    "batch-size": "batch_sizes",
    "protocol": "client_protocol",
    "metrics-url": "triton_metrics_url",
    "metrics-interval": "monitoring_interval",
}
#: flags that may be given several times; any other has one value
REPEATED = frozenset({"input-data", "shape", "http-header", "header"})


def _percentile(value: object) -> int:
    if str(value) == "-1":
        return 0
    found: int = values.whole()(value)
    if found > 99:  # noqa: PLR2004 - perf_analyzer's bound
        raise ValueError(f"expected 1 to 99, or -1 for the average; found {found}")
    return found


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    pairs = [values.text(each).partition(":") for each in _listed(value)]
    for name, colon, rest in pairs:
        if not name.strip() or not colon:
            raise ValueError(f"expected NAME:VALUE, found {name + colon + rest!r}")
    return tuple((name.strip(), rest.strip()) for name, _, rest in pairs)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


#: perf_analyzer's flag -> the field of ``LoadSpec`` that it is here
LOAD: Mapping[str, tuple[str, Parse]] = {
    "percentile": ("percentile", _percentile),
    "http-header": ("headers", _headers),
    "header": ("headers", _headers),
    "grpc-compression-algorithm": ("compression", values.one_of("none", "gzip", "deflate")),
    "input-tensor-format": ("input_tensor_format", values.one_of("binary", "json")),
    "shared-memory": ("shared_memory", values.one_of("none", "system", "cuda")),
    "output-shared-memory-size": ("output_shared_memory_size", values.whole(0)),
    "warmup-request-count": ("warmup_requests", values.whole(0)),
    "streaming": ("streaming", values.switch),
    "sequence-length": ("sequence_length", values.whole()),
    "sequence-length-variation": ("sequence_length_variation", values.number()),
    "sequence-id-range": ("sequence_id_range", values.text),
    "serial-sequences": ("serial_sequences", values.switch),
    "num-of-sequences": ("num_of_sequences", values.whole()),
}

_OWN = "a profile's load client is its own, and writes no file of perf_analyzer's"
_SENDS = "requests are sent from processes that wait for no answer"
_ONE = "a profile sees to it itself"
#: perf_analyzer's flags without effect, and why
IDLE: Mapping[str, str] = {
    "async": _SENDS,
    "sync": _SENDS,
    "max-threads": f"{_SENDS}; senders sets their number",
    "verbose": _OWN,
    "extra-verbose": _OWN,
    "verbose-csv": _OWN,
    "latency-report-file": _OWN,
    "profile-export-file": _OWN,
    "collect-metrics": "a server's metrics are always read",
    "measurement-request-count": "a window has as many requests as its figures need",
    "model-name": _ONE,
    "model-repository": "model_repository says where the models are",
    "triton-server-directory": "there is no in-process mode",
    "model-signature-name": "it is for TensorFlow Serving",
}
_RATE = (
    "a profile's loads are concurrencies or request rates (concurrency-range, request-rate-range); "
    "`analyze perf` has the flag"
)
_DATA = "give the values in a file: input-data"
_TLS = "a profile's requests are not encrypted yet; `analyze perf` has the flag"
#: perf_analyzer's flags that would change what is measured, and what works instead
REFUSED: Mapping[str, str] = {
    "request-intervals": _RATE,
    "periodic-concurrency-range": _RATE,
    "request-period": _RATE,
    "request-parameter": "`analyze perf` has the flag; a profile's requests have no parameters yet",
    "request-count": "a measurement ends by its precision or max_seconds",
    "binary-search": "a profile searches the concurrency by itself",
    "latency-threshold": "write latency_budget: MS",
    "string-length": _DATA,
    "string-data": _DATA,
    "output-tensor-format": "answers are binary; `analyze perf` has the flag",
    "url": "write triton_http_endpoint or triton_grpc_endpoint",
    "service-kind": "a profile's server speaks the V2 protocol: triton",
    "model-version": "the version that the server chooses is profiled",
    "bls-composing-models": "name them in bls_composing_models, so that they are searched, too",
    "ssl-grpc-use-ssl": _TLS,
    "ssl-grpc-root-certifications-file": _TLS,
    "ssl-grpc-private-key-file": _TLS,
    "ssl-grpc-certificate-chain-file": _TLS,
    "ssl-https-verify-peer": _TLS,
    "ssl-https-verify-host": _TLS,
    "ssl-https-ca-certificates-file": _TLS,
    "ssl-https-client-certificate-type": _TLS,
    "ssl-https-client-certificate-file": _TLS,
    "ssl-https-private-key-type": _TLS,
    "ssl-https-private-key-file": _TLS,
}
#: a value of a refused flag that asks for nothing
_QUIET = {"service-kind": "triton", "binary-search": "false",
          "output-tensor-format": "binary", "ssl-grpc-use-ssl": "false"}  # fmt: skip
PERF_ANALYZER = (*OPTIONS, *LOAD, *IDLE, *REFUSED)

_PORTS = "the launcher chooses the ports of the servers that it starts"
_LAUNCHER = "the launcher says it to each server that it starts"
#: flags of the server that a profile sets itself
LAUNCHERS: Mapping[str, str] = {
    **dict.fromkeys(("http-port", "grpc-port", "metrics-port"), _PORTS),
    **dict.fromkeys(("http-address", "grpc-address", "metrics-address"), _PORTS),
    **dict.fromkeys(("allow-http", "allow-metrics", "ports-file"), _LAUNCHER),
    **dict.fromkeys(("model-repository", "model-store"), "write model_repository: PATH"),
    **dict.fromkeys(("model-control-mode", "load-model", "repository-poll-secs"), _LAUNCHER),
    **dict.fromkeys(("exit-on-error", "chosen", "results-dir"), _LAUNCHER),
}
#: flags that ``engine serve`` takes, with an effect or without
SERVER = (
    "allow-client-shm",
    "allow-cpu-metrics",
    "allow-gpu-metrics",
    "allow-grpc",
    "backend-config",
    "backend-directory",
    "cache-config",
    "disable-auto-complete-config",
    "exit-timeout-secs",
    "host-policy",
    "http-max-input-size",
    "id",
    "log-error",
    "log-file",
    "log-format",
    "log-info",
    "log-verbose",
    "log-warning",
    "metrics-config",
    "metrics-interval-ms",
    "model-config-name",
    "model-load-retry-count",
    "model-load-thread-count",
    "rate-limit",
    "rate-limit-resource",
    "response-cache-byte-size",
    "reuse-grpc-port",
    "reuse-http-port",
    "strict-model-config",
    "strict-readiness",
    "http-thread-count",
    "grpc-infer-thread-count",
    "grpc-infer-allocation-pool-size",
    "grpc-max-response-pool-size",
    "pinned-memory-pool-byte-size",
    "cuda-memory-pool-byte-size",
    "cuda-virtual-address-size",
    "buffer-manager-thread-count",
    "enable-peer-access",
)
_SERVER_SWITCHES = frozenset({"disable-auto-complete-config"})


@dataclass
class Flags:
    """What was made of perf_analyzer's flags; ways lead from the flags' own mapping.

    ``options`` are plain values by option, for the table of keys to read; ``load`` are fields of
    ``LoadSpec``, each with its typed and its plain value.
    """

    options: dict[str, tuple[Way, object]] = field(default_factory=dict)
    load: dict[str, tuple[Way, object, object]] = field(default_factory=dict)
    idle: dict[str, tuple[Way, str]] = field(default_factory=dict)
    wrong: list[tuple[Way, str]] = field(default_factory=list)


def perf_analyzer(value: object) -> Flags:
    """Read ``perf_analyzer_flags``; raises nothing."""
    made = Flags()
    for name, (way, given) in _gathered(value, made.wrong, REPEATED).items():
        if name in OPTIONS:
            made.options[OPTIONS[name]] = (way, _as_option(name, given))
        elif name in LOAD:
            target, parse = LOAD[name]
            if (read := _read(parse, given, way, made.wrong)) is not None:
                made.load[target] = (way, read, given)
        elif name in IDLE:
            made.idle[name] = (way, IDLE[name])
        elif name in REFUSED:
            if str(given).lower() != _QUIET.get(name):
                made.wrong.append((way, f"not available in a profile: {REFUSED[name]}"))
        else:
            what = f"perf_analyzer has no such flag{near(name, PERF_ANALYZER)}"
            made.wrong.append((way, what))
    return made


def _as_option(name: str, given: object) -> object:
    if name == "measurement-mode" and given in {"time_windows", "count_windows"}:
        return "windows"
    if name == "metrics-interval":
        return _seconds(given)
    return given


def _seconds(given: object) -> object:
    try:
        return float(str(given)) / 1000
    except ValueError:
        return given


def spelt(name: str) -> str:
    """Return perf_analyzer's flag for an option of ours, or for a field of ``LoadSpec``."""
    fields = {target: flag for flag, (target, _) in LOAD.items() if flag != "header"}
    options = {key: flag for flag, key in OPTIONS.items()}
    return options.get(name) or fields[name]


def server(value: object) -> tuple[str, ...]:
    """Read ``triton_server_flags`` as arguments of ``engine serve``.

    Raises:
        Wrong: the launcher sets such a flag itself, or there is none of the name.
    """
    wrong: list[tuple[Way, str]] = []
    arguments: list[str] = []
    for name, (way, given) in _gathered(value, wrong, frozenset(SERVER)).items():
        if name in LAUNCHERS:
            wrong.append((way, f"cannot be given: {LAUNCHERS[name]}"))
        elif name not in SERVER:
            what = f"`engine serve` has no such flag, or not yet{near(name, SERVER)}"
            wrong.append((way, what))
        elif name in _SERVER_SWITCHES:
            if _read(values.switch, given, way, wrong):
                arguments.append(f"--{name}")
        else:
            arguments += [f"--{name}={_spelt(each)}" for each in _listed(given)]
    if wrong:
        raise Wrong(wrong)
    return tuple(arguments)


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(parse: Callable[[object], Any], given: object, way: Way, wrong: list[Any]) -> Any:  # noqa: ANN401 - of any type
    try:
        return parse(given)
    except ValueError as error:
        wrong.append((way, str(error)))
        return None


def _gathered(
    value: object, wrong: list[tuple[Way, str]], repeated: frozenset[str]
) -> dict[str, tuple[Way, object]]:
    """Put the flags of every mapping together; what may stand several times becomes a list."""
    found: dict[str, tuple[Way, object]] = {}
    for way, name, given in _each(value, wrong):
        flag = name.strip("-").replace("_", "-")
        if flag not in found:
            found[flag] = (way, given)
        elif flag in repeated:
            first, before = found[flag]
            found[flag] = (first, [*_listed(before), *_listed(given)])
        else:
            wrong.append((way, "given twice; keep one"))
    return found


def _each(value: object, wrong: list[tuple[Way, str]]) -> Iterator[tuple[Way, str, object]]:
    if isinstance(value, Mapping):
        yield from (((str(name),), str(name), given) for name, given in value.items())
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, Mapping):
                yield from (((at, str(name)), str(name), given) for name, given in item.items())
            else:
                wrong.append(((at,), f"expected a flag and its value, found {item!r}"))
    else:
        wrong.append(((), f"expected flags and their values, found {value!r}"))
