"""Surfaces of servers that are simulated: for trying a search where none is recorded.

Eight servers, their parameters drawn by their names. Half of them are the simulator's own world;
a search that predicts by the simulator has an easy time there. The others are ``warped``: smooth
factors over batch, instances and load that no law of the simulator can give, so that who believes
in it too much is shown up. Repetitions differ by what a launch and what a measurement had of luck.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from analyzer import variant
from analyzer.metrics import plain
from analyzer.record import journal as journals
from analyzer.record.row import SCHEMA, LoadSpec, Row, RunHead, Trial
from analyzer.simulation.predict import simulate
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from analyzer.space import (
    CONCURRENCY,
    Candidate,
    Limits,
    Space,
)
from analyzer.statistics.estimate import Estimate
from analyzer.surface.grid import DEFAULT, Grid
from analyzer.surface.stored import Surface, made, pack, read, with_grid
from engine.modelconfig import convert
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

REPETITIONS = 3
#: answered requests of a simulated measurement
REQUESTS = 500
#: standard deviations of the logarithms: throughput by launch and measurement, p99 on top
LAUNCH_LUCK, LUCK, TAIL_LUCK = 0.008, 0.012, 0.05
NAMES = (
    "plain-convolution", "plain-weights", "plain-tiny", "plain-many-cores",
    "warped-convolution", "warped-weights", "warped-tiny", "warped-many-cores",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One simulated server: its machine, its model, and what warps them."""

    name: str
    cores: int
    service: ServiceModel
    warp: tuple[float, float, float, float]
    instance_mb: float
    row_mb: float

    @property
    def base(self) -> ModelConfig:
        """The default configuration."""
        group = InstanceGroup(kind=InstanceKind.KIND_CPU, count=1)
        return ModelConfig(
            name=self.name, backend="onnxruntime", max_batch_size=16, instance_group=(group,)
        )

    @property
    def space(self) -> Space:
        """What there is to search."""
        many = self.cores > 2  # noqa: PLR2004 - two cores are few
        limits = Limits(
            max_instance_count=min(4, self.cores),
            max_model_batch_size=64,
            queue_delays_us=(-1, 0, 500, 2000),
            intra_op_threads=(1, self.cores) if many else (1, 2),
            concurrencies=tuple(2**power for power in range(9)),
        )
        return variant.space(self.base, variant.Machine(cores=self.cores), limits)

    def factor(self, config: ModelConfig, concurrency: int) -> float:
        """Return by how much this is faster than the simulator has it."""
        batch = math.log2(max(1, config.max_batch_size)) / 6
        load = math.log2(concurrency) / 8
        instances = config.instance_group[0].count / 4
        a, b, c, d = self.warp
        return math.exp(
            a * math.sin(3 * batch + b) + b * instances * load + c * instances * batch
            + d * math.cos(4 * load + a)
        )  # fmt: skip


def server(name: str) -> Server:
    """Draw a server by its name."""
    kind, _, shape = name.partition("-")
    dice = random.Random(name)  # noqa: S311 - no secret
    row_us, fixed_us, cores = {
        "convolution": (10 ** dice.uniform(3.5, 4.5), 10 ** dice.uniform(2.5, 3.5), 2),
        "weights": (10 ** dice.uniform(2.2, 3.0), 10 ** dice.uniform(3.3, 4.0), 2),
        "tiny": (10 ** dice.uniform(0.5, 1.5), 10 ** dice.uniform(1.0, 2.0), 2),
        "many-cores": (10 ** dice.uniform(2.8, 3.8), 10 ** dice.uniform(2.8, 3.8), 8),
    }[shape]
    curve = Curve.affine(fixed_us * 1e3, row_us * 1e3)
    if dice.random() < 0.5:  # noqa: PLR2004 - every other one
        # Beyond some size a batch no longer fits a cache.
        knee = dice.choice((4, 8, 16))
        slope = row_us * dice.uniform(1.1, 1.6)
        knots = [(size, curve.at(size)) for size in (1, knee)]
        curve = Curve((*knots, (2 * knee, knots[-1][1] + knee * slope * 1e3)))
    service = ServiceModel(
        curve=curve, cores=cores, threads=cores, serial=dice.uniform(0.02, 0.4),
        crowding=dice.uniform(0.02, 0.3), batch_ns=dice.uniform(5e3, 4e4),
        multipliers=log_normal(dice.uniform(0.03, 0.2)),
    ).with_overhead(dice.uniform(6e4, 2e5), dice.uniform(2e4, 1e5))  # fmt: skip
    width = 0.15 if kind == "warped" else 0.0
    warp = tuple(dice.uniform(-width, width) for _ in range(4))
    return Server(
        name=name, cores=cores, service=service, warp=(warp[0], warp[1], warp[2], warp[3]),
        instance_mb=dice.uniform(60, 200), row_mb=dice.uniform(0.5, 4),
    )  # fmt: skip


