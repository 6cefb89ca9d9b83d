"""What a plan is made of: its tensors, and the shapes that each of its profiles takes.

Rules, from Triton's TensorRT backend (auto-completion and the choice of a profile):

1. a plan batches if every tensor but shape tensors begins with a dimension that varies; the largest
   batch is the greatest that any of the profiles takes;
2. of the profiles that take a run's shapes, that one runs it whose optimum is nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.backend import Signature
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig
from engine.types import DType, TensorSpec

Shape = tuple[int, ...]
_DTYPES = {
    "BOOL": DType.BOOL,
    "UINT8": DType.UINT8,
    "INT8": DType.INT8,
    "INT32": DType.INT32,
    "INT64": DType.INT64,
    "HALF": DType.FP16,
    "FLOAT": DType.FP32,
    "BF16": DType.BF16,
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least, the best and the greatest shape of an input (of a shape tensor: its values)."""

    least: Shape
    best: Shape
    most: Shape

    def hold(self, shape: Shape) -> bool:
        """Say whether a shape is within them."""
        return len(shape) == len(self.least) and all(
            low <= size <= high
            for low, size, high in zip(self.least, shape, self.most, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """One optimisation profile."""

    number: int
    inputs: Mapping[str, Bounds]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's tensors in its own order, and its profiles.

    ``shape_tensors`` are inputs whose values are shapes; their elements stay on the host.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]
    shape_tensors: frozenset[str] = frozenset()
    host_outputs: frozenset[str] = frozenset()

    def signature(self) -> Signature:
        """Apply rule 1."""
        rows = [one for one in self.inputs if one.name not in self.shape_tensors]
        batchable = bool(rows) and all(one.shape[:1] == (-1,) for one in (*rows, *self.outputs))
        most = max(
            (min(profile.inputs[one.name].most[0] for one in rows) for profile in self.profiles),
            default=0,
        ) if batchable else 0  # fmt: skip
        return Signature(self.inputs, self.outputs, batchable and most > 0, most_rows=most)


def read(engine: Any, path: Path) -> Plan:  # noqa: ANN401 - untyped library
    """Ask an engine what it is made of.

    Raises:
        Unsupported: a tensor has a type, or an arrangement in memory, that cannot be served.
    """
    inputs, outputs = list[TensorSpec](), list[TensorSpec]()
    shapes, host = set[str](), set[str]()
    for place in range(engine.num_io_tensors):
        name = engine.get_tensor_name(place)
        kind = "input" if _word(engine.get_tensor_mode(name)) == "INPUT" else "output"
        spec = TensorSpec(name, _dtype(engine, name, kind, path), _dims(engine, name))
        if engine.get_tensor_vectorized_dim(name) != -1:
            raise Unsupported(
                f"{path}: {kind} '{name}' is vectorised (is_non_linear_format_io), which is not"
                " served: build the plan with linear inputs and outputs"
            )
        (inputs if kind == "input" else outputs).append(spec)
        if _word(engine.get_tensor_location(name)) == "HOST":
            (shapes if kind == "input" else host).add(name)
    profiles = tuple(
        Profile(
            number,
            {
                one.name: _bounds(engine, one.name, number, values=one.name in shapes)
                for one in inputs
            },
        )
        for number in range(engine.num_optimization_profiles)
    )
    return Plan(tuple(inputs), tuple(outputs), profiles, frozenset(shapes), frozenset(host))


def _dtype(engine: Any, name: str, kind: str, path: Path) -> DType:  # noqa: ANN401 - as above
    word = _word(engine.get_tensor_dtype(name))
    if word not in _DTYPES:
        raise Unsupported(
            f"{path}: {kind} '{name}' is of {word}, which the V2 protocol has no type for"
        )
    return _DTYPES[word]


def _dims(engine: Any, name: str) -> Shape:  # noqa: ANN401 - as above
    return tuple(int(size) for size in engine.get_tensor_shape(name))


def _bounds(engine: Any, name: str, number: int, *, values: bool) -> Bounds:  # noqa: ANN401 - as above
    ask = engine.get_tensor_profile_values if values else engine.get_tensor_profile_shape
    asked = ask(number, name) if values else ask(name, number)
    return Bounds(*(tuple(int(size) for size in one) for one in asked))


def _word(member: Any) -> str:  # noqa: ANN401 - as above
    return str(member.name)


def usable(
    plan: Plan, numbers: Sequence[int], config: ModelConfig, path: Path
) -> tuple[Profile, ...]:
    """Pick an instance's profiles, and hold the configuration's batch size against them.

    Raises:
        InvalidArgument: there is no such profile, or it takes no batch of that size.
    """
    if absent := [number for number in numbers if number >= len(plan.profiles)]:
        raise InvalidArgument(
            f"{path}: has no optimisation profile {absent[0]}, which an instance_group names; it"
            f" has {len(plan.profiles)}, numbered from 0"
        )
    most = plan.signature().most_rows
    if config.max_batch_size > most > 0:
        raise InvalidArgument(
            f"model '{config.name}': configuration specified max-batch {config.max_batch_size} but"
            f" TensorRT engine only supports max-batch {most}; lower max_batch_size, or build the"
            " plan with a larger maximum shape"
        )
    return tuple(plan.profiles[number] for number in numbers)


def choose(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> Profile:
    """Apply rule 2; ``shapes`` has the values of shape tensors.

    Raises:
        InvalidArgument: no profile takes them; names the tensor and the ranges.
    """
    fitting = [
        profile
        for profile in profiles
        if all(profile.inputs[name].hold(shape) for name, shape in shapes.items())
    ]
    if not fitting:
        raise InvalidArgument(_misfit(profiles, shapes))
    return min(fitting, key=lambda profile: _distance(profile, shapes))


def _distance(profile: Profile, shapes: Mapping[str, Shape]) -> int:
    return sum(
        abs(size - best)
        for name, shape in shapes.items()
        for size, best in zip(shape, profile.inputs[name].best, strict=True)
    )


def _misfit(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> str:
    wrong = next(
        (
            name
            for name, shape in shapes.items()
            if not any(profile.inputs[name].hold(shape) for profile in profiles)
        ),
        next(iter(shapes)),
    )
    ranges = "; ".join(
        f"profile {one.number}: {list(one.inputs[wrong].least)} to {list(one.inputs[wrong].most)}"
        for one in profiles
    )
    return (
        f"input '{wrong}' has shape {list(shapes[wrong])}, which no optimisation profile of this"
        f" instance takes together with the other inputs ({ranges})"
    )
