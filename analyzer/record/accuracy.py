"""How near a variant's answers came to the default's: a value, and its JSON, both ways. Pure.

Owns the form that the journal keeps. How answers are compared, and what is near enough, is
``accuracy``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: below this share a difference is not told to the digit
_LEAST = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One output, compared over all samples.

    ``error`` is the greatest difference of two elements as a share of the output's scale, the
    greatest element of the default's; of what is no floating point number, the share of elements
    that differ. None: not comparable, and ``fault`` says why. ``cosine`` is the least cosine
    similarity of a sample. Of an output that gives each sample a score by class, ``top1`` is the
    share of samples with the same class on top, and ``lost`` the greatest lead, as a share of the
    scale, that the default's class had where another won; None of other outputs.
    """

    error: float | None
    cosine: float | None = None
    top1: float | None = None
    lost: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What came of comparing a variant's answers with the default's.

    ``key`` is that of all variants that answer alike. ``precision`` is the one whose ``tolerance``
    was applied, of both sides the looser. ``spread`` is how far the default's answers to different
    samples lie apart, as a share of the scale (None: there is one sample, or none).
    ``fault`` says why the variant is out, "" if it is not; ``unchecked`` why nothing was compared.
    """

    key: str
    precision: str = "FP32"
    tolerance: float = 0.0
    samples: int = 0
    outputs: Mapping[str, Compared] = field(default_factory=dict)
    spread: float | None = None
    fault: str = ""
    unchecked: str = ""

    @property
    def worst(self) -> float | None:
        """The greatest error of all outputs; None where one cannot be compared, or none was."""
        errors = [each.error for each in self.outputs.values()]
        known = [each for each in errors if each is not None]
        return max(known) if known and len(known) == len(errors) else None

    @property
    def top1(self) -> float | None:
        """The least agreement of all outputs that have classes; None where none has."""
        known = [each.top1 for each in self.outputs.values() if each.top1 is not None]
        return min(known, default=None)


def percent(share: float) -> str:
    """Spell a share with two digits, down to what matters: ``0.41%``."""
    if 0 < share < _LEAST:
        return f"<{_LEAST:.2%}"
    return f"{share * 100:.2g}%" if share < 1 else f"{share * 100:,.0f}%"


def plain(found: Accuracy) -> dict[str, Any]:
    """Spell it in JSON's types."""
    return asdict(found)


def read(plain: Mapping[str, Any]) -> Accuracy:
    """Read what ``plain`` made.

    Raises:
        TypeError: it is none.
    """
    outputs = {name: Compared(**one) for name, one in plain.get("outputs", {}).items()}
    return Accuracy(**{**plain, "outputs": outputs})
