"""Pipelines from outside: the README's clients, run by its own lines, and the models run bare."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import onnxruntime

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


def bare_session(model: bytes) -> onnxruntime.InferenceSession:
    """Load a model outside any server, on one thread: the server keeps the other core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)
