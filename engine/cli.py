"""The command ``engine``: argv in, exit code out.

Holds no logic: it declares the flags, calls, prints. Exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted. What is imported for one command only is imported there, so that
``engine version`` does not wait for a runtime to load.
"""

from __future__ import annotations

import csv
import gc
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, assert_never

import typer

from engine import __version__, flags
from engine.errors import EngineError, InvalidArgument
from engine.options import LogFormat, ModelControlMode, from_flags, leftover, near_misses

DONE, FAILED, USAGE = 0, 1, 2

app = typer.Typer(
    name="engine",
    help="A Triton-compatible inference server.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
examples_app = typer.Typer(help="Build example models, without any download.")
app.add_typer(examples_app, name="examples")


class Format(Enum):
    """How a table is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


SERVE_EXAMPLE = "Example: engine serve --model-repository model_repository --http-port 8000"


@app.command(
    epilog=SERVE_EXAMPLE,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve(
    ctx: typer.Context,
    model_repository: flags.Repositories = None,
    chosen: flags.Chosen = None,
    results_dir: flags.Results = Path("results"),
    model_control_mode: flags.ControlMode = ModelControlMode.NONE,
    load_model: flags.LoadModel = None,
    exit_on_error: flags.ExitOnError = "true",
    strict_readiness: flags.StrictReadiness = "true",
    model_config_name: flags.ConfigName = None,
    disable_auto_complete_config: flags.NoAutoComplete = False,
    strict_model_config: flags.StrictConfig = None,
    model_load_thread_count: flags.LoadThreads = 4,
    model_load_retry_count: flags.LoadRetries = 0,
    repository_poll_secs: flags.PollSeconds = 15.0,
    backend_config: flags.BackendConfig = None,
    backend_directory: flags.BackendDirectory = None,
    cache_config: flags.CacheConfig = None,
    response_cache_byte_size: flags.ResponseCacheSize = None,
    rate_limit: flags.RateLimit = "off",
    rate_limit_resource: flags.RateLimitResource = None,
    host_policy: flags.HostPolicies = None,
    allow_http: flags.AllowHttp = "true",
    http_address: flags.HttpAddress = "0.0.0.0",  # noqa: S104 - Triton's default
    http_port: flags.HttpPort = 8000,
    reuse_http_port: flags.ReuseHttp = "false",
    http_max_input_size: flags.HttpMaxInput = 64 << 20,
    allow_grpc: flags.AllowGrpc = "true",
    grpc_address: flags.GrpcAddress = "0.0.0.0",  # noqa: S104 - as above
    grpc_port: flags.GrpcPort = 8001,
    reuse_grpc_port: flags.ReuseGrpc = "false",
    allow_client_shm: flags.ClientShm = "false",
    allow_metrics: flags.AllowMetrics = "true",
    metrics_address: flags.MetricsAddress = None,
    metrics_port: flags.MetricsPort = 8002,
    allow_gpu_metrics: flags.AllowGpuMetrics = "true",
    allow_cpu_metrics: flags.AllowCpuMetrics = "true",
    metrics_interval_ms: flags.MetricsInterval = 2000,
    metrics_config: flags.MetricsConfig = None,
    id: flags.Id = "triton",  # noqa: A002 - Triton's flag
    exit_timeout_secs: flags.ExitTimeout = 30,
    ports_file: flags.PortsFile = None,
    log_verbose: flags.LogVerbose = "0",
    log_info: flags.LogInfo = "true",
    log_warning: flags.LogWarning = "true",
    log_error: flags.LogError = "true",
    log_format: flags.LogForm = LogFormat.DEFAULT,
    log_file: flags.LogFile = None,
) -> None:
    """Serve the models of a repository over HTTP and gRPC, until a signal ends it."""
    given = dict(locals())
    del given["ctx"]
    _serve(ctx, given)


def _serve(ctx: typer.Context, given: dict[str, Any]) -> None:
    known = [flag for one in ctx.command.params for flag in one.opts]
    with _usage("serve"):
        rest = leftover(ctx.args, known)
        chosen, results = given.pop("chosen"), given.pop("results_dir")
        if chosen is not None:
            given["model_repository"] = _winner(chosen, given["model_repository"], results)
        options = from_flags(given, rest.problems)
    # Importing leaves no garbage; compose.serve sets aside what it brought, and looks again.
    gc.disable()
    from engine import compose  # noqa: PLC0415 - see above

    raise typer.Exit(compose.serve(options, (*rest.notes, *near_misses(options))))


def _winner(chosen: str, repositories: list[Path] | None, results: Path) -> list[Path]:
    from engine.repository.chosen import find_chosen, words_of  # noqa: PLC0415 - see above

    if repositories:
        raise InvalidArgument("--chosen and --model-repository exclude each other; pass one")
    found = find_chosen(chosen, results)
    if words := words_of(found):
        typer.echo(f"chosen: {words}", err=True)
    return [found]


@app.command(epilog="Example: engine check model_repository --format json")
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Repositories or models.")],
    form: Annotated[
        Format, typer.Option("--format", help="How problems are shown.")
    ] = Format.TABLE,
    model_config_name: Annotated[
        str | None,
        typer.Option(help="Check configs/NAME.pbtxt of the models that have it.", metavar="NAME"),
    ] = None,
    backend_directory: Annotated[
        Path | None, typer.Option(help="Folder of native backends, as engine serve has it.")
    ] = None,
) -> None:
    """Say everything that is wrong with model repositories, and what to do about it."""
    from engine.repository.lint import lint  # noqa: PLC0415 - see above

    problems = lint(paths, config_name=model_config_name or "", backend_directory=backend_directory)
    errors = sum(not problem.warning for problem in problems)
    rows = [
        {
            "severity": "warning" if problem.warning else "error",
            "file": problem.source,
            "line": problem.line,
            "column": problem.column,
            "problem": problem.what,
            "what_to_do": problem.hint,
        }
        for problem in problems
    ]
    if form is Format.TABLE:
        for problem in problems:
            typer.echo(f"{'warning' if problem.warning else 'error'}: {problem}")
        typer.echo(f"{_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}")
    else:
        _print(rows, form)
    raise typer.Exit(FAILED if errors else DONE)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@examples_app.callback(invoke_without_command=True, epilog="Example: engine examples --format json")
def examples(
    ctx: typer.Context,
    form: Annotated[Format, typer.Option("--format", help="How they are listed.")] = Format.TABLE,
) -> None:
    """List the example models, or build some."""
    if ctx.invoked_subcommand is not None:
        return
    from engine import examples as shelf  # noqa: PLC0415 - see above

    rows: list[dict[str, object]] = [
        {
            "name": name,
            "megabytes": example.megabytes,
            "needs": ", ".join(example.needs),
            "outside": ", ".join(one.package for one in example.outside),
            "summary": example.summary,
        }
        for name, example in ((name, shelf.find(name)) for name in shelf.names())
    ]
    if form is Format.TABLE:  # few need any: a column would take the room of what they do
        for row in rows:
            if needs := row.pop("needs"):
                row["summary"] = f"{row['summary']} (needs {needs})"
            if outside := row.pop("outside"):
                row["summary"] = f"{row['summary']} (outside: {outside})"
    _print(rows, form)
    if form is Format.TABLE:
        typer.echo("\nNext: engine examples build resnet50 --output model_repository")


@examples_app.command(
    "build", epilog="Example: engine examples build resnet50 add_sub --output model_repository"
)
def build(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Examples; `all` for all.")],
    output: Annotated[
        Path, typer.Option("--output", help="The model repository to put them into.")
    ] = Path("model_repository"),
    force: Annotated[
        bool, typer.Option("--force", help="Build what is there already anew.")
    ] = False,
) -> None:
    """Build example models into a model repository."""
    from engine import examples as shelf  # noqa: PLC0415 - see above

    everything = names == ["all"]
    wanted = shelf.names() if everything else names
    for name in wanted:
        shelf.find(name)
    for name in wanted:
        if everything and (missing := shelf.find(name).missing):
            commands = " && ".join(one.install for one in missing)
            typer.echo(f"left out: {name}, which needs: {commands}")
            continue
        for built in shelf.build(name, output, force=force):
            typer.echo(f"{'built' if built.written else 'there already:'} {built.path}")
    typer.echo(f"\nNext: engine serve --model-repository {shlex.quote(str(output))}")


@app.command("convert", epilog="Example: engine convert resnet50.onnx --to openvino")
def convert_(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="An ONNX file, or a model's folder.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="What it is to become.", metavar="FORMAT")] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The new model's folder; model_repository/NAME_FORMAT."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp16, f32 (openvino); fp32, fp16, bf16, int8 (tensorrt).")
    ] = "",
    calibration: Annotated[
        str, typer.Option(help="Samples of inputs, or random.", metavar="FILE|random")
    ] = "",
    samples: Annotated[int, typer.Option(help="How many of them.", min=0)] = 0,
    min_shapes: Annotated[
        list[str] | None,
        typer.Option(help="Least shapes of a profile (tensorrt).", metavar="NAME:1x3,..."),
    ] = None,
    opt_shapes: Annotated[
        list[str] | None, typer.Option(help="The best ones.", metavar="NAME:4x3,...")
    ] = None,
    max_shapes: Annotated[
        list[str] | None, typer.Option(help="The greatest ones.", metavar="NAME:8x3,...")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Convert an ONNX model into another format; without arguments, list the formats."""
    from engine import conversion  # noqa: PLC0415 - see above

    if model is None or not to:
        formats = ((name, conversion.find(name).summary) for name in conversion.names())
        _print([{"to": name, "what": summary} for name, summary in formats], Format.TABLE)
        if model is not None:
            typer.echo("engine convert: pass --to FORMAT, one of these", err=True)
            raise typer.Exit(USAGE)
        return
    chosen = conversion.find(to)
    file, config = conversion.source(model)
    name = model.stem if model.is_file() else model.resolve().name
    made = conversion.run(
        chosen,
        conversion.Job(
            model=file,
            config=config,
            precision=precision,
            calibration=calibration,
            samples=samples,
            min_shapes=tuple(min_shapes or ()),
            opt_shapes=tuple(opt_shapes or ()),
            max_shapes=tuple(max_shapes or ()),
        ),
        output or Path("model_repository", f"{name}_{to}"),
        force=force,
    )
    typer.echo(f"written: {made.path} ({made.size / 1e6:.1f} MB)")
    for remark in made.remarks:
        typer.echo(f"  {remark}")
    typer.echo(f"\nNext: engine serve --model-repository {shlex.quote(str(made.path.parent))}")


@app.command(epilog="Example: engine doctor --format json")
def doctor(
    form: Annotated[Format, typer.Option("--format", help="How it is shown.")] = Format.TABLE,
) -> None:
    """Say which backends are installed, what is missing, and what is in another's way."""
    from engine.doctor import examine  # noqa: PLC0415 - see above

    found = examine()
    rows = [
        {"backend": one.backend, "runs_by": one.runs_by, "what_to_do": one.to_do} for one in found
    ]
    _print(rows, form)
    raise typer.Exit(FAILED if any(one.harmful for one in found) else DONE)


@app.command(epilog="Example: engine version")
def version() -> None:
    """Print the version."""
    typer.echo(f"engine {__version__}")


def _print(rows: Sequence[Mapping[str, object]], form: Format) -> None:
    match form:
        case Format.JSON:
            typer.echo(json.dumps(rows, indent=2))
        case Format.CSV:
            if rows:
                table = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
        case Format.TABLE:
            from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - see above
            from rich.console import Console  # noqa: PLC0415 - see above
            from rich.markup import escape  # noqa: PLC0415 - see above
            from rich.table import Column, Table  # noqa: PLC0415 - see above

            # A name cut short cannot be typed: the other columns give way.
            first, *others = (column.replace("_", " ").capitalize() for column in rows[0])
            shown = Table(Column(first, no_wrap=True), *others, box=SIMPLE_HEAD)
            for row in rows:
                shown.add_row(*(escape(str(cell)) for cell in row.values()))
            Console().print(shown)
        case _:
            assert_never(form)


@contextmanager
def _usage(command: str) -> Iterator[None]:
    """Turn what is wrong with a command line into exit code 2."""
    try:
        yield
    except InvalidArgument as error:
        for line in error.message.splitlines():
            typer.echo(f"engine {command}: {line}", err=True)
        typer.echo(f"Try 'engine {command} --help' for help.", err=True)
        raise typer.Exit(USAGE) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (the program's own if None); the answer is the exit code."""
    try:
        app(None if argv is None else list(argv), prog_name="engine")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else DONE
    except EngineError as error:
        typer.echo(f"error: {error}", err=True)
    except Exception:  # the last resort: a fault of ours is told, not thrown at the user
        logging.getLogger(__name__).exception("this is a fault of the engine; please report it")
    return FAILED
