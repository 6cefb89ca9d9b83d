"""What of the options is kept with the rows: what makes them comparable, and how they were begun.

A journal is resumed only for the same ``meaning``; the ``command`` is there to be read. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from analyzer.config.schema import LaunchMode, ProfileOptions


def of_rows(options: ProfileOptions, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return which options change what a row means, on this machine; the files come on top."""
    if options.together:
        return {"together": {each.model: of_rows(each, machine) for each in options.together}}
    local = options.launch_mode is LaunchMode.LOCAL
    meaning: dict[str, Any] = {
        "machine": f"{machine.get('cpu')}, {machine['cores']} cores",
        "server": LaunchMode.LOCAL.value if local else options.http_endpoint,
        "batch_size": options.limits.batch_size,
        "protocol": options.protocol,
        **_rule(options),
        "input_data": ",".join(options.input_data),
        **_server(options),
    }
    if options.limits.varies_rates:
        meaning["arrivals"] = options.request_distribution
    if options.shapes:
        meaning["shapes"] = _shape_texts(options)
    return meaning


def command(options: ProfileOptions) -> dict[str, Any]:
    """Return what a run was begun with and what does not change the meaning of its rows."""
    limits = {field.name: getattr(options.limits, field.name) for field in fields(options.limits)}
    return {
        "model_repository": [str(path) for path in options.model_repository],
        "search_mode": options.search_mode,
        "search_seconds": options.search_seconds,
        "verify_pairs": options.verify_pairs,
        "max_trials": options.max_trials,
        "max_time": options.max_time,
        "target_precision": options.target_precision,
        "rule": options.rule,
        "seed": options.seed,
        "grpc_endpoint": options.grpc_endpoint,
        "metrics_url": options.metrics_url,
        **_file(options),
        **_side_by_side(options),
        **_searched(options),
        "together": [each.model for each in options.together],
        "bls_composing": [each.name for each in options.bls_composing],
        **asdict(options.search),
        **{name: bound for name, bound in limits.items() if name != "batch_size"},
    }


def _file(options: ProfileOptions) -> dict[str, Any]:
    """Return the file that was read, and whether it names the model."""
    if options.config_file is None:
        return {}
    return {"config_file": str(options.config_file), "listed": options.listed}


def _side_by_side(options: ProfileOptions) -> dict[str, Any]:
    """Return on how many GPUs at a time it was to be measured, where that was asked for."""
    count = options.gpus_side_by_side
    return {"gpus_side_by_side": "auto" if count < 0 else count} if count else {}


def _searched(options: ProfileOptions) -> dict[str, Any]:
    """Return what was searched in place of the usual."""
    every = {each.name: list(each.values) for each in options.parameters}
    return {"parameters": every} if every else {}


def environment(options: ProfileOptions) -> dict[str, str]:
    """Return the variables of a server: the user's, and which GPUs it may see."""
    seen = {"CUDA_VISIBLE_DEVICES": ",".join(options.gpus)} if options.gpus else {}
    return {**seen, **options.environment}


def _server(options: ProfileOptions) -> dict[str, Any]:
    """Return what else was asked of server and load client, and makes rows comparable."""
    asked: dict[str, Any] = {
        "cpu_only": options.cpu_only,
        "cpu_only_composing": list(options.cpu_only_composing),
        "server_flags": list(options.server_flags),
        # Of equal GPUs any may be the one: rows of all of them are comparable.
        "environment": dict(options.environment) if options.one_gpu else environment(options),
        "one_gpu": options.one_gpu,
        "load": {name: _plain(value) for name, value in options.load.items()},
    }
    return {name: value for name, value in asked.items() if value}


def _plain(value: object) -> object:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _rule(options: ProfileOptions) -> dict[str, Any]:
    """Return what says how long a measurement is."""
    names: tuple[str, ...] = ("window_seconds", "max_windows", "tolerance")
    if options.rule != "windows":
        names = ("rule", "precision", "min_seconds", "max_seconds")
    return {name: getattr(options, name) for name in names}


def _accuracy(options: ProfileOptions) -> dict[str, Any]:
    """Return what says which variants are out for their answers, where it is not the usual."""
    usual = ProfileOptions(model="")
    names = ("accuracy_samples", "accuracy_tolerance")
    given = {name: getattr(options, name) for name in names}
    return {name: value for name, value in given.items() if value != getattr(usual, name)}


def _shape_texts(options: ProfileOptions) -> list[str]:
    """Spell the shapes as the command line takes them, in an order that does not matter."""
    return [f"{name}:{','.join(map(str, sizes))}" for name, sizes in sorted(options.shapes.items())]
