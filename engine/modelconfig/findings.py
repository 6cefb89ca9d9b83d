"""A problem before it has a place: the field it is about, what is wrong, what to do.

Owns: the step from a finding to a located ``Problem``. The same finding serves a text (line
and column), a JSON override (the field's path) and a configuration made in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from engine.errors import Problem
from engine.modelconfig.locate import written

if TYPE_CHECKING:
    from engine.modelconfig.locate import Path, Places


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one field of a configuration."""

    path: Path
    what: str
    hint: str = ""
    warning: bool = False

    def within(self, around: Path) -> bool:
        """Say whether the field is ``around``, or lies in it."""
        return self.path[: len(around)] == around


def located(
    findings: Iterable[Finding], source: str, places: Places | None = None
) -> tuple[Problem, ...]:
    """Give each finding its place in ``source``: a line if the text is known, else the path."""
    problems = []
    for finding in findings:
        line, column = places.find(finding.path) if places is not None else (None, None)
        what = finding.what
        name = written(finding.path)
        if line is None and name and not what.startswith(name):
            what = f"{name}: {what}"
        problems.append(
            Problem(source, what, line, column, hint=finding.hint, warning=finding.warning)
        )
    return tuple(problems)


def near(word: str, known: Iterable[str]) -> str:
    """Suggest the known word that is nearest to the one given; else list what there is."""
    words = sorted(known)
    folded = {known_word.lower(): known_word for known_word in words}
    close = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return f"there are: {', '.join(words)}"
