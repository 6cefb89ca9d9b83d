"""What a model's configuration asks of this engine: which instances, and can it be done at all.

Pure: reads a complete configuration, decides, touches nothing. Rules, from Triton's instance
groups: ``count`` instances for a group, on each of its GPUs if it has any; a passive group is
loaded and gets no requests; an instance has its group's host policy, or the one named after
where it runs: ``cpu``, ``model``, ``gpu_<id>``. The machine's cores are dealt out evenly to the
instances that compute on the CPU, those of a host policy to the instances that have it: together
they have no more threads than cores, unless there are more instances than cores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.backend import Placement
from engine.execution.host import Host
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig
from engine.ratelimit import Needs, needs


@dataclass(frozen=True, slots=True)
class Planned:
    """One instance to be loaded. ``cores`` are those its threads keep to; None is all of them."""

    name: str
    placement: Placement
    needs: Needs
    policy: str
    passive: bool = False
    cores: frozenset[int] | None = None


def plan(config: ModelConfig, host: Host) -> tuple[Planned, ...]:
    """List the instances, those that get requests first; at least one of them does."""
    groups = config.instance_group or (InstanceGroup(),)
    listed = [
        one for place, group in enumerate(groups) for one in _members(config.name, place, group)
    ]
    if all(one.passive for one in listed):
        listed.append(Planned(config.name, Placement(), needs(None, None), "cpu"))
    pinned = [replace(one, cores=host.policies.get(one.policy)) for one in listed]
    threads = _threads(pinned, host.cores)
    planned = [
        replace(one, placement=replace(one.placement, threads=threads[one.policy]))
        for one in pinned
    ]
    return tuple(sorted(planned, key=lambda one: one.passive))


def _threads(planned: Sequence[Planned], cores: int) -> Mapping[str, int]:
    """Deal out cores: how many threads an instance of each policy has."""
    busy = [one for one in planned if not one.passive]
    kept = {one.policy: own for one in planned if (own := one.cores) is not None}
    left = cores - len(frozenset[int]().union(*kept.values()))
    on_cpu = sum(one.cores is None and one.placement.device is None for one in busy)
    threads = {one.policy: max(1, left // max(1, on_cpu)) for one in planned}
    sharing = Counter(one.policy for one in busy)
    for policy, own in kept.items():
        threads[policy] = max(1, min(cores, len(own)) // max(1, sharing[policy]))
    return threads


def unsupported(config: ModelConfig) -> tuple[str, ...]:
    """Say what the configuration asks for that cannot be done yet; each text names the field."""
    return tuple(_lacking(config))


def _members(model: str, place: int, group: InstanceGroup) -> Iterator[Planned]:
    name = group.name or f"{model}_{place}"
    on_gpu = group.kind is InstanceKind.KIND_GPU or (
        group.kind is InstanceKind.KIND_AUTO and group.gpus
    )
    by_model = group.kind is InstanceKind.KIND_MODEL
    kind = "model" if by_model else "cpu"
    devices = group.gpus if on_gpu else (None,)
    for number in range(max(1, group.count)):
        for device in devices:
            yield Planned(
                f"{name}_{number}" + ("" if device is None else f"_gpu{device}"),
                Placement(device=device, by_model=by_model, profiles=group.profile),
                needs(group.rate_limiter, device),
                group.host_policy or (kind if device is None else f"gpu_{device}"),
                group.passive,
            )


def _lacking(config: ModelConfig) -> Iterator[str]:
    if config.sequence_batching is not None and config.sequence_batching.iterative_sequence:
        yield "sequence_batching.iterative_sequence: requests are not rescheduled yet"
    for field in ("model_operations", "model_repository_agents"):
        if field in config.other:
            yield f"{field}: not served yet; remove it if the model can do without"
    if config.cc_model_filenames and any(group.gpus for group in config.instance_group):
        yield "cc_model_filenames: not served yet; name the file in default_model_filename"
    yield from (
        f"instance_group[{place}]: KIND_GPU, but no GPU was found; use KIND_CPU, or make the GPU"
        " visible"
        for place, group in enumerate(config.instance_group)
        if group.kind is InstanceKind.KIND_GPU and not group.gpus
    )
