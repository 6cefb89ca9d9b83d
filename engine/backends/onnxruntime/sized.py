"""A session for each size of batch, where a change of shape costs more than a batch.

ONNX Runtime's CUDA provider plans a convolution anew whenever the shape of its input differs from
the last run's (since 1.20, and in every mode of ``cudnn_conv_algo_search``). Batches of a server
come in all sizes: on an H200 each change cost ResNet-50 90 to 150 ms, where a batch takes 2 to 3
ms. So such a model runs in a few sessions, each of which only ever sees one size; a batch is
filled up to the next size with copies of its last row, whose results are dropped. A session more
costs the memory of the weights once more, so it is made when a batch of its size first comes.

Owns which session runs a batch. Does not own how a session is made, nor what runs in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from engine.errors import EngineError, InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, Place, on_host

logger = logging.getLogger(__name__)

#: the parameter that names the sizes; 0: a session for all of them, as they come
SIZES = "batch_sizes"
_AS_IT_COMES = 0


class SessionOnGpu(Protocol):
    """A model on a GPU (``session._SessionOnGpu``): a Binding that can be interrupted."""

    device: int

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``."""
        ...

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute outputs where they are wanted."""
        ...

    def interrupt(self, *, on: bool) -> None:
        """Have runs end early."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


def sizes_of(config: ModelConfig) -> tuple[int, ...]:
    """List the sizes of batches that a model has sessions for, ascending; () for one for all.

    ``parameters['batch_sizes']`` names them; else they are the powers of two, the preferred sizes
    and the greatest.

    Raises:
        InvalidArgument: the parameter is no list of sizes up to ``max_batch_size``.
    """
    most = config.max_batch_size
    text = config.parameters.get(SIZES)
    if text is not None:
        return _given(config, text)
    if most <= 1:
        return ()
    batching = config.dynamic_batching
    preferred = batching.preferred_batch_size if batching is not None else ()
    powers = (1 << power for power in range(most.bit_length()))
    return tuple(sorted({*powers, *(size for size in preferred if 0 < size <= most), most}))


def _given(config: ModelConfig, text: str) -> tuple[int, ...]:
    most, parts = config.max_batch_size, [part.strip() for part in text.split(",")]
    if parts == ["0"]:
        return ()
    sizes = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
    if not all(1 <= size <= most for size in sizes):
        raise InvalidArgument(
            f"model '{config.name}': parameters['{SIZES}']: expected sizes from 1 to max_batch_size"
            f" ({most}), as in \"1,4,{most}\", or 0 for one session for all, found '{text}'"
        )
    return tuple(sorted({*sizes, most}))


class BySize:
    """Runs every batch in the session of its size; ``make`` makes a session like ``first``.

    ``first`` becomes the session of whichever size comes first. Where no more sessions can be made
    (the GPU's memory is full) the sizes that have none run in what there is; but not if a session
    is for one shape alone, ``fixed``, and reads and writes in places of its own.
    """

    def __init__(
        self,
        first: SessionOnGpu,
        make: Callable[[], SessionOnGpu],
        sizes: Sequence[int],
        *,
        fixed: bool = False,
    ) -> None:
        self._fixed = fixed
        self._make = make
        self._sizes = tuple(sizes)
        self._spare: SessionOnGpu | None = first
        self._sessions: dict[int, SessionOnGpu] = {}
        self._full = False
        self._interrupted = False
        self.device = first.device
        self._first = first

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``, in a batch that is filled up to a size that has a session."""
        rows = _rows(inputs)
        size = next((one for one in self._sizes if one >= rows), _AS_IT_COMES)
        filled = {name: _filled(array, size) for name, array in on_host(inputs).items()}
        results = self._session(size).run(filled, outputs)
        return {name: array[:rows] for name, array in results.items()}

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute outputs where they are wanted; what lies on a GPU is not filled up.

        Sessions that are ``fixed`` compute elsewhere, and leave the copying to whoever asked.
        """
        if self._fixed:
            return self.run(inputs, tuple(places))
        rows = _rows(inputs)
        size = rows if rows in self._sizes else _AS_IT_COMES
        return self._session(size).run_bound(inputs, places)

    def interrupt(self, *, on: bool) -> None:
        """Have a run end early; any thread may call this."""
        self._interrupted = on
        for session in (self._first, *self._sessions.copy().values()):
            session.interrupt(on=on)

    def describe(self) -> Mapping[str, str]:
        """Say what really runs, and which sizes have a session of their own."""
        sizes = ", ".join(str(size) for size in self._sizes)
        return {**self._first.describe(), "batch_sizes": f"{sizes} (a session each)"}

    def close(self) -> None:
        """Free the sessions."""
        for session in {id(one): one for one in (self._first, *self._sessions.values())}.values():
            session.close()
        self._sessions.clear()

    def _session(self, size: int) -> SessionOnGpu:
        session = self._sessions.get(size)
        if session is None:
            session = self._sessions[size] = self._another(size)
            session.interrupt(on=self._interrupted)
        return session

    def _another(self, size: int) -> SessionOnGpu:
        if self._spare is not None:
            session, self._spare = self._spare, None
            return session
        if not self._full:
            try:
                return self._make()
            except EngineError as fault:
                if self._fixed:
                    raise
                self._full = True
                logger.warning(
                    "no session of its own for batches of %d: %s; they run in another's, slowly;"
                    " parameters['%s'] can name fewer sizes",
                    size,
                    fault.message,
                    SIZES,
                )
        return self._first


def _rows(inputs: Mapping[str, Array]) -> int:
    return int(next(iter(inputs.values())).shape[0])


def _filled(array: Array, size: int) -> Array:
    """Fill a batch up with copies of its last row: real values, whatever the model does."""
    rows = array.shape[0]
    if rows >= size or rows == 0:
        return array
    filled = np.empty((size, *array.shape[1:]), dtype=array.dtype)
    filled[:rows] = array
    filled[rows:] = array[-1]
    return filled
