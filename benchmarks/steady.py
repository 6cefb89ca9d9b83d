"""A client that asks one model again and again, one request at a time, until it is told to stop.

``python -m benchmarks.steady http|grpc ADDRESS MODEL``: NVIDIA's own client, in a process of its
own. It says ``ready`` when it has its first answer, stops when its standard input ends, and
then says as JSON how often it asked, what failed, and how long answers took. Every answer must
be what the first one was.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

_NUMPY = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8}
_MOST_TOLD = 3


@dataclass(slots=True)
class Account:
    """What came of asking."""

    requests: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    latency_us: list[float] = field(default_factory=list)


def ask(protocol: str, address: str, model: str) -> Account:
    """Ask until standard input ends."""
    module = import_module(f"tritonclient.{protocol}")
    client = module.InferenceServerClient(address)
    form = {} if protocol == "http" else {"as_json": True}
    tensors = client.get_model_metadata(model, **form)["inputs"]
    inputs = [_given(module, one) for one in tensors]
    expected = _asked(client, model, inputs)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    account = Account()
    while not ended.is_set():
        account.requests += 1
        begun_ns = time.perf_counter_ns()
        try:
            found = _asked(client, model, inputs)
            account.latency_us.append((time.perf_counter_ns() - begun_ns) / 1e3)
            if not all(np.allclose(found[name], expected[name]) for name in expected):
                raise ValueError("the answer is another one")  # noqa: TRY301 - counted like any failure
        except Exception as fault:  # noqa: BLE001 - any failure counts
            account.failed += 1
            if len(account.errors) < _MOST_TOLD:
                account.errors.append(f"{type(fault).__name__}: {fault}")
    return account


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _given(module: Any, tensor: dict[str, Any]) -> Any:  # noqa: ANN401 - tritonclient has no types
    shape = [max(1, int(size)) for size in tensor["shape"]]
    array = np.random.default_rng(0).integers(0, 9, shape).astype(_NUMPY[tensor["datatype"]])
    given = module.InferInput(tensor["name"], shape, tensor["datatype"])
    given.set_data_from_numpy(array)
    return given


def _asked(client: Any, model: str, inputs: list[Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    answer = client.infer(model, inputs)
    response = answer.get_response()
    if isinstance(response, dict):
        return {one["name"]: answer.as_numpy(one["name"]) for one in response["outputs"]}
    return {one.name: answer.as_numpy(one.name) for one in response.outputs}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(ask(*sys.argv[1:4]))))
