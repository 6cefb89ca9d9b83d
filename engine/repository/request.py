"""What a load request may ask for: the name's form and the parameters' meaning. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.errors import EngineError, InvalidArgument
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig
from engine.repository.sent import PREFIX


def check_name(name: str) -> None:
    """Refuse a name that no model can have.

    Raises:
        InvalidArgument: it is empty, or leads out of the repository.
    """
    if not name:
        raise InvalidArgument("Model name cannot be empty. Please enter a valid name to deploy.")
    if "/" in name or ".." in name:
        raise InvalidArgument(
            f"invalid model name '{name}', model name must not contain path traversal characters"
        )


def version_number(version: str) -> int:
    """Read a version as a client writes it.

    Raises:
        InvalidArgument: it is no number.
    """
    try:
        return int(version)
    except ValueError as fault:
        raise InvalidArgument(
            f"failed to get model version from specified version string '{version}', version "
            "should be an integral value > 0"
        ) from fault


@dataclass(frozen=True, slots=True)
class Asked:
    """What a load request asks for instead of what the repository holds.

    ``config`` takes the place of config.pbtxt, ``files``, by their paths in the model's folder,
    that of the folder; None and empty leave the repository's.
    """

    config: ModelConfig | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def asked(parameters: Mapping[str, str | bytes | bool]) -> Asked:
    """Read a load request's parameters.

    Raises:
        InvalidArgument: one is unknown, of the wrong type, or the configuration is wrong.
    """
    files: dict[str, bytes] = {}
    for key, value in parameters.items():
        if key.startswith(PREFIX):
            if not isinstance(value, bytes):
                raise InvalidArgument(f"File parameter '{key}' must have bytes type for its value")
            files[key.removeprefix(PREFIX)] = value
        elif key != "config":
            raise InvalidArgument(f"unrecognized load parameter '{key}'.")
    config = parameters.get("config")
    if config is None:
        if files:
            raise InvalidArgument(
                "Load parameter 'config' must be specified for model file override"
            )
        return Asked()
    if not isinstance(config, str):
        raise InvalidArgument(
            "Config parameter 'config' must have string type for its value: a configuration as JSON"
        )
    try:
        return Asked(convert.from_json(json.loads(config), "config"), files)
    except (EngineError, ValueError) as fault:
        raise InvalidArgument(f"Invalid config override: {fault}") from fault
    except RecursionError as fault:
        raise InvalidArgument("Invalid config override: brackets within too many brackets") from (
            fault
        )
