"""What may still be chosen: what failures rule out, and how large spaces are looked at."""

from __future__ import annotations

import pytest
from support.world import World

from analyzer.record.outcome import Outcome
from analyzer.record.row import Failure, Row, Trial
from analyzer.search.features import Embedding
from analyzer.search.pool import Pool
from analyzer.space import Axis, Candidate, Dimension, Space

SPACE = Space((
    Dimension("backend", ("onnxruntime", "openvino")),
    Dimension("instance_count", (1, 2, 4)),
    Dimension("max_batch_size", (1, 8)),
    Dimension("concurrency", (1, 8), Axis.LOAD),
))  # fmt: skip


def pool(space: Space = SPACE) -> Pool:
    return Pool(space, 0, None, Embedding(space))


def at(backend: str, instances: int, batch: int, load: int = 1) -> Candidate:
    return Candidate.of(
        backend=backend, instance_count=instances, max_batch_size=batch, concurrency=load
    )


def failed(candidate: Candidate, stage: str | None) -> Outcome:
    row: Row | None = None
    if stage is not None:
        row = World().row(Trial(candidate=candidate))
        row = Row(
            **{name: getattr(row, name) for name in Row.__slots__ if name != "failure"},
            failure=Failure(stage=stage, message="no"),
        )
    return Outcome(candidate, None, feasible=False, row=row)


WORKED = Outcome(at("onnxruntime", 1, 1), 1.0)


def test_a_failure_holds_for_every_load_and_no_launch_for_more_instances() -> None:
    closed = pool().closed([WORKED, failed(at("onnxruntime", 2, 8), "launch")])
    out = {each for each in pool().candidates(()) if each in closed}
    assert out == {at("onnxruntime", count, 8, load) for count in (2, 4) for load in (1, 8)}
    closed = pool().closed([WORKED, failed(at("onnxruntime", 2, 8), "load")])
    out = {each for each in pool().candidates(()) if each in closed}
    assert out == {at("onnxruntime", 2, 8, load) for load in (1, 8)}


@pytest.mark.parametrize(
    "outcomes",
    [
        [failed(at("openvino", 1, 1), "accuracy")],
        [failed(at("openvino", 1, 1), None)],
        [failed(at("openvino", 1, 1), "load"), failed(at("openvino", 1, 8), "load")],
    ],
)
def test_a_backend_is_out_when_its_answers_are_wrong_or_it_never_works(
    outcomes: list[Outcome],
) -> None:
    closed = pool().closed([WORKED, *outcomes])
    out = {each for each in pool().candidates(()) if each in closed}
    assert out == {each for each in SPACE if each.get("backend") == "openvino"}


def test_a_backend_that_has_worked_once_stays() -> None:
    worked = Outcome(at("openvino", 4, 8), 2.0)
    closed = pool().closed([WORKED, worked, failed(at("openvino", 1, 1), None)])
    assert at("openvino", 2, 8) not in closed


def test_a_large_space_is_sampled_and_what_surrounds_the_best_is_in_it() -> None:
    space = Space(tuple(Dimension(f"d{each}", (1, 2, 4, 8, 16, 32)) for each in range(7)))
    large = pool(space)
    best = next(iter(space))
    found = set(large.candidates([best]))
    assert len(found) < 4000 < len(space)
    assert {best.replaced(d3=value) for value in (2, 4, 32)} <= found
    assert all(each in space for each in found)
    assert large.candidates([best]) == pool(space).candidates([best])


def test_anchors_are_spread_and_the_same_each_time() -> None:
    whole = pool()
    candidates = whole.candidates(())
    anchors = whole.anchors(candidates)
    assert len(set(anchors)) == len(anchors)
    assert {candidates[place].get("instance_count") for place in anchors} == {1, 2, 4}
    assert whole.anchors(candidates) == anchors
