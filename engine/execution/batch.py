"""Put the tensors of several requests together along the batch axis, and take them apart again.

Owns the arrays' layout between a client and a model: the batch axis in front, and the
``reshape`` property of inputs and outputs. Does not own which requests run together, nor what has
no batch axis (``execution.ragged``). Rules:

1. one request is passed on as it is; several are joined with one copy an input, and what comes
   out is handed back as views of the rows of one array;
2. a model without a batch axis (``max_batch_size`` 0) gets exactly what the client sent;
3. ``reshape`` gives a model other dimensions than the client sees; sizes at -1 are carried over
   in their order (Triton's model configuration, "Reshape");
4. a response holds the outputs its request asked for, all of the configuration's if it asked
   for none, in the order of the configuration;
5. a model that sees requests gets each with its own batch dimension, and gives outputs as it
   likes: only their names are checked, and ``reshape`` is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.errors import Internal
from engine.execution.ragged import Ragged, ragged
from engine.modelconfig.schema import Dims, ModelConfig
from engine.types import Array, DType, InferRequest, InferResponse, Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Reshape:
    """Dimensions on one side and on the other, both without the batch axis."""

    before: Dims
    after: Dims

    def apply(self, array: Array, lead: int) -> Array:
        """View ``array`` in the new dimensions; its first ``lead`` axes stay as they are.

        Raises:
            ValueError: the array is not of the old dimensions.
        """
        sizes = array.shape[lead:]
        if len(sizes) != len(self.before):
            raise ValueError(f"expected dimensions {list(self.before)}, got {list(sizes)}")
        varying = iter(size for size, dim in zip(sizes, self.before, strict=True) if dim == -1)
        wanted = [next(varying) if dim == -1 else dim for dim in self.after]
        return array.reshape((*array.shape[:lead], *wanted))


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """One output: its name and type, and how it is reshaped on the way out."""

    name: str
    dtype: DType
    reshape: Reshape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one model's tensors lie; ``ragged`` is there only where something is."""

    model: str
    version: str
    batched: bool
    outputs: tuple[OutputLayout, ...]
    reshaped_inputs: Mapping[str, Reshape]
    ragged: Ragged | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all outputs, in the configuration's order."""
        return tuple(output.name for output in self.outputs)


def layout(name: str, version: int, config: ModelConfig) -> Layout:
    """Read from a complete configuration how the model's tensors lie."""
    return Layout(
        model=name,
        version=str(version),
        batched=config.max_batch_size > 0,
        outputs=tuple(
            OutputLayout(
                output.name,
                output.data_type,
                None if output.reshape is None else Reshape(output.reshape, output.dims),
            )
            for output in config.output
        ),
        reshaped_inputs={
            tensor.name: Reshape(tensor.dims, tensor.reshape)
            for tensor in config.input
            if tensor.reshape is not None
        },
        ragged=ragged(config),
    )


def join(requests: Sequence[InferRequest], layout: Layout) -> dict[str, Array]:
    """Make the arrays that a backend is given, by input name.

    The requests name the same inputs, and agree on every dimension but the first, except where
    they are ragged.
    """
    first = requests[0].inputs
    if layout.ragged is not None:
        parts = {tensor.name: _parts(requests, layout, tensor.name) for tensor in first}
        return layout.ragged.join(parts)
    if len(requests) == 1:
        arrays = {tensor.name: tensor.array for tensor in first}
    else:
        arrays = {
            tensor.name: np.concatenate(
                [_input(request, place, tensor.name) for request in requests]
            )
            for place, tensor in enumerate(first)
        }
    for name, reshape in layout.reshaped_inputs.items():
        if name in arrays:
            arrays[name] = reshape.apply(arrays[name], 1 if layout.batched else 0)
    return arrays


def wanted(requests: Sequence[InferRequest], layout: Layout) -> tuple[str, ...]:
    """Name the outputs that somebody among the requests wants."""
    asked: set[str] = set()
    for request in requests:
        if not request.outputs:
            return layout.names
        for output in request.outputs:
            asked.add(output.name)
    return tuple(name for name in layout.names if name in asked)


def answer(
    requests: Sequence[InferRequest], arrays: Mapping[str, Array], layout: Layout
) -> list[InferResponse]:
    """Give each request its rows of what the backend computed.

    Raises:
        Internal: the backend's arrays are not what the configuration says.
    """
    if layout.ragged is not None and layout.ragged.dealt:
        return _answer_dealt(requests, arrays, layout, layout.ragged)
    counts = [_rows(request) for request in requests] if layout.batched else None
    tensors = [
        Tensor(output.name, output.dtype, _checked(output, arrays[output.name], counts))
        for output in layout.outputs
        if output.name in arrays
    ]
    responses: list[InferResponse] = []
    start = 0
    for place, request in enumerate(requests):
        outputs = tensors
        if request.outputs:
            names = {output.name for output in request.outputs}
            outputs = [tensor for tensor in tensors if tensor.name in names]
        if counts is not None and len(requests) > 1:
            end = start + counts[place]
            outputs = [Tensor(one.name, one.dtype, one.array[start:end]) for one in outputs]
            start = end
        responses.append(
            InferResponse(
                model=layout.model, version=layout.version, outputs=tuple(outputs), id=request.id
            )
        )
    return responses


