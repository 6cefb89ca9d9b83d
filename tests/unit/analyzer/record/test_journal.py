from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.single_rows import head, row

from analyzer.errors import JournalError
from analyzer.record.journal import Journal, options_digest, read
from analyzer.record.row import Row, line_to_row, row_to_line

ROWS = [row("default", 0, perf_throughput=1.5), row("0", 1, failure="ünfit\nsecond line")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, rows: list[Row]) -> Path:
    with Journal.create(path, head()) as journal:
        for each in rows:
            journal.append(each)
    return path


def test_what_was_appended_is_read_back(path: Path) -> None:
    contents = read(written(path, ROWS))
    assert (contents.head, contents.rows, contents.torn) == (head(), tuple(ROWS), ())
    with Journal.open(path) as journal:
        assert (journal.head, journal.rows, journal.torn) == (head(), tuple(ROWS), ())


def test_a_resumed_journal_goes_on_behind_its_last_row(path: Path) -> None:
    written(path, ROWS[:1])
    with Journal.resume(path, head()) as journal:
        assert journal.rows == tuple(ROWS[:1])
        journal.append(ROWS[1])
        assert journal.rows == tuple(ROWS)
    assert read(path).rows == tuple(ROWS)


def test_resume_starts_a_journal_where_there_is_none(path: Path) -> None:
    with Journal.resume(path, head()) as journal:
        journal.append(ROWS[0])
    assert read(path).rows == tuple(ROWS[:1])


def test_a_journal_is_not_created_over_another(path: Path) -> None:
    written(path, ROWS)
    with pytest.raises(JournalError, match="there is a journal already"):
        Journal.create(path, head())
    assert read(path).rows == tuple(ROWS)


def test_other_options_are_refused_and_named(path: Path) -> None:
    written(path, ROWS)
    now = head({"window_seconds": 2.0, "protocol": "grpc"}, "other")
    with pytest.raises(JournalError) as caught:
        Journal.resume(path, now)
    text = caught.value.message
    assert "window_seconds was 1.0 and is now 2.0" in text
    assert "protocol was None and is now 'grpc'" in text
    assert "--fresh" in text
    assert str(path) in text
    Journal.resume(path, head()).close()


def test_a_journal_without_a_row_binds_nobody_to_its_options(path: Path) -> None:
    written(path, [])
    now = head({"window_seconds": 2.0}, "other")
    with Journal.resume(path, now) as journal:
        journal.append(ROWS[0])
    assert read(path).head == now
    assert read(path).rows == tuple(ROWS[:1])


def test_a_torn_last_line_is_reported_and_cut_off_before_the_next_row(path: Path) -> None:
    whole = written(path, ROWS).read_bytes()
    path.write_bytes(whole[:-20])
    with Journal.open(path) as journal:
        assert journal.rows == tuple(ROWS[:1])
        (damage,) = journal.damage
        assert damage.line == 3
        assert whole.decode().splitlines()[2].startswith(journal.torn[0])
        journal.append(ROWS[1])
    assert path.read_bytes() == whole
    assert read(path).torn == ()


def test_a_last_line_that_lost_only_its_end_is_whole(path: Path) -> None:
    whole = written(path, ROWS).read_bytes()
    path.write_bytes(whole[:-1])
    with Journal.open(path) as journal:
        assert (journal.rows, journal.torn) == (tuple(ROWS), ())
        journal.append(ROWS[0])
    assert read(path).rows == (*ROWS, ROWS[0])


@pytest.mark.parametrize(
    "bad",
    [b"{broken", b'{"kind": "row"}', b'{"kind": "row", "trial": []}', b"\xff\xfe", b"[1]", b"null"],
)
def test_a_bad_line_in_the_middle_is_reported_skipped_and_left_alone(
    path: Path, bad: bytes
) -> None:
    first, second, third = written(path, ROWS).read_bytes().splitlines(keepends=True)
    path.write_bytes(first + bad + b"\n" + second + third)
    with Journal.open(path) as journal:
        assert journal.rows == tuple(ROWS)
        assert [each.line for each in journal.damage] == [2]
        journal.append(ROWS[0])
    assert path.read_bytes().startswith(first + bad + b"\n" + second + third)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metrics", 3),
        ("metrics", {"perf_throughput": "fast"}),
        ("window_rates", [None]),
        ("number", "first"),
        ("gpus", {"GPU-1": 2}),
        ("settings", None),
    ],
)
def test_a_row_with_a_field_of_another_kind_is_a_bad_line(
    path: Path, field: str, value: object
) -> None:
    first, second, third = written(path, ROWS).read_text().splitlines(keepends=True)
    broken = json.dumps(json.loads(second) | {field: value})
    path.write_text(f"{first}{broken}\n{third}")
    contents = read(path)
    assert contents.rows == (ROWS[1],)
    assert field in contents.damage[0].reason


