"""Whole HTTP messages: routes, statuses, bodies of the verbs, compression, what clients read."""

import gzip
import json
import zlib

import pytest

from engine.errors import (
    AlreadyExists,
    Cancelled,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import DType, InferRequest, InferResponse, TensorSpec
from engine.v2 import coding, http, routes, strict
from engine.v2.call import (
    BatchFigures,
    Call,
    Count,
    DecoupledModel,
    Health,
    Index,
    IndexedModel,
    Infer,
    Load,
    MemoryFigures,
    ModelConfiguration,
    ModelDescription,
    ModelFigures,
    ModelMetadata,
    ModelReady,
    Reply,
    RepositoryIndex,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    Unload,
)

INFER = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT32","data":[1]}]}'


def parse(method: str, target: str, body: bytes = b"", **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.parse_request(method, target, named, body, limit=1000)


@pytest.mark.parametrize(
    ("method", "target", "call"),
    [
        ("GET", "/v2", ServerMetadata()),
        ("GET", "/v2?verbose=1", ServerMetadata()),
        ("GET", "http://host:8000/v2", ServerMetadata()),
        ("GET", "/v2/health/live", ServerLive()),
        ("GET", "/v2/health/ready?x=/y", ServerReady()),
        ("GET", "/v2/models/m", ModelMetadata("m")),
        ("GET", "/v2/models/m/versions/3", ModelMetadata("m", "3")),
        ("GET", "/v2/models/a%20b%2Fc", ModelMetadata("a b/c")),
        ("GET", "/v2/models/%C3%A4/ready", ModelReady("ä")),
        ("GET", "/v2/models/m/versions/12/config", ModelConfiguration("m", "12")),
        ("GET", "/v2/models/stats", Statistics()),
        ("GET", "/v2/models/m/stats", Statistics("m")),
        ("GET", "/v2/models/m/versions/1/stats", Statistics("m", "1")),
        ("GET", "/v2/models/m/stats/runtime", Statistics("m", runtime=True)),
        ("POST", "/v2/repository/index", RepositoryIndex()),
        ("POST", "/v2/repository/anything/index", RepositoryIndex()),
        ("POST", "/v2/repository/models/m/load", Load("m")),
        ("POST", "/v2/repository/models/m/unload", Unload("m")),
    ],
)
def test_a_path_means_its_verb(method: str, target: str, call: Call) -> None:
    assert parse(method, target) == call


@pytest.mark.parametrize(
    "target",
    [
        "/", "/v1", "/v2/", "/v2/models", "/v2/models/m/", "/v2/models/m/versions/x/infer",
        "/v2/models/m/n/ready", "/v2/models//ready", "/v2/health", "*", "/v2/models/m/inferx",
    ],
)  # fmt: skip
def test_another_path_is_not_found(target: str) -> None:
    with pytest.raises(NotFound, match=r"^Not Found$"):
        parse("GET", target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v2/models/m/infer"),
        ("POST", "/v2/models/m"),
        ("DELETE", "/v2/models/m/ready"),
        ("HEAD", "/v2/health/live"),
        ("GET", "/v2/repository/index"),
        ("POST", "/v2/models/stats"),
        ("PUT", "/v2/systemsharedmemory/status"),
    ],
)
def test_the_wrong_method_is_not_allowed(method: str, target: str) -> None:
    with pytest.raises(routes.MethodNotAllowed) as caught:
        parse(method, target)
    reply = http.render_error(caught.value)
    assert (reply.status, reply.chunks) == (405, (b'{"error":"Method Not Allowed"}',))


@pytest.mark.parametrize(
    ("method", "target", "text"),
    [
        ("POST", "/v2/models/m/generate", "The generate extension is not served"),
        ("POST", "/v2/models/m/versions/1/generate_stream", "The generate extension is not served"),
        ("GET", "/v2/trace/setting", "The trace extension is not served"),
        ("POST", "/v2/models/m/trace/setting", "The trace extension is not served"),
        ("GET", "/v2/logging", "The logging extension is not served"),
        ("POST", "/v2/repository/r/models/m/load", "'repository_name' specification is not"),
    ],
)
def test_what_later_versions_serve_is_501_and_says_so(method: str, target: str, text: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse(method, target)
    reply = http.render_error(caught.value)
    assert reply.status == 501
    assert json.loads(b"".join(reply.chunks))["error"].startswith(text)


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        parse("GET", "/v2/models/%FF")


@pytest.mark.triton("4.17", "4.18")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Internal("x"), 500), (NotFound("x"), 404), (Unavailable("x"), 503),
        (Unsupported("x"), 501), (InvalidArgument("x"), 400), (AlreadyExists("x"), 400),
        (Cancelled("x"), 400), (EngineError("x"), 400),
    ],
)  # fmt: skip
def test_an_error_is_json_under_its_status(error: EngineError, status: int) -> None:
    reply = http.render_error(error)
    assert (reply.status, reply.headers) == (status, (("Content-Type", "application/json"),))
    assert reply.chunks == (b'{"error":"x"}',)


