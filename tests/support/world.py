"""A simulated server and machine: throughput and latency of a candidate, with noise.

Closed loop, mean values: instances that share cores, threads that scale by Amdahl, batches
that form out of what waits, a front end with a limit. It is no copy of what any strategy
believes: a strategy sees only outcomes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from analyzer import variant
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Failure, LoadSpec, Row, Trial
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    LOADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A model on a machine. Times in ms; ``serial`` is Amdahl's share that threads cannot cut."""

    cores: int = 2
    fixed_ms: float = 1.0
    row_ms: float = 1.0
    serial: float = 0.1
    crowding: float = 0.3
    front_end_ms: float = 0.05
    tail: float = 1.4
    memory_mb: float = math.inf
    instance_mb: float = 100.0
    row_mb: float = 1.0
    noise: float = 0.0
    seed: int = 0

    def space(self, most_concurrency: int = 1024) -> Space:
        counts = tuple(range(1, min(5, self.cores) + 1))
        threads = tuple(2**k for k in range(self.cores.bit_length()))
        return Space(
            (
                Dimension(INSTANCE_COUNT, counts),
                Dimension(INTRA_OP_THREADS, threads),
                Dimension(QUEUE_DELAY, (-1, 0, 100, 500, 2000)),
                Dimension(MAX_BATCH_SIZE, tuple(2**k for k in range(8))),
                Dimension(
                    CONCURRENCY,
                    tuple(2**k for k in range(most_concurrency.bit_length())),
                    Axis.LOAD,
                ),
            )
        )

    def truth(self, candidate: Candidate) -> dict[str, float] | None:
        """Return the metrics without noise; None where the variant does not load."""
        at = dict(variant.canonical(candidate).items)
        if (rate := at.pop(REQUEST_RATE, None)) is not None:
            return self._open(Candidate.of(**at), float(rate))
        instances = int(at.get(INSTANCE_COUNT, 1))
        threads = int(at.get(INTRA_OP_THREADS, 1))
        delay_us, largest = int(at.get(QUEUE_DELAY, -1)), int(at.get(MAX_BATCH_SIZE, 1))
        clients = int(at.get(CONCURRENCY, 1))
        memory = instances * (self.instance_mb + self.row_mb * largest)
        if memory > self.memory_mb:
            return None
        busy = min(instances, clients)
        waiting = clients / busy
        # An eager batcher finds less than all that could wait; a delay gathers the rest.
        rows = 1.0
        delay_ms = 0.0
        if delay_us >= 0 and largest > 1:
            gathered = 0.7 + 0.3 * min(1.0, delay_us / 1000 / (self.fixed_ms + self.row_ms))
            rows = max(1.0, min(largest, waiting * gathered))
            delay_ms = delay_us / 1000 if rows < largest else 0.0
        speed = 1.0 / (self.serial + (1.0 - self.serial) / threads)
        crowd = busy * threads / self.cores
        slower = 1.0 if crowd <= 1.0 else crowd * (1.0 + self.crowding * (crowd - 1.0))
        service = (self.fixed_ms + self.row_ms * rows) / speed * slower
        cycle = service + delay_ms + self.front_end_ms
        # All clients in one batch: the instance idles while they turn around.
        if waiting < 2.0 * rows:
            cycle += self.front_end_ms * rows
        rate = min(1000.0 * busy * rows / cycle, 1000.0 / self.front_end_ms)
        average = 1000.0 * clients / rate
        return {
            "perf_throughput": rate,
            "perf_latency_avg": average,
            "perf_latency_p99": average * self.tail + delay_ms,
            "cpu_used_ram": memory,
        }

    def _open(self, setting: Candidate, rate: float) -> dict[str, float] | None:
        """Return the metrics of an open loop: a queue in front of what a closed one can do."""
        alone, full = (
            self.truth(setting.replaced(**{CONCURRENCY: clients})) for clients in (1, 1024)
        )
        if alone is None or full is None:
            return None
        most = full["perf_throughput"]
        average = alone["perf_latency_avg"] / (1.0 - min(rate / most, 0.99))
        return {
            **full,
            "perf_throughput": min(rate, most),
            "perf_latency_avg": average,
            "perf_latency_p99": average * self.tail,
        }

    def metrics(self, candidate: Candidate, repetition: int = 0) -> dict[str, float] | None:
        """Return the metrics as one measurement shows them."""
        truth = self.truth(candidate)
        if truth is None:
            return None
        dice = random.Random(f"{self.seed} {candidate} {repetition}")
        luck = math.exp(dice.gauss(0.0, self.noise))
        tail_luck = math.exp(dice.gauss(0.0, 2.0 * self.noise))
        return {
            **truth,
            "perf_throughput": truth["perf_throughput"] * luck,
            "perf_latency_avg": truth["perf_latency_avg"] / luck,
            "perf_latency_p99": truth["perf_latency_p99"] / luck * tail_luck,
        }

    def row(self, trial: Trial, number: int = 0, *, model: str = "m", seconds: float = 4.0) -> Row:
        """Measure a trial as a bench would."""
        plain = [item for item in trial.candidate.items if item[0] not in LOADS]
        key = str(variant.canonical(Candidate(tuple(plain))))
        default = not plain
        metrics = self.metrics(trial.candidate, trial.repetition)
        row = Row(
            number=number,
            taken_at="2026-01-01T00:00:00+00:00",
            seconds=seconds,
            model=model,
            variant=f"{model}_config_default" if default else f"{model}_config_{key}",
            digest=key,
            trial=trial,
            load=LoadSpec(
                concurrency=int(trial.candidate.get(CONCURRENCY) or 1),
                request_rate=float(trial.candidate.get(REQUEST_RATE) or 0.0),
            ),
            stable=True,
        )
        if metrics is None:
            return replace(row, failure=Failure(stage="launch", message="out of memory"))
        rate = metrics["perf_throughput"]
        return replace(row, metrics=metrics, window_rates=(rate * 0.99, rate, rate * 1.01))


