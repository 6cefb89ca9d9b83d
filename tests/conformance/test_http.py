"""HTTP by bytes on a socket: paths, methods, health, metadata, errors, compression, framing."""

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.fake_registry import FakeModel, echo_config
from support.in_thread import Ports, serving_fakes
from support.onnx_identity import write_identity
from support.raw_http import Raw, ask
from support.served import served

from engine import __version__

LIMIT = 1 << 20
VALUES = np.arange(4096, dtype=np.float32).reshape(1, 4096)


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory() as place:
        write_identity(Path(place), "pair", ["FP32", "INT32"])
        write_identity(Path(place), "wide", ["FP32"])
        write_identity(Path(place), "a b/c".replace("/", "%"), ["FP32"])
        with served(Path(place), max_input_size=LIMIT) as ports:
            yield ports


@pytest.fixture
def port(server: Ports) -> int:
    return server.http.port


def inference(values: Any = VALUES, **members: Any) -> bytes:
    """Ask the wide model in JSON."""
    one = {"name": "IN_FP32", "shape": list(values.shape), "datatype": "FP32"}
    return json.dumps({"inputs": [{**one, "data": values.ravel().tolist()}], **members}).encode()


def split(values: Any, **members: Any) -> tuple[bytes, dict[str, str]]:
    """Ask the wide model in binary: a body, and the header that parts it."""
    parameters = {"binary_data_size": values.nbytes}
    one = {"name": "IN_FP32", "shape": list(values.shape), "datatype": "FP32"}
    head = json.dumps({"inputs": [{**one, "parameters": parameters}], **members}).encode()
    return head + values.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


IN_BINARY = {"parameters": {"binary_data_output": True}}


@pytest.mark.triton("4.1", "6.13")
def test_the_server_describes_itself_in_tritons_order(port: int) -> None:
    answer = ask(port, "GET", "/v2")
    assert answer.line == "HTTP/1.1 200 OK"
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["name", "version", "extensions"]
    assert (answer.json["name"], answer.json["version"]) == ("triton", __version__)
    order = [
        "classification", "sequence", "model_repository", "model_repository(unload_dependents)",
        "schedule_policy", "model_configuration", "system_shared_memory", "cuda_shared_memory",
        "binary_tensor_data", "parameters", "statistics", "trace", "logging",
    ]  # fmt: skip
    said = answer.json["extensions"]
    assert said == [name for name in order if name in said]
    # What is missing comes with a later version, and is refused until then.
    assert set(order) - set(said) == {"trace", "logging"}


@pytest.mark.triton("4.2", "4.3", "4.4")
@pytest.mark.parametrize(
    "target",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/wide/ready",
        "/v2/models/wide/versions/1/ready",
    ],
)
def test_health_is_a_status_without_a_body(port: int, target: str) -> None:
    answer = ask(port, "GET", target)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.triton("4.2", "4.3", "4.4")
def test_what_is_not_well_is_told_by_the_status() -> None:
    asleep = FakeModel(echo_config("asleep"))
    with serving_fakes(FakeModel(), asleep) as ports:
        port = ports.http.port
        ports.registry.is_ready = False
        ports.registry.sleeping.add(("asleep", 1))
        assert ask(port, "GET", "/v2/health/live").status == 200
        not_ready = ask(port, "GET", "/v2/health/ready")
        assert (not_ready.status, not_ready.body) == (400, b"")
        sleeps = ask(port, "GET", "/v2/models/asleep/ready")
        assert (sleeps.status, sleeps.error) == (400, "Model version not ready")
        unknown = ask(port, "GET", "/v2/models/nobody/ready")
        assert unknown.status == 404
        assert unknown.error == "Request for unknown model: 'nobody' is not found"
        ports.on_loop(ports.service.exit)
        for target in ("/v2/health/live", "/v2/health/ready"):
            ends = ask(port, "GET", target)
            assert (ends.status, ends.error) == (503, "Server exiting")


