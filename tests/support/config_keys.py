"""The tables of docs/model-analyzer.md: every option of a file, made of the options themselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analyzer.config import passed
from analyzer.config.keys import KEYS, Effect

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-analyzer.md"
BEGIN, END = "<!-- options: made by scripts/config-keys -->", "<!-- end of options -->"
TITLES = {
    Effect.ACTED: "Options that are followed",
    Effect.IDLE: "Options without effect here",
    Effect.REFUSED: "Options that are refused",
}


def tables() -> str:
    """One table for what becomes of an option, then those of the flags of other programs."""
    parts = []
    for effect, title in TITLES.items():
        rows = [(key.name, key.panel if effect is Effect.ACTED else key.note) for key in KEYS
                if key.effect is effect]  # fmt: skip
        parts.append(_table(title, rows))
    options = [(flag, f"`{key}`") for flag, key in passed.OPTIONS.items()]
    load = [(flag, "of the load client") for flag in passed.LOAD]
    parts.append(_table("`perf_analyzer_flags` that are followed", [*options, *load]))
    parts.append(_table("`perf_analyzer_flags` without effect here", passed.IDLE.items()))
    parts.append(_table("`perf_analyzer_flags` that are refused", passed.REFUSED.items()))
    return "\n\n".join(parts)


def page(text: str) -> str:
    """The page with the tables of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| `{name}` | {text} |" for name, text in rows]
    return "\n".join([f"### {title}", "", "| | |", "|---|---|", *lines])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
