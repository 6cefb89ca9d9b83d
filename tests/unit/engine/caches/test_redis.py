"""The cache in a Redis server: it keeps responses whole, and its failures fail nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from support.fake_redis import redis_server
from support.heard import heard
from support.tensors import tensors

from engine.cache import Kept, find
from engine.caches.redis import AWAY_NS, Redis, open_cache, pack, read, unpack
from engine.clock import ManualClock
from engine.errors import InvalidArgument
from engine.types import Tensor
from engine.v2.binary import encode

pytestmark = pytest.mark.triton("11.4")
PARAMETERS = st.dictionaries(
    st.text(max_size=5), st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)
)
KEPT = st.builds(
    Kept,
    st.lists(tensors(), max_size=3).map(tuple),
    PARAMETERS,
)


def same(one: Tensor, other: Tensor) -> bool:
    return (one.name, one.dtype, one.array.shape, bytes(encode(one))) == (
        other.name,
        other.dtype,
        other.array.shape,
        bytes(encode(other)),
    )


def alike(one: Kept | None, other: Kept) -> bool:
    return (
        one is not None
        and one.parameters == other.parameters
        and len(one.outputs) == len(other.outputs)
        and all(map(same, one.outputs, other.outputs))
    )


@given(KEPT)
def test_a_response_comes_back_as_it_went(kept: Kept) -> None:
    assert alike(unpack(pack(kept)), kept)


@given(KEPT, st.data())
def test_what_was_cut_or_added_to_is_no_response(kept: Kept, data: st.DataObject) -> None:
    raw = pack(kept)
    assert unpack(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None
    assert unpack(raw + b"x") is None


@given(st.binary(max_size=80))
def test_bytes_of_anybody_are_never_an_error(raw: bytes) -> None:
    assert unpack(raw) is None


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main, 20))


def opened(port: int, clock: ManualClock, **more: str) -> Redis:
    settings = {"host": "127.0.0.1", "port": str(port), **more}
    cache = find("redis")(settings, clock)
    assert isinstance(cache, Redis)
    return cache


async def look_up(cache: Redis, key: bytes) -> Kept | None:
    answer: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
    cache.lookup(key, answer.set_result)
    return await answer


async def settle(cache: Redis, key: bytes) -> Kept:
    """Look up until it is there: an insertion is not waited for."""
    while (kept := await look_up(cache, key)) is None:
        pass
    return kept


NUMBERS = Kept((), {"n": 1})


def test_what_one_server_keeps_another_finds() -> None:
    async def main() -> None:
        async with redis_server("secret") as fake:
            clock = ManualClock()
            one = opened(fake.port, clock, password="secret", db="3")
            other = opened(fake.port, clock, password="secret", user="me", db="3")
            assert await look_up(one, b"k") is None
            one.insert(b"k", NUMBERS)
            assert alike(await settle(other, b"k"), NUMBERS)
            assert (b"SELECT", b"3") in fake.commands
            assert {(b"AUTH", b"secret"), (b"AUTH", b"me", b"secret")} <= set(fake.commands)
            assert list(fake.kept) == [b"servetune:k"]
            fake.kept[b"servetune:k"] = b"of somebody else"
            assert await look_up(one, b"k") is None
            await one.close()
            await other.close()

    run(main())


@pytest.mark.parametrize("how", ["stall", "fail", "hang up", "wrong password", "nobody"])
def test_a_server_that_does_not_answer_is_a_miss_then_left_alone_for_a_while(how: str) -> None:
    async def main() -> None:
        async with redis_server("secret") as fake:
            clock = ManualClock()
            with socket.create_server(("127.0.0.1", 0)) as taken:
                unused = taken.getsockname()[1]
            cache = opened(
                unused if how == "nobody" else fake.port,
                clock,
                password="guess" if how == "wrong password" else "secret",
                socket_timeout="50",
            )
            fake.stall = how == "stall"
            fake.fail = "OOM command not allowed" if how == "fail" else ""
            with heard() as lines:
                asked = asyncio.ensure_future(look_up(cache, b"k"))
                while how == "hang up" and not asked.done():
                    fake.stall = True
                    fake.hang_up()
                    await asyncio.wait([asked], timeout=0.01)
                assert await asked is None
                commands = len(fake.commands)
                assert await look_up(cache, b"k") is None
                cache.insert(b"k", NUMBERS)
                assert len(fake.commands) == commands, "it is not asked while it is away"
                (line,) = lines
                assert line.startswith("WARNING The response cache at 127.0.0.1:")
            fake.stall, fake.fail = False, ""
            clock.advance(AWAY_NS)
            if how in {"stall", "fail", "hang up"}:
                cache.insert(b"k", NUMBERS)
                assert alike(await settle(cache, b"k"), NUMBERS)
            await cache.close()

    run(main())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "host is missing"),
        ({"host": "h", "size": "5"}, "unknown setting 'size'"),
        ({"host": "h", "port": "x"}, "port=x: expected a whole number"),
        ({"host": "h", "tls_enabled": "perhaps"}, "expected true or false"),
    ],
)
def test_what_is_wrong_with_its_settings_is_said(settings: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        open_cache(settings, ManualClock())


def test_settings_have_tritons_names_and_units_and_secrets_may_be_in_the_environment() -> None:
    environment = {"TRITONCACHE_REDIS_USERNAME": "u", "TRITONCACHE_REDIS_PASSWORD": "p"}
    got = read({"host": "h", "socket_timeout": "250", "connect_timeout": "0"}, environment)
    assert (got["host"], got["port"], got["db"]) == ("h", 6379, 0)
    assert (got["username"], got["password"]) == ("u", "p")
    assert (got["socket_timeout"], got["socket_connect_timeout"]) == (0.25, None)
    assert read({"host": "h", "user": "me"}, environment)["username"] == "me"