def simulated(name: str, folder: Path | None = None) -> Surface:
    """Make a server's surface, or read it from ``folder``, where it is kept once it is made."""
    path = None if folder is None else folder / f"{name}.jsonl.gz"
    if path is not None and path.is_file():
        return read(path)
    one = server(name)
    grid = Grid(one.space, one.cores)
    surface = made(name, _head(one, grid), list(_rows(one, grid)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pack(surface, path)
    return surface


def _head(one: Server, grid: Grid) -> RunHead:
    options = {"model_digest": one.name, "machine": f"simulated, {one.cores} cores"}
    head = RunHead(
        schema=SCHEMA, run="simulated", model=one.name,
        started_at=datetime.fromtimestamp(0, UTC).isoformat(timespec="seconds"), versions={},
        machine={"cpu": "simulated", "cores": one.cores}, options=options,
        options_digest=journals.options_digest(options),
    )  # fmt: skip
    return with_grid(head, grid, one.base, 0)


def _rows(one: Server, grid: Grid) -> Iterator[Row]:
    truths = {
        point: _truth(one, point) for setting in grid.settings for point in grid.points(setting)
    }
    number = 0
    for repetition in range(REPETITIONS):
        for setting in grid.settings:
            dice = random.Random(f"{one.name} {setting} {repetition}")  # noqa: S311 - no secret
            launch, start = math.exp(dice.gauss(0, LAUNCH_LUCK)), dice.uniform(1.2, 1.6)
            for place, point in enumerate(grid.points(setting)):
                row = _measured(truths[point], dice, launch)
                yield replace(
                    row, number=number, trial=Trial(candidate=point, repetition=repetition),
                    launch_seconds=0.0 if place else start,
                    seconds=row.seconds + (0.0 if place else start),
                )  # fmt: skip
                number += 1


def _truth(one: Server, point: Candidate) -> Row:
    """Simulate a point once, long enough for its mean; a row without luck."""
    concurrency = int(point.get(CONCURRENCY) or 1)
    setting = Candidate(tuple(item for item in point.items if item[0] != CONCURRENCY))
    config = variant.make(setting, one.base)
    load = LoadSpec(concurrency=concurrency, rule="precision", min_seconds=2.0, max_seconds=6.0)
    said = simulate(config, one.service, load, requests=REQUESTS)
    factor = one.factor(config, concurrency)
    metrics = {
        tag: value * factor if tag == "perf_throughput" else value / factor
        for tag, value in said.metrics.items() if tag != "server_batch_size"
    }  # fmt: skip
    instances = config.instance_group[0].count
    memory = 80 + instances * (one.instance_mb + one.row_mb * max(1, config.max_batch_size))
    kind = "default" if setting == DEFAULT else str(variant.digest(config))
    return Row(
        number=0, taken_at="1970-01-01T00:00:00+00:00",
        seconds=max(2.5, 40 / metrics["perf_throughput"]), model=one.name,
        variant=f"{one.name}_config_{kind}", digest=variant.digest(config),
        trial=Trial(candidate=point), load=load, stable=True,
        metrics={**metrics, "server_batch_size": said.mean_batch, "cpu_used_ram": memory},
        settings=variant.settings(config), config=convert.dumps(config),
        server={} if said.server is None else plain(said.server),
    )  # fmt: skip


def _measured(truth: Row, dice: random.Random, launch: float) -> Row:
    """Return a row as one measurement has it, with intervals that are as wide as its luck."""
    speed = launch * math.exp(dice.gauss(0, LUCK))
    tail = math.exp(dice.gauss(0, TAIL_LUCK))
    metrics = dict(truth.metrics)
    for tag, value in truth.metrics.items():
        if tag == "perf_throughput":
            metrics[tag] = value * speed
        elif tag.startswith("perf_latency"):
            metrics[tag] = value / speed * (tail if tag == "perf_latency_p99" else 1.0)
    return replace(truth, metrics=metrics, estimates=_estimates(metrics))


def _estimates(metrics: Mapping[str, float]) -> dict[str, Estimate]:
    widths = {"perf_throughput": LUCK, "perf_latency_avg": LUCK, "perf_latency_p99": TAIL_LUCK}
    return {
        tag: Estimate(
            value=metrics[tag], low=metrics[tag] * (1 - 2 * width),
            high=metrics[tag] * (1 + 2 * width), n=REQUESTS, effective_n=REQUESTS / 2,
        )
        for tag, width in widths.items()
    }  # fmt: skip
