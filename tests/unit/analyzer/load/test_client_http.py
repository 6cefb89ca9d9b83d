"""The HTTP client against a server whose every byte is scripted: what it makes of answers."""

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from support.scripted_http import Script, answer, scripted

from analyzer.errors import LoadError
from analyzer.load.client_http import BUFFER_BYTES, DROPPED, KNOWN, SPARE, HttpClient
from analyzer.load.sockets import resolve

GOOD = answer(b"x" * 100)


class Ear:
    """Hears of every outcome, and sends the next request on the same slot at once."""

    def __init__(self, wanted: int, message: bytes) -> None:
        self.wanted = wanted
        self.message = message
        self.client: HttpClient
        self.outcomes: list[tuple[int, ...]] = []
        self.errors: list[str | None] = []
        self.reason = ""

    def finished(
        self,
        slot: int,
        planned: int,
        began: int,
        sent: int,
        first: int,
        last: int,
        error: str | None = None,
        responses: int = 1,
    ) -> None:
        self.outcomes.append((planned, began, sent, first, last))
        self.errors.append(error)
        assert responses == 1
        if len(self.outcomes) < self.wanted:
            self.client.send(slot, self.message, last)

    def broken(self, reason: str) -> None:
        self.reason = reason

    def hear(self) -> None:
        until = time.monotonic_ns() + 10 * 10**9
        while len(self.outcomes) < self.wanted and not self.reason:
            assert time.monotonic_ns() < until
            self.client.wait(until)


def ask(script: Script, wanted: int = 3, body: bytes = b"hello", slots: int = 1) -> Ear:
    """Send so many requests one after another."""
    with scripted(script) as port:
        ear = Ear(wanted, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        ear.client = HttpClient(resolve("127.0.0.1", port), slots, ear)
        ear.client.open(1)
        try:
            ear.client.send(0, ear.message, time.monotonic_ns())
            ear.hear()
        finally:
            ear.client.close()
    return ear


def test_the_times_of_a_request_are_in_order_and_follow_one_another() -> None:
    ear = ask(lambda _, __: [GOOD], 20)
    assert ear.errors == [None] * 20
    for times in ear.outcomes:
        assert list(times) == sorted(times)
    assert all(after[0] == before[4] for before, after in pairwise(ear.outcomes))


def test_an_answer_in_pieces_is_one_answer() -> None:
    def script(number: int, _: bytes) -> Sequence[bytes]:
        step = (1, 7, 40, 64, 1000)[number % 5]
        return [GOOD[at : at + step] for at in range(0, len(GOOD), step)]

    ear = ask(script, 30)
    assert ear.errors == [None] * 30


def test_answers_of_all_lengths_are_told_apart() -> None:
    ear = ask(lambda number, _: [answer(b"y" * (number * 37 % 301))], 200)
    assert ear.errors == [None] * 200


def test_a_large_answer_and_a_large_request_go_through() -> None:
    seen: list[int] = []

    def script(_: int, body: bytes) -> Sequence[bytes]:
        seen.append(len(body))
        return [answer(b"z" * (5 * BUFFER_BYTES))]

    ear = ask(script, 5, body=b"q" * (1 << 23))
    assert ear.errors == [None] * 5
    assert seen == [1 << 23] * 5
    for times in ear.outcomes:
        assert list(times) == sorted(times)
        assert times[4] > times[3]


def test_a_chunked_answer_ends_with_its_last_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ear = ask(lambda _, __: [head, b"5\r\nhello\r\n", b"0\r\n\r\n"], 5)
    assert ear.errors == [None] * 5


def test_heads_that_are_never_the_same_are_read_one_by_one() -> None:
    ear = ask(lambda number, _: [answer(b"a", head=f"X-Id: {number:05}\r\n")], 3 * KNOWN)
    assert ear.errors == [None] * (3 * KNOWN)


def test_a_failure_is_its_text_even_behind_a_success_of_the_same_length() -> None:
    bad = answer(b'{"error": "it is unwell"}', "503 Service Unavailable")
    good = answer(b"", head="X: " + "-" * (len(bad) - len(answer(b"")) - 6) + "\r\n")
    good += b"" * (len(bad) - len(good))
    ear = ask(lambda number, _: [bad if number % 2 == 0 else good], 8)
    assert ear.errors == [None, "HTTP 503: it is unwell"] * 4


def test_a_connection_that_ends_fails_its_request_and_no_other() -> None:
    def script(number: int, _: bytes) -> Sequence[bytes | None]:
        return {2: [None], 4: [GOOD[:20], None], 6: [GOOD, None]}.get(number, [GOOD])

    ear = ask(script, 8)
    assert [error is not None for error in ear.errors][:6] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    assert all(error is None or error.startswith(DROPPED) for error in ear.errors)
    assert ear.errors[-1] is None


def test_a_server_that_closes_after_each_is_connected_to_again() -> None:
    last = answer(b"x", head="Connection: close\r\n")
    ear = ask(lambda _, __: [last, None], 10)
    assert ear.errors == [None] * 10


def test_more_than_was_announced_is_an_error() -> None:
    long = answer(b"z" * (2 * BUFFER_BYTES))
    ear = ask(lambda number, _: [long if number < 3 else long + b"more"], 3)
    assert ear.errors[:2] == [None, None]


def test_what_is_no_http_is_said() -> None:
    ear = ask(lambda _, __: [b"220 mail.example ready\r\n"], 1)
    assert ear.errors[0] is not None
    assert ear.errors[0].startswith("the answer is not HTTP: ")


def test_that_nothing_listens_any_more_is_said() -> None:
    ear = Ear(1, b"")
    with scripted(lambda _, __: [GOOD]) as port:
        place = resolve("127.0.0.1", port)
    ear.client = HttpClient(place, 1, ear)
    with pytest.raises(LoadError, match=rf"cannot connect to 127\.0\.0\.1:{port}: .*REFUSED"):
        ear.client.open(1)
    ear.client.send(0, b"", 0)
    ear.hear()
    assert ear.reason.startswith("cannot connect to ")
    ear.client.close()


def test_connections_are_opened_ahead_of_their_need() -> None:
    with scripted(lambda _, __: [GOOD]) as port:
        ear = Ear(2, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        ear.client = HttpClient(resolve("127.0.0.1", port), 100, ear, prompt=True)
        ear.client.open(2)
        assert ear.client.opened == 2
        ear.client.send(0, ear.message, time.monotonic_ns())
        assert ear.client.opened == 3
        ear.client.send(50, ear.message, time.monotonic_ns())
        ear.hear()
        assert set(ear.errors) == {None}
        assert ear.client.opened <= 50 + SPARE
        ear.client.close()


def test_a_prompt_wait_ends_in_time() -> None:
    """Within a millisecond of its time at best, where epoll's own timeout would round up."""
    with scripted(lambda _, __: [GOOD]) as port:
        ear = Ear(1, b"")
        ear.client = HttpClient(resolve("127.0.0.1", port), 1, ear, prompt=True)
        late = []
        for _ in range(50):
            until = time.monotonic_ns() + 300_000
            ear.client.wait(until)
            late.append(time.monotonic_ns() - until)
        ear.client.close()
    assert min(late) >= 0
    assert min(late) < 500_000
