"""Results of a profile as it leaves them, made without a server: what exports are tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from analyzer import workspace
from analyzer.record.journal import Journal
from analyzer.record.row import Phase, Row, RunHead
from analyzer.workspace import Workspace
from engine.modelconfig import convert
from support.single_rows import MODEL, head, row

CONFIG = """
name: "{name}"
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_{kind} count: {count} }} ]
"""
VERSIONS = {
    "servetune": "0.1.0", "python": "3.12.4", "numpy": "2.1.0", "onnxruntime": "1.22.0",
    "openvino": "2025.3.0", "torch": "2.13.0+cpu",
}  # fmt: skip
LOADS = ((1, 0.3), (4, 0.9), (8, 1.0))


def config(
    count: int = 1, name: str = MODEL, *, backend: str = "onnxruntime", kind: str = "CPU"
) -> str:
    """Spell a configuration with so many instances."""
    return CONFIG.format(name=name, backend=backend, kind=kind, count=count)


def measured(
    variant: str,
    number: int,
    concurrency: int,
    rate: float,
    *,
    phase: Phase = Phase.SEARCH,
    repetition: int = 0,
) -> Row:
    """Make a row whose rate, latency and concurrency hang together (Little's law)."""
    latency = 1000.0 * concurrency / rate
    made = row(
        variant, number, concurrency=concurrency, phase=phase, repetition=repetition,
        perf_throughput=rate, perf_latency_avg=latency, perf_latency_p99=1.3 * latency,
        perf_network=0.1 * latency, perf_server_queue=0.2 * latency, cpu_used_ram=400.0 + number,
        cpu_utilization=20.0 * concurrency,
    )  # fmt: skip
    count = 1 if variant == "default" else 2
    return replace(made, config=config(count), launch_seconds=20.0 if concurrency == 1 else 0.0)


def rows(better: float = 1.5, *, pairs: int = 4) -> tuple[Row, ...]:
    """Make a search of the default and a variant ``better`` times as fast, and its verification."""
    made: list[Row] = []
    rates = {"default": 100.0, "0": 100.0 * better}
    for variant, rate in rates.items():
        for concurrency, share in LOADS:
            made.append(measured(variant, len(made), concurrency, rate * share))
    for repetition in range(pairs):
        for variant, rate in rates.items():
            wobbled = rate * (1.0 + 0.002 * repetition * (variant == "0"))
            made.append(
                measured(variant, len(made), 8, wobbled, phase=Phase.VERIFY, repetition=repetition)
            )
    return tuple(made)


def journal_head(options: Mapping[str, object] | None = None) -> RunHead:
    """Make a journal's first line, of a machine of four cores."""
    return replace(
        head({"server": "local", **(options or {})}),
        versions=VERSIONS,
        machine={"cores": 4, "cpu": "Some CPU"},
    )


def profiled(
    folder: Path, made: Sequence[Row] | None = None, opening: RunHead | None = None
) -> Workspace:
    """Leave results in ``folder``/results/m, and its models in ``folder``/models."""
    made = rows() if made is None else made
    place = Workspace(folder / "results" / MODEL)
    place.root.mkdir(parents=True)
    with Journal.create(place.journal, opening or journal_head()) as journal:
        for each in made:
            journal.append(each)
    sources = {}
    for name, text in made[-1].configs.items():
        sources[name] = folder / "models" / name
        (sources[name] / "1").mkdir(parents=True, exist_ok=True)
        (sources[name] / "config.pbtxt").write_text(text)
        if not convert.loads(text, name).is_ensemble:
            (sources[name] / "1" / "model.onnx").write_bytes(name.encode() * 1000)
            (sources[name] / "1" / "model_int8.onnx").write_bytes(b"eight" + name.encode())
            (sources[name] / "labels.txt").write_text("cat\ndog\n")
    chosen = {name: convert.loads(text, name) for name, text in made[-1].configs.items()}
    if sources:
        workspace.write_chosen(place, sources, chosen, "made up")
    return place
