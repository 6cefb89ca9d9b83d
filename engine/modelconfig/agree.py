"""Where a configuration and the model file's own signature disagree.

Owns: the comparison, all mismatches at once. Does not own: reading the model file
(a backend's ``inspect``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.schema import Dims, ModelConfig, ModelInput, ModelOutput
from engine.types import TensorSpec

_ANY = -1


def disagreements(
    config: ModelConfig, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[Finding, ...]:
    """Compare a completed configuration with the shapes and types the model file has.

    The configuration's full shape (batch dimension, then ``reshape`` or ``dims``) must fit the
    file's; -1 on either side fits any number.
    """
    found = list(_compare(config, "input", config.input, inputs))
    found += _compare(config, "output", config.output, outputs)
    given = {tensor.name for tensor in config.input}
    for spec in inputs:
        if spec.name not in given and not spec.optional:
            what = f"model '{config.name}': the model file needs input '{spec.name}'"
            found.append(Finding(("input",), what, f"add it: {_declared(spec, config)}"))
    return tuple(found)


def _compare(
    config: ModelConfig,
    kind: str,
    tensors: Sequence[ModelInput | ModelOutput],
    specs: Sequence[TensorSpec],
) -> Iterator[Finding]:
    known = {spec.name: spec for spec in specs}
    for index, tensor in enumerate(tensors):
        spec = known.get(tensor.name)
        if spec is None:
            what = f"model '{config.name}': the model file has no {kind} '{tensor.name}'"
            yield Finding((kind, index, "name"), what, near(tensor.name, known) if known else "")
            continue
        start = f"model '{config.name}', tensor '{tensor.name}': "
        if spec.dtype is not tensor.data_type:
            what = (
                f"{start}the model file has type {spec.dtype.config_name}, the configuration "
                f"{tensor.data_type.config_name}"
            )
            hint = f"write data_type: {spec.dtype.config_name}"
            yield Finding((kind, index, "data_type"), what, hint)
        shape = _shape(tensor, config)
        if config.max_batch_size > 0 and not tensor.is_shape_tensor and spec.shape[:1] != (_ANY,):
            what = (
                f"{start}for the model to support batching the first dimension must be -1, but the "
                f"model file has shape {_text(spec.shape)}"
            )
            yield Finding((kind, index, "dims"), what, _shape_hint(spec, config))
        elif not _fits(shape, spec.shape):
            what = (
                f"{start}the model file has {len(spec.shape)} dimensions (shape "
                f"{_text(spec.shape)}), the configuration {len(shape)} (shape {_text(shape)}"
                f"{', batch dimension included' if config.max_batch_size > 0 else ''})"
            )
            yield Finding((kind, index, "dims"), what, _shape_hint(spec, config))


def _shape(tensor: ModelInput | ModelOutput, config: ModelConfig) -> Dims:
    dims = tensor.dims if tensor.reshape is None else tensor.reshape
    batched = config.max_batch_size > 0 and not tensor.is_shape_tensor
    return (_ANY, *dims) if batched else dims


def _fits(ours: Dims, theirs: Dims) -> bool:
    return len(ours) == len(theirs) and all(
        _ANY in {one, other} or one == other for one, other in zip(ours, theirs, strict=True)
    )


def _text(dims: Dims) -> str:
    return f"[{','.join(map(str, dims))}]"


def _shape_hint(spec: TensorSpec, config: ModelConfig) -> str:
    if config.max_batch_size > 0 and spec.shape[:1] != (_ANY,):
        return (
            f"set max_batch_size: 0 and dims: {_text(spec.shape)}, or export the model with a "
            "variable first dimension"
        )
    return f"write {_dims_text(spec, config)}"


def _dims_text(spec: TensorSpec, config: ModelConfig) -> str:
    dims = spec.shape[1:] if config.max_batch_size > 0 else spec.shape
    return f"dims: {_text(dims)}" if dims else "dims: [1] and reshape { shape: [] }"


def _declared(spec: TensorSpec, config: ModelConfig) -> str:
    return (
        f'{{ name: "{spec.name}" data_type: {spec.dtype.config_name} {_dims_text(spec, config)} }}'
    )
