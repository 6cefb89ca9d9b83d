"""The help of commands with long flags, whole on a narrow terminal.

Typer lays names, kinds and texts out side by side, and cuts names short where that is too much. On
a terminal that is not wide enough a long name stands on a line of its own, with its text below.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Iterable

#: from so many columns on the longest names are whole side by side with the rest
WIDE = 120
#: longer names have a line of their own
NAMES = 34


class WholeNames(TyperCommand):
    """A command whose help never cuts a flag's name."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, which typer brings
        """Write the help, as wide as there is room for."""
        if shutil.get_terminal_size().columns >= WIDE:
            super().format_help(ctx, formatter)
            return
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        records: dict[str, list[tuple[str, str]]] = {}
        for each in self.get_params(ctx):
            if (record := each.get_help_record(ctx)) is not None:
                panel = getattr(each, "rich_help_panel", None) or "Options"
                records.setdefault(panel, []).append(_plain(record))
        for panel, lines in records.items():
            with formatter.section(panel):
                formatter.write_dl(lines, col_max=NAMES)
        self.format_epilog(ctx, formatter)


def _plain(record: Iterable[str]) -> tuple[str, str]:
    names, text = (" ".join(part.replace("\\[", "[").split()) for part in record)
    return names, text
