"""What closed forms say of a configuration: near enough to tell where to look closer. Pure.

The simulator is right and takes milliseconds for each configuration and load; these take none. In a
closed loop of n requests and i instances of one model, batches of k rows are formed of what waits:
with no delay the instances and the queue share the requests, so that ``(i + 1) k`` are not on their
way; with a delay the queue's share joins them. Throughput is what the instances, the clients and
the front end allow, whichever is the least (the asymptotic bounds of closed queueing networks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from analyzer.search.gp import Floats
from analyzer.simulation.service import ServiceModel

_STEPS = 12
#: latencies' usual ratios to their mean
_RATIOS = {
    "perf_latency_avg": 1.0,
    "perf_latency_p50": 1.0,
    "perf_latency_p90": 1.1,
    "perf_latency_p95": 1.15,
    "perf_latency_p99": 1.3,
}
#: clients of an open loop, as a closed one's, and how close to its limit it is looked at
_MANY, _CLOSE = 4096.0, 0.95


@dataclass(frozen=True, slots=True)
class Layout:
    """Configurations and loads by columns: ``threads`` 0 where the configuration leaves it open.

    ``delay_ns`` is below 0 without dynamic batching, ``largest`` the largest batch in rows,
    ``clients`` the requests in flight, ``rows`` those of each request, and ``offered`` the requests
    a second of an open loop, 0 in a closed one.
    """

    instances: Floats
    threads: Floats
    delay_ns: Floats
    largest: Floats
    clients: Floats
    rows: Floats
    offered: Floats


def rates(service: ServiceModel, layout: Layout) -> Floats:
    """Return throughputs, inferences a second."""
    opened = layout.offered > 0
    layout = replace(layout, clients=np.where(opened, _MANY, layout.clients))
    found = np.zeros(len(layout.clients))
    settings = np.stack([layout.instances, layout.threads], axis=1)
    for instances, threads in {tuple(each) for each in settings.tolist()}:
        mine = (layout.instances == instances) & (layout.threads == threads)
        found[mine] = _of_setting(
            service,
            max(1, int(instances)),
            service.threads_of(max(1, int(instances)), int(threads)),
            layout,
            mine,
        )
    limited = np.minimum(found, layout.offered * layout.rows)
    return np.asarray(np.where(opened, limited, found), np.float64)


def _of_setting(
    service: ServiceModel, instances: int, threads: int, layout: Layout, mine: np.ndarray
) -> Floats:
    clients, rows = layout.clients[mine], layout.rows[mine]
    delay, largest = layout.delay_ns[mine], np.maximum(layout.largest[mine], layout.rows[mine])
    most = int(largest.max())
    curve = np.array([service.curve.at(size) for size in range(1, most + 1)])
    busy = np.minimum(float(instances), clients)
    slow = np.array([service.slowdown(threads, max(1, number)) for number in range(instances + 1)])
    slower = slow[np.round(busy).astype(int)]
    front = service.admit_ns + service.respond_ns
    around = service.overhead_ns
    batching = delay >= 0
    places = np.where(batching, largest / rows, 1.0)
    batch = np.ones_like(clients)
    rate = np.ones_like(clients)
    waited = np.zeros_like(clients)
    for _ in range(_STEPS):
        takes = np.interp(batch * rows, np.arange(1, most + 1), curve) * slower
        within = np.minimum(busy * batch / takes, clients / (takes + around + waited))
        if service.inline:
            within = np.minimum(within, batch / (takes + batch * front + service.batch_ns))
        rate = np.minimum(within, 1.0 / (front + service.batch_ns / batch + 1e-3))
        here = np.maximum(1.0, clients - rate * around)
        eager = here / (busy + 1.0)
        joined = here / busy
        gathers = np.where(delay > 0, delay / (delay + 0.5 * takes), 0.0)
        wanted = np.clip(eager + gathers * (joined - eager), 1.0, np.maximum(places, 1.0))
        batch = np.where(batching, 0.5 * (batch + wanted), 1.0)
        waited = np.where((delay > 0) & (joined < places), np.maximum(delay, 0.0), 0.0)
    return np.asarray(1e9 * rate * rows, np.float64)


def tails(service: ServiceModel, layout: Layout, tag: str) -> Floats:
    """Return logarithms of a latency: of its ratio to the mean, in an open loop of itself in ms."""
    ratio = np.full(len(layout.offered), math.log(_RATIOS[tag]))
    opened = layout.offered > 0
    if not opened.any():
        return ratio
    limits = rates(service, replace(layout, offered=np.full(len(layout.offered), 1e12)))
    load = np.minimum(_CLOSE, layout.offered * layout.rows / np.maximum(limits, 1e-9))
    alone = (service.curve.at(1) + service.overhead_ns) / 1e6
    latency = np.log(alone) + np.log(1.0 + load * load / (1.0 - load)) + ratio
    return np.where(opened, latency, ratio)
