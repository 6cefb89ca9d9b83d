"""The page that says what of Triton is kept tells the truth."""

from pathlib import Path

from support.compatibility import PAGE, Row, marks, page, problems, rows


def test_every_row_has_a_test_or_a_reason_and_no_test_marks_a_row_that_is_none() -> None:
    assert problems(rows(), marks()) == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(rows(), marks()), "run scripts/compatibility"


def test_a_missing_test_a_needless_reason_and_a_stray_mark_are_found() -> None:
    listed = (
        Row("1", "a", "M", "shown", ""),
        Row("2", "a", "M", "neither", ""),
        Row("3", "a", "S", "both", "later"),
        Row("4", "a", "X", "not yet", "later"),
    )
    found = problems(listed, {"1": ("t",), "3": ("t",), "9": ("t",)})
    assert [line.split(" ")[1].rstrip(":") for line in found] == ["9", "2", "3", "4"]


def test_marks_are_found_on_functions_in_classes_and_for_whole_modules(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_one.py").write_text(
        'pytestmark = [pytest.mark.triton("1")]\n'
        '@pytest.mark.triton("2", "3")\ndef test_a(): ...\n'
        'class TestB:\n    @pytest.mark.triton("2")\n    async def test_c(self): ...\n'
        "def not_a_test(): ...\n"
    )
    assert marks(tests) == {
        "1": ("tests/test_one.py::TestB::test_c", "tests/test_one.py::test_a"),
        "2": ("tests/test_one.py::TestB::test_c", "tests/test_one.py::test_a"),
        "3": ("tests/test_one.py::test_a",),
    }
