"""The GPUs of this machine, through NVML.

A machine without a GPU, without the driver's library, or with one that does not answer a
question, is no error: what cannot be known is None, and where there is no GPU the reason is
kept. GPUs hidden by CUDA_VISIBLE_DEVICES, which the server cannot use either, are left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from analyzer.measure.aggregate import Gpu, GpuGlimpse


class Gpus(Protocol):
    """The GPUs that can be looked at."""

    @property
    def known(self) -> tuple[Gpu, ...]:
        """What does not change of each."""
        ...

    @property
    def reason(self) -> str:
        """Why there are none, if so."""
        ...

    @property
    def driver(self) -> str:
        """The driver's version, if there is one."""
        ...

    def look(self) -> tuple[GpuGlimpse, ...]:
        """Look at each of them now."""
        ...


class NoGpus:
    """There are none here, for the given reason."""

    known: tuple[Gpu, ...] = ()
    driver = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def look(self) -> tuple[GpuGlimpse, ...]:
        """Nothing to see."""
        return ()


class NvmlGpus:
    """GPUs of the NVIDIA driver; ``nvml`` is the binding, initialised."""

    reason = ""

    def __init__(self, nvml: Any, visible: str | None) -> None:  # noqa: ANN401 - it has no types
        self._nvml = nvml
        self.driver = str(self._ask(nvml.nvmlSystemGetDriverVersion) or "")
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        every = [(self._describe(handle), handle) for handle in handles]
        self._handles = _shown(every, visible)
        self.known = tuple(gpu for gpu, _ in self._handles)

    def look(self) -> tuple[GpuGlimpse, ...]:
        """Read memory, utilisation, power and energy of each."""
        return tuple(self._look(gpu, handle) for gpu, handle in self._handles)

    def _describe(self, handle: object) -> Gpu:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        return Gpu(
            uuid=str(nvml.nvmlDeviceGetUUID(handle)),
            name=str(self._ask(nvml.nvmlDeviceGetName, handle) or "GPU"),
            total_bytes=None if memory is None else int(memory.total),
        )

    def _look(self, gpu: Gpu, handle: object) -> GpuGlimpse:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        return GpuGlimpse(
            uuid=gpu.uuid,
            used_bytes=None if memory is None else int(memory.used),
            utilization=None if rates is None else float(rates.gpu),
            power_watts=None if milliwatts is None else milliwatts / 1000,
            energy_mj=self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
        )

    def _ask(self, question: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - as above
        """Ask one thing; None if this GPU does not answer it (old, MIG, a container, lost)."""
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None


def find(environment: Mapping[str, str] = os.environ) -> Gpus:
    """Find the GPUs of this machine."""
    try:
        import pynvml  # noqa: PLC0415 - looked for only where GPUs are asked for
    except ImportError:
        return NoGpus("the package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
        found = NvmlGpus(pynvml, environment.get("CUDA_VISIBLE_DEVICES"))
    except pynvml.NVMLError as error:
        return NoGpus(f"NVML: {error}")
    if not found.known:
        return NoGpus("the NVIDIA driver shows no GPU here")
    return found


def _shown(every: list[tuple[Gpu, object]], visible: str | None) -> tuple[tuple[Gpu, object], ...]:
    """Keep what CUDA_VISIBLE_DEVICES shows: numbers or beginnings of UUIDs; all if not set.

    As CUDA reads it, the list ends at the first entry that names nothing. MIG devices are
    seen as the GPUs they are parts of, so where one is named all are kept.
    """
    if visible is None or "MIG-" in visible:
        return tuple(every)
    shown = []
    for entry in visible.split(","):
        name = entry.strip()
        if name.isdigit() and int(name) < len(every):
            shown.append(every[int(name)])
            continue
        named = [pair for pair in every if name and pair[0].uuid.startswith(name)]
        if len(named) != 1:
            break
        shown += named
    return tuple(shown)
