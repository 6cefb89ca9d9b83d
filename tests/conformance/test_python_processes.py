"""Every instance of a Python model has a process of its own, which may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from support.conditions import within
from support.in_thread import Ports
from support.raw_http import ask
from support.served import served
from tritonclient.grpc import InferenceServerClient

#: between these is what a process with an interpreter and numpy has in memory
LEAST_MB, MOST_MB = 10, 200
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "X" data_type: TYPE_INT64 dims: 1 }
output { name: "Y" data_type: TYPE_INT64 dims: 1 }
instance_group { count: %d kind: KIND_CPU }
"""

# Tells its process, or does as it is told.
TELLS = """
import json, os, pathlib, signal, sys, threading
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.stubborn = pathlib.Path(args["model_repository"], "stubborn")
        if pathlib.Path(args["model_repository"], "refuses").exists():
            raise RuntimeError("not with me")
        print("printed by", args["model_instance_name"])
        pb_utils.Logger.log_warn("logged by " + args["model_instance_name"])

    def execute(self, requests):
        answers = []
        for request in requests:
            told = json.loads(request.parameters())
            if "exit" in told:
                os._exit(told["exit"])
            if "kill" in told:
                os.kill(os.getpid(), told["kill"])
            if "wait" in told:
                while not request.is_cancelled() and not os.path.exists(told["wait"]):
                    threading.Event().wait(0.005)
            array = request.inputs()[0].as_numpy()
            answers.append(pb_utils.InferenceResponse(
                [pb_utils.Tensor("Y", array + 1)], None,
                {"pid": os.getpid(), "python": sys.prefix, "writeable": array.flags.writeable}))
        return answers

    def finalize(self):
        while self.stubborn.exists():
            threading.Event().wait(0.005)
"""

TOGETHER = """
import asyncio
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.here, self.all = 0, asyncio.Event()

    async def execute(self, requests):
        self.here += len(requests)
        if self.here == 3:
            self.all.set()
        await self.all.wait()
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", one.inputs()[0].as_numpy())])
                for one in requests]
"""


def write(repository: Path, name: str, text: str, count: int = 1, more: str = "") -> Path:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1/model.py").write_text(text)
    (repository / name / "config.pbtxt").write_text(CONFIG % count + more)
    return repository / name


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("repository")
    write(made, "one", TELLS)
    write(made, "two", TELLS, 2)
    write(made, "together", TOGETHER)
    env = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    (site,) = env.glob("lib/python*/site-packages")
    (site / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    folder = write(
        made,
        "packed",
        TELLS,
        1,
        'parameters { key: "EXECUTION_ENV_PATH" value { '
        'string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } } '
        'parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS" value { string_value: "no" } }',
    )
    with tarfile.open(folder / "env.tar.gz", "w:gz") as packed:
        packed.add(env, ".")
    write(
        made,
        "astray",
        TELLS,
        1,
        'parameters { key: "EXECUTION_ENV_PATH" value { '
        'string_value: "$$TRITON_MODEL_DIRECTORY/nothing" } }',
    )
    return made


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    settings = {"python": {"shm-default-byte-size": "65536", "stub-timeout-seconds": "2"}}
    with served(repository, exit_on_error=False, backend_config=settings) as ports:
        yield ports


def infer(server: Ports, model: str, value: Any = 1, **parameters: Any) -> Any:
    tensor = {"name": "X", "datatype": "INT64", "shape": [1, 1], "data": [value]}
    body = {"inputs": [tensor], "parameters": parameters}
    return ask(server.http.port, "POST", f"/v2/models/{model}/infer", json.dumps(body).encode())


def ready(server: Ports, model: str) -> bool:
    return ask(server.http.port, "GET", f"/v2/models/{model}/ready").status == 200


def pid(server: Ports, model: str) -> int:
    """Ask which process answers; whoever was just killed may be asked, and fail the request."""
    answers: list[Any] = []

    def answered() -> bool:
        answers.append(infer(server, model))
        return bool(answers[-1].status == 200)

    assert within(answered), answers[-1].json
    return int(answers[-1].json["parameters"]["pid"])


@pytest.mark.triton("15.11")
def test_every_instance_has_a_process_and_all_go_with_the_model(server: Ports) -> None:
    before = set(psutil.Process().children())
    assert ask(server.http.port, "POST", "/v2/repository/models/two/unload").status == 200
    assert within(lambda: len(before - set(psutil.Process().children())) == 2)
    assert ask(server.http.port, "POST", "/v2/repository/models/two/load").status == 200
    said = infer(server, "two").json
    assert said["outputs"][0]["data"] == [2]
    assert said["parameters"]["pid"] != os.getpid()
    assert said["parameters"]["writeable"] is False


@pytest.mark.triton("12.1")
def test_the_statistics_say_how_much_memory_a_models_processes_have(server: Ports) -> None:
    (figures,) = ask(server.http.port, "GET", "/v2/models/two/stats").json["model_stats"]
    (used,) = figures["memory_usage"]
    assert (used["type"], used["id"]) == ("CPU", 0)
    assert 2 * LEAST_MB < used["byte_size"] / 1e6 < 2 * MOST_MB
    with InferenceServerClient(f"127.0.0.1:{server.grpc.port}") as client:
        (told,) = client.get_inference_statistics("two").model_stats[0].memory_usage
    assert (told.type, told.id) == ("CPU", 0)
    assert 2 * LEAST_MB < told.byte_size / 1e6 < 2 * MOST_MB


@pytest.mark.triton("15.11")
@pytest.mark.parametrize(
    ("told", "how"),
    [
        ({"exit": 3}, "exited with status 3"),
        ({"kill": int(signal.SIGKILL)}, "was killed by signal 9 (SIGKILL)"),
        ({"kill": int(signal.SIGSEGV)}, "was killed by signal 11 (SIGSEGV)"),
    ],
)
def test_a_death_fails_its_requests_in_words_and_another_process_follows(
    server: Ports, told: Any, how: str
) -> None:
    before = pid(server, "one")
    answer = infer(server, "one", **told)
    assert answer.status == 500
    assert (
        "Failed to process the request(s) for model instance 'one_0_0', message: Stub process"
        f" 'one_0_0' is not healthy: its process {before} {how}"
    ) in answer.json["error"]
    assert within(lambda: ready(server, "one"))
    assert infer(server, "one", 41).json["outputs"][0]["data"] == [42]
    assert pid(server, "one") != before


@pytest.mark.triton("15.11")
def test_a_ctrl_c_at_the_servers_terminal_is_for_the_server_alone(server: Ports) -> None:
    before = pid(server, "one")
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)
    assert pid(server, "one") == before


