"""What the models of one server share: its cores, by whatever policy, and its rate limiter.

Owns the one value that says so. Does not own what any of it means: how cores are dealt out is
``plan``'s, how threads are pinned ``pinning``'s, whose turn it is ``engine.ratelimit``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.ratelimit import RateLimiter


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine, as far as models share it.

    ``policies`` give, for the name of a host policy, the cores that its instances' threads may
    run on. Without a ``limiter`` (``--rate-limit=off``) resources and priorities mean nothing.
    """

    cores: int
    policies: Mapping[str, frozenset[int]] = field(default_factory=dict)
    limiter: RateLimiter | None = None
