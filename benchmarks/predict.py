"""``python -m benchmarks.predict``: how far off are the simulator's predictions?

Two models that compute are measured by configuration (instances, largest batch, queue delay) and
concurrency, several rounds of it, each in an order by lot with every setting served anew: what the
machine does meanwhile falls on all alike. The service-time model learns from the middle rounds of
five cases, which are not judged; all others are predicted, and compared with the geometric mean of
their rounds: the relative errors of throughput and of the p99. How far the rounds of one case are
apart stands beside: no prediction can be nearer than that.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from statistics import fmean, geometric_mean, median, median_low
from typing import Any

from analyzer import v2client, variant
from analyzer.errors import LoadError
from analyzer.load.driver import drive
from analyzer.metrics import Observed, evaluate, plain, server_times_of
from analyzer.record.row import LoadSpec
from analyzer.simulation.fitting import fit
from analyzer.simulation.observation import Observation
from analyzer.simulation.predict import Prediction, simulate
from analyzer.space import INSTANCE_COUNT, MAX_BATCH_SIZE, QUEUE_DELAY, Candidate
from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.server import running
from engine import examples
from engine.modelconfig import convert

MODELS = ("mlp", "mobilenet")
#: wanted: median relative errors, at most
WANTED = {"perf_throughput": 0.10, "perf_latency_p99": 0.25}
CONCURRENCIES = (1, 4, 16, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration under one load; a delay of -1 is no dynamic batching, None the default."""

    instances: int = 1
    max_batch: int | None = None
    delay_us: int | None = None
    concurrency: int = 1

    @property
    def setting(self) -> tuple[int, int, int]:
        """What needs a server of its own."""
        return (self.instances, self.max_batch or 0, -2 if self.delay_us is None else self.delay_us)

    @property
    def candidate(self) -> Candidate:
        """The same as a point of the search's space."""
        given = {
            INSTANCE_COUNT: self.instances,
            MAX_BATCH_SIZE: self.max_batch,
            QUEUE_DELAY: self.delay_us,
        }
        return Candidate.of(**{name: value for name, value in given.items() if value is not None})


#: the default at its least and at a high load, and what shows batches and instances
PROBES = (
    Case(),
    Case(concurrency=16),
    Case(delay_us=0, concurrency=32),
    Case(instances=2, delay_us=0, concurrency=2),
    Case(instances=2, delay_us=0, concurrency=32),
)


def predicted_cases(concurrencies: Sequence[int]) -> tuple[Case, ...]:
    """List what is predicted: six configurations under each load, and one more."""
    return (
        *(
            Case(instances=instances, max_batch=largest, delay_us=delay, concurrency=concurrency)
            for instances, largest, delay in (
                (1, 1, -1), (1, 8, 0), (1, 32, 1000), (2, 1, -1), (2, 8, 0), (2, 32, 2000),
            )
            for concurrency in concurrencies
        ),
        Case(instances=1, max_batch=4, delay_us=500, concurrency=8),
    )  # fmt: skip


