"""``python -m benchmarks.ensemble``: what an ensemble costs a step.

A server with an echo that takes no time, and ensembles that send their tensor through it 1, 2, 4
and 8 times. One client asks one request at a time, NVIDIA's own over HTTP and over gRPC, each
model in turn and the turns repeated. Told are the latencies of the echo by itself and of each
chain, and what a step adds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import tritonclient.grpc
import tritonclient.http

from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.server import Server, running

STEPS = (1, 2, 4, 8)
ECHO = "echo"
WARM_UP = 50
_TENSOR = "data_type: TYPE_FP32 dims: [ 16 ]"


class _Client(Protocol):
    """NVIDIA's client, for either protocol."""

    def infer(self, model_name: str, inputs: Sequence[object], /) -> object:
        """Ask once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain over one protocol; 0 steps is the model by itself. One p50 for each repetition."""

    protocol: str
    steps: int
    requests: int
    p50_us: tuple[float, ...]

    @property
    def median_us(self) -> float:
        """The repetitions' median."""
        return float(np.median(self.p50_us))


def build(repository: Path) -> None:
    """Write the echo and the chains."""
    given, made = (f'[ {{ name: "{name}" {_TENSOR} }} ]' for name in ("X", "Y"))
    top = f"max_batch_size: 8 input {given} output {made}"
    _write(repository / ECHO, f'backend: "synthetic" {top}')
    for count in STEPS:
        names = ["X", *(f"t{place}" for place in range(1, count)), "Y"]
        steps = " ".join(
            f'step {{ model_name: "{ECHO}" model_version: -1 '
            f'input_map {{ key: "X" value: "{one}" }} output_map {{ key: "Y" value: "{other}" }} }}'
            for one, other in pairwise(names)
        )
        _write(
            repository / f"chain{count}",
            f'platform: "ensemble" {top} ensemble_scheduling {{ {steps} }}',
        )


def _write(folder: Path, config: str) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")


def measure(server: Server, repetitions: int, seconds: float) -> tuple[Chain, ...]:
    """Ask every chain over both protocols."""
    found: list[Chain] = []
    for protocol, module, address in (
        ("http", tritonclient.http, server.endpoint.http),
        ("grpc", tritonclient.grpc, server.endpoint.grpc),
    ):
        with module.InferenceServerClient(address) as client:
            one = module.InferInput("X", [1, 16], "FP32")
            one.set_data_from_numpy(np.zeros((1, 16), np.float32))
            names = {0: ECHO, **{count: f"chain{count}" for count in STEPS}}
            taken: dict[int, list[Sequence[float]]] = {steps: [] for steps in names}
            for _ in range(repetitions):
                for steps, name in names.items():
                    taken[steps].append(_ask(client, name, one, seconds))
        found += [
            Chain(
                protocol=protocol,
                steps=steps,
                requests=sum(map(len, times)),
                p50_us=tuple(float(np.median(one)) for one in times),
            )
            for steps, times in taken.items()
        ]
    return tuple(found)


def _ask(client: _Client, model: str, given: object, seconds: float) -> Sequence[float]:
    """Ask for so long; the latency of each request, us."""
    for _ in range(WARM_UP):
        client.infer(model, [given])
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < until:
        client.infer(model, [given])
        taken.append((time.perf_counter() - begun) * 1e6)
    return taken


def a_step_us(chains: Sequence[Chain]) -> float:
    """Give what a step adds: the slope of latency over steps, by least squares."""
    made = [one for one in chains if one.steps]
    slope, _ = np.polyfit([one.steps for one in made], [one.median_us for one in made], 1)
    return float(slope)


def markdown(taken_at: str, machine: Mapping[str, str], chains: Sequence[Chain]) -> str:
    """Lay the figures out."""
    head = ("client", "steps", "requests", "p50 us", "least to greatest")
    lines = (
        (
            one.protocol,
            str(one.steps) if one.steps else "the model by itself",
            str(one.requests),
            f"{one.median_us:.0f}",
            f"{min(one.p50_us):.0f} to {max(one.p50_us):.0f}",
        )
        for one in chains
    )
    by = {name: [one for one in chains if one.protocol == name] for name in ("http", "grpc")}
    return "\n\n".join((
        f"# What an ensemble costs a step, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            "One client asks one request at a time; client and server share the machine. Each step "
            "is a model that computes nothing, so all that a step adds is the engine's. Medians of "
            "the repetitions' medians."
        ),
        table(head, lines),
        table(
            ("client", "a step adds, us"),
            ((name, f"{a_step_us(found):.1f}") for name, found in by.items()),
        ),
    )) + "\n"  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench ensemble", description="What an ensemble costs a step."
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="1 x 0.2 s; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.repetitions, given.seconds = 1, 0.2
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        build(Path(scratch))
        with running(Path(scratch)) as server:
            chains = measure(server, given.repetitions, given.seconds)
    page = markdown(taken_at, here, chains)
    sys.stdout.write(page)
    if not given.quick:
        told = {"taken_at": taken_at, "machine": here, "chains": [asdict(one) for one in chains]}
        keep(given.output, told, page, "ensemble")


if __name__ == "__main__":
    main()
