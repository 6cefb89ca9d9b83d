"""Settings of every test: hypothesis judges what a function does, not how fast it is today."""

import gc
import os
import sys

import pytest
from hypothesis import settings

settings.register_profile("servetune", deadline=None)
settings.load_profile("servetune")

# Tests start hundreds of processes. Where Python keeps no bytecode, each of them would compile the
# whole product anew: half a second of CPU.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# What is collected stays to the end, and is more than what any test makes: no search for garbage
# has to walk through it, of which there would be thousands.
def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# What takes long comes first: in the end nobody waits for a last one, or starts its servers again.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in {"integration", "docs"})
