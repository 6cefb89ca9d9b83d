"""The sizes of pools, and who may join: Triton's own examples (docs/user_guide/rate_limiter.md)."""

from __future__ import annotations

import pytest

from engine.errors import InvalidArgument
from engine.modelconfig.schema import RateLimiter as Asked
from engine.modelconfig.schema import Resource
from engine.ratelimit import Needs, RateLimiter, Seat, needs
from engine.sharing import rate_limit_resources


def granted(seat: Seat) -> int:
    """Take all that is to be had, and count it."""
    seat.want()
    taken = 0
    while seat.take() is not None:
        taken += 1
    return taken


def test_an_instance_needs_resources_of_its_device_and_the_cpu_is_device_0() -> None:
    asked = Asked(
        resources=(Resource(name="R1", count=4), Resource(name="R2", count=1, is_global=True)),
        priority=3,
    )
    assert needs(asked, None) == Needs({("R1", 0): 4, ("R2", None): 1}, 3)
    assert needs(asked, 2) == Needs({("R1", 2): 4, ("R2", None): 1}, 3)


def test_no_priority_is_priority_one_and_no_limiter_needs_nothing() -> None:
    assert needs(Asked(), 0) == Needs({}, 1)
    assert needs(None, 1) == Needs({}, 1)


def test_a_pool_is_what_the_most_demanding_instance_needs() -> None:
    limiter = RateLimiter()
    small = limiter.join([Needs({("R1", 0): 1})] * 9)
    assert granted(small) == 1
    limiter.join([Needs({("R1", 0): 4})])
    assert granted(small) == 3, "one runs already"


def test_pools_are_of_a_device_of_every_device_or_global() -> None:
    limits = rate_limit_resources(["R1:10", "R2:5:0", "R2:8:1", "R3:2"])
    limiter = RateLimiter(limits)
    seats = {
        place: limiter.join([Needs({place: 1})] * 12)
        for place in (("R1", 0), ("R1", 1), ("R2", 0), ("R2", 1), ("R3", None))
    }
    assert {place: granted(seat) for place, seat in seats.items()} == {
        ("R1", 0): 10,
        ("R1", 1): 10,
        ("R2", 0): 5,
        ("R2", 1): 8,
        ("R3", None): 2,
    }


def test_what_is_given_for_one_device_is_not_there_for_another() -> None:
    limiter = RateLimiter(rate_limit_resources(["R1:5:1"]))
    with pytest.raises(InvalidArgument, match='"R1" is limited to 0 which will prevent'):
        limiter.join([Needs({("R1", 0): 1})])


def test_who_may_not_join_changes_nothing() -> None:
    limiter = RateLimiter({("R1", None): 2})
    seat = limiter.join([Needs({("R1", 0): 1})] * 3)
    for wrong in (Needs({("R1", 0): 3}), Needs({("R9", 0): 1}), Needs({("R1", None): 1})):
        with pytest.raises(InvalidArgument):
            limiter.join([wrong])
    assert granted(seat) == 2


def test_a_pool_shrinks_when_who_needed_it_leaves_and_never_takes_back_what_runs() -> None:
    limiter = RateLimiter()
    large, small = limiter.join([Needs({("R1", 0): 3})]), limiter.join([Needs({("R1", 0): 1})] * 3)
    assert granted(small) == 3
    large.leave()
    for instance in range(2):
        small.release(instance)
        assert small.take() is None, "what is left is more than there may be, or just that"
    small.release(2)
    assert small.take() is not None
    large.leave()


def test_a_model_that_leaves_while_it_waits_is_forgotten() -> None:
    limiter = RateLimiter()
    one, other = (limiter.join([Needs({("R1", 0): 1})]) for _ in range(2))
    assert granted(one) == 1
    assert granted(other) == 0
    other.leave()
    one.release(0)
    assert granted(one) == 1
