"""What the answers are compared on: the run's own input data, one sample a request.

Made-up data is made up anew for every sample, since one would say little; of files the first
samples are taken. Reads the files that the user named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from analyzer.load.inputs.source import Asked, prepare
from analyzer.load.payload import KINDS
from engine.modelconfig.complete import input_specs, output_specs
from engine.v2.call import ModelDescription

if TYPE_CHECKING:
    from engine.modelconfig.schema import ModelConfig
    from engine.types import InferRequest

#: zeros are one sample, however many are asked for
_MADE_UP = "random"


def samples(
    config: ModelConfig, sources: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]], count: int
) -> tuple[InferRequest, ...]:
    """Make ``count`` requests of one sample for a model, fewer where files hold no more.

    Raises:
        LoadError: the model cannot take the shapes.
        UsageError: a file is not there, or does not fit the model.
    """
    described = ModelDescription(
        config.name, (), config.platform, input_specs(config), output_specs(config)
    )
    if set(sources) <= set(KINDS):
        asked = Asked(sources=(_MADE_UP,), shapes=shapes)
        every = (replace(asked, seed=seed) for seed in range(count))
        return tuple(prepare(described, config, each).every[0].request for each in every)
    found = prepare(described, config, Asked(sources=sources, shapes=shapes))
    return tuple(each.request for each in islice(found.every, count))


def why_not(config: ModelConfig) -> str:
    """Say why single requests show nothing of a model; "" where they do."""
    if config.sequence_batching is not None:
        return "the model keeps sequences, so that its answers depend on what came before"
    if config.decoupled:
        return "the model is decoupled: it may answer a request any number of times"
    return ""
