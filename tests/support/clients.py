"""The README's clients of the pipelines, run by the README's own lines."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run_client(name: str, folder: Path, server: str) -> list[str]:
    """Run the README's line for a client in a folder; give the lines that it prints."""
    line = re.compile(rf"^python (scripts/clients/{name}\.py .*)$", re.MULTILINE)
    (written,) = line.findall((ROOT / "README.md").read_text())
    script, *words = shlex.split(written)
    done = subprocess.run(
        [sys.executable, ROOT / script, *words, f"--server={server}"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
