import json
from pathlib import Path

import pytest

from analyzer.measure.environment import NOTE, OK, WARNING, Check, checks
from analyzer.measure.gpus import NoGpus
from analyzer.measure.machine import describe

CPU = "sys/devices/system/cpu"


def check(root: Path, files: dict[str, str], cores: int = 4) -> Check:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (found,) = checks(root, cores)
    return found


@pytest.mark.parametrize(
    ("files", "name", "found", "level"),
    [
        ({f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n"}, "governor", "performance", OK),
        (
            {
                f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
                f"{CPU}/cpu11/cpufreq/scaling_governor": "powersave\n",
            },
            "governor",
            "performance, powersave",
            WARNING,
        ),
        ({f"{CPU}/intel_pstate/no_turbo": "0\n"}, "turbo", "on", NOTE),
        ({f"{CPU}/intel_pstate/no_turbo": "1\n"}, "turbo", "off", OK),
        ({f"{CPU}/cpufreq/boost": "1\n"}, "turbo", "on", NOTE),
        ({f"{CPU}/cpufreq/boost": "0\n"}, "turbo", "off", OK),
        ({f"{CPU}/smt/active": "1\n"}, "smt", "on", NOTE),
        ({f"{CPU}/smt/active": "0\n"}, "smt", "off", OK),
        ({"proc/loadavg": "0.90 0.1 0.1 1/9 7\n"}, "load", "0.90", OK),
        ({"proc/loadavg": "1.10 0.1 0.1 1/9 7\n"}, "load", "1.10", WARNING),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, "quota", "1.5 cores", NOTE),
    ],
)
def test_what_makes_measurements_wander_is_found_and_judged(
    tmp_path: Path, files: dict[str, str], name: str, found: str, level: str
) -> None:
    seen = check(tmp_path, files)
    assert (seen.check, seen.found, seen.level) == (name, found, level)
    assert seen.text


@pytest.mark.parametrize("text", ["", "x\n", "2\n"])
def test_what_the_kernel_does_not_say_is_no_check(tmp_path: Path, text: str) -> None:
    for name in (f"{CPU}/smt/active", f"{CPU}/cpufreq/boost", f"{CPU}/intel_pstate/no_turbo"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert checks(tmp_path, 2) == ()


def test_a_machines_description_has_the_checks_and_the_warnings_among_them(tmp_path: Path) -> None:
    check(tmp_path, {"proc/loadavg": "900.00 1 1 1/9 7\n"})
    plain = describe(NoGpus("none here"), tmp_path)
    assert json.loads(json.dumps(plain)) == plain
    (load,) = plain["environment"]
    assert (load["check"], load["found"], load["level"]) == ("load", "900.00", "warning")
    assert plain["warnings"] == [load["text"]]
