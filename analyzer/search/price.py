"""What each candidate's measurement costs, beside what it is worth. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from analyzer.record.outcome import Outcome
from analyzer.search.gp import Floats
from analyzer.search.thinking import Thought
from analyzer.space import Candidate

#: what launching costs beside measuring while nobody has seen it, and the most that it counts for
_LAUNCH_SHARE, _MOST_SHARE = 0.5, 5.0
#: latencies that a measurement takes beside its time: requests are drained at its end
_WAITS = 1.0
#: a mean latency, in times of a measurement, beyond which too few are answered for a rate
_LONGEST_WAIT = 0.5
#: how much the cost counts: 0 not at all, 1 in proportion
_COST_COUNTS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A thought with costs, in times of a measurement, of each candidate that is left.

    ``bearable`` are those under whose load enough requests are answered for a rate; all, where none
    is.
    """

    thought: Thought
    costs: Floats
    bearable: npt.NDArray[np.bool_]

    def best(self, worth: Floats, among: Sequence[int] | None = None) -> int:
        """Return the number, in what is left, of the one of most worth for what it costs.

        ``among`` are the numbers that ``worth`` is of, at least one; None: all that are left.
        """
        numbers = np.arange(len(self.costs)) if among is None else np.array(among)
        weighed = np.where(
            self.bearable[numbers], worth / self.costs[numbers] ** _COST_COUNTS, -1.0
        )
        return int(numbers[int(np.argmax(weighed))])


def priced(
    outcomes: Sequence[Outcome], thought: Thought, setting: Callable[[Candidate], Candidate]
) -> Priced:
    """Price what is left: ``setting`` takes the load from a candidate.

    What has to be launched takes longer; so does a load of which each request waits for longer than
    a measurement is long.
    """
    rows = [each.row for each in outcomes if each.row is not None]
    good = [row.seconds - row.launch_seconds for row in rows if row.failure is None]
    takes = median(good) if good else None
    launches = [row.launch_seconds for row in rows if row.launch_seconds > 0]
    share = _LAUNCH_SHARE
    if launches and takes:
        share = min(median(launches) / max(takes, 1e-3), _MOST_SHARE)
    up = setting(outcomes[-1].candidate)
    left = [thought.candidates[place] for place in thought.left]
    costs = np.array([1.0 if setting(each) == up else 1.0 + share for each in left])
    bearable = np.ones(len(left), bool)
    if takes and (latency := thought.latency) is not None:
        waits = latency[list(thought.left)] / takes
        costs += np.minimum(_WAITS * waits, _MOST_SHARE)
        if (waits <= _LONGEST_WAIT).any():
            bearable = waits <= _LONGEST_WAIT
    return Priced(thought=thought, costs=costs, bearable=bearable)
