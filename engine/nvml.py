"""The GPUs of this machine, through NVIDIA's management library (NVML).

Owns every call of the binding, for the server's metrics and for the analyzer. A machine without a
GPU, without the driver's library, or whose driver does not answer a question, is no error: what
cannot be known is None, and the reason is kept. So is a GPU that is lost while it is looked at: it
is asked nothing more.

Numbers are CUDA's: those that CUDA_VISIBLE_DEVICES shows, in its order; without it, the order of
the bus, which is CUDA's as well where all GPUs are of one kind (or with
CUDA_DEVICE_ORDER=PCI_BUS_ID).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: NVML's codes of GPUs that answer nothing until somebody restarts them
_GPU_IS_LOST, _RESET_REQUIRED = 15, 16
_FUNCTION_NOT_FOUND = 13
#: not supported, no such function, no such version of its argument
_NO_SUCH_FORM = {3, _FUNCTION_NOT_FOUND, 25}
#: questions that older drivers know by another name, the newest first
_PROCESSES = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
_THROTTLE = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
_THERMOMETER, _SM_CLOCK, _MEMORY_CLOCK = 0, 1, 2
_OF_THE_WHOLE = "the driver counts it for the whole GPU, of which this is one MIG instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What does not change of a GPU; ``whole`` is the UUID of the GPU a MIG instance is part of."""

    uuid: str
    name: str = "GPU"
    total_bytes: int | None = None
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLook:
    """One GPU at a moment; None is what it does not tell.

    ``utilization`` is from 0 to 1, over the driver's last sample (a sixth of a second to one).
    ``used_by`` has the memory of each process that computes there, bytes by its id, None where the
    driver does not say how much. ``throttle`` are NVML's bits of why the clocks are not higher.
    ``lost`` says why it answers nothing any more.
    """

    uuid: str
    utilization: float | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    power_watts: float | None = None
    limit_watts: float | None = None
    energy_joules: float | None = None
    temperature_c: float | None = None
    sm_mhz: float | None = None
    memory_mhz: float | None = None
    throttle: int | None = None
    used_by: Mapping[int, int | None] | None = None
    lost: str = ""


@dataclass(slots=True)
class _Device:
    """A GPU or a MIG instance (then ``whole`` is the GPU's handle), and what it did not answer."""

    gpu: Gpu
    handle: object
    whole: object = None
    lost: str = ""
    unanswered: dict[str, str] = field(default_factory=dict)