def test_a_decoupled_model_is_refused_in_https_words() -> None:
    reply = http.render_error(DecoupledModel("m"))
    assert reply.status == 501
    assert reply.chunks[0] == (
        b'{"error":"HTTP end point doesn\'t support models with decoupled transaction policy"}'
    )


def test_an_error_about_no_text_still_arrives() -> None:
    assert http.render_error(InvalidArgument("bad \ud800 name")).chunks == (
        b'{"error":"bad ? name"}',
    )


def test_health_is_in_the_status_alone() -> None:
    assert http.render_reply(ServerLive(), Health(True)) == http.HttpReply(200)
    assert http.render_reply(ServerReady(), Health(False)) == http.HttpReply(400)
    model = http.render_reply(ModelReady("m"), Health(False))
    assert (model.status, model.chunks) == (400, (b'{"error":"Model version not ready"}',))


def test_statistics_have_every_key_and_whole_numbers() -> None:
    reply = http.render_reply(
        Statistics(), StatisticsReport((ModelFigures(name="m", version="1"),))
    )
    zero = {"count": 0, "ns": 0}
    tallies = "success fail queue compute_input compute_infer compute_output cache_hit cache_miss"
    assert json.loads(b"".join(reply.chunks)) == {
        "model_stats": [
            {
                "name": "m",
                "version": "1",
                "last_inference": 0,
                "inference_count": 0,
                "execution_count": 0,
                "inference_stats": dict.fromkeys(tallies.split(), zero),
                "response_stats": {},
                "batch_stats": [],
                "memory_usage": [],
            }
        ]
    }


def test_a_model_that_was_never_loaded_has_a_name_only() -> None:
    reply = http.render_reply(
        RepositoryIndex(), Index((IndexedModel("a"), IndexedModel("b", "1", "READY")))
    )
    assert json.loads(b"".join(reply.chunks)) == [
        {"name": "a"},
        {"name": "b", "version": "1", "state": "READY"},
    ]


def test_the_index_asks_for_a_boolean() -> None:
    assert parse("POST", "/v2/repository/index", b'{"ready":true}') == RepositoryIndex(True)
    with pytest.raises(InvalidArgument, match="Invalid value for 'ready': expected a boolean"):
        parse("POST", "/v2/repository/index", b'{"ready":1}')


def test_a_load_carries_a_configuration_and_files() -> None:
    body = b'{"parameters":{"config":"{}","file:1/model.onnx":"AAE="}}'
    call = parse("POST", "/v2/repository/models/m/load", body)
    assert call == Load("m", {"config": "{}", "file:1/model.onnx": b"\0\1"})


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b'{"parameters":{"speed":1}}', Internal, "unexpected error on creating Triton parameter"),
        (b'{"parameters":{"config":1}}', InvalidArgument, "Unable to parse 'config'"),
        (b'{"parameters":{"file:x":"!"}}', InvalidArgument, "Unable to parse 'file:x'"),
        (b"{", InvalidArgument, "failed to parse the request JSON buffer"),
    ],
)
def test_a_load_that_is_wrong_is_told_why(body: bytes, kind: type[EngineError], text: str) -> None:
    with pytest.raises(kind) as caught:
        parse("POST", "/v2/repository/models/m/load", body)
    assert caught.value.message.startswith(text)


