"""The way of a request through the response cache, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_backend import FakeWorker, config
from support.fake_loop import FakeLoop
from support.heard import heard
from support.tensors import tensors

from engine.cache import Found, Kept, Keys, own
from engine.caches.local import Local
from engine.clock import ManualClock
from engine.errors import Cancelled, EngineError, Internal
from engine.execution.admission import Admission
from engine.execution.caching import Caching, cached, identity
from engine.execution.pump import Pump
from engine.modelconfig.schema import DynamicBatching, ModelConfig, SequenceBatching
from engine.schedulers import make
from engine.telemetry.stats import FailureReason, Ledger, Tally
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Tensor

Answer = InferResponse | EngineError
LOOKUP_NS = 3_000


def request(name: str = "", value: float = 0.0, sequence_id: int = 0) -> InferRequest:
    tensor = Tensor("X", DType.FP32, np.full((1, 2), value, np.float32))
    return InferRequest(inputs=(tensor,), id=name, sequence_id=sequence_id)


class Late:
    """A cache that answers when it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.cache = Local(1 << 20, clock)
        self.clock = clock
        self.asked: list[tuple[bytes, Found]] = []

    def lookup(self, key: bytes, found: Found) -> None:
        self.asked.append((key, found))

    def insert(self, key: bytes, kept: Kept) -> None:
        self.cache.insert(key, kept)

    def answer(self) -> None:
        self.clock.advance(LOOKUP_NS)
        asked, self.asked = self.asked, []
        for key, found in asked:
            self.cache.lookup(key, found)

    async def close(self) -> None:
        return


@dataclass
class Rig:
    """A model with a cache in front."""

    late: bool = False
    fail_every: int = 0
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock(1_000_000)
        self.loop = FakeLoop(self.clock)
        self.ledger = Ledger("model", 1)
        self.worker = FakeWorker(self.loop, service_ns=50_000, fail_every=self.fail_every)
        model = config(batching=DynamicBatching())
        self.pump = Pump(
            make(model, 1),
            [self.worker],
            self.ledger,
            admit=Admission(model).ticket,
            clock=self.clock,
            loop=self.loop,
        )
        self.cache = Late(self.clock)
        self.caching = Caching(
            self.cache if self.late else self.cache.cache,
            Keys("model", "1", "", parameters=False),
            self.pump,
            self.ledger,
            self.clock,
            self.loop,
        )

    def submit(self, name: str, asked: InferRequest | None = None) -> int:
        answers = self.answers.setdefault(name, [])
        number = self.caching.submit(asked or request(name), answers.append)
        assert not answers, "answered before submit returned"
        return number

    def run(self, name: str, asked: InferRequest | None = None) -> Answer:
        self.submit(name, asked)
        self.loop.run()
        (answer,) = self.answers[name]
        return answer


@pytest.mark.triton("11.4", "11.5")
def test_the_second_of_two_equal_requests_is_answered_without_the_model() -> None:
    rig = Rig()
    rig.run("first")
    answer = rig.run("second")
    assert isinstance(answer, InferResponse)
    assert (answer.id, answer.model, answer.version) == ("second", "model", "1")
    assert rig.worker.batches == [["first"]]
    seen = rig.ledger.picture()
    assert (seen.success.count, seen.queue.count, seen.compute_infer.count) == (2, 2, 1)
    assert (seen.cache_hit.count, seen.cache_miss.count) == (1, 1)
    assert (seen.inference_count, seen.execution_count) == (1, 1)


@pytest.mark.triton("11.4")
def test_a_hit_does_not_wait_for_the_queue() -> None:
    rig = Rig()
    rig.run("known")
    rig.submit("slow", request("slow", 1))
    rig.loop.turn()
    rig.submit("hit", request("hit"))
    rig.loop.turn()
    assert isinstance(rig.answers["hit"][0], InferResponse)
    assert not rig.answers["slow"]


@pytest.mark.triton("11.4")
def test_what_fails_is_not_kept() -> None:
    rig = Rig(fail_every=1)
    assert isinstance(rig.run("first"), Internal)
    assert isinstance(rig.run("second"), Internal)
    seen = rig.ledger.picture()
    assert len(rig.worker.batches) == 2
    assert (seen.cache_hit.count, seen.cache_miss.count, seen.fail.count) == (0, 2, 2)


@pytest.mark.triton("11.4")
def test_requests_of_sequences_pass_by() -> None:
    rig = Rig()
    for name in ("first", "second"):
        rig.run(name, request(name, sequence_id=5))
    assert len(rig.worker.batches) == 2
    assert rig.ledger.picture().cache_miss == Tally()


