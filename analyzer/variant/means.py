"""What a model can be served by on a machine, and why not by all else. Pure.

Owns the reasons: each says what is missing, and as far as it can be had, how. A machine is a
value: nothing is looked up here.

Rules:

1. A precision that the processor has no instructions for is not tried: it would be computed in
   FP32, or slower (OpenVINO's FP16 took twice as long as FP32 on a CPU with AVX2).
2. ONNX Runtime, PyTorch and TensorFlow compute in what the file has. Another precision is another
   file, which has to lie beside the model's.
3. OpenVINO runs no more streams and threads than there are cores, whatever it is told.
4. Where nothing is known of a machine's packages or of a model's files (a server elsewhere), they
   are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.variant import accelerators, runtime
from analyzer.variant.runtime import FP32, INT8, OPENVINO, TENSORRT
from engine.modelconfig.schema import InstanceKind, ModelConfig

_INSTRUCTIONS = {
    "BF16": "AVX-512 BF16 or AMX",
    "FP16": "AVX-512 FP16 or AMX",
}
_EXTRAS = frozenset({OPENVINO, "tensorflow", TENSORRT})


@dataclass(frozen=True, slots=True)
class Machine:
    """What the search needs to know of the machine.

    ``cores`` are the usable ones. ``precisions`` are those of 16 bits that the CPU has instructions
    for, ``backends`` those whose packages are installed, ``accelerators`` the execution
    accelerators for GPUs; None: not known.
    """

    cores: int
    gpus: int = 0
    precisions: frozenset[str] | None = None
    backends: frozenset[str] | None = None
    accelerators: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """A model, by its complete default configuration, on a machine.

    ``files`` are the names of what lies in the folders of all its versions; None: not known.
    """

    base: ModelConfig
    machine: Machine
    files: frozenset[str] | None = None

    def missing(self, config: ModelConfig) -> str | None:
        """Say why a configuration of the model cannot be served here, or None."""
        for reason in (self._backend, self._accelerator, self._precision, self._file):
            if (found := reason(config)) is not None:
                return found
        return None

    def _backend(self, config: ModelConfig) -> str | None:
        backend, there = runtime.backend_of(config), self.machine.backends
        if backend == runtime.backend_of(self.base):
            return None
        if backend not in runtime.FILES:
            known = ", ".join(sorted(runtime.FILES))
            return f"there is no backend named {backend} to try; there are: {known}"
        if there is not None and backend not in there:
            how = f": pip install 'servetune[{backend}]'" if backend in _EXTRAS else ""
            return f"the backend {backend} is not installed here{how}"
        gpu = on_gpu(config, self.machine)
        if backend == OPENVINO and gpu:
            return "OpenVINO does not run on NVIDIA GPUs; kind: KIND_CPU puts instances on the CPU"
        if backend == TENSORRT and not gpu:
            return "TensorRT runs on NVIDIA GPUs only, and the instances are on the CPU"
        return None

    def _accelerator(self, config: ModelConfig) -> str | None:
        name, backend = accelerators.accelerator_of(config), runtime.backend_of(config)
        if name in {accelerators.NONE, accelerators.accelerator_of(self.base)}:
            return None
        if backend != runtime.ONNXRUNTIME:
            return f"the accelerator {name} is ONNX Runtime's; the backend {backend} has none"
        if name not in accelerators.ACCELERATORS:
            known = ", ".join(accelerators.ACCELERATORS)
            return f"there is no accelerator named {name} to try; there are: {known}"
        for_gpu, gpu = accelerators.ACCELERATORS[name], on_gpu(config, self.machine)
        if for_gpu != gpu:
            return f"the accelerator {name} is for instances on the {'GPU' if for_gpu else 'CPU'}"
        there = self.machine.accelerators if for_gpu else self.machine.backends
        if there is not None and name not in there:
            return f"the accelerator {name} is not installed here: pip install 'servetune[{name}]'"
        return None

    def _precision(self, config: ModelConfig) -> str | None:
        wanted = runtime.precision_of(config)
        if wanted in {None, FP32, INT8, runtime.precision_of(self.base)}:
            return None
        backend, there = runtime.backend_of(config), self.machine.precisions
        if backend == OPENVINO and there is not None and wanted not in there:
            words = _INSTRUCTIONS.get(str(wanted), "instructions for it")
            return f"this CPU has no {words}: {wanted} would be no faster than FP32"
        return None

    def _file(self, config: ModelConfig) -> str | None:
        file, own = runtime.file_of(config), runtime.file_of(self.base)
        backend = runtime.backend_of(config)
        if file == own and backend == runtime.backend_of(self.base):
            return None
        if self.files is not None and file not in self.files:
            wanted = runtime.precision_of(config)
            if wanted is not None and file == runtime.file_in(own, wanted) != own:
                return (
                    f"{backend} computes in what the model's file has: {wanted} needs {file} "
                    f"beside {own}"
                )
            return f"{backend} does not read {own}, and there is no {file} beside it"
        return None


def on_gpu(config: ModelConfig, machine: Machine) -> bool:
    """Whether the instances will run on GPUs: said outright, or left open where there are some."""
    kinds = {group.kind for group in config.instance_group if not group.passive}
    open_kinds = {InstanceKind.KIND_AUTO, InstanceKind.KIND_MODEL}
    return InstanceKind.KIND_GPU in kinds or (
        machine.gpus > 0 and (not kinds or bool(kinds & open_kinds))
    )
