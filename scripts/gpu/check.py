"""What has to be tried on a machine with a GPU, in one call: ``scripts/gpu/check [FOLDER]``.

Each part writes down what it found, or why it failed, and the others go on; all of it is in
``check.json``. Parts: the driver's counters against ``nvidia-smi``, answers of every runtime on the
GPU against the CPU's, one instance and two, a short sweep with the GPU's metrics, the benchmark.
Without a GPU the same parts run as far as they go: on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import tritonclient.http

from analyzer.load.driver import drive
from analyzer.record import journal
from analyzer.record.row import LoadSpec
from benchmarks.server import Server, running
from engine import examples
from engine.telemetry import gpus

MODEL = "mlp"
#: building a TensorRT engine may take minutes
PATIENCE_S = 400.0
#: relative to the largest answer: TF32 and FP16 keep 10 bits
TOLERANCE = 0.02
ON_GPU = "instance_group { kind: KIND_GPU }"
TENSORRT = (
    'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt"'
    ' parameters { key: "precision_mode" value: "FP16" } } } }'
)
_TORCH = """
name: "%s" platform: "pytorch_libtorch" max_batch_size: 8
input { name: "x__0" data_type: TYPE_FP32 dims: 256 }
output { name: "y__0" data_type: TYPE_FP32 dims: 64 }
instance_group { kind: %s }
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where all this happens; ``gpu`` says whether there is one."""

    scratch: Path
    gpu: bool
    seconds: float


def counters(ground: Ground) -> Mapping[str, Any]:
    """Ask the driver's library and its tool the same things."""
    looks = gpus.find(os.environ).look()
    told = [{"uuid": one.uuid, "total": one.total_bytes, "power": one.power_watts} for one in looks]
    tool = shutil.which("nvidia-smi")
    if tool is None or not ground.gpu:
        return {"nvml": told, "nvidia_smi": None}
    query = [tool, "--query-gpu=uuid,memory.total,power.draw", "--format=csv,noheader,nounits"]
    lines = _said(query).splitlines()
    listed = {line.split(", ")[0]: line.split(", ")[1:] for line in lines}
    for one in looks:
        mib = (one.total_bytes or 0) / 2**20
        if abs(mib - float(listed[one.uuid][0])) > 0.02 * mib:
            raise AssertionError(
                f"{one.uuid}: {mib:.0f} MiB by NVML, {listed[one.uuid]} by the tool"
            )
    return {"nvml": told, "nvidia_smi": listed}


def answers(ground: Ground) -> Mapping[str, Any]:
    """Serve one model by every runtime there is, and hold the answers against the CPU's."""
    repository = ground.scratch / "answers"
    _onnx(repository, "onnx_cpu", "instance_group { kind: KIND_CPU }")
    if ground.gpu:
        _onnx(repository, "onnx_cuda", ON_GPU)
        _onnx(repository, "onnx_tensorrt", f"{ON_GPU} {TENSORRT}")
    _torchscript(repository, "torch_cpu", "KIND_CPU")
    if ground.gpu:
        _torchscript(repository, "torch_cuda", "KIND_GPU")
    found: dict[str, Any] = {}
    got: dict[str, Any] = {}
    with (
        running(repository, "--exit-on-error=false", patience_s=PATIENCE_S) as server,
        tritonclient.http.InferenceServerClient(server.endpoint.http) as client,
    ):
        for one in client.get_model_repository_index():
            name = one["name"]
            if one.get("state") != "READY":
                found[name] = {"not served": one.get("reason", "")}
                continue
            got[name] = _ask(client, name)
            found[name] = {"runtime": _runtime(server, name)}
    for name, answer in got.items():
        plain = got[f"{name.split('_')[0]}_cpu"]
        apart = float(np.abs(answer - plain).max() / np.abs(plain).max())
        found[name]["difference"] = apart
        if apart > TOLERANCE:
            raise AssertionError(f"{name}: {apart:.4f} from the CPU's answers; {found}")
    missing = {"onnx_cpu"} - set(got)
    if ground.gpu:
        missing |= {"onnx_cuda"} - set(got)
    if missing:
        raise AssertionError(f"not served: {missing}; {found}")
    return found


