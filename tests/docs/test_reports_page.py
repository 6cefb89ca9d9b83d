"""docs/reports.md: its commands are run as they stand, over a made journal; its file is read."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import rows as made

from analyzer import reporting
from analyzer.cli import main
from analyzer.record.journal import Journal
from analyzer.reporting import Asked
from analyzer.workspace import Workspace

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reports.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for language, text in BLOCKS if not language for line in text.splitlines()
    if line.startswith("analyze ")
]  # fmt: skip
#: what formats are written by
PACKAGES = {"parquet": "pyarrow", "png": "matplotlib"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with results of resnet50, and with the file that the page names."""
    found = tmp_path_factory.mktemp("page")
    place = Workspace(found / "results" / "resnet50")
    place.root.mkdir(parents=True)
    with Journal.create(place.journal, made.head()) as journal:
        for row in made.resnet50():
            journal.append(row)
    (found / "perf.yaml").write_text("profile_models: resnet50\noutput_formats: csv\n")
    with contextlib.chdir(found):
        yield found


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_every_command_does_what_it_is_shown_for(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *words = shlex.split(command.partition(" > ")[0], comments=True)
    for form, package in PACKAGES.items():
        if re.search(rf"\b{form}\b", " ".join(words)) and find_spec(package) is None:
            pytest.skip(f"{package} is not installed: servetune[report]")
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert "resnet50" in out
    for path in re.findall(r"^\S+\.(?:html|json|csv|md|parquet|png)$", out, re.MULTILINE):
        assert (folder / path).is_file()


def test_the_file_that_it_shows_is_followed(tmp_path: Path) -> None:
    ((_, text),) = [block for block in BLOCKS if block[0] == "yaml"]
    file = tmp_path / "perf.yaml"
    file.write_text(text)
    assert [plot.name for plot in reporting.files_of(Asked(), file).plots] == [
        "throughput_v_memory"
    ]