def view(request: InferRequest, layout: Layout) -> InferRequest:
    """Show a request to a model that sees requests: only ``reshape`` changes it."""
    reshaped = layout.reshaped_inputs
    if not reshaped:
        return request
    lead = 1 if layout.batched else 0
    inputs = tuple(
        Tensor(one.name, one.dtype, reshaped[one.name].apply(one.array, lead))
        if one.name in reshaped
        else one
        for one in request.inputs
    )
    return replace(request, inputs=inputs)


def present(
    outputs: Sequence[Tensor],
    request: InferRequest,
    layout: Layout,
    parameters: Mapping[str, Parameter],
) -> InferResponse:
    """Make a response of what a model that sees requests answered (rule 5).

    Raises:
        Internal: there is no such output, or it cannot be reshaped.
    """
    wanted = {output.name for output in request.outputs}
    known = {output.name: output.reshape for output in layout.outputs}
    shown: list[Tensor] = []
    for one in outputs:
        if one.name not in known:
            raise Internal(
                f"unexpected inference output '{one.name}' for model '{layout.model}'; its"
                f" configuration has {', '.join(known) or 'none'}"
            )
        if wanted and one.name not in wanted:
            continue
        reshape = known[one.name]
        shown.append(one if reshape is None else _reshaped(one, reshape, layout))
    return InferResponse(
        model=layout.model,
        version=layout.version,
        outputs=tuple(shown),
        id=request.id,
        parameters=parameters,
    )


def _reshaped(tensor: Tensor, reshape: Reshape, layout: Layout) -> Tensor:
    try:
        array = reshape.apply(tensor.array, 1 if layout.batched else 0)
    except ValueError as fault:
        raise Internal(f"output '{tensor.name}' cannot be reshaped: {fault}") from fault
    return Tensor(tensor.name, tensor.dtype, array)


def _answer_dealt(
    requests: Sequence[InferRequest], arrays: Mapping[str, Array], layout: Layout, ragged: Ragged
) -> list[InferResponse]:
    """Answer likewise where some outputs have no batch axis and are dealt out."""
    counts = [_rows(request) for request in requests] if layout.batched else None
    given: list[list[Tensor]] = [[] for _ in requests]
    for output in layout.outputs:
        if output.name not in arrays:
            continue
        array, dealt = arrays[output.name], ragged.dealt.get(output.name)
        if dealt is not None:
            _check_type(output, array)
            shapes = [part.shape for part in _parts(requests, layout, dealt.source)]
            pieces = dealt.deal(output.name, array, shapes)
        elif counts is not None:
            pieces = np.split(_checked(output, array, counts), np.cumsum(counts)[:-1])
        else:
            pieces = [_checked(output, array, counts)]
        for outputs, piece in zip(given, pieces, strict=True):
            outputs.append(Tensor(output.name, output.dtype, piece))
    responses: list[InferResponse] = []
    for request, outputs in zip(requests, given, strict=True):
        names = {output.name for output in request.outputs} or set(layout.names)
        kept = tuple(one for one in outputs if one.name in names)
        responses.append(
            InferResponse(model=layout.model, version=layout.version, outputs=kept, id=request.id)
        )
    return responses


def _parts(requests: Sequence[InferRequest], layout: Layout, name: str) -> list[Array]:
    """List what each request brings of an input, in the dimensions that the model sees."""
    parts = [_input(request, 0, name) for request in requests]
    reshape = layout.reshaped_inputs.get(name)
    if reshape is None:
        return parts
    lead = 1 if layout.batched else 0
    return [reshape.apply(part, lead) for part in parts]


def _input(request: InferRequest, place: int, name: str) -> Array:
    """Find an input, most likely at the place where the first request has it."""
    inputs = request.inputs
    if place < len(inputs) and inputs[place].name == name:
        return inputs[place].array
    return next(tensor.array for tensor in inputs if tensor.name == name)


def _rows(request: InferRequest) -> int:
    """How many rows a request of a batching model has; 0 rows are possible."""
    shape = request.inputs[0].array.shape if request.inputs else ()
    return shape[0] if shape else 1


def _checked(output: OutputLayout, array: Array, counts: list[int] | None) -> Array:
    """Bring one output into the form that clients see, or say what is wrong with it."""
    _check_type(output, array)
    if counts is not None and (not array.shape or array.shape[0] != sum(counts)):
        raise Internal(
            f"output '{output.name}' came out with shape {list(array.shape)} for a batch of"
            f" {sum(counts)}; its first dimension must be the batch's size, so the model does"
            " not batch: set max_batch_size to 0"
        )
    if output.reshape is None:
        return array
    try:
        return output.reshape.apply(array, 0 if counts is None else 1)
    except ValueError as fault:
        raise Internal(f"output '{output.name}' cannot be reshaped: {fault}") from fault


def _check_type(output: OutputLayout, array: Array) -> None:
    if array.dtype != output.dtype.numpy:
        raise Internal(
            f"output '{output.name}' came out as {array.dtype}, but the configuration says"
            f" {output.dtype.config_name}"
        )
