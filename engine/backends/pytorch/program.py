"""The three kinds of PyTorch files, opened: TorchScript, ``torch.export``, AOTInductor packages.

Owns: telling them apart by what is in the file, loading them, what each says of its arguments and
results, and calling them: a list of tensors in the order of the arguments goes in, a list or a
dictionary of results comes out.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from engine.backends.pytorch.naming import Slot, paths
from engine.backends.pytorch.tensors import dtype_of
from engine.errors import Internal, Unsupported
from engine.types import TensorSpec

# PyTorch reads one exported program at a time: two threads that do get each other's shapes.
_READING = threading.Lock()

#: what becomes of a module before it is used: another device, another compiler
Improve = Callable[[Any], Any]


class Kind(Enum):
    """What a file is; the value is what it is called."""

    SCRIPT = "TorchScript"
    EXPORTED = "torch.export"
    PACKAGE = "AOTInductor"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Program:
    """A model ready to be called with one value for each of ``inputs``; None for one left out.

    ``outputs`` is None if the file does not tell. ``keyed`` marks a model that takes a dictionary
    of tensors: any names go. ``writes`` says that it changes tensors in place, its own or those
    that it is given.
    """

    kind: Kind
    call: Callable[[Sequence[Any]], Sequence[Any] | Mapping[str, Any]]
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...] | None
    writes: bool
    keyed: bool = False


def kind_of(path: Path) -> Kind:
    """Tell what a file is.

    Raises:
        Unsupported: it is none of the three; says what it seems to be and what to do.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as fault:
        raise Unsupported(f"{path}: no PyTorch model that can be served ({fault})") from fault
    inside = {name.partition("/")[2] for name in names}
    if any(name.startswith("data/aotinductor/") for name in inside):
        return Kind.PACKAGE
    if any(name.startswith("models/") for name in inside):
        return Kind.EXPORTED
    if "constants.pkl" in inside:
        return Kind.SCRIPT
    if "data.pkl" in inside:
        raise Unsupported(
            f"{path}: holds weights or a pickled module, but no program; save"
            " torch.jit.trace(model, example) or torch.export.export(model, example) instead"
        )
    raise Unsupported(f"{path}: no PyTorch model that can be served: it holds {', '.join(names)}")


def load_script(path: Path, device: str) -> Any:  # noqa: ANN401 - untyped library
    """Load TorchScript.

    Raises:
        Internal: PyTorch's text.
    """
    try:
        module = torch.jit.load(path, map_location=device)
    except Exception as fault:
        raise Internal(f"{path}: PyTorch could not load it: {fault}") from fault
    module.eval()
    return module


def load_exported(path: Path) -> Any:  # noqa: ANN401 - untyped library
    """Load an exported program.

    Raises:
        Internal: PyTorch's text; often a program of a newer PyTorch.
    """
    try:
        with _READING:
            return torch.export.load(path)
    except Exception as fault:
        raise Internal(
            f"{path}: PyTorch {torch.__version__} could not load it: {fault}; a .pt2 of another"
            " release may not load: export it with this one"
        ) from fault


def load_package(path: Path, device: int | None) -> Any:  # noqa: ANN401 - untyped library
    """Load an AOTInductor package.

    Raises:
        Internal: PyTorch's text; the package may be another machine's.
    """
    try:
        return torch._inductor.aoti_load_package(  # noqa: SLF001 - the public name of it
            str(path), device_index=-1 if device is None else device
        )
    except Exception as fault:
        raise Internal(
            f"{path}: PyTorch {torch.__version__} could not load the package: {fault}; it holds"
            " machine code: compile it on a machine like the one that serves"
        ) from fault


