"""The processors' energy counters, in a folder that looks like the kernel's."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.measure.rapl import Rapl, counted

POWERCAP = "sys/class/powercap"


def write(root: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def package(
    number: int, uj: int, name: str = "package", span: int = 1_000_000
) -> dict[str, object]:
    zone = f"{POWERCAP}/intel-rapl:{number}"
    return {
        f"{zone}/name": f"{name}-{number}",
        f"{zone}/energy_uj": uj,
        f"{zone}/max_energy_range_uj": span,
    }


def test_packages_are_added_up_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    core = {f"{POWERCAP}/intel-rapl:0:0/name": "core", f"{POWERCAP}/intel-rapl:0:0/energy_uj": 5}
    files = {**package(0, 100), **package(1, 200), **package(2, 300, "psys"), **core}
    rapl = Rapl(write(tmp_path, files))
    assert rapl.reason == ""
    assert rapl.joules() == 0
    write(tmp_path, {**package(0, 600_100), **package(1, 400_200), **package(2, 900_000, "psys")})
    assert rapl.joules() == pytest.approx(1.0)


def test_a_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    rapl = Rapl(write(tmp_path, package(0, 900_000)))
    rapl.joules()
    write(tmp_path, package(0, 100_000))
    assert rapl.joules() == pytest.approx(0.2)
    write(tmp_path, package(0, 50_000))
    assert rapl.joules() == pytest.approx(1.15)


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_whatever_the_steps_below_a_round_their_sum_is_what_was_used(
    span: int, steps: list[int]
) -> None:
    steps = [step % span for step in steps]
    place, total = 0, 0
    for step in steps:
        there = (place + step) % span
        total += counted(place, there, span)
        place = there
    assert total == sum(steps)


def test_a_counter_without_an_end_that_falls_was_set_back() -> None:
    assert counted(1000, 30, 0) == 30


def test_amds_own_driver_counts_sockets(tmp_path: Path) -> None:
    def hwmon(uj: int) -> dict[str, object]:
        folder = "sys/class/hwmon/hwmon3"
        return {
            f"{folder}/name": "amd_energy",
            f"{folder}/energy1_label": "Ecore000",
            f"{folder}/energy1_input": 7,
            f"{folder}/energy65_label": "Esocket0",
            f"{folder}/energy65_input": uj,
        }

    other = {"sys/class/hwmon/hwmon0/name": "nvme"}
    rapl = Rapl(write(tmp_path, {**hwmon(1_000_000), **other}))
    rapl.joules()
    write(tmp_path, hwmon(3_500_000))
    assert rapl.joules() == pytest.approx(2.5)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    rapl = Rapl(tmp_path)
    assert rapl.joules() is None
    assert "no energy counters" in rapl.reason


def test_counters_that_hold_no_number_or_go_away_say_so(tmp_path: Path) -> None:
    rapl = Rapl(write(tmp_path, package(0, 1)))
    (tmp_path / POWERCAP / "intel-rapl:0/energy_uj").write_text("")
    assert rapl.joules() is None
    assert "cannot be read any more" in rapl.reason
    assert rapl.joules() is None
    assert "energy_uj" in Rapl(tmp_path).reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_counters_for_root_only_say_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, package(0, 1))
    (tmp_path / POWERCAP / "intel-rapl:0/energy_uj").chmod(0)
    assert "chmod a+r" in Rapl(tmp_path).reason
