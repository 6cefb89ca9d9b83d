"""From a YAML file and flags to options: every error at once, each with its place.

Owns the names of the options and their precedence (flag, then YAML, then default). The keys
are Model Analyzer's, so its users' files are read; what one of them asks that this version
does not do is an error that says so, never silently dropped.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from analyzer.config import values
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.errors import UsageError
from analyzer.space import Limits

#: key -> (field of ProfileOptions or of Limits, how its value is read)
KEYS: Mapping[str, tuple[str, values.Parse]] = {
    "profile_models": ("model", values.names),
    "model_repository": ("model_repository", values.paths),
    "export_path": ("export_path", values.path),
    "run_config_search_mode": ("search_mode", values.text),
    "run_config_search_min_instance_count": ("min_instance_count", values.whole()),
    "run_config_search_max_instance_count": ("max_instance_count", values.whole()),
    "run_config_search_min_model_batch_size": ("min_model_batch_size", values.whole()),
    "run_config_search_max_model_batch_size": ("max_model_batch_size", values.whole()),
    "run_config_search_min_concurrency": ("min_concurrency", values.whole()),
    "run_config_search_max_concurrency": ("max_concurrency", values.whole()),
    "concurrency": ("concurrencies", values.wholes()),
    "queue_delays": ("queue_delays_us", values.wholes(-1)),
    "intra_op_threads": ("intra_op_threads", values.wholes()),
    "batch_sizes": ("batch_size", values.single()),
    "client_protocol": ("protocol", values.one_of("http", "grpc")),
    "objectives": ("objectives", values.objectives),
    "constraints": ("constraints", values.constraints),
    "latency_budget": ("latency_budget", values.number()),
    "min_throughput": ("min_throughput", values.number()),
    "triton_launch_mode": ("launch_mode", values.member(LaunchMode)),
    "triton_http_endpoint": ("http_endpoint", values.text),
    "triton_grpc_endpoint": ("grpc_endpoint", values.text),
    "triton_metrics_url": ("metrics_url", values.text),
    "monitoring_interval": ("monitoring_seconds", values.number(0.05)),
    "search_time": ("search_seconds", values.number(1)),
    "verify_pairs": ("verify_pairs", values.whole(0)),
    "measurement_mode": ("rule", values.one_of("precision", "windows")),
    "precision": ("precision", values.precision),
    "max_seconds": ("max_seconds", values.number(0.5)),
    "senders": ("senders", values.whole(0)),
    "measurement_interval": ("window_seconds", values.milliseconds(50)),
    "stability_percentage": ("tolerance", values.number()),
    "max_trials": ("max_windows", values.whole(3)),
    "input_data": ("input_data", values.sources),
    "shapes": ("shapes", values.shapes),
    "seed": ("seed", values.whole(0)),
}

#: Model Analyzer's keys that this version knows of and does not do yet
LATER = frozenset({
    "checkpoint_directory", "duration_seconds", "collect_cpu_metrics",
    "gpus", "always_report_gpu_metrics", "dcgm_disable", "skip_summary_reports",
    "skip_detailed_reports", "model_type", "output_model_repository_path",
    "override_output_model_repository", "client_max_retries",
    "genai_perf_flags", "triton_server_flags", "triton_server_environment", "triton_docker_args",
    "weighting", "request_rate", "reload_model_disable", "bls_composing_models",
    "ensemble_composing_models", "cpu_only_composing_models", "perf_analyzer_timeout",
    "perf_analyzer_cpu_util", "perf_analyzer_path", "perf_output", "perf_output_path",
    "perf_analyzer_max_auto_adjusts", "triton_docker_image",
    "triton_server_path", "triton_output_path", "triton_docker_mounts", "triton_docker_labels",
    "triton_docker_shm_size", "triton_install_path", "early_exit_enable",
    "run_config_search_max_request_rate", "run_config_search_min_request_rate",
    "run_config_search_max_binary_search_steps", "min_percentage_of_search_space",
    "max_percentage_of_search_space", "optuna_min_trials", "optuna_max_trials",
    "optuna_early_exit_threshold", "use_concurrency_formula", "run_config_search_disable",
    "run_config_profile_models_concurrently_enable", "request_rate_search_enable",
    "concurrency_sweep_disable", "filename_model_inference", "filename_model_gpu",
    "filename_server_only", "num_configs_per_model", "num_top_model_configs",
    "inference_output_fields", "gpu_output_fields", "server_output_fields",
    "model_config_parameters", "cpu_only", "parameters", "plots",
})  # fmt: skip

WINDOWS = frozenset({"window_seconds", "max_windows", "tolerance"})

#: what a model of its own may set under ``profile_models``
PER_MODEL = ("objectives", "constraints", "shapes", "perf_analyzer_flags")

#: perf_analyzer's flags that Model Analyzer passes on, and the options they are here
PERF_ANALYZER_FLAGS: Mapping[str, str] = {
    "input_data": "input_data",
    "shape": "shapes",
    "measurement_interval": "measurement_interval",
    "stability_percentage": "stability_percentage",
    "max_trials": "max_trials",
    "batch_size": "batch_sizes",
    "protocol": "client_protocol",
}


class _Problems:
    """Collects what is wrong, to say it all at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def read(self, place: str, key: str, value: object) -> dict[str, Any]:
        """Read one key's value as ``{field: typed value}``; {} where it is wrong."""
        if key == "perf_analyzer_flags":
            return self._flags(place, value)
        if key not in KEYS:
            self.found.append(f"{place}: {key}: {_unknown(key)}")
            return {}
        name, parse = KEYS[key]
        try:
            return {name: parse(value)}
        except ValueError as error:
            self.found.append(f"{place}: {key}: {error}")
            return {}

    def _flags(self, place: str, value: object) -> dict[str, Any]:
        """Read ``perf_analyzer_flags``, whose names may be spelt with dashes or underscores."""
        if not isinstance(value, Mapping):
            self.found.append(f"{place}: perf_analyzer_flags: expected flags, found {value!r}")
            return {}
        read: dict[str, Any] = {}
        for name, given in value.items():
            key = str(name).strip("-").replace("-", "_")
            if key in PERF_ANALYZER_FLAGS:
                read |= self.read(f"{place}: perf_analyzer_flags", PERF_ANALYZER_FLAGS[key], given)
            else:
                known = ", ".join(each.replace("_", "-") for each in PERF_ANALYZER_FLAGS)
                self.found.append(
                    f"{place}: perf_analyzer_flags.{name}: has no effect on a profile here, which "
                    f"has a load client of its own; remove it, or use one of {known}"
                )
        return read


