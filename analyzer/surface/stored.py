"""A recorded surface: reading its files, and what they say of each point.

A surface's file is a journal whose first line also holds the grid (``with_grid``); it may be
gzipped. Several files of one recording, a repetition each, are one surface.
"""

from __future__ import annotations

import gzip
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from analyzer import assembly, variant
from analyzer.assembly import Assembly
from analyzer.errors import JournalError
from analyzer.record import journal as journals
from analyzer.record.row import Row, RunHead, head_to_line, row_to_line
from analyzer.search.features import Embedding
from analyzer.space import Axis, Candidate, Dimension, Space
from analyzer.surface.grid import DEFAULT, Grid
from analyzer.surface.truth import Estimated, estimate
from analyzer.workspace import write_whole
from engine.modelconfig.schema import ModelConfig


def with_grid(head: RunHead, grid: Grid, base: ModelConfig | Assembly, seed: int) -> RunHead:
    """Add to a journal's head what makes it a surface's: the grid, and the default configurations.

    The space is among the options that no two files may differ in.
    """
    options = {**head.options, "space": [
        {"name": each.name, "values": list(each.values), "axis": each.axis.value}
        for each in grid.space.dimensions
    ]}  # fmt: skip
    served = Assembly.of(base)
    command = {
        **head.command,
        "order_seed": seed,
        "cores": grid.cores,
        "base": served.texts,
        "means": {
            key: {"machine": _plain(asdict(each.machine)), **_plain({"files": each.files})}
            for key, each in grid.means.items()
        },
    }
    digest = journals.options_digest(options)
    return replace(head, options=options, options_digest=digest, command=command)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(each) if isinstance(each, frozenset) else each for key, each in values.items()
    }


def _sets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: frozenset(each) if isinstance(each, list) else each for key, each in values.items()
    }


def _grid(head: RunHead, served: Assembly) -> Grid:
    """Read the grid from a head."""
    space = Space(tuple(
        Dimension(each["name"], tuple(each["values"]), Axis(each["axis"]))
        for each in head.options["space"]
    ))  # fmt: skip
    configs = {served.key(name): config for name, config in served.configs.items()}
    means = {
        key: variant.Means(configs[key], variant.Machine(**_sets(each["machine"])), **_sets(
            {"files": each["files"]}
        ))
        for key, each in head.command["means"].items()
    }  # fmt: skip
    return Grid(space, head.command["cores"], means)


def base_of(path: Path) -> Assembly | None:
    """Return the default configurations of a recording that has begun; None where none has."""
    try:
        contents = journals.read(path)
    except JournalError:
        # Whoever goes on to write it says what is wrong.
        return None
    begun = contents.rows and isinstance(contents.head.command.get("base"), dict)
    if not begun:
        return None
    return Assembly.read(contents.head.model, contents.head.command["base"], f"{path}:1: base")


