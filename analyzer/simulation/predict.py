"""What a configuration would do under a load: throughput, latencies, batches, waits. Pure.

Owns how a configuration and a load become a world, which part of what happens counts, and how that
is said: by the same formulas as what is measured (``metrics``). The beginning does not count, when
nobody is there yet. Sequences, ensembles and decoupled models are not predicted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from analyzer.metrics import BatchTimes, Observed, ServerTimes, evaluate
from analyzer.record.row import LoadSpec
from analyzer.simulation.service import ServiceModel
from analyzer.simulation.world import Pace, Seen, World, Write
from analyzer.space import INSTANCE_COUNT, INTRA_OP_THREADS
from analyzer.variant import settings
from engine.modelconfig.schema import ModelConfig
from engine.queueing import deadline_ns
from engine.ranking import level_of
from engine.scheduler import Ticket
from engine.schedulers import make

REQUESTS = 2000
#: so many requests of every client of a closed loop, at least
ROUNDS = 8
#: this share of the requests comes first and does not count
_FORGOTTEN = 0.2
#: an open loop that sends so many times more than is answered is overloaded, and need not go on
_CROWD = 8
_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What would be measured.

    ``metrics`` are Model Analyzer's, by tag, in the units of ``analyzer.metrics``: throughput and
    latencies, the server's times, the mean batch; ``server`` are the server's own times, None if it
    ran nothing. ``utilisation`` is the share of the time that
    instances are at work, 0 to 1, and ``refused`` the share of the requests that the queue policy
    refuses.
    """

    metrics: Mapping[str, float]
    server: ServerTimes | None
    utilisation: float
    refused: float

    @property
    def throughput(self) -> float:
        """Inferences a second."""
        return self.metrics.get("perf_throughput", 0.0)

    @property
    def mean_batch(self) -> float:
        """Rows a batch; 0 if none ran."""
        return self.metrics.get("server_batch_size", 0.0)

    @property
    def queue_ms(self) -> float:
        """How long a request waits for its batch to begin, on average."""
        return self.metrics.get("perf_server_queue", 0.0)

    @property
    def latency_ms(self) -> float:
        """The mean latency; infinite where nothing is answered."""
        return self.metrics.get("perf_latency_avg", float("inf"))

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latency (50, 90, 95 or 99), ms; infinite as above."""
        return self.metrics.get(f"perf_latency_p{percent}", float("inf"))


def why_unpredictable(config: ModelConfig) -> str | None:
    """Say why a configuration cannot be predicted, or None where it can."""
    if config.is_ensemble:
        return "an ensemble is as fast as the models that it is made of"
    if config.sequence_batching is not None:
        return "what sequences do depends on who sends them"
    if config.decoupled:
        return "a decoupled model answers as often as it likes"
    return None


def simulate(  # noqa: PLR0913 - what is predicted, and how closely: each by its name
    config: ModelConfig,
    service: ServiceModel,
    load: LoadSpec,
    *,
    seed: int = 0,
    requests: int = REQUESTS,
    rounds: int = ROUNDS,
    priorities: Sequence[int] = (0,),
) -> Prediction:
    """Predict what ``load`` would measure of a model that is served by ``config``.

    At least ``requests`` are answered, and in a closed loop ``rounds`` of every client, by turns of
    the given ``priorities``. The same seed gives
    the same prediction, and other configurations the same luck, so that differences are theirs.

    Raises:
        ValueError: it cannot be predicted (``why_unpredictable``).
    """
    if reason := why_unpredictable(config):
        raise ValueError(reason)
    found = settings(config)
    instances: int = found[INSTANCE_COUNT] or 1
    dice = np.random.default_rng(seed)
    pace = _pace(
        service,
        dice,
        instances,
        found[INTRA_OP_THREADS],
        max(config.max_batch_size, load.batch_size),
    )
    gaps = _gaps(load, np.random.default_rng((seed, 1))) if load.request_rate else None
    clients = 0 if gaps is not None else load.concurrency
    answers = max(requests, rounds * clients)
    world = World(
        make(config, instances),
        pace,
        _writer(config, load.batch_size, priorities),
        clients=clients,
        gaps=islice(gaps, _CROWD * answers) if gaps is not None else None,
    )
    seen = world.run(answers)
    return _said(seen, load, instances)


def world_of(
    config: ModelConfig, service: ServiceModel, starts: Sequence[int], *, seed: int = 0
) -> World:
    """Make the world of a closed loop whose clients begin at some moments, ns, which rise."""
    found = settings(config)
    instances: int = found[INSTANCE_COUNT] or 1
    threads = found[INTRA_OP_THREADS]
    dice = np.random.default_rng(seed)
    return World(
        make(config, instances),
        _pace(service, dice, instances, threads, max(1, config.max_batch_size)),
        _writer(config, 1, (0,)),
        clients=len(starts),
        starts=starts,
    )


def _pace(
    service: ServiceModel, dice: np.random.Generator, instances: int, said: int | None, rows: int
) -> Pace:
    threads = service.threads_of(instances, said)
    slowdown = [service.slowdown(threads, max(1, busy)) for busy in range(instances + 1)]
    alone = [0.0, *map(service.curve.at, range(1, rows + 1))]
    if service.inline:
        alone = [time * slowdown[1] for time in alone]
    return Pace(
        alone=alone,
        slowdown=slowdown,
        multipliers=_drawn(service.multipliers, dice),
        varying=[math.sqrt(alone[1] * time) for time in alone],
        admit_ns=service.admit_ns,
        respond_ns=service.respond_ns,
        batch_ns=service.batch_ns,
        outside_ns=service.outside_ns,
        inline=service.inline,
    )


def _drawn(values: Sequence[float], dice: np.random.Generator) -> Iterator[float]:
    every = np.array(values)
    while True:
        yield from dice.choice(every, _CHUNK).tolist()


def _gaps(load: LoadSpec, dice: np.random.Generator) -> Iterator[int]:
    """Yield times between arrivals, ns, by the distributions of the load client."""
    mean_ns = 1e9 / load.request_rate
    cv = {"constant": 0.0, "poisson": 1.0}.get(load.distribution, load.distribution_cv)
    while True:
        if cv:
            shape = 1 / (cv * cv)
            gaps = dice.gamma(shape, mean_ns / shape, _CHUNK)
        else:
            gaps = np.full(_CHUNK, mean_ns)
        yield from np.rint(gaps).astype(np.int64).tolist()


def _writer(config: ModelConfig, rows: int, priorities: Sequence[int]) -> Write:
    """Make what writes tickets, as the engine's admission does for requests of one shape."""
    batching = config.dynamic_batching
    if batching is None:
        return lambda number, now: Ticket(number, rows, now)
    levels = [level_of(batching, priority) for priority in priorities]
    policies = [
        batching.priority_queue_policy.get(level, batching.default_queue_policy)
        if level
        else batching.default_queue_policy
        for level in levels
    ]
    turns = len(levels)

    def write(number: int, now: int) -> Ticket:
        place = number % turns
        due = deadline_ns(policies[place], now, 0)
        return Ticket(number, rows, now, due, None, levels[place])

    return write


