"""What an ensemble must be to be loaded, and how it follows the models it is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from support.conditions import within
from support.ensembles import chain, ensemble, step, tensor, write_echo, write_text
from support.in_thread import Ports
from support.raw_http import Answer, ask
from support.served import served
from support.streams import spelled
from tritonclient.utils import InferenceServerException

from engine import examples

TWO = step("a", {"X": "X"}, {"Y": "t"})
REPEATED = {"IN": "X", "DELAY": "D", "WAIT": "W"}
REPEATS = ", ".join(
    (tensor("X", "TYPE_INT32", -1), tensor("D", "TYPE_UINT32", -1), tensor("W", "TYPE_UINT32", 1))
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    write_echo(repository, "a")
    write_echo(repository, "small", batch=4)
    write_echo(repository, "wide", dims=3)
    write_echo(repository, "ints", kind="TYPE_INT32")
    write_echo(repository, "pair", pairs={"X": "Y", "Z": "W"}, kind="TYPE_INT32", dims=1, batch=0)
    write_echo(repository, "slow", latency_us=300_000)
    examples.build("repeat_int32", repository)
    return repository


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    with served(repository) as ports:
        yield ports


def load(server: Ports, name: str, verb: str = "load", body: bytes = b"") -> Answer:
    return ask(server.http.port, "POST", f"/v2/repository/models/{name}/{verb}", body)


def states(server: Ports) -> dict[str, tuple[str, str]]:
    answer = ask(server.http.port, "POST", "/v2/repository/index")
    return {
        one["name"]: (one.get("state", ""), one.get("reason", ""))
        for one in json.loads(answer.body)
    }


BROKEN = [
    (
        chain("a", more="instance_group { count: 2 }"),
        "instance group should not be specified for ensemble 'e'",
    ),
    (
        chain("a", more="optimization { priority: PRIORITY_MAX }"),
        "optimization should not be specified for ensemble 'e'",
    ),
    (
        chain("a", more='model_warmup { name: "w" }'),
        "model_warmup can not be specified for ensemble 'e'",
    ),
    (
        ensemble(step("a", {"X": "X"}, {})),
        "must specify 'output_map' in step 0 of ensemble 'e'",
    ),
    (
        ensemble(step("a", {"X": "X"}, {"Y": "Y"}), step("a", {"X": "X"}, {"Y": "Y"})),
        "can appear in an output map only once for ensemble 'e' step 1",
    ),
    (
        ensemble(TWO, step("a", {"X": "X"}, {"Y": "Y"})),
        "ensemble tensor 't' is unused in ensemble 'e'",
    ),
    (
        ensemble(step("a", {"X": "nowhere"}, {"Y": "Y"})),
        "output 'Y' for ensemble 'e' is not written",
    ),
    (
        chain("ints"),
        (
            "in ensemble e, ensemble tensor X: inconsistent data type: TYPE_FP32 is inferred from "
            "model e while TYPE_INT32 is inferred from model ints"
        ),
    ),
    (
        chain("a", "wide"),
        (
            "in ensemble e, ensemble tensor t1: inconsistent shape: [-1,2] is inferred from model "
            "a while [-1,3] is inferred from model wide"
        ),
    ),
    (
        chain("small"),
        (
            "ensemble e allows maximum batch size 8, but it contains model small which only allows "
            "maximum batch size to be 4"
        ),
    ),
    (
        ensemble(
            step("pair", {"X": "X"}, {"Y": "Y"}),
            inputs=tensor("X", "TYPE_INT32", 1),
            outputs=tensor("Y", "TYPE_INT32", 1),
            batch=0,
        ),
        "step 'pair' of ensemble 'e' lacks input 'Z'",
    ),
    (
        ensemble(
            step("repeat_int32", REPEATED, {"OUT": "p"}),
            step("repeat_int32", REPEATED, {"OUT": "q"}),
            step("pair", {"X": "p", "Z": "q"}, {"Y": "Y"}),
            inputs=REPEATS,
            outputs=tensor("Y", "TYPE_INT32", 1),
            batch=0,
        ),
        "receives inputs originated from different decoupled models",
    ),
    (
        chain("a", "absent"),
        "ensemble e contains models that are not available or ambiguous: absent",
    ),
    (
        chain("a", "e"),
        "circular dependency between ensembles: e",
    ),
]


@pytest.mark.triton("9.2", "9.3", "9.4", "9.7", "9.11", "3.12", "2d.3")
@pytest.mark.parametrize(("text", "expected"), BROKEN)
def test_what_does_not_hold_together_is_not_loaded_and_says_why(
    repository: Path, server: Ports, text: str, expected: str
) -> None:
    write_text(repository, "e", text)
    answer = load(server, "e")
    assert answer.status == 400
    said = json.loads(answer.body)["error"]
    assert said.startswith("load failed for model 'e': ")
    assert expected in said
    load(server, "e", "unload")


def _infer(http: Any, value: float) -> Any:
    given = np.full((1, 2), value, np.float32)
    return http.infer("e", spelled({"X": given}, tritonclient.http)).as_numpy("Y").ravel().tolist()


@pytest.mark.triton("9.13", "3.12")
def test_an_ensemble_goes_and_comes_back_with_its_models(repository: Path, server: Ports) -> None:
    write_text(repository, "e", chain("a", "small", batch=4))
    assert load(server, "e").status == 200
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http.port}") as http:
        assert _infer(http, 1.0) == [1.0, 1.0]
        load(server, "small", "unload")
        assert not http.is_model_ready("e")
        state, why = states(server)["e"]
        assert state == "UNAVAILABLE"
        assert "not available or ambiguous: small" in why
        with pytest.raises(InferenceServerException, match="unknown model: 'e'"):
            _infer(http, 1.0)
        assert load(server, "small").status == 200
        assert http.is_model_ready("e")
        assert _infer(http, 2.0) == [2.0, 2.0]
    load(server, "e", "unload")


@pytest.mark.triton("9.13")
def test_requests_under_way_end_with_the_models_they_began_with(
    repository: Path, server: Ports
) -> None:
    write_text(repository, "e", chain("a", "slow", "small", batch=4))
    before = _executions(server, "a")
    assert load(server, "e").status == 200
    url = f"127.0.0.1:{server.http.port}"
    with (
        tritonclient.http.InferenceServerClient(url, concurrency=4) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        under_way = pool.submit(_infer, http, 3.0)
        assert within(lambda: _executions(server, "a") > before)
        load(server, "small", "unload")
        assert under_way.result(20) == [3.0, 3.0]
    assert within(lambda: states(server)["small"][0] == "UNAVAILABLE")
    assert load(server, "small").status == 200
    load(server, "e", "unload")


def _executions(server: Ports, model: str) -> int:
    answer = ask(server.http.port, "GET", f"/v2/models/{model}/stats")
    count: int = json.loads(answer.body)["model_stats"][0]["execution_count"]
    return count


@pytest.mark.triton("9.1")
def test_the_example_answers_as_its_models_do_one_after_the_other(tmp_path: Path) -> None:
    for name in ("preprocess", "mobilenet", "ensemble"):
        examples.build(name, tmp_path)
    image = np.arange(224 * 224 * 3, dtype=np.uint32).astype(np.uint8).reshape(1, 224, 224, 3)
    with (
        served(tmp_path) as server,
        tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http.port}") as http,
    ):
        planes = http.infer("preprocess", spelled({"IMAGE": image}, tritonclient.http))
        given = {"input": planes.as_numpy("PLANES")}
        logits = http.infer("mobilenet", spelled(given, tritonclient.http)).as_numpy("output")
        whole = http.infer("ensemble", spelled({"IMAGE": image}, tritonclient.http))
        np.testing.assert_allclose(whole.as_numpy("LOGITS"), logits, rtol=1e-5, atol=1e-6)
