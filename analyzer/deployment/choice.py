"""Which configuration goes into production. Pure.

Rules:

1. It is the one that the profile recommends, which ``analyze apply`` and ``engine serve --chosen``
   take as well: the best that was found; but the default where a verification did not prove it
   better.
2. How sure that is, is said with it. It is proven if it was verified to be better than the default,
   or keeps constraints that the default breaks.
3. Who names a configuration has it, and is told what is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from analyzer.deployment.values import Choice
from analyzer.errors import NothingMeasured, UsageError
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, gain, rank, recommended
from analyzer.ranking.repeats import identity
from analyzer.record.row import Row
from analyzer.terminal import gain_words


def choose(rows: Sequence[Row], goal: Goal, wanted: str | None = None, where: str = "") -> Choice:
    """Choose what is exported; ``wanted`` is a configuration's name, ``where`` the journal's.

    Raises:
        NothingMeasured: nothing was measured, so there is nothing to choose from.
        UsageError: the configuration that is wanted was not measured.
    """
    standings = rank(rows, goal)
    winner = recommended(rows, goal)
    if winner is None:
        raise NothingMeasured(f"{where}: holds no measurement that succeeded")
    default = next((each for each in standings if each.is_default), None)
    if wanted is not None:
        chosen = _named(wanted, standings, where)
        other = "" if chosen.digest == winner.digest else f" The profile chose {winner.variant}."
        claim = f"{chosen.variant} was asked for by name.{other} {gain_words(rows, goal, winner)}"
        return _choice(chosen, rows, claim, proven=False)
    words = gain_words(rows, goal, winner)
    if winner.is_default:
        return _choice(winner, rows, f"The default configuration. {words}", proven=False)
    if default is None:
        claim = f"The best of what was measured, {winner.variant}. {words}"
        return _choice(winner, rows, claim, proven=False)
    if winner.satisfies and not default.satisfies:
        claim = f"{winner.variant} keeps the constraints, which the default does not. {words}"
        return _choice(winner, rows, claim, proven=True)
    found = gain(rows, goal)
    if found is not None and found.proven and found.pairs:
        return _choice(winner, rows, f"{winner.variant}: {words}", proven=True)
    claim = f"{winner.variant}, the best that was found, is not verified to be better. {words}"
    return _choice(winner, rows, claim, proven=False)


def _named(wanted: str, standings: Sequence[Standing], where: str) -> Standing:
    """Find a variant by a name; equal configurations are one, whatever they are called."""
    for each in standings:
        if wanted in {each.variant, *(row.variant for row in each.rows)}:
            return each
    names = [each.variant for each in standings]
    near = get_close_matches(wanted, names, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there: {', '.join(names)}"
    raise UsageError(f"{where}: no configuration {wanted!r} was measured; {advice}")


def _choice(standing: Standing, rows: Sequence[Row], claim: str, *, proven: bool) -> Choice:
    own = [row for row in rows if row.failure is None and identity(row) == identity(standing.best)]
    return Choice(
        variant=standing.variant,
        is_default=standing.is_default,
        proven=proven,
        claim=claim.strip(),
        row=standing.best,
        rows=tuple(own),
    )
