"""The whole path: profile, report, apply, serve the choice, and guard it against a regression."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import tritonclient.http as httpclient
from support import commands, synthetic_repository
from support.serving import serving

QUICK = (
    "--measurement-interval", "60", "--max-windows", "3", "--stability-percentage", "100",
    "--run-config-search-mode", "quick", "--concurrency", "1", "--queue-delays", "-1",
    "--run-config-search-max-model-batch-size", "1", "--run-config-search-max-instance-count", "2",
    "--search-time", "1", "--verify-pairs", "0", "--concurrency-sweep-disable",
)  # fmt: skip
#: few and short blocks, and no more certainty than it takes: what is planted is far beyond noise
CHECK = (
    "check", "--model", "echo", "--model-repository", "models", "--gate", "perf_throughput:-40%",
    "--block-seconds", "0.5", "--max-pairs", "4", "--alpha", "0.1",
    "--accept", "all",
)  # fmt: skip


def analyze(folder: Path, *arguments: str, code: int = 0) -> str:
    done = commands.analyze(*arguments, cwd=folder)
    assert done.code == code, done.text
    return done.text


def test_a_profile_is_applied_served_and_guarded(tmp_path: Path) -> None:
    synthetic_repository.write(tmp_path / "models", latency_us=10000)
    analyze(tmp_path, "profile", "--model", "echo", "--model-repository", "models", *QUICK)
    analyze(tmp_path, "report", "echo")
    assert (tmp_path / "results" / "echo" / "report.html").is_file()
    analyze(tmp_path, "apply", "echo", "--model-repository", "models", "--yes")
    with serving("--chosen", str(tmp_path / "results" / "echo"), folder=tmp_path) as server:
        client = httpclient.InferenceServerClient(server.http)
        tensor = httpclient.InferInput("IN", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        assert client.infer("echo", [tensor]).as_numpy("OUT").tolist() == [[1.0] * 4]
        client.close()
    promise = "perf_latency_p50<=2000ms@rate=40"
    said = analyze(tmp_path, *CHECK, "--gate", promise, "--json", "same.json")
    assert "No regression" in said
    plain = json.loads((tmp_path / "same.json").read_text())
    assert [each["verdict"] for each in plain["checks"]] == ["pass", "pass"]
    assert "what the profile chose" in plain["baseline"]
    # Three times as long: whatever the machine is at, nobody takes that for noise.
    config = tmp_path / "models" / "echo" / "config.pbtxt"
    text = config.read_text()
    assert "10000" in text
    config.write_text(text.replace("10000", "30000"))
    said = analyze(tmp_path, *CHECK, "--junit", "gate.xml", code=1)
    assert "Regression" in said
    suites = ET.parse(tmp_path / "gate.xml").getroot()
    assert suites.tag == "testsuites"
    kinds = {each.get("type") for each in suites.findall("testsuite/testcase/failure")}
    assert kinds == {"regression"}
    assert suites.get("failures") == "1"
