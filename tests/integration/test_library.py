"""docs/library.md, run as it stands, on a real server: in a thread, and inside an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from analyzer import Results, profile

PAGE = Path(__file__).parent.parent.parent / "docs" / "library.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
#: every step of the way, as short as it can be
FAST: dict[str, Any] = {
    "max_trials": 2, "verify_pairs": 0, "concurrency_sweep_disable": True, "concurrency": [1, 4],
    "min_seconds": 0.2, "max_seconds": 0.5, "run_config_search_max_instance_count": 2,
}  # fmt: skip


def walk() -> Results:
    """Run the page's programs, one after another, and return what the first one found."""
    names: dict[str, Any] = {}
    spelt = ", ".join(f"{name}={value!r}" for name, value in FAST.items())
    first, *rest = BLOCKS
    assert "max_time=60" in first
    exec(compile(first.replace("max_time=60", spelt), str(PAGE), "exec"), names)
    found = names["results"]
    assert isinstance(found, Results)
    for block in rest:
        exec(compile(block, str(PAGE), "exec"), names)
    return found


def test_the_page_can_be_followed_in_a_thread_and_in_an_event_loop(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with contextlib.chdir(tmp_path):
        found = asyncio.run(asyncio.to_thread(walk))
        out, err = capfd.readouterr()
        # Nothing is printed but what the programs print themselves.
        assert out.splitlines()[0] == found.verdict
        assert err == ""
        assert (tmp_path / "latency-first" / "summary.md").is_file()
        assert found.best is not None
        assert 'name: "add_sub"' in found.chosen_config
        assert all(row.failure is None for row in found.rows)

        async def again() -> Results:
            return profile(model="add_sub", **FAST)

        resumed = asyncio.run(again())
    assert [row.number for row in resumed.rows] == [row.number for row in found.rows]
    assert signal.getsignal(signal.SIGINT) is before