class Gpus:
    """The GPUs; ``nvml`` is the binding, initialised, or None where there is none.

    With ``instances`` a GPU that is divided into MIG instances is seen as these, as CUDA sees it;
    without, as a whole.
    """

    def __init__(
        self,
        nvml: Any | None,  # noqa: ANN401 - it has no types
        visible: str | None,
        *,
        instances: bool = False,
        reason: str = "",
    ) -> None:
        self._nvml = nvml
        self.reason = reason
        self.driver = "" if nvml is None else str(self._try(nvml.nvmlSystemGetDriverVersion) or "")
        whole = [] if nvml is None else self._every()
        parts = {each.gpu.uuid: self._instances(each) for each in whole} if instances else {}
        shown = whole if visible is None else _visible(whole, parts, visible)
        self._shown = tuple(part for each in shown for part in parts.get(each.gpu.uuid) or (each,))
        self.known: tuple[Gpu, ...] = tuple(each.gpu for each in self._shown)
        self.uuids: tuple[str, ...] = tuple(gpu.uuid for gpu in self.known)
        if nvml is not None and not self.known and not reason:
            self.reason = "the NVIDIA driver shows no GPU here"

    @property
    def unanswered(self) -> Mapping[str, Mapping[str, str]]:
        """Why a GPU did not tell something when last asked: by UUID, then ``GpuLook``'s name."""
        return {each.gpu.uuid: dict(each.unanswered) for each in self._shown}

    def look(self, *, closely: bool = False, energy: bool = True) -> tuple[GpuLook, ...]:
        """Ask each of them.

        ``closely`` for temperature, clocks, throttling and processes too, and for memory without
        what the driver keeps for itself, as nvidia-smi has it. The counter of ``energy`` is the one
        dear question: it took 3 ms on an H200, where all others together took a third of one.
        """
        return tuple(self._look(each, closely=closely, energy=energy) for each in self._shown)

    def _look(self, device: _Device, *, closely: bool, energy: bool) -> GpuLook:
        if device.lost:
            return GpuLook(uuid=device.gpu.uuid, lost=device.lost)
        nvml, told = self._nvml, _Answers(self, device)
        assert nvml is not None
        ask_memory = _memory_apart(nvml) if closely else nvml.nvmlDeviceGetMemoryInfo
        memory = told.ask("used_bytes", ask_memory)
        rates = told.ask("utilization", nvml.nvmlDeviceGetUtilizationRates)
        look = GpuLook(
            uuid=device.gpu.uuid,
            utilization=None if rates is None else rates.gpu / 100,
            total_bytes=None if memory is None else int(memory.total),
            used_bytes=None if memory is None else int(memory.used),
            power_watts=_thousandth(told.of_whole("power_watts", nvml.nvmlDeviceGetPowerUsage)),
            energy_joules=self._energy(told) if energy else None,
            **(self._closely(told) if closely else self._limit(told)),
        )
        return look if not device.lost else GpuLook(uuid=device.gpu.uuid, lost=device.lost)

    def _energy(self, told: _Answers) -> float | None:
        assert self._nvml is not None
        question = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return _thousandth(told.of_whole("energy_joules", question))

    def _limit(self, told: _Answers) -> dict[str, Any]:
        assert self._nvml is not None
        limit = told.of_whole("limit_watts", self._nvml.nvmlDeviceGetPowerManagementLimit)
        return {"limit_watts": _thousandth(limit)}

    def _closely(self, told: _Answers) -> dict[str, Any]:
        nvml = self._nvml
        assert nvml is not None
        running = told.ask("used_by", _newest(nvml, _PROCESSES))
        clock = nvml.nvmlDeviceGetClockInfo
        throttle = told.shared("throttle", _newest(nvml, _THROTTLE))
        return {
            "temperature_c": told.shared(
                "temperature_c", nvml.nvmlDeviceGetTemperature, _THERMOMETER
            ),
            "sm_mhz": told.shared("sm_mhz", clock, _SM_CLOCK),
            "memory_mhz": told.shared("memory_mhz", clock, _MEMORY_CLOCK),
            "throttle": throttle,
            "used_by": None if running is None else _by_pid(running),
        }

    def _every(self) -> list[_Device]:
        """Describe every GPU; one that is lost already is left out, as CUDA leaves it out."""
        nvml = self._nvml
        assert nvml is not None
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = self._try(nvml.nvmlDeviceGetHandleByIndex, index)
            device = None if handle is None else self._describe(handle)
            found += [] if device is None else [device]
        return found

    def _instances(self, whole: _Device) -> tuple[_Device, ...]:
        """Describe the MIG instances of a GPU; none where it is not divided."""
        nvml = self._nvml
        assert nvml is not None
        mode = self._try(nvml.nvmlDeviceGetMigMode, whole.handle)
        if not mode or mode[0] != 1:
            return ()
        most = self._try(nvml.nvmlDeviceGetMaxMigDeviceCount, whole.handle) or 0
        found = []
        for index in range(most):
            # Instances need not lie side by side: an index may name none.
            handle = self._try(nvml.nvmlDeviceGetMigDeviceHandleByIndex, whole.handle, index)
            device = None if handle is None else self._describe(handle, whole)
            found += [] if device is None else [device]
        return tuple(found)

    def _describe(self, handle: object, whole: _Device | None = None) -> _Device | None:
        nvml = self._nvml
        assert nvml is not None
        uuid = self._try(nvml.nvmlDeviceGetUUID, handle)
        if not uuid:
            return None
        memory = self._try(nvml.nvmlDeviceGetMemoryInfo, handle)
        name = self._try(nvml.nvmlDeviceGetName, handle)
        gpu = Gpu(
            uuid=str(uuid),
            name=str(name or (whole.gpu.name if whole is not None else "GPU")),
            total_bytes=None if memory is None else int(memory.total),
            whole="" if whole is None else whole.gpu.uuid,
        )
        return _Device(gpu, handle, None if whole is None else whole.handle)

    def _try(self, question: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - as above
        assert self._nvml is not None
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None

    def put(self, device: _Device, name: str, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - as above
        """Ask one thing of a GPU; None, and the reason kept, if it does not answer."""
        if device.lost:
            return None
        assert self._nvml is not None
        try:
            answer = question()
        except self._nvml.NVMLError as error:
            device.unanswered[name] = f"NVML: {error}"
            if error.value in {_GPU_IS_LOST, _RESET_REQUIRED}:
                device.lost = f"NVML: {error}"
            return None
        device.unanswered.pop(name, None)
        return answer


@dataclass(frozen=True, slots=True)
class _Answers:
    """What one GPU answers in one look, under the name that each answer has in it."""

    gpus: Gpus
    device: _Device

    def ask(self, name: str, question: Callable[..., Any], *more: object) -> Any:  # noqa: ANN401 - as above
        """Ask the GPU, or the MIG instance, for what is its own."""
        return self.gpus.put(self.device, name, lambda: question(self.device.handle, *more))

    def shared(self, name: str, question: Callable[..., Any], *more: object) -> Any:  # noqa: ANN401 - as above
        """Ask for what a MIG instance has in common with its GPU: heat and clocks."""
        handle = self.device.handle if self.device.whole is None else self.device.whole
        return self.gpus.put(self.device, name, lambda: question(handle, *more))

    def of_whole(self, name: str, question: Callable[..., Any]) -> Any:  # noqa: ANN401 - as above
        """Ask for what a MIG instance has no share of that the driver knew."""
        if self.device.whole is None:
            return self.ask(name, question)
        self.device.unanswered[name] = _OF_THE_WHOLE
        return None


def find(environment: Mapping[str, str], *, instances: bool = False) -> Gpus:
    """Find the GPUs of this machine; where there are none, ``reason`` says why."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    try:
        import pynvml  # noqa: PLC0415 - looked for only where GPUs are asked for
    except ImportError:
        return Gpus(None, visible, reason="the package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
        return Gpus(pynvml, visible, instances=instances)
    except pynvml.NVMLError as error:
        return Gpus(None, visible, reason=f"NVML: {error}")


def _visible(
    every: Sequence[_Device], parts: Mapping[str, Sequence[_Device]], visible: str
) -> Iterable[_Device]:
    """Keep what CUDA shows: numbers or beginnings of UUIDs, up to the first that names nothing.

    A MIG instance that is not known (an old driver, a container that hides it) is a part of some
    GPU here, so then all are kept.
    """
    known = [*every, *(part for each in parts.values() for part in each)]
    shown: list[_Device] = []
    for name in map(str.strip, visible.split(",")):
        named = [one for one in known if name and one.gpu.uuid.startswith(name)]
        if name.isdecimal() and int(name) < len(every):
            named = [every[int(name)]]
        if len(named) != 1:
            return every if name.startswith("MIG-") else shown
        shown += named
    return shown


def _newest(nvml: Any, names: Sequence[str]) -> Callable[..., Any]:  # noqa: ANN401 - as above
    """Make one question of several names for it: the first that the driver knows."""

    def ask(*arguments: object) -> object:
        known = [getattr(nvml, name) for name in names if hasattr(nvml, name)]
        for question in known[:-1]:
            try:
                return question(*arguments)
            except nvml.NVMLError as error:
                if error.value != _FUNCTION_NOT_FOUND:
                    raise
        return known[-1](*arguments)

    return ask


def _memory_apart(nvml: Any) -> Callable[[object], Any]:  # noqa: ANN401 - as above
    """Ask for memory without what the driver keeps for itself; older ones count it as used."""

    def ask(handle: object) -> object:
        try:
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except nvml.NVMLError as error:
            if error.value not in _NO_SUCH_FORM:
                raise
            return nvml.nvmlDeviceGetMemoryInfo(handle)

    return ask


def _by_pid(running: Iterable[Any]) -> dict[int, int | None]:
    return {
        int(one.pid): None if one.usedGpuMemory is None else int(one.usedGpuMemory)
        for one in running
    }


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000
