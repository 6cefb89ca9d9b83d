"""Python models that call the server's other models, load them, and count for themselves."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from support.conditions import within
from support.in_thread import Ports
from support.raw_http import ask
from support.served import served

from engine import examples

CONFIG = """
backend: "python"
input { name: "X" data_type: TYPE_INT64 dims: -1 }
output { name: "Y" data_type: TYPE_INT64 dims: -1 }
"""
INSIDE = 'parameters { key: "IN_PROCESS" value { string_value: "true" } }'
DECOUPLED = "model_transaction_policy { decoupled: true }"
ONE = "instance_group { count: 1 kind: KIND_CPU }"

# Does as the request's parameters say, and tells what came of it in the response's.
CALLER = """
import asyncio, json, os
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import triton_python_backend_utils as pb_utils

def tell(**told):
    return pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()]))], None, told)

def values(answers):
    return json.dumps([one.output_tensors()[0].as_numpy().tolist() for one in answers
                       if one.output_tensors()])

class TritonPythonModel:
    def initialize(self, args):
        self.name = args["model_name"]
        request = pb_utils.InferenceRequest(
            model_name="told", requested_output_names=["Y"],
            inputs=[pb_utils.Tensor("X", np.array([1]))])
        self.early = request.exec().error().message()
        self.ready = pb_utils.is_model_ready("told")

    def request(self, model, value=1, **more):
        return pb_utils.InferenceRequest(
            model_name=model, requested_output_names=["Y"],
            inputs=[pb_utils.Tensor("X", np.array([value]))], **more)

    def execute(self, requests):
        answers = []
        for request in requests:
            given = json.loads(request.parameters())
            do = getattr(self, given.pop("do"))
            answers.append(do(**given))
        return answers

    def once(self, model, **more):
        answer = self.request(model, **more).exec()
        if answer.has_error():
            return tell(error=answer.error().message(), code=answer.error().code())
        found = pb_utils.get_output_tensor_by_name(answer, "Y")
        assert not found.as_numpy().flags.writeable
        passed = pb_utils.Tensor.from_dlpack("Y", found.to_dlpack())
        return pb_utils.InferenceResponse([passed], None, json.loads(answer.parameters()))

    def whole(self, model):
        return self.once(
            model, request_id="seven", correlation_id=9, model_version=1, timeout=5_000_000,
            priority=1, flags=pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
            parameters={"own": 0.5},
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU))

    def together(self, model):
        async def all_of_them():
            return await asyncio.gather(*(self.request(model, n).async_exec() for n in range(3)))
        return tell(values=values(asyncio.run(all_of_them())))

    def threads(self, model):
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda n: self.request(model, n).exec(), range(3)))
        if answers[0].has_error():
            return tell(error=answers[0].error().message())
        return tell(values=values(answers))

    def stream(self, model, value):
        return tell(values=values(self.request(model, value).exec(decoupled=True)))

    def astream(self, model, value):
        async def all_of_them():
            found = await self.request(model, value).async_exec(decoupled=True)
            return [one async for one in found]
        return tell(values=values(asyncio.run(all_of_them())))

    def cut(self, model, value):
        found = self.request(model, value).exec(decoupled=True)
        first = next(found)
        found.cancel()
        rest = list(found)
        ends = [one.error().code() for one in rest if one.has_error()]
        return tell(first=values([first]), ends=json.dumps(ends), fewer=len(rest) < value)

    def given_up(self, model):
        async def soon():
            await asyncio.wait_for(self.request(model).async_exec(), 0.05)
        try:
            asyncio.run(soon())
        except TimeoutError:
            return tell(gave_up=True)

    def early_words(self):
        return tell(error=self.early, ready=self.ready)

    def load(self, model, config="", file="", text=""):
        files = {file: text.encode()} if file else None
        try:
            pb_utils.load_model(model_name=model, config=config, files=files)
        except pb_utils.TritonModelException as fault:
            return tell(error=str(fault), ready=pb_utils.is_model_ready(model))
        return tell(ready=pb_utils.is_model_ready(model, "1"))

    def unload(self, model):
        pb_utils.unload_model(model)
        return tell(ready=pb_utils.is_model_ready(model_name=model))
