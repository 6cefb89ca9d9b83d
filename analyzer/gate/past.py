"""``analyze history``: stored runs one after another, and where their level changed for good.

Owns which runs make a series, and how it is shown. Does not own the rule of a change
(``history``), nor the files (``store``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from analyzer.errors import UsageError
from analyzer.gate.history import SHORTEST, ChangePoint, Run, change_points
from analyzer.gate.options import HistoryOptions
from analyzer.gate.outputs.told import number, percent
from analyzer.gate.quantities import quantity
from analyzer.gate.store import Store, Stored
from analyzer.gate.values import Quantity

#: what is shown where no metric is named
_USUAL = ("perf_throughput", "perf_latency_p99")
_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one check, run after run, of machines of one kind; ``others`` are left out."""

    check: str
    of: Quantity
    runs: tuple[Run, ...]
    others: int
    changes: tuple[ChangePoint, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """The levels, oldest first."""
        return tuple(run.values[self.of.tag] for run in self.runs)


def show(options: HistoryOptions, console: Console) -> int:
    """Print the series that are asked for; return the exit code.

    Raises:
        UsageError: nothing is stored under the name, or it has no such check or metric.
    """
    stored = Store(options.baseline_dir).require(options.baseline)
    found = tuple(series(stored, options))
    if not found:
        raise UsageError(
            f"{options.baseline}: no run measured {', '.join(options.metrics or _USUAL)}"
        )
    if options.json:
        console.print(
            json.dumps([_plain(each) for each in found], indent=2), highlight=False, markup=False,
            soft_wrap=True,
        )  # fmt: skip
        return 0
    for each in found:
        for line, style in _lines(each, changes=options.change_points):
            console.print(line, style=style, highlight=False, markup=False)
    return 0


def series(stored: Stored, options: HistoryOptions) -> Iterator[Series]:
    """Yield the series of every check and metric, of machines like the last one.

    Raises:
        UsageError: there is no such check, or no such metric.
    """
    wanted = [quantity(tag) for tag in options.metrics or _USUAL]
    known = list(dict.fromkeys(name for each in stored.history for name in each.checks))
    if unknown := [name for name in options.names if name not in known]:
        raise UsageError(
            f"{stored.name}: no check named {', '.join(unknown)}; there: {', '.join(known)}"
        )
    for name in options.names or known:
        every = [each.run(name) for each in stored.history if name in each.checks]
        same = [run for run in every if run.fingerprint == every[-1].fingerprint]
        for of in wanted:
            runs = tuple(run for run in same if run.values.get(of.tag, 0.0) > 0)
            if not runs:
                continue
            changes: tuple[ChangePoint, ...] = ()
            if options.change_points and len(runs) >= 2 * SHORTEST:
                levels = [run.values[of.tag] for run in runs]
                changes = change_points(levels, of, margin=options.margin)
            yield Series(
                check=name, of=of, runs=runs, others=len(every) - len(same), changes=changes
            )


def _lines(each: Series, *, changes: bool) -> Iterator[tuple[str, str]]:
    by_run = {change.index: change for change in each.changes}
    yield f"{each.check}  {each.of.tag} ({each.of.unit})", "bold"
    for at, run in enumerate(each.runs):
        line = f"  {run.taken_at}  {run.commit[:_SHORT] or '-':<{_SHORT}}  "
        line += number(run.values[each.of.tag])
        if (change := by_run.get(at)) is None:
            yield line, ""
            continue
        worse = each.of.worsening(1.0, 1.0 + change.change) > 0
        word = "worse" if worse else "better"
        yield (
            f"{line}  <- {percent(change.change)} from here on, {word}",
            ("red" if worse else "green"),
        )
    if each.others:
        yield f"  {each.others} runs of other machines are left out", "dim"
    if changes and not each.changes:
        few = len(each.runs) < 2 * SHORTEST
        yield (f"  too few runs to tell: it takes {2 * SHORTEST}" if few else "  no change"), "dim"


def _plain(each: Series) -> dict[str, Any]:
    values: Sequence[float] = each.values
    return {
        "check": each.check,
        "metric": each.of.tag,
        "unit": each.of.unit,
        "runs": [
            {"taken_at": run.taken_at, "commit": run.commit, "value": one}
            for run, one in zip(each.runs, values, strict=True)
        ],
        "changes": [
            {
                "commit": each.runs[change.index].commit,
                "taken_at": each.runs[change.index].taken_at,
                "change_pct": change.change * 100,
                "chance": change.chance,
            }
            for change in each.changes
        ],
        "left_out": each.others,
    }
