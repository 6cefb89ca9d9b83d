"""What serving leaves of a runtime's throughput: ResNet-50 served, against the bare loop.

Both have the same number of sessions, threads and images in a batch. They take turns in one
run, and every pair of neighbours gives one ratio, so that a machine that slows down slows
both.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.load.driver import drive
from analyzer.record.row import LoadSpec
from benchmarks.server import Server, running
from benchmarks.spread import Spread
from engine.modelconfig import convert
from engine.modelconfig.schema import InstanceGroup, InstanceKind

MODEL = "resnet50"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the model is run, and with how many requests at once it is loaded."""

    instances: int
    threads: int
    batch: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One setting: images a second bare and served, pair by pair."""

    setting: Setting
    bare: Spread
    served: Spread

    @property
    def ratio(self) -> Spread:
        """Served to bare, pair by pair."""
        pairs = zip(self.served.values, self.bare.values, strict=True)
        return Spread.of(served / bare for served, bare in pairs)


def settings(cores: int) -> Iterator[Setting]:
    """Yield one instance with every core, and as many instances as cores."""
    yield Setting(instances=1, threads=cores, batch=1, concurrency=1)
    yield Setting(instances=1, threads=cores, batch=1, concurrency=2)
    yield Setting(instances=1, threads=cores, batch=8, concurrency=2)
    if cores > 1:
        yield Setting(instances=cores, threads=1, batch=1, concurrency=cores)
        yield Setting(instances=cores, threads=1, batch=1, concurrency=2 * cores)


def measure(
    models: Path, scratch: Path, cores: int, repetitions: int, seconds: float
) -> tuple[Kept, ...]:
    """Compare every setting; ``models`` holds the example, ``scratch`` takes its variants."""
    found = []
    for setting in settings(cores):
        repository = _variant(models, scratch, setting)
        with running(repository) as server:
            pairs = [
                (bare_rate(models, setting, seconds), served_rate(server, setting, seconds))
                for _ in range(repetitions)
            ]
        bare, served = zip(*pairs, strict=True)
        found.append(Kept(setting=setting, bare=Spread.of(bare), served=Spread.of(served)))
    return tuple(found)


def _variant(models: Path, scratch: Path, setting: Setting) -> Path:
    source = models / MODEL
    repository = scratch / f"{setting.instances}x{setting.threads}"
    folder = repository / MODEL
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "1").symlink_to(source / "1")
        file = source / "config.pbtxt"
        config = convert.loads(file.read_text(encoding="utf-8"), str(file))
        group = InstanceGroup(kind=InstanceKind.KIND_CPU, count=setting.instances)
        variant = replace(
            config,
            instance_group=(group,),
            parameters={"intra_op_thread_count": str(setting.threads)},
        )
        (folder / "config.pbtxt").write_text(convert.dumps(variant), encoding="utf-8")
    return repository


def served_rate(server: Server, setting: Setting, seconds: float) -> float:
    """Measure images a second of a server.

    Raises:
        RuntimeError: a request failed.
    """
    load = LoadSpec(
        concurrency=setting.concurrency,
        batch_size=setting.batch,
        window_seconds=seconds,
        max_windows=1,
    )
    driven = drive(server.endpoint, MODEL, load, stop=lambda: False, on_window=lambda _: None)
    if driven.failed:
        message = f"{driven.failed} requests failed: {driven.first_error}"
        raise RuntimeError(message)
    return driven.requests * setting.batch / driven.seconds


def bare_rate(models: Path, setting: Setting, seconds: float, *options: str) -> float:
    """Measure images a second of a runtime in a loop; ``options`` go to ``benchmarks.bare``."""
    file = models / MODEL / "1" / "model.onnx"
    done = subprocess.run(  # noqa: S603 - our own loop
        [
            *(sys.executable, "-m", "benchmarks.bare", str(file), *options),
            f"--sessions={setting.instances}",
            f"--threads={setting.threads}",
            f"--batch={setting.batch}",
            f"--seconds={seconds}",
        ],
        check=True,
        capture_output=True,
    )
    return float(json.loads(done.stdout)["rate"])
