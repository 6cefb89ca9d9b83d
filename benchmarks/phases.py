"""Closed loops that fall into step, in virtual time: is an interval of one run right for others?

The engine's own batcher serves a few clients that wait for their answers. Service times hardly
vary, so which requests share a batch stays for a whole run as it came about in its beginning, and
another beginning brings another latency. What is true is the mean of very many beginnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.simulation.predict import world_of
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from analyzer.statistics.stopping import Precision, PrecisionRule, Verdict, episodes_of
from analyzer.statistics.summary import Summary, summarise
from benchmarks.streams import Dice
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig

MS = 1_000_000
CHUNK_NS = 100 * MS
WARM_NS = 500 * MS
PERCENTILES = (50.0, 99.0)
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """Two instances that compute ``fixed_ms`` and ``row_ms`` for each of up to four requests."""

    clients: int
    fixed_ms: float = 10.0
    row_ms: float = 1.0
    variation: float = 0.002

    @property
    def name(self) -> str:
        """What it is, in short."""
        return f"{self.clients} clients, 2 instances, {self.fixed_ms:g} ms + {self.row_ms:g} each"

    def run(self, dice: Dice, starts: Sequence[int], until_ns: int) -> tuple[Times, Times]:
        """Give the ends and latencies of all requests from the first start until some moment."""
        config = ModelConfig(
            max_batch_size=4,
            instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=2),),
            dynamic_batching=DynamicBatching(),
        )
        service = ServiceModel(
            curve=Curve.affine(self.fixed_ms * MS, self.row_ms * MS),
            multipliers=log_normal(self.variation),
            admit_ns=20_000,
            respond_ns=20_000,
        )
        world = world_of(config, service, starts, seed=int(dice.integers(1 << 31)))
        seen = world.seen
        while seen.now_ns <= until_ns or len(seen.ended_ns) < 2 * self.clients:
            world.run(len(seen.ended_ns) + 8 * self.clients)
        done, latency = (np.array(each, np.int64) for each in (seen.ended_ns, seen.latency_ns))
        return done, latency


def truth(loop: Locked, dice: Dice, beginnings: int, seconds: float) -> Summary:
    """Summarise very many beginnings, each for some seconds."""
    every = []
    for _ in range(beginnings):
        starts = np.sort(dice.integers(0, 20 * MS, loop.clients)).tolist()
        done, latency = loop.run(dice, starts, int(seconds * 1e9))
        every.append((done, latency))
    at, parts, spans = 0, [], []
    for done, latency in every:
        parts.append((done + at, latency))
        spans.append((at + 80 * MS, at + int(seconds * 1e9)))
        at += int(done[-1])
    done, latency = (np.concatenate(each) for each in zip(*parts, strict=True))
    return summarise(done, latency, percentiles=PERCENTILES, spans_ns=spans)


def measured(
    loop: Locked, dice: Dice, precision: Precision, *, episodes: bool = True
) -> tuple[Summary, Verdict]:
    """Measure until the rule has enough, as the load client does."""
    found = episodes_of(precision, loop.clients) if episodes else None
    rule = PrecisionRule(precision, episodes=found)
    starts = np.sort(dice.integers(0, 20 * MS, loop.clients)).tolist()
    done, latency = loop.run(dice, starts, WARM_NS + int(precision.max_seconds * 1e9))
    warm = done <= WARM_NS
    if found is None:
        verdict = _told(rule, done[~warm], latency[~warm])
        return rule.summary(), verdict
    found.warm(latency[warm], WARM_NS)
    now, verdict = WARM_NS, Verdict.GO_ON
    while verdict is Verdict.GO_ON:
        # Drained after one latency, and begun anew 2 ms later.
        at = now + int(latency[-1]) + 2 * MS
        found.begin(at)
        starts = np.sort(dice.integers(0, found.spread_ns, loop.clients)).tolist()
        assert found.pause_ns is not None
        done, latency = loop.run(dice, starts, found.pause_ns - at)
        now = found.pause_ns
        told = done + at <= now + int(latency[-1])
        verdict = _told(rule, done[told] + at, latency[told])
    return rule.summary(), verdict


def _told(rule: PrecisionRule, done: Times, latency: Times) -> Verdict:
    """Tell a rule of what finished, chunk by chunk."""
    for begin in range(int(done[0]), int(done[-1]) + 1, CHUNK_NS):
        part = slice(*np.searchsorted(done, (begin, begin + CHUNK_NS)))
        verdict = rule.add(done[part], latency[part], min(begin + CHUNK_NS, int(done[-1])))
        if verdict is not Verdict.GO_ON:
            return verdict
    return Verdict.GO_ON
