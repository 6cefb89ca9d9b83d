"""The figures of a machine with a GPU, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.results import table


def page(found: Mapping[str, Any]) -> str:
    """Lay out what every part found: a table a part, a line for each figure."""
    parts = [
        f"# On a GPU, {found['taken_at'][:10]}",
        table(("", ""), ((name, str(value)) for name, value in found["machine"].items())),
    ]
    for name, part in found["parts"].items():
        parts += [f"## {name.replace('_', ' ').capitalize()}", _part(part)]
    return "\n\n".join(parts) + "\n"


def _part(part: Mapping[str, Any]) -> str:
    for word in ("not tried", "failed"):
        if word in part:
            return f"{word}: {_short(part[word])}"
    return table(("what", "", "figure"), _lines(part))


def _lines(part: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{above}, {name}" if above else str(name))
        else:
            yield above, str(name), _short(value)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 - digits
    text = " ".join(str(value).replace("|", "/").split())
    return text if len(text) <= 300 else text[:297] + "..."  # noqa: PLR2004 - a line's length