@dataclass(frozen=True)
class Surface:
    """What was measured: ``rows`` by point and repetition, failures too.

    ``served`` are the default configurations, whole.

    ``launches`` are the seconds that a setting took to come up, by setting and repetition.
    """

    name: str
    head: RunHead
    served: Assembly
    grid: Grid
    rows: Mapping[Candidate, Mapping[int, Row]]
    launches: Mapping[Candidate, Mapping[int, float]] = field(default_factory=dict)

    @property
    def space(self) -> Space:
        """What there is to search."""
        return self.grid.space

    @cached_property
    def repetitions(self) -> tuple[int, ...]:
        """The numbers of all repetitions, in order."""
        return tuple(sorted({number for taken in self.rows.values() for number in taken}))

    @cached_property
    def digests(self) -> Mapping[tuple[str, Candidate], Candidate]:
        """Recorded points by their configuration's digest and load: what is equal counts once."""
        found: dict[tuple[str, Candidate], Candidate] = {}
        for point, taken in self.rows.items():
            row = next(iter(taken.values()))
            found.setdefault((row.digest, self.grid.split(point)[1]), point)
        return found

    def point(self, candidate: Candidate) -> Candidate | None:
        """Return the recorded point that a candidate means, or None where there is none."""
        same = variant.canonical(candidate)
        if same in self.rows:
            return same
        setting, load = self.grid.split(same)
        if setting == DEFAULT:
            return None
        digest = assembly.digest(assembly.make(setting, self.served))
        return self.digests.get((digest, load))

    def metrics(self, point: Candidate, without: int | None = None) -> Mapping[str, float] | None:
        """Return the mean of a point's repetitions; None where half of them or more failed.

        ``without`` leaves one repetition out, unless it is the only one.
        """
        taken = self.rows[point]
        chosen = [row for number, row in taken.items() if number != without] or list(taken.values())
        good = [row.metrics for row in chosen if row.failure is None]
        if 2 * len(good) <= len(chosen):
            return None
        tags = set[str].intersection(*(set(each) for each in good))
        return {tag: fmean(each[tag] for each in good) for tag in sorted(tags)}

    @cached_property
    def truths(self) -> Mapping[Candidate, Mapping[str, float]]:
        """The means of every point that can be measured."""
        found = ((point, self.metrics(point)) for point in self.rows)
        return {point: metrics for point, metrics in found if metrics is not None}

    def estimated(self, tags: Sequence[str]) -> Mapping[Candidate, Mapping[str, float]]:
        """Return the truths with these metrics estimated rather than averaged (``truth``)."""
        found = {tag: self.estimates(tag).values for tag in tags}
        return {
            point: {**metrics, **{tag: each[point] for tag, each in found.items() if point in each}}
            for point, metrics in self.truths.items()
        }

    def estimates(self, tag: str, assumed: float | None = None) -> Estimated:
        """Estimate a metric of every point that can be measured and has one above 0.

        ``assumed`` is the noise where nothing was measured twice (``truth.estimate``).
        """
        if (tag, assumed) not in self._estimates:
            self._estimates[tag, assumed] = estimate({
                point: {
                    number: row.metrics[tag]
                    for number, row in self.rows[point].items()
                    if row.failure is None and row.metrics.get(tag, 0.0) > 0
                }
                for point in self.truths
            }, self._embedding, assumed, acting=tag.startswith(("perf_", "server_")))  # fmt: skip
        return self._estimates[tag, assumed]

    @cached_property
    def _embedding(self) -> Embedding:
        return Embedding(self.space, self.served.top, self.grid.cores or 0)

    @cached_property
    def _estimates(self) -> dict[tuple[str, float | None], Estimated]:
        return {}

    def spread(self, tag: str = "perf_throughput") -> float | None:
        """Return how far repetitions of a point are apart: the mean coefficient of variation.

        None where no point has two.
        """
        spreads = []
        for taken in self.rows.values():
            found = [row.metrics[tag] for row in taken.values() if tag in row.metrics]
            if len(found) > 1:
                mean = fmean(found)
                variance = sum((each - mean) ** 2 for each in found) / (len(found) - 1)
                spreads.append(math.sqrt(variance) / mean if mean else 0.0)
        return fmean(spreads) if spreads else None

    @property
    def describe_spread(self) -> str:
        """Say how noisy it is."""
        if (spread := self.spread()) is None:
            return "its noise is not known, for nothing was measured twice"
        return f"repetitions are {spread:.1%} apart"


def read(*paths: Path) -> Surface:
    """Read a surface from the files that it is made of.

    Raises:
        JournalError: one is no surface, or they are of different recordings.
    """
    contents = [journals.read(path) for path in paths]
    head = contents[0].head
    for path, each in zip(paths, contents, strict=True):
        if each.head.options_digest != head.options_digest:
            raise JournalError(f"{path}: recorded under other options than {paths[0]}")
    name = paths[0].name.partition(".")[0]
    return made(name, head, [row for each in contents for row in each.rows], paths[0])


def made(name: str, head: RunHead, rows: Sequence[Row], path: Path | None = None) -> Surface:
    """Make a surface of its head and rows.

    Raises:
        JournalError: the head does not say what the grid is, or nothing was measured.
    """
    place = path or name
    try:
        served = Assembly.read(head.model, head.command["base"], f"{place}: base")
        grid = _grid(head, served)
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            f"{place}: this is no surface (its first line does not say what was to be measured: "
            f"{error!r}); `analyze record` makes them"
        ) from error
    if not rows:
        raise JournalError(f"{place}: nothing has been measured yet")
    points: dict[Candidate, dict[int, Row]] = defaultdict(dict)
    launches: dict[Candidate, dict[int, float]] = defaultdict(dict)
    names = _names(head.model, grid, rows)
    for number, row in enumerate(rows):
        named = replace(row, number=number, variant=names[row.digest])
        points[row.trial.candidate].setdefault(row.trial.repetition, named)
        if row.launch_seconds:
            setting = grid.split(row.trial.candidate)[0]
            launches[setting].setdefault(row.trial.repetition, row.launch_seconds)
    return Surface(name, head, served, grid, dict(points), dict(launches))


def _names(model: str, grid: Grid, rows: Sequence[Row]) -> dict[str, str]:
    """Name variants alike in all files: each recording has counted them as they came."""
    found: dict[str, str] = {}
    for row in rows:
        if grid.split(row.trial.candidate)[0] == DEFAULT:
            found[row.digest] = f"{model}_config_default"
    for row in rows:
        found.setdefault(row.digest, f"{model}_config_{len(found)}")
    return found


def pack(surface: Surface, path: Path) -> None:
    """Write a surface as one gzipped file, the same bytes for the same surface."""
    rows = (row for taken in surface.rows.values() for row in taken.values())
    lines = [head_to_line(surface.head)]
    lines += [row_to_line(row) for row in sorted(rows, key=lambda row: row.number)]
    text = "".join(f"{line}\n" for line in lines).encode()
    write_whole(path, gzip.compress(text, mtime=0))
