"""Sends requests when they are due, whatever becomes of them: phases of different rates.

An open loop: arrivals come at random, at a given mean rate (Poisson's), and wait for no answer, as
those of many users do. Times are CLOCK_MONOTONIC's, which all processes of a machine share.
Latency counts from when a request was due.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from analyzer import v2client
from analyzer.launcher import Endpoint
from analyzer.load.arrivals import Fixed
from analyzer.load.driver import run
from analyzer.load.payload import concrete, make
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of the requests, in the order of the answers.

    ``exchanges`` are (when it was due, ns; latency, ns; error): the error is a number of
    ``errors``, and ``errors[0]`` is "", none. ``starts_ns`` are the phases' beginnings, and the
    end of the last one.
    """

    starts_ns: tuple[int, ...]
    errors: tuple[str, ...]
    exchanges: tuple[tuple[int, int, int], ...]


def offer(
    endpoint: Endpoint,
    model: str,
    protocol: str,
    phases: tuple[tuple[float, float], ...],
    seed: int = 1,
) -> Heard:
    """Offer ``model`` what ``phases`` say, pairs of requests a second, and seconds."""
    metadata = v2client.model_metadata(endpoint, model)
    config = v2client.model_config(endpoint, model)
    request = make(concrete(metadata.inputs, config, 1, {}), "random", 0)
    starts, due = _plan(phases, seed)
    load = LoadSpec(protocol=protocol, rule="count")
    workload = Workload((Item(model=model, requests=(request,)),))
    records = run(endpoint, workload, load, Fixed(due)).records
    planned = records.array["planned"]
    begun = int(planned.min()) - due[0]
    exchanges = zip(
        planned.tolist(), records.latency_ns.tolist(), records.array["error"].tolist(), strict=True
    )
    return Heard(
        starts_ns=tuple(begun + start for start in starts),
        errors=("", *records.errors),
        exchanges=tuple(exchanges),
    )


def _plan(
    phases: tuple[tuple[float, float], ...], seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Say when the phases begin, and when every request is due, ns from the start."""
    dice = random.Random(seed)  # noqa: S311 - a load, not a secret
    starts, due, at = [0], [], 0.0
    for rate, seconds in phases:
        end = starts[-1] + int(seconds * 1e9)
        while (at := at + dice.expovariate(rate) * 1e9) < end:
            due.append(int(at))
        at = float(end)
        starts.append(end)
    return tuple(starts), tuple(due)
