"""Several models that are tuned as one: a pipeline's, or several side by side. Pure.

Owns what a candidate makes of all their configurations, what there is to try for them together,
and how such a variant is told apart and shown. Does not own the meaning of one model's settings
(``variant``), files, or which models belong together.

Rules:

1. A plain dimension is the profiled model's own; ``MODEL::name`` is that model's.
2. An ensemble has no settings of its own. It takes no bigger batches than any of its models does,
   nor bigger ones than its own configuration allows.
3. One model alone is what ``variant`` makes of it, to the last letter: its journals stay readable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from analyzer import variant
from analyzer.space import Axis, Candidate, Dimension, Space, joined
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

#: the key of ``Row.settings`` that holds the settings of each model, where there are several
MODELS = "models"
#: what stands between the names of models that are profiled side by side
BESIDE = "+"


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is served to be measured, with complete default configurations.

    ``name`` is what is profiled; ``top`` is its own configuration, None where it is no model but
    several side by side. ``others`` are the models behind it, or those side by side, by name.
    ``altered`` are those whose default is not what their repository has.
    """

    name: str
    top: ModelConfig | None
    others: Mapping[str, ModelConfig] = field(default_factory=dict)
    altered: frozenset[str] = frozenset()

    @classmethod
    def of(cls, base: ModelConfig | Assembly) -> Assembly:
        """Make one of a model that stands alone."""
        return base if isinstance(base, Assembly) else cls(base.name, base)

    @classmethod
    def beside(cls, models: Mapping[str, ModelConfig]) -> Assembly:
        """Make one of models that share a server and are loaded at the same time."""
        return cls(BESIDE.join(models), None, models)

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """Every model's configuration by its name, the profiled one first."""
        top = {} if self.top is None else {self.name: self.top}
        return {**top, **self.others}

    @property
    def loaded(self) -> tuple[str, ...]:
        """The models that requests are sent to."""
        return (self.name,) if self.top is not None else tuple(self.others)

    @property
    def texts(self) -> Mapping[str, str]:
        """Every model's config.pbtxt by its name."""
        return {name: convert.dumps(config) for name, config in self.configs.items()}

    @classmethod
    def read(cls, name: str, texts: Mapping[str, str], source: str) -> Assembly:
        """Read what ``texts`` spelled.

        Raises:
            ConfigError: a text is no configuration.
        """
        configs = {model: convert.loads(text, source) for model, text in texts.items()}
        return cls(name, configs.pop(name, None), configs)

    def key(self, model: str) -> str:
        """Return what stands before a model's dimensions; "" before the profiled one's."""
        return "" if model == self.name else model


def space(assembly: Assembly, rooms: Mapping[str, Space]) -> Space:
    """Put together what there is to try for each model; the loads come last.

    ``rooms`` are the models' own spaces by their names. Of those behind the profiled one only the
    settings count: nobody loads them but it.
    """
    settings: list[Dimension] = []
    loads: list[Dimension] = []
    for model, room in rooms.items():
        for each in room.dimensions:
            named = replace(each, name=joined(assembly.key(model), each.name))
            if each.axis is Axis.SETTING:
                settings.append(named)
            elif model in assembly.loaded:
                loads.append(named)
    return Space((*settings, *loads))


def make(candidate: Candidate, assembly: Assembly) -> Mapping[str, ModelConfig]:
    """Return every model's configuration with its share of the candidate's settings."""
    parts = candidate.by_model()
    made = {
        name: variant.make(parts.get(assembly.key(name), Candidate(())), config)
        for name, config in assembly.configs.items()
    }
    return {name: _within(config, made) for name, config in made.items()}


def digest(configs: Mapping[str, ModelConfig]) -> str:
    """Return what tells a variant apart: equal digests are the same configurations."""
    own = {name: variant.digest(config) for name, config in configs.items()}
    if len(own) == 1:
        return next(iter(own.values()))
    text = "\n".join(f"{name} {own[name]}" for name in sorted(own))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings(
    assembly: Assembly, configs: Mapping[str, ModelConfig], names: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return what reports show of a variant; all of it goes into JSON.

    That of the profiled model as ``variant.settings`` has it. Where there are several, ``models``
    has those of each that has instances, with the name of its own variant (``names``), and
    ``instance_group`` says all of theirs: ``detect 4:CPU + read 1:CPU``.
    """
    own = {} if assembly.top is None else dict(variant.settings(configs[assembly.name]))
    if not assembly.others:
        return own
    every = {
        name: {"variant": names.get(name, name), **variant.settings(config)}
        for name, config in configs.items()
        if not config.is_ensemble
    }
    groups = (f"{name} {each['instance_group']}" for name, each in every.items())
    return {**own, "instance_group": " + ".join(groups), MODELS: every}


def shown(settings: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return what ``settings`` says of each of several models; {} of one that stands alone."""
    found: Mapping[str, Mapping[str, Any]] = settings.get(MODELS, {})
    return found


def _within(config: ModelConfig, every: Mapping[str, ModelConfig]) -> ModelConfig:
    """Keep an ensemble's batches to what its models take, those of ensembles in it too."""
    if not config.is_ensemble or not config.max_batch_size:
        return config
    takes = [each.max_batch_size for each in _behind(config, every) if each.max_batch_size]
    return replace(config, max_batch_size=min([config.max_batch_size, *takes]))


def _behind(config: ModelConfig, every: Mapping[str, ModelConfig]) -> Iterator[ModelConfig]:
    for step in config.ensemble_scheduling or ():
        model = every.get(step.model_name)
        if model is not None:
            yield model
            yield from _behind(model, every)
