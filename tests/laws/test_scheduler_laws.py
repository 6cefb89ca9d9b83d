"""The laws of house 5.1, on random traffic in virtual time, over every scheduler."""

from __future__ import annotations

from hypothesis import strategies as st
from kits.scheduler_kit import SchedulerKit
from support.traffic import World

from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic


def _direct(instances: int) -> World:
    return World(
        make=lambda: Direct(instances),
        instances=instances,
        alone=True,
        text=f"Direct({instances})",
    )


def _dynamic(rules: BatchRules, instances: int) -> World:
    return World(
        make=lambda: Dynamic(rules, instances),
        instances=instances,
        max_rows=rules.max_rows,
        max_delay_ns=rules.max_delay_ns,
        max_queue=rules.max_queue,
        expires=True,
        text=f"Dynamic({rules}, {instances})",
    )


@st.composite
def _rules(draw: st.DrawFn) -> BatchRules:
    max_rows = draw(st.sampled_from((1, 2, 4, 5, 8)))
    return BatchRules(
        max_rows=max_rows,
        max_delay_ns=draw(st.sampled_from((0, 0, 7, 50))),
        preferred=draw(st.frozensets(st.integers(1, max_rows), max_size=3)),
        max_queue=draw(st.sampled_from((0, 0, 1, 3, 10))),
    )


class TestDirect(SchedulerKit):
    @staticmethod
    def worlds() -> st.SearchStrategy[World]:
        return st.integers(1, 3).map(_direct)


class TestDynamic(SchedulerKit):
    @staticmethod
    def worlds() -> st.SearchStrategy[World]:
        return st.builds(_dynamic, _rules(), st.integers(1, 3))
