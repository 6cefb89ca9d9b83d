"""Blocks for the gate, by what was measured of either side."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.gate.values import REQUESTS, Block, Side


def blocks(
    pairs: Sequence[tuple[float, float]],
    tag: str = "perf_throughput",
    *,
    per_launch: int = 1,
    seconds: float = 1.0,
    requests: float = 1000.0,
) -> list[Block]:
    """Give two blocks for each pair of a baseline's and a candidate's value, in ABBA order."""
    found = []
    for number, pair in enumerate(pairs):
        sides = list(zip(Side, pair, strict=True))
        for side, value in sides if number % 2 == 0 else reversed(sides):
            block = Block(
                side=side, pair=number, launch=number // per_launch, values={tag: value},
                counts={REQUESTS: requests}, seconds=seconds,
            )  # fmt: skip
            found.append(block)
    return found
