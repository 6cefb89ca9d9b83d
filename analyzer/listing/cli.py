"""The options of ``analyze report`` and ``analyze results``. No logic: parse, call, exit."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from analyzer import flags
from analyzer.ending import console, leave

FILES = "Files"


class Place(Enum):
    """How a report's files lie in their folder."""

    FLAT = "flat"
    MODEL_ANALYZER = "model-analyzer"


class Form(Enum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Cost = Annotated[float | None, flags.flag(flags.GOAL, "What the machine costs an hour.")]
ExportPath = Annotated[
    Path | None,
    typer.Option("--export-path", "-e", help="Folder of results. (default: results)"),
]


def report(
    model: Annotated[
        str | None, typer.Argument(help="A profiled model, or the folder of its results.")
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", "-f", help="YAML with models, goal and folder of results."),
    ] = None,
    report_model_configs: Annotated[
        str | None,
        typer.Option(
            "--report-model-configs",
            "-n",
            help="Configurations; they name their model.",
            metavar="NAME,...",
        ),
    ] = None,
    export_path: ExportPath = None,
    objective: flags.Objectives = None,
    constraint: flags.Constraints = None,
    latency_budget: flags.HighestP99 = None,
    min_throughput: flags.LowestRate = None,
    cost_per_hour: Cost = None,
    output: Annotated[
        Path | None,
        flags.flag(FILES, "Folder to write to. (default: the results')", "--output", "-o"),
    ] = None,
    formats: Annotated[
        str | None,
        flags.flag(
            FILES,
            "Of html, json, csv, md, parquet, pdf, svg, png. (default: html,json,csv)",
            "--format",
            "--output-formats",
            metavar="NAME,...",
        ),
    ] = None,
    plots: Annotated[
        bool, flags.flag(FILES, "Draw the plots, as PNG unless --format has svg.", "--plots")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            help="Configurations in plots and in the Markdown summary. (default: 3)",
            min=1,
            rich_help_panel=FILES,
        ),
    ] = None,
    layout: Annotated[
        Place,
        flags.flag(FILES, "All in one folder, or in Model Analyzer's folders.", "--layout"),
    ] = Place.FLAT,
) -> None:
    """Rank the measurements of a profile anew and write the report, in whatever formats.

    Nothing is measured again. Without a goal, the one of the profile is used.
    """
    from analyzer import reporting, results  # noqa: PLC0415 - all of it takes two seconds
    from analyzer.report import Layout  # noqa: PLC0415 - see above

    wanted = results.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput, cost_per_hour=cost_per_hour,
    )  # fmt: skip
    subject = results.Subject(
        model=model, configs=report_model_configs, file=config_file, export_path=export_path
    )
    asked = reporting.Asked(formats=formats, top=top, plots=plots, layout=Layout(layout.value))

    def run() -> int:
        files = reporting.files_of(asked, config_file)
        return reporting.report(results.asked(subject, wanted), output, console(), files)

    leave(run)


def results(
    model: Annotated[str, typer.Argument(help="A profiled model, or the folder of its results.")],
    tables: Annotated[
        str | None,
        typer.Option(
            "--tables",
            help="Of best, pareto, measurements, failures. (default: all but measurements; "
            "of csv, which has one: best)",
            metavar="NAME,...",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="What must hold, such as 'perf_latency_p99<=20', phase=verify, variant!=default; "
            "repeatable.",
            metavar="CONDITION",
        ),
    ] = None,
    sort: Annotated[
        list[str] | None,
        typer.Option(
            "--sort", help="Order; a metric's better end first. Repeatable.",
            metavar="COLUMN[:asc|desc]",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            help="Tags of metrics, their TAG_low and TAG_high, variant, concurrency, "
            "max_batch_size ...; a wrong one lists them all.",
            metavar="NAME,...",
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", help="The first so many of each table.", min=1)
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.TABLE,
    export_path: flags.Results = Path("results"),
    objective: flags.Objectives = None,
    constraint: flags.Constraints = None,
    latency_budget: flags.HighestP99 = None,
    min_throughput: flags.LowestRate = None,
    cost_per_hour: Cost = None,
) -> None:  # fmt: skip
    """Show what was measured: configurations from best to worst, the Pareto set, failures.

    Nothing is measured and nothing is written. Without a goal, the one of the profile is used.
    """
    from analyzer import results as profiled  # noqa: PLC0415 - all of it takes two seconds
    from analyzer.listing import compose  # noqa: PLC0415 - see above
    from analyzer.listing.query import parse  # noqa: PLC0415 - see above

    wanted = profiled.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput, cost_per_hour=cost_per_hour,
    )  # fmt: skip

    def run() -> int:
        place = profiled.locate(export_path, model)
        query = parse(where or (), sort or (), columns, top)
        return compose.show(place, wanted, tables, query, form.value, console())

    leave(run)
