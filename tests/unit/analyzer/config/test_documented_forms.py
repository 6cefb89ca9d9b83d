"""The kinds of files that Model Analyzer's documentation shows, in words of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.config.load import load_options, options_of, resolve
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.errors import UsageError
from analyzer.space import Dimension


def read(folder: Path, text: str, **flags: object) -> tuple[ProfileOptions, ...]:
    file = folder / "perf.yaml"
    file.write_text(text)
    return load_options(file, flags)


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    return caught.value.message.replace(f"{folder}/", "").splitlines()


def test_the_smallest_file_of_a_first_profile(tmp_path: Path) -> None:
    text = """
model_repository: /models/quick-start
profile_models:
  - add_sub
run_config_search_max_concurrency: 2
run_config_search_max_model_batch_size: 2
run_config_search_max_instance_count: 2
override_output_model_repository: true
"""
    file = tmp_path / "perf.yaml"
    file.write_text(text)
    resolved = resolve(file, {})
    (options,) = options_of(resolved)
    assert options.limits.max_concurrency == 2
    assert options.limits.max_model_batch_size == 2
    assert options.limits.max_instance_count == 2
    assert len(resolved.warnings) == 1


def test_a_command_line_of_the_tutorial_over_its_file(tmp_path: Path) -> None:
    text = """
model_repository: /workspace/models
checkpoint_directory: /workspace/checkpoints/
output_model_repository_path: /workspace/output/
export_path: /workspace/results/
profile_models:
  text_recognition:
    perf_analyzer_flags:
      shape: input.1:1,32,100
      concurrency-range: "1"
    triton_server_flags:
      log_verbose: True
      exit_timeout_secs: 120
"""
    given = {"latency_budget": "10", "run_config_search_mode": "quick"}
    (options,) = read(tmp_path, text, **given)
    assert (options.latency_budget, options.search_mode) == (10.0, "quick")
    assert options.shapes == {"input.1": (1, 32, 100)}
    assert options.server_flags == ("--log-verbose=true", "--exit-timeout-secs=120")


def test_objectives_and_constraints_for_all_models_and_for_one(tmp_path: Path) -> None:
    text = """
objectives:
  perf_latency_p99: 7
  gpu_used_memory: 3
constraints:
  perf_throughput:
    min: 50
profile_models:
  - first
  - second:
      objectives:
        - perf_throughput
      constraints:
        perf_latency_p99: {max: 15}
        gpu_used_memory: {max: 4000}
"""
    first, second = read(tmp_path, text)
    assert first.objectives == {"perf_latency_p99": 7.0, "gpu_used_memory": 3.0}
    assert first.constraints == {"perf_throughput": {"min": 50.0}}
    assert second.objectives == ("perf_throughput",)
    assert second.constraints == {
        "perf_latency_p99": {"max": 15.0}, "gpu_used_memory": {"max": 4000.0},
    }  # fmt: skip


def test_a_manual_sweep_of_load_and_configuration(tmp_path: Path) -> None:
    text = """
run_config_search_mode: brute
profile_models:
  classifier:
    parameters:
      concurrency:
        start: 4
        stop: 16
        step: 4
      batch_sizes: 8
    model_config_parameters:
      max_batch_size: [8, 16]
      dynamic_batching:
        preferred_batch_size: [[8], [16]]
        max_queue_delay_microseconds: [100]
      instance_group:
        - kind: [KIND_CPU, KIND_GPU]
          count: [1, 2]
"""
    (options,) = read(tmp_path, text)
    assert options.limits.concurrencies == (4, 8, 12, 16)
    assert options.limits.batch_size == 8
    sizes = {each.name: len(each.values) for each in options.parameters}
    assert sizes == {"dynamic_batching": 2, "instance_group": 4, "max_batch_size": 2}


def test_a_server_elsewhere_that_is_left_as_it_is(tmp_path: Path) -> None:
    text = """
