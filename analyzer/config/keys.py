"""Every option of ``analyze profile`` by its key in YAML: Model Analyzer's, and ours. Pure.

Owns the names, how each value is read, and what becomes of it: acted on (``field``), accepted
with a warning that says why it has no effect, or refused with what works instead. Does not own
what stands inside ``profile_models`` (``models``) or the flags of other programs (``passed``).

A key whose value asks for nothing (``quiet``, mostly Model Analyzer's default) is neither warned
of nor refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from analyzer.config import forms, values
from analyzer.config.schema import LaunchMode
from analyzer.space import PRECISIONS


class Effect(Enum):
    """What becomes of an option."""

    ACTED = "acted on"
    IDLE = "accepted, without effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Key:
    """One option. ``field`` is that of ``ProfileOptions`` or of its ``Limits``.

    ``note`` says why it has no effect, or what to do instead. ``show`` turns the typed value back
    into what a file would say. ``flag`` is its short form on the command line; ``yaml_only`` has
    none at all. ``usual`` is what holds where the default says nothing, and
    ``text`` what the help says of a flag that is declared nowhere else.
    """

    name: str
    parse: values.Parse
    field: str = ""
    panel: str = ""
    note: str = ""
    effect: Effect = Effect.ACTED
    quiet: tuple[Any, ...] = ()
    show: Callable[[Any], Any] | None = None
    flag: str = ""
    yaml_only: bool = False
    usual: str = ""
    text: str = ""

    @property
    def long_flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


#: Optuna's samplers, by the names that they have here
SAMPLERS = ("tpe", "gp", "cmaes", "random", "nsga2")
MODEL, GOAL, SEARCH = "Model and results", "Goal", "Search"
LOAD, SERVER, IGNORED = "Load and measurement", "Server", "Without effect here"


def _idle(name: str, parse: values.Parse, note: str, *quiet: object, flag: str = "") -> Key:
    yaml_only = parse is values.pairs
    return Key(name, parse, "", IGNORED, note, Effect.IDLE, quiet, flag=flag, yaml_only=yaml_only)


def _refused(
    name: str, parse: values.Parse, note: str, *quiet: object, yaml_only: bool = False
) -> Key:
    return Key(name, parse, "", IGNORED, note, Effect.REFUSED, quiet, yaml_only=yaml_only)


def _bound(name: str, usual: str) -> Key:
    return Key(f"run_config_search_{name}", values.whole(), name, SEARCH, usual=usual)


def _thousands(seconds: float) -> float:
    return round(seconds * 1000, 6)


def _hundreds(share: float) -> float:
    return round(share * 100, 6)


def _sizes(sizes: object) -> object:
    """Spell a single batch size as a number."""
    return sizes[0] if isinstance(sizes, tuple) and len(sizes) == 1 else sizes


def _precision(shares: tuple[float, float | None]) -> str:
    return ",".join(f"{_hundreds(share):g}" for share in shares if share is not None)


_CONTAINER = "no container is started: `engine serve` runs on this machine as it is"
_FOLDERS = "variants lie in EXPORT_PATH/MODEL/variants, and are written anew by each run"
_RUNS = "the load client is part of servetune: perf_analyzer is not run"
_REPORT = "report.html is one page with summary and details, made from the journal in a second"
_COLUMNS = (
    "the CSV files of a profile have Model Analyzer's default columns; `analyze report -f FILE` "
    "writes these"
)
_NAMES = (
    "the CSV files of a profile have Model Analyzer's default names, in EXPORT_PATH/MODEL; "
    "`analyze report -f FILE` uses these"
)
_AFTERWARDS = "a profile writes report.html, CSV and summary.json; `analyze report -f FILE` "

KEYS: tuple[Key, ...] = (
    Key("model_repository", values.paths, "model_repository", MODEL, flag="-m",
        usual="an example of that name is built"),
    Key("export_path", values.path, "export_path", MODEL, flag="-e"),
    Key("objectives", values.objectives, "objectives", GOAL, usual="perf_throughput"),
    Key("constraints", values.constraints, "constraints", GOAL, usual="none"),
    Key("latency_budget", values.positive, "latency_budget", GOAL, usual="none"),
    Key("min_throughput", values.positive, "min_throughput", GOAL, usual="none"),
    Key("cost_per_hour", values.positive, "cost_per_hour", GOAL, usual="none"),
    Key("run_config_search_mode", values.text, "search_mode", SEARCH),
    Key("run_config_search_disable", values.switch, "search_disabled", SEARCH,
        text="Try no settings but those of model_config_parameters."),
    _bound("min_instance_count", "1"),
    _bound("max_instance_count", "5, on a CPU at most its cores"),
    _bound("min_model_batch_size", "1"),
    _bound("max_model_batch_size", "128"),
    _bound("min_concurrency", "1"),
    _bound("max_concurrency", "1024"),
    Key("concurrency", values.wholes(), "concurrencies", SEARCH, flag="-c", usual="doubling"),
    Key("queue_delays", values.wholes(-1), "queue_delays_us", SEARCH,
        usual="-1, 0, 100, 500, 2000"),
    Key("intra_op_threads", values.wholes(), "intra_op_threads", SEARCH,
        usual="doubling up to the cores"),
    Key("backends", values.names, "backends", SEARCH, usual="those installed that read the file"),
    Key("accelerators", values.names, "accelerators", SEARCH,
        usual="none; on a GPU also tensorrt, where it is installed"),
    Key("precisions", values.some_of(*PRECISIONS), "precisions", SEARCH,
        usual="FP32, and what the processor or the model's files have besides"),
    Key("request_rate", values.rates, "request_rates", SEARCH, usual="doubling",
        text="Request rates to try, a second: 10,20.5 or 10:40:10, in an open loop."),
    Key("run_config_search_min_request_rate", values.positive, "min_request_rate", SEARCH,
        usual="16", text="(default: 16)"),
    Key("run_config_search_max_request_rate", values.positive, "max_request_rate", SEARCH,
        usual="8192", text="(default: 8192)"),
    Key("request_rate_search_enable", values.switch, "open_loop", SEARCH,
        text="Vary the request rate in place of the concurrency."),
    Key("early_exit_enable", values.switch, "early_exit_enable", SEARCH,
        text="brute: leave out what no longer pays in lists of your own, too."),
    Key("run_config_search_max_binary_search_steps", values.whole(0),
        "run_config_search_max_binary_search_steps", SEARCH,
        text="Bisections at most, for the highest load that keeps the constraints. (default: 5)"),
    Key("num_configs_per_model", values.whole(), "num_configs_per_model", SEARCH,
        text="quick, optuna: of how many of the best settings the load is swept. (default: 3)"),
    Key("accuracy_samples", values.whole(0), "accuracy_samples", SEARCH),
    Key("accuracy_tolerance", values.tolerances, "accuracy_tolerance", SEARCH,
        show=values.tolerance_texts,
        usual="FP32: 0.001, FP16: 0.02, BF16: 0.05, INT8: 0.1"),
    Key("concurrency_sweep_disable", values.switch, "curves_disabled", SEARCH,
        text="Sweep no loads after the search."),
    Key("min_percentage_of_search_space", values.within(0, 100), "min_percentage_of_search_space",
        SEARCH, usual="5", text="optuna: least trials, per cent of the space. (default: 5)"),
    Key("max_percentage_of_search_space", values.within(0, 100), "max_percentage_of_search_space",
        SEARCH, usual="10", text="optuna: most trials, per cent of the space. (default: 10)"),
    Key("optuna_min_trials", values.whole(), "optuna_min_trials", SEARCH,
        usual="by min_percentage_of_search_space", text="optuna: least trials."),
    Key("optuna_max_trials", values.whole(), "optuna_max_trials", SEARCH,
        usual="by max_percentage_of_search_space", text="optuna: most trials."),
    Key("optuna_early_exit_threshold", values.whole(0), "optuna_early_exit_threshold", SEARCH,
        text="optuna: trials without a gain after which it ends. (default: 10)"),
    Key("use_concurrency_formula", values.switch, "use_concurrency_formula", SEARCH,
        text="optuna: the concurrency is twice the batch size times the instances."),
    Key("optuna_sampler", values.one_of(*SAMPLERS), "optuna_sampler", SEARCH,
        text=f"optuna: its sampler: {', '.join(SAMPLERS)}. (default: tpe)"),
    Key("search_time", values.number(1), "search_seconds", SEARCH, usual="by max_time"),
    Key("verify_pairs", values.whole(0), "verify_pairs", SEARCH),
    Key("max_trials", values.whole(), "max_trials", SEARCH, usual="as the time allows"),
    Key("max_time", values.number(1), "max_time", SEARCH,
        usual="120, or by search_time; none of brute, quick and optuna"),
    Key("target_precision", values.share, "target_precision", SEARCH, show=_hundreds,
        usual="verify_pairs"),
    Key("seed", values.whole(0), "seed", SEARCH),
    Key("run_config_profile_models_concurrently_enable", values.switch, "concurrently", SEARCH,
        text="Serve and load all models at the same time, and search their settings together."),
    Key("bls_composing_models", forms.composing, "bls_composing", SEARCH, usual="none",
        show=forms.composing_texts,
        text="Models that the profiled one calls in its own code: their settings are searched "
        "with its own."),
    Key("ensemble_composing_models", forms.composing, "ensemble_composing", SEARCH,
        usual="those that the ensemble names", show=forms.composing_texts,
        text="Models of an ensemble; a file says here what to try of each."),
    Key("cpu_only_composing_models", values.names, "cpu_only_composing", SEARCH, usual="none",
        text="Models of a pipeline that stay off the GPUs."),
    Key("batch_sizes", values.wholes(), "batch_sizes", LOAD, flag="-b", show=_sizes),
    Key("client_protocol", values.one_of("http", "grpc"), "protocol", LOAD),
    Key("input_data", values.sources, "input_data", LOAD),
    Key("shapes", values.shapes, "shapes", LOAD, show=values.shape_texts),
    Key("measurement_mode", values.one_of("precision", "windows"), "rule", LOAD),
    Key("precision", values.precision, "precision", LOAD, show=_precision),
    Key("min_seconds", values.number(0.1), "min_seconds", LOAD, usual="2",
        text="Least seconds that a measurement by precision takes. (default: 2)"),
    Key("max_seconds", values.number(0.5), "max_seconds", LOAD),
    Key("senders", values.whole(0), "senders", LOAD),
    Key("request_distribution", values.one_of("constant", "poisson"), "request_distribution", LOAD,
        text="Moments at which the requests of a request rate come: constant or poisson. "
             "(default: poisson)"),
    Key("measurement_interval", values.milliseconds(50), "window_seconds", LOAD, show=_thousands),
    Key("stability_percentage", values.percent, "tolerance", LOAD, show=_hundreds),
    Key("max_windows", values.whole(3), "max_windows", LOAD),
    Key("triton_launch_mode", forms.launch_mode(LaunchMode), "launch_mode", SERVER),
    Key("triton_http_endpoint", values.text, "http_endpoint", SERVER),
    Key("triton_grpc_endpoint", values.text, "grpc_endpoint", SERVER, usual="none"),
    Key("triton_metrics_url", values.text, "metrics_url", SERVER, usual="port 8002 of the server"),
    Key("monitoring_interval", values.number(0.05), "monitoring_seconds", SERVER, flag="-i"),
    Key("reload_model_disable", values.switch, "reload_disabled", SERVER,
        text="Leave a remote server's model as it is: vary the load alone."),
    Key("gpus", forms.gpus, "gpus", SERVER, show=forms.gpu_texts,
        text="GPUs the server may use: all, or UUIDs. (default: all)"),
    Key("gpus_side_by_side", forms.side_by_side, "gpus_side_by_side", SERVER,
        show=forms.side_by_side_text,
        text="Measure on so many equal GPUs at the same time, each configuration on one: off, auto "
        "(as many as are free), or a number. (default: off)"),
    Key(
        "triton_server_environment", values.pairs, "environment", SERVER, show=dict, yaml_only=True
    ),
    # Accepted, and without effect here
    _idle("checkpoint_directory", values.path,
          "the journal in EXPORT_PATH/MODEL is the checkpoint; the same command goes on from it. "
          "`analyze import-checkpoint` reports on what Model Analyzer measured",
          flag="-s"),
    _idle("duration_seconds", values.number(),
          "figures of the server alone are read once, before a model is loaded", 3.0, flag="-d"),
    _idle("collect_cpu_metrics", values.switch,
          "the metrics of processors and memory are always collected", True),
    _idle("always_report_gpu_metrics", values.switch,
          "the journal and summary.json have the GPUs of whatever ran on them", False),
    _idle("dcgm_disable", values.switch, "DCGM is not used: the driver's NVML is asked", False),
    _idle("skip_summary_reports", values.switch, _REPORT, False),
    _idle("skip_detailed_reports", values.switch,
          "a profile writes none; `analyze report -n NAME` makes the page of one configuration",
          False),
    _idle("output_model_repository_path", values.path, _FOLDERS),
    _idle("override_output_model_repository", values.switch, _FOLDERS),
    _idle("client_max_retries", values.whole(0),
          "a server is waited for as long as it is starting, not for a number of tries", flag="-r"),
    _idle("triton_docker_args", values.mapping, _CONTAINER),
    _idle("triton_docker_image", values.text, _CONTAINER),
    _idle("triton_docker_mounts", forms.mounts, _CONTAINER),
    _idle("triton_docker_labels", values.pairs, _CONTAINER),
    _idle("triton_docker_shm_size", values.text, _CONTAINER),
    _idle("triton_server_path", values.path,
          "`engine serve` is started; another server is profiled by triton_launch_mode: remote"),
    _idle("triton_install_path", values.path, "it is for Model Analyzer's mode c_api"),
    _idle("triton_output_path", values.path, "the servers' logs lie in EXPORT_PATH/MODEL/logs"),
    _idle("perf_analyzer_timeout", values.number(), f"{_RUNS}; max_seconds bounds a measurement"),
    _idle("perf_analyzer_cpu_util", values.number(),
          f"{_RUNS}, and says itself when it was the bottleneck"),
    _idle("perf_analyzer_path", values.path, _RUNS),
    _idle("perf_output", values.switch, f"{_RUNS}, and its figures are in the journal", False),
    _idle("perf_output_path", values.path, f"{_RUNS}, and its figures are in the journal"),
    _idle("perf_analyzer_max_auto_adjusts", values.whole(0),
          f"{_RUNS}, and measures until the intervals are narrow enough"),
    _idle("filename_model_inference", values.text, _NAMES, "metrics-model-inference.csv"),
    _idle("filename_model_gpu", values.text, _NAMES, "metrics-model-gpu.csv"),
    _idle("filename_server_only", values.text, _NAMES, "metrics-server-only.csv"),
    _idle("inference_output_fields", values.names, _COLUMNS),
    _idle("gpu_output_fields", values.names, _COLUMNS),
    _idle("server_output_fields", values.names, _COLUMNS),
    _idle("num_top_model_configs", values.whole(0),
          "each model has a report of its own; `analyze compare` puts models side by side", 0),
    # Of Model Analyzer's report
    _idle("plots", forms.plots, f"{_AFTERWARDS}draws them"),
    _idle("report_model_configs", forms.report_configs,
          f"{_AFTERWARDS}writes a page for each"),
    _idle("output_formats", forms.formats, f"{_AFTERWARDS}follows it"),
    # Refused: what was asked for is not what would be done
    _refused("model_type", values.one_of("generic", "LLM"),
             "language models are not profiled yet; generic profiles a model by its requests",
             "generic"),
    _refused("genai_perf_flags", values.mapping,
             "language models are not profiled yet, and GenAI-Perf is not run; remove it",
             yaml_only=True),
)  # fmt: skip

BY_NAME = {key.name: key for key in KEYS}

#: what stands at the top of a file and is not in the table: read by ``models`` and ``passed``
ELSEWHERE = ("profile_models", "perf_analyzer_flags", "triton_server_flags")
#: what stands at the top of a file for another command, which reads it itself
OF_OTHERS = ("checks",)
#: keys that belong to one model, and where
OF_A_MODEL = {
    "weighting": "profile_models.MODEL.weighting",
    "cpu_only": "profile_models.MODEL.cpu_only",
    "parameters": "profile_models.MODEL.parameters",
    "model_config_parameters": "profile_models.MODEL.model_config_parameters",
    "config_file": "the command line: -f FILE",
}
