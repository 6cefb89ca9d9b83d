"""A watch on real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from support.conditions import within

from analyzer.measure.glimpse import Glimpse
from analyzer.measure.gpus import NoGpus
from analyzer.measure.observe import BUDGET, Watch
from analyzer.measure.tree import Tree
from engine.nvml import Gpu, GpuLook

NONE = NoGpus("this is a test")
#: keeps a core busy in a child process, and 60 MB in the parent
BUSY = """
import subprocess, sys
kept = bytearray(b"x") * 60_000_000
child = subprocess.Popen([sys.executable, "-c", "print(flush=True)\\nwhile True: pass"])
print("ready", flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


@contextmanager
def server(code: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.readline()
    try:
        yield child
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()


def cpu(glimpses: tuple[Glimpse, ...]) -> list[float]:
    return [glimpse.cpu_seconds for glimpse in glimpses if glimpse.cpu_seconds is not None]


def test_cpu_and_memory_of_the_whole_tree_are_seen() -> None:
    with server(BUSY) as busy, Watch(busy.pid, nvml=NONE, period_s=0.02) as watch:

        def spent() -> float:
            """CPU time of the tree: its child's busy loop, for the parent only waits."""
            seen = cpu(watch.seen().glimpses)
            return seen[-1] - seen[0]

        assert within(lambda: spent() > 0.1)
        glimpses = watch.seen().glimpses
    times = [glimpse.at_ns for glimpse in glimpses]
    assert times == sorted(times)
    assert cpu(glimpses) == sorted(cpu(glimpses))
    memory = [glimpse.ram_bytes for glimpse in glimpses if glimpse.ram_bytes is not None]
    assert 60_000_000 < max(memory) < 300_000_000
    assert any(glimpse.available_ram_bytes for glimpse in glimpses)


def test_what_was_seen_can_be_asked_for_within_and_afterwards() -> None:
    with server("print(flush=True)\nimport sys; sys.stdin.read()") as idle:
        with Watch(idle.pid, nvml=NONE, period_s=0.02) as watch:
            assert watch.seen().glimpses
        assert watch.seen().glimpses == watch.seen().glimpses
        assert len(watch.seen().glimpses) >= 2


def test_a_server_that_ends_is_no_error() -> None:
    with server("print(flush=True)\nimport sys; sys.stdin.read()") as short:
        watch = Watch(short.pid, nvml=NONE, period_s=0.01)
        with watch:
            short.kill()
            short.wait()
            assert within(lambda: watch.seen().glimpses[-1].cpu_seconds is None)


def test_a_server_elsewhere_is_not_looked_into() -> None:
    with Watch(None) as watch:
        seen = watch.seen()
    assert seen.glimpses == ()
    assert seen.gpus == ()
    assert "not ours" in seen.gpu_reason


class OneGpu:
    known = (Gpu(uuid="GPU-1", name="Big One", total_bytes=80),)
    reason = ""
    driver = "1"

    unanswered: Mapping[str, Mapping[str, str]] = {}

    def look(
        self,
        *,
        closely: bool = False,  # noqa: ARG002 - see Gpus
        energy: bool = True,  # noqa: ARG002 - likewise
    ) -> tuple[GpuLook, ...]:
        return (GpuLook(uuid="GPU-1", used_bytes=7),)


@pytest.mark.parametrize("nvml", [OneGpu(), NONE])
def test_gpus_are_looked_at_in_every_glimpse(nvml: OneGpu | NoGpus) -> None:
    with server("print(flush=True)\nimport sys; sys.stdin.read()") as idle:
        with Watch(idle.pid, nvml=nvml, period_s=0.01) as watch:
            pass
        seen = watch.seen()
    assert seen.gpus == nvml.known
    assert seen.gpu_reason == nvml.reason
    assert all(glimpse.gpus == nvml.look() for glimpse in seen.glimpses)


def test_looking_keeps_to_its_budget_however_often_it_is_asked_to() -> None:
    """At a thousand glimpses a second it would take a large part of a core."""
    with (
        server("print(flush=True)\nimport sys; sys.stdin.read()") as idle,
        Watch(idle.pid, nvml=NONE, period_s=0.001) as watch,
    ):
        assert within(lambda: len(watch.seen().glimpses) > 12)
    cost = watch.seen().cost_cores
    assert cost is not None
    assert 0 < cost < 2 * BUDGET


def test_context_switches_and_every_account_of_memory_are_seen() -> None:
    with (
        server("print(flush=True)\nimport sys; sys.stdin.read()") as idle,
        Watch(idle.pid, nvml=NONE) as watch,
    ):
        pass
    first, *_, last = watch.seen().glimpses
    assert first.switches is not None
    assert last.switches is not None, "what is seldom read is read at the end"
    assert first.switches > 0
    assert first.uss_bytes is not None
    assert first.pss_bytes is not None
    assert first.rss_bytes is not None
    assert 0 < first.uss_bytes <= first.pss_bytes <= first.rss_bytes
    assert first.ram_bytes == first.pss_bytes
    assert first.busy_seconds is not None
    assert first.own_seconds is not None
    assert first.pids == {idle.pid}


GROWS = """
import sys
print("ready", flush=True)
sys.stdin.readline()
kept = bytearray(b"x") * 60_000_000
print("grown", flush=True)
sys.stdin.read()
"""


def test_memory_that_comes_after_an_account_is_seen_without_another() -> None:
    """The kernel's account is dear, and read again only when its share of the time allows."""
    with server(GROWS) as growing, Watch(growing.pid, nvml=NONE, period_s=60) as watch:
        (first, *_) = watch.seen().glimpses
        assert growing.stdin is not None
        assert growing.stdout is not None
        growing.stdin.write(b"\n")
        growing.stdin.flush()
        growing.stdout.readline()
        *_, last = watch.seen().glimpses
    for name in ("ram_bytes", "pss_bytes", "rss_bytes", "uss_bytes"):
        grown = getattr(last, name) - getattr(first, name)
        assert grown == pytest.approx(60_000_000, rel=0.05)


def test_our_own_processes_are_not_others() -> None:
    """The analyzer's own tree, in which the server and its children are not counted again."""
    with server(BUSY) as busy:
        own, all_of_it, theirs = (
            Tree(os.getpid(), without=busy.pid),
            Tree(os.getpid()),
            Tree(busy.pid),
        )
        for tree in (own, all_of_it, theirs):
            tree.refresh()
        assert len(theirs.pids) == 2
        assert all_of_it.pids == own.pids | theirs.pids
        assert not own.pids & theirs.pids
    own.refresh_children()
    assert busy.pid not in own.pids
