"""One HTTP/2 connection: what the client makes of a server's frames, and what it sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http2_peer import BEGINNING, GOOD_END, Frame, Peer, answer, begin, data, end

from analyzer.load.http2 import frames
from analyzer.load.http2.connection import CLOSING, CUT, FRAME_BYTES, Connection, NotHttp2
from analyzer.load.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, NUMBER
from analyzer.load.http2.grpc import call_headers
from analyzer.load.http2.hpack import Spelled, decode, resized

MESSAGE = b"\0\0\0\0\x05hello"


def test_nothing_is_asked_before_the_settings_are_there() -> None:
    client = Connection(call_headers("/m", "h"))
    assert not client.ready
    assert client.room == 0
    client.receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 3}), 1)
    assert client.ready
    assert client.room == 3


def test_the_server_may_send_without_bound_and_keep_no_table() -> None:
    peer = Peer()
    assert peer.announced[frames.HEADER_TABLE_SIZE] == 0
    assert peer.announced[frames.INITIAL_WINDOW_SIZE] == frames.GREATEST_WINDOW


def test_a_call_is_its_headers_and_its_message() -> None:
    peer = Peer()
    stream = peer.client.call(7, MESSAGE)
    head, body = peer.sent()
    assert (head.kind, head.flags, head.stream) == (HEADERS, END_HEADERS, 1)
    assert dict(decode(head.payload))[":path"] == "/package.Service/Method"
    assert body == Frame(DATA, END_STREAM, 1, MESSAGE)
    assert peer.say(answer(1, b"x" * 100)) == [stream]
    assert (stream.tag, stream.ended, stream.error) == (7, True, None)
    assert peer.client.streams == {}


def test_calls_after_the_first_refer_to_its_headers() -> None:
    peer = Peer()
    for number in (1, 3, 5):
        peer.client.call(0, MESSAGE)
        head, body = peer.sent()
        assert (head.stream, body.stream, body.payload) == (number, number, MESSAGE)
        assert (len(head.payload) < 10) is (number > 1)


def test_a_server_that_keeps_no_table_gets_every_header_every_time() -> None:
    peer = Peer(HEADER_TABLE_SIZE=0)
    for number in range(3):
        peer.client.call(0, MESSAGE)
        head = peer.sent()[0]
        assert head.payload.startswith(resized(0)) is (number == 0)
        assert dict(decode(head.payload))["te"] == "trailers"


def test_a_server_that_lets_go_of_its_table_is_taught_anew() -> None:
    peer = Peer()
    peer.client.call(0, MESSAGE)
    peer.say(frames.settings({frames.HEADER_TABLE_SIZE: 2000}))
    peer.sent()
    peer.client.call(0, MESSAGE)
    taught = peer.sent()[0].payload
    assert taught.startswith(resized(2000))
    assert dict(decode(taught))["te"] == "trailers"
    peer.client.call(0, MESSAGE)
    assert len(peer.sent()[0].payload) < 10


@given(st.data(), st.lists(st.integers(0, 300_000), min_size=1, max_size=4))
def test_answers_in_any_pieces_are_the_same_answers(
    chosen: st.DataObject, sizes: list[int]
) -> None:
    peer = Peer()
    streams = [peer.client.call(tag, MESSAGE) for tag in range(len(sizes))]
    text = b"".join(
        begin(stream.number)
        + b"".join(
            frames.frame(DATA, 0, stream.number, b"x" * min(FRAME_BYTES, size - at))
            for at in range(0, size, FRAME_BYTES)
        )
        + end(stream.number)
        for stream, size in zip(streams, sizes, strict=True)
    )
    cuts = chosen.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    told = []
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        told += peer.say(text[start:stop])
    assert told == streams
    assert all(stream.ended and stream.error is None and stream.first for stream in streams)


@given(st.integers(5, 200_000), st.integers(5_000, 70_000), st.integers(16_384, 40_000))
def test_no_more_is_sent_than_the_windows_allow(size: int, step: int, frame: int) -> None:
    peer = Peer(MAX_FRAME_SIZE=frame, INITIAL_WINDOW_SIZE=50_000)
    message = bytes(size)
    stream = peer.client.call(0, message)
    allowed, got = 50_000, b""
    whole = 65_535
    while True:
        sent = [each for each in peer.sent() if each.kind == DATA]
        assert all(len(each.payload) <= frame for each in sent)
        got += b"".join(each.payload for each in sent)
        assert len(got) <= min(allowed, whole)
        if stream.sent:
            break
        allowed, whole = allowed + step, whole + step
        peer.say(frames.window_update(1, step) + frames.window_update(0, step))
    assert got == message
    assert sent[-1].flags == END_STREAM


def test_calls_that_wait_for_the_window_go_in_turn() -> None:
    peer = Peer()
    first, second = (peer.client.call(tag, bytes(60_000)) for tag in range(2))
    assert {number: len(body) for number, body in peer.bodies().items()} == {1: 60_000, 3: 5_535}
    assert first.sent
    assert not second.sent
    third = peer.client.call(2, MESSAGE)
    peer.say(frames.window_update(0, 100_000))
    assert {number: len(body) for number, body in peer.bodies().items()} == {3: 54_465, 5: 10}
    assert second.sent
    assert third.sent


def test_an_answer_before_the_whole_request_ends_it() -> None:
    peer = Peer()
    stream = peer.client.call(0, bytes(100_000))
    peer.sent()
    block = Spelled.of(
        [(":status", "200"), ("grpc-status", "8"), ("grpc-message", "too%20large")]
    ).plain
    assert peer.say(end(1, block)) == [stream]
    assert stream.error == "gRPC RESOURCE_EXHAUSTED: too large"
    assert peer.sent() == [Frame(frames.RST_STREAM, 0, 1, NUMBER.pack(frames.CANCEL))]
    peer.say(frames.window_update(0, 100_000))
    assert peer.bodies() == {}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("grpc-status", "3"), ("grpc-message", "the model ate it")],
         "gRPC INVALID_ARGUMENT: the model ate it"),
        ([("grpc-status", "13"), ("grpc-message", "100%25 %C3%A4%zz")], "gRPC INTERNAL: 100% ä%zz"),
        ([("grpc-status", "99")], "gRPC 99: "),
        ([(":status", "200")], "gRPC UNKNOWN: the answer ended without a status"),
        ([(":status", "404")], "gRPC UNIMPLEMENTED: HTTP status 404"),
        ([(":status", "503")], "gRPC UNAVAILABLE: HTTP status 503"),
    ],
)  # fmt: skip
def test_failures_are_told_in_their_words(fields: list[tuple[str, str]], text: str) -> None:
    peer = Peer()
    stream = peer.client.call(0, MESSAGE)
    peer.say(end(1, Spelled.of(fields).plain))
    assert stream.error == text


def test_an_answer_that_is_not_grpcs_is_told_though_it_ends_well() -> None:
    peer = Peer()
    stream = peer.client.call(0, MESSAGE)
    peer.say(frames.frame(HEADERS, END_HEADERS, 1, Spelled.of([(":status", "502")]).plain))
    assert peer.say(frames.frame(DATA, END_STREAM, 1, b"Bad gateway")) == [stream]
    assert stream.error == "gRPC UNAVAILABLE: HTTP status 502"


def test_an_answer_without_a_status_is_a_failure() -> None:
    peer = Peer()
    stream = peer.client.call(0, MESSAGE)
    peer.say(begin(1) + frames.frame(DATA, END_STREAM, 1, b""))
    assert stream.error == CUT


def test_a_reset_stream_is_a_failure_of_its_own() -> None:
    peer = Peer()
    one, other = peer.client.call(0, MESSAGE), peer.client.call(1, MESSAGE)
    assert peer.say(frames.reset(1, frames.REFUSED_STREAM)) == [one]
    assert one.error == "gRPC UNAVAILABLE: the server reset the stream (HTTP/2 error 7)"
    assert peer.say(answer(3, b"fine")) == [other]
    assert other.error is None


def test_a_server_that_goes_away_answers_what_it_began() -> None:
    peer = Peer()
    one, other = peer.client.call(0, MESSAGE), peer.client.call(1, MESSAGE)
    assert peer.say(frames.frame(frames.GOAWAY, 0, 0, NUMBER.pack(1) + NUMBER.pack(0))) == [other]
    assert other.error == CLOSING
    assert peer.client.closing
    assert peer.client.room == 0
    peer.say(answer(1, b"fine"))
    assert (one.ended, one.error) == (True, None)


def test_a_ping_is_answered_with_its_own_words() -> None:
    peer = Peer()
    peer.say(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert peer.sent() == [Frame(frames.PING, frames.ACK, 0, b"12345678")]
    peer.say(frames.frame(frames.PING, frames.ACK, 0, b"12345678"))
    assert peer.sent() == []


def test_headers_in_pieces_and_with_padding_are_headers() -> None:
    peer = Peer()
    stream = peer.client.call(0, MESSAGE)
    padded = bytes([3]) + bytes(5) + BEGINNING + bytes(3)
    peer.say(
        frames.frame(HEADERS, END_HEADERS | frames.PADDED | frames.WITH_PRIORITY, 1, padded)
        + frames.frame(DATA, frames.PADDED, 1, b"\x02" + MESSAGE + bytes(2))
    )
    told = peer.say(
        frames.frame(HEADERS, END_STREAM, 1, GOOD_END[:4])
        + frames.frame(frames.CONTINUATION, END_HEADERS, 1, GOOD_END[4:])
    )
    assert told == [stream]
    assert stream.error is None


def test_a_streams_messages_are_kept_in_order() -> None:
    peer = Peer()
    stream = peer.client.stream(4)
    peer.client.write(stream, MESSAGE)
    peer.client.write(stream, MESSAGE)
    assert peer.bodies() == {1: MESSAGE * 2}
    assert peer.say(begin(1) + data(1, b"one", b"two")) == [stream]
    assert stream.messages == [b"one", b"two"]
    stream.messages = []
    text = data(1, b"three") + end(1)
    for at in range(len(text)):
        peer.say(text[at : at + 1])
    assert stream.messages == [b"three"]
    assert (stream.ended, stream.error) == (True, None)


def test_of_a_call_whose_answer_is_kept_only_the_end_is_told() -> None:
    peer = Peer()
    stream = peer.client.call(0, MESSAGE, keep=True)
    assert peer.say(begin(1) + data(1, b"one")) == []
    assert peer.say(end(1)) == [stream]
    other = peer.client.call(0, MESSAGE, keep=True)
    assert peer.say(answer(3, b"two")) == [other]
    assert (stream.messages, other.messages) == ([b"one"], [b"two"])


def test_windows_are_opened_anew_when_they_are_half_used() -> None:
    peer = Peer(window=100_000)
    assert peer.announced[frames.INITIAL_WINDOW_SIZE] == 100_000
    stream = peer.client.stream(0)
    peer.sent()
    for _ in range(5):
        peer.say(data(1, bytes(9_995)))
    assert peer.sent() == []
    peer.say(data(1, bytes(9_995)))
    updates = {each.stream: NUMBER.unpack(each.payload)[0] for each in peer.sent()}
    assert updates == {0: 60_000, 1: 60_000}
    assert len(stream.messages) == 6


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of"),
        (frames.frame(HEADERS, END_HEADERS, 1, b"\xbe"), "a table that was to have none"),
        (frames.frame(frames.CONTINUATION, END_HEADERS, 1, b""), "the continuation of no headers"),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, b"\0"), "too short"),
        (frames.frame(frames.PUSH_PROMISE, 0, 1, b""), "a promise to push"),
    ],
)
def test_what_is_not_http2_is_said(said: bytes, why: str) -> None:
    peer = Peer()
    peer.client.call(0, MESSAGE)
    with pytest.raises(NotHttp2, match=why):
        peer.say(said)
