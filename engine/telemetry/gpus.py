"""The GPUs that models may use, through NVIDIA's NVML.

A machine without a GPU, without the driver's library, or whose driver does not answer a question,
is no error: what cannot be known is left out. Numbers are CUDA's: those that CUDA_VISIBLE_DEVICES
shows, in its order; without it, the order of the bus, which is CUDA's as well where all GPUs are of
one kind (or with CUDA_DEVICE_ORDER=PCI_BUS_ID).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLook:
    """One GPU at a moment; None is what it does not tell. ``utilization`` is from 0 to 1."""

    uuid: str
    utilization: float | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    power_watts: float | None = None
    limit_watts: float | None = None
    energy_joules: float | None = None


class Gpus:
    """The GPUs; ``nvml`` is the binding, initialised, or None where there is none."""

    def __init__(self, nvml: Any | None, visible: str | None) -> None:  # noqa: ANN401 - it has no types
        self._nvml = nvml
        every = [] if nvml is None else _every(nvml)
        self._shown = tuple(every if visible is None else _visible(every, visible))
        self.uuids: tuple[str, ...] = tuple(uuid for uuid, _ in self._shown)

    def look(self) -> tuple[GpuLook, ...]:
        """Ask each of them."""
        return tuple(self._look(uuid, handle) for uuid, handle in self._shown)

    def _look(self, uuid: str, handle: object) -> GpuLook:
        nvml = self._nvml
        assert nvml is not None
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        return GpuLook(
            uuid=uuid,
            utilization=None if rates is None else rates.gpu / 100,
            total_bytes=None if memory is None else int(memory.total),
            used_bytes=None if memory is None else int(memory.used),
            power_watts=_thousandth(self._ask(nvml.nvmlDeviceGetPowerUsage, handle)),
            limit_watts=_thousandth(self._ask(nvml.nvmlDeviceGetPowerManagementLimit, handle)),
            energy_joules=_thousandth(self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)),
        )

    def _ask(self, question: Callable[..., Any], handle: object) -> Any:  # noqa: ANN401 - as above
        """Ask one thing; None if this GPU does not answer it (old, MIG, a container, lost)."""
        assert self._nvml is not None
        try:
            return question(handle)
        except self._nvml.NVMLError:
            return None


def find(environment: Mapping[str, str]) -> Gpus:
    """Find the GPUs of this machine."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    try:
        import pynvml  # noqa: PLC0415 - looked for only where GPUs are asked for
    except ImportError:
        return Gpus(None, visible)
    try:
        pynvml.nvmlInit()
        return Gpus(pynvml, visible)
    except pynvml.NVMLError as error:
        logger.debug("no metrics of GPUs: NVML: %s", error)
        return Gpus(None, visible)


def _every(nvml: Any) -> list[tuple[str, object]]:  # noqa: ANN401 - as above
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    return [(str(nvml.nvmlDeviceGetUUID(handle)), handle) for handle in handles]


def _visible(every: Sequence[tuple[str, object]], visible: str) -> Iterable[tuple[str, object]]:
    """Keep what CUDA shows: numbers or beginnings of UUIDs, up to the first that names nothing.

    NVML knows MIG devices as the GPUs that they are parts of, so where one is named all are kept.
    """
    if "MIG-" in visible:
        yield from every
        return
    for name in map(str.strip, visible.split(",")):
        named = [one for one in every if name and one[0].startswith(name)]
        if name.isdecimal() and int(name) < len(every):
            named = [every[int(name)]]
        if len(named) != 1:
            return
        yield named[0]


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
