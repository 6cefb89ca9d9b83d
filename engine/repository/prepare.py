"""From a model's folder to what a backend can load: reads, recognises, completes, checks.

Owns: the order of these steps. It reads the disk and asks a
backend for a model file's signature, so it belongs on a worker thread. Does not own: the
rules of each step, nor loading (``execution.model``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.backend import Backend, SelfCompleting, Signature
from engine.errors import ConfigError, EngineError, NotFound, Problem, Unsupported
from engine.modelconfig import convert
from engine.modelconfig.agree import disagreements
from engine.modelconfig.check_tensors import check_labels
from engine.modelconfig.complete import adopt, complete, problems, unnamed_batch
from engine.modelconfig.findings import Finding, located
from engine.modelconfig.locate import Places
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig
from engine.repository.recognise import recognise
from engine.repository.scan import ModelFolder
from engine.repository.terms import Terms
from engine.repository.wanted import contents, first_version, missing_file

logger = logging.getLogger(__name__)

#: what a model says of itself: its file's signature, the configuration it completed, or nothing
Said = Signature | ModelConfig | None


@dataclass(frozen=True, slots=True)
class Declared:
    """A configuration as it is written, and where: ``places`` are None if it is no text."""

    config: ModelConfig
    source: str
    places: Places | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that loading one version takes."""

    config: ModelConfig
    backend: Backend
    directory: Path


def declare(folder: ModelFolder, override: ModelConfig | None = None) -> Declared:
    """Read a model's configuration; ``override`` takes the place of the file's.

    Raises:
        ConfigError: with every problem of the text.
        NotFound: the folder cannot be read.
    """
    if folder.fault:
        raise NotFound(folder.fault)
    wrong: list[Problem] = []
    if override is not None:
        declared = Declared(override, f"the config override of model '{folder.name}'")
    else:
        found = convert.read(folder.config_text or "", folder.source)
        wrong += found.problems
        declared = Declared(found.config, folder.source, found.places)
    if misplaced := misnamed(declared, folder):
        wrong.append(misplaced)
    if wrong:
        raise ConfigError(wrong)
    named = replace(declared.config, name=folder.name)
    return Declared(named, declared.source, declared.places)


def misnamed(declared: Declared, folder: ModelFolder) -> Problem | None:
    """Say that a model's name is not its folder's, if so."""
    name = declared.config.name
    if name in {"", folder.name}:
        return None
    line, column = declared.places.find(("name",)) if declared.places else (None, None)
    return Problem(
        declared.source,
        f"unexpected directory name '{folder.name}' for model '{name}', directory name must equal "
        "model name",
        line,
        column,
        hint=f'write name: "{folder.name}", leave it out, or rename the folder',
    )


def refuse_unserved(config: ModelConfig) -> None:
    """Refuse ensembles, where nothing makes them.

    Raises:
        Unsupported: it is an ensemble.
    """
    if config.is_ensemble:
        raise Unsupported(
            f"model '{config.name}' is an ensemble, which is not served here; its models can be "
            "called one by one"
        )


def prepare(declared: Declared, folder: ModelFolder, version: int, terms: Terms) -> Prepared:
    """Make one version ready to be loaded.

    Raises:
        EngineError: what is wrong, all of it where the configuration is to blame.
    """
    directory = folder.version_directory(version)
    declared = recognised(declared, folder)
    backend = terms.backend_of(declared.config, directory)
    named = fill(declared, None, terms)
    if missing := missing_file(named, directory):
        raise NotFound(missing)
    said = ask(backend, directory, named, terms)
    config = fill(declared, said, terms)
    if kept := _kept_on_cpu(declared.config, terms):
        logger.warning("%s", kept)
    _keep_labels_inside(config)
    found = judge(declared, config, said, terms)
    if wrong := [one for one in found if not one.warning]:
        raise ConfigError(wrong)
    for warning in found:
        logger.warning("%s", warning)
    return Prepared(config, backend, directory)


def _kept_on_cpu(config: ModelConfig, terms: Terms) -> str:
    """Say that a model is kept from a GPU that it would be on, and why; "" if it is not."""
    groups = config.instance_group or (InstanceGroup(),)
    if all(group.kind is not InstanceKind.KIND_AUTO for group in groups):
        return ""
    why = terms.no_gpu(config.backend)
    return f"model '{config.name}' is on the CPU though there is a GPU: {why}" if why else ""