@pytest.mark.triton("4.5")
def test_a_models_metadata_has_its_batch_in_front(port: int) -> None:
    for target in ("/v2/models/pair", "/v2/models/pair/versions/1", "/v2/models/pair?x=1"):
        answer = ask(port, "GET", target)
        assert list(answer.json) == ["name", "versions", "platform", "inputs", "outputs"]
        assert (answer.json["name"], answer.json["versions"]) == ("pair", ["1"])
        assert answer.json["platform"] == "onnxruntime_onnx"
        assert answer.json["inputs"] == [
            {"name": "IN_FP32", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "IN_INT32", "datatype": "INT32", "shape": [-1, -1]},
        ]
        assert [one["name"] for one in answer.json["outputs"]] == ["OUT_FP32", "OUT_INT32"]


@pytest.mark.triton("4.6", "6.13")
def test_a_models_configuration_is_as_model_analyzer_reads_it(port: int) -> None:
    for target in ("/v2/models/pair/config", "/v2/models/pair/versions/1/config"):
        config = ask(port, "GET", target).json
        assert (config["name"], config["max_batch_size"]) == ("pair", 8)
        assert config["input"][0]["data_type"] == "TYPE_FP32"
        assert config["input"][0]["dims"] == [-1]
        assert config["input"][0]["optional"] is False
        assert "sequence_batching" not in config


@pytest.mark.triton("4.7", "6.12")
def test_statistics_have_their_paths_and_errors(port: int) -> None:
    listed = ask(port, "GET", "/v2/models/stats").json["model_stats"]
    assert {"pair", "wide"} <= {one["name"] for one in listed}
    for target in ("/v2/models/pair/stats", "/v2/models/pair/versions/1/stats"):
        (one,) = ask(port, "GET", target).json["model_stats"]
        assert (one["name"], one["version"]) == ("pair", "1")
    unknown = ask(port, "GET", "/v2/models/nobody/stats")
    assert (unknown.status, unknown.error) == (400, "requested model 'nobody' is not available")
    unknown = ask(port, "GET", "/v2/models/pair/versions/9/stats")
    assert unknown.status == 400
    assert unknown.error == "requested model version is not available for model 'pair'"


@pytest.mark.triton("4.10")
def test_the_repository_is_listed_by_post_with_a_body_and_without(port: int) -> None:
    for body in (b"", b"{}", b'{"ready":true}'):
        listed = ask(port, "POST", "/v2/repository/index", body).json
        assert {"name": "pair", "version": "1", "state": "READY"}.items() <= listed[1].items()
    for verb in ("unload", "load"):
        done = ask(port, "POST", f"/v2/repository/models/pair/{verb}")
        assert (done.status, done.body) == (200, b"")
    assert within(lambda: ask(port, "GET", "/v2/models/pair/ready").status == 200)


@pytest.mark.triton("4.14")
def test_the_metrics_port_is_content_with_any_path(server: Ports) -> None:
    for target in ("/metrics", "/metrics/"):
        answer = ask(server.metrics.port, "GET", target)
        assert answer.headers["content-type"].startswith("text/plain")
        assert "charset=utf-8" in answer.headers["content-type"]
        assert b"nv_inference_request_success{" in answer.body
    probe = ask(server.metrics.port, "GET", "/v2/health/ready")
    assert (probe.status, probe.body) == (200, b"")
    assert ask(server.metrics.port, "POST", "/metrics").status == 405


@pytest.mark.triton("4.15", "4.17")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v2/models/wide/infer"),
        ("POST", "/v2/models/wide"),
        ("POST", "/v2/models/wide/ready"),
        ("GET", "/v2/repository/index"),
        ("GET", "/v2/repository/models/wide/load"),
        ("POST", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/cudasharedmemory/register"),
        ("PUT", "/v2/health/live"),
        ("DELETE", "/v2"),
    ],
)
def test_a_wrong_method_is_not_allowed(port: int, method: str, target: str) -> None:
    answer = ask(port, method, target)
    assert answer.line == "HTTP/1.1 405 Method Not Allowed"
    assert answer.body == b'{"error":"Method Not Allowed"}'


