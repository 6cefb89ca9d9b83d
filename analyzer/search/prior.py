"""What the simulator says of every candidate, once a few were measured. Pure.

Rules:

1. The service-time model is learned from the outcomes' rows, and learned anew when enough has come
   (``_LEARNED``): what is thought is a function of the outcomes. Where the space has categories
   (backends, precisions), each has a model of its own as soon as it has rows to learn from; until
   then it is taken to be like the one that has most.
2. Closed forms (``coarse``) say something of every candidate. The simulator looks at some that are
   spread over the space, at those that were measured, and at those that the search asks it to look
   at; its differences from the closed forms carry over to what is near.
3. What cannot be predicted (ensembles, sequences, several models) has no prior. Nor has a server
   that says nothing of itself: its curve would be a guess.

How much is simulated depends on the space and the outcomes, never on a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer import variant
from analyzer.record.outcome import Outcome
from analyzer.record.row import LoadSpec
from analyzer.search import coarse
from analyzer.search.features import Embedding, acting
from analyzer.search.gp import Floats, Likely, carried
from analyzer.simulation.fitting import Effort, fit
from analyzer.simulation.observation import Observation
from analyzer.simulation.predict import simulate, why_unpredictable
from analyzer.simulation.service import ServiceModel
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    SEPARATOR,
    Candidate,
    Space,
    Value,
)
from engine.modelconfig.schema import ModelConfig

_THROUGHPUT, _MEAN = "perf_throughput", "perf_latency_avg"
#: the model is learned anew with so many outcomes, so that thinking does not grow with every one
_LEARNED = (1, 2, 3, 4, 6, 10, 17, 30, 50, 80)
#: outcomes whose simulations are brought near to what was measured: the dearest part of learning
_REFINED = 3
#: and what that may take
_EFFORT = Effort(tries=1, rounds=4)
#: requests of a look, and rounds of every client
_LOOK, _ROUNDS = 120, 3
#: a load of so many times what instances and queue take is as any higher one
_SATURATED = 3
#: how far the simulator is from the closed forms, and how far that carries
_CORRECTION = Likely(amplitude=0.25, length=1.0, level=0.25)
#: the noise of so short a simulation
_ROUGH = 0.02


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Logarithms of throughputs, and of latencies' ratios to the mean by tag, of each candidate."""

    rate: Floats
    tails: Mapping[str, Floats]
    service: ServiceModel


