"""A registry on folders of a test, with fakes for what loads models, and a scene played on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from engine.clock import ManualClock
from engine.execution.host import Host
from engine.options import ModelControlMode, ServeOptions
from engine.repository.lifecycle import ModelState
from engine.repository.registry import Registry
from support.model_folders import FakeLoader, find

T = TypeVar("T")
DEADLINE_S = 10.0
NEVER_S = 3600.0


def play(
    scene: Callable[[Registry], Coroutine[Any, Any, T]],
    *repositories: Path,
    loader: FakeLoader | None = None,
    mode: ModelControlMode = ModelControlMode.EXPLICIT,
    composes: bool = True,
    **options: Any,
) -> T:
    """Start a registry, play a scene on it, stop it. It polls only when the scene says so."""
    loader = loader or FakeLoader()

    async def run() -> T:
        registry = Registry(
            ServeOptions(
                model_repository=repositories,
                model_control_mode=mode,
                exit_on_error=False,
                **{"repository_poll_secs": NEVER_S, **options},
            ),
            clock=ManualClock(),
            loop=asyncio.get_running_loop(),
            host=Host(cores=2),
            find=find,
            load=loader,
            composer=loader.compose if composes else None,
        )
        await registry.start()
        try:
            return await asyncio.wait_for(scene(registry), DEADLINE_S)
        finally:
            await registry.stop(0.0)

    return asyncio.run(run())


def states(registry: Registry) -> dict[str, str]:
    """Say of every model whether it is ready, in the words of the index; "" if it never was."""
    return {
        entry.name: "" if entry.state is ModelState.UNKNOWN else entry.state.value
        for entry in registry.index()
    }


def reason(registry: Registry, name: str) -> str:
    """Give the reason that the index has for a model."""
    return next(entry.reason for entry in registry.index() if entry.name == name)
