"""What is installed for the engine's backends, what is missing, and what is in each other's way.

Reads the metadata of installed distributions and imports nothing. Owns: which package a backend is
made of, and the commands that mend what is wrong. Does not own: backends that others bring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from engine.backend import known

#: distributions that all install the module ``onnxruntime``: one at a time
RIVALS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-directml",
)
#: what ONNX Runtime loads beside itself
_PLUGINS = ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12")
#: by what a backend runs, the preferred first, and the command that brings it
_MADE_OF: Mapping[str, tuple[tuple[str, ...], str]] = {
    "onnxruntime": ((*RIVALS, *_PLUGINS), "pip install onnxruntime"),
    "openvino": (("openvino",), "pip install 'servetune[openvino]'"),
    "pytorch": (("torch",), "pip install 'servetune[torch]'"),
    "tensorflow": (
        ("tensorflow", "tensorflow-cpu"),
        "pip install 'servetune[tensorflow]'",
    ),
    "tensorrt": (
        (
            *("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
            *("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
        ),
        "pip install 'servetune[tensorrt]', or 'servetune[tensorrt-rtx]'; both need an NVIDIA GPU",
    ),
}
#: looks a distribution's version up; None if it is not installed
LookUp = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One backend: what it runs by, and what is to be done, "" for nothing.

    ``harmful`` says that it may not work as it is, and not only that it is missing.
    """

    backend: str
    runs_by: str
    to_do: str = ""
    harmful: bool = False


def look_up(name: str) -> str | None:
    """Give the version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine(look: LookUp = look_up, backends: Sequence[str] | None = None) -> tuple[Finding, ...]:
    """Look at every backend; what is in another's way comes first."""
    found = [_finding(one, look) for one in (known() if backends is None else backends)]
    return tuple(sorted(found, key=lambda one: not one.harmful))


def _finding(backend: str, look: LookUp) -> Finding:
    if backend not in _MADE_OF:
        return Finding(backend, "the engine itself")
    packages, command = _MADE_OF[backend]
    there = list(_installed(packages, look))
    if not there:
        return Finding(backend, "not installed", command)
    runs_by = ", ".join(f"{name} {version}" for name, version in there)
    builds = [name for name, _ in there if name in RIVALS]
    if backend == "onnxruntime" and len(builds) > 1:
        return Finding(backend, runs_by, _mend(builds), harmful=True)
    if backend == "onnxruntime" and not builds:
        return Finding(backend, runs_by, command, harmful=True)
    return Finding(backend, runs_by)


def _installed(packages: Sequence[str], look: LookUp) -> Iterator[tuple[str, str]]:
    for name in packages:
        version = look(name)
        if version is not None:
            yield name, version


def _mend(there: Sequence[str]) -> str:
    """Write the commands that leave one of several rivals; whatever is special is meant to stay."""
    stays = next((name for name in there if name != "onnxruntime"), there[0])
    return (
        f"they overwrite each other's files; keep one: pip uninstall -y {' '.join(there)} &&"
        f" pip install {stays}"
    )