triton_launch_mode: remote
triton_http_endpoint: gpu-box:8000
triton_grpc_endpoint: gpu-box:8001
triton_metrics_url: http://gpu-box:8002/metrics
client_protocol: grpc
reload_model_disable: true
monitoring_interval: 0.5
profile_models: classifier
"""
    (options,) = read(tmp_path, text)
    assert options.launch_mode is LaunchMode.REMOTE
    assert (options.http_endpoint, options.grpc_endpoint) == ("gpu-box:8000", "gpu-box:8001")
    assert options.reload_disabled


def test_the_client_in_detail(tmp_path: Path) -> None:
    text = """
profile_models:
  language:
    perf_analyzer_flags:
      - input-data: requests.json
      - shape: ids:128
      - shape: mask:128
        percentile: 95
        measurement-interval: 10000
        stability-percentage: 20
        streaming: true
        async: true
"""
    (options,) = read(tmp_path, text)
    assert options.input_data == ("requests.json",)
    assert options.shapes == {"ids": (128,), "mask": (128,)}
    assert options.load == {"percentile": 95, "streaming": True}
    assert (options.window_seconds, options.tolerance) == (10.0, 0.2)


def test_models_may_be_profiled_at_the_same_time_with_weights(tmp_path: Path) -> None:
    text = """
run_config_profile_models_concurrently_enable: true
profile_models:
  one: {weighting: 3}
  two: {weighting: 1}
"""
    one, two = read(tmp_path, text)
    assert (one.concurrently, two.concurrently) == (True, True)
    assert (one.weighting, two.weighting) == (3.0, 1.0)
    assert not resolve(tmp_path / "perf.yaml", {}).warnings


def test_the_models_of_a_pipeline_may_have_settings_of_their_own(tmp_path: Path) -> None:
    text = """
ensemble_composing_models:
  preprocess:
    model_config_parameters: {instance_group: [{count: [1, 2]}]}
  mobilenet:
cpu_only_composing_models: [preprocess]
profile_models: ensemble
"""
    (options,) = read(tmp_path, text)
    first, second = options.ensemble_composing
    assert first.parameters == (Dimension("instance_count", (1, 2)),)
    assert (second.name, second.parameters) == ("mobilenet", ())
    assert options.cpu_only_composing == ("preprocess",)


def test_models_that_code_calls_are_those_of_one_model(tmp_path: Path) -> None:
    text = "bls_composing_models: [a, b]\nprofile_models: [one, two]\n"
    (line,) = refused(tmp_path, text)
    assert line.startswith("perf.yaml:1: bls_composing_models: are called by one model")
    (line,) = refused(tmp_path, "bls_composing_models: [a, one]\nprofile_models: one\n")
    assert line.startswith("perf.yaml:1: bls_composing_models: one is the profiled model itself")


def test_a_container_and_its_mounts_are_one_warning(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("""
triton_docker_image: registry/tritonserver:version
triton_docker_mounts:
  - /data:/data:ro
triton_docker_labels: {owner: me}
triton_docker_args: {shm_size: 2g}
profile_models: m
""")
    (warning,) = resolve(file, {}).warnings
    assert "triton_docker_image, triton_docker_mounts, triton_docker_labels and " in warning
    assert warning.count("perf.yaml:") == 4


def test_a_file_for_the_report(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("""
report_model_configs:
  m_config_default:
    plots:
      load: {title: Load, x_axis: perf_latency_p99, y_axis: perf_throughput, monotonic: true}
plots:
  memory: {title: Memory, x_axis: concurrency_range, y_axis: gpu_used_memory}
output_formats: pdf
profile_models: m
""")
    assert len(resolve(file, {}).warnings) == 3
    wrong = "profile_models: m\nplots:\n  p: {title: T, x_axis: speed, y_axis: perf_throughput}\n"
    (line,) = refused(tmp_path, wrong)
    assert line.startswith("perf.yaml:3: plots.p.x_axis: no metric named 'speed'")
