"""What each verb means, whatever protocol it came by."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.fake_registry import FakeModel, FakeRegistry, echo_config, turns

from engine.errors import EngineError, InvalidArgument, NotFound, Unavailable
from engine.modelconfig.schema import SequenceBatching
from engine.options import ServeOptions
from engine.service import EXTENSIONS, Service
from engine.types import DType, InferRequest, InferResponse, Tensor
from engine.v2.call import (
    Call,
    Configuration,
    DecoupledModel,
    Health,
    Index,
    IndexedModel,
    Infer,
    InferRaw,
    Load,
    ModelConfiguration,
    ModelDescription,
    ModelMetadata,
    ModelReady,
    RepositoryIndex,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    Unload,
)

OPTIONS = ServeOptions(model_repository=(Path(),), id="here")


def service(*models: FakeModel) -> tuple[Service, FakeRegistry]:
    registry = FakeRegistry(*models)
    return Service(registry, OPTIONS), registry


def request(*shape: int, **more: object) -> InferRequest:
    tensor = Tensor("INPUT0", DType.FP32, np.ones(shape, np.float32))
    return replace(InferRequest(inputs=(tensor,)), **more)  # type: ignore[arg-type]


def run(work: Callable[[], object]) -> None:
    async def main() -> None:
        work()
        await turns(3)

    asyncio.run(main())


def refusal(of: Service, call: Call) -> EngineError:
    with pytest.raises(EngineError) as caught:
        of.answer(call)
    return caught.value


def test_the_server_says_what_it_serves_in_tritons_order() -> None:
    served, _ = service()
    reply = served.answer(ServerMetadata())
    assert isinstance(reply, ServerDescription)
    assert (reply.name, reply.extensions) == ("here", EXTENSIONS)
    triton = (
        "classification", "sequence", "model_repository", "model_repository(unload_dependents)",
        "schedule_policy", "model_configuration", "system_shared_memory", "cuda_shared_memory",
        "binary_tensor_data", "parameters", "statistics", "trace", "logging",
    )  # fmt: skip
    assert tuple(name for name in triton if name in EXTENSIONS) == EXTENSIONS


def test_health_follows_the_registry() -> None:
    served, registry = service(FakeModel())
    assert served.answer(ServerLive()) == Health(True)
    assert served.answer(ServerReady()) == Health(True)
    assert served.answer(ModelReady("identity")) == Health(True)
    registry.is_ready = False
    registry.sleeping.add(("identity", 1))
    assert served.answer(ServerReady()) == Health(False)
    assert served.answer(ModelReady("identity")) == Health(False)
    assert isinstance(refusal(served, ModelReady("nobody")), NotFound)


def test_a_model_lists_the_versions_that_are_meant() -> None:
    served, _ = service(FakeModel(version=1), FakeModel(version=3))
    every, one = (served.answer(ModelMetadata("identity", v)) for v in ("", "1"))
    assert isinstance(every, ModelDescription)
    assert isinstance(one, ModelDescription)
    assert (every.versions, one.versions) == (("1", "3"), ("1",))
    assert (every.platform, every.inputs[0].shape) == ("fake", (-1, 16))


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("x", ("failed to get model version from specified version string 'x' (details: stol), "
              "version should be an integral value > 0")),
        ("-1", "failed to get model version from specified version string '-1', version should"),
        ("0", "failed to get model version from specified version string '0', version should"),
        (str(2**64), "version should be an integral value > 0"),
    ],
)  # fmt: skip
def test_a_version_is_a_number_above_zero(version: str, text: str) -> None:
    served, _ = service(FakeModel())
    for call in (ModelReady("identity", version), Statistics("identity", version)):
        error = refusal(served, call)
        assert isinstance(error, InvalidArgument)
        assert text in error.message


def test_configuration_is_the_models_own() -> None:
    model = FakeModel()
    served, _ = service(model)
    assert served.answer(ModelConfiguration("identity")) == Configuration(model.config)


def test_statistics_are_of_what_is_ready() -> None:
    served, registry = service(FakeModel(version=1), FakeModel(version=2))
    every = served.answer(Statistics())
    assert isinstance(every, StatisticsReport)
    assert [figures.version for figures in every.models] == ["1", "2"]
    one = served.answer(Statistics("identity", "2"))
    assert isinstance(one, StatisticsReport)
    assert [figures.version for figures in one.models] == ["2"]
    other = refusal(served, Statistics("identity", "9"))
    assert other.message == "requested model version is not available for model 'identity'"
    registry.sleeping |= {("identity", 1), ("identity", 2)}
    asleep = refusal(served, Statistics("identity"))
    assert isinstance(asleep, InvalidArgument)
    assert asleep.message == "requested model 'identity' is not available"
    assert refusal(served, Statistics("x")).message == "requested model 'x' is not available"


def test_statistics_count_what_was_inferred() -> None:
    served, _ = service(FakeModel())
    run(lambda: served.infer(Infer("identity", "", request(1, 16)), lambda _: None))
    report = served.answer(Statistics("identity"))
    assert isinstance(report, StatisticsReport)
    figures = report.models[0]
    assert (figures.success.count, figures.queue.count, figures.compute_infer.ns) == (1, 1, 2000)
    assert figures.batches[0].compute_output.ns == 3000


def test_the_index_says_no_state_of_what_was_never_loaded() -> None:
    served, _ = service(FakeModel())
    assert served.answer(RepositoryIndex()) == Index(
        (IndexedModel("identity", "1", "READY"), IndexedModel("never_loaded"))
    )


def test_load_and_unload_reach_the_registry() -> None:
    served, registry = service()
    asyncio.run(served.carry_out(Load("m", {"config": "{}"})))
    asyncio.run(served.carry_out(Unload("m", True)))
    assert registry.calls == [("load", "m", {"config": "{}"}), ("unload", "m", True)]


def test_an_inference_is_answered_once_and_later() -> None:
    served, _ = service(FakeModel())
    got: list[InferResponse | EngineError] = []

    def work() -> None:
        served.infer(Infer("identity", "", request(2, 16, id="i")), got.append)
        assert not got

    run(work)
    (response,) = got
    assert isinstance(response, InferResponse)
    assert (response.id, response.outputs[0].array.shape) == ("i", (2, 16))


def test_what_does_not_fit_never_reaches_the_model() -> None:
    model = FakeModel()
    served, _ = service(model)
    with pytest.raises(InvalidArgument):
        served.infer(Infer("identity", "", request(1, 17)), lambda _: None)
    with pytest.raises(NotFound):
        served.infer(Infer("identity", "5", request(1, 16)), lambda _: None)
    assert model.requests == []


def test_a_reloaded_model_is_judged_by_its_own_shape() -> None:
    served, registry = service(FakeModel())
    run(lambda: served.infer(Infer("identity", "", request(1, 16)), lambda _: None))
    registry.put(FakeModel(echo_config(dims=(4,))))
    run(lambda: served.infer(Infer("identity", "", request(1, 4)), lambda _: None))
    with pytest.raises(InvalidArgument):
        served.infer(Infer("identity", "", request(1, 16)), lambda _: None)


def test_a_model_that_was_replaced_is_not_kept() -> None:
    served, registry = service(FakeModel())
    gone = weakref.ref(registry.get("identity"))
    run(lambda: served.infer(Infer("identity", "", request(1, 16)), lambda _: None))
    registry.put(FakeModel(echo_config(dims=(4,))))
    run(lambda: served.infer(Infer("identity", "", request(1, 4)), lambda _: None))
    gc.collect()
    assert gone() is None


def test_a_decoupled_model_takes_no_single_inference() -> None:
    served, _ = service(FakeModel(replace(echo_config(), decoupled=True)))
    with pytest.raises(DecoupledModel):
        served.infer(Infer("identity", "", request(1, 16)), lambda _: None)


def test_an_exiting_server_refuses_in_words() -> None:
    served, _ = service(FakeModel())
    served.exit()
    assert refusal(served, ServerLive()).message == "Server exiting"
    assert refusal(served, ServerReady()).message == "Server exiting"
    with pytest.raises(Unavailable) as caught:
        served.infer(Infer("identity", "", request(1, 16, id="q")), lambda _: None)
    assert caught.value.message == (
        "[request id: q] Server is stopping, scheduler for model has stopped accepting new "
        "inference requests"
    )


@pytest.mark.triton("3.16")
def test_sequences_in_flight_may_go_on_while_the_server_exits() -> None:
    config = replace(echo_config(), sequence_batching=SequenceBatching())
    sequences = FakeModel(config)
    plain = FakeModel(echo_config("plain"))
    served, _ = service(sequences, plain)
    served.exit()

    def ask(model: str, **flags: object) -> None:
        served.infer(Infer(model, "", request(1, 16, **flags)), lambda _: None)

    async def main() -> None:
        ask("identity", sequence_id=7, sequence_end=True)
        assert [one.sequence_id for one in sequences.requests] == [7]
        for model, flags in (
            ("identity", {"sequence_id": 7, "sequence_start": True}),
            ("identity", {}),
            ("plain", {"sequence_id": 7}),
        ):
            with pytest.raises(Unavailable, match="has stopped accepting new inference requests"):
                ask(model, **flags)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("dtype", "dims", "most", "content", "shape"),
    [
        (DType.FP32, (4,), 8, bytes(16), (1, 4)),
        (DType.FP32, (-1,), 8, bytes(24), (1, 6)),
        (DType.INT8, (2, -1), 0, bytes(6), (2, 3)),
        (DType.BYTES, (1,), 8, b"any text", (1, 1)),
        (DType.BYTES, (-1,), 0, b"any text", (1,)),
    ],
)
def test_a_request_without_a_head_is_the_models_one_input(
    dtype: DType, dims: tuple[int, ...], most: int, content: bytes, shape: tuple[int, ...]
) -> None:
    served, _ = service(FakeModel(echo_config(dtype=dtype, dims=dims, max_batch_size=most)))
    made = served.with_head(InferRaw("identity", "", content)).request
    assert made.inputs[0].array.shape == shape
    assert made.binary_default
    if dtype is DType.BYTES:
        assert made.inputs[0].array.ravel()[0] == content


@pytest.mark.parametrize(
    ("dtype", "dims", "content", "text"),
    [
        (DType.FP32, (4,), bytes(15), "input byte size mismatch for input 'INPUT0'"),
        (DType.FP32, (-1, -1), bytes(16), "more than one variable-sized dimension"),
        (DType.BYTES, (2,), b"x", "the model must have input shape [1]"),
    ],
)
def test_a_request_without_a_head_must_be_deducible(
    dtype: DType, dims: tuple[int, ...], content: bytes, text: str
) -> None:
    served, _ = service(FakeModel(echo_config(dtype=dtype, dims=dims)))
    with pytest.raises(InvalidArgument) as caught:
        served.with_head(InferRaw("identity", "", content))
    assert text in caught.value.message


def test_a_request_without_a_head_needs_a_model_of_one_input() -> None:
    config = echo_config()
    two = replace(config, input=(config.input[0], replace(config.input[0], name="INPUT1")))
    served, _ = service(FakeModel(two))
    with pytest.raises(InvalidArgument, match="Raw request must only have 1 input"):
        served.with_head(InferRaw("identity", "", b""))