@pytest.mark.triton("11.5")
def test_a_slow_lookup_is_told_apart_and_is_part_of_the_requests_time() -> None:
    rig = Rig(late=True)
    for name in ("miss", "hit"):
        rig.submit(name)
        rig.cache.answer()
        rig.loop.run()
        assert isinstance(rig.answers[name][0], InferResponse)
    seen = rig.ledger.picture()
    assert seen.cache_miss == Tally(1, LOOKUP_NS)
    assert seen.cache_hit == Tally(1, LOOKUP_NS)
    assert seen.success == Tally(2, LOOKUP_NS + 50_000 + LOOKUP_NS)


@pytest.mark.parametrize(
    "when", ["while it is looked up", "while it waits", "while it runs", "after"]
)
def test_a_request_can_be_taken_back_wherever_it_is(when: str) -> None:
    rig = Rig(late=True)
    if when == "while it waits":
        rig.submit("other", request("other", 9, sequence_id=1))
        rig.loop.turn()
    number = rig.submit("gone")
    if when != "while it is looked up":
        rig.cache.answer()
    if when == "while it runs":
        rig.loop.turn()
    if when == "after":
        rig.loop.run()
    rig.caching.cancel(number)
    rig.cache.answer()
    rig.loop.run()
    (answer,) = rig.answers["gone"]
    waited = when in {"while it is looked up", "while it waits"}
    assert isinstance(answer, Cancelled if waited else InferResponse)
    seen = rig.ledger.picture()
    assert seen.failures[FailureReason.CANCELED] == (1 if waited else 0)
    assert seen.cache_miss.count == (0 if when == "while it is looked up" else 1)


class Broken(Late):
    """A cache that raises, before it has answered or after."""

    def __init__(self, clock: ManualClock, *, answers: bool) -> None:
        super().__init__(clock)
        self.answers = answers

    def lookup(self, key: bytes, found: Found) -> None:
        if self.answers:
            self.cache.lookup(key, found)
        message = "no lookups today"
        raise OSError(message)

    def insert(self, key: bytes, kept: Kept) -> None:
        super().insert(key, kept)
        message = "no insertions today"
        raise OSError(message)


@pytest.mark.parametrize("answers", [True, False])
def test_a_cache_that_raises_is_reported_and_the_request_is_served(
    answers: bool,  # noqa: FBT001 - a case
) -> None:
    rig = Rig()
    rig.caching = Caching(
        Broken(rig.clock, answers=answers),
        Keys("model", "1", "", parameters=False),
        rig.pump,
        rig.ledger,
        rig.clock,
        rig.loop,
    )
    for name in ("first", "second"):
        assert isinstance(rig.run(name), InferResponse)
    assert len(rig.worker.batches) == (1 if answers else 2)
    told = [str(fault["exception"]) for fault in rig.loop.faults]
    lookups, insertions = "no lookups today", "no insertions today"
    assert told == [lookups, insertions, lookups] + ([] if answers else [insertions])
    quiet: list[bool] = []
    rig.caching.when_quiet(lambda: quiet.append(True))
    assert quiet


def test_a_stop_waits_for_lookups_under_way() -> None:
    rig = Rig(late=True)
    rig.submit("last")
    drained: list[bool] = []
    rig.caching.when_quiet(lambda: rig.pump.stop(lambda: drained.append(True)))
    rig.loop.run()
    assert not drained
    rig.cache.answer()
    rig.loop.run()
    assert drained
    assert isinstance(rig.answers["last"][0], InferResponse)


def test_without_lookups_under_way_a_stop_goes_on_at_once() -> None:
    called: list[bool] = []
    Rig().caching.when_quiet(lambda: called.append(True))
    assert called


@given(st.lists(st.integers(0, 5), max_size=30))
def test_hits_and_misses_are_all_there_is_and_each_answer_is_its_own(values: list[int]) -> None:
    rig = Rig()
    for number, value in enumerate(values):
        rig.run(f"{number}", request(f"{number}", value))
    seen = rig.ledger.picture()
    assert seen.success.count == len(values)
    assert seen.cache_miss.count == len(set(values)) == seen.compute_infer.count
    assert seen.cache_hit.count + seen.cache_miss.count == len(values)
    for name, (answer,) in rig.answers.items():
        assert isinstance(answer, InferResponse)
        assert answer.id == name


