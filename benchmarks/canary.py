"""``python -m benchmarks.canary``: does the gate catch what it should, and nothing else?

A model of known speed is slowed so that it answers 0, 3, 5 and 10 % fewer requests, and ``analyze
check``'s rules judge it by the usual gates (throughput -5 %, p99 +10 %) and the default budget, a
hundred times each. Four hundred gates of real servers would take a day; here the served system runs
in virtual time: the engine's own batcher, a closed loop, and service times that vary by batch, by
measurement and by launch, on a machine that wanders. Blocks go through the code that real ones go
through. ``--real`` checks real servers instead, which takes minutes a gate.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import numpy as np

from analyzer.gate.gates import parse
from analyzer.gate.plan import Turn, turns
from analyzer.gate.sequential import Decision, decide
from analyzer.gate.values import REQUESTS, Block, Gate, Settings, Side, Verdict, overall
from analyzer.simulation.predict import world_of
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from analyzer.statistics.histogram import Histogram
from benchmarks import real_gates
from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig

Dice = np.random.Generator

MS = 1_000_000
GATES: tuple[Gate, ...] = (parse("perf_throughput:-5%"), parse("perf_latency_p99:+10%"))
SLOWER = (0.0, 0.03, 0.05, 0.10)
TIMES = 100
#: what has to come out for each slowdown: the verdict, and how often at least or at most
DUE: Mapping[float, tuple[str, float]] = {
    0.0: ("at most", 0.01), 0.05: ("at least", 0.90), 0.10: ("at least", 0.99),
}  # fmt: skip
#: two instances that each take 20 ms for up to four requests, loaded by 16 clients
CLIENTS = 16
CONFIG = ModelConfig(
    max_batch_size=4,
    instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=2),),
    dynamic_batching=DynamicBatching(),
)
SERVICE = ServiceModel(
    curve=Curve.affine(20 * MS, 0), admit_ns=20_000, respond_ns=20_000, batch_ns=20_000,
    outside_ns=100_000,
)  # fmt: skip
#: of a block: what counts, what does not, and a launch before it, s
BLOCK_S, WARM_S, LAUNCH_S = 2.0, 0.2, 1.5
#: how much of the machine's wandering is left from one block to the next
_MEMORY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How a machine varies: standard deviations of the logarithm of how fast it is.

    ``launch`` from one process to the next, ``block`` from one measurement of a process to the
    next, ``drift`` of what both sides share as time goes by; ``batch`` is the coefficient of
    variation of single batches.
    """

    launch: float
    block: float
    drift: float
    batch: float = 0.05

    @classmethod
    def of(cls, deviation: float) -> Noise:
        """Split what two launches measure differently: 4 parts to the launch, 3 to the block."""
        return cls(launch=0.8 * deviation, block=0.6 * deviation, drift=deviation)

    @property
    def deviation(self) -> float:
        """How much two launches' measurements scatter, drift apart."""
        return math.hypot(self.launch, self.block)