def test_a_row_of_before_counters_were_kept_is_read_with_none() -> None:
    now = row_to_line(ROWS[0])
    then = json.loads(now)
    for name in ("absent", "remarks", "server", "series"):
        del then[name]
    assert line_to_row(json.dumps(then)) == line_to_row(now)


def test_a_first_line_with_a_field_of_another_kind_is_no_first_line(path: Path) -> None:
    first, *others = written(path, ROWS).read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(first) | {"command": 3}) + "\n" + "".join(others))
    with pytest.raises(JournalError, match=r"journal\.jsonl:1:.*command is 3"):
        read(path)


def test_a_bad_line_does_not_make_a_whole_last_line_without_its_end_a_torn_one(path: Path) -> None:
    first, second, third = written(path, ROWS).read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"bad\n" + second + third[:-1])
    with Journal.open(path) as journal:
        assert (journal.rows, journal.torn) == (tuple(ROWS), ("bad",))
    assert read(path).rows == tuple(ROWS)


def test_a_journal_whose_first_line_is_bad_says_so(path: Path) -> None:
    path.write_text("{}\n", encoding="utf-8")
    for use in (read, Journal.open):
        with pytest.raises(JournalError, match=r"journal\.jsonl:1: not a head line"):
            use(path)


def test_a_schema_of_the_future_is_refused(path: Path) -> None:
    text = written(path, []).read_text(encoding="utf-8")
    path.write_text(text.replace('"schema": 1', '"schema": 99'), encoding="utf-8")
    with pytest.raises(JournalError, match="schema 99; this version reads 1"):
        read(path)


@pytest.mark.parametrize("rest", [b"", b'{"kind": "he'])
def test_a_file_without_one_whole_line_is_started_over(path: Path, rest: bytes) -> None:
    path.write_bytes(rest)
    with Journal.resume(path, head()) as journal:
        journal.append(ROWS[0])
    assert read(path).rows == tuple(ROWS[:1])


def test_two_profiles_cannot_write_one_journal(path: Path) -> None:
    with Journal.create(path, head()) as first:
        with pytest.raises(JournalError, match="another profile is writing this journal"):
            Journal.open(path)
        with pytest.raises(JournalError, match="another profile is writing this journal"):
            Journal.resume(path, head())
        first.append(ROWS[0])
        assert read(path).rows == tuple(ROWS[:1])
    Journal.open(path).close()


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = Journal.create(path, head())
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="was closed"):
        journal.append(ROWS[0])


def test_places_that_cannot_hold_a_journal_are_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        Journal.create(tmp_path / "missing" / "journal.jsonl", head())
    with pytest.raises(JournalError, match="cannot read the journal: Is a directory"):
        read(tmp_path)
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal.open(tmp_path)


def test_the_digest_tells_options_apart_whatever_their_order() -> None:
    assert options_digest({"a": 1, "b": 2}) == options_digest({"b": 2, "a": 1})
    assert options_digest({"a": 1}) != options_digest({"a": 2})


CHILD = """
import resource, sys
from pathlib import Path
from support.single_rows import head, row
from analyzer.errors import JournalError
from analyzer.record.journal import Journal

if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
with Journal.resume(Path(sys.argv[1]), head()) as journal:
    for number in range(len(journal.rows), 1_000_000):
        try:
            journal.append(row("0", number, failure="x" * (number * 997 % 20_000)))
        except JournalError as error:
            print(error.message)
            sys.exit(3)
        print(number, flush=True)
"""


def child(path: Path, *more: str) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )


def test_no_row_that_append_returned_from_is_lost_to_a_kill(path: Path) -> None:
    last = -1
    for _ in range(3):
        with child(path) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                last = int(line)
                if last % 40 == 39:
                    break
            writer.send_signal(signal.SIGKILL)
            # What it had said before it died counts as well.
            last = max([last, *map(int, writer.stdout.read().split())])
        with Journal.open(path) as journal:
            numbers = [each.number for each in journal.rows]
            assert numbers == list(range(len(numbers)))
            assert last < len(numbers) <= last + 2
            assert len(journal.torn) <= 1


def test_a_full_disk_is_told_and_loses_nothing(path: Path) -> None:
    with child(path, "60000") as writer:
        assert writer.stdout is not None
        *numbers, text = writer.stdout.read().splitlines()
        assert writer.wait(10) == 3
    assert "cannot write: File too large" in text
    assert f"the {len(numbers)} rows in it are safe" in text
    contents = read(path)
    assert len(contents.rows) == len(numbers) > 1
    assert contents.torn == ()
