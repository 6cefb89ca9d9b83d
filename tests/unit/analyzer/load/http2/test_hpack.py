"""HPACK: the examples of RFC 7541's appendix C, and its own spelling read back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.http2.hpack import HpackError, Spelled, decode, resized, unpack

FIELDS = st.lists(
    st.tuples(st.text("abcxyz-:", min_size=1, max_size=20), st.text(max_size=300)), max_size=8
)


def test_the_rfcs_huffman_coded_request() -> None:
    block = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
    assert decode(block) == (
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"),
    )  # fmt: skip


def test_the_rfcs_huffman_coded_response() -> None:
    block = bytes.fromhex(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
        "0b97c8e9ae82ae43d3"
    )
    assert decode(block) == (
        (":status", "302"), ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("location", "https://www.example.com"),
    )  # fmt: skip


@given(FIELDS)
def test_what_is_spelled_is_read(fields: list[tuple[str, str]]) -> None:
    spelled = Spelled.of(fields)
    assert decode(spelled.plain) == decode(resized(0) + spelled.first) == tuple(fields)


def test_what_was_taught_is_referred_to_in_one_byte_each() -> None:
    spelled = Spelled.of([(":method", "POST"), ("te", "trailers"), ("a", "b")])
    # Static entry 3; then the table's second newest (63) and its newest (62).
    assert spelled.later == bytes([0x80 | 3, 0x80 | 63, 0x80 | 62])
    assert spelled.size == len("te" + "trailers" + "a" + "b") + 2 * 32


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\xbe", "header 62 of a table that was to have none"),
        (b"\x80", "header 0"),
        (b"\x00\x05ab", "ends too early"),
        (b"\x00", "ends too early"),
        (b"\x7f", "ends too early"),
        (b"\x00\x01a\x81\x00", "Huffman"),
    ],
)
def test_what_cannot_be_read_is_said(block: bytes, why: str) -> None:
    with pytest.raises(HpackError, match=why):
        decode(block)


@given(st.binary(max_size=60))
def test_nonsense_is_an_error_or_headers(block: bytes) -> None:
    with suppress(HpackError):
        assert all(isinstance(name, str) for name, _ in decode(block))


def test_a_code_with_an_end_in_it_is_none() -> None:
    with pytest.raises(HpackError, match="an end in it"):
        unpack(b"\xff\xff\xff\xff")
