"""Repositories of echoes of known speed, and ensembles of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TENSOR = '{{ name: "{name}" data_type: {kind} dims: [ {dims} ] {more} }}'
Tensors = Mapping[str, str]


def tensor(name: str, kind: str = "TYPE_FP32", dims: object = 2, more: str = "") -> str:
    """Write a tensor as config.pbtxt has it."""
    return TENSOR.format(name=name, kind=kind, dims=dims, more=more)


def write_text(repository: Path, name: str, text: str) -> Path:
    """Write a model that is its configuration alone."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    return folder


def write_echo(
    repository: Path,
    name: str,
    *,
    batch: int = 8,
    kind: str = "TYPE_FP32",
    dims: object = 2,
    latency_us: int = 0,
    pairs: Tensors | None = None,
    optional: tuple[str, ...] = (),
    more: str = "",
) -> Path:
    """Write a synthetic model that hands X on as Y, or other ``pairs``."""
    chosen = pairs or {"X": "Y"}
    given = ", ".join(
        tensor(one, kind, dims, "optional: true" if one in optional else "") for one in chosen
    )
    made = ", ".join(tensor(one, kind, dims) for one in chosen.values())
    text = (
        f'backend: "synthetic" max_batch_size: {batch} input [ {given} ] output [ {made} ] '
        f'parameters {{ key: "latency_us" value: {{ string_value: "{latency_us}" }} }} {more}'
    )
    return write_text(repository, name, text)


def step(model: str, inputs: Tensors, outputs: Tensors, version: int = -1) -> str:
    """Write a step; both maps go from the model's names to the ensemble's."""
    given = " ".join(f'input_map {{ key: "{a}" value: "{b}" }}' for a, b in inputs.items())
    made = " ".join(f'output_map {{ key: "{a}" value: "{b}" }}' for a, b in outputs.items())
    return f'step {{ model_name: "{model}" model_version: {version} {given} {made} }}'


def ensemble(
    *steps: str,
    inputs: str | None = None,
    outputs: str | None = None,
    batch: int = 8,
    inside: str = "",
    more: str = "",
) -> str:
    """Write an ensemble's configuration; X comes in and Y goes out unless it is said otherwise."""
    return (
        f'platform: "ensemble" max_batch_size: {batch} input [ {inputs or tensor("X")} ] '
        f"output [ {outputs or tensor('Y')} ] "
        f"ensemble_scheduling {{ {' '.join(steps)} {inside} }} {more}"
    )


def chain(*models: str, batch: int = 8, more: str = "") -> str:
    """Write an ensemble that sends X through models, one after the other, to Y."""
    names = ["X", *(f"t{place}" for place in range(1, len(models))), "Y"]
    steps = [
        step(model, {"X": names[place]}, {"Y": names[place + 1]})
        for place, model in enumerate(models)
    ]
    return ensemble(*steps, batch=batch, more=more)
