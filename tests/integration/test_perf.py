"""``analyze perf`` and ``analyze make-input``, as their users run them, on real servers."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support import commands
from support.in_thread import Ports
from support.served import served
from support.v2_server import Faults, V2Server, running

from analyzer import v2client
from analyzer.cli import main
from analyzer.errors import AnalyzerError, LaunchError, LoadError, UsageError
from analyzer.launcher import Endpoint
from analyzer.perf.compose import perf
from analyzer.perf.reading import read

QUICK = {"max_seconds": "0.6", "senders": "1"}


@dataclass
class Seen:
    code: int
    out: str
    err: str


def measured(address: str, **given: Any) -> Seen:
    """Run it in this process; ``given`` are flags by their keys."""
    out, err = (Console(file=StringIO(), width=100, soft_wrap=True) for _ in range(2))
    code = perf(read({"url": address, **given}), out, err)
    texts = [console.file.getvalue() for console in (out, err)]  # type: ignore[attr-defined]
    return Seen(code, *texts)


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *arguments], cwd=folder, capture_output=True, text=True,
        timeout=60, check=False, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    names = ("add_sub", "identity", "ensemble", "repeat_int32", "simple_sequence")
    said = commands.engine("examples", "build", *names, "--output", str(path), cwd=path)
    assert said.code == 0, said.text
    return path


@pytest.fixture(scope="module")
def ports(repository: Path) -> Iterator[Ports]:
    with served(
        repository, load_model=("add_sub", "identity", "repeat_int32", "simple_sequence")
    ) as ports:
        yield ports


@pytest.fixture(scope="module")
def http(ports: Ports) -> str:
    return f"127.0.0.1:{ports.http.port}"


@pytest.fixture(scope="module")
def grpc(ports: Ports) -> str:
    return f"127.0.0.1:{ports.grpc.port}"


def test_the_command_line_of_perf_analyzer_runs_unchanged(http: str, tmp_path: Path) -> None:
    done = run(
        "perf", "-m", "add_sub", "-u", http, "-b2", "--concurrency-range=1:2", "--percentile=95",
        "-v", "-v", "--max-threads", "8", "-f", "perf.csv", "--verbose-csv", "--max-sec", "0.6",
        "--profile-export-file", "perf.json", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("--max-threads has no effect here")
    assert re.search(r"^Concurrency: 2, throughput: [\d.]+ infer/sec, latency \d+ usec$",
                     done.stdout, re.MULTILINE)  # fmt: skip
    assert "Inferences/Second vs. Client p95 Batch Latency" in done.stdout
    rows = list(csv.DictReader((tmp_path / "perf.csv").read_text().splitlines()))
    assert {row["Concurrency"] for row in rows} == {"1", "2"}
    assert all(float(row["Inferences/Second"]) > 0 for row in rows)
    assert all(int(row["Server Compute Infer"]) > 0 for row in rows)
    exported = json.loads((tmp_path / "perf.json").read_text())
    assert [one["experiment"]["value"] for one in exported["experiments"]] == [1, 2]
    assert all(len(one["requests"]) > 10 for one in exported["experiments"])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--concurrency-range", "0"], 3, "--concurrency-range: expected a start above 0"),
        (["--no-such-flag"], 3, "No such option"),
        (["-m", "nobody"], 99, "there are: add_sub, ensemble, identity, "),
        (
            ["-u", "https://localhost:1", "--ssl-https-private-key-type", "DER"],
            3,
            "certificates and keys are read as PEM",
        ),
        (["-u", "127.0.0.1:1"], 99, "no answer from http://127.0.0.1:1"),
    ],
)
def test_wrong_flags_and_failures_have_perf_analyzers_exit_codes(
    http: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["perf", "-u", http, "-m", "add_sub", *arguments])
    assert ended.value.code == code
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err


def test_the_version_is_printed_whatever_else_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["perf", "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("servetune ")


def test_only_the_grpc_address_is_needed_for_grpc(grpc: str) -> None:
    seen = measured(grpc, model_name="identity", protocol="grpc", concurrency_range="2", **QUICK)
    assert seen.code == 0
    assert "Avg gRPC time" in seen.out
    assert v2client.statistics(Endpoint("", grpc=grpc), "identity").requests > 0
    with pytest.raises(LaunchError, match="by gRPC"):
        measured("127.0.0.1:1", model_name="identity", protocol="grpc")


def test_a_decoupled_models_responses_are_told_one_by_one(
    http: str, grpc: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"is decoupled: .* takes -i grpc --streaming"):
        measured(http, model_name="repeat_int32")
    document = {"data": [{"IN": [1, 2, 3], "DELAY": [2, 2, 2], "WAIT": [1]}]}
    (tmp_path / "in.json").write_text(json.dumps(document))
    given = {
        "model_name": "repeat_int32", "protocol": "grpc", "streaming": True,
        "input_data": [str(tmp_path / "in.json")],
        "profile_export_file": str(tmp_path / "out.json"),
    }  # fmt: skip
    seen = measured(grpc, **given, request_count="10", filename=str(tmp_path / "out.csv"))
    assert seen.code == 0
    assert "Response Throughput" in seen.out
    assert "Between responses: avg " in seen.out
    assert ",Response Throughput,Client Send," in (tmp_path / "out.csv").read_text()
    (one,) = json.loads((tmp_path / "out.json").read_text())["experiments"]
    assert {len(each["response_timestamps"]) for each in one["requests"]} == {3}
    assert measured(grpc, **given, periodic_concurrency_range="1:4:1", request_period="2").code == 0
    (one,) = json.loads((tmp_path / "out.json").read_text())["experiments"]
    assert len(one["requests"]) == 4
    assert one["window_boundaries"] == [0, 2**64 - 1]


def test_a_model_of_sequences_gets_sequences(http: str, tmp_path: Path) -> None:
    """The model's answer is the sum of its sequence so far; a wrong order would show."""
    streams = [[1, 2, 3], [10, 20]]
    sums = [[1, 3, 6], [10, 30]]
    document = {
        name: [[{tensor: [value]} for value in each] for each in values]
        for name, tensor, values in (
            ("data", "INPUT", streams),
            ("validation_data", "OUTPUT", sums),
        )
    }
    (tmp_path / "in.json").write_text(json.dumps(document))
    given = {"model_name": "simple_sequence", "concurrency_range": "2", "request_count": "60"}
    seen = measured(http, **given, input_data=[str(tmp_path / "in.json")])
    assert seen.code == 0
    assert "Sequence count: " in seen.out
    assert "failed" not in seen.out
    seen = measured(http, **given, sequence_length="5", profile_export_file=str(tmp_path / "x"))
    exported = json.loads((tmp_path / "x").read_text())["experiments"][0]["requests"]
    assert all(each["sequence_id"] > 0 for each in exported)
    with pytest.raises(UsageError, match="has fewer ids than there may be sequences"):
        measured(http, **given, sequence_id_range="1:2")


