from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import NotFound
from engine.repository.chosen import find_chosen, words_of


def profile(results: Path, model: str) -> Path:
    folder = results / model / "chosen" / model
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text("")
    return folder.parent


def test_a_name_is_looked_up_in_the_results(tmp_path: Path) -> None:
    chosen = profile(tmp_path, "resnet50")
    assert find_chosen("resnet50", tmp_path) == chosen


def test_a_path_may_be_the_models_results_or_the_chosen_folder(tmp_path: Path) -> None:
    chosen = profile(tmp_path, "resnet50")
    elsewhere = tmp_path / "nothing"
    assert find_chosen(str(chosen.parent), elsewhere) == chosen
    assert find_chosen(str(chosen), elsewhere) == chosen
    assert find_chosen(f"{chosen}/", elsewhere) == chosen


def test_a_profile_that_has_not_ended_is_told_from_none(tmp_path: Path) -> None:
    (tmp_path / "resnet50" / "variants").mkdir(parents=True)
    with pytest.raises(NotFound, match="resnet50: no chosen configuration there; `analyze profile"):
        find_chosen("resnet50", tmp_path)


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    profile(tmp_path, "resnet50")
    with pytest.raises(NotFound, match=r"resnet/chosen: not found; .* \(there are: resnet50\)"):
        find_chosen("resnet", tmp_path)


def test_without_any_results_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"`analyze profile --model x` makes it$"):
        find_chosen("x", tmp_path / "results")


def test_a_plain_model_repository_is_no_chosen_one(tmp_path: Path) -> None:
    (tmp_path / "models" / "x").mkdir(parents=True)
    (tmp_path / "models" / "x" / "config.pbtxt").write_text("")
    with pytest.raises(NotFound, match="models: no chosen configuration there"):
        find_chosen(str(tmp_path / "models"), tmp_path / "results")


def test_what_the_profile_said_of_its_winner_is_known(tmp_path: Path) -> None:
    chosen = profile(tmp_path, "resnet50")
    assert not words_of(chosen)
    (tmp_path / "resnet50" / "chosen.txt").write_text("resnet50_config_4: 12 % better\n")
    assert words_of(chosen) == "resnet50_config_4: 12 % better"
