"""``analyze check`` and ``analyze history``: arguments in, exit code out. No logic.

Commands import what they need when they run, as those of ``analyzer.cli`` do.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from analyzer.ending import console, leave
from analyzer.usage import WholeNames

WHAT, SIDES, RULE, LOAD, OUTPUT = "What", "Sides", "Verdict", "Load and servers", "Output"
#: exit code where a measurement failed: 1 is a regression
_MEASUREMENT = 3
_CHECK_EPILOG = (
    "Exit codes: 0 pass, 1 regression, 2 usage, 3 measurement failed, 4 inconclusive, 75 machine "
    "unfit, 130 interrupted. Example: analyze check --config perf.yaml --baseline git:origin/main"
)


class Mode(Enum):
    """How the sides are compared."""

    AUTO = "auto"
    AB = "ab"
    HISTORY = "history"
    SLO = "slo"
    PROXY = "proxy"


class Doubt(Enum):
    """What to make of what is not sure (``values.OnInconclusive``)."""

    WARN = "warn"
    FAIL = "fail"
    RETRY = "retry"


class Better(Enum):
    """When a baseline is replaced by what was measured."""

    IMPROVED = "improved"
    PASSED = "passed"


class Marks(Enum):
    """Whether GitHub's annotations are printed; auto: where GitHub runs it."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


def _flag(panel: str, text: str, *names: str, metavar: str | None = None, **more: Any) -> Any:  # noqa: ANN401 - typer's own
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar, **more)


