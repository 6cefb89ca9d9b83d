"""What a load request may ask for: the name's form and the parameters' meaning. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.errors import EngineError, InvalidArgument, Unsupported
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig


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


def override(parameters: Mapping[str, str | bytes | bool]) -> ModelConfig | None:
    """Read a load request's parameters: the configuration to use, None for the disk's.

    Raises:
        InvalidArgument: one is unknown, or the configuration is wrong.
        Unsupported: model files are sent along.
    """
    config = parameters.get("config")
    for key in parameters:
        if key.startswith("file:"):
            if config is None:
                raise InvalidArgument(
                    "Load parameter 'config' must be specified for model file override"
                )
            raise Unsupported(
                f"load parameter '{key}': this version takes no model files with a load request; "
                "put the file into the model repository and load the model again"
            )
        if key != "config":
            raise InvalidArgument(f"unrecognized load parameter '{key}'.")
    if config is None:
        return None
    if isinstance(config, bool):
        raise InvalidArgument("load parameter 'config' must be a string that holds JSON")
    try:
        return convert.from_json(json.loads(config), "config")
    except (EngineError, ValueError) as fault:
        raise InvalidArgument(f"Invalid config override: {fault}") from fault
