"""How near a variant's answers came to the default's, in words. Pure.

Owns these sentences, which page, summary and terminal share. What is near enough was decided when
the variant was measured.
"""

from __future__ import annotations

from analyzer.record.accuracy import Accuracy, percent
from analyzer.record.row import Row


def short(found: Accuracy | None) -> str:
    """Say it in a cell: ``0.41% off``; "" where answers cannot differ."""
    if found is None:
        return ""
    if found.unchecked or found.worst is None:
        return "not compared" if found.unchecked else "other answers"
    return "equal" if not found.worst else f"{percent(found.worst)} off"


def sentence(row: Row) -> str:
    """Say it in full; "" where answers cannot differ."""
    found = row.accuracy
    if found is None:
        return ""
    if found.unchecked:
        return f"Its answers were not compared with the default's: {found.unchecked}."
    if found.worst is None:
        return ""
    near = "equal" if not found.worst else f"within {percent(found.worst)} of the outputs' scale"
    text = (
        f"Its answers to {found.samples} sample{'s' * (found.samples != 1)} are the default's, "
        f"{near} (allowed for {found.precision}: {percent(found.tolerance)})"
    )
    if found.top1 is not None:
        text += f", with the same class on top in {percent(found.top1)} of them"
    return f"{text}.{_weak(found)}"


def _weak(found: Accuracy) -> str:
    """Say that samples that are all answered alike show little; "" where they are not."""
    if found.spread is None or found.spread > found.tolerance:
        return ""
    return (
        f" But the default's own answers to these samples differ by {percent(found.spread)} only, "
        "which says little of how answers follow the input: compare on real samples (--input-data)."
    )
