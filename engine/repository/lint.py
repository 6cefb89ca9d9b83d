"""``engine check PATH``: everything that is wrong with model repositories, all at once.

Owns: the walk over repositories, models and versions, and the rules that need more than one
configuration: files that are missing, steps of an ensemble that lead nowhere, threads beyond
the cores. Does not own: the rules for one configuration (``modelconfig``), nor loading; a
model that passes may still fail to load for what only its runtime knows.

A warning is what serves, though hardly as meant; all else would keep the model from serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import engine.backend
from engine.backend import Backend
from engine.errors import ConfigError, EngineError, InvalidArgument, Problem
from engine.modelconfig import convert
from engine.modelconfig.check import findings
from engine.modelconfig.complete import problems
from engine.modelconfig.composition import composition
from engine.modelconfig.findings import Finding, located, near
from engine.modelconfig.locate import Path as FieldPath
from engine.modelconfig.schema import EnsembleStep, InstanceGroup, ModelConfig
from engine.repository.prepare import (
    Declared,
    Said,
    ask,
    fill,
    judge,
    misnamed,
    recognised,
)
from engine.repository.scan import (
    CONFIG,
    ModelFolder,
    find_models,
    is_version,
    scan_model,
    why_ignored,
)
from engine.repository.terms import Terms
from engine.repository.wanted import (
    choose_versions,
    contents,
    missing_beside,
    missing_file,
    no_versions,
)
from engine.telemetry import machine

# Messages of a configuration; a mistake within one leaves the rest of the file judgeable,
# while one in a number at the top may change what all the rest means.
_APART = {
    "input",
    "output",
    "instance_group",
    "dynamic_batching",
    "sequence_batching",
    "batch_input",
    "batch_output",
    "model_warmup",
    "model_metrics",
    "optimization",
    "parameters",
}


@dataclass(frozen=True, slots=True)
class _Checked:
    """A model after its own check; ``config`` is None if it could not be completed."""

    folder: ModelFolder
    declared: Declared
    config: ModelConfig | None


def lint(
    paths: Iterable[Path],
    *,
    find: Callable[[str], Backend] = engine.backend.find,
    cores: int | None = None,
    config_name: str = "",
    backend_directory: Path | None = None,
) -> tuple[Problem, ...]:
    """Check repositories, or single models: folders with a config.pbtxt or a version in them.

    Problems stand in the order of models and lines. ``cores`` are this machine's, or those of
    the machine that is to serve; which GPUs that has is not judged. ``config_name`` is that of
    ``--model-config-name``, and native libraries are looked for in ``backend_directory``, too.
    """
    terms = Terms(find=find, gpus=None, backend_directory=backend_directory)
    return tuple(_Linter(terms, cores or machine.cores(), config_name).lint(paths))


def is_model(path: Path) -> bool:
    """Say whether a folder is a model rather than a repository of models."""
    if (path / CONFIG).is_file():
        return True
    return any(is_version(name) and (path / name).is_dir() for name in contents(path))


class _Linter:
    def __init__(self, terms: Terms, cores: int, config_name: str) -> None:
        self._terms = terms
        self._cores = cores
        self._config_name = config_name
        self._problems: list[Problem] = []

    def lint(self, paths: Iterable[Path]) -> list[Problem]:
        repositories: list[Path] = []
        single: list[Path] = []
        for path in dict.fromkeys(paths):
            (single if is_model(path) else repositories).append(path)
        folders = [self._scan(path if path.name else path.absolute()) for path in single]
        folders += self._walk(repositories)
        known: dict[str, _Checked] = {}
        distinct = {folder.directory.absolute(): folder for folder in folders}
        for folder in sorted(distinct.values(), key=lambda folder: folder.name):
            known[folder.name] = self._model(folder)
        for checked in known.values():
            config = checked.declared.config
            if config.is_ensemble:
                self._add(_located(checked.declared, _steps(config, known)))
        return self._problems

    def _scan(self, folder: Path) -> ModelFolder:
        return scan_model(folder, self._config_name)

    def _walk(self, repositories: Sequence[Path]) -> Iterator[ModelFolder]:
        readable: list[Path] = []
        for repository in repositories:
            try:
                models = find_models([repository])
            except EngineError as error:
                self._say(str(repository), error.message.removeprefix(f"{repository}: "))
                continue
            readable.append(repository)
            if not models:
                what = "no models here"
                hint = "a repository holds a folder for each model: model/config.pbtxt, model/1/"
                self._say(str(repository), what, hint)
        for name, places in find_models(readable).items():
            if len(places) > 1:
                what = "model appears in two or more repositories"
                self._say(", ".join(map(str, places)), what, f"keep one of the folders {name!r}")
            for place in places:
                yield self._scan(place)

    def _say(self, source: str, what: str, hint: str = "", *, warning: bool = False) -> None:
        self._problems.append(Problem(source, what, hint=hint, warning=warning))

    def _say_of(self, folder: str, text: str) -> None:
        """Say a text that may begin with the place it is about: the folder, or a file in it."""
        place, colon, what = text.partition(": ")
        if colon and (place == folder or place.startswith(f"{folder}/")):
            self._say(place, what)
        else:
            self._say(folder, text)

    def _add(self, found: Iterable[Problem]) -> None:
        self._problems += sorted(
            dict.fromkeys(found), key=lambda problem: (problem.line or 0, problem.column or 0)
        )

    def _model(self, folder: ModelFolder) -> _Checked:
        if folder.fault:
            self._say_of(folder.source, folder.fault)
            return _Checked(folder, Declared(ModelConfig(name=folder.name), folder.source), None)
        text = convert.read(folder.config_text or "", folder.source)
        declared = Declared(text.config, folder.source, text.places)
        found = list(text.problems)
        if wrong := misnamed(declared, folder):
            found.append(wrong)
        named = replace(text.config, name=folder.name)
        declared = Declared(named, folder.source, text.places)
        self._folders(folder)
        found += _located(declared, missing_beside(named, folder.directory))
        if text.problems:
            found += _apart(declared, text.broken)
            self._add(found)
            return _Checked(folder, declared, None)
        if named.is_ensemble:
            found += problems(named, declared.source, declared.places)
            self._add(found)
            return _Checked(folder, declared, named)
        config = self._versions(folder, declared, found)
        self._add(found)
        return _Checked(folder, declared, config)

    def _folders(self, folder: ModelFolder) -> None:
        for name in folder.ignored:
            place = str(folder.directory / name)
            self._say(place, "this folder is ignored", why_ignored(name), warning=True)

    def _versions(
        self, folder: ModelFolder, declared: Declared, found: list[Problem]
    ) -> ModelConfig | None:
        """Check every version that would be served; returns the newest, completed."""
        config: ModelConfig | None = None
        try:
            declared = recognised(declared, folder)
        except EngineError as error:
            path: FieldPath = ("platform",) if declared.config.platform else ()
            found += _located(declared, [Finding(path, error.message)])
            found += problems(declared.config, declared.source, declared.places)
            return None
        versions = choose_versions(declared.config.version_policy, folder.versions)
        if not versions:
            named = fill(declared, None, self._terms)
            wrong = Finding(("version_policy",), no_versions(named, folder))
            found += _located(declared, [wrong])
        try:
            newest = folder.version_directory(versions[-1] if versions else 1)
            backend = self._terms.backend_of(declared.config, newest)
        except EngineError as error:
            wrong = Finding(("backend",), error.message)
            found += _located(declared, [wrong])
            backend = None
        for version in versions:
            said = self._ask(declared, folder, version, backend)
            try:
                config = fill(declared, said, self._terms)
            except ConfigError as error:
                found += error.problems
                continue
            found += judge(declared, config, said, self._terms)
        if config is not None:
            found += _located(declared, _hardly_meant(config, self._cores))
        elif not versions:
            found += problems(declared.config, declared.source, declared.places)
        return config

    def _ask(
        self,
        declared: Declared,
        folder: ModelFolder,
        version: int,
        backend: Backend | None,
    ) -> Said:
        directory = folder.version_directory(version)
        named = fill(declared, None, self._terms)
        if missing := missing_file(named, directory):
            wanted = str(directory / named.default_model_filename)
            self._say(wanted, missing.removeprefix(f"{wanted}: "))
            return None
        if backend is None:
            return None
        try:
            return ask(backend, directory, named, self._terms)
        except InvalidArgument as error:
            self._say(declared.source, error.message)  # the configuration's, not the file's
            return None
        except EngineError as error:
            self._say_of(str(directory), error.message)
            return None


def _located(declared: Declared, found: Iterable[Finding]) -> tuple[Problem, ...]:
    return located(found, declared.source, declared.places)


def _apart(declared: Declared, broken: Sequence[FieldPath]) -> tuple[Problem, ...]:
    """Check what a text still says, if what it fails to say does not touch it."""
    tops = {path[0] if path else "" for path in broken}
    if not tops <= _APART:
        return ()
    return _located(
        declared, (one for one in findings(declared.config) if one.path and one.path[0] not in tops)
    )


def _hardly_meant(config: ModelConfig, cores: int) -> Iterator[Finding]:
    if config.dynamic_batching is not None and config.max_batch_size == 0:
        yield Finding(
            ("dynamic_batching",),
            "dynamic_batching has no effect while max_batch_size is 0",
            "set max_batch_size, or remove dynamic_batching",
            warning=True,
        )
    threads = config.parameters.get("intra_op_thread_count", "")
    instances = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
    if threads.isdecimal() and instances * int(threads) > cores:
        yield Finding(
            ("parameters",),
            f"{instances} instances of {threads} threads each want {instances * int(threads)} "
            f"cores, and this machine has {cores}",
            "lower intra_op_thread_count or the instances' count, or leave the thread count out to "
            "have the cores shared out",
            warning=True,
        )
    elif not threads and _on_cpu(config.instance_group) > cores:
        yield Finding(
            ("instance_group",),
            f"{_on_cpu(config.instance_group)} instances on the CPU, and this machine has {cores} "
            "cores",
            "lower their count",
            warning=True,
        )


def _on_cpu(groups: Sequence[InstanceGroup]) -> int:
    return sum(group.count for group in groups if not group.gpus)


def _steps(config: ModelConfig, known: Mapping[str, _Checked]) -> Iterator[Finding]:
    """Check that an ensemble's steps, and the tensors they name, exist."""
    for index, step in enumerate(config.ensemble_scheduling or ()):
        path: FieldPath = ("ensemble_scheduling", "step", index)
        if not step.model_name:
            continue
        checked = known.get(step.model_name)
        if checked is None:
            what = (
                f"ensemble {config.name} contains models that are not available or ambiguous: "
                f"{step.model_name}"
            )
            others = [name for name in known if name != config.name]
            hint = near(step.model_name, others) if others else "there is no other model here"
            yield Finding((*path, "model_name"), what, hint)
            continue
        yield from _step_version(step, checked.folder, (*path, "model_version"))
    models = [known.get(step.model_name) for step in config.ensemble_scheduling or ()]
    yield from composition(config, [one.config if one else None for one in models])


def _step_version(step: EnsembleStep, folder: ModelFolder, path: FieldPath) -> Iterator[Finding]:
    if step.model_version > 0 and step.model_version not in folder.versions:
        there = ", ".join(map(str, folder.versions)) or "no version"
        what = f"model '{step.model_name}' has no version {step.model_version}"
        yield Finding(path, what, f"there is {there}; -1 means the newest")
