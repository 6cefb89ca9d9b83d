"""How many requests to leave out because the server was not warm yet. Pure.

MSER-5 (White, Cobb and Spratt, 2000) over means of five latencies: leave out as many as make the
mean of the rest best known. A server needs some requests in any case: at least 50, and as many as
finished within two mean latencies.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIVE = 5
LEAST_REQUESTS = 50


def warm_up(latency_ns: npt.NDArray[np.int64]) -> int:
    """Return how many of n requests, in the order of their ends, to leave out at the front.

    Never more than half: what has not settled by then does not settle, and says so elsewhere.
    """
    count = len(latency_ns)
    batches = count // FIVE
    if batches < 2:  # noqa: PLR2004 - nothing to tell apart
        return 0
    means = latency_ns[: batches * FIVE].reshape(batches, FIVE).mean(axis=1)
    return min(max(_mser(means) * FIVE, LEAST_REQUESTS), count // 2)


def _mser(means: npt.NDArray[np.float64]) -> int:
    """Return how many means to leave out so that the rest's mean has the least standard error."""
    apart = means[::-1] - means.mean()
    left = np.arange(1, len(means) + 1)
    squares = np.cumsum(apart**2) - np.cumsum(apart) ** 2 / left
    error = (squares / left**2)[::-1]
    return int(np.argmin(error[: len(means) // 2 + 1]))
