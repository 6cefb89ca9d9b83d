"""Several measurements at a time, in virtual time: whose end comes first is up to a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from analyzer.record.row import Phase, Row, Trial
from analyzer.stages import Campaign
from analyzer.statistics.estimate import Estimate
from support.world import World

_SURE = 0.02


@dataclass(kw_only=True)
class Lanes:
    """A machine with GPUs that are as fast as ``world`` says, and its journal.

    Measurements take as long as luck has it. ``disturbed`` is the factor by which throughput falls
    where several run at a time. ``after`` rows it is stopped: what runs then ends, and is kept.
    """

    world: World
    luck: int = 0
    disturbed: float = 1.0
    after: int = 10**6
    journal: list[Row] = field(default_factory=list)
    most: int = 0
    ended: float = 0.0

    def run(self, campaign: Campaign, told: Iterable[Row] = ()) -> list[Row]:
        """Tell what there is, measure to the end; return the new rows in the order of their end."""
        number = 0
        for row in told:
            campaign.tell(row)
            number = max(number, row.number + 1)
        running: list[tuple[float, int, Trial]] = []
        now, new = 0.0, 0
        while True:
            for trial in campaign.due() if new < self.after else ():
                if all(trial != other for _, _, other in running):
                    dice = random.Random(f"{self.luck} {trial}")
                    heapq.heappush(running, (now + dice.uniform(1.0, 9.0), number, trial))
                    number += 1
            if not running:
                self.ended = now
                return self.journal
            self.most = max(self.most, len(running))
            now, place, trial = heapq.heappop(running)
            self.journal.append(self.row(trial, place))
            campaign.tell(self.journal[-1])
            new += 1
            assert new < 500

    def row(self, trial: Trial, number: int) -> Row:
        """Measure a trial; how long it took depends on nothing but what it is."""
        seconds = random.Random(f"{self.luck} {trial}").uniform(1.0, 9.0)
        row = self.world.row(trial, number, seconds=seconds)
        if row.failure is not None:
            return row
        metrics = dict(row.metrics)
        if trial.beside > 1:
            metrics["perf_throughput"] *= self.disturbed
        tags = ("perf_throughput", "perf_latency_avg")
        return replace(
            row,
            metrics=metrics,
            estimates={tag: about(metrics[tag]) for tag in tags},
            gpu=f"GPU-{number}" if trial.phase is Phase.ABREAST else "",
        )


def about(value: float) -> Estimate:
    """Return an estimate that is sure to within 2 %."""
    return Estimate(value=value, low=value * (1 - _SURE), high=value * (1 + _SURE))
