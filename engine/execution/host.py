"""What the models of one server share: cores, GPUs, rate limiter, response cache, each other.

Owns the one value that says so. Does not own what any of it means: how cores are dealt out is
``plan``'s, how threads are pinned ``pinning``'s, whose turn it is ``engine.ratelimit``'s, what is
kept ``engine.cache``'s, how models call each other ``engine.inside``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.cache import Cache
from engine.inside import Inside
from engine.metering import Metering
from engine.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine, as far as models share it.

    ``policies`` give, for the name of a host policy, the cores that its instances' threads may
    run on. Without a ``limiter`` (``--rate-limit=off``) resources and priorities mean nothing.
    ``cache`` keeps responses of the models that ask for it; ``metering`` is what is measured
    beside counts. ``inside`` is the way to the other models, where there is one. ``gpus`` are
    CUDA's numbers of the GPUs that models may use.
    """

    cores: int
    policies: Mapping[str, frozenset[int]] = field(default_factory=dict)
    limiter: RateLimiter | None = None
    cache: Cache | None = None
    metering: Metering = field(default_factory=Metering)
    inside: Inside | None = None
    gpus: tuple[int, ...] = ()
