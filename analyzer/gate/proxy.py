"""What does not vary, or hardly: memory and counters, compared pair by pair with a tolerance. Pure.

Two runs of one program read as many bytes and run as many batches, so a percent more shows at once,
where a clock needs twenty pairs to see five. What differs from pair to pair nevertheless is not
decided here: it is judged by its interval then, as times are (``sequential``).
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.gate.quantities import COUNTERS, quantity
from analyzer.gate.values import Gate, Verdict

#: as many launches have to say the same
FEWEST = 2
#: what a counter may rise by where nobody says otherwise
TOLERANCE = 0.01
#: ratios are of floating point
_ROUNDING = 1e-12


def unanimous(worsenings: Sequence[float], tolerance: float) -> Verdict | None:
    """Return what every launch says; None where they disagree, or are fewer than two."""
    if len(worsenings) < FEWEST:
        return None
    within = {worsening <= tolerance + _ROUNDING for worsening in worsenings}
    if len(within) > 1:
        return None
    return Verdict.PASS if within.pop() else Verdict.FAIL


def gates(measured: Sequence[str], tolerance: float = TOLERANCE) -> tuple[Gate, ...]:
    """Return a gate for every counter that was measured (``Block.counts``' names)."""
    return tuple(
        Gate(quantity=quantity(name), change=tolerance) for name in COUNTERS if name in measured
    )
