"""The table of docs/perf.md: every flag of ``analyze perf``, made of the flags themselves."""

from __future__ import annotations

from pathlib import Path

from analyzer.perf.argv import shown
from analyzer.perf.flags import FLAGS, Effect, Flag

PAGE = Path(__file__).resolve().parents[2] / "docs" / "perf.md"
BEGIN, END = "<!-- flags: made by scripts/perf-flags -->", "<!-- end of flags -->"


def table() -> str:
    """One table a panel, then what has no effect and what is old."""
    parts = []
    for panel in dict.fromkeys(flag.panel for flag in _seen()):
        rows = [_row(flag) for flag in _seen() if flag.panel == panel]
        parts.append("\n".join([f"### {panel}", "", "| flag | | |", "|---|---|---|", *rows]))
    rest = [flag for flag in FLAGS if flag not in _seen()]
    rows = [f"| `{shown(flag)}` | {flag.effect.value} | {flag.note} |" for flag in rest]
    head = [
        "### Accepted for perf_analyzer's sake, and refused",
        "",
        "| flag | | |",
        "|---|---|---|",
    ]
    parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)


def page(text: str) -> str:
    """The page with the table of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _seen() -> list[Flag]:
    return [flag for flag in FLAGS if flag.effect in {Effect.SAME, Effect.OURS}]


def _row(flag: Flag) -> str:
    ours = "added here" if flag.effect is Effect.OURS else ""
    spelt = shown(flag).replace("|", "\\|")
    return f"| `{spelt}` | {flag.text} | {ours} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
