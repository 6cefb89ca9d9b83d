"""How a model is compiled: pure, from the configuration's ``parameters``.

The keys are those of Triton's OpenVINO backend, and ``INFERENCE_PRECISION_HINT``. Rules:

1. an instance is a *stream* of one compiled model: ``NUM_STREAMS`` is the number of instances and
   ``INFERENCE_NUM_THREADS`` their fair shares of the cores together, unless the parameters say
   otherwise. Models that are compiled one by one share their cores badly (measured: two of them
   were no faster than one, two streams were 1.95 times as fast);
2. with a ``PERFORMANCE_HINT`` and no ``NUM_STREAMS``, OpenVINO chooses the streams, and is told how
   many requests there will be at once;
3. the precision is f32, whatever the processor could do: OpenVINO by itself takes bf16 where it
   can, and answers then differ from those of the model that was exported. ``HINT_BF16: YES`` or
   ``INFERENCE_PRECISION_HINT`` ask for another one; ``dynamic`` leaves it to OpenVINO;
4. rules 1 and 3 are the CPU's. Another ``TARGET_DEVICE`` gets only what is written down;
5. OpenVINO's CPU knows no ``COMPILATION_NUM_THREADS``: there it is ``idle``, which is to be said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.backend import Placement
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import InstanceKind, ModelConfig

CPU = "CPU"

_DEVICES = ("CPU", "GPU", "NPU", "AUTO", "MULTI", "HETERO")
_HINTS = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")
_PRECISIONS = ("f32", "bf16", "f16", "dynamic")
_COMPILING = "COMPILATION_NUM_THREADS"
_YES_NO = {"YES": True, "NO": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a model is compiled with; ``properties`` are in OpenVINO's own words.

    ``fixed_batch`` says that every batch has ``max_batch_size`` rows; a smaller one is an error, or
    is filled up if there is ``padding``. ``reshape`` gives the inputs the configuration's dims.
    ``idle`` names parameters that have no effect on this device.
    """

    device: str = CPU
    properties: Mapping[str, str] = field(default_factory=dict)
    extension: str = ""
    idle: tuple[str, ...] = ()
    fixed_batch: bool = False
    padding: bool = False
    reshape: bool = False


def read(config: ModelConfig, placement: Placement) -> Settings:
    """Read the settings that all instances of a model have.

    Raises:
        InvalidArgument: a parameter that is not what it should be.
        Unsupported: an instance is to be on an NVIDIA GPU.
    """
    if placement.device is not None:
        raise Unsupported(
            f"model '{config.name}': OpenVINO does not run on NVIDIA GPUs; write kind: KIND_CPU in"
            " its instance_group (parameters['TARGET_DEVICE'] chooses an Intel device), or serve"
            " the ONNX model with the onnxruntime backend"
        )
    device = _device(config)
    return Settings(
        device=device,
        properties=_properties(config, placement, on_cpu=device == CPU),
        extension=config.parameters.get("CPU_EXTENSION_PATH", ""),
        idle=tuple({_COMPILING} & set(config.parameters)) if device == CPU else (),
        fixed_batch=_yes(config, "SKIP_OV_DYNAMIC_BATCHSIZE"),
        padding=_yes(config, "ENABLE_BATCH_PADDING"),
        reshape=_yes(config, "RESHAPE_IO_LAYERS"),
    )


def _device(config: ModelConfig) -> str:
    device = config.parameters.get("TARGET_DEVICE", CPU)
    if device.partition(":")[0].partition(".")[0] not in _DEVICES:
        raise _wrong(config, "TARGET_DEVICE", f"one of {', '.join(_DEVICES)}")
    return device


def _properties(config: ModelConfig, placement: Placement, *, on_cpu: bool) -> dict[str, str]:
    instances = _instances(config)
    properties: dict[str, str] = {}
    if precision := _precision(config, "f32" if on_cpu else ""):
        properties["INFERENCE_PRECISION_HINT"] = precision
    if hint := _one_of(config, "PERFORMANCE_HINT", _HINTS):
        properties |= {"PERFORMANCE_HINT": hint, "PERFORMANCE_HINT_NUM_REQUESTS": str(instances)}
    streams = config.parameters.get("NUM_STREAMS", "")
    if streams in {"AUTO", "NUMA"}:
        properties["NUM_STREAMS"] = streams
    elif streams:
        properties["NUM_STREAMS"] = str(_number(config, "NUM_STREAMS", least=1))
    elif on_cpu and not hint:
        properties["NUM_STREAMS"] = str(instances)
    threads = _number(config, "INFERENCE_NUM_THREADS")
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = str(threads)
    elif on_cpu:
        properties["INFERENCE_NUM_THREADS"] = str(placement.threads * instances)
    compiling = _number(config, _COMPILING)
    if compiling is not None and not on_cpu:
        properties[_COMPILING] = str(compiling)
    return properties


def _precision(config: ModelConfig, default: str) -> str:
    hint = _one_of(config, "INFERENCE_PRECISION_HINT", _PRECISIONS)
    if not _yes(config, "HINT_BF16"):
        return hint or default
    if hint not in {"", "bf16"}:
        raise InvalidArgument(
            f"model '{config.name}': parameters['HINT_BF16'] and"
            f" parameters['INFERENCE_PRECISION_HINT'] = '{hint}' exclude each other; keep one"
        )
    return "bf16"


def _one_of(config: ModelConfig, key: str, words: tuple[str, ...]) -> str:
    value = config.parameters.get(key, "")
    if value and value not in words:
        raise _wrong(config, key, f"one of {', '.join(words)}")
    return value


def _yes(config: ModelConfig, key: str) -> bool:
    value = config.parameters.get(key, "NO").upper()
    if value not in _YES_NO:
        raise _wrong(config, key, "YES or NO")
    return _YES_NO[value]


def _number(config: ModelConfig, key: str, *, least: int = 0) -> int | None:
    text = config.parameters.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        words = "AUTO, NUMA or " if key == "NUM_STREAMS" else ""
        raise _wrong(config, key, f"{words}a whole number from {least} on")
    return int(text)


def _wrong(config: ModelConfig, key: str, wanted: str) -> InvalidArgument:
    return InvalidArgument(
        f"model '{config.name}': parameters['{key}']: expected {wanted}, found"
        f" '{config.parameters[key]}'"
    )


def _instances(config: ModelConfig) -> int:
    counts = (
        max(1, group.count)
        for group in config.instance_group
        if not group.passive and group.kind is not InstanceKind.KIND_GPU and not group.gpus
    )
    return max(1, sum(counts))
