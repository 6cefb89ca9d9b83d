"""From a model file and its configuration to an instance that runs.

Owns: the order of the steps, what a process has once (threads, the switches of TorchScript's
executor), and where a module comes from when instances share their weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.backend import Placement, Signature
from engine.backends.pytorch import accelerate, program
from engine.backends.pytorch.naming import Slot, match_inputs, match_outputs, refuse_texts
from engine.backends.pytorch.program import Kind, Program
from engine.backends.pytorch.session import Session
from engine.backends.pytorch.settings import Settings
from engine.backends.pytorch.shared import Claims, Shelf
from engine.errors import ConfigError, InvalidArgument, Problem, Unsupported
from engine.modelconfig.schema import ModelConfig
from engine.types import TensorSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the models of a process share; ``tensorrt`` brings Torch-TensorRT or says why not."""

    claims: Claims
    shelf: Shelf
    tensorrt: Callable[[], Any]


def inspect(path: Path, config: ModelConfig) -> Signature | None:
    """Read the signature of an exported program, under the names of the configuration.

    Raises:
        EngineError: the configuration does not fit, or lacks what the file does not tell.
    """
    kind = program.kind_of(path)
    if kind is not Kind.EXPORTED:
        if not config.input or not config.output:
            raise ConfigError([_untold(path, config, kind)])
        return None
    loaded = program.load_exported(path)
    opened = program.exported(loaded, accelerate.unchanged)
    given, results = program.exported_specs(loaded, path)
    inputs = _named(given, match_inputs(config, opened.inputs).places) if config.input else ()
    assert opened.outputs is not None
    if config.output:
        outputs = _named(results, match_outputs(config, opened.outputs).places)
    else:
        outputs = _own(results, opened.outputs)
    inputs = inputs or _own(given, opened.inputs)
    return Signature(inputs, outputs, batchable=program.batchable(inputs, outputs))


def _named(specs: list[TensorSpec], places: Mapping[str, int]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, specs[place].dtype, specs[place].shape) for name, place in places.items()
    )


def _own(specs: list[TensorSpec], slots: tuple[Slot, ...]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(slot.names[0], spec.dtype, spec.shape)
        for spec, slot in zip(specs, slots, strict=True)
    )


def _untold(path: Path, config: ModelConfig, kind: Kind) -> Problem:
    """Say that a configuration has to say what the file does not, and what is known of it."""
    opened = _open(path, Placement(), "cpu", accelerate.unchanged)
    takes = ", ".join(slot.names[0] for slot in opened.inputs)
    gives = (
        ""
        if opened.outputs is None
        else (f" and gives {', '.join(slot.names[0] for slot in opened.outputs)}")
    )
    what = (
        f"model '{config.name}': {kind.value} models are not completed from their file, so"
        " config.pbtxt has to say every input and output"
    )
    return Problem(str(path), what, hint=f"the model takes {takes}{gives}: write their types, dims")


def load(
    path: Path, config: ModelConfig, placement: Placement, settings: Settings, sharing: Sharing
) -> Session:
    """Load one instance.

    Raises:
        EngineError: what is missing or wrong, and where.
    """
    device = _device(config, placement)
    _set_up(config, settings, sharing.claims)
    improve = accelerate.choose(config, placement, sharing.tensorrt)
    if settings.weight_sharing:
        stamp = path.stat()
        key = (path.resolve(), stamp.st_mtime_ns, stamp.st_size, device, repr(settings))
        opened = sharing.shelf.take(key, lambda: _open(path, placement, device, improve))
    else:
        opened = _open(path, placement, device, improve)
    refuse_texts(config, served=opened.kind is Kind.SCRIPT)
    inputs = None if opened.keyed else match_inputs(config, opened.inputs)
    outputs = match_outputs(config, opened.outputs)
    logger.info(
        "model '%s': %s on %s; inputs by %s, outputs by %s",
        *(config.name, opened.kind.value, device),
        *(inputs.convention.value if inputs else "their keys", outputs.convention.value),
    )
    return Session(
        opened,
        config,
        settings,
        inputs=inputs.places if inputs else None,
        outputs=outputs.places,
        device=device,
        threads=placement.threads,
        held=lambda: sharing.claims.held("INTRA_OP_THREAD_COUNT"),
        accelerated=improve is not accelerate.unchanged,
    )


def _device(config: ModelConfig, placement: Placement) -> str:
    if placement.device is None:
        return "cpu"
    if not torch.cuda.is_available():
        raise Unsupported(
            f"model '{config.name}' is to run on GPU {placement.device}, and PyTorch"
            f" {torch.__version__} cannot use one; install a build of torch for CUDA, or write"
            " kind: KIND_CPU"
        )
    return f"cuda:{placement.device}"


def _set_up(config: ModelConfig, settings: Settings, claims: Claims) -> None:
    """Set what a process has once: whoever is first decides it."""
    switches: tuple[tuple[str, int | None, Callable[[Any], Any]], ...] = (
        ("INTRA_OP_THREAD_COUNT", settings.intra_op_threads, torch.set_num_threads),
        ("INTER_OP_THREAD_COUNT", settings.inter_op_threads, torch.set_num_interop_threads),
        ("ENABLE_JIT_EXECUTOR", settings.jit_executor, _jit("_jit_set_profiling_executor")),
        ("ENABLE_JIT_PROFILING", settings.jit_profiling, _jit("_jit_set_profiling_mode")),
        ("ENABLE_TENSOR_FUSER", settings.tensor_fuser, _jit("_jit_set_texpr_fuser_enabled")),
    )
    for key, value, carry_out in switches:
        if value is None:
            continue
        try:
            claims.claim(key, value, config.name, carry_out)
        except RuntimeError as fault:
            raise InvalidArgument(
                f"model '{config.name}': parameters['{key}'] = '{value}': PyTorch cannot change it"
                f" any more ({fault}); have this model loaded before any other runs"
            ) from fault


def _jit(name: str) -> Callable[[Any], Any]:
    """Find a switch of TorchScript's executor, which PyTorch keeps in its native part."""
    switch = getattr(torch._C, name)  # noqa: SLF001 - where its own torch.jit takes them from
    return lambda value: switch(bool(value))


def _open(path: Path, placement: Placement, device: str, improve: Callable[[Any], Any]) -> Program:
    match program.kind_of(path):
        case Kind.SCRIPT:
            return program.script(program.load_script(path, device), improve)
        case Kind.EXPORTED:
            loaded = program.load_exported(path)
            if device != "cpu":
                loaded = torch.export.passes.move_to_device_pass(loaded, device)
            return program.exported(loaded, improve)
        case Kind.PACKAGE:
            if improve is not accelerate.unchanged:
                raise InvalidArgument(
                    f"{path}: an AOTInductor package is compiled already; take the accelerator out"
                    " of config.pbtxt, or serve the exported program"
                )
            return program.package(program.load_package(path, placement.device))
