"""Recording a surface: every point as often as asked, whatever happens in between."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path

import pytest
from support.rows import head
from support.surfaces import LAUNCH_SECONDS, SMALL, Benches, Silence, grid_head, recorded
from support.world import World

from analyzer import variant
from analyzer.errors import AnalyzerError, JournalError, UsageError
from analyzer.record.journal import Journal
from analyzer.space import MAX_BATCH_SIZE, QUEUE_DELAY, Axis, Candidate, Dimension, Space
from analyzer.surface import stored
from analyzer.surface.grid import DEFAULT, Grid
from analyzer.surface.recording import Recording, left, record

GRID = Grid(SMALL, 2)
#: two instance counts; batch 1 has no delay, 4 and 8 have three; and the default
SETTINGS, LOADS = 2 * (1 + 2 * 3) + 1, 3


def go_on(path: Path, benches: Benches, recording: Recording, most: int = 10**6) -> bool:
    turns = itertools.count()
    with Journal.resume(path, grid_head()) as journal:
        return record(recording, benches.fresh, journal, lambda: next(turns) >= most, Silence())


def test_a_grid_has_each_setting_once_and_the_default() -> None:
    assert len(GRID.settings) == SETTINGS
    assert DEFAULT in GRID.settings
    assert all(variant.canonical(each) == each for each in GRID.settings)
    assert all(len(GRID.points(each)) == LOADS for each in GRID.settings)


def test_what_is_not_worth_measuring_is_no_point() -> None:
    for setting in GRID.settings:
        for point in GRID.points(setting):
            assert variant.reason_not_possible(point, 2) is None
    assert Candidate.of(**{MAX_BATCH_SIZE: 1, QUEUE_DELAY: 500}) not in GRID.settings


def test_settings_of_one_name_are_recorded_once() -> None:
    assert GRID.distinct(lambda _: "same") == GRID.settings[:1]


def test_each_repetition_has_an_order_of_its_own_which_the_seed_decides() -> None:
    orders = [list(GRID.course(GRID.settings, number, 1)) for number in range(3)]
    assert len({tuple(setting for setting, _ in order) for order in orders}) == 3
    assert len({points for order in orders for _, points in order}) > SETTINGS
    assert orders[0] == list(GRID.course(GRID.settings, 0, 1))
    assert orders[0] != list(GRID.course(GRID.settings, 0, 2))
    for order in orders:
        assert order[0][0] == DEFAULT
        assert {setting for setting, _ in order} == set(GRID.settings)


def test_every_point_is_measured_as_often_as_asked_on_a_fresh_server_each_time(
    tmp_path: Path,
) -> None:
    benches = Benches(World())
    assert go_on(tmp_path / "s.jsonl", benches, Recording(GRID, 2))
    counted = Counter((trial.candidate, trial.repetition) for trial in benches.measured)
    assert len(counted) == SETTINGS * LOADS * 2
    assert set(counted.values()) == {1}
    assert Counter(benches.launched) == dict.fromkeys(GRID.settings, 2)


@pytest.mark.parametrize("step", [1, 4, 31])
def test_stopped_anywhere_it_goes_on_and_measures_nothing_twice(tmp_path: Path, step: int) -> None:
    path, benches = tmp_path / "s.jsonl", Benches(World())
    rounds = 0
    while not go_on(path, benches, Recording(GRID, 1), most=step):
        rounds += 1
        assert rounds < 100
    assert len(benches.measured) == len(set(benches.measured)) == SETTINGS * LOADS
    assert len(stored.read(path).rows) == SETTINGS * LOADS


def test_a_setting_that_does_not_come_up_is_tried_once_a_repetition(tmp_path: Path) -> None:
    benches = Benches(World(memory_mb=150, instance_mb=100))
    path, recording = tmp_path / "s.jsonl", Recording(GRID, 2)
    assert go_on(path, benches, recording)
    tried = Counter(trial.candidate.get("instance_count") for trial in benches.measured)
    assert tried[2] == 7 * 2
    with Journal.open(path) as journal:
        progress = left(recording, dict.fromkeys(GRID.settings, LOADS), journal.rows)
    assert progress.done == progress.all == SETTINGS * LOADS * 2
    surface = stored.read(path)
    failed = next(point for point in surface.rows if point.get("instance_count") == 2)
    assert surface.metrics(failed) is None


def test_where_nothing_comes_up_it_ends_with_the_reason(tmp_path: Path) -> None:
    benches = Benches(World(memory_mb=1))
    with pytest.raises(AnalyzerError, match=r"3 measurements failed .* out of memory"):
        go_on(tmp_path / "s.jsonl", benches, Recording(GRID, 1))
    assert len(benches.measured) == 3


def test_time_left_is_that_of_the_points_left(tmp_path: Path) -> None:
    benches, recording = Benches(World()), Recording(GRID, 2)
    path = tmp_path / "s.jsonl"
    go_on(path, benches, recording, most=LOADS)
    with Journal.open(path) as journal:
        seen = left(recording, dict.fromkeys(GRID.settings, LOADS), journal.rows)
    assert (seen.done, seen.all) == (LOADS, SETTINGS * LOADS * 2)
    assert seen.seconds == pytest.approx((1 + LAUNCH_SECONDS / LOADS) * (seen.all - LOADS))


def test_repetitions_recorded_apart_are_one_surface(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"s.{number}.jsonl")
        go_on(files[-1], Benches(World(noise=0.1)), Recording(GRID, 1, first=number))
    surface = stored.read(*files)
    assert surface.name == "s"
    assert all(sorted(taken) == [0, 1, 2] for taken in surface.rows.values())
    assert (surface.spread() or 0) > 0.02
    assert stored.read(files[0]).spread() is None


def test_a_packed_surface_is_the_same(tmp_path: Path) -> None:
    surface = recorded(World(noise=0.05), tmp_path / "s.jsonl")
    packed = tmp_path / "small.jsonl.gz"
    stored.pack(surface, packed)
    again = stored.read(packed)
    assert again.truths == surface.truths
    assert again.rows == surface.rows
    assert again.launches == surface.launches
    assert again.served == surface.served
    first = packed.read_bytes()
    stored.pack(again, packed)
    assert packed.read_bytes() == first


def test_means_are_of_the_repetitions_and_leave_one_out_if_told(tmp_path: Path) -> None:
    surface = recorded(World(noise=0.2), tmp_path / "s.jsonl")
    point = next(iter(surface.rows))
    rates = {number: row.metrics["perf_throughput"] for number, row in surface.rows[point].items()}
    mean, others = surface.metrics(point), surface.metrics(point, without=0)
    assert mean is not None
    assert others is not None
    assert math.isclose(mean["perf_throughput"], sum(rates.values()) / 3)
    assert math.isclose(others["perf_throughput"], (rates[1] + rates[2]) / 2)


def test_files_that_are_no_surface_or_not_of_one_recording_are_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal.create(path, head()).close()
    with pytest.raises(JournalError, match="this is no surface"):
        stored.read(path)
    empty = tmp_path / "empty.jsonl"
    Journal.create(empty, grid_head()).close()
    with pytest.raises(JournalError, match="nothing has been measured"):
        stored.read(empty)
    with pytest.raises(JournalError, match="under other options"):
        stored.read(empty, path)
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(JournalError, match="cannot read"):
        stored.read(broken)


def test_another_space_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    go_on(path, Benches(World()), Recording(GRID, 1))
    other = type(SMALL)(SMALL.dimensions[1:])
    with pytest.raises(JournalError, match="space was"):
        Journal.resume(path, grid_head(other))


def test_a_space_that_nobody_can_measure_is_refused_with_its_sizes() -> None:
    many = Dimension("load", tuple(range(1000)), Axis.LOAD)
    with pytest.raises(UsageError, match=r"17,982,000 .* \(.*instance_count 2.*load 1000, x 333\)"):
        Grid(Space((*SMALL.dimensions, many, Dimension("x", tuple(range(333))))), 2)
