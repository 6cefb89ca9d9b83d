"""``python -m benchmarks.against REVISION``: what the engine costs now, to what it cost then.

Two servers, of this tree and of the other revision's files, are loaded by the same client in turn,
load by load; each pair of neighbours gives one ratio, so that a machine whose speed drifts does
little harm. Above 1 the engine now costs more CPU for a request, or answers more requests a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cost
from benchmarks.__main__ import RESULTS, described
from benchmarks.cost import Shot, shoot
from benchmarks.results import keep, table
from benchmarks.server import running
from benchmarks.spread import Spread
from engine import examples

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One load, on both, repeatedly."""

    model: str
    protocol: str
    concurrency: int
    now: tuple[Shot, ...]
    then: tuple[Shot, ...]

    def ratios(self, field: str) -> Spread:
        """Divide a figure of now by the same of then, neighbour by neighbour."""
        pairs = zip(self.now, self.then, strict=True)
        return Spread.of(getattr(now, field) / getattr(then, field) for now, then in pairs)


@contextmanager
def files_of(revision: str, scratch: Path) -> Iterator[Path]:
    """Lay a revision's files out in a folder of their own."""
    tree = scratch / "then"
    git = ("git", "-C", str(ROOT), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)  # noqa: S603 - our own repository
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)  # noqa: S603 - as above


def measure(revision: str, repetitions: int, seconds: float, scratch: Path) -> tuple[Pair, ...]:
    """Load both by turns."""
    models = scratch / "models"
    for name in cost.MODELS:
        examples.build(name, models)
    loads = [
        (model, protocol, concurrency)
        for model in cost.MODELS
        for protocol in cost.PROTOCOLS
        for concurrency in cost.CONCURRENCIES
    ]
    shots: dict[tuple[str, str, int], list[tuple[Shot, Shot]]] = {load: [] for load in loads}
    with (
        files_of(revision, scratch) as tree,
        running(models, tree=ROOT) as now,
        running(models, tree=tree) as then,
    ):
        for number in range(repetitions):
            for load in loads:
                # Who goes first changes from round to round.
                order = (now, then) if number % 2 else (then, now)
                one, other = (shoot(server, *load, seconds=seconds) for server in order)
                shots[load].append((one, other) if number % 2 else (other, one))
    return tuple(
        Pair(
            model=model,
            protocol=protocol,
            concurrency=concurrency,
            now=tuple(now for now, _ in found),
            then=tuple(then for _, then in found),
        )
        for (model, protocol, concurrency), found in shots.items()
    )


def markdown(
    revision: str, taken_at: str, machine: Mapping[str, str], pairs: Sequence[Pair], seconds: float
) -> str:
    """Lay the ratios out."""
    rows = [
        (
            pair.model,
            pair.protocol,
            str(pair.concurrency),
            f"{Spread.of(shot.cpu_ms for shot in pair.now).median:.3f}",
            f"{Spread.of(shot.cpu_ms for shot in pair.then).median:.3f}",
            pair.ratios("cpu_ms").text(".2f"),
            pair.ratios("rate").text(".2f"),
        )
        for pair in pairs
    ]
    head = (
        "model", "protocol", "concurrency", "CPU ms now", "CPU ms then", "CPU, now / then",
        "rate, now / then",
    )  # fmt: skip
    return "\n\n".join(
        (
            f"# What the engine costs against {revision}, {taken_at[:10]}",
            table(("", ""), machine.items()),
            (
                f"Median of {len(pairs[0].now)} pairs of {seconds:g} s, least and greatest in "
                "brackets. CPU is that of the server's processes for each request, warm-up "
                "included."
            ),
            table(head, rows) + "\n",
        )
    )


def main() -> None:
    """Measure, write down, say where."""
    parser = argparse.ArgumentParser(prog="scripts/bench against", description=__doc__)
    parser.add_argument("revision", help="what to compare with: a commit")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="1 x 0.5 s; nothing is written")
    given = parser.parse_args()
    repetitions, seconds = (1, 0.5) if given.quick else (given.repetitions, given.seconds)
    here, taken_at = described(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        pairs = measure(given.revision, repetitions, seconds, Path(scratch))
    page = markdown(given.revision, taken_at, here, pairs, seconds)
    sys.stdout.write(page)
    if not given.quick:
        plain = {"taken_at": taken_at, "machine": here, "pairs": [asdict(one) for one in pairs]}
        keep(given.output, plain, page, f"against-{given.revision[:7]}")


if __name__ == "__main__":
    main()