def test_an_unload_may_take_its_dependents() -> None:
    target = "/v2/repository/models/m/unload"
    assert parse("POST", target, b'{"parameters":{"unload_dependents":true}}') == Unload("m", True)
    with pytest.raises(InvalidArgument, match="Unable to parse 'unload_dependents'"):
        parse("POST", target, b'{"parameters":{"unload_dependents":"yes"}}')


@pytest.mark.parametrize("name", ["gzip", "GZIP", "deflate", "identity"])
def test_a_compressed_body_is_read(name: str) -> None:
    packed = {"gzip": gzip.compress(INFER), "deflate": zlib.compress(INFER)}
    body = packed.get(name.lower(), INFER)
    call = parse("POST", "/v2/models/m/infer", body, content_encoding=name)
    assert isinstance(call, Infer)
    assert call.request.inputs[0].array.tolist() == [1]


def test_an_unknown_compression_is_501_and_names_those_there_are() -> None:
    with pytest.raises(Unsupported) as caught:
        parse("POST", "/v2/models/m/infer", INFER, content_encoding="br")
    reply = http.render_error(caught.value)
    assert reply.status == 501
    assert ("Accept-Encoding", "gzip, deflate") in reply.headers
    assert reply.chunks == (b'{"error":"Unsupported compression type"}',)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no gzip", "the body is not gzip"),
        (gzip.compress(INFER)[:-9], "ends before its end"),
        (gzip.compress(bytes(5000)), "exceeds the maximum allowed input size of 1000 bytes"),
    ],
    # Without names of their own the tests would be named for the bytes, which hold the time.
    ids=["not gzip", "cut off", "too much"],
)
def test_a_compressed_body_that_is_wrong_is_told_why(body: bytes, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        parse("POST", "/v2/models/m/infer", body, content_encoding="gzip")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"), ("deflate;q=0.5, gzip;q=0.9", "gzip"),
        ("identity, gzip", "identity"), ("identity;q=0.5, gzip;q=0.6", "gzip"), ("br", "identity"),
        ("gzip;q=0", "identity"), ("", "identity"), ("*", "identity"), ("gzip;q=x", "identity"),
        ("GZip ; Q=1.0", "gzip"),
    ],
)  # fmt: skip
def test_the_heaviest_coding_wins_and_the_first_a_tie(accept: str, chosen: str) -> None:
    assert coding.choose(accept) == chosen


def test_what_will_be_refused_can_be_known_from_the_headers() -> None:
    assert http.refuse_early({}, 1000, 1000) is None
    refusal = http.refuse_early({}, 1001, 1000)
    assert refusal is not None
    assert "request JSON size of 1001 bytes" in refusal.message
    assert http.refuse_early({"inference-header-content-length": "10"}, 5000, 1000) is None
    assert http.refuse_early({"inference-header-content-length": "0"}, 5000, 1000) is not None


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, b'{"error":"no such"}', NotFound, "no such"),
        (503, b'{"error":"later"}', Unavailable, "later"),
        (500, b"", Internal, "the server answered 500 and said nothing"),
        (502, b"<html>", EngineError, "<html>"),
    ],
)
def test_a_client_gets_the_servers_error(
    status: int, body: bytes, kind: type[EngineError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        http.parse_reply(ServerMetadata(), status, {}, body)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"error":"no"}', "no"), (b"plain", "plain"), (b"[1]", "[1]"), (b"\xff", "\ufffd")],
)
def test_an_errors_text_is_found_where_servers_put_it(body: bytes, text: str) -> None:
    assert strict.error_text(body) == text


def told(call: Call, plain: object) -> Reply:
    return http.parse_reply(call, 200, {}, strict.dumps(plain))


