"""A page's key figures: of one configuration, each beside the default's. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.metrics import BY_TAG, COST
from analyzer.ranking.rank import Standing
from analyzer.report import wording
from analyzer.report.evidence import THROUGHPUT, Evidence
from analyzer.report.verdict import COSTS, better, change


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure of a configuration, beside the default's.

    ``good`` says whether the change is for the better; None: neither.
    """

    label: str
    value: str
    unit: str
    reference: str = ""
    change: str = ""
    good: bool | None = None


def tiles(evidence: Evidence, standing: Standing | None) -> tuple[Tile, ...]:
    """Return the goal's figures and the costs of a configuration: () of None."""
    if standing is None:
        return ()
    ours = evidence.typical(standing)
    compared = evidence.default is not None and not standing.is_default
    theirs = evidence.typical(evidence.default) if evidence.default and compared else {}
    price = [COST] * (evidence.goal.cost_per_hour is not None)
    tags = [THROUGHPUT, *(tag for tag, _ in evidence.goal.objectives), *price, *COSTS]
    found = []
    for tag in dict.fromkeys(tags):
        if tag not in ours:
            continue
        reference = theirs.get(tag)
        found.append(
            Tile(
                label=wording.heading(tag),
                value=wording.number(ours[tag]),
                unit=BY_TAG[tag].unit,
                reference="" if reference is None else wording.number(reference),
                change="" if reference is None else change(tag, ours[tag], reference),
                good=None if reference is None else better(tag, ours[tag], reference),
            )
        )
    return tuple(found)
