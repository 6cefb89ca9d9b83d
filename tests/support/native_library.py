"""Libraries for tests of native models, compiled when first asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.backends import native

INCLUDE = Path(native.__file__).parent / "include"
SOURCES = Path(__file__).parent / "native"


def compiled(source: Path | str, file: Path, *flags: str) -> Path:
    """Compile a source, or its text, to the library ``file``; skips where nothing compiles."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler (c++)")
    if isinstance(source, str):
        text, source = source, file.with_suffix(".cpp")
        source.write_text(text)
    told = subprocess.run(
        [
            compiler,
            *("-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"),
            *flags,
            f"-I{INCLUDE}",
            str(source),
            "-o",
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return file
