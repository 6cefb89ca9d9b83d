"""``python -m benchmarks.python_kills``: Python models whose processes are killed at random.

A server with a Python model of several instances, clients that ask over HTTP, and somebody who
kills the instances' processes (SIGKILL) at random times. Told are how every request ended, how
often a process was killed and followed by another, whether readiness agreed with the processes
there were, and what was left in ``/dev/shm``. Beside it: what a process costs, against the same
model in the server's process, for a small tensor and for the 600 KB of an image.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.http
from tritonclient.utils import InferenceServerException

from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.server import Server, running

MODEL = "identity"
CLIENTS, INSTANCES = 4, 2
PAUSE_S = (0.3, 2.0)
PATIENCE_S = 30.0
#: what is said while no process has come again, and how long a client then rests
_GONE, REST_S = "is not available: ", 0.005
_counting = threading.Lock()
SIZES = {"64 B": 16, "600 KB": 150_528}
_TEXT = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("Y", one.inputs()[0].as_numpy())])
            for one in requests
        ]
"""
_CONFIG = """
backend: "python"
input { name: "X" data_type: TYPE_FP32 dims: -1 }
output { name: "Y" data_type: TYPE_FP32 dims: -1 }
instance_group { count: %d kind: KIND_CPU }
"""


@dataclass(slots=True, kw_only=True)
class Kills:
    """What became of requests, processes and memory."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    waited_for: int = 0
    unclear: list[str] = field(default_factory=list)
    kills: int = 0
    processes: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0
    unready_seen: int = 0
    ready_after: bool = False
    left_in_shm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One client, one request at a time."""

    place: str
    size: str
    per_second: float
    p50_us: float
    p99_us: float


def write(repository: Path, instances: int) -> None:
    """Write the model's folder."""
    (repository / MODEL / "1").mkdir(parents=True)
    (repository / MODEL / "1/model.py").write_text(_TEXT, encoding="utf-8")
    (repository / MODEL / "config.pbtxt").write_text(_CONFIG % instances, encoding="utf-8")


def asker(address: str, size: int) -> Callable[[float], None]:
    """Make what asks once and checks the answer; for one thread."""
    client = tritonclient.http.InferenceServerClient(address, network_timeout=PATIENCE_S)
    given = tritonclient.http.InferInput("X", [size], "FP32")

    def once(value: float) -> None:
        array = np.full(size, value, np.float32)
        given.set_data_from_numpy(array)
        found = client.infer(MODEL, [given]).as_numpy("Y")
        if not np.array_equal(found, array):
            raise ValueError("the answer is another one")

    return once


