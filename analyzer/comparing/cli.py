"""``analyze compare``: arguments in, exit code out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from analyzer import flags
from analyzer.ending import console, leave


class Form(Enum):
    """How a comparison is written."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"
    MD = "md"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Profiled models, folders of results, or journals; NAME=RUN gives one a name.",
        ),
    ],
    form: Annotated[
        Form, typer.Option("--format", help="A page, or what changed for programs and for chats.")
    ] = Form.HTML,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write. [comparison.html in the folder of results; else the terminal]",
        ),
    ] = None,
    export_path: flags.Results = Path("results"),
    objective: flags.Objectives = None,
    constraint: flags.Constraints = None,
    latency_budget: flags.HighestP99 = None,
    min_throughput: flags.LowestRate = None,
    cost_per_hour: Annotated[
        float | None, flags.flag(flags.GOAL, "What the machine costs an hour.")
    ] = None,
) -> None:
    """Compare what was measured: models, runs of one model, machines. Nothing is measured again.

    The first run is what the others are compared with. Of two runs of one model it is said what
    changed, by how much and how sure; without a goal, that of the first run is used for all.
    """
    from analyzer import results  # noqa: PLC0415 - it takes a second to import
    from analyzer.comparing import runs as comparing  # noqa: PLC0415 - likewise

    wanted = results.Wanted(
        objectives=objective, constraints=constraint,
        latency_budget=latency_budget, min_throughput=min_throughput, cost_per_hour=cost_per_hour,
    )  # fmt: skip
    asked = comparing.Asked(
        subjects=tuple(runs), export_path=export_path, wanted=wanted, form=form.value, output=output
    )
    leave(lambda: comparing.compare(asked, console()))
