"""What a YAML file's checks mean, and where each mistake stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.rows import head, resnet50

from analyzer.config.load import load_options
from analyzer.errors import UsageError
from analyzer.gate import checks
from analyzer.gate.checks import Asked, Check, block_load, usual, usual_gates
from analyzer.gate.gates import parse, spelled
from analyzer.ranking.goal import parse_goal
from analyzer.ranking.rank import recommended
from analyzer.record.journal import Journal
from analyzer.record.row import LoadSpec


def read(folder: Path, text: str, **asked: object) -> tuple[Check, ...]:
    file = folder / "perf.yaml"
    file.write_text(text)
    return checks.read(replace(Asked(file=file), **asked))  # type: ignore[arg-type]


def problems(folder: Path, text: str, **asked: object) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read(folder, text, **asked)
    return [line.replace(f"{folder}/", "") for line in caught.value.message.splitlines()]


def test_a_check_has_a_model_a_load_and_gates(tmp_path: Path) -> None:
    (tmp_path / "fast.pbtxt").write_text("max_batch_size: 4\n")
    (check,) = read(
        tmp_path,
        "client_protocol: grpc\nchecks:\n  - model: m\n    config: fast.pbtxt\n    concurrency: 8\n"
        "    batch_size: 4\n    block_seconds: 1.5\n    metrics: [cpu_used_ram, p99]\n"
        '    gates: ["perf_latency_p99:+20%"]\n',
    )
    assert (check.model, check.name) == ("m", "m@8x4")
    assert (check.load.concurrency, check.load.batch_size, check.load.protocol) == (8, 4, "grpc")
    assert check.load.min_seconds == check.load.max_seconds == 1.5
    assert check.configs == {"m": "max_batch_size: 4\n"}
    assert [spelled(gate) for gate in check.gates] == ["perf_latency_p99:+20%", "cpu_used_ram:+3%"]
    assert (check.place.file, check.place.line) == (tmp_path / "perf.yaml", 3)


def test_without_gates_it_has_the_usual_of_its_loop(tmp_path: Path) -> None:
    closed, opened = read(
        tmp_path, "checks:\n  - {model: m, concurrency: 2}\n  - {model: m, request_rate: 40}\n"
    )
    assert [spelled(gate) for gate in closed.gates] == [
        "perf_throughput:-5%", "perf_latency_p99:+10%",
    ]  # fmt: skip
    # At a rate the throughput is given, not won.
    assert [spelled(gate) for gate in opened.gates] == ["perf_latency_p99:+10%"]
    assert opened.load.request_rate == 40
    assert [each.name for each in (closed, opened)] == ["m@2", "m@40/s"]


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "checks:\n  - model: m\n    concurrency: 0\n    gates: [perf_throughputt:-5%]\n"
        "  - concurrency: 1\n  - model: m\n    concurrency: 1\n    request_rate: 5\n"
        "    gate: x\n  - 7\n  - model: m\n",
    )
    assert [line.split(":")[1] for line in found] == ["3", "4", "5", "8", "9", "10", "11"]
    assert "expected at least 1" in found[0]
    assert "perf_throughput" in found[1]
    assert "exclude each other" in found[3]
    assert "did you mean gates?" in found[4]


def test_two_checks_of_one_name_are_told_apart_by_nobody(tmp_path: Path) -> None:
    (line,) = problems(
        tmp_path, "checks:\n  - {model: m, concurrency: 1}\n  - {model: m, concurrency: 1}\n"
    )
    assert line.startswith("perf.yaml:3: 'm@1' stands twice")


def test_the_command_line_chooses_checks_and_replaces_gates(tmp_path: Path) -> None:
    text = "checks:\n"
    text += "  - {name: a, model: m, concurrency: 1}\n  - {name: b, model: n, concurrency: 1}\n"
    (one,) = read(tmp_path, text, names=("b",), gates=("perf_throughput:-20%",))
    assert one.model == "n"
    assert [spelled(gate) for gate in one.gates] == [
        "perf_latency_p99:+10%",
        "perf_throughput:-20%",
    ]
    (one,) = read(tmp_path, text, models=("m",))
    assert one.name == "a"
    assert "there are: a, b" in problems(tmp_path, text, names=("c",))[0]
    assert "say their own load" in problems(tmp_path, text, concurrency=3)[0]


def test_a_profile_is_not_kept_from_running_by_checks(tmp_path: Path) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("profile_models: m\nchecks:\n  - {model: m, concurrency: 1}\n")
    (options,) = load_options(file, {})
    assert options.model == "m"
    file.write_text("profile_models: m\nchekcs: []\n")
    with pytest.raises(UsageError, match="did you mean checks"):
        load_options(file, {})


def profiled(folder: Path) -> Path:
    """Leave a profile of resnet50 behind, with its shapes; return the folder of results."""
    place = folder / "results" / "resnet50"
    place.mkdir(parents=True)
    options = {**head().options, "shapes": ["x:3,4"]}
    with Journal.create(place / "journal.jsonl", replace(head(), options=options)) as journal:
        for row in resnet50():
            journal.append(row)
    return folder / "results"


def test_without_checks_what_the_profile_chose_is_checked_at_its_load(tmp_path: Path) -> None:
    results = profiled(tmp_path)
    flags = {"export_path": str(results)}
    (check,) = checks.read(Asked(flags=flags, models=("resnet50",)))
    winner = recommended(resnet50(), parse_goal(None, None, None, None))
    assert winner is not None
    assert check.chosen_name == winner.variant == "resnet50_config_3"
    assert check.load.concurrency == winner.best.load.concurrency
    assert check.options.shapes == {"x": (3, 4)}
    assert set(check.chosen) == {"resnet50"}
    (check,) = checks.read(Asked(flags=flags, models=("resnet50",), concurrency=3))
    assert check.load.concurrency == 3
    with pytest.raises(UsageError, match="analyze profile --model n"):
        checks.read(Asked(flags=flags, models=("n",)))
    (check,) = checks.read(Asked(flags=flags, models=("n",), request_rate=5))
    assert check.load.request_rate == 5, "a load that is given needs no profile"
    with pytest.raises(UsageError, match="--model NAME"):
        checks.read(Asked(flags=flags))


def test_a_variant_of_the_results_may_be_checked(tmp_path: Path) -> None:
    profiled(tmp_path)
    text = f"export_path: {tmp_path}/results\nchecks:\n  - {{model: resnet50, variant: NAME}}\n"
    (check,) = read(tmp_path, text.replace("NAME", "resnet50_config_1"))
    assert check.load.concurrency in {4, 16}
    assert set(check.configs) == {"resnet50"}
    (line,) = problems(tmp_path, text.replace("NAME", "resnet50_config_5"))
    assert line.startswith("perf.yaml:3: ")
    assert "resnet50_config_0, resnet50_config_1" in line


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("perf_throughput", "perf_throughput:-5%"),
        ("perf_latency_p50", "perf_latency_p50:+10%"),
        ("gpu_used_memory", "gpu_used_memory:+3%"),
        ("model_load_bytes", "model_load_bytes:+1%"),
        ("cpu_utilization", "cpu_utilization:+10%"),
    ],
)
def test_what_is_named_without_a_gate_has_the_usual_one(tag: str, expected: str) -> None:
    assert spelled(usual(tag)) == expected


def test_a_block_lasts_as_long_as_was_said_and_no_shorter() -> None:
    made = block_load(LoadSpec(concurrency=4, limit_ms=3.0, bar=9.0), 2.0)
    assert (made.rule, made.min_seconds, made.max_seconds) == ("precision", 2.0, 2.0)
    assert (made.limit_ms, made.bar, made.concurrency) == (0.0, 0.0, 4)
    assert usual_gates(made)[0] == parse("perf_throughput:-5%")
