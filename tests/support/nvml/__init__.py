"""A stand-in for the NVIDIA driver's NVML library, compiled where a test needs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "libnvidia_ml.c"


def build(directory: Path, *defined: str) -> Path:
    """Compile the library into ``directory``; skip the test where there is no C compiler.

    ``defined`` are what the source may be told: ``OLD_DRIVER``.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the NVML stand-in with")
    library = directory / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-Wall", "-Werror", f"-Wl,-soname,{library.name}"]
    flags += [f"-D{name}" for name in defined]
    subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True)
    return library
