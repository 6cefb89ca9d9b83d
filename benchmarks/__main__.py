"""``python -m benchmarks``: measure everything, write it down, say where."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from analyzer.measure import machine
from benchmarks import cost, served
from benchmarks.results import Results, keep, markdown
from benchmarks.server import running
from engine import examples

RESULTS = Path(__file__).parent / "results"
#: above this load on a core somebody else is at work, and figures mean little
QUIET = 0.15


def main() -> None:
    """Measure and write."""
    given = _arguments()
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        models = given.models or Path(scratch, "models")
        for name in (*cost.MODELS, served.MODEL):
            examples.build(name, models)
        small = Path(scratch, "small")
        small.mkdir()
        for name in cost.MODELS:
            (small / name).symlink_to((models / name).resolve())
        with running(small) as server:
            costs = cost.measure(server, given.repetitions, given.seconds)
        kept = served.measure(
            models.resolve(),
            Path(scratch, "variants"),
            int(here["cores"]),
            given.repetitions,
            given.seconds,
        )
    results = Results(
        taken_at=taken_at,
        machine=here,
        repetitions=given.repetitions,
        seconds=given.seconds,
        costs=costs,
        kept=kept,
    )
    page = markdown(results)
    sys.stdout.write(page)
    if not given.quick:
        keep(given.output, asdict(results), page)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What the engine costs.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--models", type=Path, help="where examples are, or are built")
    parser.add_argument("--quick", action="store_true", help="1 x 0.5 s; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.repetitions, given.seconds = 1, 0.5
    return given


def described() -> Mapping[str, str]:
    """Describe what this runs on; a machine that is not quiet is called that."""
    found = machine.describe()
    load = os.getloadavg()[0] / found["cores"]
    return {
        **{name: str(found[name]) for name in ("cpu", "cores", "os", "kernel") if name in found},
        **found["versions"],
        **({"scheduling": "real-time"} if os.sched_getscheduler(0) == os.SCHED_FIFO else {}),
        "load before, a core": f"{load:.2f}{'' if load <= QUIET else ' (not a quiet machine)'}",
    }


if __name__ == "__main__":
    main()
