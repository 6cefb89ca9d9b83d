"""A configuration as it is printed: readable again, each value with its source."""

import json
from dataclasses import replace
from pathlib import Path

from analyzer.config.load import load_options, options_of, resolve
from analyzer.config.show import as_json, lines, text

FILE = """
model_repository: models
profile_models:
  resnet50:
    cpu_only: true
    weighting: 2
    parameters: {batch_sizes: 4, concurrency: [1, 8]}
    constraints:
      perf_latency_p99:
        max: 50.5
    perf_analyzer_flags:
      - shape: x:1,2
      - shape: y:3
        http-header: [a:b]
    model_config_parameters:
      max_batch_size: [1, 4]
      instance_group:
        - kind: KIND_CPU
          count: [1, 2]
    triton_server_flags: {log-verbose: 1}
  add_sub:
triton_docker_image: image
objectives: {perf_throughput: 2, perf_latency_p99: 1}
precision: 2,5
measurement_interval: 500
stability_percentage: 7.5
gpus: [GPU-1]
triton_server_environment: {OMP_NUM_THREADS: 2}
perf_analyzer_flags: {percentile: 95}
"""


def test_what_is_printed_can_be_read_again_and_means_the_same(tmp_path: Path) -> None:
    file, again = tmp_path / "perf.yaml", tmp_path / "again.yaml"
    file.write_text(FILE)
    resolved = resolve(file, {})
    again.write_text(text(lines(resolved)))
    for before, after in zip(options_of(resolved), load_options(again, {}), strict=True):
        # A default that is written out is a choice like any other, of a rule as well.
        assert replace(after, rule=before.rule, config_file=file) == before


def test_each_value_stands_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text(FILE)
    shown = text(lines(resolve(file, {"latency_budget": "9"}))).replace(f"{tmp_path}/", "")
    for line, source in (
        ("latency_budget: 9", "--latency-budget"),
        ("seed: 0", "default"),
        ("run_config_search_max_concurrency: null", "default: 1024"),
        ("stability_percentage: 7.5", "perf.yaml:26"),
        ("    cpu_only: true", "perf.yaml:5"),
        ("      http-header: ['a:b']", "perf.yaml:14"),
        ("      batch_sizes: 4", "perf.yaml:7"),
    ):
        assert any(
            each.startswith(line) and each.endswith(f"  # {source}") for each in shown.splitlines()
        ), (line, source)
    assert "triton_docker_image: image" in shown
    assert "# perf.yaml:22; no effect: no container" in shown


def test_what_the_search_mode_does_not_read_is_said_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("profile_models: m\nrun_config_search_mode: brute\noptuna_max_trials: 5\n")
    shown = text(lines(resolve(file, {})))
    assert "perf.yaml:3; no effect: optuna reads it, and the search mode is brute" in shown


def test_json_has_the_same_with_every_warning(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text(FILE)
    whole = json.loads(as_json(resolve(file, {})))
    assert whole["options"]["seed"] == {"value": 0, "source": "default"}
    assert whole["options"]["precision"] == {"value": "2,5", "source": f"{file}:24"}
    model = whole["models"]["resnet50"]
    assert model["parameters"]["concurrency"] == {"value": [1, 8], "source": f"{file}:7"}
    assert model["model_config_parameters"]["value"]["max_batch_size"] == [1, 4]
    assert whole["models"]["add_sub"] == {}
    assert len(whole["warnings"]) == 2
