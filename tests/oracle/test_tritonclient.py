"""NVIDIA's own clients against this server, its real registry and real ONNX models."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.http
from support.in_thread import Ports
from support.onnx_identity import KINDS, write_identity
from support.oracle_clients import Asked, Oracle, same_arrays
from support.served import served
from tritonclient.utils import InferenceServerException

import engine.examples

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
RNG = np.random.default_rng(0)
IN_JSON = [kind for kind in KINDS if kind != "FP16"]


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("add_sub", "identity"):
            engine.examples.build(name, folder)
        write_identity(folder, "every", list(KINDS), max_batch_size=0)
        write_identity(folder, "any_width", ["FP32"])
        with served(folder) as ports:
            yield ports


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


def operands(rows: int) -> dict[str, Any]:
    return {f"INPUT{n}": RNG.standard_normal((rows, 16), np.float32) for n in range(2)}


def bare(inputs: dict[str, Any]) -> dict[str, Any]:
    """What onnxruntime itself makes of it."""
    with tempfile.TemporaryDirectory() as place:
        engine.examples.build("add_sub", Path(place))
        session = onnxruntime.InferenceSession(
            str(Path(place) / "add_sub/1/model.onnx"), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.triton("4.8", "5.3", "4.31")
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("outputs", [(), ("OUTPUT1",), ("OUTPUT1", "OUTPUT0")])
def test_results_are_bare_onnxruntimes(
    oracle: Oracle,
    rows: int,
    binary: bool,  # noqa: FBT001 - a case
    outputs: tuple[str, ...],
) -> None:
    inputs = operands(rows)
    result = oracle.infer(Asked("add_sub", inputs, outputs, binary=binary))
    expected = bare(inputs)
    for name in outputs or expected:
        assert same_arrays(result.as_numpy(name), expected[name])
    for name in set(expected) - set(outputs or expected):
        assert result.as_numpy(name) is None


@pytest.mark.triton("6.1", "5.3")
@pytest.mark.parametrize(
    ("binary", "kinds"), [(True, list(KINDS)), (False, IN_JSON)], ids=["binary", "json"]
)
def test_every_type_comes_back_as_it_went(
    oracle: Oracle,
    binary: bool,  # noqa: FBT001 - a case
    kinds: list[str],
) -> None:
    inputs = {f"IN_{kind}": KINDS[kind][2] for kind in KINDS}
    if not binary and oracle.is_http:
        # The model wants all of its inputs, and JSON cannot carry FP16: its refusal is the law.
        with pytest.raises(InferenceServerException, match="FP16"):
            oracle.infer(Asked("every", inputs, binary=False))
        return
    asked = Asked("every", inputs, tuple(f"OUT_{kind}" for kind in kinds))
    result = oracle.infer(asked)
    for kind in kinds:
        got, sent = result.as_numpy(f"OUT_{kind}"), KINDS[kind][2]
        if kind == "BYTES":
            assert got.tolist() == sent.tolist()
        else:
            assert got.dtype == sent.dtype
            assert same_arrays(got, sent)


@pytest.mark.parametrize("kind", IN_JSON)
def test_every_json_type_comes_back_as_it_went(server: Ports, kind: str) -> None:
    """Outputs as JSON, inputs in binary: this client can mix them."""
    oracle = Oracle("http", server.http.port, server.grpc.port)
    inputs = {f"IN_{name}": KINDS[name][2] for name in KINDS}
    wanted = tritonclient_output(f"OUT_{kind}")
    result = oracle.infer(Asked("every", inputs, more={"outputs": [wanted]}))
    got = result.as_numpy(f"OUT_{kind}").ravel().tolist()
    sent = KINDS[kind][2].ravel().tolist()
    assert got == ([text.decode() for text in sent] if kind == "BYTES" else sent)


def tritonclient_output(name: str) -> Any:
    return tritonclient.http.InferRequestedOutput(name, binary_data=False)


@pytest.mark.parametrize("binary", [True, False])
def test_empty_tensors_stay_empty(oracle: Oracle, binary: bool) -> None:  # noqa: FBT001 - a case
    inputs = {"IN_FP32": np.zeros((3, 0), np.float32)}
    result = oracle.infer(Asked("any_width", inputs, ("OUT_FP32",), binary=binary))
    assert result.as_numpy("OUT_FP32").shape == (3, 0)


@pytest.mark.triton("4.29", "5.4")
def test_ids_come_back(oracle: Oracle) -> None:
    result = oracle.infer(Asked("add_sub", operands(1), more={"request_id": "mine"}))
    answer = result.get_response()
    assert (answer["id"] if oracle.is_http else answer.id) == "mine"
    assert (answer["model_version"] if oracle.is_http else answer.model_version) == "1"


@pytest.mark.triton("4.28", "5.7")
def test_all_of_a_clients_parameters_are_taken(oracle: Oracle) -> None:
    more = {"priority": 1, "timeout": 5_000_000, "parameters": {"mine": "a", "n": 3, "b": True}}
    assert oracle.infer(Asked("add_sub", operands(1), more=more)).as_numpy("OUTPUT0") is not None


@pytest.mark.triton("4.32")
@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_compression_changes_nothing(oracle: Oracle, name: str) -> None:
    more = (
        {"request_compression_algorithm": name, "response_compression_algorithm": name}
        if oracle.is_http
        else {"compression_algorithm": name}
    )
    inputs = {"IN_FP32": np.ones((2, 3000), np.float32)}
    result = oracle.infer(Asked("any_width", inputs, more=more))
    assert same_arrays(result.as_numpy("OUT_FP32"), inputs["IN_FP32"])


def test_answers_at_once_are_not_mixed_up(oracle: Oracle) -> None:
    widths = [1 + n % 7 for n in range(64)]
    sent = [RNG.standard_normal((1 + n % 3, width), np.float32) for n, width in enumerate(widths)]
    results = oracle.infer_all([Asked("any_width", {"IN_FP32": array}) for array in sent])
    for result, array in zip(results, sent, strict=True):
        assert same_arrays(result.as_numpy("OUT_FP32"), array)


WRONG: dict[str, tuple[Asked, str, str, str]] = {
    "no model": (
        Asked("nobody", operands(1)), "404", "NOT_FOUND",
        "Request for unknown model: 'nobody' is not found",
    ),
    "no version": (
        Asked("add_sub", operands(1), more={"model_version": "7"}), "404", "NOT_FOUND",
        "Request for unknown model: 'add_sub' version 7 is not found",
    ),
    "too few": (
        Asked("add_sub", {"INPUT0": operands(1)["INPUT0"]}, more={"request_id": "a"}), "400",
        "INVALID_ARGUMENT",
        ("[request id: a] expected 2 inputs but got 1 inputs for model 'add_sub'. Got input(s) "
        "['INPUT0'], but missing required input(s) ['INPUT1']. Please provide all required "
        "input(s)."),
    ),
    "shape": (
        Asked("any_width", {"IN_FP32": np.zeros(5, np.float32)}), "400", "INVALID_ARGUMENT",
        ("[request id: <id_unknown>] unexpected shape for input 'IN_FP32' for model 'any_width'. "
        "Expected [-1,-1], got [5]. NOTE: Setting a non-zero max_batch_size"),
    ),
    "type": (
        Asked("any_width", {"IN_FP32": np.zeros((1, 5))}), "400", "INVALID_ARGUMENT",
        "inference input 'IN_FP32' data-type is 'FP64', but model 'any_width' expects 'FP32'",
    ),
    "rows": (
        Asked("any_width", {"IN_FP32": np.zeros((9, 5), np.float32)}), "400", "INVALID_ARGUMENT",
        "inference request batch-size must be <= 8 for 'any_width'",
    ),
    "output": (
        Asked("add_sub", operands(1), ("OUTPUT9",)), "400", "INVALID_ARGUMENT",
        "unexpected inference output 'OUTPUT9' for model 'add_sub'",
    ),
}  # fmt: skip


@pytest.mark.triton("4.18", "5.12")
@pytest.mark.parametrize("case", WRONG)
def test_errors_are_tritons(oracle: Oracle, case: str) -> None:
    asked, http_status, grpc_status, text = WRONG[case]
    with pytest.raises(InferenceServerException) as caught:
        oracle.infer(asked)
    status = http_status if oracle.is_http else f"StatusCode.{grpc_status}"
    assert caught.value.status() == status
    assert text in caught.value.message()


@pytest.mark.triton("4.2", "4.3", "4.4", "5.1")
def test_health_is_told(oracle: Oracle) -> None:
    assert oracle.does("is_server_live") is True
    assert oracle.does("is_server_ready") is True
    assert oracle.does("is_model_ready", "add_sub") is True
    assert oracle.does("is_model_ready", "add_sub", "1") is True
    if oracle.is_http:
        assert oracle.does("is_model_ready", "nobody") is False
    else:
        with pytest.raises(InferenceServerException, match="nobody"):
            oracle.does("is_model_ready", "nobody")


@pytest.mark.triton("4.1", "4.5", "5.2")
def test_metadata_is_read(oracle: Oracle) -> None:
    said = oracle.plain("get_server_metadata")
    assert said["name"] == "triton"
    assert "statistics" in said["extensions"]
    model = oracle.plain("get_model_metadata", "add_sub")
    shape: list[Any] = [-1, 16] if oracle.is_http else ["-1", "16"]
    assert model["versions"] == ["1"]
    assert model["platform"] in {"onnxruntime", "onnxruntime_onnx"}
    assert model["inputs"][0] == {"name": "INPUT0", "datatype": "FP32", "shape": shape}


@pytest.mark.triton("4.6", "5.2", "6.13")
def test_configuration_is_read_as_model_analyzer_does(oracle: Oracle) -> None:
    config = oracle.plain("get_model_config", "identity")
    config = config if oracle.is_http else config["config"]
    assert config["name"] == "identity"
    assert config["max_batch_size"] == 64
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert "dynamic_batching" in config
    assert "sequence_batching" not in config


@pytest.mark.triton("4.7", "6.12")
def test_statistics_count_each_request(oracle: Oracle) -> None:
    def counts() -> dict[str, int]:
        plain = oracle.plain("get_inference_statistics", "any_width", "1")["model_stats"][0]
        tallies = plain["inference_stats"]
        found = {name: int(tallies[name].get("count", 0)) for name in tallies}
        return {**found, "rows": int(plain.get("inference_count", 0))}

    before = counts()
    oracle.infer_all([Asked("any_width", {"IN_FP32": np.zeros((2, 3), np.float32)})] * 3)
    after = counts()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["success"] == grown["queue"] == grown["compute_infer"] == 3
    assert (grown["rows"], grown["fail"]) == (6, 0)


def test_statistics_of_all_models_are_listed(oracle: Oracle) -> None:
    listed = oracle.plain("get_inference_statistics")["model_stats"]
    assert {"add_sub", "identity", "every"} <= {one["name"] for one in listed}


def test_statistics_of_no_model_are_refused(oracle: Oracle) -> None:
    with pytest.raises(InferenceServerException) as caught:
        oracle.does("get_inference_statistics", "nobody")
    assert caught.value.message() == "requested model 'nobody' is not available"


@pytest.mark.triton("4.10", "5.9", "6.13")
def test_models_are_unloaded_and_loaded(oracle: Oracle) -> None:
    def states() -> dict[str, str]:
        index = oracle.plain("get_model_repository_index")
        models = index if oracle.is_http else index["models"]
        return {model["name"]: model.get("state", "") for model in models}

    assert states()["identity"] == "READY"
    oracle.does("unload_model", "identity")
    with pytest.raises(InferenceServerException):
        oracle.infer(Asked("identity", {"INPUT0": np.zeros((1, 16), np.float32)}))
    oracle.does("load_model", "identity")
    assert states()["identity"] == "READY"
    config = oracle.plain("get_model_config", "identity")
    config = config if oracle.is_http else config["config"]
    smaller = {"max_batch_size": 4, "dynamic_batching": {"preferred_batch_size": [4]}}
    oracle.does("load_model", "identity", config=json.dumps({**config, **smaller}))
    with pytest.raises(InferenceServerException, match="batch-size must be <= 4"):
        oracle.infer(Asked("identity", {"INPUT0": np.zeros((5, 16), np.float32)}))
    oracle.does("load_model", "identity")


def test_a_load_that_fails_is_told_why(oracle: Oracle) -> None:
    with pytest.raises(InferenceServerException) as caught:
        oracle.does("load_model", "nobody")
    text = "failed to load 'nobody', failed to poll from model repository"
    assert caught.value.message().startswith(text)
    assert caught.value.status() == ("500" if oracle.is_http else "StatusCode.INTERNAL")


@pytest.mark.triton("6.7")
def test_shared_memory_is_refused_in_words(oracle: Oracle) -> None:
    with pytest.raises(InferenceServerException, match=r"Client shared memory is disabled\."):
        oracle.does("get_system_shared_memory_status")
    with pytest.raises(InferenceServerException, match=r"Client shared memory is disabled\."):
        oracle.does("unregister_cuda_shared_memory")


def test_later_extensions_are_refused_in_words(oracle: Oracle) -> None:
    for method in ("get_trace_settings", "get_log_settings"):
        with pytest.raises(
            InferenceServerException, match="is not served by this version"
        ) as caught:
            oracle.does(method)
        expected = "501" if oracle.is_http else "StatusCode.UNIMPLEMENTED"
        assert caught.value.status() == expected
