"""Which options exclude or need each other: Model Analyzer's rules, as far as they hold here. Pure.

What it forbids and this search can do (a quick search with concurrencies of one's own, or with
``model_config_parameters``) is not forbidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from analyzer.config.settings import Setting, Settings
from analyzer.config.values import near

_BOUNDS = ("instance_count", "model_batch_size", "concurrency")


def conflicts(models: Mapping[str, Settings], modes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the place of each conflict, and what it is; ``modes`` are the searches there are."""
    for settings in models.values():
        yield from _mode(settings, modes)
        yield from _bounds(settings)
        yield from _needs(settings)
    yield from _called(models)


def _mode(settings: Settings, modes: Collection[str]) -> Iterator[tuple[str, str]]:
    mode, off = settings.get("run_config_search_mode"), settings.get("run_config_search_disable")
    if mode is None:
        return
    if modes and mode.value not in modes:
        yield (
            mode.source,
            (
                f"run_config_search_mode: there is no {mode.value} search here; there are: "
                f"{', '.join(modes)}{near(mode.value, list(modes))}"
            ),
        )
    if mode.value == "quick" and off is not None and off.value:
        yield off.source, "run_config_search_disable: excludes a quick search; keep one of them"


def _called(models: Mapping[str, Settings]) -> Iterator[tuple[str, str]]:
    """Models that code calls are nobody's but the one model's whose code it is."""
    for model, settings in models.items():
        called = settings.get("bls_composing_models")
        if called is None or not called.value:
            continue
        if len(models) > 1:
            yield (
                called.source,
                (
                    "bls_composing_models: are called by one model, and there are "
                    f"{len(models)} to profile; name one in profile_models"
                ),
            )
        elif model in {each.name for each in called.value}:
            yield called.source, f"bls_composing_models: {model} is the profiled model itself"


def _bounds(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in _BOUNDS:
        low = settings.get(f"run_config_search_min_{name}")
        high = settings.get(f"run_config_search_max_{name}")
        if low is not None and high is not None and low.value > high.value:
            yield (
                high.source,
                (
                    f"run_config_search_max_{name}: {high.value} is below "
                    f"run_config_search_min_{name}, {low.value} ({low.source})"
                ),
            )
    least, most = settings.get("min_seconds"), settings.get("max_seconds")
    if least is not None and most is not None and least.value > most.value:
        yield (
            most.source,
            f"max_seconds: {most.value:g} is below min_seconds, {least.value:g} ({least.source})",
        )


def _needs(settings: Settings) -> Iterator[tuple[str, str]]:
    top = settings.get("num_top_model_configs")
    if top is not None and top.value and "constraints" not in settings:
        yield top.source, "num_top_model_configs: needs constraints for all models"
    remote = settings.get("triton_launch_mode")
    if remote is None or remote.value.value != "remote":
        return
    for name in ("triton_server_flags", "triton_server_environment", "gpus"):
        setting: Setting | None = settings.get(name)
        if setting is not None and setting.value:
            yield (
                setting.source,
                (
                    f"{name}: cannot be set of a server that runs already (triton_launch_mode: "
                    "remote); start it so"
                ),
            )