FEW = (
    Case(instances=1, max_batch=1, delay_us=-1, concurrency=4),
    Case(instances=1, max_batch=8, delay_us=0, concurrency=16),
    Case(instances=2, max_batch=8, delay_us=0, concurrency=16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A case that was measured, and what was predicted of it; a ``probe`` was learned from."""

    model: str
    case: Case
    seen: tuple[Observation, ...]
    predicted: Prediction
    probe: bool = False

    def error(self, tag: str) -> float:
        """Predicted to measured, less 1."""
        return self.predicted.metrics[tag] / self.measured(tag) - 1

    def measured(self, tag: str) -> float:
        """Return the geometric mean of the rounds."""
        return geometric_mean(each.metrics[tag] for each in self.seen)

    def apart(self, tag: str) -> Iterator[float]:
        """Yield by how much one round of the case differs from another, as predictions do."""
        values = [each.metrics[tag] for each in self.seen]
        yield from (one / other - 1 for one, other in permutations(values, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was made of one model's probes, and how long it took (s, and s a prediction)."""

    model: str
    service: str
    judged: tuple[Judged, ...]
    fit_seconds: float
    predict_seconds: float


def by_lot(cases: Iterable[Case], number: int) -> Iterator[list[Case]]:
    """Yield the cases of each setting, settings and loads in the order of a round."""
    dice = random.Random(number)  # noqa: S311 - no secret
    settings: dict[tuple[int, int, int], list[Case]] = {}
    for case in cases:
        settings.setdefault(case.setting, []).append(case)
    for same in dice.sample(list(settings.values()), len(settings)):
        yield dice.sample(same, len(same))


def observe(
    models: Path, scratch: Path, model: str, rounds: Iterable[list[Case]], seconds: float
) -> Iterator[tuple[Case, Observation]]:
    """Measure cases of a model, with a server for each setting's."""
    for every in rounds:
        setting = every[0].setting
        folder = scratch / "-".join(map(str, (model, *setting)))
        _write(models, folder, model, every[0])
        with running(folder) as server:
            config = v2client.model_config(server.endpoint, model)
            for case in every:
                load = LoadSpec(
                    concurrency=case.concurrency, rule="precision", percentile=99, senders=1,
                    min_seconds=seconds, max_seconds=2 * seconds,
                )  # fmt: skip
                try:
                    driven = drive(
                        server.endpoint, model, load, stop=lambda: False, on_window=lambda _: None
                    )
                except LoadError as error:
                    # One load that is too much for this machine costs none of the others.
                    sys.stderr.write(f"{model}, {case}: left out: {error}\n")
                    continue
                seen = Observed(
                    seconds=driven.seconds,
                    batch_size=load.batch_size,
                    latency_ns=driven.latency_ns,
                    window_rates=driven.window_rates,
                    server=driven.server,
                )
                found = Observation(
                    config=config, load=load, metrics=evaluate(seen), server=driven.server
                )
                yield case, found


def _write(models: Path, folder: Path, model: str, case: Case) -> None:
    source, target = models / model, folder / model
    target.mkdir(parents=True, exist_ok=True)
    if not (target / "1").exists():
        (target / "1").symlink_to((source / "1").resolve())
    file = source / "config.pbtxt"
    own = convert.loads(file.read_text(encoding="utf-8"), str(file))
    made = variant.make(case.candidate, own)
    (target / "config.pbtxt").write_text(convert.dumps(made), encoding="utf-8")


def judge(model: str, seen: Sequence[tuple[Case, Observation]], cores: int) -> Learned:
    """Learn from the middle rounds of the probes, and predict everything."""
    cases: dict[Case, list[Observation]] = {}
    for case, one in seen:
        cases.setdefault(case, []).append(one)
    probes = [_middle(cases[case]) for case in PROBES if case in cases]
    began = time.perf_counter()
    service = fit(probes, cores=cores)
    learned = time.perf_counter()
    judged = tuple(
        Judged(
            model=model,
            case=case,
            seen=tuple(same),
            predicted=simulate(same[0].config, service, same[0].load),
            probe=case in PROBES,
        )
        for case, same in sorted(cases.items(), key=lambda each: each[0] not in PROBES)
    )
    return Learned(
        model=model,
        service=str(replace(service, multipliers=())),
        judged=judged,
        fit_seconds=learned - began,
        predict_seconds=(time.perf_counter() - learned) / max(1, len(cases)),
    )


def _middle(rounds: Sequence[Observation]) -> Observation:
    """Return the round of the middle throughput: one that something else disturbed is not it."""
    rate = median_low(each.metrics["perf_throughput"] for each in rounds)
    return next(each for each in rounds if each.metrics["perf_throughput"] == rate)


def markdown(found: Sequence[Learned], machine: dict[str, str], taken_at: str) -> str:
    """Lay the figures out."""
    every = [one for each in found for one in each.judged]
    models = [each.model for each in found]
    groups = [(model, [one for one in _unseen(every) if one.model == model]) for model in models]
    groups.append(("all", _unseen(every)))
    parts = [
        f"# Predicted and measured, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"The simulator learns from {len(PROBES)} cases of each model (the middle round of "
            "each), which are not judged, and predicts the others. Each is measured once a round, "
            "in an order by lot. Errors are predicted to measured (the rounds' geometric mean), "
            "less 1; what is judged is the median of their sizes. *Again*: as far one round of a "
            "case is from another."
        ),
        table(
            ("model", "cases", "throughput, median (greatest)", "again", "p99, median (greatest)",
             "again", "held"),
            (
                (name, str(len(mine)), _sizes(mine, "perf_throughput"),
                 _again(mine, "perf_throughput"), _sizes(mine, "perf_latency_p99"),
                 _again(mine, "perf_latency_p99"), "yes" if _held(mine) else "**no**")
                for name, mine in groups
            ),
        ),
        table(
            ("model", "instances", "max batch", "delay us", "concurrency", "infer/s", "predicted",
             "error", "p99 ms", "predicted", "error", "mean batch", "predicted"),
            map(_line, every),
        ),
        *(
            f"{each.model}: learned in {each.fit_seconds:.2f} s, {each.predict_seconds * 1e3:.0f} "
            f"ms a prediction. {each.service}"
            for each in found
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _unseen(judged: Iterable[Judged]) -> list[Judged]:
    return [one for one in judged if not one.probe]


def _sizes(judged: Sequence[Judged], tag: str) -> str:
    sizes = [abs(one.error(tag)) for one in judged]
    return f"{median(sizes):.1%} ({max(sizes):.0%})"


def _again(judged: Sequence[Judged], tag: str) -> str:
    sizes = [abs(each) for one in judged for each in one.apart(tag)]
    return f"{median(sizes):.1%}" if sizes else "not known"


def _held(judged: Sequence[Judged]) -> bool:
    return all(
        median(abs(one.error(tag)) for one in judged) <= most for tag, most in WANTED.items()
    )


def _line(one: Judged) -> tuple[str, ...]:
    case, predicted = one.case, one.predicted
    batches = fmean(each.metrics.get("server_batch_size", 0.0) for each in one.seen)
    return (
        f"{one.model} (learned from)" if one.probe else one.model,
        str(case.instances),
        str(case.max_batch or "default"),
        {None: "default", -1: "none"}.get(case.delay_us, str(case.delay_us)),
        str(case.concurrency),
        f"{one.measured('perf_throughput'):.1f}",
        f"{predicted.throughput:.1f}",
        f"{one.error('perf_throughput'):+.0%}",
        f"{one.measured('perf_latency_p99'):.1f}",
        f"{predicted.percentile(99):.1f}",
        f"{one.error('perf_latency_p99'):+.0%}",
        f"{batches:.1f}",
        f"{predicted.mean_batch:.1f}",
    )


def _plain(case: Case, one: Observation) -> dict[str, Any]:
    return {
        "case": asdict(case),
        "config": convert.dumps(one.config),
        "load": asdict(one.load),
        "metrics": dict(one.metrics),
        "server": None if one.server is None else plain(one.server),
    }


def _read(plain: Mapping[str, Any]) -> tuple[Case, Observation]:
    """Read what ``_plain`` wrote."""
    return Case(**plain["case"]), Observation(
        config=convert.loads(plain["config"], "a case that was measured"),
        load=LoadSpec(**plain["load"]),
        metrics=plain["metrics"],
        server=None if plain["server"] is None else server_times_of(plain["server"]),
    )


def main() -> None:
    """Measure, learn, predict, and write the figures down."""
    parser = argparse.ArgumentParser(prog="scripts/bench predict", description="Predictions.")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=examples.names())
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    parser.add_argument(
        "--concurrencies", nargs="+", type=int, default=CONCURRENCIES,
        help="fewer for a slow model: each request waits for all before it",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument(
        "--again", type=Path, metavar="JSON", help="predict anew what was measured earlier"
    )
    parser.add_argument("--quick", action="store_true", help="few, 2 s each; nothing is written")
    given = parser.parse_args()
    seconds, cases, rounds = (
        (2.0, FEW, 1)
        if given.quick
        else (given.seconds, predicted_cases(given.concurrencies), given.rounds)
    )
    here = dict(described())
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if given.again:
        told = json.loads(given.again.read_text(encoding="utf-8"))
        here, taken_at = told["machine"], told["taken_at"]
        again = {model: [_read(each) for each in rows] for model, rows in told["seen"].items()}
        _tell(again, here, taken_at, None if given.quick else given.again.parent)
        return
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as name:
        scratch = Path(name)
        taken: dict[str, list[tuple[Case, Observation]]] = {model: [] for model in given.models}
        for model in given.models:
            examples.build(model, scratch / "models")
        for number in range(rounds):
            for model in given.models:
                order = by_lot((*PROBES, *cases), number)
                taken[model] += observe(scratch / "models", scratch, model, order, seconds)
            # Round by round: what was measured is not lost where the next is cut off.
            _tell(taken, here, taken_at, None if given.quick else given.output)


def _tell(
    taken: Mapping[str, Sequence[tuple[Case, Observation]]], here: dict[str, str], taken_at: str,
    folder: Path | None,
) -> None:  # fmt: skip
    """Judge what was measured, say how it is, and write it into ``folder``, if there is one."""
    found = [judge(model, seen, int(here["cores"])) for model, seen in taken.items()]
    page = markdown(found, here, taken_at)
    sys.stdout.write(page)
    if folder is not None:
        rows = {model: [_plain(*each) for each in seen] for model, seen in taken.items()}
        keep(folder, {"taken_at": taken_at, "machine": here, "seen": rows}, page, "predict")


if __name__ == "__main__":
    main()
