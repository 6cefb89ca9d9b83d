"""The flags of ``engine serve``: Triton's names, what each says in ``--help``, under which heading.

Owns the declarations. Does not own defaults (``cli.serve``), nor what values mean (``options``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.options import LogFormat, ModelControlMode


def _flag(name: str, panel: str, text: str, *others: str, **more: Any) -> Any:  # noqa: ANN401 - typer's own signature
    return typer.Option(name, *others, help=text, rich_help_panel=panel, **more)


def _switch(name: str, panel: str, text: str) -> Any:  # noqa: ANN401 - as above
    return _flag(name, panel, text, metavar="BOOL")


def _port(name: str, panel: str) -> Any:  # noqa: ANN401 - as above
    return _flag(name, panel, "Port to listen on; 0 lets the system choose.", min=0, max=65535)


Id = Annotated[str, _flag("--id", "Server", "The server's name in its metadata.")]
ExitTimeout = Annotated[
    int,
    _flag("--exit-timeout-secs", "Server", "How long a stop waits for requests.", min=0),
]
PortsFile = Annotated[
    Path | None,
    _flag("--ports-file", "Server", "Write the ports here, as JSON, once the server answers."),
]
Repositories = Annotated[
    list[Path] | None,
    _flag("--model-repository", "Models", "Folder that holds models; repeatable.", "--model-store"),
]
Chosen = Annotated[
    str | None,
    _flag(
        "--chosen",
        "Models",
        "Serve the winner of the last profile: a model, or a path.",
        metavar="NAME|PATH",
    ),
]
Results = Annotated[Path, _flag("--results-dir", "Models", "Where profiles leave results.")]
ExitOnError = Annotated[
    str, _switch("--exit-on-error", "Models", "Leave if a model fails to load.")
]
NoAutoComplete = Annotated[
    bool,
    _flag("--disable-auto-complete-config", "Models", "Take configurations as they are written."),
]
StrictConfig = Annotated[
    str | None, _flag("--strict-model-config", "Models", "Triton's old name for it.", hidden=True)
]
ConfigName = Annotated[
    str | None,
    _flag(
        "--model-config-name",
        "Models",
        "Read configs/NAME.pbtxt of the models that have it.",
        metavar="NAME",
    ),
]
StrictReadiness = Annotated[
    str, _switch("--strict-readiness", "Models", "Ready only if every model is.")
]
ControlMode = Annotated[
    ModelControlMode,
    _flag("--model-control-mode", "Models", "Who decides what is loaded.", case_sensitive=False),
]
LoadModel = Annotated[
    list[str] | None,
    _flag("--load-model", "Models", "Load this model (explicit mode); repeatable; * for all."),
]
LoadThreads = Annotated[
    int, _flag("--model-load-thread-count", "Models", "Models that load at once.", min=1)
]
LoadRetries = Annotated[
    int, _flag("--model-load-retry-count", "Models", "Tries more for a failed load.", min=0)
]
PollSeconds = Annotated[
    float,
    _flag("--repository-poll-secs", "Models", "Seconds from poll to poll; 0 for none.", min=0),
]
BackendConfig = Annotated[
    list[str] | None,
    _flag(
        "--backend-config",
        "Models",
        "A setting of a backend, or of all; repeatable.",
        metavar="[BACKEND,]KEY=VALUE",
    ),
]
BackendDirectory = Annotated[
    Path | None,
    _flag(
        "--backend-directory",
        "Models",
        "Folder of native backends: DIRECTORY/NAME/libtriton_NAME.so.",
    ),
]
RateLimit = Annotated[
    str,
    _flag("--rate-limit", "Sharing", "How models take turns.", metavar="off|execution_count"),
]
RateLimitResource = Annotated[
    list[str] | None,
    _flag(
        "--rate-limit-resource",
        "Sharing",
        "How many of a resource there are; repeatable.",
        metavar="NAME:COUNT[:DEVICE]",
    ),
]
HostPolicies = Annotated[
    list[str] | None,
    _flag(
        "--host-policy",
        "Sharing",
        "cpu-cores=A-B or numa-node=N, for instances of this policy; repeatable.",
        metavar="NAME,KEY=VALUE",
    ),
]
AllowHttp = Annotated[str, _switch("--allow-http", "HTTP", "Serve HTTP.")]
HttpAddress = Annotated[str, _flag("--http-address", "HTTP", "Address to listen on.")]
HttpPort = Annotated[int, _port("--http-port", "HTTP")]
ReuseHttp = Annotated[str, _switch("--reuse-http-port", "HTTP", "Share the port.")]
HttpMaxInput = Annotated[
    int, _flag("--http-max-input-size", "HTTP", "Largest JSON or decompressed body, bytes.", min=1)
]
AllowGrpc = Annotated[str, _switch("--allow-grpc", "gRPC", "Serve gRPC.")]
GrpcAddress = Annotated[str, _flag("--grpc-address", "gRPC", "Address to listen on.")]
GrpcPort = Annotated[int, _port("--grpc-port", "gRPC")]
ReuseGrpc = Annotated[str, _switch("--reuse-grpc-port", "gRPC", "Share the port.")]
ClientShm = Annotated[
    str, _switch("--allow-client-shm", "Server", "Let clients pass tensors in shared memory.")
]
AllowMetrics = Annotated[str, _switch("--allow-metrics", "Metrics", "Serve metrics.")]
MetricsAddress = Annotated[
    str | None,
    _flag("--metrics-address", "Metrics", "Address to listen on; HTTP's if not given."),
]
MetricsPort = Annotated[int, _port("--metrics-port", "Metrics")]
AllowGpuMetrics = Annotated[str, _switch("--allow-gpu-metrics", "Metrics", "Show the GPUs'.")]
AllowCpuMetrics = Annotated[str, _switch("--allow-cpu-metrics", "Metrics", "Show the machine's.")]
MetricsInterval = Annotated[
    int,
    _flag("--metrics-interval-ms", "Metrics", "How often devices are looked at, ms.", min=1),
]
MetricsConfig = Annotated[
    list[str] | None,
    _flag(
        "--metrics-config",
        "Metrics",
        "What is shown beside counts: summary_latencies=true ...; repeatable.",
        metavar="KEY=VALUE",
    ),
]
CacheConfig = Annotated[
    list[str] | None,
    _flag(
        "--cache-config",
        "Models",
        "The response cache: local,size=BYTES or redis,host=NAME; repeatable.",
        metavar="CACHE,KEY=VALUE",
    ),
]
ResponseCacheSize = Annotated[
    int | None,
    _flag("--response-cache-byte-size", "Models", "Triton's old name.", hidden=True, min=0),
]
LogVerbose = Annotated[
    str, _flag("--log-verbose", "Log", "0 shows no details, 1 or more does.", metavar="N|BOOL")
]
LogInfo = Annotated[str, _switch("--log-info", "Log", "Show what happens.")]
LogWarning = Annotated[str, _switch("--log-warning", "Log", "Show warnings.")]
LogError = Annotated[str, _switch("--log-error", "Log", "Show errors.")]
LogForm = Annotated[LogFormat, _flag("--log-format", "Log", "How a line begins.")]
LogFile = Annotated[Path | None, _flag("--log-file", "Log", "Log here, not on standard error.")]
