"""Which options exclude or need each other: Model Analyzer's rules, as far as they hold here. Pure.

What it forbids and this search can do (a quick search with concurrencies of one's own, or with
``model_config_parameters``) is not forbidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from analyzer.config.schema import ProfileOptions, SearchOptions
from analyzer.config.settings import Setting, Settings
from analyzer.config.values import near

_BOUNDS = ("instance_count", "model_batch_size", "concurrency", "request_rate")
_AT_ONCE = "run_config_profile_models_concurrently_enable"
_ONE_SERVER = "models that are profiled at the same time share one server"
#: what models that are profiled at the same time have in common, and why
_SHARED = {
    "triton_server_environment": _ONE_SERVER,
    "triton_server_flags": _ONE_SERVER,
    **dict.fromkeys(
        ("request_rate", "request_rate_search_enable"),
        "either all of them are loaded at a rate, or none is",
    ),
}
#: what can be said of servers that this command starts, and not of one that runs already
_OF_OUR_SERVERS = (
    "triton_server_flags", "triton_server_environment", "gpus", "gpus_side_by_side"
)  # fmt: skip
#: the variable that says which GPUs a program sees
_HIDES = "CUDA_VISIBLE_DEVICES"
#: what makes the loop closed, and what open
CLOSED = (
    "concurrency", "run_config_search_min_concurrency", "run_config_search_max_concurrency"
)  # fmt: skip
OPEN = (
    "request_rate", "request_rate_search_enable", "run_config_search_min_request_rate",
    "run_config_search_max_request_rate",
)  # fmt: skip
#: options that some modes read, and which; the others leave them unused
_READ_BY: Mapping[str, tuple[str, ...]] = {
    "early_exit_enable": ("brute",),
    "num_configs_per_model": ("quick", "optuna"),
    **dict.fromkeys(
        (
            "min_percentage_of_search_space", "max_percentage_of_search_space", "optuna_min_trials",
            "optuna_max_trials", "optuna_early_exit_threshold", "use_concurrency_formula",
            "optuna_sampler",
        ),
        ("optuna",),
    ),
}  # fmt: skip


def conflicts(models: Mapping[str, Settings], modes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the place of each conflict, and what it is; ``modes`` are the searches there are."""
    for settings in models.values():
        yield from _mode(settings, modes)
        yield from _bounds(settings)
        yield from _needs(settings)
        yield from _loops(settings)
    yield from _called(models)
    yield from _together(models)


def unused(models: Mapping[str, Settings]) -> Iterator[tuple[str, str, str]]:
    """Yield place, name and reason of what the search mode does not read."""
    usual, quiet = ProfileOptions(model="").search_mode, SearchOptions()
    for settings in models.values():
        given = settings.get("run_config_search_mode")
        mode = usual if given is None else given.value
        for name, readers in _READ_BY.items():
            setting = settings.get(name)
            if setting is None or mode in readers or setting.value == getattr(quiet, name):
                continue
            note = f"{' and '.join(readers)} read{'s' * (len(readers) == 1)} it"
            yield setting.source, name, f"{note}, and the search mode is {mode}"


def other_loop(settings: Settings) -> tuple[str, ...]:
    """Name the options of the loop that is not the one these settings ask for."""
    asked = {kind for kind in (CLOSED, OPEN) for name in kind if _asks(settings.get(name))}
    if asked == {OPEN}:
        return CLOSED
    return OPEN if asked == {CLOSED} else ()


def _asks(setting: Setting | None) -> bool:
    return setting is not None and setting.value is not False


def _loops(settings: Settings) -> Iterator[tuple[str, str]]:
    closed = [name for name in CLOSED if _asks(settings.get(name))]
    rates = [name for name in OPEN if _asks(settings.get(name))]
    if closed and rates:
        for name in closed:
            yield (
                settings[name].source,
                (
                    f"{name}: excludes {rates[0]} ({settings[rates[0]].source}): requests come at "
                    "a rate, or when an answer is there; keep one of them"
                ),
            )


def _together(models: Mapping[str, Settings]) -> Iterator[tuple[str, str]]:
    """Models that are profiled at the same time share a server, and a kind of load."""
    at_once = [settings.get(_AT_ONCE) for settings in models.values()]
    if len(models) < 2 or not any(each is not None and each.value for each in at_once):  # noqa: PLR2004 - together
        return
    (first, reference), *others = models.items()
    for name, why in _SHARED.items():
        own = reference.get(name)
        for model, settings in others:
            other = settings.get(name)
            given = other or own
            if given is None or _alike(name, own, other):
                continue
            yield (
                given.source,
                (
                    f"{name}: {first} and {model} differ in it, and {why} "
                    "(run_config_profile_models_concurrently_enable)"
                ),
            )


def _alike(name: str, own: Setting | None, other: Setting | None) -> bool:
    """Whether two models agree: of rates, that both have some or none."""
    if name in OPEN:
        return _asks(own) == _asks(other)
    return (own and own.value) == (other and other.value)


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
    given = settings.get("triton_server_environment")
    abreast = settings.get("gpus_side_by_side")
    if abreast is not None and abreast.value and given is not None and _HIDES in given.value:
        yield (
            abreast.source,
            (
                f"gpus_side_by_side: chooses each server's GPU, which {_HIDES} in "
                f"triton_server_environment ({given.source}) does as well; name the GPUs by gpus"
            ),
        )
    remote = settings.get("triton_launch_mode")
    if remote is None or remote.value.value != "remote":
        return
    for name in _OF_OUR_SERVERS:
        setting: Setting | None = settings.get(name)
        if setting is not None and setting.value:
            yield (
                setting.source,
                (
                    f"{name}: cannot be set of a server that runs already (triton_launch_mode: "
                    "remote); start it so"
                ),
            )