def killing(
    requests: int, scratch: Path, pause_s: tuple[float, float] = PAUSE_S, seed: int = 0
) -> Kills:
    """Ask so often, while processes are killed, ``pause_s`` (from, to) after each other."""
    repository = scratch / "kills"
    write(repository, INSTANCES)
    told, before = Kills(requests=requests), set(Path("/dev/shm").iterdir())  # noqa: S108 - read only
    with running(repository) as server:
        begun, over = time.perf_counter(), threading.Event()
        killer = threading.Thread(target=_kill, args=(server, told, over, pause_s, seed))
        clients = [
            threading.Thread(target=_ask, args=(server, told, requests // CLIENTS))
            for _ in range(CLIENTS)
        ]
        for one in (*clients, killer):
            one.start()
        for one in clients:
            one.join()
        told.seconds = time.perf_counter() - begun
        over.set()
        killer.join()
        told.ready_after = _becomes_ready(server)
    told.left_in_shm = len(set(Path("/dev/shm").iterdir()) - before)  # noqa: S108 - as above
    return told


def _ask(server: Server, told: Kills, requests: int) -> None:
    once = asker(server.endpoint.http, 16)
    for number in range(requests):
        begun, gone = time.perf_counter(), False
        try:
            once(float(number))
        except InferenceServerException as fault:
            with _counting:
                told.failed += 1
                gone = _GONE in str(fault)
                told.waited_for += gone
                if not gone and "was killed by signal 9 (SIGKILL)" not in str(fault):
                    told.unclear.append(str(fault))
        except Exception as fault:  # noqa: BLE001 - neither an answer nor a clear error
            told.unclear.append(f"{type(fault).__name__}: {fault}")
        else:
            with _counting:
                told.answered += 1
        told.longest_s = max(told.longest_s, time.perf_counter() - begun)
        if gone:
            time.sleep(REST_S)


def _kill(
    server: Server, told: Kills, over: threading.Event, pause_s: tuple[float, float], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - when to kill
    client = tritonclient.http.InferenceServerClient(server.endpoint.http)
    seen: set[int] = set()
    while not over.wait(chance.uniform(*pause_s)):
        children = server.root.children()
        seen |= {one.pid for one in children}
        if not children:
            continue
        with suppress(psutil.NoSuchProcess):
            chance.choice(children).kill()
            told.kills += 1
        told.unready_seen += not client.is_model_ready(MODEL)
    told.processes = len(seen | {one.pid for one in server.root.children()})


def _becomes_ready(server: Server) -> bool:
    client = tritonclient.http.InferenceServerClient(server.endpoint.http)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if client.is_model_ready(MODEL):
            return len(server.root.children()) == INSTANCES
        time.sleep(0.05)
    return False


def costs(seconds: float, scratch: Path) -> list[Cost]:
    """Measure what a process costs."""
    found = []
    for place, flags in (
        ("the server's process", ("--backend-config=python,in-process=true",)),
        ("one of its own", ()),
    ):
        repository = scratch / place.replace(" ", "-")
        write(repository, 1)
        with running(repository, *flags) as server:
            found += [_cost(server, place, size, seconds) for size in SIZES]
    return found


def _cost(server: Server, place: str, size: str, seconds: float) -> Cost:
    once = asker(server.endpoint.http, SIZES[size])
    for _ in range(100):
        once(1.0)
    took_us: list[float] = []
    until = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < until:
        once(2.0)
        took_us.append((time.perf_counter() - begun) * 1e6)
    p50, p99 = np.percentile(took_us, (50, 99))
    rate = len(took_us) / (sum(took_us) / 1e6)
    return Cost(place=place, size=size, per_second=rate, p50_us=float(p50), p99_us=float(p99))


def markdown(
    taken_at: str,
    machine: Mapping[str, str],
    told: Kills,
    cost: Sequence[Cost],
    pause_s: tuple[float, float] = PAUSE_S,
) -> str:
    """Lay the figures out."""
    rows = {
        "requests": told.requests,
        "answered, and rightly": told.answered,
        "failed with an error that names instance and signal": told.failed - told.waited_for,
        "failed since no process had come again by then": told.waited_for,
        "ended otherwise": len(told.unclear),
        "processes killed": told.kills,
        "processes there were": told.processes,
        "seconds": f"{told.seconds:.1f}",
        "longest wait for an answer or an error, s": f"{told.longest_s:.1f}",
        "times found not ready just after a kill": told.unready_seen,
        "ready afterwards, with every process": "yes" if told.ready_after else "**no**",
        "left in /dev/shm": told.left_in_shm,
    }
    head = ("runs in", "tensor", "requests/s", "p50 us", "p99 us")
    return "\n\n".join((
        f"# Python models whose processes are killed, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"{CLIENTS} clients ask over HTTP, one request at a time each, a model of {INSTANCES} "
            f"instances. Every {pause_s[0]:g} to {pause_s[1]:g} s one of its processes is killed, "
            "also while it starts. "
            f"Who is told that there is none yet rests for {REST_S:g} s."
        ),
        table(("", ""), ((name, str(value)) for name, value in rows.items())),
        "## What a process costs",
        "One client of NVIDIA's, one request at a time; the tensor goes there and back.",
        table(head, ((
            one.place, one.size, f"{one.per_second:.0f}", f"{one.p50_us:.0f}", f"{one.p99_us:.0f}",
        ) for one in cost)),
    )) + "\n"  # fmt: skip


def main() -> None:
    """Measure, and write the figures down."""
    parser = argparse.ArgumentParser(prog="scripts/bench python-kills")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measured cost")
    parser.add_argument(
        "--pause",
        type=float,
        nargs=2,
        default=PAUSE_S,
        metavar=("FROM", "TO"),
        help="seconds between two kills",
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="300 requests; nothing is written")
    given = parser.parse_args()
    pause_s = (given.pause[0], given.pause[1])
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        told = killing(300 if given.quick else given.requests, Path(scratch), pause_s)
        cost = costs(0.5 if given.quick else given.seconds, Path(scratch))
    page = markdown(taken_at, here, told, cost, pause_s)
    sys.stdout.write(page)
    sys.stdout.write("".join(f"{n} x {text}\n" for text, n in Counter(told.unclear).items()))
    if not given.quick:
        plain: dict[str, Any] = {"taken_at": taken_at, "machine": here}
        plain |= {"pause_s": pause_s, "kills": asdict(told), "costs": [asdict(one) for one in cost]}
        often = (
            ""
            if pause_s == PAUSE_S
            else "-every-{:.0f}-to-{:.0f}-ms".format(*(1000 * one for one in pause_s))
        )
        keep(given.output, plain, page, f"python-kills{often}")


if __name__ == "__main__":
    main()
