"""What a configuration asks of TensorRT: pure.

The keys are those of Triton's TensorRT backend. Rules:

1. a CUDA graph is captured for each batch size and shape that comes up, if
   ``optimization.cuda.graphs`` says so; where there are ``graph_spec`` only for what one of them
   names, or, with a ``graph_lower_bound``, for what lies between the two;
2. profiles are those that the instance group names, by number, else the first;
3. ``busy_wait_events`` has the waiting thread spin. ``output_copy_stream``, ``eager_batching`` and
   ``gather_kernel_buffer_threshold`` are about how Triton gathers and hands out tensors: they
   change no answer, and have no effect here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.backend import Placement
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import (
    CudaOptions,
    GraphSpec,
    ModelConfig,
    ModelPriority,
    Optimization,
)

STRATEGY = "execution_context_allocation_strategy"
_STRATEGIES = ("STATIC", "ON_PROFILE_CHANGE")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
#: without graph_spec, graphs of so many shapes are kept: each holds memory on the GPU
MOST_GRAPHS = 64


@dataclass(frozen=True, slots=True)
class Shared:
    """What ``--backend-config=tensorrt`` sets for all plans."""

    plugins: tuple[str, ...] = ()
    version_compatible: bool = False


def read_shared(settings: Mapping[str, str]) -> Shared:
    """Read the settings of ``--backend-config``.

    Raises:
        InvalidArgument: one is not what it should be.
    """
    compatible = settings.get("version-compatible", "false").lower()
    if compatible not in _SWITCH:
        raise InvalidArgument(
            "--backend-config=tensorrt,version-compatible: expected true or false, found"
            f" '{compatible}'"
        )
    plugins = settings.get("plugins", "")
    return Shared(tuple(filter(None, plugins.split(";"))), _SWITCH[compatible])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one instance runs."""

    device: int
    profiles: tuple[int, ...]
    graphs: bool = False
    specs: tuple[GraphSpec, ...] = ()
    priority: ModelPriority = ModelPriority.DEFAULT
    spins: bool = False
    pinned_inputs: bool = True
    pinned_outputs: bool = True
    strategy: str = _STRATEGIES[0]


def read(config: ModelConfig, placement: Placement) -> Settings:
    """Read the settings of one instance.

    Raises:
        InvalidArgument: a setting that is not what it should be.
        Unsupported: the instance is not on a GPU, or the model is one that cannot be served.
    """
    if placement.device is None:
        raise Unsupported(
            f"model '{config.name}': TensorRT plans run on GPUs only; write kind: KIND_GPU in its"
            " instance_group, on a machine with a GPU"
        )
    strategy = config.parameters.get(STRATEGY, _STRATEGIES[0])
    if strategy not in _STRATEGIES:
        raise InvalidArgument(
            f"model '{config.name}': parameters['{STRATEGY}']: expected one of"
            f" {', '.join(_STRATEGIES)}, found '{strategy}'"
        )
    if config.max_batch_size > 0 and any(one.is_shape_tensor for one in config.input):
        raise Unsupported(
            f"model '{config.name}': shape tensors in a model that batches are not served yet; set"
            " max_batch_size: 0 and write the batch dimension in dims"
        )
    optimization = config.optimization or Optimization()
    cuda = optimization.cuda or CudaOptions()
    return Settings(
        device=placement.device,
        profiles=tuple(_number(config, name) for name in placement.profiles) or (0,),
        graphs=cuda.graphs,
        specs=cuda.graph_spec,
        priority=optimization.priority,
        spins=cuda.busy_wait_events,
        pinned_inputs=optimization.input_pinned_memory is not False,
        pinned_outputs=optimization.output_pinned_memory is not False,
        strategy=strategy,
    )


def _number(config: ModelConfig, name: str) -> int:
    if not (name.isascii() and name.isdigit()):
        raise InvalidArgument(
            f"model '{config.name}': instance_group profile '{name}': expected the number of an"
            " optimisation profile of the plan, from 0 on"
        )
    return int(name)


def may_capture(
    settings: Settings, shapes: Mapping[str, tuple[int, ...]], *, batched: bool
) -> bool:
    """Apply rule 1 to the shapes of a run's inputs."""
    if not settings.graphs:
        return False
    return not settings.specs or any(
        _names(spec, shapes, batched=batched) for spec in settings.specs
    )


def _names(spec: GraphSpec, shapes: Mapping[str, tuple[int, ...]], *, batched: bool) -> bool:
    lower = spec.graph_lower_bound
    for name, shape in shapes.items():
        rows, dims = (shape[:1], shape[1:]) if batched else ((), shape)
        most = spec.input.get(name, dims)
        least = most if lower is None else lower.input.get(name, most)
        low = (lower.batch_size if lower is not None else spec.batch_size,) if batched else ()
        high = (spec.batch_size,) if batched else ()
        bounds = zip((*low, *least), (*rows, *dims), (*high, *most), strict=False)
        if len(most) != len(dims) or not all(a <= size <= b for a, size, b in bounds):
            return False
    return True
