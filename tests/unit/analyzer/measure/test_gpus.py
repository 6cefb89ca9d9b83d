"""The true NVML binding against a stand-in for the driver's library, in a child process.

The child stays for all tests: each tells it what the driver shall say, and what to look at.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import nvml

#: for each line, {states, visible, pids, ours}: find the GPUs under the first state, look at them
#: closely under each, and say what was seen; if "watched", watch this process instead, and pass to
#: the next state when the last has been seen for some glimpses
LOOK = """
import json, os, sys, threading, time
from dataclasses import asdict
from analyzer.measure import gpus
from analyzer.measure.observe import Watch
from analyzer.measure.gpu_use import gpu_use
from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.measure.machine import describe
from analyzer.metrics import of_gpu
def watched(states, found):
    with Watch(os.getpid(), nvml=found, period_s=0.01) as watch:
        for number, state in enumerate(states, 1):
            os.environ["TINY_NVML"] = state
            before = len(watch.seen().glimpses)
            deadline = time.monotonic() + 30
            while len(watch.seen().glimpses) < before + 3 and time.monotonic() < deadline:
                threading.Event().wait(0.01)
    return watch.seen()
for line in sys.stdin:
    asked = json.loads(line)
    first, *_ = asked["states"]
    os.environ["TINY_NVML"] = first
    visible = asked["visible"]
    found = gpus.find({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    glimpses = []
    for number, state in enumerate([] if asked["watched"] else asked["states"]):
        os.environ["TINY_NVML"] = state
        glimpses.append(Glimpse(
            at_ns=number * 10**9, gpus=found.look(closely=True), pids=frozenset(asked["pids"])))
    seen = Seen(tuple(glimpses), found.known, pids_are_ours=asked["ours"])
    if asked["watched"]:
        seen = watched(asked["states"], found)
    uses = gpu_use(seen)
    print(json.dumps({
        "known": [asdict(gpu) for gpu in found.known],
        "reason": found.reason,
        "driver": found.driver,
        "looks": [[asdict(look) for look in one.gpus] for one in glimpses],
        "uses": [asdict(use) for use in uses],
        "metrics": [of_gpu(use) for use in uses],
        "unanswered": found.unanswered,
        "machine": describe(found),
    }), flush=True)
"""

Look = Callable[..., dict[str, Any]]


@contextmanager
def child(library: Path | None) -> Iterator[Look]:
    environment = dict(os.environ)
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library.parent)
    with subprocess.Popen(
        [sys.executable, "-c", LOOK],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:

        def look(
            *states: str,
            visible: str | None = None,
            pids: Sequence[int] = (),
            ours: bool = True,
            watched: bool = False,
        ) -> dict[str, Any]:
            assert running.stdin is not None
            assert running.stdout is not None
            asked = {"states": states, "visible": visible, "pids": pids}
            asked |= {"ours": ours, "watched": watched}
            running.stdin.write(json.dumps(asked) + "\n")
            running.stdin.flush()
            plain: dict[str, Any] = json.loads(running.stdout.readline())
            return plain

        yield look
        assert running.stdin is not None
        running.stdin.close()


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    with child(nvml.build(tmp_path_factory.mktemp("nvml"))) as asking:
        yield asking


def uuids(seen: dict[str, Any]) -> list[str]:
    return [gpu["uuid"] for gpu in seen["known"]]


def test_gpus_are_known_and_looked_at(look: Look) -> None:
    seen = look("count=2", "count=2")
    assert uuids(seen) == ["GPU-tiny-0", "GPU-tiny-1"]
    assert seen["known"][0]["name"] == "Tiny GPU 0"
    assert seen["known"][0]["total_bytes"] == 80 << 30
    (first, second), (again, _) = seen["looks"]
    assert (first["used_bytes"], second["used_bytes"]) == (900 << 20, 901 << 20)
    assert (first["utilization"], second["utilization"]) == (0.40, 0.41)
    assert (first["power_watts"], second["power_watts"]) == (100, 101)
    assert (first["temperature_c"], second["temperature_c"]) == (60, 61)
    assert (first["sm_mhz"], second["sm_mhz"]) == (1500, 1501)
    assert (first["memory_mhz"], second["memory_mhz"]) == (2600, 2601)
    assert first["throttle"] == 0
    assert first["used_by"] == {}
    assert again["energy_joules"] >= first["energy_joules"] > 0
    assert seen["unanswered"] == {"GPU-tiny-0": {}, "GPU-tiny-1": {}}
    assert seen["driver"] == "999.1.tiny"
    assert [gpu["uuid"] for gpu in seen["machine"]["gpus"]] == uuids(seen)
    assert seen["machine"]["gpu_driver"] == "999.1.tiny"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("memory", "used_bytes"),
        ("utilization", "utilization"),
        ("power", "power_watts"),
        ("energy", "energy_joules"),
        ("temperature", "temperature_c"),
        ("throttle", "throttle"),
        ("processes", "used_by"),
    ],
)
def test_what_a_gpu_does_not_support_is_none_with_a_reason_and_the_rest_is_there(
    look: Look, question: str, answer: str
) -> None:
    seen = look(f"count=2 {question}@0=3")
    ((first, second),) = seen["looks"]
    assert first[answer] is None
    missing = {name for name, value in first.items() if value is None}
    assert missing - {answer, "limit_watts", "total_bytes"} == set()
    assert second[answer] is not None, "the other GPU has it"
    assert seen["unanswered"] == {
        "GPU-tiny-0": {answer: "NVML: Not Supported"},
        "GPU-tiny-1": {},
    }


def test_a_gpu_lost_in_mid_run_keeps_what_it_told_and_the_others_go_on(look: Look) -> None:
    before, after = "count=2 throttled=4", "count=2 lost@1=1 throttled=4"
    seen = look(before, before, after, after)
    lost = seen["looks"][2][1]
    assert lost["lost"] == "NVML: GPU is lost"
    assert {name for name, value in lost.items() if value} == {"uuid", "lost"}
    whole, gone = seen["uses"]
    assert (whole["lost"], gone["lost"]) == ("", "NVML: GPU is lost")
    assert gone["used_bytes"] == 901 << 20
    assert (gone["utilization"], gone["temperature_c"]) == (pytest.approx(41), 61)
    assert gone["throttle"] == ["the power limit"]
    assert seen["metrics"][1].keys() == seen["metrics"][0].keys()


def test_a_watch_goes_on_when_a_gpu_is_lost_in_mid_run(look: Look) -> None:
    seen = look("count=2 throttled@0=0x40", "count=2 throttled@0=0x40 lost@1=1", watched=True)
    whole, gone = seen["uses"]
    assert (whole["lost"], gone["lost"]) == ("", "NVML: GPU is lost")
    assert whole["throttle"] == ["heat, by the hardware"]
    for number, told in enumerate(seen["metrics"]):
        assert told["gpu_used_memory"] == ((900 + number) << 20) / 1e6
        assert told["gpu_utilization"] == pytest.approx(40 + number)
        assert told["gpu_power_usage"] > 0


def test_a_gpu_that_was_lost_before_is_left_out(look: Look) -> None:
    seen = look("count=3 lost@1=1")
    assert uuids(seen) == ["GPU-tiny-0", "GPU-tiny-2"]


@pytest.mark.parametrize(
    ("bits", "words", "share"),
    [
        (0x0, [], 0),
        (0x1, [], 0),
        (0x4, ["the power limit"], 100),
        (0x61, ["heat, by the driver", "heat, by the hardware"], 100),
        (0x1000, ["reasons that are not known here (0x1000)"], 100),
    ],
)
def test_why_the_clocks_are_down_is_said_in_words_and_idling_is_no_reason(
    look: Look, bits: int, words: list[str], share: float
) -> None:
    (use,) = look(f"throttled={bits}", f"throttled={bits}")["uses"]
    assert use["throttle"] == words
    assert use["throttled"] == share


def test_reasons_add_up_over_the_run_and_their_share_is_how_often_there_was_one(
    look: Look,
) -> None:
    (use,) = look("throttled=4", "throttled=1", "throttled=0", "throttled=0x20")["uses"]
    assert use["throttle"] == ["the power limit", "heat, by the driver"]
    assert use["throttled"] == 50


def test_memory_of_the_servers_own_processes_is_told_apart(look: Look) -> None:
    (use,) = look("procs=3 pid=500 mib=200", pids=[501, 502, 777])["uses"]
    assert use["server_bytes"] == 400 << 20
    (use,) = look("procs=3 pid=500 mib=200", "procs=0", pids=[500])["uses"]
    assert use["server_bytes"] == 200 << 20, "the greatest seen"


@pytest.mark.parametrize(
    ("state", "pids", "space", "size", "reason"),
    [
        ("procs=1 pid=5 mib=9", [6], "ours", 0, ""),
        ("procs=0", [6], "ours", 0, ""),
        ("procs=1 pid=5 mib=9", [6], "a container's", None, "ids of its own"),
        ("procs=0", [6], "a container's", None, "ids of its own"),
        ("procs=1 pid=6 mib=9", [6], "a container's", 9 << 20, ""),
        ("procs=1 pid=6", [6], "ours", None, "does not say how much"),
        ("processes=4", [6], "ours", None, ""),
    ],
)
def test_where_the_driver_knows_processes_by_other_ids_their_memory_is_not_known(
    look: Look, state: str, pids: list[int], space: str, size: int | None, reason: str
) -> None:
    (use,) = look(state, pids=pids, ours=space == "ours")["uses"]
    assert use["server_bytes"] == size
    assert reason in use["server_bytes_reason"]


def test_a_divided_gpu_is_seen_as_its_mig_instances(look: Look) -> None:
    seen = look("count=2 mig@0=2 procs=1 pid=5 mib=9", pids=[5])
    assert uuids(seen) == ["MIG-tiny-0-0", "MIG-tiny-0-1", "GPU-tiny-1"]
    first, second, whole = seen["known"]
    assert (first["whole"], second["whole"], whole["whole"]) == ("GPU-tiny-0", "GPU-tiny-0", "")
    assert first["name"] == "Tiny GPU 0"
    assert (first["total_bytes"], whole["total_bytes"]) == (10 << 30, 80 << 30)
    _, part, _ = seen["looks"][0]
    assert part["used_bytes"] == 101 << 20
    assert (part["temperature_c"], part["sm_mhz"], part["throttle"]) == (60, 1500, 0)
    assert (part["utilization"], part["power_watts"], part["energy_joules"]) == (None, None, None)
    assert "one MIG instance" in seen["unanswered"]["MIG-tiny-0-1"]["power_watts"]
    assert seen["unanswered"]["MIG-tiny-0-1"]["utilization"] == "NVML: Not Supported"
    assert seen["metrics"][1] == {
        "gpu_used_memory": (101 << 20) / 1e6,
        "gpu_free_memory": ((10 << 30) - (101 << 20)) / 1e6,
        "gpu_memory_by_process": (9 << 20) / 1e6,
        "gpu_temperature": 60,
        "gpu_sm_clock": 1500,
        "gpu_memory_clock": 2600,
        "gpu_throttled": 0,
    }


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        ("1", ["GPU-tiny-1"]),
        ("2,0", ["GPU-tiny-2", "MIG-tiny-0-0", "MIG-tiny-0-1"]),
        ("GPU-tiny-1", ["GPU-tiny-1"]),
        ("1,9,2", ["GPU-tiny-1"]),
        ("MIG-tiny-0-1", ["MIG-tiny-0-1"]),
        ("MIG-tiny-0-1,GPU-tiny-2", ["MIG-tiny-0-1", "GPU-tiny-2"]),
        ("MIG-x", ["MIG-tiny-0-0", "MIG-tiny-0-1", "GPU-tiny-1", "GPU-tiny-2"]),
    ],
)
def test_gpus_that_cuda_does_not_show_are_left_out(
    look: Look, visible: str, shown: list[str]
) -> None:
    assert uuids(look("count=3 mig@0=2", visible=visible)) == shown


@pytest.mark.parametrize(
    ("state", "visible", "reason"),
    [
        ("count=0", None, "shows no GPU"),
        ("count=2", "-1", "shows no GPU"),
        ("init=9", None, "NVML: "),
    ],
)
def test_that_there_is_no_gpu_has_a_reason(
    look: Look, state: str, visible: str | None, reason: str
) -> None:
    seen = look(state, visible=visible)
    assert seen["known"] == seen["uses"] == []
    assert reason in seen["reason"]
    assert seen["machine"]["no_gpu"] == seen["reason"]


def test_an_old_driver_tells_what_it_knows_under_the_names_it_has(tmp_path: Path) -> None:
    with child(nvml.build(tmp_path, "OLD_DRIVER")) as old:
        seen = old("throttled=4 procs=1 pid=5 mib=9 mig=2", pids=[5])
    (told,) = seen["looks"][0]
    assert seen["known"][0]["uuid"] == "GPU-tiny-0", "it knows no MIG instances"
    assert (told["throttle"], told["used_by"]) == (4, {"5": 9 << 20})
    assert told["used_bytes"] == 1000 << 20, "what the driver keeps for itself counts with it"
    assert told["energy_joules"] is None
    assert "Function Not Found" in seen["unanswered"]["GPU-tiny-0"]["energy_joules"]
    assert seen["uses"][0]["power_watts"] == 100, "the mean of what was read"


def test_a_machine_without_the_driver_has_a_reason() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    with child(None) as bare:
        assert bare("")["reason"] == "NVML: NVML Shared Library Not Found"
