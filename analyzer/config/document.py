"""A YAML file read with the line of everything in it.

Owns the reading: values are YAML's, except that ``1:9:2`` is a range's text, not a number to the
base of 60, and ``1e3`` a number. What is wrong is a list of problems, each located as
``FILE:line``; a key that stands twice is one of them, at any depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from analyzer.config.values import Way
from analyzer.errors import UsageError

_MERGE = "tag:yaml.org,2002:merge"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+|0[0-7_]+)$")
_POINT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+([eE][-+]?[0-9]+)?"
    r"|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's mapping, and where its parts stand."""

    source: str
    values: Mapping[str, Any]
    lines: Mapping[Way, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def at(self, way: Way) -> str:
        """Name the place of a part, or else of the nearest that holds it."""
        while way and way not in self.lines:
            way = way[:-1]
        return f"{self.source}:{self.lines.get(way, 1)}"


class _Loader(yaml.SafeLoader):
    """Reads what a configuration means by its numbers."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag not in {_INT, _FLOAT}]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, _DECIMAL, list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, _POINT, list("-+0123456789."))


def read(file: Path) -> Document:
    """Read a YAML file whose top is a mapping; an empty one is an empty mapping.

    Raises:
        UsageError: it cannot be read, or is not such a file.
    """
    try:
        source = file.read_text(encoding="utf-8")
        root = yaml.compose(source, Loader=_Loader)
        plain = yaml.load(source, Loader=_Loader)  # noqa: S506 - a SafeLoader, see above
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise UsageError(f"{file}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}:1: not YAML: {error}") from error
    if root is None:
        return Document(str(file), {})
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(f"{file}:1: expected keys and values, such as `profile_models: resnet50`")
    lines: dict[Way, int] = {}
    problems = tuple(_walk(root, (), lines, str(file), ()))
    return Document(str(file), plain, lines, problems)


def _walk(
    node: yaml.Node, way: Way, lines: dict[Way, int], source: str, above: tuple[int, ...]
) -> Iterator[str]:
    """Note the line of every part below ``node``; yield what is wrong with the keys."""
    if id(node) in above:
        yield f"{source}:{node.start_mark.line + 1}: {'.'.join(map(str, way))} holds itself"
        return
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*way, index)] = item.start_mark.line + 1
            yield from _walk(item, (*way, index), lines, source, above)
    if not isinstance(node, yaml.MappingNode):
        return
    own: set[str] = set()
    for key, value in node.value:
        if key.tag == _MERGE:
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for each in merged:
                yield from _walk(each, way, lines, source, above)
            continue
        name, line = str(key.value), key.start_mark.line + 1
        here = (*way, name)
        if name in own:
            yield (
                f"{source}:{line}: {'.'.join(map(str, here))} stands on line {lines[here]} "
                "already; keep one"
            )
        own.add(name)
        lines[here] = line
        yield from _walk(value, here, lines, source, above)
