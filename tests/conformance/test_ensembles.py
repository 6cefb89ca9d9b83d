"""Ensembles as a whole: real models, wired; NVIDIA's clients over HTTP and gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from support.ensembles import chain, ensemble, step, tensor, write_echo, write_text
from support.in_thread import Ports
from support.prometheus import of, read
from support.raw_http import ask
from support.served import served
from support.streams import spelled, streaming
from tritonclient.utils import InferenceServerException

from engine import examples
from engine.caches.local import Local
from engine.clock import SystemClock
from engine.execution.host import Host
from engine.memory.system import open_system
from engine.memory.table import RegionTable

SLOW_S = 0.15
BOTH = f"{tensor('Y')}, {tensor('W')}"
LABELS = 'label_filename: "labels.txt"'
SEQUENCE = """sequence_batching { direct { } control_input [ { name: "START"
  control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ] }"""


def _models(repository: Path) -> None:
    write_echo(repository, "a")
    write_echo(repository, "b", more="dynamic_batching { }")
    for name in ("slow1", "slow2"):
        write_echo(repository, name, latency_us=int(SLOW_S * 1e6))
    write_echo(repository, "two", pairs={"X": "Y", "Z": "W"}, optional=("Z",))
    write_echo(repository, "ints", kind="TYPE_INT32", dims=1, batch=0)
    write_echo(repository, "kept", more=SEQUENCE)
    fails = 'parameters { key: "fail_every" value: { string_value: "1" } }'
    write_echo(repository, "fails", more=fails)
    for name in ("repeat_int32", "square_int32"):
        examples.build(name, repository)
    labelled = write_text(
        repository,
        "labelled",
        'backend: "synthetic" max_batch_size: 8 '
        f"input [ {tensor('X')} ] output [ {tensor('Y', more=LABELS)} ]",
    )
    (labelled / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")


def _ensembles(repository: Path) -> None:
    both_slow = (
        step("slow1", {"X": "X"}, {"Y": "p"}),
        step("slow2", {"X": "X"}, {"Y": "q"}),
    )
    texts = {
        "chain": chain("a", "b"),
        "fan": ensemble(
            *both_slow, step("two", {"X": "p", "Z": "q"}, {"Y": "Y", "W": "W"}), outputs=BOTH
        ),
        "apart": ensemble(
            step("a", {"X": "X"}, {"Y": "Y"}),
            step("slow1", {"X": "X"}, {"Y": "W"}),
            outputs=BOTH,
        ),
        "optional": ensemble(
            step("two", {"X": "X", "Z": "Z"}, {"Y": "Y", "W": "W"}),
            inputs=f"{tensor('X')}, {tensor('Z', more='optional: true')}",
            outputs=BOTH,
        ),
        "needs_it": ensemble(
            step("two", {"X": "X", "Z": "Z"}, {"Y": "m", "W": "n"}),
            step("a", {"X": "n"}, {"Y": "W"}),
            step("a", {"X": "m"}, {"Y": "Y"}),
            inputs=f"{tensor('X')}, {tensor('Z', more='optional: true')}",
            outputs=BOTH,
        ),
        "nested": chain("chain", "a"),
        "sequences": chain("a", "kept"),
        "failing": chain("a", "fails"),
        "whole": ensemble(
            step("a", {"X": "X"}, {"Y": "Y"}),
            inputs=tensor("X", dims="-1, 2"),
            outputs=tensor("Y", dims="-1, 2"),
            batch=0,
        ),
        "remembers": chain("slow1", "a", more="response_cache { enable: true }"),
        "says": chain("a", "labelled"),
        "renames": chain("a", "labelled").replace(tensor("Y"), tensor("Y", more=LABELS)),
    }
    for name, text in texts.items():
        write_text(repository, name, text)
    (repository / "renames" / "labels.txt").write_text("lion\nwolf\n", encoding="utf-8")
    ints = {name: tensor(name, "TYPE_INT32", 1) for name in ("OUT", "SQUARE")}
    repeats = {"IN": "IN", "DELAY": "DELAY", "WAIT": "WAIT"}
    asked = ", ".join(
        (
            tensor("IN", "TYPE_INT32", -1),
            tensor("DELAY", "TYPE_UINT32", -1),
            tensor("WAIT", "TYPE_UINT32", 1),
        )
    )
    stream = ensemble(
        step("repeat_int32", repeats, {"OUT": "one", "IDX": "IDX"}),
        step("ints", {"X": "one"}, {"Y": "OUT"}),
        inputs=asked,
        outputs=f"{ints['OUT']}, {tensor('IDX', 'TYPE_UINT32', 1)}",
        batch=0,
        inside="max_inflight_requests: 1",
    )
    write_text(repository, "stream", stream)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    _models(repository)
    _ensembles(repository)
    return repository


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    host = Host(cores=2, cache=Local(1 << 20, SystemClock()))
    regions = RegionTable(open_system, None)
    with served(repository, host=host, regions=regions) as ports:
        yield ports


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Ports) -> Iterator[Any]:
    module, port = {
        "http": (tritonclient.http, server.http.port),
        "grpc": (tritonclient.grpc, server.grpc.port),
    }[request.param]
    with module.InferenceServerClient(f"127.0.0.1:{port}") as made:
        made.module = module
        yield made


def rows(count: int, value: float = 1.0) -> Any:
    return np.full((count, 2), value, np.float32)


def infer(client: Any, model: str, wanted: Sequence[str] = (), **inputs: Any) -> Any:
    given = inputs.pop("given", None) or {"X": rows(1)}
    outputs = [client.module.InferRequestedOutput(name) for name in wanted] or None
    return client.infer(model, spelled(given, client.module), outputs=outputs, **inputs)


def statistics(server: Ports, model: str) -> Any:
    answer = ask(server.http.port, "GET", f"/v2/models/{model}/stats")
    return json.loads(answer.body)["model_stats"][0]


@pytest.mark.triton("9.1", "9.5")
def test_a_chain_answers_as_one_model_with_the_requests_own_id(client: Any) -> None:
    result = infer(client, "chain", given={"X": rows(3, 7.0)}, request_id="mine")
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(3, 7.0))
    told = result.get_response()
    found = told.get if isinstance(told, dict) else lambda name: getattr(told, name)
    assert [found(name) for name in ("id", "model_name", "model_version")] == ["mine", "chain", "1"]
    assert set(found("parameters")) == {"sequence_id", "sequence_start", "sequence_end"}


@pytest.mark.triton("9.1", "2.8")
def test_an_ensemble_is_described_as_one(server: Ports) -> None:
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http.port}") as http:
        assert http.is_model_ready("chain")
        told = http.get_model_metadata("chain")
        assert told["platform"] == "ensemble"
        assert told["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}]
        config = http.get_model_config("chain")
    first = config["ensemble_scheduling"]["step"][0]
    assert (config["platform"], config["backend"]) == ("ensemble", "")
    assert (first["model_name"], first["model_version"]) == ("a", -1)
    assert (first["input_map"], first["output_map"]) == ({"X": "X"}, {"Y": "t1"})
    assert "instance_group" not in config or config["instance_group"] == []


@pytest.mark.triton("9.5")
def test_branches_run_at_the_same_time(client: Any) -> None:
    begun = time.monotonic()
    result = infer(client, "fan", given={"X": rows(2, 3.0)})
    took_s = time.monotonic() - begun
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(2, 3.0))
    np.testing.assert_array_equal(result.as_numpy("W"), rows(2, 3.0))
    assert SLOW_S <= took_s < 1.8 * SLOW_S


@pytest.mark.triton("9.5")
def test_steps_that_no_requested_output_needs_do_not_run(server: Ports, client: Any) -> None:
    before = statistics(server, "slow1")["execution_count"]
    result = infer(client, "apart", ["Y"])
    assert result.as_numpy("W") is None
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(1))
    assert statistics(server, "slow1")["execution_count"] == before


@pytest.mark.triton("9.5")
def test_a_sequences_id_and_flags_reach_the_step_that_keeps_it(client: Any) -> None:
    given = {"X": rows(1, 5.0)}
    result = infer(client, "sequences", given=given, sequence_id=4, sequence_start=True)
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(1, 5.0))
    infer(client, "sequences", given=given, sequence_id=4, sequence_end=True)
    with pytest.raises(InferenceServerException) as caught:
        infer(client, "sequences", given=given, sequence_id=4)
    said = str(caught.value)
    assert "in ensemble 'sequences', " in said
    assert "to model 'kept' must specify the START flag" in said


@pytest.mark.triton("9.6")
def test_an_optional_input_may_be_left_out_and_its_step_does_without(client: Any) -> None:
    result = infer(client, "optional", ["Y"])
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(1))
    given = {"X": rows(1), "Z": rows(1, 9.0)}
    result = infer(client, "optional", given=given)
    np.testing.assert_array_equal(result.as_numpy("W"), rows(1, 9.0))


@pytest.mark.triton("9.8", "9.6")
def test_an_output_that_never_comes_is_a_deadlock_whose_step_and_tensor_are_named(
    client: Any,
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        infer(client, "needs_it", request_id="r")
    said = str(caught.value)
    assert (
        "in ensemble 'needs_it', [request id: r] unexpected deadlock, at least one output is not "
        "set while no more ensemble steps can be made" in said
    )
    assert "step 0 ('two') did not give its output 'W'" in said
    assert "step 1 ('a') needs it: tensor 'n' is its input 'X'" in said
    infer(client, "needs_it", ["Y"])


@pytest.mark.triton("9.8")
def test_a_steps_error_is_the_ensembles_and_names_both(server: Ports, client: Any) -> None:
    before = statistics(server, "failing")["inference_stats"]
    with pytest.raises(InferenceServerException) as caught:
        infer(client, "failing")
    said = str(caught.value)
    assert "in ensemble 'failing', " in said
    assert "model 'fails': run" in said
    assert "step 1, model 'fails': input 'X' is tensor 't1' [1, 2]" in said
    after = statistics(server, "failing")["inference_stats"]
    assert after["fail"]["count"] == before["fail"]["count"] + 1
    assert after["success"]["count"] == before["success"]["count"]


@pytest.mark.triton("9.11")
def test_ensembles_may_be_steps_of_ensembles(client: Any) -> None:
    result = infer(client, "nested", given={"X": rows(4, 2.0)})
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(4, 2.0))


@pytest.mark.triton("9.4")
def test_an_ensemble_that_does_not_batch_may_wrap_a_model_that_does(client: Any) -> None:
    result = infer(client, "whole", given={"X": rows(5, 2.0)})
    np.testing.assert_array_equal(result.as_numpy("Y"), rows(5, 2.0))


@pytest.mark.triton("9.9")
def test_an_ensemble_counts_one_execution_and_the_sums_of_its_steps_times(
    server: Ports, client: Any
) -> None:
    def times(model: str) -> Any:
        told = statistics(server, model)
        return told, told["inference_stats"]["compute_infer"]["ns"]

    (before, began), parts = times("fan"), [times(one)[1] for one in ("slow1", "slow2", "two")]
    infer(client, "fan", given={"X": rows(3)})
    after, ended = times("fan")
    spent = [times(one)[1] for one in ("slow1", "slow2", "two")]
    assert ended - began == sum(spent) - sum(parts)
    assert after["inference_count"] == before["inference_count"] + 3
    assert after["execution_count"] == before["execution_count"] + 1
    counts = {key: one["count"] for key, one in after["inference_stats"].items()}
    assert counts["success"] == counts["queue"] == counts["compute_infer"]
    assert after["inference_stats"]["queue"]["ns"] < 50_000_000
    (batch,) = [one for one in after["batch_stats"] if one["batch_size"] == 3]
    assert batch["compute_infer"]["ns"] >= 2 * SLOW_S * 1e9


@pytest.mark.triton("9.9")
def test_an_ensemble_has_series_of_its_own(server: Ports, client: Any) -> None:
    labels = {"model": "chain", "version": "1"}

    def page() -> Any:
        return read(ask(server.metrics.port, "GET", "/metrics").body.decode())

    before = of(page(), "nv_inference_request_success", **labels)
    infer(client, "chain", given={"X": rows(2)})
    assert of(page(), "nv_inference_request_success", **labels) == before + 1
    assert of(page(), "nv_inference_pending_request_count", **labels) == 0


@pytest.mark.triton("9.10")
def test_an_ensembles_own_responses_are_kept(server: Ports, client: Any) -> None:
    given = {"X": rows(1, time.monotonic())}
    infer(client, "remembers", given=given)
    before = statistics(server, "slow1")["execution_count"]
    result = infer(client, "remembers", given=given)
    np.testing.assert_array_equal(result.as_numpy("Y"), given["X"])
    assert statistics(server, "slow1")["execution_count"] == before
    assert statistics(server, "remembers")["inference_stats"]["cache_hit"]["count"] >= 1


@pytest.mark.triton("2e.2")
def test_an_output_has_the_labels_of_the_model_that_writes_it_or_the_ensembles_own(
    client: Any,
) -> None:
    wanted = [client.module.InferRequestedOutput("Y", class_count=1)]
    given = spelled({"X": np.array([[0, 1]], np.float32)}, client.module)
    for model, label in (("says", "dog"), ("renames", "wolf")):
        result = client.infer(model, given, outputs=wanted)
        assert result.as_numpy("Y").ravel().tolist() == [f"1.000000:1:{label}".encode()]


def _repeat(*values: int) -> Any:
    return {
        "IN": np.array(values, np.int32),
        "DELAY": np.zeros(len(values), np.uint32),
        "WAIT": np.array([0], np.uint32),
    }


@pytest.mark.triton("9.7", "9.12", "2.12")
def test_each_answer_of_a_decoupled_step_flows_on_by_itself_in_order(server: Ports) -> None:
    with streaming(server.grpc.port) as stream:
        stream.send("stream", _repeat(*range(20)), "r", enable_empty_final_response=True)
        came = [stream.next()]
        while not came[-1].final:
            came.append(stream.next())
    answers = [one for one in came if not one.empty]
    assert [one.value("OUT") for one in answers] == [[value] for value in range(20)]
    assert [one.value("IDX") for one in answers] == [[value] for value in range(20)]
    assert {one.id for one in came} == {"r"}
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http.port}") as http:
        assert http.get_model_config("stream")["model_transaction_policy"]["decoupled"] is True
        with pytest.raises(InferenceServerException, match="doesn't support models with decoupled"):
            http.infer("stream", spelled(_repeat(1), tritonclient.http))


@pytest.mark.triton("9.7")
def test_a_decoupled_ensemble_may_answer_never_and_fails_as_its_step_does(server: Ports) -> None:
    with streaming(server.grpc.port) as stream:
        stream.send("stream", _repeat(), "none", enable_empty_final_response=True)
        last = stream.next()
        assert (last.final, last.empty) == (True, True)
        wrong = {**_repeat(1), "DELAY": np.zeros(2, np.uint32)}
        stream.send("stream", wrong, "wrong")
        said = str(stream.next().error)
    assert "in ensemble 'stream', " in said
    assert "expected IN and DELAY to be as long" in said
