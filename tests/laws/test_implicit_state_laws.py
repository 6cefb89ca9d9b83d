"""The law of implicit state: whatever sequences share batches, each is as if it were alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.fake_loop import FakeLoop
from support.mutants import mutants

import engine.execution.sequences
import engine.execution.states
from engine.clock import ManualClock
from engine.errors import EngineError
from engine.execution.admission import Admission
from engine.execution.batch import layout
from engine.execution.instance import Batch, Outcome
from engine.execution.pump import Pump
from engine.modelconfig.schema import (
    Control,
    ControlInput,
    ControlKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    SequenceBatching,
    SequenceDirect,
    SequenceOldest,
    State,
)
from engine.schedulers import make
from engine.telemetry.stats import Ledger
from engine.types import Array, DType, InferRequest, InferResponse, Tensor

TRAFFICS = 200
IDLE_US = 5
MODULUS = 10_007
Modules = Mapping[str, ModuleType]
REAL: Modules = {"states": engine.execution.states, "sequences": engine.execution.sequences}
CONTROLS = tuple(
    ControlInput(name=name, control=(Control(kind=kind, int32_false_true=(0, 1)),))
    for name, kind in (
        ("READY", ControlKind.CONTROL_SEQUENCE_READY),
        ("START", ControlKind.CONTROL_SEQUENCE_START),
    )
)


class Rolling:
    """A model whose state depends on every value and their order; it fails now and then.

    ``HASH`` is rolled over with INPUT; ``PAST`` grows by it. A row that is not ready writes
    nonsense, as a model may. If rows are slots (``aligned``), ``OWN`` is what HASH should be, out
    of what the model itself remembers of each row.
    """

    def __init__(self, dice: random.Random, *, aligned: bool) -> None:
        self._dice = dice
        self._aligned = aligned
        self._rows = [0] * 8

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        for row in np.flatnonzero(inputs["READY"] & inputs["START"]):
            self._rows[row] = 0
        if self._dice.random() < 0.05:
            raise OSError("it is this batch's turn to fail")
        assert {array.shape[0] for array in inputs.values()} == {inputs["INPUT"].shape[0]}
        rolled = (inputs["HASH_IN"] * 31 + inputs["INPUT"]) % MODULUS
        rolled = np.where(inputs["READY"] == 1, rolled, -1).astype(np.int64)
        for row in np.flatnonzero(inputs["READY"]):
            self._rows[row] = int(self._rows[row] * 31 + inputs["INPUT"][row, 0]) % MODULUS
        own = np.array(self._rows[: len(rolled)], np.int64).reshape(-1, 1)
        past = np.concatenate([inputs["PAST_IN"], inputs["INPUT"]], axis=1)
        made = {
            "OUTPUT": rolled,
            "OWN": own if self._aligned else rolled,
            "HASH_OUT": rolled,
            "PAST_OUT": past,
        }
        return {name: made[name] for name in outputs}

    def describe(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        return


class VirtualInstance:
    """Computes with a real batch runner, in virtual time."""

    def __init__(self, batch: Batch, loop: FakeLoop, service_ns: int) -> None:
        self._batch = batch
        self._loop = loop
        self._service_ns = service_ns

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),
    ) -> Outcome | None:
        del slots
        outcome = self._batch.run(requests)
        if not self._service_ns:
            return outcome
        at = self._loop.clock.now_ns() + self._service_ns
        self._loop.at(at, lambda: finished(outcome))
        return None

    def cancel(self, place: int) -> None:
        del place

    def close(self, closed: Callable[[], None]) -> None:
        self._loop.call_soon(closed)


@dataclass
class Step:
    """One request, and what it was answered."""

    name: int
    value: int
    start: bool
    end: bool
    answer: InferResponse | EngineError | None = None


def configuration(dice: random.Random) -> ModelConfig:
    direct = SequenceDirect(max_queue_delay_microseconds=1, minimum_slot_utilization=0.7)
    strategies: tuple[dict[str, Any], ...] = (
        {},
        {"direct": direct},
        {"oldest": SequenceOldest(max_candidate_sequences=3)},
    )
    states = (
        State(input_name="HASH_IN", output_name="HASH_OUT", data_type=DType.INT64, dims=(1,)),
        State(input_name="PAST_IN", output_name="PAST_OUT", data_type=DType.INT64, dims=(-1,)),
    )
    return ModelConfig(
        name="rolling",
        max_batch_size=dice.choice((1, 2, 4)),
        input=(ModelInput(name="INPUT", data_type=DType.INT64, dims=(1,)),),
        output=(
            ModelOutput(name="OUTPUT", data_type=DType.INT64, dims=(1,)),
            ModelOutput(name="OWN", data_type=DType.INT64, dims=(1,)),
            ModelOutput(name="PAST_OUT", data_type=DType.INT64, dims=(-1,)),
        ),
        sequence_batching=SequenceBatching(
            max_sequence_idle_microseconds=IDLE_US,
            control_input=CONTROLS,
            state=states,
            **dice.choice(strategies),
        ),
    )


def traffic(dice: random.Random) -> list[tuple[int, Step]]:
    """Make requests of a few sequences, some of which begin anew before they ended."""
    steps: list[tuple[int, Step]] = []
    at_ns = 0
    live: set[int] = set()
    for _ in range(dice.randint(5, 60)):
        at_ns += dice.choice((0, 0, 1, 10))
        name = dice.randint(1, 6)
        start = name not in live or dice.random() < 0.05
        end = dice.random() < 0.2
        (live.discard if end else live.add)(name)
        steps.append((at_ns, Step(name, dice.randint(1, 999), start, end)))
    return steps


def play(modules: Modules, seed: int) -> list[Step]:
    dice = random.Random(seed)
    config = configuration(dice)
    clock = ManualClock(now_ns=1)
    loop = FakeLoop(clock)
    states, sequences = modules["states"], modules["sequences"]
    tensors = states.state_tensors(config, lambda _: b"")
    arrangement = sequences.with_states(layout("rolling", 1, config), tensors)
    count = dice.randint(1, 2)
    service_ns = dice.choice((0, 5, 40))
    batching = config.sequence_batching
    aligned = batching is not None and batching.oldest is None
    models = [Rolling(dice, aligned=aligned) for _ in range(count)]
    runners = [Batch("rolling", model, arrangement, clock, again=False) for model in models]
    instances = [VirtualInstance(runner, loop, service_ns) for runner in runners]
    behind = sequences.sequenced(instances, config, tensors)
    pump = Pump(
        make(config, count),
        behind,
        Ledger("rolling", 1),
        admit=Admission(config).ticket,
        clock=clock,
        loop=loop,
    )
    steps = traffic(dice)
    for at_ns, step in steps:
        loop.at(1 + at_ns, lambda step=step: pump.submit(_request(step), _keeper(step)))  # type: ignore[misc]
    loop.run()
    assert loop.faults == []
    assert [one.remembered for one in behind] == [0] * count, "a state outlived its sequence"
    return [step for _, step in steps]


def _request(step: Step) -> InferRequest:
    value = Tensor("INPUT", DType.INT64, np.full((1, 1), step.value, np.int64))
    return InferRequest(
        inputs=(value,),
        sequence_id=step.name,
        sequence_start=step.start,
        sequence_end=step.end,
    )


def _keeper(step: Step) -> Callable[[InferResponse | EngineError], None]:
    def keep(answer: InferResponse | EngineError) -> None:
        assert step.answer is None
        step.answer = answer

    return keep


def alone(steps: Sequence[Step]) -> str:
    """Compute each sequence by itself; tell the first answer that differs, "" if none does."""
    hashes: dict[int, int] = {}
    pasts: dict[int, list[int]] = {}
    for step in steps:
        if step.start:
            hashes[step.name], pasts[step.name] = 0, [0]
        if step.answer is None:
            return f"{step} has no answer"
        if isinstance(step.answer, EngineError):
            if "turn to fail" not in step.answer.message:
                return f"{step} failed for another reason"
            continue  # what failed has changed nothing
        hashes[step.name] = (hashes[step.name] * 31 + step.value) % MODULUS
        pasts[step.name] = [*pasts[step.name], step.value]
        given = {one.name: one.array.ravel().tolist() for one in step.answer.outputs}
        known = [hashes[step.name]]
        if given != {"OUTPUT": known, "OWN": known, "PAST_OUT": pasts[step.name]}:
            return f"{step} is not {known}, {pasts[step.name]}"
    return ""


def breach(modules: Modules) -> str:
    for seed in range(TRAFFICS):
        try:
            fault = alone(play(modules, seed))
        except Exception as raised:  # noqa: BLE001 - a planted fault may break anything
            fault = f"{type(raised).__name__}: {raised}"
        if fault:
            return f"seed {seed}: {fault}"
    return ""


@pytest.mark.triton("8.9")
def test_interleaved_sequences_are_answered_as_each_alone() -> None:
    assert breach(REAL) == ""


FAULTS = {
    "START does not begin anew": ("states", "if start:", "if start and not self._kept:"),
    "a state is kept for another slot": ("states", "self._kept[slot] = {", "self._kept[0] = {"),
    "a state outlives its sequence": (
        "states", "self._kept.pop(slot, None)\n\n\ndef", "self._kept.get(slot)\n\n\ndef",
    ),
    "a state is not kept": ("states", "if fresh:", "if fresh and slot:"),
    "rows are answered by their place": ("sequences", "else result[row]", "else result[place]"),
    "states of different shapes are joined": (
        "sequences", "if not (joined and self._states.grow) or", "if joined or",
    ),
    "a state that is no output is shown": (
        "sequences", "if one.name in shown or one.name not in outputs", "if one.name",
    ),
    "an empty row is ready": (
        "sequences", "self._controls.absent()", "self._controls.of(like)",
    ),
    "a row that nobody has is left out": (
        "sequences", "rows = [at.get(slot, _NOBODY) for slot in range(max(at) + 1)]",
        "rows = sorted(at.values()) + [_NOBODY]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_law_finds(fault: str) -> None:
    assert breach(mutants(REAL, *FAULTS[fault]))
