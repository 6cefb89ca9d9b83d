"""Python models behind a real server, with NVIDIA's four clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.in_thread import Ports
from support.oracle_clients import Asked, Oracle
from support.raw_http import ask
from support.served import served
from support.streams import streaming
from tritonclient.utils import InferenceServerException

from engine import examples

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")

# Completes its own configuration, and does as it is told by request parameters.
TALL = """
import json
import numpy as np
import sister
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        for name in ("NUMBERS", "TEXTS"):
            kind = "TYPE_FP32" if name == "NUMBERS" else "TYPE_STRING"
            config.add_input({"name": name, "data_type": kind, "dims": [-1], "optional": True})
            config.add_output({"name": "SAME_" + name, "data_type": kind, "dims": [-1]})
        config.set_max_batch_size(8)
        config.set_dynamic_batching()
        return config

    def initialize(self, args):
        self.args = args

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        told = json.loads(request.parameters())
        if "raise" in told:
            raise ValueError(told["raise"])
        if "fail" in told:
            code = getattr(pb_utils.TritonError, told["fail"])
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("as you wish", code))
        outputs = [
            pb_utils.Tensor("SAME_" + one.name(), one.as_numpy())
            for one in request.inputs()
            if "SAME_" + one.name() in request.requested_output_names()
        ]
        said = {"id": request.request_id(), "sister": sister.NAME, "half": 0.5, "yes": True}
        return pb_utils.InferenceResponse(outputs, None, said)

    def finalize(self):
        open(self.args["model_repository"] + "/finalized", "w").close()
"""

MOODY = """
import pathlib

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({{"name": "X", "data_type": "TYPE_FP32", "dims": [-1]}})
        config.add_output({{"name": "Y", "data_type": "TYPE_FP32", "dims": [-1]}})
        return config

    def initialize(self, args):
        self.mood = pathlib.Path(args["model_repository"], "mood")

    {word}def execute(self, requests):
        return []

    {word}def is_ready(self):
        return eval(self.mood.read_text())
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("repository")
    for name in ("simple_sequence", "simple_dyna_sequence", "implicit_state"):
        examples.build(name, made)
    for name in ("tall", "twin"):
        (made / name / "1").mkdir(parents=True)
        (made / name / "1/model.py").write_text(TALL)
        (made / name / "sister.py").write_text(f"NAME = {name!r}")
    for name, word in (("moody", ""), ("moody_too", "async ")):
        (made / name / "1").mkdir(parents=True)
        (made / name / "1/model.py").write_text(MOODY.format(word=word))
    (made / "broken/1").mkdir(parents=True)
    (made / "broken/1/model.py").write_text("import there_is_no_such_module")
    return made


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    with served(repository, exit_on_error=False) as ports:
        yield ports


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


NUMBERS = np.array([[1.5, -2.0], [0.0, 3.25]], np.float32)
TEXTS = np.array([["ä".encode(), b""], [b"b", b"\xff\x00"]], np.object_)


@pytest.mark.triton("15.3", "15.5", "15.6", "15.16")
def test_tensors_texts_and_parameters_go_there_and_back(client: Oracle) -> None:
    for model in ("tall", "twin"):
        asked = Asked(model, {"NUMBERS": NUMBERS, "TEXTS": TEXTS}, more={"request_id": "one"})
        result = client.infer(asked)
        np.testing.assert_array_equal(result.as_numpy("SAME_NUMBERS"), NUMBERS)
        np.testing.assert_array_equal(result.as_numpy("SAME_TEXTS"), TEXTS)
        response = result.get_response()
        if client.is_http:
            parameters = response["parameters"]
        else:
            parameters = {
                name: getattr(one, one.WhichOneof("parameter_choice"))
                for name, one in response.parameters.items()
            }
        assert parameters == {"id": "one", "sister": model, "half": 0.5, "yes": True}


@pytest.mark.triton("15.4")
def test_only_the_outputs_that_are_asked_for_come(client: Oracle) -> None:
    result = client.infer(Asked("tall", {"NUMBERS": NUMBERS, "TEXTS": TEXTS}, ("SAME_TEXTS",)))
    assert result.as_numpy("SAME_NUMBERS") is None
    np.testing.assert_array_equal(result.as_numpy("SAME_TEXTS"), TEXTS)


