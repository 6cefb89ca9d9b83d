"""``python -m benchmarks.bare``: a runtime called in a loop, with no server around it.

The yardstick for what serving takes away. Prints inferences a second as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime

WARM_RUNS = 2


def main() -> None:
    """Run ``--sessions`` loops at once, each with a session of ``--threads`` threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    rate = loop(given.model, given.sessions, given.threads, given.batch, seconds=given.seconds)
    json.dump({"rate": rate}, sys.stdout)


def loop(model: Path, sessions: int, threads: int, batch: int, *, seconds: float) -> float:
    """Return inferences a second of all loops together; each counts the runs it began in time."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    loops = [
        onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        for _ in range(sessions)
    ]
    entry = loops[0].get_inputs()[0]
    image = np.random.default_rng(0).standard_normal((batch, *entry.shape[1:]), np.float32)
    ready = threading.Barrier(sessions)
    rates = [0.0] * sessions

    def run(number: int) -> None:
        session = loops[number]
        for _ in range(WARM_RUNS):
            session.run(None, {entry.name: image})
        ready.wait()
        runs, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            session.run(None, {entry.name: image})
            runs += 1
        spent = time.perf_counter() - began
        rates[number] = runs * batch / spent

    crew = [threading.Thread(target=run, args=(number,)) for number in range(sessions)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    return sum(rates)


if __name__ == "__main__":
    main()
