"""A measurement's reason in plain words, with what is predicted of it. Pure."""

from __future__ import annotations

from analyzer.metrics import BY_TAG
from analyzer.record.row import Why
from analyzer.search.thinking import Thought

#: beliefs that count on something they are surer of than this look for more of the same
_SURE = 0.08


def because(thought: Thought, place: int, *, other_load: bool, step: bool = False) -> Why:
    """Say why the candidate at ``place`` is asked for: by the belief that expects most of it.

    ``other_load``: it is the best setting so far, under another load. ``step``: it is asked for
    because it is a step away from the best.
    """
    opinion = max(
        thought.opinions, key=lambda each: each.say * float(each.worth.improvement[place])
    )
    belief, worth, sheet = opinion.belief, opinion.worth, thought.sheet
    gain, chance = float(worth.improvement[place]), float(worth.feasible[place])
    values = {tag: float(belief.mean[tag][place]) for tag in sheet.tags}
    unsure = {tag: float(belief.sd[tag][place]) for tag in sheet.tags}
    in_flight = float(thought.in_flight[place])
    predicted = {tag: sheet.metric(tag, values, in_flight) for tag in sheet.metrics}
    bands = []
    for tag, value in predicted.items():
        band, metric = sheet.band(tag, unsure), BY_TAG[tag]
        bands.append(
            f"{metric.title} {value:.4g} {metric.unit} ({value / band:.4g} to {value * band:.4g})"
        )
    known = max(unsure.values()) < _SURE
    text = "to go on from what is known to be good" if known else "to learn what is not known yet"
    if step:
        text = "a step away from the best so far, to make sure that nothing beside it is better"
    elif other_load:
        text = "the best setting so far under another load"
    text += f": {gain:.1%} are expected to be gained, by {belief.name}"
    if bands:
        text += f" (predicted: {', '.join(bands)})"
    if sheet.goal.constraints:
        text += f"; the constraints hold with a chance of {chance:.0%}"
    return Why(text, predicted)
