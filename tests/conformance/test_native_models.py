"""Libraries behind a real server: where they are found, and what NVIDIA's clients see of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from support.conditions import within
from support.in_thread import Ports
from support.native_library import SOURCES, compiled
from support.oracle_clients import Asked, Oracle
from support.raw_http import ask
from support.served import served
from support.streams import streaming
from tritonclient.utils import InferenceServerException

from engine import examples
from engine.types import DType

_KINDS = {one: one.numpy for one in DType} | {DType.BF16: ml_dtypes.bfloat16}
ARRAYS = {
    one.value: np.array([[1, 0, 3]]).astype(kind)
    for one, kind in _KINDS.items()
    if one is not DType.BYTES
} | {"BYTES": np.array([[b"", "ä".encode(), b"\xff\0"]], np.object_)}
SAME = "".join(
    f'input {{ name: "{one.value}" data_type: {one.config_name} dims: [ -1 ] optional: true }}\n'
    f'output {{ name: "SAME_{one.value}" data_type: {one.config_name} dims: [ -1 ] }}\n'
    for one in DType
)
FP32 = (
    'input { name: "FP32" data_type: TYPE_FP32 dims: [ 4 ] }\n'
    'output { name: "SAME_FP32" data_type: TYPE_FP32 dims: [ 4 ] }\n'
)
HERE = 'parameters { key: "isolation" value { string_value: "none" } }\n'
OBLIGING = 'backend: "obliging"\nmax_batch_size: 8\n'
COMPLETE = 'parameters { key: "mood" value { string_value: "complete" } }\n'
# Each model: where its library lies, and its configuration.
MODELS = {
    "types": ("types/1/libtriton_obliging.so", OBLIGING + SAME + "dynamic_batching { }"),
    "beside.obliging": ("beside.obliging/libtriton_obliging.so", HERE + COMPLETE),
    "elsewhere": ("", OBLIGING + FP32 + HERE),
    "named": ("named/libmine.so", OBLIGING + FP32 + HERE + 'runtime: "libmine.so"\n'),
    "chosen": (
        "chosen/1/mine.so",
        'backend: "native"\ndefault_model_filename: "mine.so"\nmax_batch_size: 8\n' + FP32 + HERE,
    ),
    "many": (
        "many/1/libtriton_obliging.so",
        OBLIGING + FP32 + "model_transaction_policy { decoupled: true }",
    ),
    "lost": ("", 'backend: "nowhere"\n' + FP32),
}
X = np.arange(4, dtype=np.float32).reshape(1, 4)
ROW = np.arange(16, dtype=np.float32).reshape(1, 16)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    made = tmp_path_factory.mktemp("repository")
    backends = tmp_path_factory.mktemp("backends")
    (backends / "obliging").mkdir()
    library = compiled(SOURCES / "obliging.cpp", backends / "obliging/libtriton_obliging.so")
    for name, (file, config) in MODELS.items():
        (made / name / "1").mkdir(parents=True)
        (made / name / "config.pbtxt").write_text(config)
        if file:
            shutil.copy(library, made / file)
    examples.build("native_add_sub", made)
    settings = {"obliging": {"mode": "fast", "default-max-batch-size": "4"}}
    with served(
        made, backend_directory=backends, backend_config=settings, exit_on_error=False
    ) as ports:
        yield ports


@pytest.fixture(params=["http", "grpc.aio"])
def client(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


@pytest.mark.triton("16.2")
def test_tensors_of_all_fourteen_types_go_there_and_back(client: Oracle) -> None:
    result = client.infer(Asked("types", ARRAYS))
    assert len(ARRAYS) == 14
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(result.as_numpy(f"SAME_{name}"), array)


@pytest.mark.triton("1.6", "2.13", "2a.2", "16.1", "16.4")
@pytest.mark.parametrize("name", ["beside.obliging", "elsewhere", "named", "chosen"])
def test_a_library_is_found_where_triton_looks_for_it(server: Ports, name: str) -> None:
    client = Oracle("http", server.http.port, server.grpc.port)
    np.testing.assert_array_equal(client.infer(Asked(name, {"FP32": X})).as_numpy("SAME_FP32"), X)
    backend = "native" if name == "chosen" else "obliging"
    assert client.plain("get_model_config", name)["backend"] == backend


@pytest.mark.parametrize("name", ["types", "elsewhere"])
def test_a_library_gets_the_settings_of_its_backend(server: Ports, name: str) -> None:
    client = Oracle("http", server.http.port, server.grpc.port)
    asked = Asked(name, {"FP32": X}, more={"parameters": {"settings": 1}})
    said = client.infer(asked).get_response()["parameters"]
    assert said == {"mode": "fast", "default-max-batch-size": "4"}


@pytest.mark.triton("16.2")
def test_the_example_adds_and_subtracts(client: Oracle) -> None:
    result = client.infer(Asked("native_add_sub", {"INPUT0": 3 * ROW, "INPUT1": ROW}))
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), 4 * ROW)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), 2 * ROW)


@pytest.mark.triton("16.1")
def test_a_library_that_is_nowhere_is_an_error_that_says_where_it_was_looked_for(
    server: Ports,
) -> None:
    index = ask(server.http.port, "POST", "/v2/repository/index").json
    (lost,) = [one for one in index if one["name"] == "lost"]
    assert lost["state"] == "UNAVAILABLE"
    for place in ("lost/1/libtriton_nowhere.so", "lost/libtriton_nowhere.so", "nowhere/libtriton"):
        assert place in lost["reason"]


@pytest.mark.triton("16.3")
def test_decoupled_answers_arrive_on_a_stream(server: Ports) -> None:
    with streaming(server.grpc.port) as stream:
        stream.send("many", {"FP32": X}, "one")
        came = [stream.next() for _ in range(3)]
    assert [one.value("SAME_FP32") for one in came] == [X.ravel().tolist()] * 3


@pytest.mark.triton("16.2")
def test_requests_that_run_side_by_side_are_counted_and_answered(server: Ports) -> None:
    client = Oracle("grpc.aio", server.http.port, server.grpc.port)

    def counted() -> int:
        statistics = ask(server.http.port, "GET", "/v2/models/types/stats").json["model_stats"]
        return int(statistics[0]["inference_count"])

    before = counted()
    asked = [Asked("types", {"FP32": X + n}) for n in range(32)]
    for n, result in enumerate(client.infer_all(asked)):
        np.testing.assert_array_equal(result.as_numpy("SAME_FP32"), X + n)
    assert within(lambda: counted() == before + 32)


@pytest.mark.triton("16.2")
def test_a_crash_fails_its_request_and_readiness_tells_the_truth(server: Ports) -> None:
    client = Oracle("http", server.http.port, server.grpc.port)
    with pytest.raises(InferenceServerException, match=r"killed by signal 11 \(SIGSEGV\)"):
        client.infer(Asked("types", {"FP32": X}, more={"parameters": {"crash": 1}}))
    path = "/v2/models/types/ready"
    assert ask(server.http.port, "GET", path).status == 400
    assert within(lambda: ask(server.http.port, "GET", path).status == 200)
    np.testing.assert_array_equal(
        client.infer(Asked("types", {"FP32": X})).as_numpy("SAME_FP32"), X
    )


@pytest.mark.triton("16.2")
@pytest.mark.parametrize(("model", "asks"), [("types", "elsewhere"), ("elsewhere", "named")])
def test_a_model_asks_another_model_of_the_server(client: Oracle, model: str, asks: str) -> None:
    asked = Asked(model, {"FP32": X}, more={"parameters": {"ask": asks}})
    np.testing.assert_array_equal(client.infer(asked).as_numpy("SAME_FP32"), X)
    asked = Asked(model, {"FP32": X}, more={"parameters": {"ask": "nobody"}})
    with pytest.raises(InferenceServerException, match="asked in vain"):
        client.infer(asked)


@pytest.mark.triton("16.3")
def test_a_decoupled_model_asks_another_without_waiting(server: Ports) -> None:
    with streaming(server.grpc.port) as stream:
        stream.send("many", {"FP32": X}, "one", parameters={"ask": "types"})
        assert stream.next().value("SAME_FP32") == X.ravel().tolist()


@pytest.mark.parametrize("model", ["types", "elsewhere"])
@pytest.mark.parametrize("more", [{}, {"thread": 1}], ids=["by itself", "in a thread of its own"])
def test_a_model_that_waits_for_itself_is_told_so_and_goes_on(
    client: Oracle, model: str, more: dict[str, int]
) -> None:
    asked = Asked(model, {"FP32": X}, more={"parameters": {"ask": model, **more}})
    with pytest.raises(InferenceServerException, match=f"asked in vain.*{model} -> {model}"):
        client.infer(asked)
    np.testing.assert_array_equal(client.infer(Asked(model, {"FP32": X})).as_numpy("SAME_FP32"), X)
