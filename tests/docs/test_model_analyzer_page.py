"""The page on Model Analyzer's files says what the reader of them does."""

import re
from pathlib import Path

from support.config_keys import PAGE, page

from analyzer.config.load import load_options


def test_the_tables_of_options_are_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run scripts/config-keys"


def test_the_files_that_it_shows_can_be_read(tmp_path: Path) -> None:
    files = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert files
    for text in files:
        file = tmp_path / "shown.yaml"
        file.write_text(text)
        assert load_options(file, {})