def random_world(dice: random.Random, noise: float = 0.01) -> World:
    """Make a world that nobody chose."""
    row = 10 ** dice.uniform(-1.5, 1.7)
    heavy = dice.random() < 0.25
    return World(
        cores=dice.choice((2, 4, 8, 16)),
        fixed_ms=row * 10 ** dice.uniform(-1.5, 1.0),
        row_ms=row,
        serial=dice.uniform(0.02, 0.5),
        crowding=dice.uniform(0.05, 0.6),
        front_end_ms=10 ** dice.uniform(-1.6, -0.7),
        tail=dice.uniform(1.1, 2.0),
        memory_mb=dice.uniform(300, 900) if heavy else math.inf,
        noise=noise,
        seed=dice.randrange(10**6),
    )


def outcomes(world: World, goal: Goal) -> Callable[[Candidate], Outcome]:
    """Return what tells a strategy of a candidate in this world."""

    def measure(candidate: Candidate) -> Outcome:
        return goal.outcome(world.row(Trial(candidate=candidate)), None)

    return measure


def oracle(world: World, goal: Goal) -> float | None:
    """Return the best true score in the whole space that keeps the constraints."""
    truths = (world.truth(candidate) for candidate in world.space())
    scores = [
        goal.score(truth, {}) for truth in truths if truth is not None and goal.satisfied(truth)
    ]
    return max((score for score in scores if score is not None), default=None)


def run(
    strategy: Strategy, measure: Callable[[Candidate], Outcome], limit: int = 100_000
) -> Iterator[Outcome]:
    """Ask, measure, tell, until there is nothing more to ask."""
    for _ in range(limit):
        candidate = strategy.ask()
        if candidate is None:
            return
        outcome = measure(candidate)
        strategy.tell(outcome)
        yield outcome
    message = f"more than {limit} questions"
    raise AssertionError(message)
