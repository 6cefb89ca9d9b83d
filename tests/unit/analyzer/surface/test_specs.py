"""The surfaces that are recorded for comparing searches: their files, and how jobs are laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.config import load
from analyzer.strategy import known
from benchmarks.record import SURFACES, Job, lanes_of, model_of
from benchmarks.surface_models import OWN, build
from engine import examples

SPECS = sorted(SURFACES.glob("*/*.yaml"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_each_is_described_without_a_mistake_and_its_model_can_be_built(spec: Path) -> None:
    found = load.resolve(spec, {}, known())
    assert not found.warnings
    (options,) = load.options_of(found)
    assert options.model == model_of(spec)
    assert options.model in (*OWN, *examples.names())
    assert options.cpu_only
    assert options.limits.concurrencies


def test_what_is_tuned_on_is_not_what_is_tested_on() -> None:
    sets = {name: {model_of(each) for each in SPECS if each.parent.name == name}
            for name in ("tuning", "test")}  # fmt: skip
    assert not sets["tuning"] & sets["test"]
    assert all(len(models) >= 4 for models in sets.values())


def test_repetitions_of_a_surface_are_recorded_apart(tmp_path: Path) -> None:
    jobs = [Job(SPECS[0], number, tmp_path) for number in range(3)]
    assert len({job.file for job in jobs} | {job.done for job in jobs}) == 6
    assert all(f"--first-repetition={job.repetition}" in job.command(tmp_path, 9) for job in jobs)


def test_lanes_share_no_core() -> None:
    assert lanes_of(range(16), 2, 64) == [frozenset({at, at + 1}) for at in range(0, 16, 2)]
    assert lanes_of((3, 5, 7), 2, 64) == [frozenset({3, 5})]
    assert len(lanes_of(range(16), 2, 3)) == 3


def test_the_models_made_for_it_are_whole(tmp_path: Path) -> None:
    build("cascade", tmp_path)
    build("cascade", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cascade", "cascade_encode", "cascade_head",
    ]  # fmt: skip
