"""``python -m benchmarks.bare``: a runtime called in a loop, with no server around it.

The yardstick for what serving takes away. Prints inferences a second as JSON. Sessions of OpenVINO
are infer requests of one compiled model, with a stream for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from engine.types import Array

WARM_RUNS = 2
RUNTIMES = ("onnxruntime", "openvino-f32", "openvino-bf16")
Run = Callable[[Array], object]


def main() -> None:
    """Run ``--sessions`` loops at once, each with a session of ``--threads`` threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0])
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    start = _onnxruntime if given.runtime == RUNTIMES[0] else _openvino
    precision = given.runtime.partition("-")[2]
    sessions, shape = start(given.model, given.sessions, given.threads, precision)
    rate = loop(sessions, (given.batch, *shape[1:]), seconds=given.seconds)
    json.dump({"rate": rate}, sys.stdout)


def _onnxruntime(
    model: Path, sessions: int, threads: int, _precision: str
) -> tuple[list[Run], Sequence[int]]:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    made: list[Any] = [
        onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        for _ in range(sessions)
    ]
    entry = made[0].get_inputs()[0]
    return [partial(_run_onnxruntime, it, entry.name) for it in made], entry.shape


def _openvino(
    model: Path, sessions: int, threads: int, precision: str
) -> tuple[list[Run], Sequence[int]]:
    import openvino  # noqa: PLC0415 - only where it is measured

    compiled = openvino.Core().compile_model(
        str(model),
        "CPU",
        {
            "NUM_STREAMS": sessions,
            "INFERENCE_NUM_THREADS": sessions * threads,
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    shape = [one.get_length() if one.is_static else -1 for one in compiled.input().partial_shape]
    made = [compiled.create_infer_request() for _ in range(sessions)]
    return [partial(_run_openvino, it) for it in made], shape


def _run_onnxruntime(session: Any, name: str, image: Array) -> object:  # noqa: ANN401 - its own
    return session.run(None, {name: image})


def _run_openvino(request: Any, image: Array) -> object:  # noqa: ANN401 - as above
    return request.infer({0: image}, share_inputs=True)


def loop(sessions: Sequence[Run], shape: Sequence[int], *, seconds: float) -> float:
    """Return inferences a second of all loops together; each counts the runs it began in time."""
    image = np.random.default_rng(0).standard_normal(tuple(shape), np.float32)
    ready = threading.Barrier(len(sessions))
    rates = [0.0] * len(sessions)

    def run(number: int) -> None:
        session = sessions[number]
        for _ in range(WARM_RUNS):
            session(image)
        ready.wait()
        runs, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            session(image)
            runs += 1
        spent = time.perf_counter() - began
        rates[number] = runs * len(image) / spent

    crew = [threading.Thread(target=run, args=(number,)) for number in range(len(sessions))]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return sum(rates)


if __name__ == "__main__":
    main()
