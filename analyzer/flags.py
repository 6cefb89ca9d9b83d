"""The flags of ``analyze profile``, as its help has them; other commands share some.

Owns their names and what each says. The rest of Model Analyzer's, which need no words, come from
the table of keys (``config.argv``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def flag(panel: str, text: str, *names: str, metavar: str | None = None) -> Any:  # noqa: ANN401 - typer's own signature
    """Declare a flag for one panel of the help; without names its parameter's."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


WHAT, GOAL, SEARCH, LOAD, SERVER = "Model", "Goal", "Search", "Measurement", "Server"
# Long names and short texts, by themselves: beside long texts the names would be cut.
BOUNDS = "Bounds of the search"

Models = Annotated[
    list[str] | None,
    flag(
        WHAT,
        "Model to profile; repeatable, or a,b,c.",
        "--model",
        "--profile-models",
        metavar="NAME",
    ),
]
ConfigFile = Annotated[
    Path | None, flag(WHAT, "YAML with these options as keys.", "--config-file", "-f")
]
Repositories = Annotated[
    list[Path] | None,
    flag(
        WHAT,
        "Folder that holds the model; repeatable. Without it, an example of that name is built.",
        "--model-repository",
        "-m",
    ),
]
Export = Annotated[
    Path | None, flag(WHAT, "Folder for the results. (default: results)", "--export-path", "-e")
]
Fresh = Annotated[
    bool, flag(WHAT, "Start over; the old journal is kept beside the new.", "--fresh")
]
Objectives = Annotated[
    list[str] | None,
    flag(
        GOAL,
        "What to make best; repeatable. (default: perf_throughput)",
        "--objective",
        metavar="TAG[:WEIGHT]",
    ),
]
Constraints = Annotated[
    list[str] | None,
    flag(
        GOAL,
        "What must hold: TAG<=NUMBER or TAG>=NUMBER; repeatable.",
        "--constraint",
        metavar="BOUND",
    ),
]
Budget = Annotated[
    str | None, flag(GOAL, "Highest p99 latency allowed.", "--latency-budget", metavar="MS")
]
Floor = Annotated[
    str | None,
    flag(
        GOAL,
        "Lowest throughput allowed, inferences a second.",
        "--min-throughput",
        metavar="NUMBER",
    ),
]
Cost = Annotated[
    str | None,
    flag(
        GOAL,
        "What the machine costs an hour, in any money: adds the cost of a million inferences.",
        "--cost-per-hour",
        metavar="NUMBER",
    ),
]
#: of commands that judge what was measured before
HighestP99 = Annotated[float | None, flag(GOAL, "Highest p99 latency allowed, ms.")]
LowestRate = Annotated[float | None, flag(GOAL, "Lowest throughput allowed, 1/s.")]
Mode = Annotated[
    str | None,
    flag(
        SEARCH,
        "auto; Model Analyzer's brute, quick, optuna; climb, random. (default: auto)",
        "--run-config-search-mode",
        metavar="NAME",
    ),
]
SearchTime = Annotated[
    str | None,
    flag(
        SEARCH,
        "For the search; without --max-time, curves and verification may add 1.2 times that. "
        "(default: over half of --max-time)",
        "--search-time",
        metavar="SECONDS",
    ),
]
MaxTrials = Annotated[
    str | None,
    flag(
        SEARCH,
        "Measurements of the search at most. (default: as many as its time allows)",
        "--max-trials",
        metavar="N",
    ),
]
MaxTime = Annotated[
    str | None,
    flag(
        SEARCH,
        "For everything: search, load curves, verification. (default: 120)",
        "--max-time",
        metavar="SECONDS",
    ),
]
TargetPrecision = Annotated[
    str | None,
    flag(
        SEARCH,
        "Verification ends once the gain's 95 % interval is this narrow (half of it).",
        "--target-precision",
        metavar="PERCENT",
    ),
]
Pairs = Annotated[
    str | None,
    flag(
        SEARCH,
        "Times best and default are measured in turn at the end. (default: 4)",
        "--verify-pairs",
        metavar="N",
    ),
]
MinInstances = Annotated[
    str | None, flag(BOUNDS, "(default: 1)", "--run-config-search-min-instance-count", metavar="N")
]
MaxInstances = Annotated[
    str | None,
    flag(
        BOUNDS,
        "(default: 5; on a CPU at most its cores)",
        "--run-config-search-max-instance-count",
        metavar="N",
    ),
]
MinBatch = Annotated[
    str | None,
    flag(BOUNDS, "(default: 1)", "--run-config-search-min-model-batch-size", metavar="N"),
]
MaxBatch = Annotated[
    str | None,
    flag(BOUNDS, "(default: 128)", "--run-config-search-max-model-batch-size", metavar="N"),
]
MinConcurrency = Annotated[
    str | None, flag(BOUNDS, "(default: 1)", "--run-config-search-min-concurrency", metavar="N")
]
MaxConcurrency = Annotated[
    str | None, flag(BOUNDS, "(default: 1024)", "--run-config-search-max-concurrency", metavar="N")
]
Concurrency = Annotated[
    str | None,
    flag(
        SEARCH,
        "Concurrencies to try: a list 1,2,8 or a range 1:9:2.",
        "--concurrency",
        "-c",
        metavar="LIST",
    ),
]
Delays = Annotated[
    str | None,
    flag(
        SEARCH,
        "Queue delays to try, microseconds; -1 is no dynamic batching.",
        "--queue-delays",
        metavar="LIST",
    ),
]
Threads = Annotated[
    str | None,
    flag(SEARCH, "Threads of an instance to try.", "--intra-op-threads", metavar="LIST"),
]
Backends = Annotated[
    str | None,
    flag(
        SEARCH,
        "Backends to try. (default: those installed that read the model's file)",
        "--backends",
        metavar="LIST",
    ),
]
Precisions = Annotated[
    str | None,
    flag(
        SEARCH,
        "Of FP32, BF16, FP16, INT8. (default: what processor and model files have)",
        "--precisions",
        metavar="LIST",
    ),
]
Accelerators = Annotated[
    str | None,
    flag(
        SEARCH,
        "Of none, tensorrt, openvino. (default: on a GPU tensorrt, if installed)",
        "--accelerators",
        metavar="LIST",
    ),
]
Tolerance = Annotated[
    str | None,
    flag(
        SEARCH,
        "Share of an output's scale by which a variant's answers may differ, for all or by"
        " precision. (default: FP32:0.001,FP16:0.02,BF16:0.05,INT8:0.1)",
        "--accuracy-tolerance",
        metavar="SHARE",
    ),
]
Samples = Annotated[
    str | None,
    flag(
        SEARCH,
        "Samples whose answers are compared; 0 for none. (default: 8)",
        "--accuracy-samples",
        metavar="N",
    ),
]
Seed = Annotated[str | None, flag(SEARCH, "Of the search. (default: 0)", "--seed", metavar="N")]
BatchSizes = Annotated[
    str | None,
    flag(LOAD, "Rows in each request. (default: 1)", "--batch-sizes", "-b", metavar="N"),
]
Protocol = Annotated[
    str | None,
    flag(LOAD, "How requests are sent. (default: http)", "--client-protocol", metavar="http|grpc"),
]
Input = Annotated[
    list[str] | None,
    flag(
        LOAD,
        "What requests carry: random, zero, JSON (repeatable), a folder, .npz. (default: random)",
        "--input-data",
        metavar="KIND|PATH",
    ),
]
Shapes = Annotated[
    list[str] | None,
    flag(
        LOAD,
        "Shape of an input whose dimensions vary, without the batch; repeatable.",
        "--shape",
        metavar="NAME:D1,D2",
    ),
]
Rule = Annotated[
    str | None,
    flag(
        LOAD,
        "When a measurement is long enough: its intervals are narrow, or windows agree. "
        "(default: precision, but with the flags for windows)",
        "--measurement-mode",
        metavar="precision|windows",
    ),
]
Narrow = Annotated[
    str | None,
    flag(
        LOAD,
        "How narrow, half of a 95 % interval: throughput[,mean latency]. (default: 5,10)",
        "--precision",
        metavar="PERCENT",
    ),
]
Longest = Annotated[
    str | None,
    flag(
        LOAD,
        "Most seconds that a measurement by precision takes. (default: 6)",
        "--max-seconds",
        metavar="S",
    ),
]
Senders = Annotated[
    str | None,
    flag(LOAD, "Processes that send. (default: as many as needed)", "--senders", metavar="N"),
]
Interval = Annotated[
    str | None,
    flag(LOAD, "Length of a window. (default: 1000)", "--measurement-interval", "-p", metavar="MS"),
]
Spread = Annotated[
    str | None,
    flag(
        LOAD,
        "Spread of three windows that counts as stable. (default: 10)",
        "--stability-percentage",
        metavar="PERCENT",
    ),
]
Windows = Annotated[
    str | None, flag(LOAD, "Windows at most. (default: 6)", "--max-windows", metavar="N")
]
Launch = Annotated[
    str | None,
    flag(
        SERVER,
        "Start `engine serve` here, or use the server at the endpoint. (default: local)",
        "--triton-launch-mode",
        metavar="local|remote",
    ),
]
Http = Annotated[
    str | None,
    flag(
        SERVER,
        "Of a remote server. (default: localhost:8000)",
        "--triton-http-endpoint",
        "-u",
        metavar="HOST:PORT",
    ),
]
Grpc = Annotated[
    str | None, flag(SERVER, "Of a remote server.", "--triton-grpc-endpoint", metavar="HOST:PORT")
]
MetricsUrl = Annotated[
    str | None,
    flag(
        SERVER,
        "Metrics page of a remote server. (default: port 8002 of its host)",
        "--triton-metrics-url",
        metavar="URL",
    ),
]
Monitoring = Annotated[
    str | None,
    flag(
        SERVER,
        "Seconds between two readings of a remote server's metrics. (default: 1)",
        "--monitoring-interval",
        "-i",
        metavar="SECONDS",
    ),
]
Results = Annotated[
    Path, typer.Option("--export-path", "-e", help="Folder that holds the results.")
]


DryRun = Annotated[
    bool, flag(WHAT, "Say what would be measured and for how long; measure nothing.", "--dry-run")
]
