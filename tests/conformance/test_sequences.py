"""Section 8 and row 6.3: sequences, as NVIDIA's clients see them, on real ONNX models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import accumulate
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http.aio
from support.in_thread import Ports, listening
from support.oracle_clients import Asked, Oracle
from support.sequence_models import grower, total, watcher
from support.serving import until
from tritonclient.utils import InferenceServerException

from engine import examples
from engine.clock import SystemClock
from engine.execution.host import Host
from engine.options import ModelControlMode, ServeOptions
from engine.repository.registry import Registry
from engine.types import DType

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
LONG = "max_sequence_idle_microseconds: 60000000"
DIRECT, OLDEST = f"{LONG} direct {{ }}", f"{LONG} oldest {{ max_candidate_sequences: 4 }}"
FULL = "direct { max_queue_delay_microseconds: 30000000 minimum_slot_utilization: 1.0 }"
HALF = "direct { max_queue_delay_microseconds: 20000 minimum_slot_utilization: 1.0 }"
GATHER = (
    "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 4 ]"
    " max_queue_delay_microseconds: 30000000 preserve_ordering: true }"
)
FROM_FILE = 'initial_state [ {{ name: "f" data_type: TYPE_INT32 dims: [ {} ] data_file: "{}" }} ]'
STRATEGIES = {"direct": DIRECT, "oldest": OLDEST}
#: the watchers: how their controls are written, the pair of values, the id's type
WATCHERS = {
    "int32_uint64": (DType.INT32, (0.0, 1.0), DType.UINT64),
    "fp32_int64": (DType.FP32, (-1.5, 2.5), DType.INT64),
    "bool_uint32": (DType.BOOL, (0.0, 1.0), DType.UINT32),
    "int32_int32": (DType.INT32, (0.0, 1.0), DType.INT32),
    "int32_text": (DType.INT32, (0.0, 1.0), DType.BYTES),
}


def write_models(repository: Path) -> None:
    for example in ("sequence", "simple_sequence", "simple_dyna_sequence", "implicit_state"):
        examples.build(example, repository)
    for name, (flags, _, corrid) in WATCHERS.items():
        watcher(DIRECT, flags=flags, corrid=corrid).write(repository, name)
    for size in (0, 1):
        watcher(DIRECT, max_batch_size=size).write(repository, f"watch_{size}")
        watcher(OLDEST, max_batch_size=size).write(repository, f"watch_oldest_{size}")
    watcher(f"{LONG} {FULL}").write(repository, "all_slots")
    watcher(f"{LONG} {HALF}").write(repository, "not_all_slots")
    watcher(f"{LONG} {GATHER}").write(repository, "gather")
    watcher(DIRECT, count=2, max_batch_size=2).write(repository, "two")
    for name, strategy in STRATEGIES.items():
        total(strategy).write(repository, f"total_{name}")
        grower(strategy).write(repository, f"grow_{name}")
    total(DIRECT, max_batch_size=1).write(repository, "one_slot")
    total("max_sequence_idle_microseconds: 100000 oldest { max_candidate_sequences: 1 }").write(
        repository, "forgetful"
    )
    total(DIRECT, max_batch_size=0, first=FROM_FILE.format(1, "hundred")).write(repository, "file")
    grower(DIRECT, first=FROM_FILE.format(2, "pair")).write(repository, "grow_file")
    for model, file, values in (("file", "hundred", [100]), ("grow_file", "pair", [3, 4])):
        (repository / model / "initial_state").mkdir()
        (repository / model / "initial_state" / file).write_bytes(np.array(values, "<i4").tobytes())


class Served:
    """The server, and what a test may ask of its inside."""

    def __init__(self, ports: Ports, registry: Registry) -> None:
        self.ports = ports
        self._registry = registry

    def pending(self, model: str) -> int:
        return self.ports.on_loop(lambda: self._registry.get(model).pending)

    def statistics(self, model: str) -> Any:
        return self.ports.on_loop(lambda: self._registry.get(model).statistics())

    def play(self, scene: Callable[[Asker], Coroutine[Any, Any, Any]], kind: str = "http") -> Any:
        """Play a scene with one of the asynchronous clients."""

        async def played() -> Any:
            port = self.ports.http.port if kind == "http" else self.ports.grpc.port
            module = getattr(tritonclient, kind).aio
            client = module.InferenceServerClient(f"127.0.0.1:{port}")
            try:
                return await asyncio.wait_for(scene(Asker(module, client, self)), 20)
            finally:
                await client.close()

        return asyncio.run(played())


class Asker:
    """An asynchronous client that sends requests of sequences."""

    def __init__(self, module: Any, client: Any, served: Served) -> None:
        self._module = module
        self._client = client
        self._served = served

    def ask(self, model: str, value: int, flags: str, name: int | str, **more: Any) -> Any:
        """Send a value; "(" starts a sequence, ")" ends it. Gives a task of its outputs."""
        return asyncio.ensure_future(self._ask(model, value, flags, name, more))

    async def _ask(
        self, model: str, value: int, flags: str, name: int | str, more: dict[str, Any]
    ) -> dict[str, list[Any]]:
        shape = [1] if model in {"file", "watch_0", "watch_oldest_0"} else [1, 1]
        given = self._module.InferInput("INPUT", shape, "INT32")
        given.set_data_from_numpy(np.full(shape, value, np.int32))
        answer = await self._client.infer(
            model,
            [given],
            sequence_id=name,
            sequence_start="(" in flags,
            sequence_end=")" in flags,
            **more,
        )
        said = answer.get_response()
        tensors = said["outputs"] if isinstance(said, dict) else said.outputs
        names = [one["name"] if isinstance(one, dict) else one.name for one in tensors]
        return {name: answer.as_numpy(name).ravel().tolist() for name in names}

    async def waits(self, model: str, count: int) -> None:
        """Wait until so many requests wait for an instance."""
        await asyncio.to_thread(
            until, lambda: self._served.pending(model) == count, f"{count} requests to wait"
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    options = ServeOptions(
        model_repository=(folder,),
        model_control_mode=ModelControlMode.EXPLICIT,
        load_model=("*",),
    )
    registries: list[Registry] = []

    async def opened(loop: asyncio.AbstractEventLoop) -> Registry:
        registry = Registry(options, clock=SystemClock(), loop=loop, host=Host(cores=2))
        await registry.start()
        registries.append(registry)
        return registry

    async def closed() -> None:
        await registries[0].stop(10)

    with listening(opened, closed) as ports:
        yield Served(ports, registries[0])


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, served: Served) -> Oracle:
    return Oracle(request.param, served.ports.http.port, served.ports.grpc.port)


def asked(model: str, value: int, flags: str, name: int | str, rows: int = 1) -> Asked:
    more = {"sequence_start": "(" in flags, "sequence_end": ")" in flags, "sequence_id": name}
    return Asked(model, {"INPUT": np.full((rows, 1), value, np.int32)}, more=more)


def refused(oracle: Oracle, request: Asked) -> str:
    with pytest.raises(InferenceServerException) as caught:
        oracle.infer(request)
    wanted = ("400", "StatusCode.INVALID_ARGUMENT")
    assert caught.value.status() in wanted
    return str(caught.value.message())


@pytest.mark.triton("6.3", "8.1", "8.2", "8.8")
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_sequence_has_an_id_a_start_and_one_row(oracle: Oracle, strategy: str) -> None:
    model = f"total_{strategy}"
    unstarted = (
        "inference request for sequence {} to model '{}' must specify the START flag on the first "
        "request of the sequence"
    )

    def total(value: int, flags: str, name: int | str) -> int:
        return int(oracle.infer(asked(model, value, flags, name)).as_numpy("OUTPUT")[0, 0])

    assert unstarted.format(7, model) in refused(oracle, asked(model, 1, "", 7))
    assert unstarted.format("seven", model) in refused(oracle, asked(model, 1, ")", "seven"))
    assert [total(5, "(", 7), total(50, "(", "7"), total(6, "", 7)] == [5, 50, 11]
    assert total(9, "(", 7) == 9, "a second START begins anew"
    assert [total(1, ")", 7), total(1, ")", "7")] == [10, 51]
    assert unstarted.format(7, model) in refused(oracle, asked(model, 1, "", 7))
    no_id = f"inference request to model '{model}' must specify a non-zero or non-empty correlation"
    for none in (0, ""):
        assert no_id in refused(oracle, asked(model, 1, "(", none))
    text = f"inference request to model '{model}' must specify batch-size 1 due to requirements of "
    assert text + "sequence batcher" in refused(oracle, asked(model, 1, "(", 9, rows=2))


@pytest.mark.triton("8.5", "6.3")
@pytest.mark.parametrize("model", list(WATCHERS))
def test_controls_tell_the_model_where_a_sequence_is(served: Served, model: str) -> None:
    _, (false, true), corrid = WATCHERS[model]
    name: int | str = "nine" if corrid is DType.BYTES else 2**40 + 9
    seen = name
    if corrid in {DType.UINT32, DType.INT32}:
        seen = 9
    elif isinstance(name, str):
        seen = name.encode()  # type: ignore[assignment]

    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        return [await asker.ask(model, value, flags, name) for value, flags in STEPS]

    for kind in ("http", "grpc"):
        answers = served.play(scene, kind)
        assert [one["OUTPUT"] for one in answers] == [[1], [2], [3], [4]]
        assert [one["ID"] for one in answers] == [[seen]] * 4
        assert [one["FLAGS"] for one in answers] == [
            [true, false, true],
            [false, false, true],
            [false, true, true],
            [true, true, true],
        ]


STEPS = ((1, "("), (2, ""), (3, ")"), (4, "()"))


@pytest.mark.triton("8.5")
def test_what_the_server_fills_in_is_no_clients_business(served: Served) -> None:
    oracle = Oracle("http", served.ports.http.port, served.ports.grpc.port)
    for model in ("int32_uint64", "sequence", "total_oldest"):
        described = oracle.does("get_model_metadata", model)
        assert [one["name"] for one in described["inputs"]] == ["INPUT"]
    given = Asked(
        "int32_uint64",
        {name: np.ones((1, 1), np.int32) for name in ("INPUT", "START")},
        more={"sequence_id": 1, "sequence_start": True},
    )
    assert "expected 1 inputs but got 2 inputs" in refused(oracle, given)
    config = oracle.does("get_model_config", "total_oldest")["sequence_batching"]
    assert config["oldest"]["max_candidate_sequences"] == 4
    assert config["state"][0]["dims"] == [1]


@pytest.mark.triton("8.11", "8.1")
def test_an_id_must_be_of_the_controls_type(oracle: Oracle) -> None:
    for model, name, given, wanted in (
        ("int32_uint64", "text", "BYTES", "UINT64"),
        ("bool_uint32", "text", "BYTES", "UINT32"),
        ("int32_text", 5, "UINT64", "BYTES"),
    ):
        said = refused(oracle, asked(model, 1, "(", name))
        assert (
            f"sequence batching control 'CORRID' data-type is '{given}', but model '{model}' "
            f"expects '{wanted}'"
        ) in said


@pytest.mark.triton("8.3")
def test_with_the_direct_strategy_a_sequence_keeps_its_row(served: Served) -> None:
    """A batch waits for all slots if it is to; rows of silent sequences are not ready."""

    async def together(asker: Asker) -> list[list[dict[str, list[Any]]]]:
        return [
            await asyncio.gather(*(asker.ask("all_slots", 0, flags, n) for n in range(1, 5)))
            for flags in ("(", "", ")")
        ]

    first, *others = served.play(together, "grpc")
    assert sorted(one["ROW"][0] for one in first) == [0, 1, 2, 3]
    for step in (first, *others):
        assert [one["BATCH"] for one in step] == [[4]] * 4
        assert [one["PRESENT"] for one in step] == [[4]] * 4
        assert [one["ROW"] for one in step] == [one["ROW"] for one in first]

    async def alone(asker: Asker) -> list[dict[str, list[Any]]]:
        model = "int32_uint64"
        for name in (1, 2, 3):
            await asker.ask(model, 0, "(", name)
        await asker.ask(model, 0, ")", 1)
        answers = [await asker.ask(model, 0, "", name) for name in (2, 3)]
        answers.append(await asker.ask(model, 0, "()", 4))
        for name in (2, 3):
            await asker.ask(model, 0, ")", name)
        return answers

    answers = served.play(alone)
    assert [one["ROW"][0] for one in answers] == [1, 2, 0]
    assert [one["BATCH"][0] for one in answers] == [2, 3, 1]
    assert [one["PRESENT"][0] for one in answers] == [1, 1, 1]


@pytest.mark.triton("8.3")
def test_a_batch_waits_for_its_slots_no_longer_than_the_delay(served: Served) -> None:
    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        return list(await asyncio.gather(*(asker.ask("not_all_slots", 0, "()", n) for n in (1, 2))))

    before = served.statistics("not_all_slots")
    assert sorted(one["ROW"][0] for one in served.play(scene)) == [0, 1]
    after = served.statistics("not_all_slots")
    assert after.execution_count == before.execution_count + 1
    assert after.queue.ns - before.queue.ns >= 20_000_000


@pytest.mark.triton("8.3")
def test_sequences_spread_over_the_instances_first(served: Served) -> None:
    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        answers = [await asker.ask("two", 0, "(", name) for name in (1, 2, 3, 4)]
        for name in (1, 2, 3, 4):
            await asker.ask("two", 0, ")", name)
        return answers

    assert [one["ROW"][0] for one in served.play(scene)] == [0, 0, 1, 1]


@pytest.mark.triton("8.3", "8.4")
@pytest.mark.parametrize("model", ["watch_0", "watch_1", "watch_oldest_0", "watch_oldest_1"])
def test_a_model_that_does_not_batch_has_one_slot_or_its_candidates(
    served: Served, model: str
) -> None:
    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        one = await asker.ask(model, 1, "(", 1)
        other = asker.ask(model, 2, "()", 2)
        if "oldest" not in model:
            await asker.waits(model, 1)
        return [one, await asker.ask(model, 3, ")", 1), await other]

    answers = served.play(scene)
    assert [one["OUTPUT"] for one in answers] == [[1], [3], [2]]
    assert {one["BATCH"][0] for one in answers} == {1}


@pytest.mark.triton("8.4")
def test_the_oldest_strategy_batches_the_sequences_that_wait(served: Served) -> None:
    """Four candidates make a batch; the second requests wait for the first to end."""

    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        first = [asker.ask("gather", n, "(", n) for n in (1, 2, 3)]
        await asker.waits("gather", 3)
        second = [asker.ask("gather", 10 * n, ")", n) for n in (1, 2, 3)]
        await asker.waits("gather", 6)
        late = [await asker.ask("gather", 4, "(", 4)]
        late.append(await asker.ask("gather", 40, ")", 4))
        return [*await asyncio.gather(*first, *second), *late]

    answers = served.play(scene, "grpc")
    assert [one["OUTPUT"][0] for one in answers] == [1, 2, 3, 10, 20, 30, 4, 40]
    assert [one["BATCH"][0] for one in answers] == [4] * 8
    assert [one["PRESENT"][0] for one in answers] == [4] * 8, "no row is nobody's"
    assert served.statistics("gather").execution_count == 2


@pytest.mark.triton("8.6")
def test_a_silent_sequence_is_forgotten(served: Served) -> None:
    async def scene(asker: Asker) -> int:
        await asker.ask("forgetful", 1, "(", "silent")
        heir = await asker.ask("forgetful", 5, "(", "heir")
        await asker.ask("forgetful", 1, ")", "heir")
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            await asker.ask("forgetful", 1, "", "silent")
        return int(heir["OUTPUT"][0])

    assert served.play(scene) == 5


@pytest.mark.triton("8.7")
def test_who_finds_no_slot_waits_its_turn(served: Served) -> None:
    async def scene(asker: Asker) -> list[str]:
        order: list[str] = []

        async def note(name: str, task: Awaitable[Any]) -> None:
            await task
            order.append(name)

        await asker.ask("one_slot", 0, "(", "first")
        waiting = []
        for count, (name, flags) in enumerate((("b", "("), ("c", "()"), ("d", "()"), ("b", ")"))):
            waiting.append(note(name, asker.ask("one_slot", 0, flags, name)))
            waiting[-1] = asyncio.ensure_future(waiting[-1])  # type: ignore[call-overload]
            await asker.waits("one_slot", count + 1)
        await asker.ask("one_slot", 0, ")", "first")
        await asyncio.gather(*waiting)
        return order

    assert served.play(scene) == ["b", "b", "c", "d"]


@pytest.mark.triton("8.7")
@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_wait_for_a_slot_may_time_out(served: Served, kind: str) -> None:
    async def scene(asker: Asker) -> InferenceServerException:
        await asker.ask("one_slot", 0, "(", 1)
        one = asker.ask("one_slot", 0, "(", 2)
        await asker.waits("one_slot", 1)
        other = asker.ask("one_slot", 0, ")", 2, timeout=20_000)
        results = await asyncio.gather(one, other, return_exceptions=True)
        assert {str(one) for one in results} == {str(results[0])}, "the whole sequence is over"
        assert isinstance(results[0], InferenceServerException)
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            await asker.ask("one_slot", 0, "", 2)
        await asker.ask("one_slot", 0, ")", 1, timeout=1)
        return results[0]

    error = served.play(scene, kind)
    assert "timeout of the corresponding sequence has been expired" in error.message()
    assert error.status() in {"503", "StatusCode.UNAVAILABLE"}


@pytest.mark.triton("7.12", "8.7")
def test_a_sequence_whose_client_leaves_frees_its_place(served: Served) -> None:
    async def scene(asker: Asker) -> None:
        await asker.ask("one_slot", 0, "(", 1)
        gone = []
        for flags in ("(", ""):
            gone.append(asker.ask("one_slot", 0, flags, 2))
            await asker.waits("one_slot", len(gone))
        gone[0].cancel()
        await asker.waits("one_slot", 0)
        with pytest.raises(InferenceServerException, match="cancel"):
            await gone[1]
        await asker.ask("one_slot", 0, ")", 1)
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            await asker.ask("one_slot", 0, "", 2)

    served.play(scene, "grpc")


@pytest.mark.triton("8.9", "8.3", "8.4")
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_many_sequences_at_once_are_what_each_is_alone(served: Served, strategy: str) -> None:
    """Whatever batches they share, sums and histories are each sequence's own."""

    async def one(asker: Asker, name: int) -> None:
        values = [name * 10 + step for step in range(5)]
        flags = ["(", "", "", "", ")"]
        for step, (value, flag) in enumerate(zip(values, flags, strict=True)):
            sums, grown = await asyncio.gather(
                asker.ask(f"total_{strategy}", value, flag, name),
                asker.ask(f"grow_{strategy}", value, flag, f"g{name}"),
            )
            assert sums == {"OUTPUT": [sum(values[: step + 1])]}
            assert grown["HISTORY_OUT"] == [0, *values[: step + 1]]
            assert grown["OUTPUT"] == [sum(values[: step + 1])]

    async def scene(asker: Asker) -> None:
        await asyncio.gather(*(one(asker, name) for name in range(1, 17)))

    served.play(scene)
    statistics = served.statistics(f"total_{strategy}")
    assert statistics.success.count == statistics.inference_count


