"""The environment that a Python model runs in: the server's own, or one that it brings along.

Owns ``EXECUTION_ENV_PATH``: a folder (a virtual environment, or conda's), or an archive of one as
``conda-pack`` makes it, which is unpacked once for the server's life.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import InvalidArgument, NotFound

PARAMETER = "EXECUTION_ENV_PATH"
_FOLDER = "$$TRITON_MODEL_DIRECTORY"
_lock = threading.Lock()
_unpacked: dict[tuple[str, int, int], Path] = {}


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter, and what is added to its process's environment."""

    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)


def find(text: str, folder: Path) -> Environment:
    """Find the environment that a model in ``folder`` names; "" is the server's own.

    Raises:
        NotFound: it is not there, or has no interpreter.
        InvalidArgument: the archive cannot be unpacked.
    """
    if not text:
        return Environment()
    place = Path(text.replace(_FOLDER, str(folder)))
    if not place.exists():
        raise NotFound(
            f"Failed to get the canonical path for {place}: parameters[{PARAMETER!r}] of model"
            f" '{folder.name}' names no file or folder that there is"
        )
    root = place if place.is_dir() else _unpack(place)
    python = next((one for one in ("python3", "python") if (root / "bin" / one).exists()), None)
    if python is None:
        raise NotFound(
            f"{place}: no bin/python in it; parameters[{PARAMETER!r}] must name a virtual"
            " environment, a conda environment, or an archive of one"
        )
    variables = {"PATH": f"{root / 'bin'}:{os.environ.get('PATH', '')}"}
    if (root / "conda-meta").is_dir():
        variables["CONDA_PREFIX"] = str(root)
        variables["LD_LIBRARY_PATH"] = f"{root / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return Environment(str(root / "bin" / python), variables)


def _unpack(archive: Path) -> Path:
    found = archive.stat()
    key = (str(archive.resolve()), found.st_mtime_ns, found.st_size)
    with _lock:
        if key not in _unpacked:
            folder = Path(tempfile.mkdtemp(prefix="python_env_"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            try:
                with tarfile.open(archive) as packed:
                    # Python before 3.11.4 has no filters, and trusts the archive as the model.
                    packed.extraction_filter = getattr(tarfile, "tar_filter", None)
                    packed.extractall(folder)  # noqa: S202 - filtered
            except (tarfile.TarError, OSError) as fault:
                raise InvalidArgument(f"{archive}: cannot be unpacked: {fault}") from fault
            _unpacked[key] = folder
        return _unpacked[key]
