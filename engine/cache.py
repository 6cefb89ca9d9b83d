"""The response cache's interface, what tells one request from another, and how a cache is found.

A cache is one module in ``engine.caches`` that defines ``open_cache``, or an entry point in the
group ``engine.caches`` of another distribution. Nothing is imported before it is used. Rules:

1. a key is made of all that a response depends on: model, version, and of each input the name,
   type, shape and bytes; which outputs are asked for; and, where the model sees them, the
   request's own parameters. (Triton's key lacks the shapes, types and outputs, so that requests
   which differ in those alone are answered with each other's responses.)
2. a cache never fails a request: what it cannot do it says in the log, and the model computes.
"""

from __future__ import annotations

import hashlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from engine.errors import NotFound
from engine.types import Array, DType, InferRequest, Parameter, Tensor
from engine.v2.binary import encode

if TYPE_CHECKING:
    from engine.clock import Clock

#: bytes of a key; with 128 bits no two requests of any server's lifetime share one
KEY_SIZE = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a response: all but the id, which is the request's."""

    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


Found = Callable[[Kept | None], None]


class Cache(Protocol):
    """Keeps responses; used on the event loop's thread, which it never blocks."""

    def lookup(self, key: bytes, found: Found) -> None:
        """Call ``found`` once, on the loop, now or soon: with what is kept, or None."""
        ...

    def insert(self, key: bytes, kept: Kept) -> None:
        """Keep a response, if that can be done; its arrays are nobody else's."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Opener(Protocol):
    """Opens a cache; a module of ``engine.caches`` calls it ``open_cache``."""

    def __call__(self, settings: Mapping[str, str], clock: Clock) -> Cache:
        """Open the cache that ``--cache-config`` describes.

        Raises:
            InvalidArgument: a setting is wrong, missing or unknown.
            Unavailable: what it needs is not installed.
        """
        ...


class Keys:
    """Makes the keys of one model version's requests.

    ``identity`` tells it from other models of that name and version; ``parameters`` says that
    the model sees the parameters of its requests.
    """

    __slots__ = ("_parameters", "_start")

    def __init__(self, name: str, version: str, identity: str, *, parameters: bool) -> None:
        start = f"{name!r}{version} {identity} "
        self._start = hashlib.sha256(start.encode(), usedforsecurity=False)
        self._parameters = parameters

    def key(self, request: InferRequest) -> bytes:
        """Make the key of a request.

        SHA-256, since processors compute it: 1.5 GB/s here, where BLAKE2 makes 0.8.
        """
        digest = self._start.copy()
        inputs = request.inputs
        if len(inputs) > 1:
            inputs = tuple(sorted(inputs, key=_name))
        for tensor in inputs:
            content = encode(tensor)
            shape = tensor.array.shape
            digest.update(f"{tensor.name!r}{tensor.dtype.value}{shape}{len(content)}:".encode())
            digest.update(content)
        digest.update(f"outputs{sorted({output.name for output in request.outputs})}".encode())
        if self._parameters and request.parameters:
            digest.update(repr(sorted(request.parameters.items())).encode())
        return digest.digest()[:KEY_SIZE]


def _name(tensor: Tensor) -> str:
    return tensor.name


def own(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy a response's tensors: they may be views of a whole batch, or of a backend's memory."""
    return tuple(Tensor(one.name, one.dtype, _copied(one.array)) for one in tensors)


def _copied(array: Array) -> Array:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy


def size_of(kept: Kept) -> int:
    """Count the bytes of memory that a kept response takes, Python's objects included."""
    size = sys.getsizeof(kept.parameters) + sum(
        sys.getsizeof(name) + sys.getsizeof(value) for name, value in kept.parameters.items()
    )
    for tensor in kept.outputs:
        size += _OBJECTS + tensor.array.nbytes
        if tensor.dtype is DType.BYTES:
            size += sum(map(sys.getsizeof, tensor.array.ravel().tolist()))
    return size


#: a Tensor, its array's object and its shape
_OBJECTS = 256


def known() -> tuple[str, ...]:
    """List the caches there are, installed by others or our own."""
    return tuple(sorted({entry.name for entry in entry_points(group="engine.caches")} | _ours()))


def find(name: str) -> Opener:
    """Find the cache called ``name``.

    Raises:
        NotFound: there is none.
    """
    for entry in entry_points(group="engine.caches", name=name):
        return cast("Opener", entry.load())
    if name in _ours():
        return cast("Opener", import_module(f"engine.caches.{name}").open_cache)
    raise NotFound(f"--cache-config: no cache named '{name}'; there are: {', '.join(known())}")


def _ours() -> set[str]:
    package = import_module("engine.caches")
    return {module.name for module in pkgutil.iter_modules(package.__path__)}
