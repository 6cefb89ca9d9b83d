"""Reloads while clients ask: nobody's request fails, and what was unloaded is freed."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.controlled import Controlled, X, controlled, write_echo
from support.oracle_clients import Asked

from engine import examples
from engine.caches.local import Local
from engine.clock import SystemClock
from engine.execution.host import Host
from engine.execution.pump import Pump
from engine.options import ModelControlMode
from engine.ratelimit import RateLimiter

RELOADS = 30
ONE_TAG = 'metric_tags { key: "generation" value: "%d" }'


class Asking:
    """A client that asks until it is told to stop, and remembers what failed."""

    def __init__(self, server: Controlled, kind: str) -> None:
        self.answered = 0
        self.failures: list[Any] = []
        self._over = threading.Event()
        self._client = server.client(kind)
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        # Many requests for each connection, where the client can keep one open.
        asked = [Asked("reloaded", {"INPUT0": X})] * 20
        while not self._over.is_set():
            try:
                for answer in self._client.infer_all(asked):
                    np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), X)
                    self.answered += 1
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is counted
                self.failures.append(fault)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(20)


@contextmanager
def asking(server: Controlled) -> Iterator[list[Asking]]:
    """Ask over both protocols until the block ends, and at least once."""
    clients = [Asking(server, kind) for kind in ("http", "grpc")]
    try:
        assert within(lambda: all(one.answered for one in clients))
        yield clients
    finally:
        for one in clients:
            one.stop()


@pytest.mark.triton("3.2", "3.9")
@pytest.mark.parametrize("mode", [ModelControlMode.EXPLICIT, ModelControlMode.POLL])
def test_reloads_under_load_lose_no_request(tmp_path: Path, mode: ModelControlMode) -> None:
    write_echo(tmp_path, "reloaded")
    options: dict[str, Any] = {"repository_poll_secs": 0.01}
    if mode is ModelControlMode.EXPLICIT:
        options["load_model"] = ("reloaded",)
    with controlled(tmp_path, mode, **options) as up:
        model = lambda: up.ports.on_loop(lambda: up.registry.get("reloaded"))  # noqa: E731
        seen = {id(model())}
        keep = [model()]
        with asking(up) as clients:
            for number in range(RELOADS):
                new = tmp_path / "new"
                write_echo(tmp_path / "aside", "reloaded", ONE_TAG % number)
                (tmp_path / "aside" / "reloaded" / "config.pbtxt").replace(new)
                new.replace(tmp_path / "reloaded" / "config.pbtxt")
                if mode is ModelControlMode.EXPLICIT:
                    up.client("http").does("load_model", "reloaded")
                assert within(lambda: id(model()) not in seen)
                keep.append(model())
                seen.add(id(keep[-1]))
        assert [one.failures for one in clients] == [[]] * len(clients)
        assert len(seen) == RELOADS + 1


@pytest.mark.triton("2b.9")
def test_instances_come_and_go_under_load_and_lose_no_request(tmp_path: Path) -> None:
    write_echo(tmp_path, "reloaded", "dynamic_batching { }")
    file = tmp_path / "reloaded" / "config.pbtxt"
    text = file.read_text()
    with controlled(tmp_path, load_model=("reloaded",)) as up:
        model = up.ports.on_loop(lambda: up.registry.get("reloaded"))
        with asking(up) as clients:
            for count in (3, 1, 4, 2) * 4:
                file.write_text(text.replace("count: 1", f"count: {count}"))
                up.client("http").does("load_model", "reloaded")
                assert up.ports.on_loop(lambda: model.runtime["instances"]) == str(count)
        assert [one.failures for one in clients] == [[]] * len(clients)
        assert up.ports.on_loop(lambda: up.registry.get("reloaded")) is model
        answered = sum(one.answered for one in clients)
        assert up.ports.on_loop(lambda: model.statistics().success.count) >= answered


CACHED = "response_cache { enable: true }"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("synthetic", "dynamic_batching { preserve_ordering: true }"),
        ("limited", ""),
        ("cached", CACHED),
        ("identity", ""),
        ("delayed_identity", ""),
    ],
)
def test_what_is_unloaded_is_freed_with_its_last_request_and_needs_no_collector(
    tmp_path: Path, name: str, more: str
) -> None:
    """Whatever it is made of: nothing of a model is in a cycle of references, or held elsewhere."""
    if name in examples.names():
        examples.build(name, tmp_path)
    else:
        write_echo(tmp_path, name, more)
    host = Host(
        cores=1,
        limiter=RateLimiter() if name == "limited" else None,
        cache=Local(1 << 20, SystemClock()) if name == "cached" else None,
    )
    with controlled(tmp_path, host=host, load_model=(name,)) as up:
        metadata = json.loads(up.get(f"/v2/models/{name}")[1])["inputs"][0]
        array = np.ones([abs(int(size)) for size in metadata["shape"]], np.float32)
        for kind in ("http", "grpc"):
            answer = up.client(kind).infer(Asked(name, {metadata["name"]: array}))
            assert answer.as_numpy("OUTPUT0").shape == array.shape
        gc.collect()  # what others left
        gc.disable()
        try:
            assert pumps()
            up.client("http").does("unload_model", name)
            assert within(lambda: up.index()[name, "1"].get("reason") == "unloaded")
            assert within(lambda: not pumps(), 2.0), [gc.get_referrers(one) for one in pumps()]
        finally:
            gc.enable()


def pumps() -> list[object]:
    """Find what is left of served models: the pump is what all of one hangs on."""
    return [one for one in gc.get_objects() if isinstance(one, Pump)]