def check(
    config: Annotated[
        Path | None,
        _flag(
            WHAT, "YAML with checks:, and options of a profile.", "--config", "--config-file", "-f"
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        _flag(
            WHAT,
            "Only checks of this model; without checks:, a profiled model. Repeatable.",
            "--model",
            metavar="NAME",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        _flag(WHAT, "Only the check of this name; repeatable.", "--check", metavar="NAME"),
    ] = None,
    gate: Annotated[
        list[str] | None,
        _flag(
            WHAT,
            "perf_throughput:-5%, perf_latency_p99<=15ms@rate=400 ...; repeatable, in place "
            "of a check's own of that metric.",
            "--gate",
            metavar="GATE",
        ),
    ] = None,
    model_repository: Annotated[
        list[Path] | None,
        _flag(WHAT, "Folder that holds the model; repeatable.", "--model-repository", "-m"),
    ] = None,
    export_path: Annotated[
        Path | None, _flag(WHAT, "Folder of results. (default: results)", "--export-path", "-e")
    ] = None,
    baseline: Annotated[
        str | None,
        _flag(
            SIDES,
            "A stored baseline's name or file, git:REF, or model-repo:PATH. (default: main, "
            "if stored; else what the profile chose)",
            "--baseline",
            metavar="SIDE",
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        _flag(
            SIDES,
            "git:REF or model-repo:PATH. (default: what is here now)",
            "--candidate",
            metavar="SIDE",
        ),
    ] = None,
    baseline_python: Annotated[
        Path | None,
        _flag(
            SIDES,
            "Interpreter whose engine serves the baseline. (default: this one)",
            "--baseline-python",
        ),
    ] = None,
    candidate_python: Annotated[
        Path | None,
        _flag(SIDES, "Interpreter whose engine serves the candidate.", "--candidate-python"),
    ] = None,
    baseline_dir: Annotated[
        Path, _flag(SIDES, "Folder of stored baselines.", "--baseline-dir")
    ] = Path(".analyze/baselines"),
    baseline_lenient: Annotated[
        bool,
        _flag(SIDES, "Where there is no such baseline, measure and pass.", "--baseline-lenient"),
    ] = False,
    save_baseline: Annotated[
        str | None,
        _flag(SIDES, "Keep what was measured under this name.", "--save-baseline", metavar="NAME"),
    ] = None,
    update_baseline_if: Annotated[
        Better | None,
        _flag(
            SIDES,
            "Replace the baseline where it is surely better, or holds.",
            "--update-baseline-if",
        ),
    ] = None,
    mode: Annotated[
        Mode,
        _flag(
            RULE,
            "ab: both sides, by turns; history: against earlier runs; slo, proxy: only "
            "promises, only counters. auto: ab where the baseline can be run.",
            "--mode",
        ),
    ] = Mode.AUTO,
    margin: Annotated[str, _flag(RULE, "A change that is no more than noise.", "--margin")] = "2%",
    alpha: Annotated[float, _flag(RULE, "Probability of a false verdict.", "--alpha")] = 0.01,
    max_pairs: Annotated[int, _flag(RULE, "Pairs of blocks at most.", "--max-pairs")] = 20,
    max_time: Annotated[
        str, _flag(RULE, "Time for all blocks of a check at most: 90s, 10m, 1h.", "--max-time")
    ] = "10m",
    on_inconclusive: Annotated[
        Doubt,
        _flag(RULE, "warn: exit 4; fail: exit 1; retry: measure once more.", "--on-inconclusive"),
    ] = Doubt.WARN,
    acknowledge: Annotated[
        Path | None,
        _flag(
            RULE,
            "What is borne for a while. (default: perf-ack.yaml, if it is there)",
            "--acknowledge",
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        _flag(
            RULE,
            "Judge failures in spite of governor, load, gpu, disturbed, or all; repeatable.",
            "--accept",
            metavar="NAME",
        ),
    ] = None,
    aa: Annotated[
        bool,
        _flag(
            RULE, "Measure one side against itself: the smallest change to be seen here.", "--aa"
        ),
    ] = False,
    concurrency: Annotated[
        int | None,
        _flag(
            LOAD, "Requests in flight, of a model without checks:.", "--concurrency", "-c", min=1
        ),
    ] = None,
    request_rate: Annotated[
        float | None,
        _flag(LOAD, "Requests a second, of a model without checks:.", "--request-rate", min=0.001),
    ] = None,
    block_seconds: Annotated[
        float | None,
        _flag(LOAD, "How long a block is measured. (default: 2)", "--block-seconds", min=0.2),
    ] = None,
    batch_sizes: Annotated[
        str | None, _flag(LOAD, "Batch size of a request.", "--batch-sizes", "-b", metavar="N")
    ] = None,
    client_protocol: Annotated[
        str | None, _flag(LOAD, "http or grpc.", "--client-protocol", metavar="NAME")
    ] = None,
    input_data: Annotated[
        str | None, _flag(LOAD, "random, zero, or files.", "--input-data", metavar="SOURCE")
    ] = None,
    shapes: Annotated[
        list[str] | None, _flag(LOAD, "NAME:D1,D2 of an input; repeatable.", "--shape")
    ] = None,
    junit: Annotated[Path | None, _flag(OUTPUT, "JUnit XML.", "--junit")] = None,
    json: Annotated[Path | None, _flag(OUTPUT, "All figures.", "--json")] = None,
    report_md: Annotated[
        Path | None,
        _flag(OUTPUT, "Markdown; appended where it is $GITHUB_STEP_SUMMARY.", "--report-md"),
    ] = None,
    sarif: Annotated[Path | None, _flag(OUTPUT, "SARIF 2.1.0.", "--sarif")] = None,
    html: Annotated[Path | None, _flag(OUTPUT, "A page of its own.", "--html")] = None,
    bmf: Annotated[Path | None, _flag(OUTPUT, "Bencher's metric format.", "--bmf")] = None,
    action_benchmark: Annotated[
        Path | None,
        _flag(OUTPUT, "Folder for github-action-benchmark's two files.", "--action-benchmark"),
    ] = None,
    annotations: Annotated[
        Marks, _flag(OUTPUT, "GitHub's annotations on the output.", "--annotations")
    ] = Marks.AUTO,
    work_dir: Annotated[
        Path, _flag(OUTPUT, "Folder for blocks, logs and what is served.", "--work-dir")
    ] = Path(".analyze/runs"),
    resume: Annotated[
        bool,
        _flag(OUTPUT, "Go on with the blocks of an interrupted run of the same check.", "--resume"),
    ] = False,
    dry_run: Annotated[
        bool, _flag(OUTPUT, "Say what would be measured, and for how long.", "--dry-run")
    ] = False,
) -> None:
    """Tell whether a candidate is slower than its baseline, and how sure that is; for CI.

    Both are served on this machine and measured by turns, each block in a new server process, until
    every gate is decided or the budget is spent. Without checks: in a file, what a profile chose is
    checked under the load that it was chosen for.
    """
    given = dict(locals())
    from analyzer.gate import compose  # noqa: PLC0415 - see above
    from analyzer.gate.options import options_of  # noqa: PLC0415 - see above

    # Called from a program, the words on its command line are not ours.
    typed = sys.argv[1:] if sys.argv[1:2] == ["check"] else []
    leave(lambda: compose.check(options_of(given, typed), console()), failed=_MEASUREMENT)


def history(
    baseline: Annotated[str, typer.Option("--baseline", help="Name of the history.")] = "main",
    baseline_dir: Annotated[
        Path, typer.Option("--baseline-dir", help="Folder of stored baselines.")
    ] = Path(".analyze/baselines"),
    name: Annotated[
        list[str] | None,
        typer.Option("--check", help="Only this check; repeatable.", metavar="NAME"),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Only this metric; repeatable.", metavar="TAG"),
    ] = None,
    change_points: Annotated[
        bool, typer.Option("--change-points", help="Say where a level changed for good.")
    ] = False,
    margin: Annotated[str, typer.Option("--margin", help="Least change that matters.")] = "2%",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what was measured under a name, run after run, and the commit that changed it.

    Runs are those that `analyze check --save-baseline` kept; only runs of one kind of machine are
    compared. Exit code 0 whatever is found: to gate is what check is for.
    """
    given = dict(locals())
    from analyzer.gate import past  # noqa: PLC0415 - see above
    from analyzer.gate.options import history_of  # noqa: PLC0415 - see above

    leave(lambda: past.show(history_of(given), console()), failed=_MEASUREMENT)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        cls=WholeNames,
        epilog=_CHECK_EPILOG,
        short_help="Tell a regression from noise: the gate for CI.",
    )(check)
    app.command(
        epilog="Example: analyze history --baseline main --change-points",
        short_help="Show stored runs, and which commit changed their level.",
    )(history)