@pytest.mark.triton("4.16", "4.17")
@pytest.mark.parametrize("target", ["/", "/v3", "/v2/", "/v2/models", "/v2/models/wide/versions/x"])
def test_an_unknown_path_is_not_found(port: int, target: str) -> None:
    answer = ask(port, "GET", target)
    assert answer.line == "HTTP/1.1 404 Not Found"
    assert answer.body == b'{"error":"Not Found"}'


@pytest.mark.triton("4.17", "4.18")
@pytest.mark.parametrize(
    ("method", "target", "status", "text"),
    [
        ("GET", "/v2/models/no", 404, "Request for unknown model: 'no' is not found"),
        (
            "GET", "/v2/models/wide/versions/7", 404,
            "Request for unknown model: 'wide' version 7 is not found",
        ),
        ("POST", "/v2/repository/models/no/load", 500, "failed to load 'no', failed to poll"),
        ("POST", "/v2/repository/x/models/wide/load", 501, "'repository_name' specification is"),
        ("POST", "/v2/models/wide/generate", 501, "The generate extension is not served by"),
        ("GET", "/v2/trace/setting", 501, "The trace extension is not served by"),
        ("GET", "/v2/logging", 501, "The logging extension is not served by"),
        ("POST", "/v2/models/wide/infer", 400, "failed to parse the request JSON buffer"),
    ],
)  # fmt: skip
def test_errors_are_json_under_tritons_status(
    port: int, method: str, target: str, status: int, text: str
) -> None:
    answer = ask(port, method, target)
    assert answer.status == status
    assert answer.error.startswith(text)


@pytest.mark.triton("4.38")
@pytest.mark.parametrize("version", ["0", str(1 << 70)])
def test_a_version_is_a_number_above_zero(port: int, version: str) -> None:
    answer = ask(port, "GET", f"/v2/models/wide/versions/{version}")
    assert answer.status == 400
    assert answer.error.startswith(
        f"failed to get model version from specified version string '{version}'"
    )
    assert answer.error.endswith("version should be an integral value > 0")


def test_names_are_decoded_after_they_were_split(port: int) -> None:
    assert ask(port, "GET", "/v2/models/a%20b%25c/ready").status == 200
    assert ask(port, "GET", "/v2/models/a%20b%25c?debug=1").json["name"] == "a b%c"
    slash = ask(port, "GET", "/v2/models/x%2Fready")
    assert slash.error == "Request for unknown model: 'x/ready' is not found"


@pytest.mark.triton("4.20")
@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/octet-stream", "text/html", ""]
)
def test_what_a_client_calls_its_content_does_not_matter(port: int, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = ask(port, "POST", "/v2/models/wide/infer", inference(), headers)
    assert answer.json["outputs"][0]["data"] == VALUES.ravel().tolist()


@pytest.mark.triton("4.32")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_requests_may_be_compressed(port: int, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding]
    headers = {"Content-Encoding": coding}
    plain = ask(port, "POST", "/v2/models/wide/infer", pack(inference()), headers)
    assert plain.json["outputs"][0]["data"] == VALUES.ravel().tolist()
    # the header's number counts the bytes before they were compressed
    body, length = split(VALUES, **IN_BINARY)
    binary = ask(port, "POST", "/v2/models/wide/infer", pack(body), {**headers, **length})
    assert binary.body.endswith(VALUES.tobytes())


@pytest.mark.triton("4.32")
def test_an_unknown_compression_names_those_there_are(port: int) -> None:
    answer = ask(port, "POST", "/v2/models/wide/infer", b"x", {"Content-Encoding": "br"})
    assert (answer.status, answer.error) == (501, "Unsupported compression type")
    assert answer.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.triton("4.32")
@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("identity", None),
        ("br", None),
        ("gzip;q=0.2, deflate;q=0.8", "deflate"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, identity", None),
    ],
)
def test_answers_are_compressed_as_the_client_likes_it_best(
    port: int, accept: str, chosen: str | None
) -> None:
    body, length = split(VALUES, **IN_BINARY)
    plain = ask(port, "POST", "/v2/models/wide/infer", body, length)
    headers = {**length, "Accept-Encoding": accept}
    answer = ask(port, "POST", "/v2/models/wide/infer", body, headers)
    assert answer.headers.get("content-encoding") == chosen
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[chosen]
    assert unpack(answer.body) == plain.body
    name = "inference-header-content-length"
    assert answer.headers[name] == plain.headers[name]