"""
# Adds one, and tells what its request says.
TOLD = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("Y", one.inputs()[0].as_numpy() + 1)], None,
                {"told": json.dumps([one.request_id(), one.correlation_id(), one.flags(),
                                     one.timeout(), one.priority(), one.parameters()])})
            for one in requests
        ]
"""
# Counts up, and ends when it is told to.
COUNTS = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for number in range(request.inputs()[0].as_numpy()[0]):
                if sender.is_cancelled():
                    error = pb_utils.TritonError("cut", pb_utils.TritonError.CANCELLED)
                    sender.send(pb_utils.InferenceResponse(error=error))
                    break
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([number]))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
# Waits until it is not wanted any more, and says so.
WAITS = """
import pathlib, threading
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.folder = pathlib.Path(args["model_repository"])

    def execute(self, requests):
        (self.folder / "came").touch()
        while not requests[0].is_cancelled():
            threading.Event().wait(0.005)
        (self.folder / "cancelled").touch()
        return [pb_utils.InferenceResponse(requests[0].inputs()) for _ in requests]
"""
# Counts its requests, beside all other instances and models that do.
METERS = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        Family = pb_utils.MetricFamily
        self.seen = Family("own_requests", "Requests of its own", Family.COUNTER)
        self.all = self.seen.Metric({"who": "all"})
        self.level = Family("own_level", "How high", Family.GAUGE).Metric()
        self.sizes = Family("own_sizes", "How large", Family.HISTOGRAM).Metric(
            labels={"a": "b"}, buckets=[1, 2.5, 10])

    def execute(self, requests):
        answers = []
        for request in requests:
            value = request.inputs()[0].as_numpy()
            self.all.increment(1)
            self.level.set(4.5)
            self.level.increment(-1)
            self.sizes.observe(float(value[0]))
            told = json.loads(request.parameters())
            said = {}
            for name, text in told.items():
                try:
                    eval(text)
                except pb_utils.TritonModelException as fault:
                    said[name] = str(fault)
            short = self.seen.Metric(labels={"who": "short"})
            short.increment(2)
            assert short.value() >= 2
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor(
                "Y", np.array([self.all.value()]).astype(np.int64))], None, said))
        return answers
