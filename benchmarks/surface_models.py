"""The models of the recorded surfaces: examples of the engine's, and some made here.

Weights come from a seed, as those of the examples do: speed is true, answers mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from engine import examples
from engine.examples._graph import FLOAT, RELU, Graph


def _config(name: str, largest: int, widths: Sequence[int]) -> str:
    return (
        f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {largest}\n'
        f'input [ {{ name: "input" data_type: TYPE_FP32 dims: [ {widths[0]} ] }} ]\n'
        f'output [ {{ name: "output" data_type: TYPE_FP32 dims: [ {widths[-1]} ] }} ]\n'
    )


def _layers(name: str, seed: int, widths: Sequence[int]) -> bytes:
    graph = Graph(name, seed=seed)
    value = graph.input("input", FLOAT, widths[0])
    for width, units in pairwise(widths[:-1]):
        value = graph.node("Relu", graph.dense(value, width, units, gain=RELU))
    graph.dense(value, *widths[-2:], into=graph.output("output", FLOAT, widths[-1]))
    return graph.to_bytes()


def _dense(name: str, seed: int, largest: int, widths: Sequence[int], repository: Path) -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(_layers(name, seed, widths))
    (folder.parent / "config.pbtxt").write_text(_config(name, largest, widths), encoding="utf-8")


def _wide(repository: Path) -> None:
    """Write 96 MB of weights in three layers."""
    _dense("wide", 11, 16, (1024, 6144, 2048, 2560), repository)


def _cascade(repository: Path) -> None:
    """Write an ensemble of two stages."""
    _dense("cascade_encode", 12, 8, (512, 2048, 2048, 256), repository)
    _dense("cascade_head", 13, 8, (256, 1024, 64), repository)
    folder = repository / "cascade"
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(CASCADE, encoding="utf-8")


CASCADE = """\
name: "cascade"
platform: "ensemble"
max_batch_size: 8
input [ { name: "INPUT" data_type: TYPE_FP32 dims: [ 512 ] } ]
output [ { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 64 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "cascade_encode"
      model_version: -1
      input_map { key: "input" value: "INPUT" }
      output_map { key: "output" value: "encoded" }
    },
    {
      model_name: "cascade_head"
      model_version: -1
      input_map { key: "input" value: "encoded" }
      output_map { key: "output" value: "OUTPUT" }
    }
  ]
}
"""

OWN: Mapping[str, Callable[[Path], None]] = {"wide": _wide, "cascade": _cascade}


def build(name: str, repository: Path) -> None:
    """Put a model, and what it needs, into a repository; what is there already stays.

    Raises:
        NotFound: there is no such model.
    """
    if name not in OWN:
        examples.build(name, repository)
    elif not (repository / name / "config.pbtxt").is_file():
        OWN[name](repository)
