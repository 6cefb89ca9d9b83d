"""From some measurements to a service-time model. Pure.

Owns what is learned from what, in this order, each step with what the ones before it found:

1. how much longer batches take beside others and on fewer threads: from the server's own times by
   batch size, the same sizes in measurements with other numbers of instances;
2. the curve: from all these times, made comparable by step 1;
3. what surrounds computing: from the latency of the lightest load, which waits for nobody;
4. how times vary: from the percentiles of that load;
5. what only the whole shows: the simulator's throughput and batches are brought near to the
   measured ones, by robust least squares of logarithms, within what the steps before make likely;
6. how much of step 4's variation is left where requests wait (``steadied``): a machine's stalls
   and wake-ups, which a request that is alone sees in full, are not every batch's.

A server without statistics has no times by batch size: steps 1 and 2 then begin with a guess
from throughputs, and step 5 may move far from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from analyzer.simulation.curves import Sample, curve_of
from analyzer.simulation.observation import PERCENTILES, Observation
from analyzer.simulation.predict import ROUNDS, simulate, why_unpredictable
from analyzer.simulation.service import PLACES, Curve, ServiceModel, normalised
from analyzer.simulation.steadied import robust, steadied

#: what is likely before anything was measured
_SERIAL, _CROWDING = 0.15, 0.05
#: how many requests are simulated for a look at a model
_LOOK = 250
#: models that compute for less are run by the engine's event loop itself
_TINY_NS = 200_000.0
#: logarithms of batches count so much beside those of throughputs
_BATCH_COUNTS = 0.5
#: and so much a step away from what is likely, of the size that is usual
_PRIOR_COUNTS = 0.002
#: with so many requests a tail is half believed
_TAIL_COUNTS = 200.0


@dataclass(frozen=True, slots=True)
class Effort:
    """What step 5 may take: how often each axis is tried, and rounds of every client of a look."""

    tries: int
    rounds: int = ROUNDS


#: where nothing is told, the way is longer
_USUAL, _MORE = Effort(3), Effort(8)


@dataclass(frozen=True, slots=True)
class _Guess:
    """What step 5 moves, each 0 where it is as the steps before had it.

    ``scale``, ``tilt``: of the curve; ``crowding``, ``serial``: added; ``front``: the share of the
    overhead that occupies the front end, as a logit.
    """

    scale: float = 0.0
    tilt: float = 0.0
    crowding: float = 0.0
    serial: float = 0.0
    front: float = 0.0


def fit(
    observations: Sequence[Observation],
    *,
    cores: int = 0,
    refined: Sequence[Observation] | None = None,
    effort: Effort | None = None,
) -> ServiceModel:
    """Learn a service-time model from measurements of one model on one machine.

    ``cores`` are those that its instances share; 0 where they compute elsewhere, as on a GPU. Any
    number of measurements will do, from one; the default configuration at a low and a high
    concurrency and another number of instances at a high one show all there is.

    ``refined`` are those that step 5 simulates (None: all), and ``effort`` what it may take.

    Raises:
        ValueError: no measurement can be learned from.
    """
    usable = [one for one in observations if why_unpredictable(one.config) is None]
    usable = [one for one in usable if one.throughput > 0]
    if not usable:
        raise ValueError("no measurement can be learned from: none of a model that is predicted")
    few = min(usable, key=lambda one: (one.instances, one.in_flight))
    blank = ServiceModel(
        curve=Curve.affine(1.0, 0.0), cores=cores, serial=_SERIAL, crowding=_CROWDING
    )
    threads = blank.threads_of(few.instances, few.threads)
    blank = replace(blank, threads=threads)
    told = any(one.server is not None and one.server.batches for one in usable)
    if told:
        blank = _beside_others(blank, usable)
        model = replace(blank, curve=_curve(blank, usable))
    else:
        model = replace(blank, curve=_guessed(blank, usable))
    model = _surrounded(model, _lightest(usable))
    if refined is not None:
        usable = [one for one in usable if any(one is other for other in refined)]
    effort = effort or (_USUAL if told else _MORE)
    return steadied(_refined(model, usable, effort, told=told), usable, effort.rounds)


def _times(one: Observation) -> Mapping[int, Sample]:
    """What batches took, by their size."""
    if one.server is None:
        return {}
    return {
        each.batch_size: Sample(
            each.batch_size,
            each.compute_input_ns + each.compute_infer_ns + each.compute_output_ns,
            float(each.executions),
        )
        for each in one.server.batches
        if each.executions > 0
        and each.compute_input_ns + each.compute_infer_ns + each.compute_output_ns > 0
    }


def _slowed(model: ServiceModel, one: Observation) -> float:
    return model.slowdown(model.threads_of(one.instances, one.threads), one.busy)


def _beside_others(model: ServiceModel, observations: Sequence[Observation]) -> ServiceModel:
    """Find the ``serial`` and ``crowding`` that make measurements of one size agree (step 1)."""
    ratios: list[tuple[Observation, float]] = []
    least = min(one.instances for one in observations)
    alone = [one for one in observations if one.instances == least and _times(one)]
    if not alone:
        return model
    reference = curve_of([each for one in alone for each in _times(one).values()], 1)
    for one in observations:
        times = _times(one)
        if one in alone or not times:
            continue
        logs = [math.log(each.ns / reference.at(size)) for size, each in times.items()]
        weights = [each.count for each in times.values()]
        ratios.append((one, _middle(logs, weights)))
    if not ratios:
        return model
    best, least_loss = model, math.inf
    lone = [(model.threads_of(one.instances, one.threads), one.busy) for one in alone]
    beside = [
        (model.threads_of(one.instances, one.threads), one.busy, found) for one, found in ratios
    ]
    for serial in np.linspace(0.0, 1.0, 21).tolist():
        for crowding in np.linspace(0.0, 1.5, 31).tolist():
            tried = replace(model, serial=serial, crowding=crowding)
            level = sum(math.log(tried.slowdown(*each)) for each in lone) / len(lone)
            loss = ((serial - _SERIAL) / 0.5) ** 2 * 0.01
            loss += ((crowding - _CROWDING) / 0.3) ** 2 * 0.01
            for threads, busy, found in beside:
                loss += abs(math.log(tried.slowdown(threads, busy)) - level - found)
            if loss < least_loss:
                best, least_loss = tried, loss
    return best


def _middle(values: Sequence[float], weights: Sequence[float]) -> float:
    """Give the median of values that count differently."""
    order = np.argsort(values)
    passed = np.cumsum(np.array(weights)[order])
    return float(values[order[int(np.searchsorted(passed, passed[-1] / 2))]])


def _curve(model: ServiceModel, observations: Sequence[Observation]) -> Curve:
    """Fit the curve to all times, as they would be alone (step 2)."""
    samples = [
        replace(each, ns=each.ns / _slowed(model, one))
        for one in observations
        for each in _times(one).values()
    ]
    largest = max(max(1, one.config.max_batch_size) for one in observations)
    return curve_of(samples, largest)


def _guessed(model: ServiceModel, observations: Sequence[Observation]) -> Curve:
    """Guess a curve from throughputs: of the lightest load a batch, of the best one a row."""
    light = _lightest(observations)
    rows = light.load.batch_size
    alone = 1e9 * rows * min(light.instances, light.in_flight) / light.throughput
    alone /= _slowed(model, light)
    best = max(observations, key=lambda one: one.throughput)
    row = 1e9 * best.instances / best.throughput / _slowed(model, best)
    row = min(row, alone / rows)
    return Curve.affine(max(alone - row * rows, 0.01 * alone), row)


def _lightest(observations: Sequence[Observation]) -> Observation:
    return min(observations, key=lambda one: (one.in_flight / one.instances, one.instances))


def _surrounded(model: ServiceModel, light: Observation) -> ServiceModel:
    """Take from the lightest load what surrounds computing, and how times vary (steps 3, 4)."""
    alone = model.curve.at(light.load.batch_size) * _slowed(model, light)
    computed = light.compute_ns
    overhead = light.latency_ns - (alone if computed is None else computed) - _waited(light)
    overhead = max(overhead, 0.02 * alone, 20_000.0)
    # Stalls of the machine are in the mean latency; what is usual is nearer to its median.
    overhead = min(overhead, max(0.2 * alone, 300_000.0))
    model = replace(model, multipliers=_varied(light, overhead), outside_ns=overhead)
    return replace(model, inline=bool(model.cores) and alone < _TINY_NS)


def _waited(light: Observation) -> float:
    """Say how long requests waited, for others or for a delay; a hand-over is no wait."""
    if light.server is not None and (light.load.request_rate or light.in_flight > light.instances):
        return light.server.queue_ns
    batching = light.config.dynamic_batching
    if batching is None or light.load.batch_size >= light.config.max_batch_size:
        return 0.0
    return batching.max_queue_delay_microseconds * 1e3


def _varied(light: Observation, overhead: float) -> tuple[float, ...]:
    """Make multipliers of the percentiles of a load under which nobody waits."""
    known = {
        percent: light.metrics[f"perf_latency_p{percent}"] * 1e6
        for percent in PERCENTILES
        if f"perf_latency_p{percent}" in light.metrics
    }
    if len(known) < len(PERCENTILES):
        return (1.0,)
    normal = NormalDist()
    times = [
        math.log(max(known[percent] - overhead, 0.1 * known[percent])) for percent in PERCENTILES
    ]
    scores = [normal.inv_cdf(percent / 100) for percent in PERCENTILES]
    # A tail that few requests showed is drawn towards that of a log-normal distribution.
    slope = (times[1] - times[0]) / scores[1]
    seen = light.server.requests if light.server is not None else _TAIL_COUNTS
    trust = seen / (seen + _TAIL_COUNTS)
    for place in (2, 3):
        usual = max(times[place - 1], times[0] + slope * scores[place])
        times[place] = trust * times[place] + (1 - trust) * usual
    # Straight lines in the plane of log-normal distributions; the lower half mirrors p90's.
    scores, times = [-scores[1], *scores], [2 * times[0] - times[1], *times]
    places = [normal.inv_cdf((place + 0.5) / PLACES) for place in range(PLACES)]
    logs = np.interp(places, scores, times)
    low = np.minimum(0.0, np.array(places) - scores[0]) * slope
    return normalised(np.exp(logs + low).tolist())


def _apply(model: ServiceModel, guess: _Guess, overhead: float) -> ServiceModel:
    front = overhead / (1 + math.exp(-guess.front))
    moved = replace(
        model,
        curve=model.curve.scaled(math.exp(guess.scale), guess.tilt),
        crowding=max(0.0, model.crowding + guess.crowding),
        serial=min(1.0, max(0.0, model.serial + guess.serial)),
    )
    return moved.with_overhead(front, overhead - front)


def _refined(
    model: ServiceModel, observations: Sequence[Observation], effort: Effort, *, told: bool
) -> ServiceModel:
    """Move what only the whole shows, by a search along one axis after the other (step 5)."""
    overhead = model.outside_ns
    likely = {
        "scale": 0.05 if told else 0.5,
        "tilt": 0.03 if told else 0.5,
        "crowding": 0.1 if told else 0.3,
        "serial": 0.1 if told else 0.3,
        "front": 1.5,
    }

    def loss(guess: _Guess) -> float:
        tried = _apply(model, guess, overhead)
        far = [float(getattr(guess, name)) / sd for name, sd in likely.items()]
        total = _PRIOR_COUNTS * math.fsum(each * each for each in far)
        for one in observations:
            found = simulate(one.config, tried, one.load, requests=_LOOK, rounds=effort.rounds)
            total += robust(math.log(max(found.throughput, 1e-9) / one.throughput))
            batch = one.metrics.get("server_batch_size")
            if batch and found.mean_batch:
                total += _BATCH_COUNTS * robust(math.log(found.mean_batch / batch))
        return total

    best = _Guess(front=-1.0)
    least = loss(best)
    steps = dict(likely)
    for _ in range(effort.tries):
        for name in likely:
            here = getattr(best, name)
            for way in (steps[name], -steps[name]):
                tried = replace(best, **{name: here + way})
                found = loss(tried)
                if found < least:
                    best, least = tried, found
                    break
            else:
                steps[name] /= 2
    return _apply(model, best, overhead)
