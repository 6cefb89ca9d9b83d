"""Writing figures down: JSON with every repetition, and a Markdown page for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.workspace import write_whole
from benchmarks.cost import Cost
from benchmarks.served import Kept

WANTED_BATCH = 4
WANTED_RATIO = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A whole run of the benchmark. ``machine`` names what it ran on and with which versions."""

    taken_at: str
    machine: Mapping[str, str]
    repetitions: int
    seconds: float
    costs: Sequence[Cost]
    kept: Sequence[Kept]


def keep(folder: Path, plain: Mapping[str, Any], page: str, kind: str = "") -> None:
    """Write ``<date>-<machine>[-<kind>].json`` and ``.md``, and say where.

    ``plain`` has every repetition, with ``taken_at`` and ``machine``; ``page`` is for people.
    """
    name = "-".join(filter(None, (plain["taken_at"][:10], _named(plain["machine"]), kind)))
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (
        (folder / f"{name}.json", json.dumps(plain, indent=1) + "\n"),
        (folder / f"{name}.md", page),
    ):
        write_whole(file, text)
        sys.stdout.write(f"written: {file}\n")


def kept(folder: Path, machine: Mapping[str, str], kind: str) -> Mapping[str, Any] | None:
    """Return what ``keep`` wrote last of this kind, on such a machine; None where there is nothing.

    Raises:
        ValueError: it is not JSON.
    """
    found = sorted(folder.glob(f"????-??-??-{_named(machine)}-{kind}.json"))
    if not found:
        return None
    plain: Mapping[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return plain


def _named(machine: Mapping[str, str]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']}-{machine['cores']}".lower()).strip("-")


def markdown(results: Results) -> str:
    """Lay the figures out: median of the repetitions, least and greatest in brackets."""
    parts = [
        f"# What the engine costs, {results.taken_at[:10]}",
        table(("", ""), results.machine.items()),
        (
            f"Median of {results.repetitions} repetitions of {results.seconds:g} s, least and "
            "greatest in brackets. The load client runs on the same machine. CPU is that of the "
            "server's processes, warm-up included, for each request."
        ),
        "## Cost per request",
        _costs(results.costs),
        "## Dynamic batching at concurrency 16",
        _batches(results.costs),
        "## ResNet-50 served, against the bare runtime",
        _kept(results.kept),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _costs(costs: Sequence[Cost]) -> str:
    head = (
        "model",
        "protocol",
        "concurrency",
        "requests/s",
        "p50 us",
        "p99 us",
        "CPU ms/request",
        "client cores",
        "mean batch",
    )
    return table(
        head,
        (
            (
                cost.model,
                cost.protocol,
                str(cost.concurrency),
                cost.spread("rate").text(),
                cost.spread("p50_us").text(),
                cost.spread("p99_us").text(),
                cost.spread("cpu_ms").text(".3f"),
                f"{cost.spread('client_cores').median:.2f}",
                f"{cost.spread('mean_batch').median:.1f}",
            )
            for cost in costs
        ),
    )


def _batches(costs: Sequence[Cost]) -> str:
    rows = []
    for cost in costs:
        if cost.concurrency == 16:  # noqa: PLR2004 - the concurrency that is promised
            batch = cost.spread("mean_batch")
            failed = sum(shot.failed + shot.lost for shot in cost.shots)
            verdict = "yes" if min(batch.values) > WANTED_BATCH and not failed else "**no**"
            rows.append((cost.model, cost.protocol, batch.text(".1f"), str(failed), verdict))
    head = (
        "model",
        "protocol",
        "mean batch",
        "requests lost",
        f"more than {WANTED_BATCH}, none lost",
    )
    return table(head, rows)


def _kept(kept: Sequence[Kept]) -> str:
    head = (
        "instances x threads",
        "batch",
        "concurrency",
        "bare images/s",
        "served images/s",
        "served / bare",
        f"at least {WANTED_RATIO:.0%}",
    )
    return table(
        head,
        (
            (
                f"{one.setting.instances} x {one.setting.threads}",
                str(one.setting.batch),
                str(one.setting.concurrency),
                one.bare.text(".1f"),
                one.served.text(".1f"),
                one.ratio.text(".3f"),
                "yes" if one.ratio.median >= WANTED_RATIO else "**no**",
            )
            for one in kept
        ),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
