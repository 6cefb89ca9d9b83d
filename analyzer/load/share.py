"""What each sender gets of a run: its messages, and its part of the slots or of the schedule."""

from __future__ import annotations

import ipaddress
import math
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.errors import LoadError
from analyzer.load.arrivals import Schedule, Staircase, slots_of
from analyzer.load.checked import CheckedMessage
from analyzer.load.job import Job, Supply
from analyzer.load.request import grpc_message, http_message
from analyzer.load.workload import Item, Workload

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.record.row import LoadSpec

#: in an open loop, so many requests may be in flight if nothing else is said
MOST_IN_FLIGHT = 10_000
#: connections that an open loop opens before it begins: at least, and for so many seconds' requests
AHEAD = 16
AHEAD_SECONDS = 0.01
PROTOCOLS = ("http", "grpc")

Plan = Schedule | Staircase


def jobs_of(
    endpoint: Endpoint, workload: Workload, load: LoadSpec, plan: Plan | None, senders: int
) -> tuple[Job, ...]:
    """Divide a run among so many senders, or fewer where there is not enough for each.

    Raises:
        LoadError: there is no such protocol, or no address for it.
    """
    host, port = _address(endpoint, load)
    supplies = tuple(
        Supply(weight=item.weight, messages=_messages(endpoint, item, load))
        for item in workload.items
    )
    stairs = plan if isinstance(plan, Staircase) else None
    schedule = None if plan is None or isinstance(plan, Staircase) else plan
    if schedule is not None:
        slots = load.max_inflight or MOST_IN_FLIGHT
        ahead = max(AHEAD, math.ceil(load.request_rate * AHEAD_SECONDS))
    else:
        slots = ahead = stairs.most if stairs is not None else load.concurrency
        if slots < 1:
            raise LoadError(f"expected a concurrency of at least 1, found {slots}")
    # Who climbs a staircase has to see all the answers.
    senders = 1 if stairs is not None else min(senders, slots, load.request_count or slots)
    count = load.request_count + load.warmup_requests if load.request_count else 0
    return tuple(
        Job(
            protocol=load.protocol,
            host=host,
            port=port,
            supplies=supplies,
            slots=slots_of(slots, index, senders),
            ahead=min(slots_of(slots, index, senders), math.ceil(ahead / senders)),
            elastic=schedule is not None and not load.max_inflight,
            index=index,
            senders=senders,
            schedule=schedule,
            stairs=stairs,
            count=slots_of(count, index, senders),
            checked=any(item.expected for item in workload.items),
            streaming=load.streaming,
            compression=load.compression,
            headers=load.headers,
            seed=load.seed,
        )
        for index in range(senders)
    )


def most_senders(endpoint: Endpoint, cores: int) -> int:
    """Return how many senders this machine has cores for: one core is left to a server on it."""
    return max(1, cores - 1) if is_local(endpoint) else cores


def is_local(endpoint: Endpoint) -> bool:
    """Whether the server is on this machine, as far as its address says."""
    host, _ = v2client.split(endpoint.http or endpoint.grpc or "")
    try:
        return endpoint.pid is not None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(endpoint: Endpoint, load: LoadSpec) -> tuple[str, int]:
    match load.protocol:
        case "http":
            return v2client.split(endpoint.http)
        case "grpc":
            if endpoint.grpc is None:
                raise LoadError("the server's gRPC address is not known; give it, or use http")
            return v2client.split(endpoint.grpc)
        case _:
            known = ", ".join(PROTOCOLS)
            raise LoadError(f"no protocol {load.protocol!r}; there are: {known}")


def _messages(endpoint: Endpoint, item: Item, load: LoadSpec) -> tuple[bytes, ...]:
    if load.protocol == "grpc":
        plain = [
            grpc_message(
                item.model,
                one,
                version=item.version,
                compression=load.compression,
                streaming=load.streaming,
            )
            for one in item.requests
        ]
    else:
        plain = [
            http_message(
                endpoint.http,
                item.model,
                one,
                version=item.version,
                headers=load.headers,
                as_json=load.input_tensor_format == "json",
            )
            for one in item.requests
        ]
    if not item.expected:
        return tuple(plain)
    return tuple(
        CheckedMessage.of(message, expected, place) if expected else message
        for message, expected, place in zip(plain, item.expected, item.places, strict=True)
    )
