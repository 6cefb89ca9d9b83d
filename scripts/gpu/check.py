"""What has to be tried on a machine with a GPU, in one call: ``scripts/gpu/check [FOLDER]``.

Each part (``benchmarks.gpu``) writes down what it found, that it was not tried and why, or why it
failed, and the others go on; after each of them all of it is in ``check.json``, and as figures to
keep in ``<date>-<machine>-gpu.json`` and ``.md``. Without a GPU the same parts run as far as they
go: on the CPU. What does not fit into ``--most-seconds`` is not tried.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from analyzer.measure import gpus as measured
from analyzer.measure import machine
from analyzer.record import journal
from benchmarks.gpu.ground import MLP, Ground, NotTried, said
from benchmarks.gpu.page import page
from benchmarks.gpu.plans import cuda_driver, plans
from benchmarks.gpu.regions import cuda_shared_memory
from benchmarks.gpu.runtimes import answers
from benchmarks.gpu.under_load import busy_counters, counters, throughput
from benchmarks.results import keep
from engine.telemetry import gpus

_PACKAGES = (
    *("onnxruntime", "onnxruntime-gpu", "onnx", "torch", "torch-tensorrt", "numpy"),
    *("tensorrt-cu13", "tensorrt", "tensorrt-rtx-cu13", "tensorrt-rtx", "nvidia-ml-py"),
    *("tritonclient", "grpcio", "uvloop", "httptools"),
)
#: seconds that a part may well take; it is not begun with fewer left
_EXPECTED = {"throughput": 130, "sweep": 60, "benchmark": 60}


def sweep(ground: Ground) -> Mapping[str, Any]:
    """Search for a few seconds, and read what was measured of the GPU."""
    flags = ["--model", MLP, "--search-time", str(ground.seconds * 4), "--verify-pairs", "0"]
    said([sys.executable, "-m", "analyzer", "profile", *flags], ground.scratch, 150.0)
    rows = journal.read(ground.scratch / "results" / MLP / "journal.jsonl").rows
    measured = [row for row in rows if row.failure is None]
    if not measured or (ground.gpu and not any(row.gpus for row in measured)):
        raise AssertionError(f"{len(measured)} of {len(rows)} rows, or none with a GPU's metrics")
    return {
        "rows": len(measured),
        **{row.variant + f" #{row.number}": dict(row.metrics) for row in measured[-3:]},
    }


def benchmark(_: Ground) -> Mapping[str, Any]:
    """Measure the engine's own cost, shortly."""
    return {"page": said([sys.executable, "-m", "benchmarks", "--quick"], seconds=150.0)}


PARTS: tuple[Callable[[Ground], Mapping[str, Any]], ...] = (
    counters,
    answers,
    cuda_shared_memory,
    cuda_driver,
    plans,
    throughput,
    busy_counters,
    sweep,
    benchmark,
)


def described() -> Mapping[str, str]:
    """Describe the machine: processor, GPUs, driver, and the versions of what runs there."""
    found = machine.describe()
    plain = {name: str(found[name]) for name in ("cpu", "cores", "os", "kernel") if name in found}
    seen = measured.find()
    plain["gpus"] = ", ".join(one.name for one in seen.known) or f"none: {seen.reason}"
    plain["driver"] = seen.driver
    plain["python"] = platform.python_version()
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            plain[name] = version(name)
    # Packages that lie unpacked on PYTHONPATH beside installed ones: what is imported counts.
    for name in ("onnxruntime", "torch", "tensorrt", "tensorrt_rtx"):
        try:
            module = import_module(name)
        except Exception as fault:  # noqa: BLE001 - a broken library is told like a missing one
            plain[f"module {name}"] = f"not imported: {type(fault).__name__}: {fault}"
            continue
        plain[f"module {name}"] = str(getattr(module, "__version__", "?"))
        if name == "onnxruntime":
            plain["providers"] = ", ".join(module.get_available_providers())
        if name == "torch":
            plain["torch sees a GPU"] = str(module.cuda.is_available())
    return plain


def attempt(part: Callable[[Ground], Mapping[str, Any]], ground: Ground) -> Mapping[str, Any]:
    """Run a part; whatever comes of it is written down."""
    try:
        return part(ground)
    except NotTried as why:
        return {"not tried": str(why)}
    except Exception as error:  # noqa: BLE001 - the other parts go on
        trace = "".join(traceback.format_exception(error)[-3:])
        return {"failed": f"{type(error).__name__}: {error}"[:6000], "where": trace[-3000:]}


def main() -> int:
    """Run the parts; 1 if one failed."""
    given = _arguments()
    output = Path(given.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    gpu = bool(gpus.find(os.environ).uuids)
    parts: dict[str, Mapping[str, Any]] = {}
    found: dict[str, Any] = {
        "taken_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "gpu": gpu,
        "machine": described(),
        "parts": parts,
    }
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="servetune-gpu-") as scratch:
        for part in PARTS:
            name = part.__name__
            if given.only and name not in given.only:
                continue
            place = Path(scratch, name)
            place.mkdir()
            at = time.monotonic()
            left = given.most_seconds - (at - began)
            if left < _EXPECTED.get(name, 15):
                parts[name] = {"not tried": f"{left:.0f} s are left"}
            else:
                ground = Ground(place, Path(scratch, "examples"), gpu, given.seconds)
                parts[name] = attempt(part, ground)
            word = next((one for one in ("failed", "not tried") if one in parts[name]), "done")
            told = f"{word}: {parts[name][word]}" if word in parts[name] else word
            print(f"{name} ({time.monotonic() - at:.0f} s): {told}", flush=True)
            (output / "check.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    keep(output, found, page(found), "-".join(("gpu", *(given.only or ()))))
    print(f"written: {output / 'check.json'}" + ("" if gpu else "; no GPU"))
    return int(any("failed" in part for part in parts.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/gpu/check")
    parser.add_argument("output", type=Path, nargs="?", default=os.environ.get("OUT", "gpu-check"))
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--most-seconds", type=float, default=280.0, help="for all of it")
    parser.add_argument(
        "--only", action="append", choices=[part.__name__ for part in PARTS], help="more than once"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