def _said(seen: Seen, load: LoadSpec, instances: int) -> Prediction:
    """Make of what happened what would be measured, once the beginning is forgotten."""
    ended, refused = seen.ended_ns, seen.refused
    every = sorted((*ended, *refused)) if refused else ended
    start = every[int(_FORGOTTEN * len(every))] if every else 0
    first = bisect_right(ended, start)
    turned_away = len(refused) - bisect_right(refused, start)
    latencies = np.array(seen.latency_ns[first:], np.int64)
    answered = len(latencies)
    begun = bisect_right(seen.batches, start, key=lambda batch: batch[0])
    server = _server(seen, begun, load.batch_size, float(latencies.mean()) if answered else 0.0)
    metrics = evaluate(
        Observed(
            seconds=(seen.now_ns - start) / 1e9,
            batch_size=load.batch_size,
            latency_ns=latencies,
            window_rates=(),
            server=server,
        )
    )
    return Prediction(
        metrics={tag: metrics[tag] for tag in _TAGS if tag in metrics},
        server=server,
        utilisation=min(1.0, seen.busy / (instances * seen.now_ns)) if seen.now_ns else 0.0,
        refused=turned_away / (turned_away + answered) if turned_away else 0.0,
    )


def _server(seen: Seen, begun: int, rows: int, latency_ns: float) -> ServerTimes | None:
    """Make the server's own times of the batches from number ``begun`` on."""
    ended = [
        (len(dispatch.tickets), took)
        for (_, dispatch), took in zip(seen.batches[begun:], seen.took_ns[begun:], strict=True)
        if took
    ]
    requests = sum(count for count, _ in ended)
    if not requests:
        return None
    by_size: dict[int, list[float]] = {}
    for count, took in ended:
        by_size.setdefault(count * rows, []).append(took)
    return ServerTimes(
        requests=requests,
        inferences=requests * rows,
        executions=len(ended),
        request_ns=latency_ns,
        queue_ns=sum(seen.queue_ns[begun:]) / requests,
        compute_input_ns=0.0,
        compute_infer_ns=sum(count * took for count, took in ended) / requests,
        compute_output_ns=0.0,
        batches=tuple(
            BatchTimes(
                batch_size=size,
                executions=len(times),
                compute_input_ns=0.0,
                compute_infer_ns=sum(times) / len(times),
                compute_output_ns=0.0,
            )
            for size, times in sorted(by_size.items())
        ),
    )


_TAGS = (
    "perf_throughput",
    "perf_latency_avg",
    *(f"perf_latency_p{percent}" for percent in (50, 90, 95, 99)),
    "perf_server_queue",
    "server_batch_size",
)
