"""Estimates in a journal: by metric, in the metric's unit; an interval without an end has null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from analyzer.statistics.estimate import Estimate

Estimates = Mapping[str, Estimate]


def plain(estimates: Estimates) -> dict[str, dict[str, Any]]:
    """Return what JSON can hold."""
    return {
        tag: {
            **asdict(one),
            "high": None if math.isinf(one.high) else one.high,
        }
        for tag, one in estimates.items()
    }


def read(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    """Read what ``plain`` wrote.

    Raises:
        TypeError: it is something else.
    """
    return {
        tag: Estimate(**{**one, "high": math.inf if one["high"] is None else one["high"]})
        for tag, one in found.items()
    }
