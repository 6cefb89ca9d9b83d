"""How many requests to leave out because the server was not warm yet. Pure.

MSER-5 (White, Cobb and Spratt, 2000) over means of five latencies: leave out as many as make the
mean of the rest best known. By itself it would cut off a stall in the first half, with all that was
before it, and so flatter a server that stalls: only what differs from the rest from the very first
request on is warm-up. A server needs some requests in any case: at least 50, and as many as finish
within two median latencies.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIVE = 5
LEAST_REQUESTS = 50
#: how a window has to differ from the rest: robust standard deviations, and share of the middle
_APART, _NOTICEABLE = 4.0, 0.1
#: the windows in which the beginning is looked at
_WINDOWS = 400

Times = npt.NDArray[np.int64]


def warm_up(latency_ns: Times, done_ns: Times, least: int = LEAST_REQUESTS) -> int:
    """Return how many of n requests, in the order of their ends, to leave out at the front.

    At ``least`` so many, and as many as rule says; with 0, only what differs from the rest.

    Never more than half: what has not settled by then does not settle, and says so elsewhere.
    """
    count = len(latency_ns)
    batches = count // FIVE
    if batches < 2:  # noqa: PLR2004 - nothing to tell apart
        return 0
    means = latency_ns[: batches * FIVE].reshape(batches, FIVE).mean(axis=1)
    cut = _mser(means)
    apart = min(cut, _different(means, cut)) * FIVE
    twice = done_ns[0] + 2 * float(np.median(latency_ns))
    least = max(least, int(np.searchsorted(done_ns, twice))) if least else 0
    return min(max(apart, least), count // 2)


def _mser(means: npt.NDArray[np.float64]) -> int:
    """Return how many means to leave out so that the rest's mean has the least standard error."""
    apart = means[::-1] - means.mean()
    left = np.arange(1, len(means) + 1)
    squares = np.cumsum(apart**2) - np.cumsum(apart) ** 2 / left
    error = (squares / left**2)[::-1]
    return int(np.argmin(error[: len(means) // 2 + 1]))


def _different(means: npt.NDArray[np.float64], cut: int) -> int:
    """Return how many means go by until two windows running look like those after the cut."""
    size = max(1, len(means) // _WINDOWS)
    windows = means[: len(means) // size * size].reshape(-1, size).mean(axis=1)
    rest = windows[cut // size :]
    middle = float(np.median(rest))
    usual = 1.4826 * float(np.median(np.abs(rest - middle)))
    alike = np.abs(windows - middle) <= max(_APART * usual, _NOTICEABLE * middle)
    both = np.flatnonzero(alike[:-1] & alike[1:])
    return int(both[0]) * size if len(both) else len(means)