@pytest.mark.triton("8.9")
def test_a_state_begins_as_its_file_says_and_shows_only_where_it_is_an_output(
    served: Served,
) -> None:
    async def scene(asker: Asker) -> list[dict[str, list[Any]]]:
        answers = [await asker.ask("file", value, flags, 1) for value, flags in STEPS]
        return answers + [await asker.ask("grow_file", value, flags, 1) for value, flags in STEPS]

    answers = served.play(scene)
    assert answers[:4] == [{"OUTPUT": [one]} for one in (101, 103, 106, 104)]
    assert [one["HISTORY_OUT"] for one in answers[4:]] == [
        [3, 4, 1],
        [3, 4, 1, 2],
        [3, 4, 1, 2, 3],
        [3, 4, 4],
    ]


@pytest.mark.triton("8.9")
def test_a_client_may_ask_for_some_outputs_and_the_state_goes_on(served: Served) -> None:
    oracle = Oracle("grpc", served.ports.http.port, served.ports.grpc.port)
    sums = []
    for value, flags in STEPS[:3]:
        request = asked("grow_direct", value, flags, "some")
        request.outputs = ("OUTPUT",)
        answer = oracle.infer(request)
        assert [one.name for one in answer.get_response().outputs] == ["OUTPUT"]
        sums.append(int(answer.as_numpy("OUTPUT")[0, 0]))
    assert sums == [1, 3, 6]


