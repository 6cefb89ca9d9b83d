"""What ``analyze profile`` was asked to do, frozen. Names are Model Analyzer's where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from analyzer.space import Dimension, Limits


class LaunchMode(Enum):
    """Who runs the server."""

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composing:
    """A model behind the profiled one: settings to try in place of the usual, if there are any."""

    name: str
    parameters: tuple[Dimension, ...] = ()
    cpu_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What tunes one search mode or another; each field has the name of Model Analyzer's option.

    None is what was not given, where that is not the same as the default's value: of numbers of
    trials and shares of the space the smaller holds, or the larger, if both are given.
    ``optuna_sampler`` is ours.
    """

    early_exit_enable: bool = False
    num_configs_per_model: int = 3
    run_config_search_max_binary_search_steps: int = 5
    min_percentage_of_search_space: float | None = None
    max_percentage_of_search_space: float | None = None
    optuna_min_trials: int | None = None
    optuna_max_trials: int | None = None
    optuna_early_exit_threshold: int = 10
    use_concurrency_formula: bool = False
    optuna_sampler: str = "tpe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """Everything ``analyze profile`` needs for one model.

    ``max_time`` bounds the seconds of everything, ``search_seconds`` the search itself (without the
    other, load curves and verification get shares of it), and ``max_trials`` the search's
    measurements. With none of them everything takes two minutes (``layout``).
    ``target_precision`` is the half width of the gain's interval, as a share, at which verification
    ends (None: not asked for).
    Variants that may answer otherwise are compared with the default on ``accuracy_samples`` (0:
    none is) under ``accuracy_tolerance``, by precision or under "" for all (not there: the usual).
    ``rule`` is when a measurement is long enough: "precision", by the width of the intervals
    (``precision``: half the width as a share of throughput and of mean latency) or after
    ``max_seconds``, or "windows", which agree. ``tolerance`` is the spread of the last three
    windows under which a measurement counts as stable (0.1: ten per cent). ``input_data`` is
    "random", "zero", or paths. ``shapes`` gives input shapes by name, without the batch dimension,
    where the model leaves them open. ``metrics_url`` is where a remote server's metrics are (None:
    at its host's port 8002), read every ``monitoring_seconds``.

    ``parameters`` are the settings to try in place of the usual ones, and ``search_disabled``
    leaves settings out of the search otherwise. ``curves_disabled`` leaves out the load curves,
    ``reload_disabled`` whatever has a remote server load models. ``load`` has fields of
    ``LoadSpec`` by name. ``gpus`` are the GPUs the server may use (none: all), ``environment``
    its variables. ``gpus_side_by_side`` is on how many of them, one for each configuration, may be
    measured at the same time (0: configurations have all of them, -1: as many as there are), and
    ``one_gpu`` the kind of GPU where each has one, whichever that is.

    ``bls_composing`` are the models that the profiled one calls in its own code,
    ``ensemble_composing`` what is said of an ensemble's, and ``cpu_only_composing`` those of either
    that stay off the GPUs. ``concurrently``: all models are served and loaded at the same time, and
    ``weighting`` is how much this one counts among them; what is profiled then has the options of
    each in ``together``. ``config_file`` is the file that was read, ``listed`` whether it names
    the model.
    """

    model: str
    model_repository: tuple[Path, ...] = ()
    export_path: Path = Path("results")
    search_mode: str = "auto"
    seed: int = 0
    search_seconds: float | None = None
    verify_pairs: int = 4
    max_trials: int | None = None
    max_time: float | None = None
    target_precision: float | None = None
    limits: Limits = field(default_factory=Limits)
    search: SearchOptions = field(default_factory=SearchOptions)
    accuracy_samples: int = 8
    accuracy_tolerance: Mapping[str, float] = field(default_factory=dict)
    protocol: str = "http"
    window_seconds: float = 1.0
    max_windows: int = 6
    tolerance: float = 0.1
    rule: str = "precision"
    precision: tuple[float, float] = (0.05, 0.1)
    min_seconds: float = 2.0
    max_seconds: float = 6.0
    senders: int = 0
    request_distribution: str = "poisson"
    input_data: tuple[str, ...] = ("random",)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    objectives: Mapping[str, float] | tuple[str, ...] | None = None
    constraints: Mapping[str, Mapping[str, float]] | None = None
    latency_budget: float | None = None
    min_throughput: float | None = None
    cost_per_hour: float | None = None
    launch_mode: LaunchMode = LaunchMode.LOCAL
    http_endpoint: str = "localhost:8000"
    grpc_endpoint: str | None = None
    metrics_url: str | None = None
    monitoring_seconds: float = 1.0
    server_flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    gpus_side_by_side: int = 0
    one_gpu: str = ""
    cpu_only: bool = False
    parameters: tuple[Dimension, ...] = ()
    search_disabled: bool = False
    curves_disabled: bool = False
    reload_disabled: bool = False
    load: Mapping[str, Any] = field(default_factory=dict)
    startup_timeout_s: float = 120.0
    fresh: bool = False
    bls_composing: tuple[Composing, ...] = ()
    ensemble_composing: tuple[Composing, ...] = ()
    cpu_only_composing: tuple[str, ...] = ()
    concurrently: bool = False
    weighting: float = 1.0
    together: tuple[ProfileOptions, ...] = ()
    config_file: Path | None = None
    listed: bool = False

    @property
    def members(self) -> tuple[ProfileOptions, ...]:
        """The options of each model that requests are sent to."""
        return self.together or (self,)

    @property
    def composing(self) -> tuple[Composing, ...]:
        """All that is said of models behind the profiled one."""
        return (*self.bls_composing, *self.ensemble_composing)
