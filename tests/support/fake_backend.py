"""Backends and instances that do what a test tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.backend import Placement, Runnable, Signature
from engine.clock import ManualClock
from engine.errors import EngineError, Internal, InvalidArgument
from engine.execution.instance import Outcome
from engine.modelconfig.schema import (
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
)
from engine.telemetry.stats import Timings
from engine.types import Array, DType, InferRequest, InferResponse
from support.fake_loop import FakeLoop

Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def config(
    *,
    max_batch_size: int = 8,
    batching: DynamicBatching | None = None,
    groups: tuple[InstanceGroup, ...] = (InstanceGroup(kind=InstanceKind.KIND_CPU, count=1),),
    dims: tuple[int, ...] = (2,),
) -> ModelConfig:
    """Configure a model with one FP32 input X and one FP32 output Y of the same dimensions."""
    return ModelConfig(
        name="model",
        backend="fake",
        max_batch_size=max_batch_size,
        input=(ModelInput(name="X", data_type=DType.FP32, dims=dims),),
        output=(ModelOutput(name="Y", data_type=DType.FP32, dims=dims),),
        instance_group=groups,
        dynamic_batching=batching,
    )


class FakeRunnable:
    """Applies a function, and remembers how many rows it was given each time."""

    def __init__(self, function: Function, placement: Placement) -> None:
        self.function = function
        self.placement = placement
        self.batches: list[int] = []
        self.closed = 0

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self.batches.append(next(iter(inputs.values())).shape[0])
        results = self.function(inputs)
        return {name: results[name] for name in outputs if name in results}

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "fake", "threads": str(self.placement.threads)}

    def close(self) -> None:
        self.closed += 1


class FakeBackend:
    """Loads ``FakeRunnable``; ``fail_at`` is the number of the instance that does not load."""

    def __init__(self, function: Function, fail_at: int | None = None) -> None:
        self.function = function
        self.fail_at = fail_at
        self.loaded: list[FakeRunnable] = []

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:  # noqa: ARG002 - protocol
        return None

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        if len(self.loaded) == self.fail_at:
            raise OSError(f"no memory for {config.name} in {directory}")
        runnable = FakeRunnable(self.function, placement)
        self.loaded.append(runnable)
        return runnable


class FakeWorker:
    """An instance on virtual time: computes for ``service_ns``, or at once if ``inline``."""

    def __init__(
        self, loop: FakeLoop, *, service_ns: int = 10, inline: bool = False, fail_every: int = 0
    ) -> None:
        self.loop = loop
        self.service_ns = service_ns
        self.inline = inline
        self.fail_every = fail_every
        self.batches: list[list[str]] = []
        self.slots: list[tuple[int, ...]] = []
        self.cancelled: list[str] = []
        self.depth = self.deepest = 0
        self.busy = False
        self.closed = 0

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),
    ) -> Outcome | None:
        assert not self.busy, "an instance runs one batch at a time"
        self.slots.append(slots)
        self.batches.append([request.id for request in requests])
        clock: ManualClock = self.loop.clock
        timings = Timings(clock.now_ns(), 1, self.service_ns - 2, 1)
        result: list[InferResponse | EngineError] | Internal
        apart = any(one.id.startswith("bad") for one in requests)
        if self.fail_every and len(self.batches) % self.fail_every == 0:
            result = Internal("it is this batch's turn to fail")
        else:
            result = [
                InvalidArgument("it is bad")
                if one.id.startswith("bad")
                else InferResponse(model="model", version="1", outputs=(), id=one.id)
                for one in requests
            ]
        outcome = Outcome(result, timings, apart)
        if self.inline:
            clock.advance(self.service_ns)
            return outcome
        self.busy = True

        def finish() -> None:
            self.busy = False
            finished(outcome)

        self.loop.at(clock.now_ns() + self.service_ns, finish)
        return None

    def cancel(self, place: int) -> None:
        self.cancelled.append(self.batches[-1][place])

    def close(self, closed: Callable[[], None]) -> None:
        assert not self.busy, "closed while it runs"
        self.closed += 1
        self.loop.call_soon(closed)
