"""Modules with one line changed, built anew beside the real ones: faults for laws to find."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType


def mutants(
    modules: Mapping[str, ModuleType], module: str, line: str, instead: str
) -> dict[str, ModuleType]:
    """Build ``modules``, in their order, with a line of one of them changed.

    A module that imports a name of one built before it gets that one's.
    """
    built: dict[str, ModuleType] = {}
    names: dict[str, object] = {}
    for name, real in modules.items():
        path = Path(str(real.__file__))
        source = path.read_text(encoding="utf-8")
        if name == module:
            assert line in source, f"{line!r} is not in {path.name} any more"
            source = source.replace(line, instead)
        made = ModuleType(real.__name__)
        made.__dict__["__file__"] = str(path)
        exec(compile(source, str(path), "exec"), made.__dict__)
        made.__dict__.update({key: names[key] for key in names if key in made.__dict__})
        own = (value for value in vars(made).values() if isinstance(value, type))
        names.update({one.__name__: one for one in own if one.__module__ == real.__name__})
        built[name] = made
    return built
