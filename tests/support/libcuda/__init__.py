"""A stand-in for the CUDA driver's library, compiled where a test needs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "libcuda.c"


def build(directory: Path) -> Path:
    """Compile the library into ``directory``; skip the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the CUDA stand-in with")
    library = directory / "libcuda.so.1"
    flags = ["-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True)
    return library
