"""KServe's own models, as its package for Python has them: which fields there are, of what type.

They are generated from KServe's definitions. Only their text is read: to import them takes the
whole package with all that it depends on.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def folder() -> Path | None:
    """Return where the models are; None where the package is not installed."""
    found = importlib.util.find_spec("kserve")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "models"


def unknown(manifest: Any, kind: str, where: str = "") -> Iterator[str]:
    """Yield each field of a manifest that the model ``kind`` lacks, or has of another type.

    What is Kubernetes' own ends there: other schemas know it.
    """
    if match := re.fullmatch(r"list\[(\w+)\]", kind):
        if not isinstance(manifest, list):
            yield f"{where}: no list"
            return
        for number, each in enumerate(manifest):
            yield from unknown(each, match[1], f"{where}[{number}]")
    elif kind in _SIMPLE:
        if not isinstance(manifest, _SIMPLE[kind]):
            yield f"{where}: {manifest!r} is no {kind}"
    elif fields := _fields(kind):
        for name, value in manifest.items():
            if name not in fields:
                yield f"{where}.{name}"
            else:
                yield from unknown(value, fields[name], f"{where}.{name}")


@cache
def _fields(kind: str) -> dict[str, str]:
    """Return a model's fields, as JSON names them, with their types; none of what is not there."""
    place = folder()
    assert place is not None
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    file = place / f"{snake}.py"
    if not file.is_file():
        return {}
    tables = {
        target.id: ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in {"openapi_types", "attribute_map"}
    }
    types, names = tables["openapi_types"], tables["attribute_map"]
    return {names[each]: types[each] for each in types}
