"""A watch on real processes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.conditions import within

from analyzer.measure.aggregate import Glimpse, Gpu, GpuGlimpse
from analyzer.measure.gpus import NoGpus
from analyzer.measure.observe import Watch

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
    known = (Gpu("GPU-1", "Big One", 80),)
    reason = ""
    driver = "1"

    def look(self) -> tuple[GpuGlimpse, ...]:
        return (GpuGlimpse(uuid="GPU-1", used_bytes=7),)


@pytest.mark.parametrize("nvml", [OneGpu(), NONE])
def test_gpus_are_looked_at_in_every_glimpse(nvml: OneGpu | NoGpus) -> None:
    with server("print(flush=True)\nimport sys; sys.stdin.read()") as idle:
        with Watch(idle.pid, nvml=nvml, period_s=0.01) as watch:
            pass
        seen = watch.seen()
    assert seen.gpus == nvml.known
    assert seen.gpu_reason == nvml.reason
    assert all(glimpse.gpus == nvml.look() for glimpse in seen.glimpses)