@pytest.mark.triton("8.3")
def test_statistics_count_requests_by_what_was_asked_and_batches_by_what_ran(
    served: Served,
) -> None:
    """A row that no sequence needs is part of the batch, and no inference."""

    async def scene(asker: Asker) -> None:
        for name in (1, 2):
            await asker.ask("bool_uint32", 0, "(", name)
        before = served.statistics("bool_uint32")
        await asker.ask("bool_uint32", 0, ")", 2)
        after = served.statistics("bool_uint32")
        await asker.ask("bool_uint32", 0, ")", 1)
        assert after.inference_count == before.inference_count + 1
        assert _runs(after, 2) == _runs(before, 2) + 1

    served.play(scene)


def _runs(statistics: Any, size: int) -> int:
    return sum(one.compute_infer.count for one in statistics.batch_stats if one.batch_size == size)


@pytest.mark.triton("8.12")
def test_sequences_are_not_cached(served: Served) -> None:
    oracle = Oracle("http", served.ports.http.port, served.ports.grpc.port)
    config = oracle.does("get_model_config", "total_direct")
    config["response_cache"] = {"enable": True}
    with pytest.raises(InferenceServerException) as caught:
        oracle.does("load_model", "total_direct", config=json.dumps(config))
    assert (
        "Response Cache does not currently support model total_direct with sequence batching "
        "scheduler. Please disable the response cache."
    ) in str(caught.value)


