"""Every key of Model Analyzer's files: what is made of its forms, and what of mistakes in them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyzer.config.keys import BY_NAME, KEYS, OF_A_MODEL, Effect
from analyzer.config.load import load_options, options_of, resolve
from analyzer.config.passed import LAUNCHERS, PERF_ANALYZER, SERVER
from analyzer.config.schema import Composing, LaunchMode, ProfileOptions, SearchOptions
from analyzer.errors import UsageError
from analyzer.perf.flags import FLAGS
from analyzer.record.row import LoadSpec
from analyzer.space import Dimension, Limits
from engine import cli, options

#: key, what a file says, what comes of it in ProfileOptions or Limits, a mistake, and its text
ACTED: tuple[tuple[str, Any, Any, Any, str], ...] = (
    ("model_repository", "models", (Path("models"),), {"a": 1}, "expected a word"),
    ("model_repository", ["a", "b"], (Path("a"), Path("b")), [["a"]], "expected a word"),
    ("export_path", "out", Path("out"), ["out"], "expected a word, found ['out']"),
    ("objectives", ["perf_throughput"], ("perf_throughput",), ["throughput"], "did you mean"),
    ("objectives", {"perf_latency_p99": 2.5}, {"perf_latency_p99": 2.5},
     {"perf_throughput": "much"}, "objectives.perf_throughput: expected a number, found 'much'"),
    ("objectives", {"perf_latency": 1}, {"perf_latency_p99": 1.0},
     {"perf_throughput": 0}, "expected a weight above 0"),
    ("objectives", "perf_throughput", ("perf_throughput",),
     ["inter_token_latency_p99"], "measured of language models"),
    ("constraints", {"perf_latency_p99": {"max": 0.5}}, {"perf_latency_p99": {"max": 0.5}},
     {"perf_latency_p99": {"most": 5}}, "expected min or max with a number"),
    ("constraints", {"gpu_used_memory": {"min": 1, "max": 2}},
     {"gpu_used_memory": {"min": 1.0, "max": 2.0}},
     {"gpu_used_memory": {"min": 3, "max": 2}}, "min 3 is above max 2"),
    ("latency_budget", 10, 10.0, 0, "expected more than 0"),
    ("min_throughput", 100.5, 100.5, "fast", "expected a number, found 'fast'"),
    ("cost_per_hour", 2.75, 2.75, 0, "expected more than 0"),
    ("run_config_search_mode", "brute", "brute", ["quick"], "expected a word"),
    ("run_config_search_disable", True, True, "maybe", "expected true or false, found 'maybe'"),
    ("run_config_search_min_instance_count", 2, 2, 0, "expected at least 1, found 0"),
    ("run_config_search_max_instance_count", 3, 3, "all", "expected a whole number"),
    ("run_config_search_min_model_batch_size", 2, 2, 1.5, "expected a whole number, found 1.5"),
    ("run_config_search_max_model_batch_size", 64, 64, -1, "expected at least 1"),
    ("run_config_search_min_concurrency", 4, 4, True, "expected a whole number"),
    ("run_config_search_max_concurrency", 16, 16, [1], "expected a whole number"),
    ("concurrency", [4, 1], (1, 4), {"start": 1, "end": 4}, "expected start, stop and step"),
    ("concurrency", {"start": 2, "stop": 6, "step": 2}, (2, 4, 6), [], "at least one"),
    ("concurrency", "2,8", (2, 8), "2;8", "expected a whole number"),
    ("queue_delays", [-1, 100], (-1, 100), -2, "expected at least -1"),
    ("intra_op_threads", 4, (4,), 0, "expected at least 1"),
    ("backends", "openvino, onnxruntime", ("openvino", "onnxruntime"), 4, "expected a list"),
    ("accelerators", ["none", "tensorrt"], ("none", "tensorrt"), {}, "expected a list of names"),
    ("precisions", ["fp32", "BF16"], ("FP32", "BF16"), "FP8",
     "expected some of FP32, BF16, FP16, INT8; found 'FP8'"),
    ("accuracy_samples", 16, 16, -1, "expected at least 0"),
    ("accuracy_tolerance", 0.02, {"": 0.02}, "tight", "expected a number, found 'tight'"),
    ("accuracy_tolerance", {"BF16": 0.05, "int8": "0.2"}, {"BF16": 0.05, "INT8": 0.2},
     {"FP8": 0.1}, "expected one of FP32, BF16, FP16, INT8; found 'FP8'"),
    ("accuracy_tolerance", "BF16:0.05, INT8:0.2", {"BF16": 0.05, "INT8": 0.2}, "BF16:x",
     "accuracy_tolerance.BF16: expected a number, found 'x'"),
    ("concurrency_sweep_disable", True, True, 2, "expected true or false, found 2"),
    ("search_time", 30, 30.0, 0, "expected at least 1"),
    ("verify_pairs", 0, 0, -1, "expected at least 0"),
    ("seed", 7, 7, "seven", "expected a whole number"),
    ("run_config_profile_models_concurrently_enable", True, True, "x", "expected true or false"),
    ("bls_composing_models", "a,b", (Composing(name="a"), Composing(name="b")), 5,
     "expected a list of names, found 5"),
    ("bls_composing_models", ["a", {"b": {"cpu_only": True, "parameters": {}}}],
     (Composing(name="a"), Composing(name="b", cpu_only=True)),
     [{"a": {"parameters": {"concurrency": 4}}}],
     "bls_composing_models[0].a.parameters: expected model_config_parameters and cpu_only"),
    ("ensemble_composing_models",
     {"a": {"model_config_parameters": {"max_batch_size": [1, 2]}}, "b": None},
     (Composing(name="a", parameters=(Dimension("max_batch_size", (1, 2)),)), Composing(name="b")),
     {"a": {"model_config_parameters": {"max_batch_sise": 1}}},
     "ensemble_composing_models.a.model_config_parameters.max_batch_sise"),
    ("ensemble_composing_models", ["a"], (Composing(name="a"),), ["a", {"a": {"cpu_only": True}}],
     "'a' stands twice; keep one"),
    ("ensemble_composing_models", [], (), {"a": ["b"]}, "expected options of that model"),
    ("cpu_only_composing_models", ["a"], ("a",), {"a": 1}, "expected a list of names"),
    ("request_rate", [20.5, 10], (10.0, 20.5), 0, "expected more than 0"),
    ("request_rate", {"start": 0.5, "stop": 2, "step": 0.5}, (0.5, 1.0, 1.5, 2.0), "fast",
     "expected a number, found 'fast'"),
    ("request_rate", "10:30:10", (10.0, 20.0, 30.0), "30:10", "expected stop to be at least start"),
    ("run_config_search_min_request_rate", 4, 4.0, 0, "expected more than 0"),
    ("run_config_search_max_request_rate", 512, 512.0, "most", "expected a number"),
    ("request_rate_search_enable", True, True, "x", "expected true or false"),
    ("early_exit_enable", True, True, "x", "expected true or false"),
    ("run_config_search_max_binary_search_steps", 0, 0, -1, "expected at least 0"),
    ("num_configs_per_model", 2, 2, 0, "expected at least 1"),
    ("min_percentage_of_search_space", 2.5, 2.5, -1, "expected at least 0"),
    ("max_percentage_of_search_space", 20, 20.0, 101, "expected at most 100, found 101"),
    ("optuna_min_trials", 10, 10, 0, "expected at least 1"),
    ("optuna_max_trials", 50, 50, "all", "expected a whole number"),
    ("optuna_early_exit_threshold", 5, 5, -1, "expected at least 0"),
    ("use_concurrency_formula", True, True, "x", "expected true or false"),
    ("optuna_sampler", "gp", "gp", "tpi", "expected one of tpe, gp, cmaes, random, nsga2"),
    ("batch_sizes", [8, 1], (1, 8), 0, "expected at least 1, found 0"),
    ("client_protocol", "grpc", "grpc", "rest", "expected one of http, grpc; found 'rest'"),
    ("input_data", "zero", ("zero",), ["zero", "a.json"], "zero stands alone"),
    ("shapes", "x:1,2", {"x": (1, 2)}, "x", "expected NAME:D1,D2"),
    ("measurement_mode", "windows", "windows", "fast", "expected one of precision, windows"),
    ("precision", "2,5", (0.02, 0.05), "0", "expected per cent"),
    ("min_seconds", 1.5, 1.5, 0.01, "expected at least 0.1"),
    ("max_seconds", 3, 3.0, 0.1, "expected at least 0.5"),
    ("request_distribution", "constant", "constant", "gamma", "one of constant, poisson"),
    ("senders", 2, 2, "many", "expected a whole number"),
    ("measurement_interval", 2500, 2.5, 10, "expected at least 50"),
    ("stability_percentage", 5, 0.05, "x", "expected a number"),
    ("max_windows", 4, 4, 2, "expected at least 3"),
    ("max_trials", 30, 30, 0, "expected at least 1"),
    ("max_time", 120, 120.0, 0, "expected at least 1"),
    ("target_precision", 2, 0.02, 0, "expected more than 0 and less than 100 per cent"),
    ("target_precision", "1.5%", 0.015, "thin", "expected a number, found 'thin'"),
    ("triton_launch_mode", "remote", LaunchMode.REMOTE, "docker", "docker is not available here"),
    ("triton_launch_mode", "local", LaunchMode.LOCAL, "c_api", "c_api is not available here"),
    ("triton_http_endpoint", "gpu:8000", "gpu:8000", [1], "expected a word"),
    ("triton_grpc_endpoint", "gpu:8001", "gpu:8001", {}, "expected a word"),
    ("triton_metrics_url", "http://gpu:8002/metrics", "http://gpu:8002/metrics", [],
     "expected a word"),
    ("monitoring_interval", 0.5, 0.5, 0, "expected at least 0.05"),
    ("reload_model_disable", True, True, "x", "expected true or false"),
    ("gpus", ["GPU-1"], ("GPU-1",), [], "expected all"),
    ("gpus", "all", (), {"a": 1}, "expected a list of names"),
    ("gpus_side_by_side", "auto", -1, 0, "expected off, auto, or a number of GPUs, found 0"),
    ("gpus_side_by_side", False, 0, "many", "expected off, auto, or a number of GPUs"),
    ("gpus_side_by_side", "4", 4, -1, "expected off, auto, or a number of GPUs, found -1"),
    ("triton_server_environment", {"OMP_NUM_THREADS": 2, "X": True},
     {"OMP_NUM_THREADS": "2", "X": "true"}, ["A=1"], "expected names and values"),
)  # fmt: skip

#: key, a value accepted with a warning, one that asks for nothing (None: there is none), and one
#: that is no such value
IDLE: tuple[tuple[str, Any, Any, Any], ...] = (
    ("checkpoint_directory", "checkpoints", None, [1]),
    ("duration_seconds", 5, 3, "long"),
    ("collect_cpu_metrics", False, True, "x"),
    ("always_report_gpu_metrics", True, False, "x"),
    ("dcgm_disable", True, False, "x"),
    ("skip_summary_reports", True, False, "x"),
    ("skip_detailed_reports", True, False, "x"),
    ("output_model_repository_path", "out", None, [1]),
    ("override_output_model_repository", True, None, "x"),
    ("client_max_retries", 5, None, "x"),
    ("triton_docker_args", {"shm_size": "1g"}, None, "x"),
    ("triton_docker_image", "image:tag", None, [1]),
    ("triton_docker_mounts", ["a:b:rw"], None, ["a:b"]),
    ("triton_docker_labels", {"who": "me"}, None, "x"),
    ("triton_docker_shm_size", "1G", None, [1]),
    ("triton_server_path", "tritonserver", None, [1]),
    ("triton_install_path", "triton", None, [1]),
    ("triton_output_path", "log.txt", None, [1]),
    ("perf_analyzer_timeout", 300, None, "x"),
    ("perf_analyzer_cpu_util", 80.5, None, "x"),
    ("perf_analyzer_path", "perf_analyzer", None, [1]),
    ("perf_output", True, False, "x"),
    ("perf_output_path", "out.txt", None, [1]),
    ("perf_analyzer_max_auto_adjusts", 4, None, "x"),
    ("filename_model_inference", "a.csv", "metrics-model-inference.csv", [1]),
    ("filename_model_gpu", "a.csv", "metrics-model-gpu.csv", [1]),
    ("filename_server_only", "a.csv", "metrics-server-only.csv", [1]),
    ("inference_output_fields", ["model_name"], None, 5),
    ("gpu_output_fields", ["model_name"], None, 5),
    ("server_output_fields", "model_name,gpu_uuid", None, 5),
    ("num_top_model_configs", None, 0, "x"),
    ("plots", {"p": {"title": "t", "x_axis": "perf_latency_p99", "y_axis": "perf_throughput",
                     "monotonic": True}}, None, {"p": {"title": "t"}}),
    ("report_model_configs", ["m_config_1"], None, {"m_config_1": {"plot": {}}}),
    ("report_model_configs", {"m_config_default": None}, None, 5),
    ("output_formats", ["pdf", "csv"], None, "doc"),
)  # fmt: skip

REFUSED: tuple[tuple[str, Any, Any], ...] = (
    ("model_type", "LLM", "generic"),
    ("genai_perf_flags", {"backend": "vllm"}, None),
)


def written(folder: Path, **keys: object) -> Path:
    file = folder / "perf.yaml"
    file.write_text(yaml.safe_dump({"profile_models": "m", **keys}, sort_keys=False))
    return file


def one(folder: Path, **keys: object) -> ProfileOptions:
    (options,) = load_options(written(folder, **keys), {})
    return options


def parts(options: ProfileOptions) -> tuple[object, ...]:
    return options, options.limits, options.search


def wrong(folder: Path, **keys: object) -> str:
    with pytest.raises(UsageError) as caught:
        load_options(written(folder, **keys), {})
    return caught.value.message.replace(f"{folder}/", "")


def own(folder: Path, **keys: object) -> ProfileOptions:
    return one(folder, profile_models={"m": keys})


@pytest.mark.parametrize(("key", "given", "expected", "bad", "words"), ACTED)
def test_a_key_that_is_acted_on(
    tmp_path: Path, key: str, given: object, expected: object, bad: object, words: str
) -> None:
    found = one(tmp_path, **{key: given})
    name = BY_NAME[key].field
    assert next(getattr(each, name) for each in parts(found) if hasattr(each, name)) == expected
    said = wrong(tmp_path, **{key: bad})
    assert said.startswith("perf.yaml:")
    assert key in said
    assert words in said


@pytest.mark.parametrize(("key", "given", "quiet", "bad"), IDLE)
def test_a_key_without_effect_is_read_and_said_to_have_none(
    tmp_path: Path, key: str, given: object, quiet: object, bad: object
) -> None:
    if given is not None:
        (warning,) = resolve(written(tmp_path, **{key: given}), {}).warnings
        assert f"perf.yaml:2: {key} has no effect here: " in warning
    if quiet is not None:
        assert not resolve(written(tmp_path, **{key: quiet}), {}).warnings
    assert one(tmp_path) == one(tmp_path, **({key: given} if given is not None else {}))
    assert wrong(tmp_path, **{key: bad}).startswith("perf.yaml:")


@pytest.mark.parametrize(("key", "given", "quiet"), REFUSED)
def test_a_key_that_cannot_be_followed_is_refused_with_what_works_instead(
    tmp_path: Path, key: str, given: object, quiet: object
) -> None:
    assert f"perf.yaml:2: {key}: not available here: " in wrong(tmp_path, **{key: given})
    if quiet is not None:
        assert one(tmp_path, **{key: quiet}) == one(tmp_path)


def test_every_key_has_its_row() -> None:
    rows = {row[0] for table in (ACTED, IDLE, REFUSED) for row in table}
    assert rows == {key.name for key in KEYS}
    assert {row[0] for row in ACTED} == {k.name for k in KEYS if k.effect is Effect.ACTED}


def test_every_field_of_the_options_can_be_set_by_a_key_or_is_no_option() -> None:
    fields_set = {key.field for key in KEYS}
    owners = (ProfileOptions, Limits, SearchOptions)
    known = {each.name for owner in owners for each in fields(owner)}
    assert fields_set - {""} <= known
    by_other_means = {"model", "limits", "search", "batch_size",
                      "server_flags", "startup_timeout_s",
                      "fresh", "cpu_only", "weighting", "together", "parameters", "load",
                      "config_file", "listed", "one_gpu"}  # fmt: skip
    assert known - fields_set == by_other_means


@pytest.mark.parametrize("key", sorted(OF_A_MODEL))
def test_a_key_of_a_model_at_the_top_says_where_it_belongs(tmp_path: Path, key: str) -> None:
    assert f"perf.yaml:2: {key}: it does not stand at the top" in wrong(tmp_path, **{key: 1})


# What a model sets for itself


def test_a_models_own_options(tmp_path: Path) -> None:
    found = own(
        tmp_path,
        cpu_only=True,
        objectives={"perf_latency_avg": 3},
        constraints={"perf_throughput": {"min": 5}},
        parameters={"batch_sizes": 4, "concurrency": {"start": 1, "stop": 3}},
        shapes=["x:3"],
        triton_server_flags={"log_verbose": True, "exit-timeout-secs": 9},
        triton_server_environment={"A": "b"},
    )
    assert found.cpu_only
    assert found.objectives == {"perf_latency_avg": 3.0}
    assert found.constraints == {"perf_throughput": {"min": 5.0}}
    assert (found.limits.batch_size, found.limits.concurrencies) == (4, (1, 2, 3))
    assert found.server_flags == ("--log-verbose=true", "--exit-timeout-secs=9")
    assert found.environment == {"A": "b"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cpu_onyl": True}, ("perf.yaml:3: profile_models.m.cpu_onyl: no such option of a model; "
         "did you mean cpu_only?")),
        ({"cpu_only": "perhaps"}, "profile_models.m.cpu_only: expected true or false"),
        ({"concurrency": 4}, "it stands under parameters: concurrency"),
        ({"latency_budget": 4}, "it may stand at the top of the file, for all models"),
        ({"parameters": {"concurency": 4}}, ("perf.yaml:4: profile_models.m.parameters.concurency: "
         "no such parameter; did you mean concurrency?")),
        ({"parameters": {"concurrency": 4, "request_rate": 5}}, "exclude each other; keep one"),
        ({"parameters": [4]}, "expected batch_sizes, concurrency, request_rate; found [4]"),
        ({"parameters": {"request_rate": -5}}, "parameters.request_rate: expected at least 0"),
        ({"weighting": "heavy"}, "weighting: expected a number"),
        ({"genai_perf_flags": {"backend": "vllm"}}, "genai_perf_flags: not available here"),
        ({"triton_server_flags": {"http-port": 1}}, "http-port: cannot be given: the launcher"),
        ({"triton_server_flags": {"log-verbos": 1}}, "did you mean log-verbose?"),
        ({"objectives": ["a", "b"]}, "objectives[1]: no metric named 'b'"),
        ("fast", "profile_models.m: expected options of that model, found 'fast'"),
    ],
)  # fmt: skip
def test_mistakes_in_a_models_own_options(tmp_path: Path, settings: object, words: str) -> None:
    assert words in wrong(tmp_path, profile_models={"m": settings})


def test_a_weight_is_read_and_has_no_effect_where_models_go_one_by_one(tmp_path: Path) -> None:
    file = written(tmp_path, profile_models={"a": {"weighting": 3}, "b": {"weighting": 1}})
    (warning,) = resolve(file, {}).warnings
    assert "perf.yaml:3: weighting has no effect here: models are profiled one after" in warning


def test_a_flag_comes_before_the_file_and_a_models_own_before_what_all_have(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        profile_models={"a": {"parameters": {"concurrency": 2}}, "b": {}},
        concurrency=4,
        batch_sizes=2,
    )
    a, b = load_options(file, {})
    assert (a.limits.concurrencies, b.limits.concurrencies) == ((2,), (4,))
    assert a.limits.batch_size == 2
    assert load_options(file, {"concurrency": "8"})[0].limits.concurrencies == (8,)


def test_every_value_knows_where_it_came_from(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        profile_models={"m": {"cpu_only": True, "perf_analyzer_flags": {"batch-size": 3}}},
        seed=4,
        latency_budget=10,
    )
    resolved = resolve(file, {"latency_budget": "20", "fresh": True})
    found = {key: setting.source for key, setting in resolved.models["m"].items()}
    assert found == {
        "cpu_only": f"{file}:3",
        "batch_sizes": f"{file}:5",
        "seed": f"{file}:6",
        "latency_budget": "--latency-budget",
    }
    assert options_of(resolved)[0].fresh


# Conflicts


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"run_config_search_mode": "quick", "run_config_search_disable": True},
         "perf.yaml:3: run_config_search_disable: excludes a quick search"),
        ({"run_config_search_min_concurrency": 9, "run_config_search_max_concurrency": 4},
         "perf.yaml:3: run_config_search_max_concurrency: 4 is below"),
        ({"num_top_model_configs": 2}, "num_top_model_configs: needs constraints"),
        ({"run_config_search_min_request_rate": 9, "run_config_search_max_request_rate": 4.5},
         "perf.yaml:3: run_config_search_max_request_rate: 4.5 is below"),
        ({"concurrency": 4, "request_rate": 9},
         "perf.yaml:2: concurrency: excludes request_rate (perf.yaml:3): requests come at"),
        ({"concurrency": 4, "request_rate_search_enable": True},
         "perf.yaml:2: concurrency: excludes request_rate_search_enable (perf.yaml:3)"),
        ({"request_rate_search_enable": True, "run_config_search_min_concurrency": 4},
         "perf.yaml:3: run_config_search_min_concurrency: excludes request_rate_search_enable"),
        ({"run_config_search_max_request_rate": 64, "run_config_search_max_concurrency": 4},
         "perf.yaml:3: run_config_search_max_concurrency: excludes run_config_search_max_request"),
        ({"triton_launch_mode": "remote", "triton_server_flags": {"log-verbose": 1}},
         "perf.yaml:3: triton_server_flags: cannot be set of a server that runs already"),
        ({"run_config_search_mode": "brutal"}, ("there is no brutal search here; there are: brute, "
         "quick; did you mean brute?")),
        ({"profile_models": ["a", {"a": {}}]}, ("perf.yaml:3: profile_models[1].a: 'a' stands "
         "twice; keep one")),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_options(written(tmp_path, **keys), {}, ("brute", "quick"))
    assert words in caught.value.message.replace(f"{tmp_path}/", "")


def test_a_load_of_a_models_own_takes_the_place_of_the_other_kind(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        profile_models={"a": {"parameters": {"request_rate": 20}}, "b": {}},
        concurrency=4,
    )
    a, b = load_options(file, {})
    assert (a.limits.request_rates, a.limits.concurrencies) == ((20.0,), None)
    assert (b.limits.request_rates, b.limits.concurrencies) == (None, (4,))
    off = one(tmp_path, concurrency=4, request_rate_search_enable=False)
    assert off.limits.concurrencies == (4,)


@pytest.mark.parametrize(
    ("one_", "other", "words"),
    [
        ({"triton_server_flags": {"log-verbose": 1}}, {},
         "perf.yaml:4: triton_server_flags: a and b differ in it, and models that are profiled"),
        ({"triton_server_environment": {"A": 1}}, {"triton_server_environment": {"A": 2}},
         "triton_server_environment: a and b differ in it"),
        ({}, {"parameters": {"request_rate": 5}},
         "request_rate: a and b differ in it, and either all of them are loaded at a rate"),
    ],
)  # fmt: skip
def test_models_at_the_same_time_share_a_server_and_a_kind_of_load(
    tmp_path: Path, one_: dict[str, Any], other: dict[str, Any], words: str
) -> None:
    models = {"a": {"cpu_only": True, **one_}, "b": other}
    at_once = {"run_config_profile_models_concurrently_enable": True}
    assert words in wrong(tmp_path, profile_models=models, **at_once)
    assert len(load_options(written(tmp_path, profile_models=models), {})) == 2
    same = {"a": one_, "b": one_}
    assert len(load_options(written(tmp_path, profile_models=same, **at_once), {})) == 2


def test_what_the_search_mode_does_not_read_is_said(tmp_path: Path) -> None:
    keys = {"optuna_max_trials": 9, "early_exit_enable": True, "use_concurrency_formula": False}
    file = written(tmp_path, **keys, run_config_search_mode="quick")
    brute, optuna = resolve(file, {}).warnings
    assert optuna.endswith(
        "perf.yaml:2: optuna_max_trials has no effect here: optuna reads it, "
        "and the search mode is quick"
    )
    assert "early_exit_enable has no effect here: brute reads it" in brute
    (only,) = resolve(written(tmp_path, **keys, run_config_search_mode="optuna"), {}).warnings
    assert "early_exit_enable" in only


def test_a_search_that_is_disabled_measures_at_concurrency_one(tmp_path: Path) -> None:
    assert one(tmp_path, run_config_search_disable=True).limits.concurrencies == (1,)
    both = one(tmp_path, run_config_search_disable=True, concurrency=[2, 4])
    assert both.limits.concurrencies == (2, 4)


# Other programs' flags


@pytest.mark.parametrize(
    ("flags", "name", "expected"),
    [
        ({"measurement-mode": "count_windows"}, "rule", "windows"),
        ({"measurement_mode": "time_windows"}, "rule", "windows"),
        ({"concurrency-range": "2:6:2"}, "concurrencies", (2, 4, 6)),
        ({"protocol": "grpc"}, "protocol", "grpc"),
        ({"max-trials": 5}, "max_windows", 5),
        ({"request-rate-range": "10:30:10"}, "request_rates", (10.0, 20.0, 30.0)),
        ({"metrics-interval": 500}, "monitoring_seconds", 0.5),
        ({"percentile": 95}, "load", {"percentile": 95}),
        ({"percentile": -1}, "load", {"percentile": 0}),
        ({"http-header": ["A:b", "C:d"]}, "load", {"headers": (("A", "b"), ("C", "d"))}),
        ([{"shape": "x:1"}, {"shape": "y:2,3"}], "shapes", {"x": (1,), "y": (2, 3)}),
        ({"input-data": ["a.json", "b.json"]}, "input_data", ("a.json", "b.json")),
        ({"shared-memory": "system", "binary-search": False}, "load", {"shared_memory": "system"}),
    ],
)
def test_perf_analyzers_flags_are_options_here(
    tmp_path: Path, flags: object, name: str, expected: object
) -> None:
    found = one(tmp_path, perf_analyzer_flags=flags)
    assert next(getattr(each, name) for each in parts(found) if hasattr(each, name)) == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"percentil": 95},
         "flags.percentil: perf_analyzer has no such flag; did you mean percentile?"),
        ({"percentile": 100}, "perf_analyzer_flags.percentile: expected 1 to 99"),
        ({"request-intervals": "a.txt"}, "request-intervals: not available in a profile: "),
        ([{"percentile": 5}, {"percentile": 6}], "perf_analyzer_flags[1].percentile: given twice"),
        (["async"], "perf_analyzer_flags[0]: expected a flag and its value, found 'async'"),
        ("--async", "perf_analyzer_flags: expected flags and their values, found '--async'"),
        ({"http-header": "none"}, "http-header: expected NAME:VALUE, found 'none'"),
        ({"batch-size": "x"}, "perf_analyzer_flags.batch-size: expected a whole number"),
    ],
)  # fmt: skip
def test_mistakes_in_perf_analyzers_flags(tmp_path: Path, flags: object, words: str) -> None:
    assert words in wrong(tmp_path, perf_analyzer_flags=flags)


def test_a_server_that_is_started_here_takes_shared_memory_where_requests_lie_in_it(
    tmp_path: Path,
) -> None:
    shared = {"perf_analyzer_flags": {"shared-memory": "system"}}
    assert one(tmp_path, **shared).server_flags == ("--allow-client-shm=true",)
    own = one(tmp_path, **shared, triton_server_flags={"allow-client-shm": False})
    assert own.server_flags == ("--allow-client-shm=false",)


def test_flags_without_effect_are_one_warning_for_each_reason(tmp_path: Path) -> None:
    flags = {"async": True, "sync": True, "verbose-csv": True}
    threads, csv = resolve(written(tmp_path, perf_analyzer_flags=flags), {}).warnings
    assert "perf_analyzer_flags.async and perf_analyzer_flags.sync have no effect here" in threads
    assert "perf_analyzer_flags.verbose-csv has no effect here" in csv


def test_the_flags_of_perf_analyzer_are_known_and_mean_fields_that_there_are(
    tmp_path: Path,
) -> None:
    perf = {name.removeprefix("--") for flag in FLAGS for name in flag.spellings}
    beyond = {"latency-report-file", "http-header", "extra-verbose"}
    assert set(PERF_ANALYZER) - perf <= beyond
    flags = {"percentile": 1, "header": "a:b", "grpc_compression_algorithm": "gzip",
             "input_tensor_format": "json", "warmup_request_count": 1, "streaming": "true",
             "output_shared_memory_size": 5,
             "sequence_length": 2, "sequence_length_variation": 3, "sequence_id_range": "1:2",
             "serial_sequences": True, "num_of_sequences": 3}  # fmt: skip
    made = one(tmp_path, perf_analyzer_flags=flags)
    assert LoadSpec(**made.load).headers == (("a", "b"),)
    assert len(made.load) == len(flags)


def test_the_servers_flags_are_those_that_the_engine_has() -> None:
    theirs = {
        flag.removeprefix("--")
        for name in ("serve",)
        for parameter in cli.typer.main.get_command(cli.app).commands[name].params  # type: ignore[attr-defined]
        for flag in parameter.opts
    }
    assert set(SERVER) | set(LAUNCHERS) == (theirs | set(options.IDLE)) - {"help", "-h"}
