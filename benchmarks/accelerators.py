"""``python -m benchmarks.accelerators``: ResNet-50 on the CPU, by each runtime there is for it.

ONNX Runtime, and OpenVINO in f32 (the ``openvino`` accelerator of the same ONNX model) and in bf16;
each called in a loop with no server (``benchmarks.bare``), and served. Within a repetition all
take turns, a bare run and a served one, so that a machine that slows down slows all of them; ratios
are made within a repetition. First of all the answers are compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tritonclient.http

from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.served import MODEL, Setting, bare_rate, served_rate
from benchmarks.server import Server, running
from benchmarks.spread import Spread
from engine import examples
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    Optimization,
)
from engine.types import Array

PLAIN, F32, BF16 = "onnxruntime", "openvino-f32", "openvino-bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One runtime in one setting: images a second, a value for each repetition."""

    runtime: str
    setting: Setting
    bare: Spread
    served: Spread


def settings(cores: int) -> Iterator[Setting]:
    """Yield one instance with every core, and as many instances as cores."""
    yield Setting(instances=1, threads=cores, batch=1, concurrency=2)
    yield Setting(instances=1, threads=cores, batch=8, concurrency=2)
    if cores > 1:
        yield Setting(instances=cores, threads=1, batch=1, concurrency=2 * cores)


def configured(config: ModelConfig, runtime: str, setting: Setting) -> ModelConfig:
    """Give the model's configuration for one runtime: the ONNX file is the same."""
    group = InstanceGroup(kind=InstanceKind.KIND_CPU, count=setting.instances)
    config = replace(config, instance_group=(group,))
    threads = {"intra_op_thread_count": str(setting.threads)}
    if runtime == PLAIN:
        return replace(config, parameters=threads)
    if runtime == F32:
        listed = ExecutionAccelerators(cpu_execution_accelerator=(Accelerator(name="openvino"),))
        optimization = Optimization(execution_accelerators=listed)
        return replace(config, parameters=threads, optimization=optimization)
    parameters = {
        "HINT_BF16": "YES",
        "INFERENCE_NUM_THREADS": str(setting.threads * setting.instances),
    }
    return replace(
        config,
        platform="",
        backend="openvino",
        default_model_filename="model.onnx",
        parameters=parameters,
    )


def measure(
    models: Path, scratch: Path, setting: Setting, repetitions: int, seconds: float
) -> tuple[tuple[Figures, ...], Mapping[str, float]]:
    """Measure every runtime in one setting.

    Returns:
        the figures, and how far each runtime's answers are from the first one's: the greatest
        difference, to the greatest answer.
    """
    runtimes = (PLAIN, F32, BF16)
    taken: dict[str, list[tuple[float, float]]] = {runtime: [] for runtime in runtimes}
    with ExitStack() as stack:
        servers = {}
        for runtime in runtimes:
            repository = _variant(models, scratch, runtime, setting)
            servers[runtime] = stack.enter_context(running(repository))
        answers = {runtime: _answer(server) for runtime, server in servers.items()}
        for _ in range(repetitions):
            for runtime, server in servers.items():
                bare = bare_rate(models, setting, seconds, f"--runtime={runtime}")
                taken[runtime].append((bare, served_rate(server, setting, seconds)))
    found = tuple(
        Figures(
            runtime=runtime,
            setting=setting,
            bare=Spread.of(bare for bare, _ in pairs),
            served=Spread.of(served for _, served in pairs),
        )
        for runtime, pairs in taken.items()
    )
    greatest = float(np.abs(answers[PLAIN]).max())
    return found, {
        runtime: float(np.abs(answer - answers[PLAIN]).max()) / greatest
        for runtime, answer in answers.items()
    }


def _variant(models: Path, scratch: Path, runtime: str, setting: Setting) -> Path:
    source = models / MODEL
    repository = scratch / f"{runtime}-{setting.instances}x{setting.threads}"
    folder = repository / MODEL
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "1").symlink_to(source / "1")
        file = source / "config.pbtxt"
        config = convert.loads(file.read_text(encoding="utf-8"), str(file))
        text = convert.dumps(configured(config, runtime, setting))
        (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    return repository


def _answer(server: Server) -> Array:
    client = tritonclient.http.InferenceServerClient(server.endpoint.http)
    image = np.random.default_rng(1).standard_normal((2, 3, 224, 224), np.float32)
    given = tritonclient.http.InferInput("input", list(image.shape), "FP32")
    given.set_data_from_numpy(image)
    answer: Array = client.infer(MODEL, [given]).as_numpy("output")
    client.close()
    return answer


def _ratio(one: Spread, to: Spread) -> Spread:
    return Spread.of(a / b for a, b in zip(one.values, to.values, strict=True))


def markdown(
    taken_at: str,
    machine: Mapping[str, str],
    found: Sequence[Figures],
    apart: Mapping[str, float],
) -> str:
    """Lay the figures out."""
    plain = {one.setting: one for one in found if one.runtime == PLAIN}
    head = (
        "instances x threads", "batch", "runtime", "bare images/s", "served images/s",
        "served / bare", "bare / onnxruntime", "served / onnxruntime",
    )  # fmt: skip
    rows = [
        (
            f"{one.setting.instances} x {one.setting.threads}",
            str(one.setting.batch),
            one.runtime,
            one.bare.text(".1f"),
            one.served.text(".1f"),
            _ratio(one.served, one.bare).text(".3f"),
            _ratio(one.bare, plain[one.setting].bare).text(".2f"),
            _ratio(one.served, plain[one.setting].served).text(".2f"),
        )
        for one in found
    ]
    differing = [(runtime, f"{value:.1e}") for runtime, value in apart.items()]
    repetitions = len(found[0].bare.values)
    return "\n\n".join((
        f"# ResNet-50 on the CPU by runtime, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"Median of {repetitions} repetitions, least and greatest in brackets. In each, all "
            "runtimes take turns, bare and served; ratios are made within a repetition. All read "
            "the same ONNX file: f32 is the openvino accelerator, bf16 the openvino backend with "
            "HINT_BF16. The load client runs on the same machine."
        ),
        table(head, rows),
        "## Answers, against ONNX Runtime's",
        table(("runtime", "greatest difference / greatest answer"), differing),
    )) + "\n"  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench accelerators", description="ResNet-50 on the CPU, by runtime."
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="1 x 1 s; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.repetitions, given.seconds = 1, 1.0
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: list[Figures] = []
    apart: Mapping[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        models = Path(scratch, "models")
        examples.build(MODEL, models)
        for setting in settings(int(here["cores"])):
            figures, apart = measure(
                models, Path(scratch, "variants"), setting, given.repetitions, given.seconds
            )
            found += figures
    page = markdown(taken_at, here, found, apart)
    sys.stdout.write(page)
    if not given.quick:
        plain = {
            "taken_at": taken_at,
            "machine": here,
            "figures": [asdict(one) for one in found],
            "apart": apart,
        }
        keep(given.output, plain, page, "accelerators")


if __name__ == "__main__":
    main()
