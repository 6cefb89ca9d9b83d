"""The default's answers, kept in the results so that a run that goes on need not ask again.

Owns the file's form: an archive of NumPy's with one array of bytes for each output of each sample,
as V2 spells tensors, and an index. A file that cannot be read, or is of something else, is as if
it were not there: the default is asked again.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.accuracy.distance import Answer
from engine.errors import EngineError
from engine.types import DType
from engine.v2 import binary

_INDEX = "index"


def write(path: Path, key: str, answers: Sequence[Answer]) -> None:
    """Keep answers under what they are answers to (``key``).

    Raises:
        OSError: they cannot be written.
    """
    arrays: dict[str, Any] = {}
    index: list[list[dict[str, object]]] = []
    for number, answer in enumerate(answers):
        index.append([])
        for place, tensor in enumerate(answer.values()):
            arrays[f"{number}.{place}"] = np.frombuffer(bytes(binary.encode(tensor)), np.uint8)
            shape = list(np.asarray(tensor.array).shape)
            one = {"name": tensor.name, "datatype": tensor.dtype.value, "shape": shape}
            index[-1].append(one)
    said = json.dumps({"key": key, "answers": index}).encode()
    arrays[_INDEX] = np.frombuffer(said, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new.npz")
    try:
        np.savez(fresh, **arrays)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read(path: Path, key: str) -> tuple[Answer, ...] | None:
    """Read the answers to ``key``; None where there are none."""
    try:
        # NumPy leaves a file that it opened itself open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            index = json.loads(opened[_INDEX].tobytes())
            if index["key"] != key:
                return None
            return tuple(
                {
                    one["name"]: binary.decode(
                        opened[f"{number}.{place}"].tobytes(),
                        binary.slot(one["name"], DType(one["datatype"]), tuple(one["shape"])),
                        "",
                        "",
                    )
                    for place, one in enumerate(answer)
                }
                for number, answer in enumerate(index["answers"])
            )
    except (OSError, ValueError, KeyError, TypeError, EngineError, zipfile.BadZipFile):
        return None
