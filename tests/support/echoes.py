"""Synthetic models for servers of tests: each hands its input on, in a way of its own."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http

from support.in_thread import Ports

PATIENCE_S = 20
ECHO = """
backend: "synthetic" max_batch_size: %d
input [ { name: "X" data_type: TYPE_FP32 dims: [ %s ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ %s ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
%s
"""


def write_echo(
    repository: Path, name: str, more: str = "", *, batch: int = 8, dims: str = "2"
) -> None:
    """Write a model that hands X on as Y; ``more`` is the rest of its configuration."""
    (repository / name / "1").mkdir(parents=True, exist_ok=True)
    text = ECHO % (batch, dims, dims, more)
    (repository / name / "config.pbtxt").write_text(text, encoding="utf-8")


def manner(**parameters: int) -> str:
    """Say how a synthetic model behaves."""
    return "".join(
        f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}\n'
        for name, value in parameters.items()
    )


def http(ports: Ports) -> Any:
    return tritonclient.http.InferenceServerClient(f"127.0.0.1:{ports.http.port}", concurrency=8)


def grpc(ports: Ports) -> Any:
    return tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{ports.grpc.port}")


def given(module: Any, array: Any, name: str = "X") -> list[Any]:
    """Make the one input of an echo for a client of this module."""
    one = module.InferInput(name, list(array.shape), "FP32")
    one.set_data_from_numpy(array)
    return [one]


def rows(count: int, value: float = 1.0) -> Any:
    return np.full((count, 2), value, np.float32)


REPEAT = '''
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers as often as X says, then with an error if Y is wanted so, then no more."""

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            times = int(pb_utils.get_input_tensor_by_name(request, "X").as_numpy().ravel()[0])
            for number in range(abs(times)):
                tensor = pb_utils.Tensor("Y", np.full((1, 2), number, np.float32))
                sender.send(pb_utils.InferenceResponse([tensor]))
            if times < 0:
                error = pb_utils.TritonError("as you wish")
                sender.send(pb_utils.InferenceResponse([], error))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
'''


def write_repeat(repository: Path, name: str, more: str = "") -> None:
    """Write a decoupled model that answers X times; and with an error more if X is negative."""
    write_echo(repository, name, f"model_transaction_policy {{ decoupled: true }}\n{more}")
    file = repository / name / "config.pbtxt"
    file.write_text(file.read_text().replace("synthetic", "python"), encoding="utf-8")
    (repository / name / "1" / "model.py").write_text(REPEAT, encoding="utf-8")


def stream(server: Ports, model: str, times: float) -> list[Any]:
    """Ask for a stream of answers; give what came, up to the final one."""
    answers: queue.Queue[Any] = queue.Queue()
    with grpc(server) as client:
        client.start_stream(lambda result, error: answers.put(error or result.get_response()))
        client.async_stream_infer(
            model, given(tritonclient.grpc, rows(1, times)), enable_empty_final_response=True
        )
        came = []
        while not came or not _final(came[-1]):
            came.append(answers.get(timeout=PATIENCE_S))
        client.stop_stream()
    return came


def _final(answer: Any) -> bool:
    return bool(
        not isinstance(answer, Exception) and answer.parameters["triton_final_response"].bool_param
    )
