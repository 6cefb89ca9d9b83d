"""Where a configuration and the model file's own signature disagree.

Owns: the comparison, all mismatches at once. Does not own: reading the model file
(a backend's ``inspect``).

The model file has more inputs than requests bring, and more outputs than they get: those that a
sequence batcher fills and keeps, and those computed from a batch. They are compared too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import Control, Dims, ModelConfig, ModelInput, ModelOutput
from engine.types import DType, TensorSpec

_ANY = -1


@dataclass(frozen=True, slots=True)
class _Declared:
    """A tensor that the configuration says the model file has; a shape of None is any."""

    path: Path
    kind: str
    name: str
    dtype: DType | None
    shape: Dims | None
    ragged: bool = False


def disagreements(
    config: ModelConfig, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[Finding, ...]:
    """Compare a completed configuration with the shapes and types the model file has.

    The configuration's full shape (batch dimension, then ``reshape`` or ``dims``) must fit the
    file's; -1 on either side fits any number.
    """
    declared = (*_inputs(config), *_filled(config), *_outputs(config))
    known = {
        "input": {one.name: one for one in inputs},
        "output": {one.name: one for one in outputs},
    }
    found = [finding for one in declared for finding in _compare(one, known[one.kind], config)]
    given = {one.name for one in declared if one.kind == "input"}
    for spec in inputs:
        if spec.name not in given and not spec.optional:
            counts = ""
            if len(given) != len(inputs):
                counts = (
                    f", configuration expects {len(given)} inputs, model provides {len(inputs)}"
                )
            what = (
                f"unable to load model '{config.name}'{counts}: the model file needs input "
                f"'{spec.name}'"
            )
            found.append(Finding(("input",), what, f"add it: {_written(spec, config)}"))
    return tuple(found)


def _inputs(config: ModelConfig) -> Iterator[_Declared]:
    for index, tensor in enumerate(config.input):
        # Requests of a ragged batch are joined end to end, without a batch dimension.
        ragged = tensor.allow_ragged_batch
        shape = _shape(tensor, config)
        yield _Declared(("input", index), "input", tensor.name, tensor.data_type, shape, ragged)


def _outputs(config: ModelConfig) -> Iterator[_Declared]:
    dealt_out = {name for one in config.batch_output for name in one.target_name}
    for index, tensor in enumerate(config.output):
        shape = None if tensor.name in dealt_out else _shape(tensor, config)
        yield _Declared(("output", index), "output", tensor.name, tensor.data_type, shape)


def _filled(config: ModelConfig) -> Iterator[_Declared]:
    """List what the batchers fill, and what they keep."""
    for place, made in enumerate(config.batch_input):
        for name in made.target_name:
            yield _Declared(("batch_input", place), "input", name, made.data_type, None)
    batching = config.sequence_batching
    if batching is None:
        return
    for place, tensor in enumerate(batching.control_input):
        path: Path = ("sequence_batching", "control_input", place)
        for control in tensor.control:
            yield _Declared(path, "input", tensor.name, control_type(control), _full((1,), config))
    for place, state in enumerate(batching.state):
        path = ("sequence_batching", "state", place)
        shape = _full(state.dims, config)
        yield _Declared(path, "input", state.input_name, state.data_type, shape)
        yield _Declared(path, "output", state.output_name, state.data_type, shape)


def control_type(control: Control) -> DType | None:
    """Give the data type of the tensor a control is written to."""
    if control.int32_false_true:
        return DType.INT32
    if control.fp32_false_true:
        return DType.FP32
    return DType.BOOL if control.bool_false_true else control.data_type


def _compare(
    one: _Declared, known: Mapping[str, TensorSpec], config: ModelConfig
) -> Iterator[Finding]:
    spec = known.get(one.name)
    if spec is None:
        what = (
            f"model '{config.name}': unexpected inference {one.kind} '{one.name}', allowed "
            f"{one.kind}s are: {', '.join(sorted(known))}"
        )
        yield Finding((*one.path, "name"), what, _nearest(one.name, known))
        return
    unable = f"unable to load model '{config.name}', "
    if spec.dtype is not one.dtype:
        given = one.dtype.config_name if one.dtype is not None else "TYPE_INVALID"
        what = (
            f"{unable}configuration expects datatype {given} for {one.kind} '{one.name}', model "
            f"provides {spec.dtype.config_name}"
        )
        hint = f"write data_type: {spec.dtype.config_name}"
        yield Finding((*one.path, "data_type"), what, hint)
    if one.shape is None:
        return
    if one.ragged:
        if spec.shape != (_ANY,):
            # The two blanks are Triton's.
            what = (
                f"{unable}configuration expects model provides input with shape [-1]  for ragged "
                f"input '{one.name}', model provides {_text(spec.shape)}"
            )
            yield Finding((*one.path, "allow_ragged_batch"), what)
    elif config.max_batch_size == 0 and not spec.shape:
        if any(dim != 1 for dim in one.shape):
            what = (
                f"{unable}scalar tensor '{one.name}', should only provide 1 in the model "
                "configuration when the model doesn't support batching. Model configuration "
                f"provided: {_text(one.shape)}."
            )
            yield Finding((*one.path, "dims"), what, "write dims: [1]")
    else:
        yield from _shapes(one, one.shape, spec, config)


def _shapes(
    one: _Declared, shape: Dims, spec: TensorSpec, config: ModelConfig
) -> Iterator[Finding]:
    start = f"model '{config.name}', tensor '{one.name}': "
    batched = config.max_batch_size > 0 and shape[:1] == (_ANY,)
    if batched and spec.shape[:1] != (_ANY,):
        what = (
            f"{start}for the model to support batching the shape should have at least 1 dimension "
            "and the first dimension must be -1; but shape expected by the model is "
            f"{_text(spec.shape)}"
        )
        yield Finding((*one.path, "dims"), what, _shape_hint(spec, config))
    elif not _fits(shape, spec.shape):
        whole = f"shape {_text(shape)}"
        if batched:
            whole = (
                "an initial batch dimension because max_batch_size > 0 followed by the explicit "
                f"tensor shape, making complete {whole}"
            )
        what = (
            f"{start}the model expects {len(spec.shape)} dimensions (shape {_text(spec.shape)}) "
            f"but the model configuration specifies {len(shape)} dimensions ({whole})"
        )
        yield Finding((*one.path, "dims"), what, _shape_hint(spec, config))


def _nearest(name: str, known: Mapping[str, TensorSpec]) -> str:
    hint = near(name, known) if known else ""
    return hint if hint.startswith("did you mean") else ""


def _full(dims: Dims, config: ModelConfig) -> Dims:
    return (_ANY, *dims) if config.max_batch_size > 0 else dims


def _shape(tensor: ModelInput | ModelOutput, config: ModelConfig) -> Dims:
    dims = tensor.dims if tensor.reshape is None else tensor.reshape
    return dims if tensor.is_shape_tensor else _full(dims, config)


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
    if dims:
        return f"dims: {_text(dims)}"
    return "dims: [1]" + (" and reshape { shape: [] }" if config.max_batch_size > 0 else "")


def _written(spec: TensorSpec, config: ModelConfig) -> str:
    return (
        f'{{ name: "{spec.name}" data_type: {spec.dtype.config_name} {_dims_text(spec, config)} }}'
    )
