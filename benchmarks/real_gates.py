"""Real gates: ``analyze check`` on real servers, whose ``synthetic`` model is slowed by some share.

What ``canary`` counts in virtual time, a few times for real: launches, sockets, the load client and
this machine's own noise are in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.overload import MODEL, Setting, write_model
from benchmarks.results import keep, kept, table

#: of the files with what came of it
KIND = "canary-real"
CLIENTS = 16
LATENCY_US = 20_000
_CHECKS = """
model_repository: {folder}
checks:
  - name: canary
    model: {model}
    concurrency: {clients}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """One gate: what it came to, its figures as the command's JSON has them, and how long it took.

    ``findings`` has for each gate the verdict, change and interval in per cent, and pairs.
    """

    slower: float
    exit_code: int
    verdict: str
    seconds: float
    tainted: Sequence[str]
    findings: Sequence[Mapping[str, Any]]


def gate(slower: float) -> Real:
    """Check a model against the same, slowed so that a share of its throughput is missing.

    Raises:
        RuntimeError: the command failed, and left no report; with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        folder = Path(scratch)
        for side, share in (("baseline", 0.0), ("candidate", slower)):
            latency_us = round(LATENCY_US / (1 - share))
            (folder / side).mkdir()
            write_model(
                folder / side,
                Setting(latency_us=latency_us, queue=1000, timeout_us=10_000_000),
            )
        checks = folder / "perf.yaml"
        checks.write_text(
            _CHECKS.format(folder=folder / "candidate", model=MODEL, clients=CLIENTS),
            encoding="utf-8",
        )
        report = folder / "out.json"
        command = [
            sys.executable, "-m", "analyzer", "check", "--config", str(checks),
            "--baseline", f"model-repo:{folder / 'baseline'}", "--accept", "all",
            "--work-dir", str(folder / "runs"), "--json", str(report),
        ]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        seconds = time.monotonic() - began
        if not report.is_file():
            raise RuntimeError(f"analyze check: exit {done.returncode}: {done.stderr[-500:]}")
        plain = json.loads(report.read_text(encoding="utf-8"))
    told = ("metric", "gate", "verdict", "change_pct", "ci_pct", "pairs")
    return Real(
        slower=slower,
        exit_code=done.returncode,
        verdict=plain["verdict"],
        seconds=seconds,
        tainted=plain["tainted"],
        findings=[{name: each[name] for name in told} for each in plain["checks"]],
    )


def run(
    slower: Sequence[float],
    times: int,
    folder: Path | None,
    machine: Mapping[str, str],
    measure: Callable[[float], Real] = gate,
) -> list[Real]:
    """Gate each slowdown so many times, by turns, and write after each gate what there is.

    Gates that ``folder`` has of this machine and these versions count, unless they are all there:
    then it begins anew. With ``folder`` None nothing is written.
    """
    plain = None if folder is None else kept(folder, machine, KIND)
    if plain is not None and _lasting(plain["machine"]) != _lasting(machine):
        plain = None
    found = [Real(**each) for each in plain["gates"]] if plain is not None else []
    plan = [each for _ in range(times) for each in slower]
    for one in found:
        if one.slower in plan:
            plan.remove(one.slower)
    if plain is None or not plan:
        found, plan = [], [each for _ in range(times) for each in slower]
        plain = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    for each in plan:
        found.append(measure(each))
        if folder is not None:
            keep(folder, {**plain, "gates": list(map(asdict, found))}, page(found, plain), KIND)
    sys.stdout.write(page(found, plain))
    return found


def _lasting(machine: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out what differs from one moment to the next."""
    return {name: value for name, value in machine.items() if not name.startswith("load before")}


def page(found: Sequence[Real], about: Mapping[str, Any]) -> str:
    """Lay them out for people; ``about`` says when and on what they were taken."""
    parts = (
        f"# What the gate catches of real servers, {about['taken_at'][:10]}",
        table(("", ""), about["machine"].items()),
        (
            "`analyze check` by its usual gates and default budget; the backend `synthetic`, "
            "two instances for up to four requests, 16 clients, slowed so that as much "
            "throughput is missing at most (what surrounds it is as fast as before)."
        ),
        _table(found),
    )
    return "\n\n".join(parts) + "\n"


def _table(found: Sequence[Real]) -> str:
    return table(
        ("slowed by", "gate", "verdict", "change", "interval", "pairs", "exit code", "seconds"),
        (
            (
                f"{each.slower:.0%}",
                one["gate"],
                one["verdict"],
                _percent(one["change_pct"]),
                ", ".join(map(_percent, one["ci_pct"] or ())),
                str(one["pairs"]),
                str(each.exit_code),
                f"{each.seconds:.0f}",
            )
            for each in found
            for one in each.findings
        ),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}%"
