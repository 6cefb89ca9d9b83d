"""The laws of records: joining keeps every one, in order; cutting keeps what lies between."""

import struct
from enum import Enum

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.chunk import LAYOUT
from analyzer.load.records import RECORD, Records


class Keep(Enum):
    """Whether a record's responses are kept one by one."""

    TIMES = "no"
    RESPONSES = "yes"


TEXTS = ("refused", "lost", "late")
ends = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 3), st.integers(0, 3)), max_size=20)

keeps = st.sampled_from(Keep)


def records(drawn: list[tuple[int, int, int]], *, keep: Keep, texts: tuple[str, ...]) -> Records:
    """Each drawn: when it ended, its error's code, how many responses it had."""
    drawn = sorted(drawn)
    array = np.zeros(len(drawn), dtype=RECORD)
    array["last"] = [last for last, _, _ in drawn]
    array["error"] = [code for _, code, _ in drawn]
    array["responses"] = counts = [count for _, _, count in drawn]
    if keep is Keep.TIMES:
        return Records(array, texts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    moments = [last + each for last, _, count in drawn for each in range(count)]
    return Records(array, texts, np.array(moments, dtype=np.int64), offsets)


def plain(found: Records) -> list[tuple[int, str, list[int]]]:
    return [
        (int(found.array["last"][at]), found.error_of(at), found.responses_of(at).tolist())
        for at in range(len(found))
    ]


@given(st.lists(ends, max_size=4), keeps, st.permutations(TEXTS))
def test_joining_keeps_every_record_with_its_error_and_responses(
    drawn: list[list[tuple[int, int, int]]], keep: Keep, texts: list[str]
) -> None:
    parts = [
        records(part, keep=keep, texts=TEXTS if index % 2 else tuple(texts))
        for index, part in enumerate(drawn)
    ]
    joined = Records.joined(parts)
    assert sorted(plain(joined)) == sorted(one for part in parts for one in plain(part))
    assert np.all(np.diff(joined.array["last"]) >= 0)


@given(ends, keeps, st.integers(0, 1000), st.integers(0, 1000))
def test_between_two_moments_are_those_that_ended_after_the_first(
    drawn: list[tuple[int, int, int]], keep: Keep, start: int, length: int
) -> None:
    whole = records(drawn, keep=keep, texts=TEXTS)
    inside = [one for one in plain(whole) if start < one[0] <= start + length]
    assert plain(whole.between(start, start + length)) == inside


def test_a_packed_record_is_the_record() -> None:
    packed = struct.pack(LAYOUT, 1, 3, 4, 6, 11, 2**63, -1, 8, 9)
    (read,) = np.frombuffer(packed, dtype=RECORD)
    assert read.tolist() == (1, 3, 4, 6, 11, 2**63, -1, 8, 9)
    array = np.frombuffer(packed, dtype=RECORD)
    one = Records(array)
    assert (one.latency_ns[0], one.service_ns[0], one.lag_ns[0]) == (10, 8, 2)
