"""``analyze``: arguments in, exit code out. No logic: parse, call, print, exit.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from analyzer import __version__, compose
from analyzer.config.load import load_options
from analyzer.errors import AnalyzerError, UsageError
from engine.errors import EngineError

app = typer.Typer(
    name="analyze",
    help="Find the best way to serve a model on this machine, by measurement.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OBJECTIVE = typer.Option(
    "--objective", help="What to make best: TAG or TAG:WEIGHT. Repeatable. [perf_throughput]"
)
CONSTRAINT = typer.Option(
    "--constraint", help='What must hold: "TAG<=NUMBER" or "TAG>=NUMBER". Repeatable.'
)
BUDGET = typer.Option("--latency-budget", help="Highest p99 latency allowed, ms.")
FLOOR = typer.Option("--min-throughput", help="Lowest throughput allowed, inferences a second.")
RESULTS = typer.Option("--export-path", "-e", help="Folder that holds the results. [results]")


@app.command(
    epilog="Example: analyze profile --model resnet50 --latency-budget 200",
    short_help="Sweep configurations of a model; report and keep the best.",
)
def profile(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "--profile-models", help="Model to profile. Repeatable, or a,b,c."),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config-file", "-f", help="YAML with these options as keys.")
    ] = None,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(
            "--model-repository",
            "-m",
            help="Where the model is. Repeatable. Without it, an example of that name is built.",
        ),
    ] = None,
    export_path: Annotated[Path | None, RESULTS] = None,
    search_mode: Annotated[
        str | None,
        typer.Option("--run-config-search-mode", help="Strategy: quick or brute. [quick]"),
    ] = None,
    search_time: Annotated[
        str | None,
        typer.Option(
            "--search-time",
            help="Seconds for the search; curves and verification may add 1.2 times that. [80]",
        ),
    ] = None,
    objective: Annotated[list[str] | None, OBJECTIVE] = None,
    constraint: Annotated[list[str] | None, CONSTRAINT] = None,
    latency_budget: Annotated[str | None, BUDGET] = None,
    min_throughput: Annotated[str | None, FLOOR] = None,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", "-c", help="Concurrencies to try: 1,2,8 or start:end:step."),
    ] = None,
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", "-b", help="Rows in each request. [1]")
    ] = None,
    min_instance_count: Annotated[
        str | None, typer.Option("--run-config-search-min-instance-count", help="[1]")
    ] = None,
    max_instance_count: Annotated[
        str | None,
        typer.Option("--run-config-search-max-instance-count", help="[5, or this CPU's cores]"),
    ] = None,
    min_model_batch_size: Annotated[
        str | None, typer.Option("--run-config-search-min-model-batch-size", help="[1]")
    ] = None,
    max_model_batch_size: Annotated[
        str | None, typer.Option("--run-config-search-max-model-batch-size", help="[128]")
    ] = None,
    min_concurrency: Annotated[
        str | None, typer.Option("--run-config-search-min-concurrency", help="[1]")
    ] = None,
    max_concurrency: Annotated[
        str | None, typer.Option("--run-config-search-max-concurrency", help="[1024]")
    ] = None,
    queue_delays: Annotated[
        str | None,
        typer.Option(
            "--queue-delays",
            help="Queue delays to try, microseconds; -1 is no dynamic batching.",
        ),
    ] = None,
    intra_op_threads: Annotated[
        str | None, typer.Option("--intra-op-threads", help="Threads an instance may use, to try.")
    ] = None,
    client_protocol: Annotated[
        str | None, typer.Option("--client-protocol", help="http or grpc. [http]")
    ] = None,
    input_data: Annotated[
        str | None, typer.Option("--input-data", help="What requests carry: random or zero.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            help="Shape of an input whose dimensions vary, without the batch: NAME:D1,D2,... "
            "Repeatable. [1 for each such dimension]",
        ),
    ] = None,
    measurement_interval: Annotated[
        str | None,
        typer.Option("--measurement-interval", "-p", help="Length of a window, ms. [1000]"),
    ] = None,
    stability_percentage: Annotated[
        str | None,
        typer.Option(
            "--stability-percentage",
            "-s",
            help="Spread of three windows that counts as stable. [10]",
        ),
    ] = None,
    max_trials: Annotated[
        str | None, typer.Option("--max-trials", "-r", help="Windows at most. [6]")
    ] = None,
    verify_pairs: Annotated[
        str | None,
        typer.Option(
            "--verify-pairs", help="Times best and default are measured in turn at the end. [4]"
        ),
    ] = None,
    launch_mode: Annotated[
        str | None,
        typer.Option("--triton-launch-mode", help="local: start `engine serve`; remote: use URL."),
    ] = None,
    http_endpoint: Annotated[
        str | None,
        typer.Option("--triton-http-endpoint", "-u", help="Of a remote server. [localhost:8000]"),
    ] = None,
    grpc_endpoint: Annotated[
        str | None, typer.Option("--triton-grpc-endpoint", help="Of a remote server.")
    ] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Of the search. [0]")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old journal is kept beside the new.")
    ] = False,
) -> None:
    """Serve variants of a model's configuration, load-test each, and keep the best.

    Results go to results/MODEL: a journal, an HTML report, CSV files, the winner's model
    repository. Interrupted or killed, the same command goes on where it stopped; Ctrl-C once
    finishes the running measurement first.
    """
    given: dict[str, Any] = {
        "profile_models": ",".join(model) if model else None,
        "model_repository": model_repository or None,
        "export_path": export_path,
        "run_config_search_mode": search_mode,
        "search_time": search_time,
        "objectives": objective or None,
        "constraints": constraint or None,
        "latency_budget": latency_budget,
        "min_throughput": min_throughput,
        "concurrency": concurrency,
        "batch_sizes": batch_sizes,
        "run_config_search_min_instance_count": min_instance_count,
        "run_config_search_max_instance_count": max_instance_count,
        "run_config_search_min_model_batch_size": min_model_batch_size,
        "run_config_search_max_model_batch_size": max_model_batch_size,
        "run_config_search_min_concurrency": min_concurrency,
        "run_config_search_max_concurrency": max_concurrency,
        "queue_delays": queue_delays,
        "intra_op_threads": intra_op_threads,
        "client_protocol": client_protocol,
        "input_data": input_data,
        "shapes": shape or None,
        "measurement_interval": measurement_interval,
        "stability_percentage": stability_percentage,
        "max_trials": max_trials,
        "verify_pairs": verify_pairs,
        "triton_launch_mode": launch_mode,
        "triton_http_endpoint": http_endpoint,
        "triton_grpc_endpoint": grpc_endpoint,
        "seed": seed,
        "fresh": fresh or None,
    }
    flags = {key: value for key, value in given.items() if value is not None}
    _leave(lambda: compose.profile(load_options(config_file, flags), Console()))


@app.command(
    epilog="Example: analyze report resnet50 --constraint 'perf_latency_p99<=100'",
    short_help="Write the report again, under another goal if you like.",
)
def report(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    export_path: Annotated[Path, RESULTS] = Path("results"),
    objective: Annotated[list[str] | None, OBJECTIVE] = None,
    constraint: Annotated[list[str] | None, CONSTRAINT] = None,
    latency_budget: Annotated[float | None, BUDGET] = None,
    min_throughput: Annotated[float | None, FLOOR] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. [the results']")
    ] = None,
) -> None:
    """Rank the measurements of a profile anew and write the report, CSVs and summary.json.

    Nothing is measured again. Without a goal, the one of the profile is used.
    """
    wanted = compose.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput,
    )  # fmt: skip
    _leave(lambda: compose.report(compose.locate(export_path, model), wanted, output, Console()))


@app.command(
    epilog="Example: analyze apply resnet50 --model-repository models --yes",
    short_help="Write the winning config.pbtxt into a model repository.",
)
def apply(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    model_repository: Annotated[
        Path, typer.Option("--model-repository", "-m", help="The repository that holds the model.")
    ],
    export_path: Annotated[Path, RESULTS] = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show what the winner changes in config.pbtxt, ask, and write it.

    The file that was there is kept as config.pbtxt.before-apply.
    """
    _leave(
        lambda: compose.apply(
            compose.locate(export_path, model), model_repository, Console(), yes=yes
        )
    )


@app.command(short_help="Print the version.", epilog="Example: analyze version")
def version() -> None:
    """Print the version."""
    Console().print(f"servetune {__version__}", highlight=False)


def _leave(run: Callable[[], int]) -> None:
    """Run a command and exit with its code, errors told in a line or two."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        code = run()
    except UsageError as error:
        errors.print(f"error: {error.message}")
        code = 2
    except (AnalyzerError, EngineError) as error:
        errors.print(f"error: {error.message}")
        code = 1
    except OSError as error:
        errors.print(f"error: {error.filename or ''}: {error.strerror or error}")
        code = 1
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on where this one stopped")
        code = 130
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    app(prog_name="analyze")