@pytest.mark.triton("15.1")
def test_a_model_completes_its_own_configuration(client: Oracle, server: Ports) -> None:
    metadata = client.plain("get_model_metadata", "tall")
    assert [one["name"] for one in metadata["inputs"]] == ["NUMBERS", "TEXTS"]
    assert metadata["platform"] == "python"
    config = ask(server.http.port, "GET", "/v2/models/tall/config").json
    assert config["max_batch_size"] == 8
    assert config["dynamic_batching"]
    assert config["backend"] == "python"
    assert config["default_model_filename"] == "model.py"
    assert [one["optional"] for one in config["input"]] == [True, True]


@pytest.mark.triton("15.3", "15.7")
@pytest.mark.parametrize(
    ("told", "http", "grpc", "text"),
    [
        (
            {"raise": "not today"},
            "500",
            "INTERNAL",
            "for model 'tall', message: ValueError: not today\n\nAt:\n",
        ),
        ({"fail": "INVALID_ARG"}, "400", "INVALID_ARGUMENT", "as you wish"),
        ({"fail": "NOT_FOUND"}, "404", "NOT_FOUND", "as you wish"),
        ({"fail": "UNAVAILABLE"}, "503", "UNAVAILABLE", "as you wish"),
    ],
)
def test_what_a_model_raises_or_answers_reaches_the_client(
    client: Oracle, told: Any, http: str, grpc: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(Asked("tall", {"NUMBERS": NUMBERS}, more={"parameters": told}))
    assert text in refused.value.message()
    assert refused.value.status() == (http if client.is_http else f"StatusCode.{grpc}")


@pytest.mark.triton("15.1")
def test_a_model_that_cannot_be_imported_is_not_ready_and_says_why(server: Ports) -> None:
    index = ask(server.http.port, "POST", "/v2/repository/index").json
    (broken,) = [one for one in index if one["name"] == "broken"]
    assert broken["state"] == "UNAVAILABLE"
    assert "ModuleNotFoundError: No module named 'there_is_no_such_module'" in broken["reason"]


@pytest.mark.triton("15.1")
def test_finalize_is_called_when_a_model_is_unloaded(server: Ports, repository: Path) -> None:
    mark = repository / "twin/finalized"
    assert not mark.exists()
    assert ask(server.http.port, "POST", "/v2/repository/models/twin/unload").status == 200
    assert within(mark.exists)
    assert ask(server.http.port, "POST", "/v2/repository/models/twin/load").status == 200
    tensor = {"name": "NUMBERS", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    again = ask(
        server.http.port,
        "POST",
        "/v2/models/twin/infer",
        json.dumps({"inputs": [tensor]}).encode(),
    )
    assert again.json["parameters"]["sister"] == "twin"


@pytest.mark.triton("15.1")
def test_a_model_is_asked_whether_it_is_ready(client: Oracle, repository: Path) -> None:
    for model in ("moody", "moody_too"):
        mood = repository / model / "mood"
        for said in ("True", "False", "1 / 0"):
            mood.write_text(said)
            ready = client.does("is_model_ready", model)
            assert (model, said, ready) == (model, said, said == "True")


@pytest.mark.triton("15.4", "15.8")
@pytest.mark.parametrize(
    ("model", "ends"),
    [("simple_sequence", 0), ("simple_dyna_sequence", 1), ("implicit_state", 0)],
)
def test_python_models_see_their_sequences(server: Ports, model: str, ends: int) -> None:
    with streaming(server.grpc.port) as stream:
        values = (11, 7, 5, 3)
        for place, value in enumerate(values):
            for sequence in (1001, 1002):
                stream.send(
                    model,
                    {"INPUT": np.array([[value * (sequence - 1000)]], np.int32)},
                    f"{sequence}_{place}",
                    sequence_id=sequence,
                    sequence_start=place == 0,
                    sequence_end=place == len(values) - 1,
                )
        came = [stream.next() for _ in range(2 * len(values))]
    assert [one.error for one in came] == [None] * len(came)
    totals = {one.id: one.value("OUTPUT") for one in came}
    for sequence in (1001, 1002):
        factor = sequence - 1000
        found = [totals[f"{sequence}_{place}"] for place in range(len(values))]
        assert found == [
            [11 * factor],
            [18 * factor],
            [23 * factor],
            [26 * factor + ends * sequence],
        ]