"""


def write(repository: Path, name: str, text: str, config: str = "") -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1/model.py").write_text(text)
    (repository / name / "config.pbtxt").write_text(CONFIG + config)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("repository")
    examples.build("bls", made)
    write(made, "told", TOLD, INSIDE)
    write(made, "counts", COUNTS, INSIDE + DECOUPLED)
    write(made, "waits", WAITS, INSIDE)
    write(made, "meters", METERS, ONE.replace("1", "2"))
    write(made, "meters_inside", METERS, INSIDE + ONE)
    write(made, "caller", CALLER, ONE)
    write(made, "caller_inside", CALLER, INSIDE + ONE)
    circle = CONFIG.replace('backend: "python"', 'platform: "ensemble"')
    wires = 'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }'
    for name in ("caller", "caller_inside"):
        (made / f"around_{name}/1").mkdir(parents=True)
        (made / f"around_{name}/config.pbtxt").write_text(
            f'{circle} ensemble_scheduling {{ step {{ model_name: "{name}" model_version: -1'
            f" {wires} }} }}"
        )
    return made


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    with served(repository, exit_on_error=False) as ports:
        yield ports


@pytest.fixture(params=["caller", "caller_inside"])
def caller(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def infer(server: Ports, caller: str, do: str, **given: Any) -> Any:
    tensor = {"name": "X", "datatype": "INT64", "shape": [1], "data": [1]}
    body = {"inputs": [tensor], "parameters": {"do": do, **given}}
    answer = ask(server.http.port, "POST", f"/v2/models/{caller}/infer", json.dumps(body).encode())
    assert answer.status == 200, answer.json
    return answer.json


def told(server: Ports, caller: str, do: str, **given: Any) -> Any:
    return infer(server, caller, do, **given)["parameters"]


def nothing(result: object, error: object) -> None:
    """Take an answer that nobody asks for."""


@pytest.mark.triton("15.9")
def test_a_model_calls_another_and_all_that_it_says_arrives(server: Ports, caller: str) -> None:
    answer = infer(server, caller, "once", model="told", value=41)
    assert answer["outputs"][0]["data"] == [42]
    answer = infer(server, caller, "whole", model="told")
    assert json.loads(answer["parameters"]["told"]) == [
        "seven", 9, 1, 5_000_000, 1, '{"own": 0.5}',
    ]  # fmt: skip


@pytest.mark.triton("15.9")
@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        ({"model": "nobody"}, "Model 'nobody' is not ready.", 2),
        ({"model": "told", "model_version": 7}, "Model 'told' is not ready.", 2),
        ({"model": "counts"}, "Please use 'decoupled=True' argument to the 'exec'", 5),
        ({"model": "caller"}, None, None),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_the_response(
    server: Ports, caller: str, given: Any, said: str | None, code: int | None
) -> None:
    if said is None:  # by itself, whose one instance it holds
        given, said, code = {"model": caller}, f"the chain of calls {caller} -> {caller} came", 4
    answer = told(server, caller, "once", **given)
    assert said in answer["error"]
    assert answer["code"] == code


@pytest.mark.triton("15.9")
def test_no_circle_of_calls_hangs(server: Ports, caller: str) -> None:
    around = told(server, caller, "once", model=f"around_{caller}")
    assert f"the chain of calls {caller} -> around_{caller} came back" in around["error"]
    assert "came back to a model" in told(server, caller, "threads", model=caller)["error"]


@pytest.mark.triton("15.9")
def test_calls_run_side_by_side_from_tasks_and_threads(server: Ports, caller: str) -> None:
    for do in ("together", "threads"):
        assert json.loads(told(server, caller, do, model="told")["values"]) == [[1], [2], [3]]


@pytest.mark.triton("15.9")
def test_a_decoupled_models_answers_are_iterated_over_and_cut_short(
    server: Ports, caller: str
) -> None:
    for do in ("stream", "astream"):
        answer = told(server, caller, do, model="counts", value=3)
        assert json.loads(answer["values"]) == [[0], [1], [2]]
        answer = told(server, caller, do, model="told", value=3)
        assert json.loads(answer["values"]) == [[4]]
    answer = told(server, caller, "cut", model="counts", value=1_000_000)
    assert json.loads(answer["first"]) == [[0]]
    assert answer["fewer"] is True
    assert json.loads(answer["ends"]) == [7]  # cancelled, by the model that saw it


@pytest.mark.triton("15.9")
def test_before_it_executes_a_model_may_ask_for_models_and_call_none(
    server: Ports, caller: str
) -> None:
    words = told(server, caller, "early_words")
    assert words["error"] == "BLS is supported only during the 'execute' function."


@pytest.mark.triton("15.9")
def test_a_model_loads_and_unloads_others(server: Ports, caller: str) -> None:
    tensor = {"data_type": "TYPE_INT64", "dims": [-1]}
    whole = {"backend": "python", "parameters": {"IN_PROCESS": {"string_value": "true"}}}
    whole |= {"input": [{"name": "X", **tensor}], "output": [{"name": "Y", **tensor}]}
    config = json.dumps(whole)
    given = {"model": "sent", "config": config, "file": "file:1/model.py", "text": TOLD}
    assert told(server, caller, "load", **given)["ready"] is True
    assert infer(server, caller, "once", model="sent")["outputs"][0]["data"] == [2]
    assert told(server, caller, "unload", model="sent")["ready"] is False
    said = told(server, caller, "load", model="nowhere")
    assert said["error"].startswith("Failed to load model: ")
    assert "nowhere" in said["error"]
    assert said["ready"] is False
    assert told(server, caller, "load", model=caller)["ready"] is True  # itself


@pytest.mark.triton("15.9")
def test_what_nobody_waits_for_any_more_is_taken_back(
    server: Ports, caller: str, repository: Path
) -> None:
    came, cancelled = repository / "waits/came", repository / "waits/cancelled"

    def begun() -> bool:
        return within(came.exists)

    for left in (came, cancelled):
        left.unlink(missing_ok=True)
    assert told(server, caller, "given_up", model="waits")["gave_up"] is True
    assert within(cancelled.exists)
    came.unlink()
    cancelled.unlink()
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc.port}") as client:
        given = tritonclient.grpc.InferInput("X", [1], "INT64")
        given.set_data_from_numpy(np.array([1]))
        call = client.async_infer(
            caller, [given], nothing, parameters={"do": "once", "model": "waits"}
        )
        assert begun()
        assert not cancelled.exists()
        call.cancel()
        assert within(cancelled.exists)
        came.unlink()
        cancelled.unlink()
        if caller == "caller_inside":
            return
        pid = infer(server, caller, "together", model="told")["outputs"][0]["data"][0]
        client.async_infer(caller, [given], nothing, parameters={"do": "once", "model": "waits"})
        assert begun()
        os.kill(pid, signal.SIGKILL)
        assert within(cancelled.exists)


@pytest.mark.triton("15.9")
def test_the_example_has_the_model_compute_that_it_is_told(server: Ports) -> None:
    def asked(name: str) -> Any:
        body = {
            "inputs": [
                {"name": "MODEL_NAME", "datatype": "BYTES", "shape": [1, 1], "data": [name]},
                *(
                    {"name": one, "datatype": "FP32", "shape": [1, 16], "data": [value] * 16}
                    for one, value in (("INPUT0", 3.0), ("INPUT1", 0.5))
                ),
            ]
        }
        return ask(server.http.port, "POST", "/v2/models/bls/infer", json.dumps(body).encode()).json

    answer = {one["name"]: one["data"] for one in asked("add_sub")["outputs"]}
    assert answer == {"OUTPUT0": [3.5] * 16, "OUTPUT1": [2.5] * 16}
    assert "Model 'nobody' is not ready." in asked("nobody")["error"]


def page(server: Ports) -> list[str]:
    answer = ask(server.metrics.port, "GET", "/metrics")
    return [one for one in answer.body.decode().splitlines() if "own_" in one]


@pytest.mark.triton("12.12", "15.10")
def test_instances_and_models_count_in_the_same_series_until_all_are_gone(server: Ports) -> None:
    def counted(model: str, size: int, **wrong: str) -> Any:
        tensor = {"name": "X", "datatype": "INT64", "shape": [1], "data": [size]}
        body = json.dumps({"inputs": [tensor], "parameters": wrong}).encode()
        answer = ask(server.http.port, "POST", f"/v2/models/{model}/infer", body)
        assert answer.status == 200, answer.json
        return answer.json

    for value in (1, 2, 3):
        counted("meters", value)
    said = counted(
        "meters_inside",
        100,
        less="self.all.increment(-1)",
        set="self.all.set(3)",
        observe="self.level.observe(3)",
        value="self.sizes.value()",
        clash="pb_utils.MetricFamily('own_level', '', pb_utils.MetricFamily.COUNTER)",
        ours="pb_utils.MetricFamily('nv_inference_count', '', pb_utils.MetricFamily.COUNTER)",
        part="pb_utils.MetricFamily('own_sizes_sum', '', pb_utils.MetricFamily.COUNTER)",
        kind="pb_utils.MetricFamily('own_kind', '', 1)",
        buckets="pb_utils.MetricFamily('own_h', '', pb_utils.MetricFamily.HISTOGRAM).Metric()",
    )
    assert said["outputs"][0]["data"] == [4]
    assert {name: text.partition(": ")[2] or text for name, text in said["parameters"].items()} == {
        "less": "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by"
        " non-negative values.",
        "set": "TRITONSERVER_METRIC_KIND_COUNTER does not support Set",
        "observe": "TRITONSERVER_METRIC_KIND_GAUGE does not support Observe",
        "value": "TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Value",
        "clash": "metric family 'own_level': Family name already exists with different type (gauge,"
        " not counter)",
        "ours": "metric family 'nv_inference_count': such a name is the server's own",
        "part": "metric family 'own_sizes_sum': 'own_sizes' has series of such a name",
        "kind": "kind is a int, not one of pb_utils.MetricFamily.COUNTER, GAUGE and HISTOGRAM",
        "buckets": "metric 'own_h': a histogram needs buckets: bounds that grow, not []",
    }
    expected = [
        "# HELP own_level How high",
        "# TYPE own_level gauge",
        "own_level 3.5",
        "# HELP own_requests Requests of its own",
        "# TYPE own_requests counter",
        'own_requests{who="all"} 4',
        "# HELP own_sizes How large",
        "# TYPE own_sizes histogram",
        'own_sizes_bucket{a="b",le="1"} 1',
        'own_sizes_bucket{a="b",le="2.5"} 2',
        'own_sizes_bucket{a="b",le="10"} 3',
        'own_sizes_bucket{a="b",le="+Inf"} 4',
        'own_sizes_sum{a="b"} 106',
        'own_sizes_count{a="b"} 4',
    ]
    assert within(lambda: page(server) == expected), page(server)  # short has been let go of
    for name in ("meters_inside", "meters"):
        assert page(server) == expected
        assert ask(server.http.port, "POST", f"/v2/repository/models/{name}/unload").status == 200
        assert within(lambda name=name: name == "meters_inside" or not page(server))


@pytest.mark.triton("15.9")
def test_a_model_that_is_loaded_may_load_others_but_wait_for_no_circle(
    server: Ports, repository: Path
) -> None:
    text = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        pb_utils.load_model("{other}")

    def execute(self, requests):
        return [pb_utils.InferenceResponse(error=pb_utils.TritonError("none")) for _ in requests]
"""
    for name, other in (("first", "second"), ("second", "told"), ("third", "first")):
        write(repository, name, text.format(other=other), INSIDE)
    write(repository, "itself", text.format(other="itself"), ONE)
    write(repository, "to", text.format(other="fro"), INSIDE)
    write(repository, "fro", text.format(other="to"), INSIDE)

    def load(name: str) -> Any:
        return ask(server.http.port, "POST", f"/v2/repository/models/{name}/load")

    assert load("third").status == 200
    assert infer(server, "caller", "load", model="second")["parameters"]["ready"] is True
    for name, asked in (("itself", "itself"), ("to", "to")):
        answer = load(name)
        assert answer.status == 400
        assert f"asks for {asked} while {name} is being loaded" in answer.json["error"]
