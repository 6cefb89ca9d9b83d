"""``analyze``: arguments in, exit code out. No logic: parse, call, print, exit.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. ``perf`` has perf_analyzer's: 0 done,
2 no stable measurement, 3 wrong usage, 99 failed. Commands import what they need when they run: all
of it takes two seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzer import flags
from analyzer.comparing import cli as comparing
from analyzer.config.argv import with_options
from analyzer.deployment.cli import export
from analyzer.ending import WRONG_USAGE
from analyzer.ending import console as _output
from analyzer.ending import error_console as _errors
from analyzer.ending import leave as _leave
from analyzer.errors import AnalyzerError, UsageError
from analyzer.gate import cli as gate
from analyzer.interruption import INTERRUPTED
from analyzer.listing import cli as listing
from analyzer.perf import argv
from analyzer.usage import WholeNames
from engine import __version__
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

#: perf_analyzer's exit codes
OPTION_ERROR, GENERIC_ERROR = 3, 99


@app.command(
    cls=WholeNames,
    epilog="Example: analyze profile --model resnet50 --latency-budget 200",
    short_help="Sweep configurations of a model; report and keep the best.",
)
@with_options()
def profile(
    profile_models: flags.Models = None,
    config_file: flags.ConfigFile = None,
    model_repository: flags.Repositories = None,
    export_path: flags.Export = None,
    fresh: flags.Fresh = False,
    dry_run: flags.DryRun = False,
    objectives: flags.Objectives = None,
    constraints: flags.Constraints = None,
    latency_budget: flags.Budget = None,
    min_throughput: flags.Floor = None,
    cost_per_hour: flags.Cost = None,
    run_config_search_mode: flags.Mode = None,
    search_time: flags.SearchTime = None,
    max_trials: flags.MaxTrials = None,
    max_time: flags.MaxTime = None,
    target_precision: flags.TargetPrecision = None,
    verify_pairs: flags.Pairs = None,
    run_config_search_min_instance_count: flags.MinInstances = None,
    run_config_search_max_instance_count: flags.MaxInstances = None,
    run_config_search_min_model_batch_size: flags.MinBatch = None,
    run_config_search_max_model_batch_size: flags.MaxBatch = None,
    run_config_search_min_concurrency: flags.MinConcurrency = None,
    run_config_search_max_concurrency: flags.MaxConcurrency = None,
    concurrency: flags.Concurrency = None,
    queue_delays: flags.Delays = None,
    intra_op_threads: flags.Threads = None,
    backends: flags.Backends = None,
    precisions: flags.Precisions = None,
    accelerators: flags.Accelerators = None,
    accuracy_tolerance: flags.Tolerance = None,
    accuracy_samples: flags.Samples = None,
    seed: flags.Seed = None,
    batch_sizes: flags.BatchSizes = None,
    client_protocol: flags.Protocol = None,
    input_data: flags.Input = None,
    shapes: flags.Shapes = None,
    measurement_mode: flags.Rule = None,
    precision: flags.Narrow = None,
    max_seconds: flags.Longest = None,
    senders: flags.Senders = None,
    measurement_interval: flags.Interval = None,
    stability_percentage: flags.Spread = None,
    max_windows: flags.Windows = None,
    triton_launch_mode: flags.Launch = None,
    triton_http_endpoint: flags.Http = None,
    triton_grpc_endpoint: flags.Grpc = None,
    triton_metrics_url: flags.MetricsUrl = None,
    monitoring_interval: flags.Monitoring = None,
    **more: Any,  # noqa: ANN401 - each option has its own type
) -> None:
    """Serve variants of a model's configuration, load-test each, and keep the best.

    Results go to results/MODEL: a journal, an HTML report, CSV files, the winner's model
    repository. Interrupted or killed, the same command goes on where it stopped; Ctrl-C once
    finishes the running measurement first.
    """
    # The parameters are named after the options' keys, so what was given is what is here.
    given = {**locals(), **more}
    del given["more"], given["config_file"], given["dry_run"]
    from analyzer import compose  # noqa: PLC0415 - see above

    def run() -> int:
        output = _output()
        options = compose.resolve(config_file, _set(given), output)
        return compose.profile(options, output, dry_run=dry_run)

    _leave(run)


def _set(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was set, models in one text."""
    found = {key: value for key, value in given.items() if value}
    if "profile_models" in found:
        found["profile_models"] = ",".join(found["profile_models"])
    return found


@app.command(
    cls=WholeNames,
    epilog="Example: analyze record --model mobilenet --output mobilenet.jsonl",
    short_help="Measure every configuration of a model; searches can be replayed over it.",
)
@with_options(profile, without=("config_file", "fresh", "dry_run", "max_time"))
def record(
    config_file: flags.ConfigFile = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The surface's file (JSON lines).")
    ] = Path("surface.jsonl"),
    repetitions: Annotated[
        int, typer.Option("--repetitions", help="Times every point is measured.", min=1)
    ] = 3,
    first_repetition: Annotated[
        int,
        typer.Option(
            "--first-repetition",
            help="Number of the first, to record repetitions apart from each other.",
            min=0,
        ),
    ] = 0,
    max_time: Annotated[
        float | None,
        typer.Option(
            "--max-time", help="Stop after these seconds; the same command goes on.", min=1
        ),
    ] = None,
    **given: Any,  # noqa: ANN401 - each option has its own type
) -> None:
    """Measure the whole grid of settings and loads, in random order, with repetitions.

    What is searched and how it is measured is said by the options of `analyze profile`. Each
    setting is served by a fresh server in each repetition. The same command goes on where it
    stopped.
    """
    from analyzer import compose  # noqa: PLC0415 - see above
    from analyzer.surface.recording import Record  # noqa: PLC0415 - see above

    asked = Record(output, repetitions, first_repetition, max_time)

    def run() -> int:
        console = _output()
        return compose.record(compose.resolve(config_file, _set(given), console), asked, console)

    _leave(run)


