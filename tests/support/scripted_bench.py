"""A bench whose sides are as fast as a test says, with noise that a seed makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from analyzer.errors import AnalyzerError
from analyzer.gate.comparing import Compared
from analyzer.gate.plan import Turn
from analyzer.gate.runner import of_launch, order
from analyzer.gate.slo import Promise
from analyzer.gate.values import Block, Finding, Gate, Settings, Side
from analyzer.record.row import LoadSpec

#: a fast and steady server
USUAL: Mapping[str, float] = {
    "perf_throughput": 1000.0, "perf_latency_p99": 10.0, "cpu_used_ram": 200.0,
}  # fmt: skip


@dataclass(kw_only=True)
class ScriptedBench:
    """Measures nothing: a block's values are a side's level, times noise of each launch.

    ``slower`` multiplies the candidate's latency and divides its throughput. After ``lasts`` blocks
    the server is gone. ``measured`` has the turns that were measured.
    """

    slower: float = 1.0
    noise: float = 0.005
    remarks: tuple[str, ...] = ()
    lasts: float = float("inf")
    keeps_promise: bool = True
    measured: list[tuple[Side, int]] = field(default_factory=list)
    asked: list[Compared] = field(default_factory=list)
    loads: list[LoadSpec] = field(default_factory=list)

    def of(self, compared: Compared, folder: Path) -> Self:
        """Be the bench of a check."""
        del folder
        self.asked.append(compared)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def warm(self) -> float:
        """Start at once."""
        return 0.5

    def launch(
        self, number: int, pairs: int, spec: LoadSpec, missing: Callable[[Turn], bool]
    ) -> Iterator[Block]:
        """Make the blocks that are missing."""
        sides = tuple(Side) if self.asked[-1].baseline is not None else (Side.CANDIDATE,)
        for side in order(number, sides):
            for turn in of_launch(number, pairs):
                if turn.side is side and missing(turn):
                    yield self._block(turn, spec)

    def keeps(self, side: Side, gate: Gate, settings: Settings) -> Finding:
        """Keep a promise, or break it."""
        assert side is Side.CANDIDATE
        promise = Promise(self.asked[-1].check.name, gate, settings)
        late = 0 if self.keeps_promise else 500
        assert promise.progress(1000, late, [1.0]) == ("pass" if self.keeps_promise else "fail")
        return promise.finding("pass" if self.keeps_promise else "fail")

    def _block(self, turn: Turn, spec: LoadSpec) -> Block:
        if len(self.measured) >= self.lasts:
            raise AnalyzerError("the server ended by SIGKILL")
        self.measured.append((turn.side, turn.pair))
        self.loads.append(spec)
        luck = random.Random(f"{turn.side} {turn.launch}").gauss(0.0, self.noise)
        factor = (self.slower if turn.side is Side.CANDIDATE else 1.0) * (1.0 + luck)
        return Block(
            side=turn.side,
            pair=turn.pair,
            launch=turn.launch,
            values={
                **USUAL,
                "perf_throughput": USUAL["perf_throughput"] / factor,
                "perf_latency_p99": USUAL["perf_latency_p99"] * factor,
            },
            counts={"requests": 2000.0},
            seconds=spec.max_seconds + 1.0,
            remarks=self.remarks,
        )
