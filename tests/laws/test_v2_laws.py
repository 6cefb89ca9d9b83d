"""The V2 codecs: what is written is read back, and HTTP and gRPC mean the same."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_registry import FakeModel, FakeRegistry, turns
from support.tensors import (
    IN_JSON,
    NAMES,
    VERSIONS,
    inferences,
    responses,
    same,
    same_tensor,
    tensors,
)
from tritonclient.grpc import service_pb2

from engine.errors import EngineError
from engine.options import ServeOptions
from engine.service import Service
from engine.transports.connection import Connection
from engine.transports.http import V2
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Tensor, TensorSpec
from engine.v2 import binary, grpc, http, strict, values
from engine.v2.call import (
    Accepted,
    BatchFigures,
    Call,
    Count,
    CudaRegion,
    Health,
    Index,
    IndexedModel,
    Infer,
    InferRaw,
    Load,
    Memory,
    MemoryFigures,
    MemoryStatus,
    ModelConfiguration,
    ModelDescription,
    ModelFigures,
    ModelMetadata,
    ModelReady,
    Region,
    Regions,
    RegisterMemory,
    Reply,
    RepositoryIndex,
    ResponseFigures,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    SystemRegion,
    Unload,
    UnregisterMemory,
)

LIMIT = 1 << 30
BIG = st.integers(0, 2**63 - 1)
COUNTS = st.builds(Count, BIG, BIG)
TALLIES = dict.fromkeys(
    (
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
        "cache_hit", "cache_miss",
    ),
    COUNTS,
)  # fmt: skip
RESPONSES = st.builds(
    ResponseFigures,
    index=st.integers(0, 99),
    **dict.fromkeys(
        ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel"), COUNTS
    ),
)
FIGURES = st.builds(
    ModelFigures,
    name=NAMES,
    version=st.integers(1, 99).map(str),
    last_inference=BIG,
    inference_count=BIG,
    execution_count=BIG,
    batches=st.lists(st.builds(BatchFigures, BIG, COUNTS, COUNTS, COUNTS), max_size=2).map(tuple),
    responses=st.lists(RESPONSES, max_size=2, unique_by=lambda one: one.index).map(
        lambda found: tuple(sorted(found, key=lambda one: one.index))
    ),
    memory=st.lists(
        st.builds(MemoryFigures, st.sampled_from(("CPU", "GPU")), st.integers(0, 7), BIG),
        max_size=2,
    ).map(tuple),
    **TALLIES,
)
SPECS = st.lists(
    st.builds(
        TensorSpec,
        NAMES,
        st.sampled_from(DType),
        st.lists(st.integers(-1, 99), max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
TEXTS = st.lists(NAMES, max_size=3).map(tuple)
SYSTEM_REGIONS = st.builds(SystemRegion, NAMES, NAMES, BIG, BIG)
CUDA_REGIONS = st.builds(
    CudaRegion, NAMES, st.integers(0, 7), BIG, st.binary(min_size=64, max_size=64)
)


def listed(regions: st.SearchStrategy[Region]) -> st.SearchStrategy[tuple[Region, ...]]:
    """List regions of different names, in order, as a status does."""
    many = st.lists(regions, max_size=3, unique_by=lambda region: region.name)
    return many.map(lambda found: tuple(sorted(found, key=lambda region: region.name)))


MODEL_CALLS = st.one_of(
    *(st.builds(kind, NAMES, VERSIONS) for kind in (ModelReady, ModelMetadata, ModelConfiguration))
)
OTHER_CALLS: st.SearchStrategy[Call] = st.one_of(
    st.sampled_from((ServerLive(), ServerReady(), ServerMetadata(), Statistics())),
    MODEL_CALLS,
    st.builds(Statistics, NAMES.filter(lambda name: name != "stats"), VERSIONS),
    st.builds(RepositoryIndex, st.booleans()),
    st.builds(
        Load,
        NAMES,
        st.dictionaries(st.just("config"), st.text(st.characters(codec="utf-8")))
        | st.dictionaries(NAMES.map(lambda name: f"file:{name}"), st.binary(), max_size=2),
    ),
    st.builds(Unload, NAMES, st.booleans()),
    st.builds(RegisterMemory, SYSTEM_REGIONS | CUDA_REGIONS),
    st.builds(UnregisterMemory, st.sampled_from(Memory), st.just("") | NAMES),
    st.builds(MemoryStatus, st.sampled_from(Memory), st.just("") | NAMES),
)
REPLIES: st.SearchStrategy[tuple[Call, Reply]] = st.one_of(
    st.tuples(
        st.sampled_from((ServerLive(), ServerReady(), ModelReady("m"))),
        st.builds(Health, st.booleans()),
    ),
    st.tuples(st.just(ServerMetadata()), st.builds(ServerDescription, NAMES, NAMES, TEXTS)),
    st.tuples(
        st.just(ModelMetadata("m")), st.builds(ModelDescription, NAMES, TEXTS, NAMES, SPECS, SPECS)
    ),
    st.tuples(
        st.just(Statistics()), st.builds(StatisticsReport, st.lists(FIGURES, max_size=2).map(tuple))
    ),
    st.tuples(
        st.just(RepositoryIndex()),
        st.builds(
            Index,
            st.lists(st.builds(IndexedModel, NAMES, NAMES, NAMES, NAMES), max_size=3).map(tuple),
        ),
    ),
    st.tuples(
        st.just(MemoryStatus(Memory.SYSTEM)),
        listed(SYSTEM_REGIONS).map(lambda regions: Regions(Memory.SYSTEM, regions)),
    ),
    st.tuples(
        st.just(MemoryStatus(Memory.CUDA)),
        listed(st.builds(CudaRegion, NAMES, st.integers(0, 7), BIG)).map(
            lambda regions: Regions(Memory.CUDA, regions)
        ),
    ),
    st.tuples(
        st.sampled_from(
            (
                Load("m"),
                Unload("m"),
                UnregisterMemory(Memory.SYSTEM),
                RegisterMemory(SystemRegion("r", "k", 0, 1)),
                RegisterMemory(CudaRegion("r", 0, 1, bytes(64))),
            )
        ),
        st.just(Accepted()),
    ),
)


def over_http(call: Call) -> Call:
    message = http.render_request(call)
    headers = {name.lower(): value for name, value in message.headers}
    return http.parse_request(message.method, message.target, headers, message.body, limit=LIMIT)


def over_grpc(call: Call) -> Call:
    name, message = grpc.render_request(call)
    kind = getattr(service_pb2, f"{name}Request")
    return grpc.parse_request(kind.FromString(message.SerializeToString()))


def answer_over_http(call: Call, reply: Reply, accept: str | None = None) -> Reply:
    rendered = http.render_reply(call, reply, accept)
    headers = {name.lower(): value for name, value in rendered.headers}
    return http.parse_reply(call, rendered.status, headers, b"".join(rendered.chunks))


def answer_over_grpc(call: Call, reply: Reply) -> Reply:
    message = grpc.render_reply(call, reply)
    return grpc.parse_reply(type(message).FromString(message.SerializeToString()))


@given(tensors())
def test_a_tensor_survives_its_bytes_and_is_aligned(tensor: Tensor) -> None:
    place = binary.slot(tensor.name, tensor.dtype, tensor.array.shape)
    content = bytes(binary.encode(tensor))
    for shift in range(3):
        moved = memoryview(bytes(shift) + content)[shift:]
        back = binary.decode(moved, place, "m", "")
        assert same_tensor(back, tensor)
        assert back.array.flags.aligned


@given(tensors(IN_JSON))
def test_a_tensor_survives_its_json_values(tensor: Tensor) -> None:
    place = binary.slot(tensor.name, tensor.dtype, tensor.array.shape)
    text = strict.dumps({"data": values.write(tensor)})
    assert same_tensor(values.read(strict.document(text)["data"], place, "m"), tensor)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=24), st.data())
def test_nesting_of_json_values_means_nothing(flat: list[int], data: st.DataObject) -> None:
    nested: list[object] = list(flat)
    for _ in range(data.draw(st.integers(0, 4))):
        cut = data.draw(st.integers(0, len(nested)))
        nested = [*nested[:cut], nested[cut:]] if data.draw(st.booleans()) else [nested]
    place = binary.slot("x", DType.INT32, (len(flat),))
    assert values.read(nested, place, "m").array.tolist() == flat


@given(inferences(binary=True))
def test_an_inference_survives_http(call: Infer) -> None:
    back = over_http(call)
    assert isinstance(back, Infer)
    assert (back.model, back.version, back.shared) == (call.model, call.version, call.shared)
    assert same(back.request, call.request)


@given(inferences(binary=False))
def test_an_inference_is_the_same_over_grpc(call: Infer) -> None:
    by_grpc, by_http = over_grpc(call), over_http(call)
    assert isinstance(by_grpc, Infer)
    assert isinstance(by_http, Infer)
    assert (by_grpc.model, by_grpc.version) == (by_http.model, by_http.version)
    assert by_grpc.shared == by_http.shared
    assert same(by_grpc.request, by_http.request)


@given(OTHER_CALLS)
def test_every_other_call_survives_both_and_is_the_same(call: Call) -> None:
    assert over_http(call) == call
    assert over_grpc(call) == call


@given(NAMES, VERSIONS, st.binary())
def test_a_request_without_a_head_survives_http(model: str, version: str, content: bytes) -> None:
    call = InferRaw(model, version, content)
    assert over_http(call) == call


@given(REPLIES)
def test_every_reply_survives_both(exchange: tuple[Call, Reply]) -> None:
    call, reply = exchange
    assert answer_over_http(call, reply) == reply
    assert answer_over_grpc(call, reply) == reply


@given(responses(), st.sampled_from((None, "gzip", "deflate;q=0.5, gzip;q=0.1", "identity")))
def test_a_binary_response_survives_http(response: InferResponse, accept: str | None) -> None:
    call = Infer("m", "", InferRequest(inputs=(), binary_default=True))
    back = answer_over_http(call, response, accept)
    assert isinstance(back, InferResponse)
    assert same(back, response)


@given(responses(IN_JSON), st.data())
def test_a_response_survives_http_in_any_mix_of_forms(
    response: InferResponse, data: st.DataObject
) -> None:
    wanted = tuple(
        RequestedOutput(tensor.name, binary=data.draw(st.booleans())) for tensor in response.outputs
    )
    call = Infer("m", "", InferRequest(inputs=(), outputs=wanted))
    back = answer_over_http(call, response)
    assert isinstance(back, InferResponse)
    assert same(back, response)


@given(responses())
def test_a_response_survives_grpc(response: InferResponse) -> None:
    back = answer_over_grpc(Infer("m", "", InferRequest(inputs=())), response)
    assert isinstance(back, InferResponse)
    assert same(back, response)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON | st.text(max_size=3),
        "parameters": JSON | st.dictionaries(st.sampled_from(("priority", "timeout", "x")), JSON),
        "outputs": JSON | st.lists(st.fixed_dictionaries({"name": JSON, "parameters": JSON})),
        "inputs": JSON
        | st.lists(
            st.fixed_dictionaries(
                {
                    "name": JSON | st.just("x"),
                    "shape": JSON | st.lists(st.integers(-1, 2**70), max_size=40),
                    "datatype": JSON | st.sampled_from([dtype.value for dtype in DType]),
                },
                optional={
                    "data": JSON | st.lists(JSON, max_size=3),
                    "parameters": st.fixed_dictionaries(
                        {}, optional={"binary_data_size": JSON | st.integers(0, 20)}
                    ),
                },
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=200)
@given(
    MEMBERS.map(lambda plain: json.dumps(plain).encode()) | st.binary(max_size=64),
    st.none() | st.integers(-2, 80),
    st.binary(max_size=16),
)
def test_whatever_a_client_sends_is_read_or_refused_with_a_text(
    head: bytes, size: int | None, tail: bytes
) -> None:
    headers = {} if size is None else {"inference-header-content-length": str(size)}
    try:
        call = http.parse_request("POST", "/v2/models/m/infer", headers, head + tail, limit=10_000)
    except EngineError as error:
        assert error.message  # noqa: PT017 - refusal is one of the two good ends
    else:
        assert isinstance(call, Infer | InferRaw)


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, content: bytes) -> None:
        self.written += content

    def writelines(self, chunks: list[bytes]) -> None:
        self.written += b"".join(chunks)

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


class Anybody:
    def add(self, connection: Connection) -> None: ...

    def discard(self, connection: Connection) -> None: ...


def spelled(call: Call, *, chunked: bool) -> bytes:
    message = http.render_request(call)
    lines = [f"{message.method} {message.target} HTTP/1.1", "Host: here"]
    lines += [f"{name}: {value}" for name, value in message.headers]
    if not chunked:
        lines += [f"Content-Length: {len(message.body)}"] if message.body else []
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + message.body
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked"]).encode() + b"\r\n\r\n"
    pieces = [message.body[at : at + 7] for at in range(0, len(message.body), 7)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def echo_call(seed: int, *, binary: bool) -> Infer:
    array = np.full((1, 16), seed, np.float32)
    request = InferRequest(
        inputs=(Tensor("INPUT0", DType.FP32, array),), id=str(seed), binary_default=binary
    )
    return Infer("identity", "", request)


REQUESTS = st.lists(
    st.builds(
        spelled,
        st.builds(echo_call, st.integers(0, 9), binary=st.booleans())
        | st.sampled_from((ServerLive(), ModelMetadata("identity"), ModelMetadata("nobody"))),
        chunked=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


async def answers(reads: list[bytes]) -> bytes:
    registry = FakeRegistry(FakeModel())
    loop = asyncio.get_running_loop()
    service = Service(registry, ServeOptions(model_repository=()))
    connection, sink = Connection(V2(service, 1 << 20), loop, Anybody()), Sink()
    connection.connection_made(sink)  # type: ignore[arg-type]
    for read in reads:
        connection.data_received(read)
        await turns(1)
    await turns(5)
    assert not sink.closed
    return sink.written


@settings(max_examples=40)
@given(REQUESTS, st.data())
def test_answers_do_not_depend_on_how_the_bytes_arrive(
    sent: list[bytes], data: st.DataObject
) -> None:
    """Whole, pipelined, or cut anywhere: the same answers in the order of the requests."""
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = asyncio.run(answers(sent))
    assert expected.count(b"HTTP/1.1 ") == len(sent)
    assert asyncio.run(answers(reads)) == expected
    assert asyncio.run(answers([stream])) == expected


@pytest.mark.parametrize("chunked", [False, True])
def test_a_head_that_comes_again_is_read_as_it_was(chunked: bool) -> None:  # noqa: FBT001 - a case
    """The remembered head changes nothing: neither answers nor which body belongs to whom."""
    calls = [echo_call(seed, binary=True) for seed in (1, 2, 3)]
    sent = [spelled(call, chunked=chunked) for call in calls]
    alone = b"".join(asyncio.run(answers([one])) for one in sent)
    assert asyncio.run(answers(sent)) == alone
    assert asyncio.run(answers([sent[0], sent[0][:-1], sent[0][-1:] + sent[1], sent[2]])) == (
        asyncio.run(answers([sent[0], sent[0], sent[1], sent[2]]))
    )
