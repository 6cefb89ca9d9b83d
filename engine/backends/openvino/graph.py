"""A model file, read: its shapes as the configuration wants them, and its signature.

Rules, from Triton's OpenVINO backend:

1. a model batches if the *layout* of every input and output begins with the batch dimension
   (``N``); where no layout says anything, as in most files, it does if every first dimension may
   vary;
2. if the configuration batches, a first dimension that is fixed is made to vary, or with
   ``SKIP_OV_DYNAMIC_BATCHSIZE`` is fixed at ``max_batch_size``;
3. ``RESHAPE_IO_LAYERS`` gives inputs the dims of the configuration.

A tensor may have several names (TensorFlow's do): the configuration's is taken, else the shortest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.backend import Signature
from engine.backends.openvino.library import FAULTS, core, openvino, said
from engine.backends.openvino.settings import Settings
from engine.errors import InvalidArgument, NotFound, Unsupported
from engine.modelconfig.complete import input_specs
from engine.modelconfig.schema import ModelConfig
from engine.types import DType, TensorSpec

_DTYPES = {
    "boolean": DType.BOOL,
    "u8": DType.UINT8,
    "u16": DType.UINT16,
    "u32": DType.UINT32,
    "u64": DType.UINT64,
    "i8": DType.INT8,
    "i16": DType.INT16,
    "i32": DType.INT32,
    "i64": DType.INT64,
    "f16": DType.FP16,
    "f32": DType.FP32,
    "f64": DType.FP64,
    "bf16": DType.BF16,
}
#: the model's file where the configuration names none
DEFAULT = "model.xml"


def find(directory: Path, config: ModelConfig) -> Path:
    """Find the model's file, or its folder if it is a SavedModel.

    Raises:
        NotFound: it is not there, or an IR has no weights beside it.
    """
    path = directory / (config.default_model_filename or DEFAULT)
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        path /= "model.onnx"
    if not path.exists():
        there = sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []
        raise NotFound(
            f"{path}: no such file; {directory} holds {', '.join(there) or 'nothing'}: put the"
            " model there, or name it in default_model_filename"
        )
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise NotFound(f"{path.with_suffix('.bin')}: no such file; it holds the weights of {path}")
    return path


def read_model(path: Path, config: ModelConfig, settings: Settings) -> tuple[Any, Signature]:
    """Read a model and give it its shapes.

    Raises:
        InvalidArgument: the file cannot be read, or its shapes cannot be had.
        Unsupported: it has a type that the V2 protocol or this backend has none for.
        Unavailable: there is no OpenVINO.
    """
    try:
        model = core(settings).read_model(path)
    except FAULTS as fault:
        raise InvalidArgument(f"{path}: OpenVINO could not read it: {said(fault)}") from fault
    named_batch = _named_batch(model)
    own = _shapes([*model.inputs, *model.outputs])
    varies = bool(model.inputs) and all(shape[:1] == (-1,) for shape in own)
    _give_shapes(model, path, config, settings)
    inputs = _specs("input", model.inputs, path, {tensor.name for tensor in config.input})
    outputs = _specs("output", model.outputs, path, {tensor.name for tensor in config.output})
    if settings.fixed_batch and config.max_batch_size > 0:
        inputs, outputs = _varying(inputs), _varying(outputs)
    signature = Signature(
        inputs,
        outputs,
        batchable=varies if named_batch is None else named_batch,
        named_batch=bool(named_batch),
    )
    return model, signature


def _named_batch(model: Any) -> bool | None:  # noqa: ANN401 - untyped library
    """Say whether the layouts begin with a batch; None if no layout says anything."""
    layouts = [node.layout for node in (*model.get_parameters(), *model.get_results())]
    if all(layout.empty for layout in layouts):
        return None
    helpers = openvino().layout_helpers
    return all(
        helpers.has_batch(layout) and helpers.batch_idx(layout) == 0
        for layout in layouts
        if layout is not None
    )


def _give_shapes(model: Any, path: Path, config: ModelConfig, settings: Settings) -> None:  # noqa: ANN401 - untyped library
    """Apply rules 2 and 3."""
    wanted = {spec.name: spec.shape for spec in _model_side(config)} if settings.reshape else {}
    batch = config.max_batch_size if settings.fixed_batch else -1
    shapes: dict[int, Any] = {}
    for place, port in enumerate(model.inputs):
        had = shape = _shape(port)
        for name in port.names:
            shape = wanted.get(name, shape)
        if config.max_batch_size > 0 and shape:
            shape = (batch, *shape[1:])
        if shape != had:
            shapes[place] = openvino().PartialShape(list(shape))
    if not shapes:
        return
    try:
        model.reshape(shapes)
    except FAULTS as fault:
        raise InvalidArgument(
            f"{path}: the model cannot have the shapes of the configuration: {said(fault)}; set"
            " max_batch_size: 0, or if it takes one size of batch only, parameters"
            " SKIP_OV_DYNAMIC_BATCHSIZE: YES (and ENABLE_BATCH_PADDING: YES)"
        ) from fault


def _model_side(config: ModelConfig) -> Sequence[TensorSpec]:
    """List the inputs as the model sees them: ``reshape`` applied."""
    front = (-1,) if config.max_batch_size > 0 else ()
    return [
        spec
        if tensor.reshape is None
        else TensorSpec(spec.name, spec.dtype, (*front, *tensor.reshape))
        for tensor, spec in zip(config.input, input_specs(config), strict=True)
    ]


def _shapes(ports: Sequence[Any]) -> list[tuple[int, ...]]:
    return [_shape(port) for port in ports]


def _shape(port: Any) -> tuple[int, ...]:  # noqa: ANN401 - untyped library
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        return (-1,)
    return tuple(dim.get_length() if dim.is_static else -1 for dim in shape)


def _specs(
    kind: str, ports: Sequence[Any], path: Path, configured: Collection[str]
) -> tuple[TensorSpec, ...]:
    return tuple(_spec(kind, port, path, configured) for port in ports)


def _varying(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Show a batch of one size as the others see it: requests have any number of rows."""
    return tuple(replace(spec, shape=(-1, *spec.shape[1:])) for spec in specs)


def _spec(kind: str, port: Any, path: Path, configured: Collection[str]) -> TensorSpec:  # noqa: ANN401 - untyped library
    name, word = port_name(port, configured), port.element_type.get_type_name()
    dtype = _DTYPES.get(word)
    if dtype is None:
        raise Unsupported(
            f"{path}: {kind} '{name}' is a tensor of {word}, which is not served through OpenVINO"
            " (an ONNX model with strings is, by the onnxruntime backend)"
        )
    return TensorSpec(name, dtype, _shape(port))


def port_name(port: Any, configured: Collection[str]) -> str:  # noqa: ANN401 - untyped library
    """Choose one of a tensor's names; it has that of its node if it has none."""
    names = sorted(port.names, key=lambda name: (len(name), name))
    ours = (name for name in names if name in configured)
    return str(next(ours, names[0] if names else port.node.friendly_name))
