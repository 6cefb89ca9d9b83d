"""The page that compares the flags says what the command line does."""

from support.perf_flags import PAGE, page

from analyzer.perf.flags import FLAGS


def test_the_table_of_flags_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run scripts/perf-flags"
    assert all(f"`{flag.spellings[0]}" in text for flag in FLAGS)