@pytest.mark.triton("8.3", "8.4", "8.5", "8.9")
@pytest.mark.parametrize("model", ["simple_sequence", "simple_dyna_sequence", "implicit_state"])
def test_models_in_python_see_their_sequences_too(served: Served, model: str) -> None:
    """Sums of 12 sequences side by side; the dyna model adds the id to the last."""
    adds_id = model == "simple_dyna_sequence"

    async def one(asker: Asker, name: int) -> None:
        so_far = 0
        for value, flags in ((name, "("), (20, ""), (30, ")")):
            so_far += value
            answer = await asker.ask(model, value, flags, name)
            assert answer == {"OUTPUT": [so_far + (name if adds_id and ")" in flags else 0)]}

    async def scene(asker: Asker) -> None:
        await asyncio.gather(*(one(asker, name) for name in range(1, 13)))

    served.play(scene, "grpc")
    served.play(scene, "http")


@pytest.mark.triton("8.1", "8.8", "5.5")
@pytest.mark.parametrize("model", ["sequence", "total_oldest", "simple_sequence"])
def test_sequences_may_be_sent_down_a_stream_without_waiting(served: Served, model: str) -> None:
    """Two sequences in one stream, in turns, as Triton's own example of a sequence client does."""
    answers: Queue[tuple[Any, Any]] = Queue()
    values = [11, 7, 5, 3, 2, 0, 1]
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{served.ports.grpc.port}") as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for place, value in enumerate(values):
            for name, sign in (("up", 1), ("down", -1)):
                given = tritonclient.grpc.InferInput("INPUT", [1, 1], "INT32")
                given.set_data_from_numpy(np.full((1, 1), sign * value, np.int32))
                client.async_stream_infer(
                    model,
                    [given],
                    request_id=f"{name}_{place}",
                    sequence_id=name,
                    sequence_start=place == 0,
                    sequence_end=place == len(values) - 1,
                )
        seen = [answers.get(timeout=20) for _ in range(2 * len(values))]
        client.stop_stream()
    assert [error for _, error in seen if error is not None] == []
    sums = {result.get_response().id: int(result.as_numpy("OUTPUT")[0, 0]) for result, _ in seen}
    for name, sign in (("up", 1), ("down", -1)):
        got = [sums[f"{name}_{place}"] for place in range(len(values))]
        assert got == [sign * one for one in accumulate(values)]