class Simulated:
    """Predicts the candidates of one space. What it remembers only saves time."""

    def __init__(
        self, space: Space, base: ModelConfig | None, cores: int | None, embedding: Embedding
    ) -> None:
        self._base = base
        self._cores = cores or 0
        self._embedding = embedding
        names = [each.name for each in space.dimensions]
        self._possible = (
            base is not None
            and why_unpredictable(base) is None
            and not any(SEPARATOR in name for name in names)
        )
        self._services: dict[tuple[Candidate, ...], ServiceModel | None] = {}
        self._recent: list[tuple[ServiceModel, list[Candidate], Floats]] = []
        self._looks: dict[tuple[int, tuple[tuple[str, Value], ...]], Mapping[str, float]] = {}

    def foresee(
        self,
        outcomes: Sequence[Outcome],
        candidates: Sequence[Candidate],
        closer: Sequence[int],
        anchored: Sequence[int],
    ) -> Foreseen | None:
        """Predict candidates; those at ``closer`` by the simulator itself, as are ``anchored``."""
        if not self._possible:
            return None
        services = self._learn(outcomes)
        if services is None:
            return None
        own, usual = services
        load = next(each.row.load for each in outcomes if each.row is not None)
        groups: dict[tuple[Value, ...] | None, list[int]] = {}
        for place, candidate in enumerate(candidates):
            category = self._embedding.category(candidate)
            groups.setdefault(category if category in own else None, []).append(place)
        rate = np.zeros(len(candidates))
        tails = {tag: np.zeros(len(candidates)) for tag in _TAGS}
        looked = {*closer, *anchored}
        for group, places in groups.items():
            service = usual if group is None else own[group]
            mine = [candidates[place] for place in places]
            near = [number for number, place in enumerate(places) if place in looked]
            here, ratios = self._group(service, mine, near, load)
            rate[places] = here
            for tag, values in ratios.items():
                tails[tag][places] = values
        return Foreseen(rate, tails, usual)

    # Learning

    def _learn(
        self, outcomes: Sequence[Outcome]
    ) -> tuple[dict[tuple[Value, ...], ServiceModel], ServiceModel] | None:
        """Learn a model for each category that has rows, and the one of the default's."""
        useful = [each for each in outcomes if _tells(each)]
        if not useful:
            return None
        count = max(number for number in _LEARNED if number <= len(useful))
        by_category: dict[tuple[Value, ...], list[Outcome]] = {}
        for each in useful[:count]:
            by_category.setdefault(self._embedding.category(each.candidate), []).append(each)
        found = {
            category: service
            for category, mine in by_category.items()
            if (service := self._service(mine)) is not None
        }
        if not found:
            return None
        most = max(found, key=lambda category: len(by_category[category]))
        return found, found[most]

    def _service(self, outcomes: Sequence[Outcome]) -> ServiceModel | None:
        key = tuple(each.candidate for each in outcomes)
        if key not in self._services:
            seen = [Observation.of(each.row) for each in outcomes if each.row is not None]
            usable = [each for each in seen if each is not None]
            try:
                service = fit(usable, cores=self._cores, refined=_telling(usable), effort=_EFFORT)
            except ValueError:
                service = None
            self._services[key] = service
        return self._services[key]

    # Predicting

    def _group(
        self,
        service: ServiceModel,
        candidates: Sequence[Candidate],
        near: Sequence[int],
        load: LoadSpec,
    ) -> tuple[Floats, Mapping[str, Floats]]:
        values = self._closed_forms(service, candidates, load).copy()
        if near:
            looks = [self._look(service, candidates[number], load) for number in near]
            seen = np.array([[look[tag] for tag in (_THROUGHPUT, *_TAGS)] for look in looks])
            points = self._embedding.acting(candidates)
            here = points.take(list(near))
            values += carried(here, seen - values[list(near)], points, _ROUGH, _CORRECTION)
            values[list(near)] = seen
        return values[:, 0], {tag: values[:, 1 + place] for place, tag in enumerate(_TAGS)}

    def _closed_forms(
        self, service: ServiceModel, candidates: Sequence[Candidate], load: LoadSpec
    ) -> Floats:
        """Return what closed forms say, a column for the throughput and for each tail."""
        wanted = list(candidates)
        for model, before, values in self._recent:
            if model is service and before == wanted:
                return values
        layout = _layout([self._embedding.place(each) for each in candidates], load)
        rate = np.log(np.maximum(coarse.rates(service, layout), 1e-9))
        tails = [coarse.tails(service, layout, tag) for tag in _TAGS]
        values = np.stack([rate, *tails], axis=1)
        self._recent = [(service, wanted, values), *self._recent[:7]]
        return values

    def _look(
        self, service: ServiceModel, candidate: Candidate, load: LoadSpec
    ) -> Mapping[str, float]:
        """Simulate a candidate: logarithms of its throughput, and of its tails' ratios."""
        key = (id(service), self._embedding.key(candidate))
        if key not in self._looks:
            self._looks[key] = self._simulated(service, candidate, load)
        return self._looks[key]

    def _simulated(
        self, service: ServiceModel, candidate: Candidate, load: LoadSpec
    ) -> Mapping[str, float]:
        assert self._base is not None
        config = variant.make(candidate, self._base)
        asked = loaded(candidate, load)
        count = int(variant.settings(config)[INSTANCE_COUNT] or 1)
        batches = config.max_batch_size if config.dynamic_batching is not None else 1
        requests = max(1, batches // asked.batch_size)
        enough = _SATURATED * (count + 1) * requests
        stretched = 1.0
        if not asked.request_rate and asked.concurrency > enough:
            stretched = asked.concurrency / enough
            asked = replace(asked, concurrency=enough)
        found = simulate(config, service, asked, requests=_LOOK, rounds=_ROUNDS)
        rate = max(found.throughput, 1e-9)
        mean = found.latency_ms
        tails = {_MEAN: math.log(mean * rate / (1e3 * asked.concurrency * asked.batch_size))}
        for tag in _TAGS[1:]:
            ratio = found.metrics.get(tag, mean) / mean
            # Whoever waits for longer varies by no more: the rest of the wait is the same for all.
            tails[tag] = math.log(max(0.05, 1 + (ratio - 1) / stretched))
        if asked.request_rate:
            tails = {tag: math.log(max(found.metrics.get(tag, mean), 1e-6)) for tag in _TAGS}
        return {_THROUGHPUT: math.log(rate), **tails}


_TAGS = (_MEAN, *(f"perf_latency_p{percent}" for percent in (50, 90, 95, 99)))


def loaded(candidate: Candidate, load: LoadSpec) -> LoadSpec:
    """Return the load that a candidate is measured under, the rest as in ``load``."""
    clients = candidate.get(CONCURRENCY) or load.concurrency
    rows, rate = candidate.get(BATCH_SIZE) or load.batch_size, candidate.get(REQUEST_RATE)
    return replace(
        load,
        concurrency=int(clients),
        batch_size=int(rows),
        request_rate=load.request_rate if rate is None else float(rate),
    )


def in_flight(candidate: Candidate, load: LoadSpec) -> float:
    """Return the rows that a candidate's closed loop has in flight."""
    clients = candidate.get(CONCURRENCY) or load.concurrency
    return float(int(clients) * int(candidate.get(BATCH_SIZE) or load.batch_size))


def _tells(outcome: Outcome) -> bool:
    """Whether a service-time model can be learned from an outcome."""
    row = outcome.row
    return (
        row is not None
        and row.failure is None
        and bool(row.server)
        and bool(row.config)
        and bool(row.metrics.get(_THROUGHPUT))
    )


def _telling(observations: Sequence[Observation]) -> Sequence[Observation]:
    """Choose the measurements that show most: the lightest, then those most unlike the others."""

    def where(one: Observation) -> Floats:
        return np.array(
            [
                math.log2(one.instances) * 1.5,
                math.log2(max(one.in_flight, 1.0)),
                math.log2(one.metrics.get("server_batch_size", 1.0) or 1.0),
            ]
        )

    left = [one for one in observations if one.in_flight <= 256] or list(observations)  # noqa: PLR2004 - dear and no better
    chosen = [min(left, key=lambda one: one.in_flight)]
    while len(chosen) < min(_REFINED, len(left)):
        rest = [one for one in left if not any(one is other for other in chosen)]
        chosen.append(
            max(rest, key=lambda one: min(np.abs(where(one) - where(o)).sum() for o in chosen))
        )
    return chosen


def _layout(places: Sequence[Mapping[str, Value]], load: LoadSpec) -> coarse.Layout:
    def column(name: str, usual: float) -> Floats:
        return np.array([float(place.get(name, usual)) for place in places])

    acted = [acting(place) for place in places]
    return coarse.Layout(
        instances=column(INSTANCE_COUNT, 1),
        threads=column(INTRA_OP_THREADS, 0),
        delay_ns=1e3 * np.array([float(each.get(QUEUE_DELAY, 0)) for each in acted]),
        largest=np.array([float(each.get(MAX_BATCH_SIZE, 1)) for each in acted]),
        clients=column(CONCURRENCY, load.concurrency),
        rows=column(BATCH_SIZE, load.batch_size),
        offered=column(REQUEST_RATE, load.request_rate),
    )
