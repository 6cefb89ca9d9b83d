"""Which tensor of a configuration is which argument or result of a PyTorch model: pure.

A PyTorch model's inputs are arguments, its outputs positions; a configuration has names. Rules,
Triton's, tried in this order, each for inputs and outputs apart:

1. all names are names that the model itself has: arguments of ``forward``; in a ``.pt2`` also
   ``ARGS[i]``, ``KWARGS[name]`` and ``RESULT[i]``, from its call specification;
2. all names end in ``__<index>``;
3. otherwise they stand in the order of the configuration. Not where a batcher adds inputs or
   takes outputs away, for then nobody has written an order down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from engine.errors import InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.types import DType

_INDEXED = re.compile(r".*__(\d+)", re.DOTALL)


class Convention(Enum):
    """How the names of one side were understood."""

    NAMES = "the model's own names"
    INDEX = "<name>__<index>"
    ORDER = "the order in the configuration"


@dataclass(frozen=True, slots=True)
class Slot:
    """One argument or result of a model: the names it answers to, the one to show first."""

    names: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Matched:
    """Where each name of one side goes, counted from 0."""

    convention: Convention
    places: Mapping[str, int]


def match_inputs(config: ModelConfig, slots: Sequence[Slot]) -> Matched:
    """Tell the inputs' places among the arguments.

    Raises:
        InvalidArgument: they do not fit; says what the model takes.
    """
    names = (*(tensor.name for tensor in config.input), *config.filled_inputs)
    return _match(config, "input", names, slots)


def match_outputs(config: ModelConfig, slots: Sequence[Slot] | None) -> Matched:
    """Tell the outputs' places among the results; ``slots`` None if the file does not tell them.

    Raises:
        InvalidArgument: they do not fit; says what the model gives.
    """
    names = (*(tensor.name for tensor in config.output), *config.kept_outputs)
    return _match(config, "output", names, slots)


def _match(
    config: ModelConfig, kind: str, names: Sequence[str], slots: Sequence[Slot] | None
) -> Matched:
    own = {name: place for place, slot in enumerate(slots or ()) for name in slot.names}
    indexes = [_INDEXED.fullmatch(name) for name in names]
    if names and all(name in own for name in names):
        matched = Matched(Convention.NAMES, {name: own[name] for name in names})
    elif names and all(indexes):
        places = {name: int(found[1]) for name, found in zip(names, indexes, strict=True) if found}
        matched = Matched(Convention.INDEX, places)
    else:
        written = len(config.input if kind == "input" else config.output)
        if len(names) > written:
            raise InvalidArgument(
                f"PyTorch model '{config.name}' is using sequence batching with state or batch"
                f" tensors but not all {kind}s follow a naming convention:"
                f" {', '.join(names)}; name them <name>__<index>{_or_own(slots)}"
            )
        matched = Matched(Convention.ORDER, {name: place for place, name in enumerate(names)})
    if wrong := "; ".join(_misfits(kind, matched, slots)):
        raise InvalidArgument(f"model '{config.name}': {wrong}{_shown(kind, slots)}")
    return matched


def _misfits(kind: str, matched: Matched, slots: Sequence[Slot] | None) -> Iterator[str]:
    taken: dict[int, str] = {}
    for name, place in matched.places.items():
        if place in taken:
            yield f"{kind}s '{taken[place]}' and '{name}' are both {_word(kind)} {place}"
        taken[place] = name
        if slots is not None and place >= len(slots):
            yield f"{kind} '{name}' is {_word(kind)} {place}, and the model has {len(slots)}"
    if kind == "input":
        for place, slot in enumerate(slots or ()):
            if place not in taken and not slot.optional:
                yield f"no input is given for the model's argument '{slot.names[0]}'"


def _word(kind: str) -> str:
    return "argument" if kind == "input" else "result"


def _or_own(slots: Sequence[Slot] | None) -> str:
    return f", or as the model does: {', '.join(slot.names[0] for slot in slots)}" if slots else ""


def _shown(kind: str, slots: Sequence[Slot] | None) -> str:
    if not slots:
        return ""
    verb = "takes" if kind == "input" else "gives"
    return f"; the model {verb} {', '.join(slot.names[0] for slot in slots)}"


def refuse_texts(config: ModelConfig, *, served: bool) -> None:
    """Refuse strings of more than one dimension, and all of them where they are not ``served``.

    Raises:
        InvalidArgument: which tensor, and what to write.
    """
    for kind, tensors in (("input", config.input), ("output", config.output)):
        for tensor in tensors:
            if tensor.data_type is not DType.BYTES:
                continue
            dims = tensor.dims if tensor.reshape is None else tensor.reshape
            if not served:
                raise InvalidArgument(
                    f"model '{config.name}': {kind} '{tensor.name}' is TYPE_STRING, and only"
                    " TorchScript models have strings"
                )
            if len(dims) + (config.max_batch_size > 0) > 1:
                raise InvalidArgument(
                    f"Triton only supports 1 dimensional List of String as {kind} for"
                    f" '{tensor.name}' for model '{config.name}'; with a batch write dims: [1] and"
                    " reshape { shape: [] }, or set max_batch_size: 0 and dims: [-1]"
                )


def paths(tree: object, root: str) -> tuple[str, ...]:
    """Name the leaves of nested tuples, lists and dictionaries: ``ARGS[0]``, ``KWARGS[mask]``."""
    return tuple(_paths(tree, root))


def _paths(tree: object, root: str) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _paths(value, f"{root}[{key}]")
    elif isinstance(tree, tuple | list):
        for place, value in enumerate(tree):
            yield from _paths(value, f"{root}[{place}]")
    else:
        yield root