KEYS = Keys("m", "1", "", parameters=True)
X = Tensor("X", DType.FP32, np.zeros((2, 3), np.float32))
OTHER: dict[str, Callable[[], tuple[Keys, InferRequest]]] = {
    "model": lambda: (Keys("n", "1", "", parameters=True), InferRequest(inputs=(X,))),
    "version": lambda: (Keys("m", "2", "", parameters=True), InferRequest(inputs=(X,))),
    "what the model is": lambda: (Keys("m", "1", "x", parameters=True), InferRequest(inputs=(X,))),
    "name": lambda: (KEYS, InferRequest(inputs=(Tensor("Y", X.dtype, X.array),))),
    "type": lambda: (KEYS, InferRequest(inputs=(Tensor("X", DType.INT32, X.array.view("i4")),))),
    "shape": lambda: (KEYS, InferRequest(inputs=(Tensor("X", X.dtype, X.array.reshape(3, 2)),))),
    "bytes": lambda: (KEYS, InferRequest(inputs=(Tensor("X", X.dtype, X.array + 1),))),
    "outputs": lambda: (KEYS, InferRequest(inputs=(X,), outputs=(RequestedOutput("Y"),))),
    "parameters": lambda: (KEYS, InferRequest(inputs=(X,), parameters={"k": 1})),
    "number of inputs": lambda: (KEYS, InferRequest(inputs=(X, Tensor("Z", X.dtype, X.array)))),
}


@pytest.mark.triton("11.2")
@pytest.mark.parametrize("what", OTHER)
def test_requests_that_differ_have_other_keys(what: str) -> None:
    keys, other = OTHER[what]()
    assert keys.key(other) != KEYS.key(InferRequest(inputs=(X,)))


@pytest.mark.triton("11.2")
def test_what_changes_no_response_changes_no_key() -> None:
    one = InferRequest(
        inputs=(X, Tensor("Z", X.dtype, X.array)),
        outputs=(RequestedOutput("A", binary=True), RequestedOutput("B")),
    )
    other = InferRequest(
        id="7",
        inputs=(Tensor("Z", X.dtype, X.array.copy()), X),
        outputs=(RequestedOutput("B"), RequestedOutput("A", classification=3)),
        priority=2,
        timeout_us=5,
    )
    assert KEYS.key(one) == KEYS.key(other)
    blind = Keys("m", "1", "", parameters=False)
    plain = InferRequest(inputs=(X,))
    assert blind.key(plain) == blind.key(InferRequest(inputs=(X,), parameters={"trace": "9"}))


@given(tensors(), tensors())
def test_tensors_have_one_key_only_if_they_are_the_same(one: Tensor, other: Tensor) -> None:
    def text(tensor: Tensor) -> tuple[object, ...]:
        array = tensor.array
        content = array.ravel().tolist() if array.dtype == object else array.tobytes()
        return (tensor.name, tensor.dtype, array.shape, content)

    keys = [KEYS.key(InferRequest(inputs=(tensor,))) for tensor in (one, other)]
    assert (keys[0] == keys[1]) is (text(one) == text(other))


def test_what_is_kept_is_a_copy_that_nobody_can_change() -> None:
    batch = np.zeros((8, 2), np.float32)
    (kept,) = own((Tensor("Y", DType.FP32, batch[2:3]),))
    batch[:] = 5
    assert not kept.array.any()
    assert kept.array.base is None, "the batch is not kept alive"
    with pytest.raises(ValueError, match="read-only"):
        kept.array[0, 0] = 1


@pytest.mark.triton("2e.4")
@pytest.mark.parametrize(
    ("model", "cache", "told"),
    [
        (ModelConfig(name="m", response_cache=True), False, "start it with --cache-config"),
        (
            ModelConfig(name="m", response_cache=True, sequence_batching=SequenceBatching()),
            True,
            "responses of a sequence",
        ),
        (ModelConfig(name="m", response_cache=True, decoupled=True), True, "decoupled"),
        (ModelConfig(name="m", response_cache=True), True, ""),
        (ModelConfig(name="m"), True, ""),
    ],
)
def test_who_asks_for_the_cache_in_vain_is_warned(
    model: ModelConfig,
    cache: bool,  # noqa: FBT001 - a case
    told: str,
) -> None:
    there = Local(100, ManualClock()) if cache else None
    with heard() as lines:
        assert cached(model, there) is (model.response_cache and not told)
    assert [told in line for line in lines] == ([True] if told else [])


def test_a_model_is_what_its_files_and_its_configuration_say(tmp_path: Path) -> None:
    model = config()
    (tmp_path / "model.onnx").write_bytes(b"one")
    first = identity(tmp_path, model)
    assert identity(tmp_path, model) == first
    assert identity(tmp_path, config(max_batch_size=4)) != first
    (tmp_path / "model.onnx").write_bytes(b"two")
    assert identity(tmp_path, model) != first
