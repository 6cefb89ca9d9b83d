"""By what a configuration has its model run: backend, file, precision, threads. Pure.

Owns which file each backend reads, in which words each is told its precision and its threads, and
how a configuration for one backend becomes one for another. Does not own what can be had on a
machine (``means``).

Rules:

1. A backend that reads the model's own file is given it; another its own (``model.plan``).
2. What one backend's parameters say goes when another takes over, but for the threads of an
   instance, which both have a word for. What nobody here knows stays: it may be the user's.
3. A precision is had, by backend: from OpenVINO on a CPU, and from TensorRT as accelerator, by
   asking for it; from any other by a file that has it, which lies beside the model and bears its
   name: ``model_int8.onnx`` beside ``model.onnx``. Integers are always the file's.
4. What a file computes in is not looked into: its precision is None, unless its name says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analyzer.space import INTRA_OP_THREADS, PRECISIONS
from analyzer.variant import accelerators
from engine.modelconfig import convert
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

ONNXRUNTIME, OPENVINO, TENSORRT = "onnxruntime", "openvino", "tensorrt"
FP32, BF16, FP16, INT8 = PRECISIONS
#: what each backend reads: where the configuration names no file, and the endings of files
FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    ONNXRUNTIME: ("model.onnx", (".onnx",)),
    OPENVINO: ("model.xml", (".xml", ".onnx", ".savedmodel", ".tflite", ".pb", ".pdmodel")),
    TENSORRT: ("model.plan", (".plan",)),
    "tensorflow": ("model.savedmodel", (".savedmodel", ".graphdef")),
    "pytorch": ("model.pt", (".pt", ".pt2")),
}
_HINT, _HINT_BF16 = "INFERENCE_PRECISION_HINT", "HINT_BF16"
_DEVICE, _CPU = "TARGET_DEVICE", "CPU"
#: of all instances together
_OPENVINO_THREADS = "INFERENCE_NUM_THREADS"
_HINTS = {FP32: "f32", BF16: "bf16", FP16: "f16"}
#: the parameters that one backend alone reads; a point at the end: all that begin so
_OWN: Mapping[str, tuple[str, ...]] = {
    ONNXRUNTIME: (
        INTRA_OP_THREADS, "inter_op_thread_count", "execution_mode", "enable_mem_arena",
        "enable_mem_pattern", "memory.enable_memory_arena_shrinkage", "session.",
        "allow_provider_fallback", "batch_sizes", "cudnn_conv_algo_search", "gpu_mem_limit",
        "arena_extend_strategy", "do_copy_in_default_stream",
    ),
    OPENVINO: (
        _HINT, _HINT_BF16, _OPENVINO_THREADS, _DEVICE, "COMPILATION_NUM_THREADS", "NUM_STREAMS",
        "PERFORMANCE_HINT", "CPU_EXTENSION_PATH", "SKIP_OV_DYNAMIC_BATCHSIZE",
        "ENABLE_BATCH_PADDING", "RESHAPE_IO_LAYERS",
    ),
}  # fmt: skip

#: the parameters that say how many threads and streams compute, and what they wait with
_THREADS = (
    INTRA_OP_THREADS, "inter_op_thread_count", "execution_mode", "session.intra_op.",
    "session.inter_op.", _OPENVINO_THREADS, "NUM_STREAMS", "COMPILATION_NUM_THREADS",
    "PERFORMANCE_HINT",
)  # fmt: skip


def backend_of(config: ModelConfig) -> str:
    """Name the backend; "" where neither it nor a platform is given."""
    return config.backend or config.platform.partition("_")[0]


def file_of(config: ModelConfig) -> str:
    """Name the file that the model is in; "" where that is not known."""
    return config.default_model_filename or FILES.get(backend_of(config), ("",))[0]


def reads(backend: str, file: str) -> bool:
    """Whether a backend reads such a file."""
    return backend in FILES and _parts(file)[1] in FILES[backend][1]


def file_for(config: ModelConfig, backend: str) -> str:
    """Name the file that another backend would read (rule 1)."""
    file = file_of(config)
    return file if reads(backend, file) else FILES.get(backend, (file,))[0]


def file_in(file: str, precision: str) -> str:
    """Name the file of a precision beside a model's (rule 3); FP32 is that without a word."""
    stem, suffix = _parts(file)
    own = _named(file)
    plain = stem if own is None else stem[: -len(own) - 1]
    return plain + suffix if precision == FP32 else f"{plain}_{precision.lower()}{suffix}"


def precision_of(config: ModelConfig) -> str | None:
    """Say in what precision the configuration has the model run; None: as its file is."""
    own = _named(file_of(config))
    if own == INT8:
        return own
    if backend_of(config) == OPENVINO:
        return _hinted(config.parameters)
    return accelerators.mode_of(config) or own


def asks_for(config: ModelConfig, precision: str) -> bool:
    """Whether a precision is had by asking for it; otherwise by a file (rule 3)."""
    if precision == INT8:
        return False
    return backend_of(config) == OPENVINO or accelerators.takes_mode(config)


