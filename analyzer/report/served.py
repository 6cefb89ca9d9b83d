"""What was served: a configuration's config.pbtxt, and how it differs from the default's. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from analyzer.ranking.rank import Standing
from analyzer.record.row import Row
from analyzer.report import tables, wording
from analyzer.report.evidence import Evidence, of

_CONTEXT = 2
#: so many configuration files are shown whole; those of the chosen and the default one always
_MOST_FILES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One configuration's config.pbtxt, and how it differs from the default's.

    ``diff`` holds (sign, text) lines, the sign being ``+``, ``-`` or a space; () for the
    default itself, or where there is no default to compare with. ``config`` is "" where only the
    difference is shown.
    """

    label: str
    role: str
    setup: str
    config: str
    diff: tuple[tuple[str, str], ...]


def every(evidence: Evidence) -> tuple[Served | None, ...]:
    """Return each configuration in the order of rank, the whole file of the best ones only.

    None where what was served is not known.
    """
    found: list[Served | None] = []
    for place, each in enumerate(evidence.standings):
        served = of_standing(evidence, each)
        whole = place < _MOST_FILES or each.is_default or of(evidence.chosen, each.best)
        if served is not None and served.diff and not whole:
            served = replace(served, config="")
        found.append(served)
    return tuple(found)


def of_standing(evidence: Evidence, standing: Standing | None) -> Served | None:
    """Return what was served of a configuration; None where that is not known."""
    if standing is None or not standing.best.configs:
        return None
    return one(evidence, standing.best, standing.variant)


def one(evidence: Evidence, row: Row, variant: str) -> Served:
    """Return what was served in a measurement of ``variant``, against the default."""
    default = evidence.default
    compared = default is not None and not of(default, row)
    return Served(
        label=wording.short(variant, evidence.model),
        role=tables.role(evidence, row),
        setup=wording.setup(row.settings),
        config=text(row),
        diff=diff(text(default.best), text(row)) if default is not None and compared else (),
    )


def text(row: Row) -> str:
    """Return the files that were served, those of several models one below the other."""
    texts = row.configs
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"# {name}/config.pbtxt\n{config}" for name, config in texts.items())


def diff(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """Return the changed lines with a little around them, as (sign, line): ``+``, ``-`` or space.

    Gaps are a line of ``…``. () where there is nothing to compare with.
    """
    if not before:
        return ()
    lines: list[tuple[str, str]] = []
    old, new = before.splitlines(), after.splitlines()
    for number, group in enumerate(
        difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes(_CONTEXT)
    ):
        if number or group[0][1]:
            lines.append((" ", "…"))
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                lines += [(" ", line) for line in old[i1:i2]]
            else:
                lines += [("-", line) for line in old[i1:i2]]
                lines += [("+", line) for line in new[j1:j2]]
    return tuple(lines)