def load_options(file: Path | None, flags: Mapping[str, Any]) -> tuple[ProfileOptions, ...]:
    """Make the options of every model to be profiled.

    ``flags`` holds what the command line set, by key; it may also hold values of fields that
    have no key (``fresh``, ``server_flags``).

    Raises:
        UsageError: every problem found, a line each.
    """
    problems = _Problems()
    options: dict[str, Any] = {}
    models: dict[str, dict[str, Any]] = {}
    if file is not None:
        for key, value, place in _yaml(file):
            if key == "profile_models":
                models = _models(value, place, problems)
            else:
                options |= problems.read(place, key, value)
    for key, value in flags.items():
        if key == "profile_models":
            if models:
                problems.found.append(
                    "profile_models: given both on the command line and in the file; keep one"
                )
            models = {name: {} for name in values.names(value)}
        elif key in KEYS:
            options |= problems.read(f"--{key.replace('_', '-')}", key, value)
        else:
            options[key] = value
    if not models:
        problems.found.append("no model to profile: pass --model NAME, such as --model resnet50")
    if problems.found:
        raise UsageError("\n".join(problems.found))
    return tuple(_build(model, {**options, **own}) for model, own in models.items())


def _build(model: str, options: Mapping[str, Any]) -> ProfileOptions:
    bounds = {field.name for field in fields(Limits)}
    limits = Limits(**{name: options[name] for name in options if name in bounds})
    usual = ProfileOptions(model=model, limits=limits)
    rest = {name: options[name] for name in options if name not in bounds}
    if "tolerance" in rest:  # the option is in per cent, as Model Analyzer's users write it
        rest["tolerance"] = rest["tolerance"] / 100
    if WINDOWS & rest.keys():
        # Who says how long windows are wants windows.
        rest.setdefault("rule", "windows")
    if "max_seconds" in rest:
        rest["min_seconds"] = min(usual.min_seconds, rest["max_seconds"])
    if "precision" in rest:
        throughput, latency = rest["precision"]
        rest["precision"] = (throughput, usual.precision[1] if latency is None else latency)
    return replace(usual, **rest)


def _models(value: object, place: str, problems: _Problems) -> dict[str, dict[str, Any]]:
    """Read ``profile_models``: names, a list that mixes names and mappings, or a mapping."""
    if isinstance(value, str):
        return {name: {} for name in values.names(value)}
    if isinstance(value, list):
        merged: dict[str, Any] = {}
        for item in value:
            own = item if isinstance(item, Mapping) else {item: {}}
            if again := merged.keys() & own.keys():
                problems.found.append(f"{place}: profile_models: {again.pop()!r} stands twice")
            merged |= own
        value = merged
    if not isinstance(value, Mapping):
        problems.found.append(f"{place}: profile_models: expected names, found {value!r}")
        return {}
    models: dict[str, dict[str, Any]] = {}
    for name, settings in value.items():
        models[str(name)] = {}
        if not isinstance(settings or {}, Mapping):
            problems.found.append(
                f"{place}: profile_models.{name}: expected options of that model, "
                f"found {settings!r}"
            )
            continue
        for key, own in (settings or {}).items():
            if key in PER_MODEL:
                models[str(name)] |= problems.read(place, key, own)
            else:
                problems.found.append(f"{place}: profile_models.{name}.{key}: {_unknown(key)}")
    return models


def _yaml(file: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield the top-level keys of a YAML file, their values, and ``file:line``."""
    try:
        source = file.read_text(encoding="utf-8")
        root = yaml.compose(source, Loader=yaml.SafeLoader)
        plain = yaml.safe_load(source)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: not YAML: {error}") from error
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{file}:1: expected keys and values, such as `profile_models: resnet50`")
    lines: dict[str, int] = {}
    for node, _ in root.value:
        line = node.start_mark.line + 1
        if node.value in lines:
            raise UsageError(
                f"{file}:{line}: {node.value} stands on line {lines[node.value]} already; keep one"
            )
        lines[node.value] = line
        yield node.value, plain[node.value], f"{file}:{node.start_mark.line + 1}"


def _unknown(key: str) -> str:
    if key in LATER:
        return "known from Model Analyzer, and not available in this version; remove it"
    near = difflib.get_close_matches(key, [*KEYS, *LATER], n=1)
    return "no such option" + (f"; did you mean {near[0]}?" if near else "")
