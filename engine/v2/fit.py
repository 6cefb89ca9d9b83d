"""Whether an inference request fits a model, and Triton's words when it does not.

Rules, in the order in which they are checked: no name twice; outputs the model has; as many
inputs as it takes; inputs it has; their types; their shapes; one batch size for all of them,
not above the model's. Does not own what a model is (its tensors come as ``TensorSpec``), nor
bytes that do not fill their shape (``v2.binary``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import InvalidArgument
from engine.v2.binary import tag
from engine.v2.classes import check_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.types import DType, InferRequest, RequestedOutput, Tensor, TensorSpec

_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
    "prepended to each input shape. If you want to specify the full shape including the batch dim "
    "in your input dims config, try setting max_batch_size to zero. See the model configuration "
    "docs for more info on max_batch_size."
)
#: So many shapes of an input are remembered as good.
_REMEMBERED = 256


class Fit:
    """The requests that one model version takes."""

    def __init__(
        self,
        model: str,
        max_batch_size: int,
        inputs: Sequence[TensorSpec],
        outputs: Iterable[TensorSpec],
    ) -> None:
        self._model = model
        self._most_rows = max_batch_size
        self._specs = {spec.name: spec for spec in inputs}
        self._required = frozenset(spec.name for spec in inputs if not spec.optional)
        self._outputs = {spec.name: spec.dtype for spec in outputs}
        self._known: dict[str, tuple[DType, set[tuple[int, ...]]]] = {
            spec.name: (spec.dtype, set()) for spec in inputs
        }

    def check(self, request: InferRequest) -> bool:
        """Let a request pass if the model can run it.

        Returns:
            whether an output is wanted in another way than the model gives it: as classes, or
            in a memory region.

        Raises:
            InvalidArgument: it does not fit.
        """
        special = bool(request.outputs) and self._check_outputs(request.outputs, request.id)
        inputs = request.inputs
        if len(inputs) > 1 and len({tensor.name for tensor in inputs}) != len(inputs):
            raise self._twice(inputs, request.id)
        if not len(self._required) <= len(inputs) <= len(self._specs):
            raise self._count(inputs, request.id)
        rows = -1
        for tensor in inputs:
            shape = tensor.array.shape
            known = self._known.get(tensor.name)
            if known is None or tensor.dtype is not known[0] or shape not in known[1]:
                self._check_input(tensor, request.id)
            if self._most_rows:
                if rows not in (-1, shape[0]):
                    raise self._wrong(
                        request.id,
                        f"input '{tensor.name}' batch size does not match other inputs for "
                        f"'{self._model}'",
                    )
                rows = shape[0]
        if rows > self._most_rows:
            raise self._wrong(
                request.id,
                f"inference request batch-size must be <= {self._most_rows} for '{self._model}'",
            )
        return special

    def _check_outputs(self, outputs: Sequence[RequestedOutput], request_id: str) -> bool:
        special = False
        seen: set[str] = set()
        for output in outputs:
            if output.name not in self._outputs:
                text = f"unexpected inference output '{output.name}' for model '{self._model}'"
                raise self._wrong(request_id, text)
            if output.name in seen:
                text = f"output '{output.name}' already exists in request"
                raise self._wrong(request_id, text)
            seen.add(output.name)
            if output.classification:
                check_type(self._outputs[output.name])
                special = True
            elif output.span is not None:
                special = True
        return special

    def _check_input(self, tensor: Tensor, request_id: str) -> None:
        spec = self._specs.get(tensor.name)
        if spec is None:
            text = f"unexpected inference input '{tensor.name}' for model '{self._model}'"
            raise self._wrong(request_id, text)
        if tensor.dtype is not spec.dtype:
            raise self._wrong(
                request_id,
                f"inference input '{tensor.name}' data-type is '{tensor.dtype.value}', but model "
                f"'{self._model}' expects '{spec.dtype.value}'",
            )
        shape = tensor.array.shape
        if self._most_rows and not shape:
            raise self._wrong(
                request_id,
                f"input '{tensor.name}' has no shape but model requires batch dimension for "
                f"'{self._model}'",
            )
        if not _fits(shape, spec.shape):
            raise self._wrong(
                request_id,
                f"unexpected shape for input '{tensor.name}' for model '{self._model}'. Expected "
                f"{_spell(spec.shape)}, got {_spell(shape)}. {_NOTE if self._most_rows else ''}",
            )
        good = self._known[tensor.name][1]
        if len(good) < _REMEMBERED:
            good.add(shape)

    def _twice(self, inputs: Sequence[Tensor], request_id: str) -> InvalidArgument:
        names = [tensor.name for tensor in inputs]
        name = next(name for at, name in enumerate(names) if name in names[:at])
        return self._wrong(request_id, f"input '{name}' already exists in request")

    def _count(self, inputs: Sequence[Tensor], request_id: str) -> InvalidArgument:
        given = [tensor.name for tensor in inputs]
        missing = [name for name in self._specs if name in self._required and name not in given]
        wanted = f"{len(self._specs)} inputs"
        if len(self._required) != len(self._specs):
            wanted = f"number of inputs between {len(self._required)} and {len(self._specs)}"
        return self._wrong(
            request_id,
            f"expected {wanted} but got {len(given)} inputs for model '{self._model}'. Got "
            f"input(s) {_names(given)}, but missing required input(s) {_names(missing)}. Please "
            "provide all required input(s).",
        )

    @staticmethod
    def _wrong(request_id: str, text: str) -> InvalidArgument:
        return InvalidArgument(tag(request_id) + text)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(want in (-1, have) for have, want in zip(shape, wanted, strict=True))


def _spell(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _names(names: Iterable[str]) -> str:
    return f"[{','.join(repr(name) for name in names)}]"