def _keep_labels_inside(config: ModelConfig) -> None:
    """Refuse label files of others with Triton's code, which is not that of other mistakes.

    Raises:
        Unsupported: a label file would lie outside of the model's folder.
    """
    for finding in check_labels(config):
        raise Unsupported(f"{finding.what}; {finding.hint}")


def ask(backend: Backend, directory: Path, named: ModelConfig, terms: Terms) -> Said:
    """Ask a version of a model what it says of itself; ``named`` is its configuration so far.

    Raises:
        EngineError: it cannot be read, or refuses the configuration.
    """
    signature = backend.inspect(directory, named)
    if terms.auto and isinstance(backend, SelfCompleting):
        return backend.auto_complete(directory, named)
    return signature


def prepare_ensemble(declared: Declared) -> ModelConfig:
    """Give an ensemble's complete configuration, if nothing is wrong with it by itself.

    Raises:
        ConfigError: with all that is.
    """
    config = declared.config
    if wrong := [
        one for one in problems(config, declared.source, declared.places) if not one.warning
    ]:
        raise ConfigError(wrong)
    return complete(config, inputs=(), outputs=(), batchable=False, auto=False)


def recognised(declared: Declared, folder: ModelFolder) -> Declared:
    """Tell the backend of a model, looking into the folder of its first version.

    Raises:
        InvalidArgument: nothing tells.
    """
    config = recognise(declared.config, folder.name, contents(first_version(folder)))
    return replace(declared, config=config)


def fill(declared: Declared, said: Said, terms: Terms) -> ModelConfig:
    """Complete a recognised configuration with what the model says of itself.

    Raises:
        ConfigError: the two exclude each other.
        InvalidArgument: a flag is wrong.
    """
    config, signature = declared.config, said if isinstance(said, Signature) else None
    if isinstance(said, ModelConfig):
        config = adopt(config, said)
    try:
        return complete(
            config,
            inputs=signature.inputs if signature is not None else (),
            outputs=signature.outputs if signature is not None else (),
            batchable=signature is not None and signature.batchable,
            named_batch=signature.named_batch if signature is not None else None,
            most_rows=signature.most_rows if signature is not None else 0,
            default_max_batch_size=terms.default_max_batch_size(config.backend),
            auto=terms.auto,
            gpus=terms.gpus or (),
            auto_gpu=not terms.no_gpu(config.backend),
        )
    except ConfigError as error:
        # The completion knows the model; where max_batch_size stands, the text knows.
        line, column = (
            declared.places.find(("max_batch_size",)) if declared.places else (None, None)
        )
        raise ConfigError(
            Problem(declared.source, problem.what, line, column, hint=problem.hint)
            for problem in error.problems
        ) from error


def judge(declared: Declared, config: ModelConfig, said: Said, terms: Terms) -> tuple[Problem, ...]:
    """Say all that is wrong with a completed configuration, by itself and for its file."""
    found = problems(config, declared.source, declared.places, terms.gpus)
    if isinstance(said, Signature):
        differing = (
            *disagreements(config, said.inputs, said.outputs),
            *_overridden(declared, config),
            *unnamed_batch(config, said.named_batch),
        )
        found += located(differing, declared.source, declared.places)
    return found


def _overridden(declared: Declared, config: ModelConfig) -> Iterator[Finding]:
    """Warn that somebody's ``max_batch_size: 0`` does not stay 0: it surprises Triton's users."""
    written = declared.places is not None and declared.places.node(("max_batch_size",)) is not None
    if written and declared.config.max_batch_size == 0 < config.max_batch_size:
        yield Finding(
            ("max_batch_size",),
            f"max_batch_size: 0 is filled in as {config.max_batch_size}, since inputs or outputs "
            f"are left out and the model file of {config.name} can batch",
            "write inputs and outputs to keep it 0",
            warning=True,
        )


def code_word(error: EngineError) -> str:
    """Write an error as Triton's index and load replies do: ``Not found: text``."""
    return f"{error.code.value.replace('_', ' ').capitalize()}: {error.message}"
