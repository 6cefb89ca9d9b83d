"""What ``analyze check`` and ``analyze history`` were asked to do, from plain values."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError
from analyzer.gate.checks import Asked
from analyzer.gate.values import OnInconclusive, Settings

#: what ``--accept`` may name: environment checks, what disturbed blocks, and all of them
ACCEPTABLE = ("governor", "load", "gpu", "disturbed", "all")
_TIME = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|h|)\s*")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
#: the flags that are options of a profile, by its keys
_PROFILES = (
    "model_repository", "export_path", "batch_sizes", "client_protocol", "input_data", "shapes",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where the forms of the report go; None: nowhere."""

    junit: Path | None = None
    json: Path | None = None
    report_md: Path | None = None
    sarif: Path | None = None
    html: Path | None = None
    bmf: Path | None = None
    action_benchmark: Path | None = None


#: the forms that what ``--aa`` finds has: it judges nothing
_OF_NOISE = ("json", "report_md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything ``analyze check`` needs.

    ``baseline`` and ``candidate`` are sides as they were written, "" where none was. ``accepted``
    are the disturbances that taint nothing. ``annotations`` is auto, on or off; ``command`` what
    was typed.
    """

    asked: Asked
    settings: Settings = field(default_factory=Settings)
    baseline: str = ""
    candidate: str = ""
    baseline_python: str = sys.executable
    candidate_python: str = sys.executable
    baseline_dir: Path = Path(".analyze/baselines")
    lenient: bool = False
    save: str = ""
    update_if: str = ""
    mode: str = "auto"
    acknowledge: Path | None = None
    accepted: frozenset[str] = frozenset()
    aa: bool = False
    outputs: Outputs = field(default_factory=Outputs)
    annotations: str = "auto"
    work_dir: Path = Path(".analyze/runs")
    resume: bool = False
    dry_run: bool = False
    command: str = "analyze check"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """Everything ``analyze history`` needs; without names all checks, without metrics the usual."""

    baseline: str
    baseline_dir: Path
    names: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    change_points: bool = False
    margin: float = 0.02
    json: bool = False


def options_of(given: Mapping[str, Any], arguments: Sequence[str] = ()) -> Options:
    """Read the options that the command line has, by parameter.

    Raises:
        UsageError: a value makes no sense, or two exclude each other.
    """
    flags = {name: given[name] for name in _PROFILES if given.get(name)}
    asked = Asked(
        file=given["config"],
        flags=flags,
        gates=tuple(given["gate"] or ()),
        names=tuple(given["name"] or ()),
        models=tuple(given["model"] or ()),
        concurrency=given["concurrency"],
        request_rate=given["request_rate"],
        block_seconds=given["block_seconds"],
    )
    if asked.concurrency is not None and asked.request_rate is not None:
        raise UsageError("--concurrency and --request-rate exclude each other; pass one")
    settings = _settings(given)
    accepted = frozenset(given["accept"] or ())
    if unknown := sorted(accepted - set(ACCEPTABLE)):
        raise UsageError(
            f"--accept: there is no {', '.join(unknown)}; there are: {', '.join(ACCEPTABLE)}"
        )
    if given["aa"]:
        _no_judging(given)
    update = given["update_baseline_if"]
    return Options(
        asked=asked,
        settings=settings,
        baseline=given["baseline"] or "",
        candidate=given["candidate"] or "",
        baseline_python=str(given["baseline_python"] or sys.executable),
        candidate_python=str(given["candidate_python"] or sys.executable),
        baseline_dir=given["baseline_dir"],
        lenient=given["baseline_lenient"],
        save=given["save_baseline"] or "",
        update_if="" if update is None else update.value,
        mode=given["mode"].value,
        acknowledge=given["acknowledge"],
        accepted=accepted,
        aa=given["aa"],
        outputs=Outputs(**{name: given[name] for name in Outputs.__slots__}),
        annotations=given["annotations"].value,
        work_dir=given["work_dir"],
        resume=given["resume"],
        dry_run=given["dry_run"],
        command=shlex.join(["analyze", *arguments]) if arguments else "analyze check",
    )


def _no_judging(given: Mapping[str, Any]) -> None:
    """Refuse what ``--aa`` has no use for.

    Raises:
        UsageError: something was given.
    """
    if given["baseline"] or given["save_baseline"]:
        raise UsageError("--aa measures one side against itself: no --baseline, no --save-baseline")
    judged = [name for name in Outputs.__slots__ if given[name] and name not in _OF_NOISE]
    if judged:
        flags = ", ".join(f"--{each.replace('_', '-')}" for each in judged)
        raise UsageError(
            f"{flags}: --aa judges nothing; what it finds goes to --json and --report-md"
        )


def _settings(given: Mapping[str, Any]) -> Settings:
    return Settings(
        margin=share(given["margin"], "--margin"),
        alpha=given["alpha"],
        max_pairs=given["max_pairs"],
        max_seconds=seconds(given["max_time"], "--max-time"),
        on_inconclusive=OnInconclusive(given["on_inconclusive"].value),
    )


def history_of(given: Mapping[str, Any]) -> HistoryOptions:
    """Read the options of ``analyze history``, by parameter.

    Raises:
        UsageError: a value makes no sense.
    """
    return HistoryOptions(
        baseline=given["baseline"],
        baseline_dir=given["baseline_dir"],
        names=tuple(given["name"] or ()),
        metrics=tuple(given["metric"] or ()),
        change_points=given["change_points"],
        margin=share(given["margin"], "--margin"),
        json=given["json"],
    )


def seconds(text: str, flag: str) -> float:
    """Read a time such as 90s, 10m or 1h; a number alone is seconds.

    Raises:
        UsageError: it is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise UsageError(f"{flag}: expected a time such as 90s, 10m or 1h, found {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def share(text: str, flag: str) -> float:
    """Read per cent, with or without the sign, as a share.

    Raises:
        UsageError: it is no number.
    """
    try:
        return float(text.strip().removesuffix("%")) / 100
    except ValueError:
        raise UsageError(f"{flag}: expected per cent, such as 2%, found {text!r}") from None
