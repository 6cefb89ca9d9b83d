"""Laws of the journal: what is written is read, and every prefix of the file opens."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.single_rows import head

from analyzer.record.accuracy import Accuracy, Compared
from analyzer.record.journal import Journal, read
from analyzer.record.row import (
    Failure,
    LoadSpec,
    Phase,
    Row,
    Trial,
    Why,
    line_to_row,
    row_to_line,
)
from analyzer.space import Candidate
from analyzer.statistics.estimate import Estimate

_text = st.text(max_size=12)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_metrics = st.dictionaries(_text, _numbers, max_size=3)
_candidates = st.dictionaries(
    st.text(min_size=1, max_size=6), st.integers() | st.booleans() | _numbers | _text, max_size=3
).map(lambda items: Candidate(tuple(sorted(items.items()))))
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | _numbers | _text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_text, inner, max_size=2),
    max_leaves=4,
)
_rows = st.builds(
    Row,
    number=st.integers(0, 10**6),
    taken_at=_text,
    seconds=_numbers,
    model=_text,
    variant=_text,
    digest=_text,
    trial=st.builds(
        Trial,
        candidate=_candidates,
        phase=st.sampled_from(Phase),
        repetition=st.integers(0, 9),
        why=st.none() | st.builds(Why, _text, st.dictionaries(_text, _numbers, max_size=2)),
    ),
    load=st.builds(
        LoadSpec,
        protocol=_text,
        concurrency=st.integers(1, 9),
        request_rate=st.floats(0, 1e6),
        window_seconds=_numbers,
        headers=st.lists(st.tuples(_text, _text), max_size=2).map(tuple),
    ),
    stable=st.booleans(),
    metrics=_metrics,
    window_rates=st.lists(_numbers, max_size=3).map(tuple),
    requests=st.integers(0, 99),
    gpus=st.dictionaries(_text, _metrics, max_size=2),
    settings=st.dictionaries(_text, _plain, max_size=2),
    config=_text,
    runtime=st.dictionaries(_text, _text, max_size=2),
    absent=st.dictionaries(_text, _text, max_size=2),
    remarks=st.lists(_text, max_size=2).map(tuple),
    server=st.dictionaries(_text, _numbers, max_size=1),
    estimates=st.dictionaries(
        _text,
        st.builds(
            Estimate,
            value=_numbers,
            low=_numbers,
            high=st.one_of(_numbers, st.just(float("inf"))),
            certified=st.booleans(),
        ),
        max_size=2,
    ),
    histogram=_text,
    goodput=st.dictionaries(_text, _plain, max_size=2),
    series=st.dictionaries(_text, st.lists(st.none() | _numbers, max_size=1), max_size=1),
    failure=st.none() | st.builds(Failure, stage=_text, message=_text),
    accuracy=st.none()
    | st.builds(
        Accuracy,
        key=_text,
        samples=st.integers(0, 9),
        outputs=st.dictionaries(
            _text,
            st.builds(Compared, error=st.none() | _numbers, top1=st.none() | _numbers, fault=_text),
            max_size=2,
        ),
        spread=st.none() | _numbers,
        unchecked=_text,
    ),
)


@given(_rows)
def test_a_row_is_one_line_and_reads_back_as_itself(row: Row) -> None:
    line = row_to_line(row)
    assert "\n" not in line
    assert line.isascii()
    assert line_to_row(line) == row
    assert line_to_row(line).trial.why == row.trial.why


@settings(max_examples=10, deadline=None)
@given(st.lists(_rows, max_size=3), st.data())
def test_every_prefix_opens_with_the_rows_that_are_whole_in_it_and_can_go_on(
    rows: list[Row], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        ends = []
        with Journal.create(path, head()) as journal:
            ends.append(path.stat().st_size)
            for row in rows:
                journal.append(row)
                ends.append(path.stat().st_size)
        whole = path.read_bytes()
        cuts = {*range(math.ceil(len(whole) / 15), len(whole), math.ceil(len(whole) / 15))}
        cuts |= {near for end in ends for near in (end - 2, end - 1, end, end + 1)}
        cuts |= {0, data.draw(st.integers(0, len(whole)))}
        for cut in sorted(cut for cut in cuts if cut <= len(whole)):
            path.write_bytes(whole[:cut])
            # A row is whole when its closing brace is there; the line end may be missing.
            complete = [row for row, end in zip(rows, ends[1:], strict=True) if end - 1 <= cut]
            inside = cut > ends[0] and cut not in {*ends, *(end - 1 for end in ends)}
            with Journal.resume(path, head()) as journal:
                assert journal.rows == tuple(complete)
                assert len(journal.torn) == inside
                journal.append(_NEXT)
            again = read(path)
            assert again.rows == (*complete, _NEXT)
            assert again.torn == ()


_NEXT = Row(
    number=99,
    taken_at="",
    seconds=1.0,
    model="m",
    variant="v",
    digest="d",
    trial=Trial(candidate=Candidate(())),
    load=LoadSpec(),
)