def threads_of(config: ModelConfig) -> int | None:
    """Say how many threads an instance has; None where the backend chooses."""
    if backend_of(config) == OPENVINO:
        whole = config.parameters.get(_OPENVINO_THREADS, "")
        known = whole.isdecimal() and int(whole) > 0
        return max(1, int(whole) // instances_of(config)) if known else None
    text = config.parameters.get(INTRA_OP_THREADS, "")
    return int(text) if text.isdecimal() else None


def reads_threads(backend: str) -> bool:
    """Whether a model's configuration tells this backend the threads of an instance."""
    return backend in {ONNXRUNTIME, OPENVINO}


def instances_of(config: ModelConfig) -> int:
    """Count the instances that compute on the CPU, one at least."""
    counts = (
        max(1, each.count)
        for each in config.instance_group
        if not each.passive and each.kind is not InstanceKind.KIND_GPU and not each.gpus
    )
    return max(1, sum(counts))


def answering(config: ModelConfig) -> str:
    """Return what tells apart configurations that may answer differently.

    How many instances there are, of how many threads, and how requests are batched and scheduled
    changes no answer beyond rounding; by what they are computed may.
    """
    kinds = {each.kind for each in config.instance_group if not each.passive}
    alike = ModelConfig(
        name=config.name,
        backend=backend_of(config),
        default_model_filename=file_of(config),
        optimization=config.optimization,
        instance_group=tuple(
            InstanceGroup(kind=kind) for kind in sorted(kinds, key=lambda one: one.value)
        ),
        ensemble_scheduling=config.ensemble_scheduling,
        parameters={
            key: value for key, value in config.parameters.items() if not _among(key, _THREADS)
        },
    )
    return convert.dumps(alike)


def with_backend(config: ModelConfig, backend: str) -> ModelConfig:
    """Have another backend run the model (rules 1 and 2)."""
    before = backend_of(config)
    if backend == before:
        return config
    threads = threads_of(config)
    gone = _OWN.get(before, ())
    made = replace(
        accelerators.with_accelerator(config, accelerators.NONE),
        backend=backend,
        platform="",
        default_model_filename=file_for(config, backend),
        parameters={
            key: value for key, value in config.parameters.items() if not _among(key, gone)
        },
    )
    return with_threads(made, threads) if threads and reads_threads(backend) else made


def with_precision(config: ModelConfig, precision: str) -> ModelConfig:
    """Have the model run in a precision, whatever it ran in before (rule 3)."""
    if precision == (precision_of(config) or FP32):
        return config
    if asks_for(config, precision):
        if _named(file_of(config)) is not None:
            config = replace(config, default_model_filename=file_in(file_of(config), FP32))
        if backend_of(config) != OPENVINO:
            return accelerators.with_mode(config, precision)
        return _hinting(config, precision)
    config = replace(config, default_model_filename=file_in(file_of(config), precision))
    # TensorRT is told of integers too, OpenVINO sees them.
    return accelerators.with_mode(config, precision) if accelerators.takes_mode(config) else config


def with_threads(config: ModelConfig, threads: int) -> ModelConfig:
    """Give each instance so many threads; the number of instances is the configuration's."""
    key, text = INTRA_OP_THREADS, str(threads)
    if backend_of(config) == OPENVINO:
        key, text = _OPENVINO_THREADS, str(threads * instances_of(config))
    return replace(config, parameters=dict(sorted({**config.parameters, key: text}.items())))


def on_cpu(config: ModelConfig) -> ModelConfig:
    """Put every instance on the CPU."""
    groups = config.instance_group or (InstanceGroup(count=1),)
    kind = InstanceKind.KIND_CPU
    return replace(
        config, instance_group=tuple(replace(each, kind=kind, gpus=()) for each in groups)
    )


def _hinted(parameters: Mapping[str, str]) -> str | None:
    """Read the precision that OpenVINO is told, or that the engine has it use on a CPU."""
    if parameters.get(_HINT_BF16, "NO").upper() == "YES":
        return BF16
    usual = _HINTS[FP32] if parameters.get(_DEVICE, _CPU) == _CPU else ""
    hint = parameters.get(_HINT) or usual
    return next((name for name, word in _HINTS.items() if word == hint), None)


def _hinting(config: ModelConfig, precision: str) -> ModelConfig:
    rest = {
        key: value for key, value in config.parameters.items() if key not in {_HINT, _HINT_BF16}
    }
    if precision != _hinted(rest):
        rest[_HINT] = _HINTS[precision]
    return replace(config, parameters=dict(sorted(rest.items())))


def _parts(file: str) -> tuple[str, str]:
    """Split a file's name before its ending."""
    stem, point, end = file.rpartition(".")
    return (stem, point + end) if point else (file, "")


def _named(file: str) -> str | None:
    """Read the precision off a file's name, if it says one."""
    stem = _parts(file)[0].lower()
    return next((each for each in PRECISIONS if stem.endswith(f"_{each.lower()}")), None)


def _among(key: str, words: tuple[str, ...]) -> bool:
    return any(key == word or (word.endswith(".") and key.startswith(word)) for word in words)