def test_outputs_that_lie_in_a_region_are_named_and_the_others_read() -> None:
    spec = {"datatype": "FP32", "shape": [1]}
    there = {"name": "there", **spec, "parameters": {"shared_memory_region": "r"}}
    outputs = [there, {"name": "here", **spec, "data": [2.0]}, {"name": "also there", **spec}]
    plain = {"model_name": "m", "model_version": "1", "outputs": outputs}
    reply = told(Infer("m", "", InferRequest(inputs=())), plain)
    assert isinstance(reply, InferResponse)
    assert reply.elsewhere == {"there", "also there"}
    assert [(one.name, one.array.tolist()) for one in reply.outputs] == [("here", [2.0])]


def test_what_other_servers_add_or_leave_out_does_not_matter() -> None:
    assert told(ServerMetadata(), {"name": "s", "extensions": None, "x": 1}) == (
        ServerDescription("s", "", ())
    )
    tensor = {"name": "a", "datatype": "FP32", "shape": [-1, 3], "parameters": {}}
    model: dict[str, object] = {
        "name": "m",
        "inputs": [tensor],
        "outputs": [],
        "properties": {},
        "versions": None,
    }
    spec = TensorSpec("a", DType.FP32, (-1, 3))
    assert told(ModelMetadata("m"), model) == ModelDescription("m", (), "", (spec,), ())
    listed = [{"name": "m", "state": "READY", "reason": None, "x": 1}]
    assert told(RepositoryIndex(), listed) == Index((IndexedModel("m", state="READY"),))


def test_a_tritons_statistics_are_read_whatever_else_they_hold() -> None:
    """It has response_stats of a decoupled model, memory_usage of a GPU, no cache."""
    count = {"count": 2, "ns": 30}
    figures = {
        "name": "m",
        "version": "1",
        "last_inference": 1700000000000,
        "inference_count": 2,
        "execution_count": 1,
        "inference_stats": {
            **dict.fromkeys(("success", "queue", "compute_input", "compute_infer"), count),
            "fail": {"count": 0, "ns": 0},
        },
        "response_stats": {"0": {"success": count, "empty_response": count, "cancel": count}},
        "batch_stats": [{"batch_size": 2, "compute_infer": count, "new": 1}],
        "memory_usage": [{"type": "GPU", "id": 0, "byte_size": 4096}],
    }
    reply = told(Statistics("m"), {"model_stats": [figures]})
    assert isinstance(reply, StatisticsReport)
    (read,) = reply.models
    assert (read.success, read.fail, read.cache_hit) == (Count(2, 30), Count(), Count())
    assert read.batches == (BatchFigures(2, Count(), Count(2, 30), Count()),)
    assert read.memory == (MemoryFigures("GPU", 0, 4096),)


@pytest.mark.parametrize(
    ("call", "plain"),
    [
        (ServerMetadata(), []),
        (ServerMetadata(), {"version": "1"}),
        (ModelMetadata("m"), {"name": "m"}),
        (ModelMetadata("m"), {"name": "m", "inputs": [1], "outputs": []}),
        (ModelMetadata("m"), {"name": "m", "inputs": [], "outputs": [{"name": "a", "shape": 1}]}),
        (
            ModelMetadata("m"),
            {
                "name": "m",
                "inputs": [],
                "outputs": [{"name": "a", "shape": [None], "datatype": "FP32"}],
            },
        ),
        (Statistics("m"), {"model_stats": [3]}),
        (Statistics("m"), {"model_stats": [{"name": "m", "inference_stats": {"fail": 1}}]}),
        (Statistics("m"), {"model_stats": [{"name": "m", "batch_stats": [0]}]}),
        (RepositoryIndex(), {}),
        (RepositoryIndex(), ["m"]),
        (ModelConfiguration("m"), []),
        (ModelConfiguration("m"), {"max_batch_size": "many"}),
    ],
)
def test_an_answer_that_tells_nothing_is_an_error(call: Call, plain: object) -> None:
    with pytest.raises(EngineError):
        told(call, plain)
