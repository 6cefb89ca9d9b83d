"""``scripts/record-surfaces``: record the surfaces of ``benchmarks/surfaces``, lane beside lane.

A job is one repetition of one surface; each lane has cores of its own and takes one job after the
other. When the time is over all stop, and the same command goes on. Whatever there is by then is
packed into one file a surface.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from analyzer.surface import stored
from benchmarks import surface_models

ROOT = Path(__file__).parent.parent
SURFACES = ROOT / "benchmarks" / "surfaces"
WORK = ROOT / "results" / "surfaces"
#: with less time left no job is begun; and so long a job may take to end
LEAST, END = 20.0, 30.0
#: what `analyze record` says where it has stopped before its end
UNFINISHED = "not complete"
#: becomes the command behind it, kept to some cores
PINNED = """
import os, sys
def run(cores):
    os.sched_setaffinity(0, cores)
    os.execv(sys.argv[1], sys.argv[1:])
run"""


@dataclass(frozen=True, slots=True)
class Job:
    """One repetition of a surface, as a YAML file describes it, and where it is recorded."""

    spec: Path
    repetition: int
    work: Path

    @property
    def file(self) -> Path:
        """The repetition's own file."""
        return self.folder.with_name(f"{self.folder.name}.jsonl")

    @property
    def folder(self) -> Path:
        """What the recording leaves behind: variants and logs."""
        return self.work / self.spec.parent.name / f"{self.spec.stem}.{self.repetition}"

    @property
    def done(self) -> Path:
        """It is there once the repetition is complete."""
        return self.folder.with_name(f"{self.folder.name}.done")

    def command(self, models: Path, seconds: float) -> list[str]:
        """Return what records it, for so many seconds at most."""
        return [
            sys.executable, "-m", "analyzer", "record", f"--config-file={_named(self.spec)}",
            f"--model-repository={_named(models)}", f"--export-path={_named(self.folder)}",
            f"--output={_named(self.file)}", "--repetitions=1",
            f"--first-repetition={self.repetition}", f"--max-time={seconds:.0f}",
        ]  # fmt: skip


def _named(path: Path) -> Path:
    """Name a path as from the project's folder: recordings keep it, and are kept."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def model_of(spec: Path) -> str:
    """Name the model that a surface is of."""
    (name,) = yaml.safe_load(spec.read_text(encoding="utf-8"))["profile_models"]
    return str(name)


def record(
    jobs: Sequence[Job], lanes: Sequence[frozenset[int]], models: Path, seconds: float
) -> None:
    """Record jobs on lanes of cores until all are done or the time is over."""
    deadline = time.monotonic() + seconds
    # What has begun comes first: it has least to do.
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in sorted(jobs, key=lambda job: not job.file.exists()):
        waiting.put(job)

    def lane(cores: frozenset[int]) -> None:
        while (left := deadline - time.monotonic()) > LEAST:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            _run(job, cores, models, left)

    threads = [threading.Thread(target=lane, args=(cores,)) for cores in lanes]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _run(job: Job, cores: frozenset[int], models: Path, seconds: float) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / "record.log"
    pinned = f"{PINNED}({set(cores)})"
    command = [sys.executable, "-c", pinned, *job.command(models, seconds)]
    # Servers do not look into the folder that they are started in.
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        at = file.tell()
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=environment, cwd=ROOT,
        )  # fmt: skip
        try:
            code = process.wait(seconds + END)
        except subprocess.TimeoutExpired:
            # It lets the running measurement end; what it has is on the disk in any case.
            process.terminate()
            code = process.wait()
    said = log.read_text(encoding="utf-8")[at:].strip().splitlines() or [""]
    left = [line.partition(";")[0] for line in said if " left;" in line]
    if code == 0 and UNFINISHED not in said[-1]:
        job.done.touch()
        left = []
    name = f"{job.spec.parent.name}/{job.spec.stem} {job.repetition}"
    took = f"{time.monotonic() - began:.0f} s, exit {code}"
    sys.stdout.write(f"{name}: {took}: {'; '.join([said[-1], *left[-1:]])}\n")
    sys.stdout.flush()


def pack(specs: Sequence[Path], work: Path, repetitions: int, output: Path | None) -> None:
    """Put what there is of each surface into one file, and say what it holds."""
    for spec in specs:
        jobs = [Job(spec, number, work) for number in range(repetitions)]
        files = [job.file for job in jobs if _begun(job.file)]
        name = f"{spec.parent.name}/{spec.stem}"
        if not files:
            sys.stdout.write(f"{name}: nothing recorded yet\n")
            continue
        surface = stored.read(*files)
        folder = spec.parent if output is None else output / spec.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        stored.pack(surface, folder / f"{spec.stem}.jsonl.gz")
        rows = sum(len(taken) for taken in surface.rows.values())
        failed = sum(row.failure is not None for taken in surface.rows.values()
                     for row in taken.values())  # fmt: skip
        complete = sum(job.done.exists() for job in jobs)
        sys.stdout.write(
            f"{name}: {len(surface.rows)} points, {rows} measurements, {failed} failed, "
            f"{complete} of {repetitions} repetitions complete; {surface.describe_spread}\n"
        )


def _begun(file: Path) -> bool:
    """Whether a recording has at least one measurement."""
    return file.is_file() and file.read_bytes().count(b"\n") > 1


def lanes_of(cores: Sequence[int], each: int, most: int) -> list[frozenset[int]]:
    """Part cores into lanes of neighbours."""
    lanes = [frozenset(cores[at : at + each]) for at in range(0, len(cores) - each + 1, each)]
    return lanes[:most]


def main() -> None:
    """Record until the time is over, then pack."""
    parser = argparse.ArgumentParser(prog="scripts/record-surfaces", description=__doc__)
    parser.add_argument("--set", choices=("tuning", "test", "all"), default="all")
    parser.add_argument("--only", nargs="+", help="names of surfaces")
    parser.add_argument("--seconds", type=float, default=540.0, help="in all, packing apart")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=64, help="side by side, at most")
    parser.add_argument("--cores", type=int, default=2, help="of each lane")
    parser.add_argument("--work", type=Path, default=WORK, help="what is recorded, and goes on")
    parser.add_argument("--output", type=Path, help="folder for the files (benchmarks/surfaces)")
    given = parser.parse_args()
    began = time.monotonic()
    specs = sorted(SURFACES.glob("*/*.yaml"))
    specs = [each for each in specs if given.set in {"all", each.parent.name}]
    if given.only:
        specs = [each for each in specs if each.stem in given.only]
    if not specs:
        sys.exit(f"no such surface; there are: {', '.join(x.stem for x in SURFACES.glob('*/*'))}")
    models = (given.work / "models").resolve()
    for spec in specs:
        surface_models.build(model_of(spec), models)
    # Once each of all before any twice: should time run out, there is something of everything.
    jobs = [Job(spec, number, given.work.resolve()) for number in range(given.repetitions)
            for spec in specs]  # fmt: skip
    lanes = lanes_of(sorted(os.sched_getaffinity(0)), given.cores, given.lanes)
    todo = [job for job in jobs if not job.done.exists()]
    sys.stdout.write(f"{len(todo)} of {len(jobs)} jobs to do on {len(lanes)} lanes\n")
    sys.stdout.flush()
    record(todo, lanes, models, given.seconds - (time.monotonic() - began))
    pack(specs, given.work.resolve(), given.repetitions, given.output)


if __name__ == "__main__":
    main()
