"""Options come from flags and YAML; every error is found at once and says where it is."""

from pathlib import Path

import pytest

from analyzer.config.load import load_options
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.errors import UsageError


def from_yaml(tmp_path: Path, text: str, **flags: object) -> tuple[ProfileOptions, ...]:
    file = tmp_path / "profile.yaml"
    file.write_text(text)
    return load_options(file, flags)


def errors(tmp_path: Path, text: str, **flags: object) -> list[str]:
    with pytest.raises(UsageError) as caught:
        from_yaml(tmp_path, text, **flags)
    return [line.replace(str(tmp_path) + "/", "") for line in caught.value.message.splitlines()]


def test_flags_alone_are_enough() -> None:
    (options,) = load_options(None, {"profile_models": "resnet50", "concurrency": "1,2,8"})
    assert options.model == "resnet50"
    assert options.limits.concurrencies == (1, 2, 8)
    assert options.search_mode == "auto"


def test_a_flag_overrides_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    text = "profile_models: a\nbatch_sizes: 4\nclient_protocol: grpc\n"
    (options,) = from_yaml(tmp_path, text, batch_sizes="2")
    assert (options.limits.batch_size, options.protocol, options.seed) == (2, "grpc", 0)


@pytest.mark.parametrize(
    "form",
    [
        "profile_models: a,b",
        "profile_models: [a, b]",
        "profile_models:\n  - a\n  - b:\n      latency_budget: 1\n".replace(
            "latency_budget: 1", "objectives: [perf_throughput]"
        ),
        "profile_models:\n  a:\n  b:\n    objectives: {perf_throughput: 10}\n",
    ],
)
def test_models_take_all_four_forms(tmp_path: Path, form: str) -> None:
    assert [options.model for options in from_yaml(tmp_path, form)] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4", (4,)),
        ('"1,2,4"', (1, 2, 4)),
        ("[4, 1, 1]", (1, 4)),
        ("{start: 1, stop: 7, step: 3}", (1, 4, 7)),
        ("{start: 2, stop: 4}", (2, 3, 4)),
        ('"1:5:2"', (1, 3, 5)),
    ],
)
def test_lists_take_every_form(tmp_path: Path, value: str, expected: tuple[int, ...]) -> None:
    (options,) = from_yaml(tmp_path, f"profile_models: m\nconcurrency: {value}\n")
    assert options.limits.concurrencies == expected


def test_a_models_own_goal_replaces_the_global_one(tmp_path: Path) -> None:
    text = (
        "objectives: [perf_throughput]\n"
        "profile_models:\n"
        "  a:\n"
        "    objectives: {perf_latency_p99: 2}\n"
        "    constraints: {gpu_used_memory: {max: 200.5}}\n"
        "  b:\n"
    )
    a, b = from_yaml(tmp_path, text)
    assert a.objectives == {"perf_latency_p99": 2.0}
    assert a.constraints == {"gpu_used_memory": {"max": 200.5}}
    assert b.objectives == ("perf_throughput",)
    assert b.constraints is None


def test_every_problem_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = (
        "profile_models: m\n"
        "batch_sizes: eight\n"
        "\n"
        "concurency: 4\n"
        "client_protocol: rest\n"
        "perf_analyzer_path: [pa]\n"
        "concurrency: {start: 5, stop: 2}\n"
    )
    assert errors(tmp_path, text, latency_budget="soon") == [
        "profile.yaml:2: batch_sizes: expected a whole number, found 'eight'",
        "profile.yaml:4: concurency: no such option; did you mean concurrency?",
        "profile.yaml:5: client_protocol: expected one of http, grpc; found 'rest'",
        "profile.yaml:6: perf_analyzer_path: expected a word, found ['pa']",
        "profile.yaml:7: concurrency: expected stop to be at least start, found 5 to 2",
        "--latency-budget: expected a number, found 'soon'",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "expected keys and values"),
        ("profile_models: [a\n", "not YAML"),
        ("", "no model to profile"),
        ("profile_models: [a, a]\n", "stands twice"),
        ("profile_models: m\nconstraints: {perf_latency_p99: 5}\n", "expected min or max"),
        ("profile_models: m\nbatch_sizes: [0, 2]\n", "batch_sizes: expected at least 1"),
        ("profile_models: {a: fast}\n", "a: expected options of that model, found 'fast'"),
        ("profile_models: a\nseed: 1\nseed: 2\n", ":3: seed stands on line 2 already"),
        (
            (
                "profile_models: m\ngpus_side_by_side: auto\n"
                "triton_server_environment: {CUDA_VISIBLE_DEVICES: '1'}\n"
            ),
            (
                ":2: gpus_side_by_side: chooses each server's GPU, which CUDA_VISIBLE_DEVICES in "
                "triton_server_environment (profile.yaml:3) does as well; name the GPUs by gpus"
            ),
        ),
        (
            "profile_models: m\ngpus_side_by_side: 2\ntriton_launch_mode: remote\n",
            "gpus_side_by_side: cannot be set of a server that runs already",
        ),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in line for line in errors(tmp_path, text))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"profile\.yaml: not UTF-8 text.* byte 0"):
        load_options(tmp_path / "profile.yaml", {})