@pytest.mark.triton("4.33")
def test_texts_are_bounded_and_binary_tensors_are_not(port: int) -> None:
    infer = "/v2/models/wide/infer"
    large = np.zeros((1, LIMIT // 2), np.float32)
    body, length = split(large, **IN_BINARY)
    assert len(body) > LIMIT
    assert ask(port, "POST", infer, body, length).body.endswith(large.tobytes())
    text = (
        "bytes exceeds the maximum allowed input size of 1048576 bytes. Use --http-max-input-size "
        "to increase the limit."
    )
    for headers, sent in (
        ({}, inference(large)),
        ({"Content-Encoding": "gzip"}, gzip.compress(body)),
        ({"Inference-Header-Content-Length": "0"}, large.tobytes()),
    ):
        refused = ask(port, "POST", infer, sent, headers)
        assert refused.status == 400
        assert refused.error.endswith(text)
    # a JSON tensor is bounded by what it decodes to, however short its text is
    claim = b'{"inputs":[{"name":"IN_FP32","shape":[1,262145],"datatype":"FP32","data":[1]}]}'
    refused = ask(port, "POST", infer, claim)
    assert refused.error == f"request JSON size of 1048580 {text}"


@pytest.mark.triton("4.34", "4.20")
def test_chunked_bodies_need_no_length(port: int) -> None:
    body, length = split(VALUES, **IN_BINARY)
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part)
        for part in (body[at : at + 1000] for at in range(0, len(body), 1000))
    )
    headers = {**length, "Transfer-Encoding": "chunked"}
    answer = ask(port, "POST", "/v2/models/wide/infer", chunks + b"0\r\n\r\n", headers)
    assert answer.body.endswith(VALUES.tobytes())


@pytest.mark.triton("4.34")
def test_chunks_are_bounded(port: int) -> None:
    headers = {"Transfer-Encoding": "chunked", "Inference-Header-Content-Length": "1"}
    refused = ask(
        port, "POST", "/v2/models/wide/infer", b"1\r\nx\r\n" * 65537 + b"0\r\n\r\n", headers
    )
    assert refused.status == 400
    assert refused.error == (
        "Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer or larger HTTP "
        "chunks."
    )


@pytest.mark.triton("4.20")
def test_a_client_that_expects_to_be_told_is_told_to_go_on(port: int) -> None:
    body = inference()
    with Raw(port) as raw:
        headers = {"Expect": "100-continue", "Content-Length": str(len(body))}
        raw.ask("POST", "/v2/models/wide/infer", b"", headers)
        assert raw.answer().line == "HTTP/1.1 100 Continue"
        raw.send(body)
        assert raw.answer().status == 200


@pytest.mark.triton("4.17", "4.20")
def test_a_connection_survives_errors(port: int) -> None:
    with Raw(port) as raw:
        for body, status in ((b"{", 400), (inference(), 200), (b"[]", 400), (inference(), 200)):
            raw.ask("POST", "/v2/models/wide/infer", body)
            assert raw.answer().status == status


@pytest.mark.triton("4.37")
def test_a_client_that_leaves_takes_its_request_back() -> None:
    model = FakeModel(echo_config(dims=(1,)))
    model.held = True
    one = {"name": "INPUT0", "shape": [1, 1], "datatype": "FP32", "data": [7]}
    with serving_fakes(model) as ports:
        with Raw(ports.http.port) as raw:
            body = json.dumps({"inputs": [one]}).encode()
            raw.ask("POST", "/v2/models/identity/infer", body)
            assert within(lambda: model.pending == 1)
        assert within(lambda: model.pending == 0)
        assert len(model.cancelled) == 1