def test_an_open_loop_keeps_its_rate(http: str) -> None:
    seen = measured(
        http, model_name="identity", request_rate_range="200", distribution="poisson", **QUICK
    )
    found = re.search(r"^Request Rate: 200, throughput: ([\d.]+)", seen.out, re.MULTILINE)
    assert found is not None
    assert 0 < float(found[1]) < 400
    assert "From the actual send, as perf_analyzer counts" in seen.out


def test_windows_that_never_agree_end_in_2_and_are_shown(http: str) -> None:
    seen = measured(
        http, model_name="identity", measurement_interval="50", stability_percentage="0.0001",
        max_trials="3",
    )  # fmt: skip
    assert seen.code == 2
    assert "Failed to obtain stable measurement within 3 measurement windows" in seen.out
    assert "Throughput:" in seen.out


def test_answers_are_held_against_what_is_expected_over_both_protocols(
    http: str, grpc: str, tmp_path: Path
) -> None:
    ones, twos, zeros = ([value] * 16 for value in (1, 2, 0))
    good, bad = ({"OUTPUT0": twos, "OUTPUT1": zeros}, {"OUTPUT0": twos, "OUTPUT1": ones})
    document = {"data": [{"INPUT0": ones, "INPUT1": ones}] * 2, "validation_data": [good, bad]}
    (tmp_path / "in.json").write_text(json.dumps(document))
    for protocol, address in (("http", http), ("grpc", grpc)):
        seen = measured(
            address, model_name="add_sub", protocol=protocol, request_count="40",
            input_data=[str(tmp_path / "in.json")],
        )  # fmt: skip
        assert "Request count: 20" in seen.out
        assert re.search(
            r"20 requests failed, the first with: .*in.json: data\[1\]: OUTPUT1: "
            r"expected 1.0 at \[0, 0\], found 0.0 \(16 of 16 values differ\)",
            seen.out,
        )
    with pytest.raises(UsageError, match="--shared-memory system: answers are not compared there"):
        measured(
            http, model_name="add_sub", shared_memory="system",
            input_data=[str(tmp_path / "in.json")],
        )  # fmt: skip
    document["validation_data"] = [bad, bad]
    (tmp_path / "in.json").write_text(json.dumps(document))
    with pytest.raises(LoadError, match="OUTPUT1: expected 1"):
        measured(
            http, model_name="add_sub", request_count="9", input_data=[str(tmp_path / "in.json")]
        )


def test_a_server_that_knows_nothing_but_the_protocol_will_do(tmp_path: Path) -> None:
    server = V2Server(Faults(no_statistics=True, no_config=True))
    server.add("tiny")
    with running(server):
        seen = measured(
            f"127.0.0.1:{server.port}", model_name="tiny", concurrency_range="2",
            filename=str(tmp_path / "out.csv"), shape=["TOKENS:4"], header=["x-who: me"], **QUICK,
        )  # fmt: skip
    assert seen.code == 0
    assert "Server:" not in seen.out
    head = (tmp_path / "out.csv").read_text().splitlines()[0]
    assert head.startswith("Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency")


def test_what_goes_wrong_is_told_by_who_knows(http: str, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"data": [\n {"INPUT0": [1]}\n]}')
    with pytest.raises(UsageError, match=r"in.json:2: data\[0\].INPUT0: expected 16 values for"):
        measured(http, model_name="add_sub", input_data=[str(tmp_path / "in.json")])
    with pytest.raises(AnalyzerError, match="above the model's max_batch_size of 64"):
        measured(http, model_name="add_sub", batch_size="65")


def test_an_example_of_input_data_is_written_and_used(
    http: str, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, local = tmp_path / "in.json", tmp_path / "local.json"

    def make_input(*arguments: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as ended:
            main(["make-input", *arguments])
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    served = ("add_sub", "-u", http, "-o", str(file))
    code, text = make_input(*served, "-n", "3")
    assert code == 0
    assert "add_sub takes INPUT0 FP32 [16], INPUT1 FP32 [16]" in text
    assert len(json.loads(file.read_text())["data"]) == 3
    code, text = make_input(*served)
    assert code == 2
    assert "in.json exists; pass --overwrite" in text
    seen = measured(http, model_name="add_sub", request_count="9", input_data=[str(file)])
    assert "Request count: 9" in seen.out
    code, text = make_input("identity", "-m", str(repository), "-o", str(local))
    assert code == 0, text
    assert "INPUT0" in local.read_text()
