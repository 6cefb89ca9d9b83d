"""How the times of single requests were spread, frozen: what ``spread`` counts and a page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.telemetry.quantiles import Seen


@dataclass(frozen=True, slots=True)
class HistogramPicture:
    """A histogram: ``counts`` are of the values up to each bound, and then of all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_ms: float


@dataclass(frozen=True, slots=True)
class SummaryPicture:
    """The times seen lately, ns, and which of their quantiles are to be shown."""

    seen: Seen
    wanted: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpreadPicture:
    """A model's: histograms by the name of their family, summaries by the part they are of."""

    histograms: Mapping[str, HistogramPicture] = field(default_factory=dict)
    summaries: Mapping[str, SummaryPicture] = field(default_factory=dict)