@pytest.mark.triton("15.11")
def test_a_model_whose_process_cannot_be_had_again_is_not_ready_and_says_why(
    server: Ports, repository: Path
) -> None:
    refuses = repository / "one/refuses"
    refuses.touch()
    os.kill(pid(server, "one"), signal.SIGKILL)
    assert within(lambda: not ready(server, "one"))
    answer = infer(server, "one")
    assert answer.status == 503
    assert "RuntimeError: not with me" in answer.json["error"]
    refuses.unlink()
    assert within(lambda: ready(server, "one"))
    assert infer(server, "one").status == 200


@pytest.mark.triton("15.11")
def test_who_does_not_finish_in_time_is_killed(server: Ports, repository: Path) -> None:
    process = psutil.Process(pid(server, "one"))
    stubborn = repository / "one/stubborn"
    stubborn.touch()
    assert ask(server.http.port, "POST", "/v2/repository/models/one/unload").status == 200
    assert within(lambda: not process.is_running())
    stubborn.unlink()
    assert ask(server.http.port, "POST", "/v2/repository/models/one/load").status == 200


@pytest.mark.triton("15.12")
def test_a_model_brings_its_environment_along_in_an_archive(server: Ports) -> None:
    python = infer(server, "packed").json["parameters"]["python"]
    assert Path(python).name.startswith("python_env_")
    index = ask(server.http.port, "POST", "/v2/repository/index").json
    (astray,) = [one for one in index if one["name"] == "astray"]
    assert "Failed to get the canonical path for" in astray["reason"]


@pytest.mark.triton("15.15")
def test_async_executes_of_a_model_that_is_not_decoupled_run_side_by_side(server: Ports) -> None:
    found: list[Any] = []
    asking = [
        threading.Thread(target=lambda n=n: found.append(infer(server, "together", n).json))
        for n in range(3)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert sorted(one["outputs"][0]["data"][0] for one in found) == [0, 1, 2]


@pytest.mark.triton("15.11")
def test_every_request_is_answered_while_processes_are_killed(server: Ports) -> None:
    there = set(Path("/dev/shm").iterdir())
    outcomes: Counter[int] = Counter()
    errors: list[str] = []

    def client() -> None:
        for number in range(75):
            answer = infer(server, "two", number)
            outcomes[answer.status] += 1
            if answer.status == 200:
                assert answer.json["outputs"][0]["data"] == [number + 1]
            else:
                errors.append(answer.json["error"])

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    for kill in range(5):
        assert within(lambda kill=kill: outcomes.total() >= 50 * kill)
        os.kill(pid(server, "two"), signal.SIGKILL)
    for one in clients:
        one.join(60)
    assert outcomes.total() == 300
    assert all("was killed by signal 9 (SIGKILL)" in one for one in errors)
    assert len(errors) <= 10
    assert within(lambda: ready(server, "two"))
    # What tests beside this one have there goes as well.
    assert within(lambda: set(Path("/dev/shm").iterdir()) <= there)


def test_a_child_does_not_outlive_its_server(tmp_path: Path) -> None:
    write(tmp_path, "one", TELLS)
    code = (
        "import sys, psutil, time\n"
        "from pathlib import Path\n"
        "from engine.backend import Placement\n"
        "from engine.backends.python.backend import Python\n"
        "from engine.modelconfig.convert import loads\n"
        f"text = Path({str(tmp_path)!r}, 'one/config.pbtxt').read_text()\n"
        f"m = Python().load(Path({str(tmp_path)!r}, 'one/1'), loads(text, 'c'), Placement())\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert within(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