def script(module: Any, improve: Improve) -> Program:  # noqa: ANN401 - untyped library
    """Make TorchScript callable."""
    arguments = module.forward.schema.arguments[1:]
    slots = tuple(Slot((one.name,), optional=bool(one.has_default_value())) for one in arguments)
    keyed = len(arguments) == 1 and arguments[0].type.kind() == "DictType"
    writes = _writes(module.inlined_graph.nodes())
    improved = improve(module)
    names = [slot.names[0] for slot in slots]

    def call(values: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
        given = zip(names, values, strict=True)
        result = improved(**{name: value for name, value in given if value is not None})
        if isinstance(result, Mapping):
            return result
        if isinstance(result, tuple):
            return result
        texts = isinstance(result, list) and result and isinstance(result[0], torch.Tensor)
        return result if texts else (result,)

    return Program(Kind.SCRIPT, call, slots, None, writes, keyed)


def _writes(nodes: Any) -> bool:  # noqa: ANN401 - untyped library
    """Say whether a graph changes anything in place; its schemas mark that by ``!``."""
    return any(
        node.kind() == "prim::SetAttr"
        or "!" in node.schema()
        or any(_writes(block.nodes()) for block in node.blocks())
        for node in nodes
    )


def exported(program: Any, improve: Improve) -> Program:  # noqa: ANN401 - untyped library
    """Make an exported program callable."""
    signature, spec = program.graph_signature, program.call_spec
    improved = improve(program)
    with _READING:
        whole = isinstance(improved, torch.export.ExportedProgram)
        module = improved.module() if whole else improved
    named = [(str(name),) for name in signature.user_inputs]
    inputs = _arguments(spec.in_spec, named)
    outputs = _results(spec.out_spec)
    writes = bool(signature.user_inputs_to_mutate or signature.buffers_to_mutate)
    return Program(Kind.EXPORTED, _treed(module, spec.in_spec), inputs, outputs, writes)


def package(model: Any) -> Program:  # noqa: ANN401 - untyped library
    """Make an AOTInductor package callable; its code wants memory that is aligned its own way."""
    in_spec, out_spec = (pytree.treespec_loads(text) for text in model.loader.get_call_spec())
    inputs = _arguments(in_spec, [()] * in_spec.num_leaves)
    return Program(Kind.PACKAGE, _treed(model, in_spec), inputs, _results(out_spec), writes=True)


def _treed(module: Callable[..., Any], in_spec: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:  # noqa: ANN401 - untyped library
    def call(values: Sequence[Any]) -> Sequence[Any]:
        positional, keywords = pytree.tree_unflatten(list(values), in_spec)
        leaves: Sequence[Any] = pytree.tree_leaves(module(*positional, **keywords))
        return leaves

    return call


def _arguments(spec: Any, own: Sequence[tuple[str, ...]]) -> tuple[Slot, ...]:  # noqa: ANN401 - untyped library
    positional, keywords = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    written = (*paths(positional, "ARGS"), *paths(keywords, "KWARGS"))
    return tuple(Slot((name, *names)) for name, names in zip(written, own, strict=True))


def _results(spec: Any) -> tuple[Slot, ...]:  # noqa: ANN401 - untyped library
    tree = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    if not isinstance(tree, Mapping | tuple | list):
        return (Slot(("RESULT[0]", "RESULT")),)
    keys: list[tuple[str, ...]] = []
    if isinstance(tree, Mapping):
        keys = [(str(key),) for key in tree]
    if len(keys) != spec.num_leaves:
        keys = [()] * spec.num_leaves
    written = paths(tree, "RESULT")
    return tuple(Slot((name, *names)) for name, names in zip(written, keys, strict=True))


def exported_specs(program: Any, path: Path) -> tuple[list[TensorSpec], list[TensorSpec]]:  # noqa: ANN401 - untyped library
    """List an exported program's inputs and outputs; a dimension that may vary is -1.

    Raises:
        Unsupported: one is no tensor, or of a type that cannot be served.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature

    def spec(kind: str, name: object) -> TensorSpec:
        value = values.get(name) if isinstance(name, str) else None
        dtype = dtype_of(value) if isinstance(value, torch.Tensor) else None
        if dtype is None:
            raise Unsupported(
                f"{path}: {kind} '{name}' is {value!r}, and only tensors of the V2 protocol's"
                " types can be served; export the model with tensors there"
            )
        assert value is not None
        shape = tuple(dim if isinstance(dim, int) else -1 for dim in value.shape)
        return TensorSpec(str(name), dtype, shape)

    return (
        [spec("input", name) for name in signature.user_inputs],
        [spec("output", name) for name in signature.user_outputs],
    )


def batchable(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Say whether the first dimension of every tensor may vary."""
    return bool(inputs) and all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