@app.command(
    "replay",
    epilog="Example: analyze replay --strategy auto --surface mobilenet.jsonl --seeds 20",
    short_help="Run a search over a recorded surface, and say how much of the best it finds.",
)
def replayed(
    surface: Annotated[
        list[Path],
        typer.Option("--surface", "-s", help="A surface's file; repeatable, if it is in several."),
    ],
    strategy: Annotated[
        str, typer.Option("--strategy", help="A search mode of `analyze profile`.")
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of luck and strategy.", min=0)] = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", help="So many searches, each with the next seed.", min=1)
    ] = 1,
    objective: flags.Objectives = None,
    constraint: flags.Constraints = None,
    latency_budget: flags.HighestP99 = None,
    min_throughput: flags.LowestRate = None,
    max_trials: Annotated[
        int, typer.Option("--max-trials", help="Measurements at most; 0: the search's own.", min=0)
    ] = 30,
    whole: Annotated[
        bool, typer.Option("--whole", help="Go on to load curves and verification.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print each step.")] = False,
) -> None:
    """Run a search with measurements looked up in place of taken, by what each took then.

    A launch answers from one of the repetitions that were recorded, by lot. What the search would
    recommend is judged by what all of them, and the whole surface, say of it.
    """
    from analyzer import results  # noqa: PLC0415 - see above
    from analyzer.surface.replay import Search  # noqa: PLC0415 - see above
    from analyzer.surface.shown import Replay, show  # noqa: PLC0415 - see above

    wanted = results.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput,
    )  # fmt: skip

    def run() -> int:
        search = Search(
            strategy=strategy, goal=wanted.stated(), max_trials=max_trials or None, whole=whole
        )
        asked = Replay(files=tuple(surface), search=search, seed=seed, seeds=seeds, explain=explain)
        return show(asked, _output())

    _leave(run)


class Form(Enum):
    """How a configuration is printed."""

    YAML = "yaml"
    JSON = "json"


@app.command(
    "config",
    cls=WholeNames,
    epilog="Example: analyze config perf.yaml --format json",
    short_help="Print what a YAML file means, and where each value comes from.",
)
@with_options(profile, without=("config_file", "fresh", "dry_run"))
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


app.command(
    cls=WholeNames,
    epilog="Example: analyze report resnet50 --constraint 'perf_latency_p99<=100' --format md,png",
    short_help="Write the report again, under another goal or in other formats if you like.",
)(listing.report)
app.command(
    cls=WholeNames,
    epilog="Example: analyze results resnet50 --where 'perf_latency_p99<=20' --sort percent:desc",
    short_help="Show what was measured in the terminal, or as JSON or CSV.",
)(listing.results)
app.command(
    cls=WholeNames,
    epilog="Example: analyze compare before=old/resnet50 after=results/resnet50",
    short_help="Compare runs of a model, models or machines by what was measured.",
)(comparing.compare)


@app.command(
    "import-checkpoint",
    epilog="Example: analyze import-checkpoint checkpoints/ --export-path from-model-analyzer",
    short_help="Report on what Model Analyzer measured, from its checkpoint.",
)
def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .ckpt file, or the folder of them.")
    ],
    export_path: flags.Results = Path("results"),
) -> None:
    """Read Model Analyzer's checkpoint, keep its measurements as a journal, and report on them.

    Rows and report say whose measurements they are; a profile does not go on from them.
    """
    from analyzer import results  # noqa: PLC0415 - see above

    _leave(lambda: results.import_checkpoint(checkpoint, export_path, _output()))


@app.command(
    epilog="Example: analyze apply resnet50 --model-repository models --yes",
    short_help="Write the winning config.pbtxt into a model repository.",
)
def apply(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    model_repository: Annotated[
        Path, typer.Option("--model-repository", "-m", help="The repository that holds the model.")
    ],
    export_path: flags.Results = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference; write nothing.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Put back what the last apply replaced.")
    ] = False,
) -> None:
    """Show what the winner changes in config.pbtxt, ask, and write it.

    The file that was there is kept as config.pbtxt.before-apply, and --undo puts it back. Of a
    pipeline the files of all its models are written.
    """
    from analyzer import results  # noqa: PLC0415 - see above
    from analyzer.deployment.undo import undo as put_back  # noqa: PLC0415 - see above

    def run() -> int:
        if undo:
            return put_back(
                model, export_path, model_repository, _output(), yes=yes, dry_run=dry_run
            )
        place = results.locate(export_path, model)
        return results.apply(place, model_repository, _output(), yes=yes, dry_run=dry_run)

    _leave(run)


class _Ended(SystemExit):
    """The end of a command that ran: its code is its own, whatever wrong arguments end in."""


app.command(
    "export",
    cls=WholeNames,
    epilog="Example: analyze export resnet50 --image registry.example.com/resnet50:1.4",
    short_help="Write a folder that takes the winner into production.",
)(export)


@app.command(
    cls=WholeNames,
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


gate.register(app)


@app.command(short_help="Print the version.", epilog="Example: analyze version")
def version() -> None:
    """Print the version."""
    _output().print(f"servetune {__version__}", highlight=False)


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
