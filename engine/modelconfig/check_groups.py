"""What may be wrong with instance groups (Triton's ``ValidateInstanceGroup``).

Owns: counts, kinds and devices. Does not own: what is filled in where a group leaves it open
(``complete``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.modelconfig.findings import Finding
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig


def check_groups(config: ModelConfig, gpus: Sequence[int] | None) -> Iterator[Finding]:
    """Say what is wrong with the instance groups; ``gpus`` as for ``check.problems``."""
    if config.is_ensemble:
        if config.instance_group:
            what = f"instance group should not be specified for ensemble '{config.name}'"
            yield Finding(("instance_group",), what, "its steps have instances of their own")
        return
    for index, group in enumerate(config.instance_group):
        path: Path = ("instance_group", index)
        name = f"instance group {group.name or f'{config.name}_{index}'} of model {config.name}"
        if group.count < 0:
            what = f"{name} must have a count of at least 1, got {group.count}"
            yield Finding((*path, "count"), what)
        if group.kind in {InstanceKind.KIND_CPU, InstanceKind.KIND_MODEL} and group.gpus:
            what = f"{name} has kind {group.kind.value} but specifies one or more GPUs"
            yield Finding((*path, "gpus"), what, "remove gpus, or write kind: KIND_GPU")
        if group.profile and config.platform not in {"", "tensorrt_plan"}:
            what = (
                f"{name} and platform {config.platform} specifies profile field which is only "
                "supported for TensorRT models"
            )
            yield Finding((*path, "profile"), what)
        if gpus is not None and group.kind is InstanceKind.KIND_GPU:
            yield from _devices(group, name, path, gpus)


def _devices(group: InstanceGroup, name: str, path: Path, gpus: Sequence[int]) -> Iterator[Finding]:
    if not gpus:
        what = f"{name} has kind KIND_GPU but no GPUs are available"
        yield Finding((*path, "kind"), what, "write kind: KIND_CPU, or KIND_AUTO for either")
        return
    for index, device in enumerate(group.gpus):
        if device not in gpus:
            what = f"{name} specifies invalid or unsupported gpu id {device}"
            there = ", ".join(map(str, gpus))
            yield Finding((*path, "gpus", index), what, f"the GPUs here are: {there}")
