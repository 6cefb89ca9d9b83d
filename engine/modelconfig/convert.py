"""config.pbtxt, JSON and protobuf to and from ``schema``: the edge of the configuration.

Owns: the public conversions and their errors, and is the only module that reads
``model_config_pb2``. Does not own: defaults (``complete``), nor what is sensible (``check``).
Laws: ``loads(dumps(c)) == c``, ``from_json(to_json(c)) == c``, ``from_proto(to_proto(c)) == c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from engine.errors import ConfigError, Problem
from engine.modelconfig import messages, plain, textform
from engine.modelconfig.findings import Finding, located
from engine.modelconfig.locate import Path, Places
from engine.modelconfig.schema import ModelConfig

Message = Any  # an inference.ModelConfig; protobuf's generated code publishes no types


@dataclass(frozen=True, slots=True)
class Text:
    """A config.pbtxt that was read: what it says, what is wrong, and where things stand.

    If there are ``problems``, ``config`` holds what could be read, with stand-ins for the
    rest: good enough to look for more problems outside ``broken``, not to be served.
    """

    config: ModelConfig
    problems: tuple[Problem, ...]
    places: Places
    broken: tuple[Path, ...] = ()


def read(text: str, source: str) -> Text:
    """Read a config.pbtxt and say everything that is wrong with it; raises nothing."""
    parsed = textform.parse(text, model_config_pb2.ModelConfig(), source)
    config, findings = messages.read(parsed.message)
    around = tuple(path[:-2] for path in parsed.blanked)
    fresh = [
        finding for finding in findings if not any(path and finding.within(path) for path in around)
    ]
    if () in parsed.blanked:
        fresh = []
    problems = (*parsed.problems, *located(fresh, source, parsed.places))
    broken = (*parsed.blanked, *(finding.path[:-1] for finding in fresh))
    return Text(config, _in_order(problems), parsed.places, broken)


def _in_order(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def loads(text: str, source: str) -> ModelConfig:
    """Read a config.pbtxt.

    Raises:
        ConfigError: with every problem, each with its line and column in ``source``.
    """
    found = read(text, source)
    if found.problems:
        raise ConfigError(found.problems)
    return found.config


def dumps(config: ModelConfig) -> str:
    """Write a config.pbtxt.

    Raises:
        ConfigError: the schema of the file cannot hold this configuration.
    """
    text: str = text_format.MessageToString(
        to_proto(config), as_utf8=True, use_short_repeated_primitives=True
    )
    return text


def to_proto(config: ModelConfig) -> Message:
    """Make the protobuf message ``inference.ModelConfig``.

    Raises:
        ConfigError: the message cannot hold this configuration.
    """
    message = model_config_pb2.ModelConfig()
    if findings := messages.write(config, message):
        raise ConfigError(located(findings, config.name or "the configuration"))
    return message


def from_proto(message: Message, source: str = "the message") -> ModelConfig:
    """Read the protobuf message ``inference.ModelConfig``.

    Raises:
        ConfigError: something in it has no meaning, such as a number outside an enum.
    """
    config, findings = messages.read(message)
    if findings:
        raise ConfigError(located(findings, source))
    return config


def to_json(config: ModelConfig) -> dict[str, Any]:
    """Make the plain values of ``/config``, numbers and defaults as Triton writes them."""
    return plain.write(to_proto(config))


def fields() -> Message:
    """Return protobuf's description of the message: which fields there are, which repeat."""
    return model_config_pb2.ModelConfig.DESCRIPTOR


def misfits(values: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Say what of plain values fits no configuration, by the path of each field."""
    message = model_config_pb2.ModelConfig()
    findings = plain.fill(message, values)
    return tuple(findings or messages.read(message)[1])


def from_json(values: Mapping[str, Any], source: str) -> ModelConfig:
    """Read the plain values of ``/config`` or of a load override.

    Raises:
        ConfigError: with every problem, each with the path of its field.
    """
    message = model_config_pb2.ModelConfig()
    findings = plain.fill(message, values)
    if findings:
        raise ConfigError(located(findings, source))
    return from_proto(message, source)
