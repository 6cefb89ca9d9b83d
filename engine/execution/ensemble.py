"""Ensembles: models that are pipelines of other models of the server.

Owns making one, out of its configuration and the models of its steps, which it holds from then on
to its end: when one of them is loaded anew, so is the ensemble, and the old ones answer what the
old ensemble was asked. Does not own what runs when (``engine.pipeline``), how requests are
answered (``conducting``), or whether the wiring holds (``modelconfig.composition``). ``compose``
blocks, on a worker thread.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.cache import Keys
from engine.clock import Clock
from engine.errors import InvalidArgument, Unsupported
from engine.execution.caching import cached
from engine.execution.conducting import Conductor
from engine.execution.host import Host
from engine.execution.labels import Labels, read_labels
from engine.execution.model import ServedModel
from engine.inside import Callee, Inside
from engine.modelconfig.composition import composition, is_decoupled
from engine.modelconfig.schema import ModelConfig
from engine.pipeline import Pipeline, Stage
from engine.telemetry.spread import spread
from engine.telemetry.stats import Ledger


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes ensembles of a server's models."""

    clock: Clock
    loop: asyncio.AbstractEventLoop
    host: Host

    def __call__(self, name: str, version: int, folder: Path, config: ModelConfig) -> ServedModel:
        """Make an ensemble of models that are ready. Blocks; not for the loop's thread.

        Raises:
            EngineError: a model is not ready; or all that does not fit the models.
        """
        inside = self.host.inside
        if inside is None:
            raise Unsupported(
                f"model '{name}' is an ensemble, and there is no way to its models here"
            )
        labels = read_labels(folder, config)
        callees = inside.ask(_hold, inside, config)
        try:
            whole = _fitting(config, [one.config for one in callees])
            served = self._made(name, version, whole, callees)
        except BaseException:
            inside.post(_let_go, callees)
            raise
        served.labels = {**_inherited(config, callees), **labels}
        return served

    def _made(
        self, name: str, version: int, config: ModelConfig, callees: Sequence[Callee]
    ) -> ServedModel:
        host = self.host
        ledger = Ledger(name, version)
        ledger.caches = cached(config, host.cache)
        ledger.spread = spread(config, host.metering, cached=ledger.caches)
        batched = config.max_batch_size > 0
        conductor = Conductor(
            _pipeline(config, callees),
            callees,
            ledger,
            self.clock,
            self.loop,
            batched=batched,
            waits=None if host.inside is None else host.inside.waits,
        )
        served = ServedModel(name, version, config, conductor, ledger)
        served.runtime = {"runtime": "ensemble", "steps": str(len(callees))}
        if ledger.caches and host.cache is not None:
            # What the models below are is not known here: each load is another ensemble.
            keys = Keys(name, str(version), secrets.token_hex(16), parameters=True)
            served.keep_responses(host.cache, keys, self.clock, self.loop)
        return served


def _hold(inside: Inside, config: ModelConfig) -> tuple[Callee, ...]:
    steps = config.ensemble_scheduling or ()
    callees = tuple(inside.find(step.model_name, step.model_version) for step in steps)
    for one in callees:
        one.hold()
    return callees


def _let_go(callees: Sequence[Callee]) -> None:
    for one in callees:
        one.let_go()


def _fitting(config: ModelConfig, models: Sequence[ModelConfig]) -> ModelConfig:
    """Give the configuration with what it has from its models, if it fits them.

    Raises:
        InvalidArgument: with all that does not.
    """
    if found := list(composition(config, models)):
        texts = (f"{one.what}; {one.hint}" if one.hint else one.what for one in found)
        raise InvalidArgument("\n".join(texts))
    if not is_decoupled(config, models):
        return config
    if config.response_cache:
        raise InvalidArgument(
            f"Response Cache does not currently support model {config.name} with 'decoupled' "
            "transaction policy. Please disable the response cache."
        )
    return replace(config, decoupled=True)


def _pipeline(config: ModelConfig, callees: Sequence[Callee]) -> Pipeline:
    steps = config.ensemble_scheduling or ()
    return Pipeline(
        config.name,
        tuple(tensor.name for tensor in config.input),
        tuple(
            Stage(
                step.model_name,
                step.input_map,
                step.output_map,
                frozenset(spec.name for spec in one.inputs if spec.optional),
                one.config.decoupled,
            )
            for step, one in zip(steps, callees, strict=True)
        ),
        tuple(tensor.name for tensor in config.output),
        config.max_inflight_requests,
    )


def _inherited(config: ModelConfig, callees: Sequence[Callee]) -> Labels:
    """Take the labels of the outputs that become the ensemble's."""
    outputs = {tensor.name for tensor in config.output}
    return {
        tensor: one.labels[name]
        for step, one in zip(config.ensemble_scheduling or (), callees, strict=True)
        for name, tensor in step.output_map.items()
        if tensor in outputs and name in one.labels
    }
