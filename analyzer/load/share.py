"""What each sender gets of a run: its messages, and its part of the slots or of the schedule."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.errors import LoadError
from analyzer.load.arrivals import Schedule, Staircase, slots_of
from analyzer.load.checked import sealed
from analyzer.load.http2.grpc import COMPRESSIONS
from analyzer.load.job import Job, Supply
from analyzer.load.regions import Regions
from analyzer.load.request import grpc_message, http_message
from analyzer.load.sequences import (
    PLACEHOLDER,
    SequencePlan,
    Step,
    Template,
    in_json,
    in_protobuf,
)
from analyzer.load.workload import Item, Workload
from engine.types import InferRequest, Tensor
from engine.v2.call import Infer

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.record.row import LoadSpec

#: in an open loop, so many requests may be in flight if nothing else is said
MOST_IN_FLIGHT = 10_000
#: connections that an open loop opens before it begins: for so many seconds' requests, from so
#: many to so many
AHEAD = 16
AHEAD_SECONDS = 0.05
MOST_AHEAD = 512
PROTOCOLS = ("http", "grpc")

Plan = Schedule | Staircase


def jobs_of(
    endpoint: Endpoint,
    workload: Workload,
    load: LoadSpec,
    plan: Plan | None,
    senders: int,
    regions: Regions | None = None,
) -> tuple[Job, ...]:
    """Divide a run among so many senders, or fewer where there is not enough for each.

    Raises:
        LoadError: there is no such protocol or compression, or no address for it.
    """
    host, port = _address(endpoint, load)
    stairs = plan if isinstance(plan, Staircase) else None
    schedule = None if plan is None or isinstance(plan, Staircase) else plan
    sequences = _sequences(workload, load)
    slots, ahead = _slots(load, stairs, schedule, sequences)
    # Who climbs a staircase has to see all the answers.
    senders = 1 if stairs is not None else min(senders, slots, load.request_count or slots)
    count = load.request_count + load.warmup_requests if load.request_count else 0
    whole = Job(
        protocol=load.protocol,
        host=host,
        port=port,
        supplies=tuple(_supply(endpoint, item, load, regions) for item in workload.items),
        slots=slots,
        ahead=ahead,
        elastic=schedule is not None and sequences is None and not load.max_inflight,
        senders=senders,
        schedule=schedule,
        stairs=stairs,
        checked=any(item.expected for item in workload.items),
        sequences=sequences,
        streaming=load.streaming,
        compression=load.compression,
        headers=load.headers,
        tls=endpoint.tls,
        seed=load.seed,
    )
    return tuple(
        replace(
            whole,
            index=index,
            slots=slots_of(slots, index, senders),
            ahead=min(slots_of(slots, index, senders), math.ceil(ahead / senders)),
            count=slots_of(count, index, senders),
        )
        for index in range(senders)
    )


def _sequences(workload: Workload, load: LoadSpec) -> SequencePlan | None:
    if not any(item.sequences for item in workload.items):
        return None
    return SequencePlan.of(
        load.sequence_length, load.sequence_length_variation, load.sequence_id_range
    )


def _slots(
    load: LoadSpec,
    stairs: Staircase | None,
    schedule: Schedule | None,
    sequences: SequencePlan | None,
) -> tuple[int, int]:
    """Return how many requests may be in flight, and for how many it is connected beforehand."""
    if schedule is None:
        slots = stairs.most if stairs is not None else load.concurrency
        if slots < 1:
            raise LoadError(f"expected a concurrency of at least 1, found {slots}")
        return slots, slots
    if sequences is not None:
        return load.num_of_sequences, load.num_of_sequences
    ahead = min(MOST_AHEAD, max(AHEAD, math.ceil(load.request_rate * AHEAD_SECONDS)))
    return load.max_inflight or MOST_IN_FLIGHT, ahead


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
    if load.compression not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise LoadError(f"no compression {load.compression!r}; there are: {known}")
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


#: what makes a request's bytes
Spell = Callable[[Item, InferRequest], bytes]


def _speller(
    endpoint: Endpoint, load: LoadSpec, regions: Regions | None, compression: str
) -> Spell:
    """Return what makes the bytes of a request, as a load sends it."""

    def call(item: Item, one: InferRequest) -> Infer:
        if regions is not None:
            return regions.call(item, one)
        return Infer(item.model, item.version, one)

    if load.protocol == "grpc":
        return lambda item, one: grpc_message(
            call(item, one), compression=compression, streaming=load.streaming
        )
    as_json = load.input_tensor_format == "json" and regions is None
    return lambda item, one: http_message(
        endpoint.http,
        call(item, one),
        headers=load.headers,
        as_json=as_json,
        compression=compression,
    )


def _supply(endpoint: Endpoint, item: Item, load: LoadSpec, regions: Regions | None) -> Supply:
    """Make the messages of an item."""
    if not item.sequences:
        spell = _speller(endpoint, load, regions, load.compression)
        plain = tuple(spell(item, one) for one in item.requests)
        if item.expected:
            answers = zip(plain, item.expected, item.places, strict=True)
            plain = tuple(sealed(*each) for each in answers)
        return Supply(weight=item.weight, messages=plain)
    if load.compression != "none" and load.protocol == "http":
        raise LoadError(
            "the requests of sequences are not compressed over HTTP: use gRPC, or no compression"
        )
    # What is compressed cannot be changed: it is compressed when the id is in it.
    spell = _speller(endpoint, load, regions, "none")
    known = zip(item.expected, item.places, strict=True) if item.expected else repeat(((), ""))
    return Supply(
        weight=item.weight,
        sequences=tuple(
            tuple(_step(spell, item, load, one, next(known)) for one in stream)
            for stream in item.sequences
        ),
    )


def _step(
    spell: Spell,
    item: Item,
    load: LoadSpec,
    request: InferRequest,
    known: tuple[tuple[Tensor, ...], str],
) -> Step:
    """Make a request of a sequence in its four forms."""
    seal = None
    if known[0] or load.compression != "none":
        seal = partial(sealed, expected=known[0], place=known[1], compression=load.compression)
    within, first, last, both = (
        Template.of(
            spell(
                item,
                replace(request, sequence_id=PLACEHOLDER, sequence_start=start, sequence_end=end),
            ),
            in_protobuf if load.protocol == "grpc" else in_json,
            seal,
        )
        for end in (False, True)
        for start in (False, True)
    )
    return within, first, last, both
