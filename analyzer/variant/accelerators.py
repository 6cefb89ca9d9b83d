"""Execution accelerators in a configuration, and what precision one is told. Pure.

Owns where they stand (``optimization.execution_accelerators``, those for GPUs and those for the
CPU). What users tell an accelerator of theirs stays told, whichever precision is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    ModelConfig,
    Optimization,
)

TENSORRT, OPENVINO = "tensorrt", "openvino"
#: no execution accelerator
NONE = "none"
#: those that can be tried, and whether they are for GPUs
ACCELERATORS: Mapping[str, bool] = {TENSORRT: True, OPENVINO: False}
_MODE = "precision_mode"
_USUAL = "FP32"


def accelerator_of(config: ModelConfig) -> str:
    """Name the accelerators in use; ``none`` where there is none."""
    return "+".join(each.name for each in _every(config)) or NONE


def mode_of(config: ModelConfig) -> str | None:
    """Say in what precision an accelerator is told to compute; None where none is told."""
    modes = (each.parameters.get(_MODE) for each in _told(config))
    return next((mode for mode in modes if mode), None)


def takes_mode(config: ModelConfig) -> bool:
    """Whether there is an accelerator that can be told a precision."""
    return bool(_told(config))


def with_accelerator(config: ModelConfig, name: str) -> ModelConfig:
    """Use one accelerator in the place of all, or ``none``."""
    if name == accelerator_of(config):
        return config
    if name == NONE:
        return _with(config, None)
    own = next((each for each in _every(config) if each.name == name), Accelerator(name=name))
    if ACCELERATORS.get(name, True):
        return _with(config, ExecutionAccelerators(gpu_execution_accelerator=(own,)))
    return _with(config, ExecutionAccelerators(cpu_execution_accelerator=(own,)))


def with_mode(config: ModelConfig, precision: str) -> ModelConfig:
    """Tell the accelerators a precision; FP32 is what they have unless told."""
    if precision == (mode_of(config) or _USUAL):
        return config
    listed = _listed(config)
    told = {each.name for each in _told(config)}
    return _with(
        config,
        replace(
            listed,
            gpu_execution_accelerator=tuple(
                replace(each, parameters={**each.parameters, _MODE: precision})
                if each.name in told
                else each
                for each in listed.gpu_execution_accelerator
            ),
        ),
    )


def listed_like(own: ModelConfig, winner: ModelConfig) -> ModelConfig:
    """Return ``own`` with the accelerators of ``winner``."""
    found = _listed(winner)
    return own if found == _listed(own) else _with(own, found if _every(winner) else None)


def _listed(config: ModelConfig) -> ExecutionAccelerators:
    found = config.optimization.execution_accelerators if config.optimization else None
    return found or ExecutionAccelerators()


def _every(config: ModelConfig) -> tuple[Accelerator, ...]:
    listed = _listed(config)
    return (*listed.gpu_execution_accelerator, *listed.cpu_execution_accelerator)


def _told(config: ModelConfig) -> tuple[Accelerator, ...]:
    found = _listed(config).gpu_execution_accelerator
    return tuple(each for each in found if each.name.startswith(TENSORRT))


def _with(config: ModelConfig, listed: ExecutionAccelerators | None) -> ModelConfig:
    present = config.optimization
    if present is None and listed is None:
        return config
    return replace(
        config, optimization=replace(present or Optimization(), execution_accelerators=listed)
    )
