"""The configuration as ``auto_complete_config`` may add to it; part of ``api``.

Names and rules are Triton's: what the file says stays, and a model that wants it otherwise fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

_INPUT = ("name", "data_type", "dims", "optional", "allow_ragged_batch")
_OUTPUT = ("name", "data_type", "dims")
_SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling", "scheduling_choice")


class ModelConfig:
    """A configuration in its JSON form, and what a model may add."""

    def __init__(self, model_config: Mapping[str, Any]) -> None:
        self._model_config: dict[str, Any] = deepcopy(dict(model_config))

    def as_dict(self) -> dict[str, Any]:
        """Give the configuration in its JSON form."""
        return self._model_config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Say how large a batch may be; the file may say less, not more.

        Raises:
            ValueError: the file says more.
        """
        configured = self._model_config.get("max_batch_size", 0)
        if configured > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {configured}, but in"
                f" auto-complete-config function for model '{self._name}' specified"
                f" max_batch_size {max_batch_size}"
            )
        self._model_config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Have requests batched, unless the file chooses a scheduler."""
        if not any(one in self._model_config for one in _SCHEDULERS):
            self._model_config["dynamic_batching"] = {}

    def set_model_transaction_policy(self, transaction_policy_dict: Mapping[str, bool]) -> None:
        """Say whether the model is decoupled: ``{"decoupled": True}``.

        Raises:
            ValueError: there is another property, or the file says otherwise.
        """
        if unknown := sorted(set(transaction_policy_dict) - {"decoupled"}):
            raise ValueError(
                f"model transaction property in auto-complete-config function for model"
                f" '{self._name}' contains property other than 'decoupled': {', '.join(unknown)}"
            )
        if "decoupled" not in transaction_policy_dict:
            return
        decoupled = bool(transaction_policy_dict["decoupled"])
        policy = self._model_config.setdefault("model_transaction_policy", {"decoupled": decoupled})
        if policy.get("decoupled", False) != decoupled:
            raise ValueError(
                "trying to change decoupled property in auto-complete-config for model"
                f" '{self._name}', which is already set to '{policy.get('decoupled', False)}'."
            )

    def add_input(self, input: Mapping[str, Any]) -> None:  # noqa: A002 - Triton's
        """Add an input: name, data_type, dims, and optional and allow_ragged_batch if need be.

        Raises:
            ValueError: it lacks something, or the file has it otherwise.
        """
        self._add("input", dict(input), _INPUT)

    def add_output(self, output: Mapping[str, Any]) -> None:
        """Add an output: name, data_type, dims.

        Raises:
            ValueError: it lacks something, or the file has it otherwise.
        """
        self._add("output", dict(output), _OUTPUT)

    @property
    def _name(self) -> str:
        return str(self._model_config.get("name", ""))

    def _add(self, side: str, tensor: dict[str, Any], properties: tuple[str, ...]) -> None:
        where = f"in auto-complete-config function for model '{self._name}'"
        if unknown := sorted(set(tensor) - set(properties)):
            raise ValueError(
                f"{side} '{tensor.get('name', '')}' {where} contains property other than"
                f" {', '.join(properties)}: {', '.join(unknown)}"
            )
        for needed in ("name", "data_type", "dims"):
            if needed not in tensor:
                raise ValueError(
                    f"{side} '{tensor.get('name', '')}' {where} is missing '{needed}' property."
                )
        listed: list[dict[str, Any]] = self._model_config.setdefault(side, [])
        there = next((one for one in listed if one.get("name") == tensor["name"]), None)
        if there is None:
            listed.append(tensor)
            return
        for name in properties[1:]:
            if name not in tensor:
                continue
            if name in there and _plain(there[name]) != _plain(tensor[name]):
                raise ValueError(
                    f"unable to load model '{self._name}', configuration expects {name}"
                    f" {there[name]} for {side} '{tensor['name']}', but {where} {tensor[name]}"
                    " is specified"
                )
            there[name] = tensor[name]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Have numbers be numbers: 64-bit ones may be texts in a configuration's JSON form."""
    return [int(one) for one in value] if isinstance(value, list | tuple) else value
