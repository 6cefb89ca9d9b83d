"""``analyze``: arguments in, exit code out. No logic: parse, call, print, exit.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. ``perf`` has perf_analyzer's: 0 done,
2 no stable measurement, 3 wrong usage, 99 failed. Commands import what they need when they run: all
of it takes two seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from analyzer import __version__
from analyzer.config.argv import with_options
from analyzer.errors import AnalyzerError, UsageError
from analyzer.interruption import INTERRUPTED
from analyzer.perf import argv
from engine.errors import EngineError

app = typer.Typer(
    name="analyze",
    help="Find the best way to serve a model on this machine, by measurement.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flag(panel: str, text: str, *names: str, metavar: str | None = None) -> Any:  # noqa: ANN401 - typer's own signature
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


WHAT, GOAL, SEARCH, LOAD, SERVER = "Model", "Goal", "Search", "Measurement", "Server"
# Long names and short texts, by themselves: beside long texts the names would be cut.
BOUNDS = "Bounds of the search"

WRONG_USAGE = 2
#: perf_analyzer's exit codes
OPTION_ERROR, GENERIC_ERROR = 3, 99

Models = Annotated[
    list[str] | None,
    _flag(
        WHAT,
        "Model to profile; repeatable, or a,b,c.",
        "--model",
        "--profile-models",
        metavar="NAME",
    ),
]
ConfigFile = Annotated[
    Path | None, _flag(WHAT, "YAML with these options as keys.", "--config-file", "-f")
]
Repositories = Annotated[
    list[Path] | None,
    _flag(
        WHAT,
        "Folder that holds the model; repeatable. Without it, an example of that name is built.",
        "--model-repository",
        "-m",
    ),
]
Export = Annotated[
    Path | None, _flag(WHAT, "Folder for the results. (default: results)", "--export-path", "-e")
]
Fresh = Annotated[
    bool, _flag(WHAT, "Start over; the old journal is kept beside the new.", "--fresh")
]
Objectives = Annotated[
    list[str] | None,
    _flag(
        GOAL,
        "What to make best; repeatable. (default: perf_throughput)",
        "--objective",
        metavar="TAG[:WEIGHT]",
    ),
]
Constraints = Annotated[
    list[str] | None,
    _flag(
        GOAL,
        "What must hold: TAG<=NUMBER or TAG>=NUMBER; repeatable.",
        "--constraint",
        metavar="BOUND",
    ),
]
Budget = Annotated[
    str | None, _flag(GOAL, "Highest p99 latency allowed.", "--latency-budget", metavar="MS")
]
Floor = Annotated[
    str | None,
    _flag(
        GOAL,
        "Lowest throughput allowed, inferences a second.",
        "--min-throughput",
        metavar="NUMBER",
    ),
]
Mode = Annotated[
    str | None,
    _flag(SEARCH, "Strategy. (default: quick)", "--run-config-search-mode", metavar="quick|brute"),
]
SearchTime = Annotated[
    str | None,
    _flag(
        SEARCH,
        "For the search; curves and verification may add 1.2 times that. (default: 80)",
        "--search-time",
        metavar="SECONDS",
    ),
]
Pairs = Annotated[
    str | None,
    _flag(
        SEARCH,
        "Times best and default are measured in turn at the end. (default: 4)",
        "--verify-pairs",
        metavar="N",
    ),
]
MinInstances = Annotated[
    str | None, _flag(BOUNDS, "(default: 1)", "--run-config-search-min-instance-count", metavar="N")
]
MaxInstances = Annotated[
    str | None,
    _flag(
        BOUNDS,
        "(default: 5; on a CPU at most its cores)",
        "--run-config-search-max-instance-count",
        metavar="N",
    ),
]
MinBatch = Annotated[
    str | None,
    _flag(BOUNDS, "(default: 1)", "--run-config-search-min-model-batch-size", metavar="N"),
]
MaxBatch = Annotated[
    str | None,
    _flag(BOUNDS, "(default: 128)", "--run-config-search-max-model-batch-size", metavar="N"),
]
MinConcurrency = Annotated[
    str | None, _flag(BOUNDS, "(default: 1)", "--run-config-search-min-concurrency", metavar="N")
]
MaxConcurrency = Annotated[
    str | None, _flag(BOUNDS, "(default: 1024)", "--run-config-search-max-concurrency", metavar="N")
]
Concurrency = Annotated[
    str | None,
    _flag(
        SEARCH,
        "Concurrencies to try: a list 1,2,8 or a range 1:9:2.",
        "--concurrency",
        "-c",
        metavar="LIST",
    ),
]
Delays = Annotated[
    str | None,
    _flag(
        SEARCH,
        "Queue delays to try, microseconds; -1 is no dynamic batching.",
        "--queue-delays",
        metavar="LIST",
    ),
]
Threads = Annotated[
    str | None,
    _flag(SEARCH, "Threads of an instance to try.", "--intra-op-threads", metavar="LIST"),
]
Seed = Annotated[str | None, _flag(SEARCH, "Of the search. (default: 0)", "--seed", metavar="N")]
BatchSizes = Annotated[
    str | None,
    _flag(LOAD, "Rows in each request. (default: 1)", "--batch-sizes", "-b", metavar="N"),
]
Protocol = Annotated[
    str | None,
    _flag(LOAD, "How requests are sent. (default: http)", "--client-protocol", metavar="http|grpc"),
]
Input = Annotated[
    list[str] | None,
    _flag(
        LOAD,
        "What requests carry: random, zero, JSON (repeatable), a folder, .npz. (default: random)",
        "--input-data",
        metavar="KIND|PATH",
    ),
]
Shapes = Annotated[
    list[str] | None,
    _flag(
        LOAD,
        "Shape of an input whose dimensions vary, without the batch; repeatable.",
        "--shape",
        metavar="NAME:D1,D2",
    ),
]
Rule = Annotated[
    str | None,
    _flag(
        LOAD,
        "When a measurement is long enough: its intervals are narrow, or windows agree. "
        "(default: precision, but with the flags for windows)",
        "--measurement-mode",
        metavar="precision|windows",
    ),
]
Narrow = Annotated[
    str | None,
    _flag(
        LOAD,
        "How narrow, half of a 95 % interval: throughput[,mean latency]. (default: 5,10)",
        "--precision",
        metavar="PERCENT",
    ),
]
Longest = Annotated[
    str | None,
    _flag(
        LOAD,
        "Most seconds that a measurement by precision takes. (default: 6)",
        "--max-seconds",
        metavar="S",
    ),
]
Senders = Annotated[
    str | None,
    _flag(LOAD, "Processes that send. (default: as many as needed)", "--senders", metavar="N"),
]
Interval = Annotated[
    str | None,
    _flag(
        LOAD, "Length of a window. (default: 1000)", "--measurement-interval", "-p", metavar="MS"
    ),
]
Spread = Annotated[
    str | None,
    _flag(
        LOAD,
        "Spread of three windows that counts as stable. (default: 10)",
        "--stability-percentage",
        metavar="PERCENT",
    ),
]
Windows = Annotated[
    str | None, _flag(LOAD, "Windows at most. (default: 6)", "--max-trials", "-r", metavar="N")
]
Launch = Annotated[
    str | None,
    _flag(
        SERVER,
        "Start `engine serve` here, or use the server at the endpoint. (default: local)",
        "--triton-launch-mode",
        metavar="local|remote",
    ),
]
Http = Annotated[
    str | None,
    _flag(
        SERVER,
        "Of a remote server. (default: localhost:8000)",
        "--triton-http-endpoint",
        "-u",
        metavar="HOST:PORT",
    ),
]
Grpc = Annotated[
    str | None, _flag(SERVER, "Of a remote server.", "--triton-grpc-endpoint", metavar="HOST:PORT")
]
MetricsUrl = Annotated[
    str | None,
    _flag(
        SERVER,
        "Metrics page of a remote server. (default: port 8002 of its host)",
        "--triton-metrics-url",
        metavar="URL",
    ),
]
Monitoring = Annotated[
    str | None,
    _flag(
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
Number = float | None


@app.command(
    epilog="Example: analyze profile --model resnet50 --latency-budget 200",
    short_help="Sweep configurations of a model; report and keep the best.",
)
@with_options()
def profile(
    profile_models: Models = None,
    config_file: ConfigFile = None,
    model_repository: Repositories = None,
    export_path: Export = None,
    fresh: Fresh = False,
    objectives: Objectives = None,
    constraints: Constraints = None,
    latency_budget: Budget = None,
    min_throughput: Floor = None,
    run_config_search_mode: Mode = None,
    search_time: SearchTime = None,
    verify_pairs: Pairs = None,
    run_config_search_min_instance_count: MinInstances = None,
    run_config_search_max_instance_count: MaxInstances = None,
    run_config_search_min_model_batch_size: MinBatch = None,
    run_config_search_max_model_batch_size: MaxBatch = None,
    run_config_search_min_concurrency: MinConcurrency = None,
    run_config_search_max_concurrency: MaxConcurrency = None,
    concurrency: Concurrency = None,
    queue_delays: Delays = None,
    intra_op_threads: Threads = None,
    seed: Seed = None,
    batch_sizes: BatchSizes = None,
    client_protocol: Protocol = None,
    input_data: Input = None,
    shapes: Shapes = None,
    measurement_mode: Rule = None,
    precision: Narrow = None,
    max_seconds: Longest = None,
    senders: Senders = None,
    measurement_interval: Interval = None,
    stability_percentage: Spread = None,
    max_trials: Windows = None,
    triton_launch_mode: Launch = None,
    triton_http_endpoint: Http = None,
    triton_grpc_endpoint: Grpc = None,
    triton_metrics_url: MetricsUrl = None,
    monitoring_interval: Monitoring = None,
    **more: Any,  # noqa: ANN401 - each option has its own type
) -> None:
    """Serve variants of a model's configuration, load-test each, and keep the best.

    Results go to results/MODEL: a journal, an HTML report, CSV files, the winner's model
    repository. Interrupted or killed, the same command goes on where it stopped; Ctrl-C once
    finishes the running measurement first.
    """
    # The parameters are named after the options' keys, so what was given is what is here.
    given = {**locals(), **more}
    del given["more"], given["config_file"]
    from analyzer import compose  # noqa: PLC0415 - see above

    def run() -> int:
        output = _output()
        return compose.profile(compose.resolve(config_file, _set(given), output), output)

    _leave(run)


def _set(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was set, models in one text."""
    found = {key: value for key, value in given.items() if value}
    if "profile_models" in found:
        found["profile_models"] = ",".join(found["profile_models"])
    return found