def instances(ground: Ground) -> Mapping[str, Any]:
    """Load one instance, and two."""
    kind = "KIND_GPU" if ground.gpu else "KIND_CPU"
    found: dict[str, Any] = {}
    for count in (1, 2):
        repository = ground.scratch / f"instances{count}"
        _onnx(repository, MODEL, f"instance_group {{ kind: {kind} count: {count} }}")
        with running(repository) as server:
            load = LoadSpec(concurrency=8, window_seconds=ground.seconds, max_windows=1)
            driven = drive(
                server.endpoint, MODEL, load, stop=lambda: False, on_window=lambda _: None
            )
            if driven.failed:
                raise AssertionError(f"{driven.failed} requests failed: {driven.first_error}")
            rate = driven.requests / driven.seconds
            with urlopen(f"http://{server.endpoint.metrics}/metrics") as page:
                lines = page.read().decode().splitlines()
            shown = [line for line in lines if line.startswith("nv_gpu_")]
            if ground.gpu and not shown:
                raise AssertionError("the metrics page shows no GPU")
            found[f"{count}"] = {"requests a second": rate, "gpu": shown}
    return found


def sweep(ground: Ground) -> Mapping[str, Any]:
    """Search for a few seconds, and read what was measured of the GPU."""
    flags = ["--model", MODEL, "--search-time", str(ground.seconds * 4), "--verify-pairs", "0"]
    _said([sys.executable, "-m", "analyzer", "profile", *flags], ground.scratch)
    rows = journal.read(ground.scratch / "results" / MODEL / "journal.jsonl").rows
    measured = [row for row in rows if row.failure is None]
    if not measured or (ground.gpu and not any(row.gpus for row in measured)):
        raise AssertionError(f"{len(measured)} of {len(rows)} rows, or none with a GPU's metrics")
    return {"rows": len(measured), "metrics": [dict(row.metrics) for row in measured[-3:]]}


def benchmark(_: Ground) -> Mapping[str, Any]:
    """Measure the engine's own cost, shortly."""
    return {"page": _said([sys.executable, "-m", "benchmarks", "--quick"])}


PARTS: tuple[Callable[[Ground], Mapping[str, Any]], ...] = (
    counters,
    answers,
    instances,
    sweep,
    benchmark,
)


def _onnx(repository: Path, name: str, more: str) -> None:
    """Put the model there under a name, with this in place of its own instance groups."""
    with tempfile.TemporaryDirectory() as scratch:
        examples.build(MODEL, Path(scratch))
        folder = shutil.copytree(Path(scratch, MODEL), repository / name)
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    text = text.replace(f'name: "{MODEL}"', f'name: "{name}"').split("instance_group")[0]
    (folder / "config.pbtxt").write_text(f"{text}\n{more}\n", encoding="utf-8")


def _torchscript(repository: Path, name: str, kind: str) -> None:
    """Write a seeded TorchScript model, where PyTorch is installed."""
    try:
        import torch  # noqa: PLC0415 - it may be missing
    except ImportError:
        return
    torch.manual_seed(5)
    layers = torch.nn.Sequential(
        torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 64)
    )
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    torch.jit.trace(layers.eval(), torch.zeros(1, 256)).save(str(folder / "1" / "model.pt"))
    (folder / "config.pbtxt").write_text(_TORCH % (name, kind), encoding="utf-8")


def _ask(client: Any, name: str) -> Any:  # noqa: ANN401 - untyped library
    config = client.get_model_config(name)
    given = config["input"][0]
    shape = [4, *(int(dim) for dim in given["dims"])]
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    tensor = tritonclient.http.InferInput(given["name"], shape, "FP32")
    tensor.set_data_from_numpy(array)
    return client.infer(name, [tensor]).as_numpy(config["output"][0]["name"])


def _runtime(server: Server, name: str) -> Any:  # noqa: ANN401 - JSON
    address = f"http://{server.endpoint.http}/v2/models/{name}/stats/runtime"
    with urlopen(address) as reply:
        return json.load(reply)["model_stats"][0].get("runtime")


def _said(command: list[str], where: Path | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - our own commands and the driver's
        command, cwd=where, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Run the parts; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="scripts/gpu/check")
    parser.add_argument("output", type=Path, nargs="?", default=os.environ.get("OUT", "gpu-check"))
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    given = parser.parse_args()
    output = Path(given.output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    gpu = bool(gpus.find(os.environ).uuids)
    found: dict[str, Any] = {"gpu": gpu}
    failed = False
    with tempfile.TemporaryDirectory(prefix="servetune-gpu-") as scratch:
        for part in PARTS:
            name = part.__name__
            if given.only not in {None, name}:
                continue
            place = Path(scratch, name)
            place.mkdir()
            try:
                found[name] = part(Ground(place, gpu, given.seconds))
                print(f"{name}: done", flush=True)
            except Exception as error:  # noqa: BLE001 - the other parts go on
                failed = True
                found[name] = {"failed": f"{type(error).__name__}: {error}"}
                print(f"{name}: FAILED: {error}", flush=True)
            (output / "check.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(f"written: {output / 'check.json'}" + ("" if gpu else "; no GPU"))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
