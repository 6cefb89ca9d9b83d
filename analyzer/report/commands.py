"""The exact commands that a report ends with: serve, apply, rank anew, measure again. Pure.

Owns the spelling of command lines. Does not own where the results lie (``files`` finds out).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.ranking.goal import Goal
from analyzer.record.row import RunHead

#: option -> flag of ``analyze profile``; what a journal's head may say of how it was made
FLAGS: Mapping[str, str] = {
    "model_repository": "--model-repository",
    "search_mode": "--run-config-search-mode",
    "search_seconds": "--search-time",
    "verify_pairs": "--verify-pairs",
    "max_trials": "--max-trials",
    "max_time": "--max-time",
    "target_precision": "--target-precision",
    "seed": "--seed",
    "gpus_side_by_side": "--gpus-side-by-side",
    "min_instance_count": "--run-config-search-min-instance-count",
    "max_instance_count": "--run-config-search-max-instance-count",
    "min_model_batch_size": "--run-config-search-min-model-batch-size",
    "max_model_batch_size": "--run-config-search-max-model-batch-size",
    "min_concurrency": "--run-config-search-min-concurrency",
    "max_concurrency": "--run-config-search-max-concurrency",
    "queue_delays_us": "--queue-delays",
    "intra_op_threads": "--intra-op-threads",
    "concurrencies": "--concurrency",
    "open_loop": "--request-rate-search-enable",
    "request_rates": "--request-rate",
    "min_request_rate": "--run-config-search-min-request-rate",
    "max_request_rate": "--run-config-search-max-request-rate",
    "arrivals": "--request-distribution",
    "backends": "--backends",
    "accelerators": "--accelerators",
    "precisions": "--precisions",
    "batch_sizes": "--batch-sizes",
    "batch_size": "--batch-sizes",
    "protocol": "--client-protocol",
    "rule": "--measurement-mode",
    "precision": "--precision",
    "max_seconds": "--max-seconds",
    "senders": "--senders",
    "window_seconds": "--measurement-interval",
    "max_windows": "--max-windows",
    "tolerance": "--stability-percentage",
    "early_exit_enable": "--early-exit-enable",
    "num_configs_per_model": "--num-configs-per-model",
    "run_config_search_max_binary_search_steps": "--run-config-search-max-binary-search-steps",
    "min_percentage_of_search_space": "--min-percentage-of-search-space",
    "max_percentage_of_search_space": "--max-percentage-of-search-space",
    "optuna_min_trials": "--optuna-min-trials",
    "optuna_max_trials": "--optuna-max-trials",
    "optuna_early_exit_threshold": "--optuna-early-exit-threshold",
    "use_concurrency_formula": "--use-concurrency-formula",
    "optuna_sampler": "--optuna-sampler",
    "bls_composing": "--bls-composing-models",
    "cpu_only_composing": "--cpu-only-composing-models",
    "input_data": "--input-data",
    "shapes": "--shape",
    "grpc_endpoint": "--triton-grpc-endpoint",
    "metrics_url": "--triton-metrics-url",
}
#: flags that are given once for each of their values
_REPEATED = frozenset({"model_repository", "shapes"})
#: options kept in seconds and shares, and given in milliseconds and per cent
_SCALES = {
    "window_seconds": 1000.0,
    "tolerance": 100.0,
    "precision": 100.0,
    "target_precision": 100.0,
}
_USUAL, _LOCAL = "results", "local"
_REMOTE = ["--triton-launch-mode", "remote", "--triton-http-endpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run's results lie, as its user would type it.

    ``repository`` is a model repository that holds exactly the winner, needed where the
    results folder's own choice is another (a report under a new goal); else None.
    """

    results: str
    repository: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Command lines, ready to paste.

    ``serve`` and ``apply`` are "" where there is nothing of ours to serve: nothing was measured,
    or a server elsewhere was. ``detail`` makes the page of the chosen configuration.
    """

    serve: str
    apply: str
    rerank: str
    reproduce: str
    detail: str = ""


def commands(
    head: RunHead,
    goal: Goal,
    place: Place,
    usual: Mapping[str, Any],
    *,
    winner: bool,
    chosen: str = "",
) -> Commands:
    """Spell the commands for one run.

    ``usual`` maps an option to its default: what was left at its default is not spelled out.
    ``winner`` says whether there is a configuration to serve; ``chosen`` is its name.
    """
    remote = str(head.options.get("server", _LOCAL))
    winner = winner and remote == _LOCAL
    target = head.model if place.results == f"{_USUAL}/{head.model}" else place.results
    serve = ["engine", "serve", "--chosen", target]
    if place.repository is not None:
        serve = ["engine", "serve", "--model-repository", place.repository]
    apply = ["analyze", "apply", target, "--model-repository", "PATH"]
    return Commands(
        # What another program measured has no folder to serve from.
        serve=shlex.join(serve) if winner and "measured_by" not in head.options else "",
        apply=shlex.join(apply) if winner and place.repository is None else "",
        rerank=shlex.join(["analyze", "report", target, "--objective", "perf_latency_p99"]),
        detail=shlex.join(["analyze", "report", target, "-n", chosen]) if chosen else "",
        reproduce=shlex.join([
            *("analyze", "profile", *_subject(head)),
            *_export(head, place),
            *([] if remote == _LOCAL else [*_REMOTE, remote]),
            *_options(_flat({**head.options, **head.command}), usual),
            *_goal(goal),
        ]),
    )  # fmt: skip


def _subject(head: RunHead) -> list[str]:
    """Name what was profiled: a file says things that no flag does."""
    file = head.command.get("config_file")
    by_flag = [] if file and head.command.get("listed") else ["--model", head.model]
    return [*(["--config-file", str(file)] if file else []), *by_flag]


def _export(head: RunHead, place: Place) -> list[str]:
    parent, _, folder = place.results.rpartition("/")
    if folder != head.model or parent in {"", _USUAL}:
        return []
    return ["--export-path", parent]


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested options (the limits of the search) beside the others."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping) and name not in FLAGS:
            flat |= _flat(value)
        else:
            flat[name] = value
    return flat


def _options(options: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, flag in FLAGS.items():
        value = options.get(name)
        if flag in words or value is None or _plain(value) == _plain(usual.get(name)):
            continue
        if name in _SCALES:
            value = _scaled(value, _SCALES[name])
        if value is True:
            words.append(flag)
        elif name in _REPEATED and isinstance(value, list | tuple):
            words += [word for each in value for word in (flag, str(each))]
        elif text := _text(value):
            words += [flag, text]
    return words


def _scaled(value: Any, scale: float) -> Any:  # noqa: ANN401 - JSON can be anything
    if isinstance(value, list | tuple):
        return [_scaled(each, scale) for each in value]
    return round(float(value) * scale, 6)


def _goal(goal: Goal) -> list[str]:
    words: list[str] = []
    if goal.objectives != Goal().objectives:
        alone = len(goal.objectives) == 1
        for tag, weight in goal.objectives:
            words += ["--objective", tag if alone else f"{tag}:{weight:g}"]
    for each in goal.constraints:
        for sign, limit in ((">=", each.minimum), ("<=", each.maximum)):
            if limit is not None:
                words += ["--constraint", f"{each.tag}{sign}{limit:g}"]
    if goal.cost_per_hour is not None:
        words += ["--cost-per-hour", f"{goal.cost_per_hour:g}"]
    return words


def _plain(value: object) -> object:
    """Make options comparable: JSON has lists for tuples and words for enums."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return getattr(value, "value", value)


def _text(value: object) -> str:
    value = _plain(value)
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