class Form(Enum):
    """How a configuration is printed."""

    YAML = "yaml"
    JSON = "json"


@app.command(
    "config",
    epilog="Example: analyze config perf.yaml --format json",
    short_help="Print what a YAML file means, and where each value comes from.",
)
@with_options(profile, without=("config_file", "fresh"))
def resolved(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file.")],
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.YAML,
    **given: Any,  # noqa: ANN401 - each option has its own type
) -> None:
    """Print every option of a profile with its value and its source: default, FILE:line or flag.

    Every mistake in the file is told with its line, and ends in exit code 2. Flags are those of
    `analyze profile`.
    """
    from analyzer import compose  # noqa: PLC0415 - see above

    _leave(lambda: compose.show_config(file, _set(given), _output(), json=form is Form.JSON))


@app.command(
    epilog="Example: analyze report resnet50 --constraint 'perf_latency_p99<=100'",
    short_help="Write the report again, under another goal if you like.",
)
def report(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    export_path: Results = Path("results"),
    objective: Objectives = None,
    constraint: Constraints = None,
    latency_budget: Annotated[Number, _flag(GOAL, "Highest p99 latency allowed, ms.")] = None,
    min_throughput: Annotated[Number, _flag(GOAL, "Lowest throughput allowed, 1/s.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. [the results']")
    ] = None,
) -> None:
    """Rank the measurements of a profile anew and write the report, CSVs and summary.json.

    Nothing is measured again. Without a goal, the one of the profile is used.
    """
    from analyzer import results  # noqa: PLC0415 - see above

    wanted = results.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput,
    )  # fmt: skip
    _leave(lambda: results.report(results.locate(export_path, model), wanted, output, _output()))


