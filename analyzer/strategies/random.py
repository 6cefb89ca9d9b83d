"""Random search: candidates by lot. What any other search has to beat.

Owns nothing but the lot. All loads are as likely as all settings, so nearly each question is a
reload.
"""

from __future__ import annotations

import random

from analyzer.space import Candidate, Space, Value
from analyzer.strategy import Asked, Early, Problem, Script, Scripted

#: so many measurements where nobody says how many
TRIALS = 30


def make(problem: Problem) -> Scripted:
    """Make the strategy; it ends at the budget of measurements."""
    return Scripted(_search(problem))


def _search(problem: Problem) -> Script:
    dice, room = random.Random(problem.seed), problem.space  # noqa: S311 - no secret
    limit = TRIALS if problem.max_trials is None else problem.max_trials
    drawn = min(limit, len(room))
    for place in dice.sample(range(len(room)), drawn):
        # What comes of one changes nothing about the others.
        yield Early(Asked(_at(room, place), None))
    return f"{drawn} of {len(room)} candidates were drawn"


def _at(space: Space, place: int) -> Candidate:
    """Return the candidate at a place of the space's own order, without listing the others."""
    values: dict[str, Value] = {}
    for each in reversed(space.dimensions):
        place, at = divmod(place, len(each.values))
        values[each.name] = each.values[at]
    return Candidate.of(**values)
