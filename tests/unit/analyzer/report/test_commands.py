import shlex
from dataclasses import replace
from typing import Any

import pytest
from support import rows as made

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.report.commands import Commands, Place, commands

USUAL: dict[str, Any] = {"protocol": "http", "window_seconds": 1.0, "tolerance": 0.1, "seed": 0}


def spelled(
    options: dict[str, Any] | None = None,
    goal: Goal | None = None,
    results: str = "results/resnet50",
    *,
    winner: bool = True,
    repository: str | None = None,
) -> Commands:
    head = replace(made.head(), options=options or {})
    place = Place(results=results, repository=repository)
    return commands(head, goal or Goal(), place, USUAL, winner=winner)


def test_results_in_their_usual_place_go_by_the_models_name() -> None:
    said = spelled()
    assert said.serve == "engine serve --chosen resnet50"
    assert said.apply == "analyze apply resnet50 --model-repository PATH"
    assert said.rerank.startswith("analyze report resnet50 ")
    assert said.reproduce == "analyze profile --model resnet50"


def test_results_elsewhere_go_by_their_folder_quoted_where_needed() -> None:
    said = spelled(results="my results/resnet50")
    assert said.serve == "engine serve --chosen 'my results/resnet50'"
    assert shlex.split(said.reproduce)[-2:] == ["--export-path", "my results"]


def test_only_what_differs_from_the_default_is_spelled_out() -> None:
    said = spelled({
        "protocol": "grpc",
        "window_seconds": 0.5,
        "tolerance": 0.1,
        "precision": [0.02, 0.1],
        "seed": 0,
        "limits": {"max_instance_count": 4, "concurrencies": [1, 8]},
        "model": "a digest",
        "server": "local",
    })  # fmt: skip
    assert said.reproduce == (
        "analyze profile --model resnet50 --run-config-search-max-instance-count 4 "
        "--concurrency 1,8 --client-protocol grpc --precision 2,10 --measurement-interval 500"
    )


@pytest.mark.parametrize(("listed", "model"), [(True, ""), (False, " --model resnet50")])
def test_a_file_is_part_of_what_is_reproduced_and_names_its_models(
    listed: object, model: str
) -> None:
    head = replace(made.head(), options={}, command={"config_file": "perf.yaml", "listed": listed})
    said = commands(head, Goal(), Place(results="results/resnet50"), USUAL, winner=True)
    assert said.reproduce == f"analyze profile --config-file perf.yaml{model}"


def test_each_shape_has_a_flag_of_its_own() -> None:
    words = shlex.split(spelled({"shapes": ["ids:1,128", "mask:1,128"]}).reproduce)
    assert words[4:] == ["--shape", "ids:1,128", "--shape", "mask:1,128"]


def test_the_goal_is_part_of_what_is_reproduced() -> None:
    goal = parse_goal(["perf_latency_avg"], {"cpu_used_ram": {"max": 512.5}}, min_throughput=10)
    words = shlex.split(spelled(goal=goal).reproduce)
    assert words[4:] == [
        "--objective", "perf_latency_avg",
        "--constraint", "cpu_used_ram<=512.5",
        "--constraint", "perf_throughput>=10",
    ]  # fmt: skip


def test_a_choice_that_is_not_the_results_own_is_served_from_its_own_repository() -> None:
    said = spelled(repository="results/resnet50/variants/resnet50_config_2")
    assert said.serve == (
        "engine serve --model-repository results/resnet50/variants/resnet50_config_2"
    )
    assert said.apply == ""


@pytest.mark.parametrize("options", [{"server": "gpu-7:8000"}])
def test_a_server_elsewhere_is_not_ours_to_serve(options: dict[str, Any]) -> None:
    said = spelled(options)
    assert said.serve == said.apply == ""
    assert "--triton-launch-mode remote --triton-http-endpoint gpu-7:8000" in said.reproduce


def test_without_a_winner_there_is_nothing_to_serve() -> None:
    said = spelled(winner=False)
    assert said.serve == said.apply == ""
    assert said.reproduce