@app.command(
    epilog="Example: analyze apply resnet50 --model-repository models --yes",
    short_help="Write the winning config.pbtxt into a model repository.",
)
def apply(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    model_repository: Annotated[
        Path, typer.Option("--model-repository", "-m", help="The repository that holds the model.")
    ],
    export_path: Results = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show what the winner changes in config.pbtxt, ask, and write it.

    The file that was there is kept as config.pbtxt.before-apply.
    """
    from analyzer import results  # noqa: PLC0415 - see above

    _leave(
        lambda: results.apply(
            results.locate(export_path, model), model_repository, _output(), yes=yes
        )
    )


class _Ended(SystemExit):
    """The end of a command that ran: its code is its own, whatever wrong arguments end in."""


@app.command(
    epilog="Example: analyze perf -m identity --concurrency-range 1:8:2",
    short_help="Load a model on any V2 server, and say how fast it is; perf_analyzer's flags.",
    context_settings={"help_option_names": list(argv.HELP)},
)
@argv.with_flags
def perf(**given: Any) -> None:  # noqa: ANN401 - each flag has its own type
    """Load a model on any V2 server, level after level, and say how fast it is.

    The flags are perf_analyzer's, and so are the CSV and JSON files. Every figure comes with its
    95 % interval, and a level is measured until they are narrow enough. In an open loop
    (--request-rate-range) latency counts from when a request was due, so that a server that stalls
    cannot hide it.
    """
    from analyzer.perf import compose as perfs  # noqa: PLC0415 - see above
    from analyzer.perf import reading  # noqa: PLC0415 - see above

    if given["version"]:
        version()
        raise _Ended(0)
    errors = _errors()
    try:
        code = perfs.perf(reading.read(given), _output(), errors)
    except (AnalyzerError, EngineError) as error:
        errors.print(f"error: {error.message}")
        code = OPTION_ERROR if isinstance(error, UsageError) else GENERIC_ERROR
    except OSError as error:
        errors.print(f"error: {error.filename or ''}: {error.strerror or error}")
        code = GENERIC_ERROR
    except KeyboardInterrupt:
        errors.print("interrupted")
        code = INTERRUPTED
    raise _Ended(code)


@app.command(
    "make-input",
    epilog="Example: analyze make-input add_sub --output requests.json",
    short_help="Write an example of input data for a model.",
)
def make_input(
    model: Annotated[str, typer.Argument(help="The model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "input.json"
    ),
    url: Annotated[
        str, typer.Option("--url", "-u", help="The server. [localhost:8000]", metavar="HOST:PORT")
    ] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", "-i", help="How it is asked.", metavar="http|grpc")
    ] = "http",
    model_repository: Annotated[
        Path | None,
        typer.Option("--model-repository", "-m", help="Serve the model from here meanwhile."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="How many.", min=1)] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Of the values.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a JSON file of samples for a model: names, types and shapes are right, values random.

    It is perf_analyzer's format, which `analyze perf --input-data` and perf_analyzer itself read.
    """
    from analyzer.perf import compose as perfs  # noqa: PLC0415 - see above

    asked = perfs.ExampleInput(
        model=model, output=output, url=url, protocol=protocol, repository=model_repository,
        samples=samples, seed=seed, overwrite=overwrite,
    )  # fmt: skip
    _leave(lambda: perfs.make_input(asked, _output()))


@app.command(short_help="Print the version.", epilog="Example: analyze version")
def version() -> None:
    """Print the version."""
    _output().print(f"servetune {__version__}", highlight=False)


def _output() -> Console:
    """Return where to print: lines are broken to fit a terminal, and for nobody else."""
    console = Console()
    return console if console.is_terminal else Console(soft_wrap=True)


def _leave(run: Callable[[], int]) -> None:
    """Run a command and exit with its code, errors told in a line or two."""
    errors = _errors()
    try:
        code = run()
    except UsageError as error:
        problems = error.message.splitlines()
        # Each of several is a line of its own, which begins with its place.
        alone = f"error: {error.message}"
        errors.print(alone if len(problems) == 1 else f"{error.message}\n{len(problems)} errors")
        code = 2
    except (AnalyzerError, EngineError) as error:
        errors.print(f"error: {error.message}")
        code = 1
    except OSError as error:
        errors.print(f"error: {error.filename or ''}: {error.strerror or error}")
        code = 1
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on where this one stopped")
        code = INTERRUPTED
    raise typer.Exit(code)


def _errors() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ``arguments`` are the process's own if not given."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["perf"]:
        arguments = ["perf", *argv.completed(arguments[1:])]
    try:
        app(args=arguments, prog_name="analyze")
    except _Ended:
        raise
    except SystemExit as ended:
        # The parser found arguments wrong, for which perf_analyzer has a code of its own.
        if ended.code == WRONG_USAGE and arguments[:1] == ["perf"]:
            raise SystemExit(OPTION_ERROR) from None
        raise
