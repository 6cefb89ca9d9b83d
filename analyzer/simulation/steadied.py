"""How much service times vary where requests wait. Pure.

The percentiles of a load under which nobody waits (``fitting``, step 4) hold everything that a
request alone can meet: a core that has to wake up, the client's own hiccups, another process. They
are taken for variation of the batches. Where requests queue, some of that is hidden behind others'
computing, so that percentiles predicted by it are too high, or it strikes whole queues, and they
are too low. One exponent of the multipliers is learned from all measurements: by how much the p99
exceeds the mean, predicted and measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from analyzer.simulation.observation import Observation
from analyzer.simulation.predict import simulate
from analyzer.simulation.service import ServiceModel, normalised

_TAIL, _MEAN = "perf_latency_p99", "perf_latency_avg"
#: what is tried of the exponent, from as it was; and a step away from 1 costs so much
_TRIED = (1.0, 0.75, 0.5, 0.25, 0.0, 1.25)
_AWAY = 0.0009
#: differences of logarithms beyond this are rather a disturbance: they count by size, not squared
_DISTURBED = 0.15
#: requests of a look: a p99 needs more of them than a throughput
_LOOK = 600


def steadied(model: ServiceModel, observations: Sequence[Observation], rounds: int) -> ServiceModel:
    """Return the model with its variation as the measurements' percentiles have it.

    ``rounds`` are those of every client in each look. Without two measurements that have a p99 the
    model stays as it is: one is what the variation was read off.
    """
    known = [one for one in observations if _excess(one.metrics) is not None]
    if len(known) < 2 or len(model.multipliers) < 2:  # noqa: PLR2004 - nothing to weigh
        return model
    loss = partial(_loss, model, known, rounds)
    return varied(model, min(_TRIED, key=loss))


def robust(difference: float) -> float:
    """Give the square of what is small, and of what is large rather the size (pseudo-Huber)."""
    return 2 * _DISTURBED**2 * (math.sqrt(1 + (difference / _DISTURBED) ** 2) - 1)


def varied(model: ServiceModel, exponent: float) -> ServiceModel:
    """Return the model with variation raised to an exponent: 0 is none at all."""
    if exponent == 1.0:
        return model
    return replace(model, multipliers=normalised(each**exponent for each in model.multipliers))


def _excess(metrics: Mapping[str, float]) -> float | None:
    """Return the logarithm of p99 to mean; None where one of them is missing."""
    tail, mean = metrics.get(_TAIL), metrics.get(_MEAN)
    if not tail or not mean or not math.isfinite(tail) or not math.isfinite(mean):
        return None
    return math.log(tail / mean)


def _loss(model: ServiceModel, known: Sequence[Observation], rounds: int, exponent: float) -> float:
    tried, total = varied(model, exponent), _AWAY * (exponent - 1.0) ** 2
    for one in known:
        said = simulate(one.config, tried, one.load, requests=_LOOK, rounds=rounds)
        wanted, found = _excess(one.metrics), _excess(said.metrics)
        if wanted is not None and found is not None:
            total += robust(found - wanted)
    return total