def test_models_on_both_sides_are_an_error(tmp_path: Path) -> None:
    assert "keep one" in errors(tmp_path, "profile_models: a\n", profile_models="b")[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_options(tmp_path / "none.yaml", {"profile_models": "m"})


def test_comparisons_become_constraints() -> None:
    flags = {
        "profile_models": "m",
        "constraints": ["perf_latency_p99<=12.5", "perf_throughput>=100"],
        "objectives": ["perf_throughput:3", "cpu_used_ram"],
        "triton_launch_mode": "remote",
        "stability_percentage": "5",
        "measurement_interval": "2500",
    }
    (options,) = load_options(None, flags)
    assert options.constraints == {
        "perf_latency_p99": {"max": 12.5},
        "perf_throughput": {"min": 100.0},
    }
    assert options.objectives == {"perf_throughput": 3.0, "cpu_used_ram": 1.0}
    assert options.launch_mode is LaunchMode.REMOTE
    assert (options.tolerance, options.window_seconds) == (0.05, 2.5)
    assert options.rule == "windows"


def test_measuring_goes_by_precision_unless_windows_are_asked_for() -> None:
    (usual,) = load_options(None, {"profile_models": "m"})
    assert usual.rule == "precision"
    flags = {
        "profile_models": "m",
        "precision": "1",
        "max_seconds": "1.5",
    }
    (options,) = load_options(None, flags)
    assert options.precision == (0.01, 0.1)
    assert load_options(None, {**flags, "precision": "2,5"})[0].precision == (0.02, 0.05)
    assert (options.min_seconds, options.max_seconds) == (1.5, 1.5)
    (longer,) = load_options(None, {"profile_models": "m", "min_seconds": "9"})
    assert (longer.min_seconds, longer.max_seconds) == (9.0, 9.0)
    with pytest.raises(UsageError, match=r"max_seconds: 1\.5 is below min_seconds, 3"):
        load_options(None, {**flags, "min_seconds": "3"})
    both = {"profile_models": "m", "max_windows": "4", "measurement_mode": "precision"}
    assert load_options(None, both)[0].rule == "precision"
    with pytest.raises(UsageError, match="measurement-mode"):
        load_options(None, {"profile_models": "m", "measurement_mode": "forever"})


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        ("INPUT0:3,224,224", {"INPUT0": (3, 224, 224)}),
        (["ids:128", "scope/mask:0:128"], {"ids": (128,), "scope/mask:0": (128,)}),
    ],
)
def test_shapes_are_texts_of_a_name_and_sizes(
    given: object, shapes: dict[str, tuple[int, ...]]
) -> None:
    (options,) = load_options(None, {"profile_models": "m", "shapes": given})
    assert options.shapes == shapes


def test_shapes_may_be_a_models_own(tmp_path: Path) -> None:
    text = "shapes: ['x:2']\nprofile_models:\n  a:\n    shapes: ['y:3,4']\n  b:\n"
    a, b = from_yaml(tmp_path, text)
    assert (a.shapes, b.shapes) == ({"y": (3, 4)}, {"x": (2,)})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[3, 4]", "expected NAME:D1,D2,..., found 3"),
        ("[':3']", "expected NAME:D1,D2,..., found ':3'"),
        ("['x:3,wide']", "x:3,wide: expected a whole number, found 'wide'"),
        ("['x:']", "x:: expected a whole number, found ''"),
        ("['x:-1']", "x:-1: expected at least 1, found -1"),
        ("['x:1', 'x:2']", "input 'x' is given two shapes"),
    ],
)
def test_a_shape_that_is_none_is_said_with_its_line(tmp_path: Path, given: str, words: str) -> None:
    found = errors(tmp_path, f"profile_models: m\nshapes: {given}\n")
    assert found == [f"profile.yaml:2: shapes: {words}"]


def test_input_data_is_a_kind_or_files() -> None:
    (found,) = load_options(None, {"profile_models": "m", "input_data": ["a.json", "b.json"]})
    assert found.input_data == ("a.json", "b.json")
    assert load_options(None, {"profile_models": "m"})[0].input_data == ("random",)
    with pytest.raises(UsageError, match="--input-data: random stands alone"):
        load_options(None, {"profile_models": "m", "input_data": "random,a.json"})


def test_perf_analyzers_flags_are_read_in_either_spelling(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text(
        "perf_analyzer_flags:\n  input-data: in.json\n  measurement_interval: 500\n"
        "profile_models:\n  n:\n  m:\n    perf_analyzer_flags:\n      shape: ['x:1,2']\n"
    )
    found, own = load_options(file, {})
    assert found.input_data == ("in.json",)
    assert found.window_seconds == 0.5
    # A model's own flags take the place of all others.
    assert (own.shapes, own.input_data) == ({"x": (1, 2)}, ("random",))
    file.write_text("perf_analyzer_flags:\n  ssl-grpc-use-ssl: true\nprofile_models: m\n")
    with pytest.raises(
        UsageError, match=r":2: perf_analyzer_flags.ssl-grpc-use-ssl: not available"
    ):
        load_options(file, {})
