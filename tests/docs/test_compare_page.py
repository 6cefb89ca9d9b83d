"""docs/compare.md: its commands are run as they stand, and it lists the keys that there are."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import report_pages
from support import rows as made

from analyzer.cli import main

PAGE = (Path(__file__).parent.parent.parent / "docs" / "compare.md").read_text()
(BLOCK,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two runs of resnet50 and one of mobilenet."""
    found = tmp_path_factory.mktemp("page")
    other = replace(made.head(), model="mobilenet")
    rows = [
        replace(row, model="mobilenet", variant=row.variant.replace("resnet50", "mobilenet"))
        for row in made.resnet50()
    ]
    report_pages.results(found / "old" / "resnet50", made.head(), made.resnet50())
    report_pages.results(found / "results" / "resnet50", made.head(), made.resnet50(seed=1))
    report_pages.results(found / "results" / "mobilenet", other, rows)
    with contextlib.chdir(found):
        yield found


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    _, *words = shlex.split(command, comments=True)
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    return out


@pytest.mark.parametrize("command", BLOCK.splitlines())
def test_every_command_does_what_it_is_shown_for(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(command, capsys)
    if "--format md" in command:
        assert out.startswith("## ")
    else:
        assert out.splitlines()[-1] == "results/comparison.html"
        assert (folder / "results" / "comparison.html").is_file()


def test_the_keys_of_the_json_form_are_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.is_dir()
    plain = json.loads(run("analyze compare old/resnet50 results/resnet50 --format json", capsys))
    keys = {*plain, *plain["runs"][0], *plain["changes"][0], *plain["changes"][0]["metrics"][0],
            *plain["shared"][0]}  # fmt: skip
    listed = PAGE.partition("## JSON")[2]
    assert {key for key in keys if f"`{key}`" not in listed} == set()
