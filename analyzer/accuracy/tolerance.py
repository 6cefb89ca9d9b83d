"""What is near enough, by precision, and whether a variant keeps to it. Pure.

Rules:

1. The tolerance bounds each output's error, a share of its scale. It is that of the looser
   precision of the two that are compared: a model in INT8 is no exact reference.
2. Same sums in another order, or by other algorithms (Winograd's), differ by 1e-6 to 1e-4 of the
   scale in FP32: 1e-3 is a mistake. With each tensor rounded to the precision, on random inputs,
   ResNet-50 (seeded weights), a trained classifier of PP-OCR and its text recogniser were off by
   0.4, 3 and 10 % in BF16 and by 0.06, 0.3 and 1 % in FP16, and ResNet-50 by 3 % in INT8; so 5, 2
   and 10 % let pass what a precision costs a classifier, and refuse what changes a score by more.
3. The cosine similarity of each sample may fall short of 1 by a tenth of the tolerance.
4. Another class may win only where the default's own was ahead by no more than the tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.record.accuracy import Compared, percent
from analyzer.space import PRECISIONS

DEFAULTS: Mapping[str, float] = {"FP32": 1e-3, "FP16": 2e-2, "BF16": 5e-2, "INT8": 1e-1}
#: stands for every precision in what a user says
ALL = ""
#: of what the tolerance leaves to the cosine similarity
_COSINE = 0.1


def tolerance(given: Mapping[str, float], *precisions: str | None) -> tuple[str, float]:
    """Return the loosest of some precisions, None being a file's own, and its tolerance.

    ``given`` are the user's, by precision, or under "" for all.
    """
    known = [each for each in precisions if each in PRECISIONS] or ["FP32"]
    every = {each: given.get(each, given.get(ALL, DEFAULTS[each])) for each in known}
    return max(every.items(), key=lambda item: (item[1], PRECISIONS.index(item[0])))


def fault(outputs: Mapping[str, Compared], precision: str, allowed: float) -> str:
    """Say which outputs are not near enough, and by which figures; "" where all are."""
    wrong = [
        f"output {name!r} {why}" for name, one in outputs.items() if (why := _why(one, allowed))
    ]
    if not wrong:
        return ""
    return (
        f"its answers are not the default's: {'; '.join(wrong)} (tolerance for {precision}:"
        f" {percent(allowed)} of an output's scale; --accuracy-tolerance sets another)"
    )


def _why(one: Compared, allowed: float) -> str:
    if one.error is None:
        return one.fault
    found = []
    if one.error > allowed:
        found.append(
            f"is off by up to {percent(one.error)} of its scale"
            if one.cosine is not None
            else f"differs in {percent(one.error)} of its elements"
        )
    if one.cosine is not None and one.cosine < 1.0 - _COSINE * allowed:
        found.append(
            f"has a cosine similarity of {one.cosine:.6g}, below {1 - _COSINE * allowed:g}"
        )
    if one.lost is not None and one.lost > allowed:
        found.append(
            f"has another class on top in {percent(1.0 - (one.top1 or 0.0))} of the samples, where"
            f" the default's led by up to {percent(one.lost)} of the scale"
        )
    return " and ".join(found)
