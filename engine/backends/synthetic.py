"""A model of known speed: it waits as long as it is told, and gives its inputs back.

For demonstrations, for tests of whatever stands above it, and for calibrating a load generator:
what it measures beyond the given latency is its own and the engine's cost. The first output is
the first input, the second the second, and so on. It sleeps rather than computes, so any number
of instances run side by side. ``parameters`` of ``config.pbtxt``, all optional:

=============== =========================================================================
``latency_us``  what every run takes
``per_row_us``  what it takes more for every row of the batch
``fail_every``  every so many runs of an instance, one fails
``fail_load``   loading fails, with this text
=============== =========================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Placement, Runnable, Signature
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.types import Array


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a synthetic model behaves."""

    latency_us: int
    per_row_us: int
    fail_every: int


class _Echo:
    """One instance: sleeps, then hands its inputs back as outputs."""

    def __init__(self, name: str, sources: Mapping[str, str], manner: _Manner) -> None:
        self._name = name
        self._sources = sources
        self._manner = manner
        self._runs = 0

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Wait as the parameters say; an output whose input was left out is left out too.

        Raises:
            Internal: it is this run's turn to fail.
        """
        manner = self._manner
        self._runs += 1
        if manner.fail_every and self._runs % manner.fail_every == 0:
            raise Internal(
                f"model '{self._name}': run {self._runs} fails, as parameter fail_every ="
                f" {manner.fail_every} says"
            )
        wait_us = manner.latency_us
        if manner.per_row_us:
            first = next(iter(inputs.values()))
            wait_us += manner.per_row_us * (first.shape[0] if first.shape else 1)
        if wait_us:
            time.sleep(wait_us / 1e6)
        return {
            name: inputs[self._sources[name]] for name in outputs if self._sources[name] in inputs
        }

    def describe(self) -> Mapping[str, str]:
        """Say how it behaves."""
        manner = self._manner
        return {
            "runtime": "synthetic",
            "latency_us": str(manner.latency_us),
            "per_row_us": str(manner.per_row_us),
        }

    def close(self) -> None:
        """Do nothing: it holds nothing."""


class Synthetic:
    """Loads models that consist of their configuration alone."""

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:  # noqa: ARG002 - protocol
        """Know nothing: there is no model file."""
        return None

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:  # noqa: ARG002 - protocol
        """Make one instance.

        Raises:
            InvalidArgument: the configuration is not one of an echo.
            Internal: the configuration asks for a failure.
        """
        if text := config.parameters.get("fail_load"):
            raise Internal(f"model '{config.name}': parameter fail_load says: {text}")
        if not config.output or len(config.output) > len(config.input):
            raise InvalidArgument(
                f"model '{config.name}': a synthetic model gives its inputs back: declare at least"
                f" one output, and no more outputs than inputs; found {len(config.input)} inputs"
                f" and {len(config.output)} outputs"
            )
        sources: dict[str, str] = {}
        for source, output in zip(config.input, config.output, strict=False):
            if source.data_type is not output.data_type or source.dims != output.dims:
                raise InvalidArgument(
                    f"model '{config.name}': a synthetic model gives its inputs back, so output"
                    f" '{output.name}' must have the data_type and dims of input '{source.name}'"
                )
            sources[output.name] = source.name
        manner = _Manner(
            *(_whole(config, key) for key in ("latency_us", "per_row_us", "fail_every"))
        )
        return _Echo(config.name, sources, manner)


def _whole(config: ModelConfig, key: str) -> int:
    text = config.parameters.get(key, "0")
    if not text.isascii() or not text.isdigit():
        raise InvalidArgument(
            f"model '{config.name}': parameters[{key!r}]: expected a whole number, found {text!r}"
        )
    return int(text)


BACKEND = Synthetic()