#: throughput of one process repeats within 0.7 to 1.3 % (results/*repeat*); new processes scatter
#: more, which makes up to 2 % of both. What a machine with twice as much does stands beside it
NOISES = tuple(map(Noise.of, (0.02, 0.04)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One gate: the verdict, what each of its parts came to, and how long it took."""

    verdict: str
    parts: tuple[str, ...]
    change: float
    pairs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A slowdown gated again and again; ``truth`` is what it does to the throughput."""

    noise: Noise
    slower: float
    truth: float
    gated: tuple[Gated, ...]

    def share(self, verdict: Verdict) -> float:
        """Return how often it came to this verdict."""
        return Counter(each.verdict for each in self.gated)[verdict.value] / len(self.gated)

    @property
    def as_due(self) -> bool | None:
        """Whether failures are as frequent as they ought to be; None where nothing is due."""
        if self.slower not in DUE:
            return None
        kind, share = DUE[self.slower]
        failed = self.share(Verdict.FAIL)
        return failed <= share if kind == "at most" else failed >= share


def measured(
    slower: float, speed: float, dice: Dice, seconds: float = BLOCK_S, batch: float = 0.05
) -> tuple[Mapping[str, float], Histogram]:
    """Measure the system in virtual time, slowed so that a share of its throughput is missing.

    ``speed`` is how fast the machine is at the moment.
    """
    service = replace(
        SERVICE,
        curve=SERVICE.curve.scaled(1 / (1 - slower) / speed),
        multipliers=log_normal(batch),
    )
    starts = np.sort(dice.integers(0, 20 * MS, CLIENTS)).tolist()
    world = world_of(CONFIG, service, starts, seed=int(dice.integers(1 << 31)))
    until = int((WARM_S + seconds) * 1e9)
    while world.seen.now_ns <= until:
        world.run(len(world.seen.ended_ns) + 8 * CLIENTS)
    ended = np.array(world.seen.ended_ns, np.int64)
    latency = np.array(world.seen.latency_ns, np.int64)
    counted = latency[(ended > WARM_S * 1e9) & (ended <= until)]
    found = Histogram.of(counted)
    values = {
        "perf_throughput": len(counted) / seconds,
        "perf_latency_avg": found.mean / MS,
        "perf_latency_p99": found.quantile(0.99) / MS,
    }
    return values, found


def blocks(slower: float, noise: Noise, dice: Dice, seconds: float = BLOCK_S) -> Iterator[Block]:
    """Yield blocks of both sides, in the order in which they are measured, without end."""
    drift = dice.normal(0.0, noise.drift)
    launched: dict[tuple[Side, int], float] = {}
    for turn in turns():
        drift = _MEMORY * drift + math.sqrt(1 - _MEMORY**2) * dice.normal(0.0, noise.drift)
        if turn.fresh:
            launched[turn.side, turn.launch] = dice.normal(0.0, noise.launch)
        luck = launched[turn.side, turn.launch] + dice.normal(0.0, noise.block)
        yield _block(turn, slower, math.exp(drift + luck), dice, seconds, noise.batch)


def _block(
    turn: Turn, slower: float, speed: float, dice: Dice, seconds: float, batch: float
) -> Block:
    of = slower if turn.side is Side.CANDIDATE else 0.0
    values, found = measured(of, speed, dice, seconds, batch)
    return Block(
        side=turn.side,
        pair=turn.pair,
        launch=turn.launch,
        values=values,
        counts={REQUESTS: found.count},
        histogram=found.text,
        seconds=WARM_S + seconds + LAUNCH_S,
    )


def gate(
    slower: float,
    noise: Noise,
    seed: tuple[int, ...],
    settings: Settings | None = None,
    seconds: float = BLOCK_S,
) -> Gated:
    """Measure blocks and judge them until all gates have their verdict, or the budget is spent."""
    rules = settings or Settings()
    seen: list[Block] = []
    decision: Decision | None = None
    for block in blocks(slower, noise, np.random.default_rng(seed), seconds):
        seen.append(block)
        if len(seen) % 2 == 0:
            decision = decide("canary", GATES, seen, rules)
            if not decision.go_on:
                break
    assert decision is not None
    first = decision.findings[0]
    return Gated(
        verdict=overall(decision.findings).value,
        parts=tuple(finding.verdict.value for finding in decision.findings),
        change=math.nan if first.change is None else first.change,
        pairs=decision.pairs,
        seconds=math.fsum(block.seconds for block in seen),
    )


def canary(slower: float, noise: Noise, times: int, seconds: float = BLOCK_S) -> Canary:
    """Gate one slowdown again and again."""
    numbers = (round(slower * 1000), round(noise.deviation * 1000))
    return Canary(
        noise=noise,
        slower=slower,
        truth=truth(slower, 30 * seconds),
        gated=tuple(
            gate(slower, noise, (*numbers, number), seconds=seconds) for number in range(times)
        ),
    )


def truth(slower: float, seconds: float = 60.0) -> float:
    """Return what a slowdown does to the throughput where nothing but batches varies."""
    rates = [
        measured(each, 1.0, np.random.default_rng(0), seconds)[0]["perf_throughput"]
        for each in (0.0, slower)
    ]
    return rates[1] / rates[0] - 1


HEAD = (
    "slowed by",
    "true change of throughput",
    "fail",
    "pass",
    "inconclusive",
    "failures due",
    "as due",
    "throughput's gate alone fails",
    "pairs (mean)",
    "seconds (mean)",
)


def rows(found: Sequence[Canary]) -> list[tuple[str, ...]]:
    """Lay out one noise's figures."""
    laid = []
    for each in found:
        due = (
            " ".join((DUE[each.slower][0], f"{DUE[each.slower][1]:.0%}"))
            if (each.slower in DUE)
            else "-"
        )
        alone = fmean(one.parts[0] == Verdict.FAIL.value for one in each.gated)
        laid.append(
            (
                f"{each.slower:.0%}",
                f"{each.truth:+.2%}",
                *(
                    f"{each.share(verdict):.0%}"
                    for verdict in (Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE)
                ),
                due,
                {None: "-", True: "yes", False: "**no**"}[each.as_due],
                f"{alone:.0%}",
                f"{fmean(one.pairs for one in each.gated):.1f}",
                f"{fmean(one.seconds for one in each.gated):.0f}",
            )
        )
    return laid


def page(found: Sequence[Canary], machine: Mapping[str, str]) -> str:
    """Lay all of it out for people."""
    settings, times = Settings(), len(found[0].gated)
    parts = [
        f"# What the gate catches, {datetime.now(UTC):%Y-%m-%d}",
        table(("", ""), machine.items()),
        (
            f"{times} gates for each slowdown and noise: throughput -5%, p99 +10%, margin "
            f"{settings.margin:.0%}, alpha {settings.alpha:g}, at most {settings.max_pairs} pairs, "
            f"blocks of {BLOCK_S:g} s, a new process of both sides for every pair. In virtual "
            "time: two instances of 20 ms for up to four requests, 16 clients."
        ),
    ]
    for noise in dict.fromkeys(each.noise for each in found):
        mine = [each for each in found if each.noise == noise]
        parts += [
            (
                f"## Two launches scatter by {noise.deviation:.0%} (launch {noise.launch:.1%}, "
                f"measurement {noise.block:.1%}); the machine wanders by {noise.drift:.0%}"
            ),
            table(HEAD, rows(mine)),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Gate all of it and write it down."""
    given = _arguments()
    machine = dict(described())
    if given.real:
        _real(given, machine)
        return
    found = []
    for noise in NOISES:
        for slower in SLOWER:
            found.append(canary(slower, noise, given.times))
            sys.stderr.write(f"noise {noise.deviation:.0%}, slowed by {slower:.0%}: done\n")
    text = page(found, machine)
    sys.stdout.write(text)
    if not given.quick:
        taken_at = datetime.now(UTC).isoformat(timespec="seconds")
        every = [asdict(each) for each in found]
        plain = {"taken_at": taken_at, "machine": machine, "canaries": every}
        keep(given.output, plain, text, "canary")


def _real(given: argparse.Namespace, machine: Mapping[str, str]) -> None:
    """Gate real servers so many times for each slowdown, by turns."""
    real_gates.run(
        SLOWER, 1 if given.quick else given.real, None if given.quick else given.output, machine
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench canary", description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="gates of each slowdown")
    parser.add_argument(
        "--real", type=int, default=0,
        help="gates of real servers for each slowdown instead; goes on where it was ended",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="3 gates each; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.times = 3
    return given


if __name__ == "__main__":
    main()
