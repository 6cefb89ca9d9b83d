"""The templates travel in the wheel: installed elsewhere, run from /, a report is rendered.

The wheel is built from the checkout and installed into a fresh environment. What servetune
depends on is lent to it by the environment that runs the tests, so nothing is downloaded.
"""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from support import rows as made

from analyzer.record.row import head_to_line, row_to_line

pytest.importorskip("hatchling", reason="building the wheel takes hatchling")

ROOT = Path(__file__).parents[2]
RENDER = """
import sys
from pathlib import Path
import analyzer
from analyzer import report
from analyzer.ranking.goal import parse_goal
from analyzer.record.row import line_to_head, line_to_row
from analyzer.report.render import templates

head, *rows = Path(sys.argv[1]).read_text().splitlines()
written = report.write(
    line_to_head(head), [line_to_row(row) for row in rows], parse_goal(), Path(sys.argv[2])
)
print(analyzer.__file__, templates(), written[0], sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_packages_and_the_templates_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "analyzer/report/templates/summary.html.j2" in names
    assert "analyzer/report/summary.schema.json" in names
    assert "engine/backends/native/include/servetune_backend.h" in names
    assert "engine/backends/native/include/servetune_backend.hpp" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "analyzer",
        "engine",
    }


def test_installed_elsewhere_and_run_from_the_root_a_report_is_rendered(
    wheel: Path, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False)
    (packages,) = (fresh / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(packages)
    # A path in a .pth file is searched after the packages installed here, and the .pth files
    # in it (such as an editable servetune's) are not followed.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    journal = tmp_path / "journal.jsonl"
    lines = [head_to_line(made.head()), *(row_to_line(row) for row in made.resnet50())]
    journal.write_text("\n".join(lines) + "\n")
    python, out = str(fresh / "bin" / "python"), tmp_path / "out"
    said = run(python, "-I", "-c", RENDER, str(journal), str(out), cwd=Path("/"))
    package, templates, written = said.splitlines()
    assert Path(package).is_relative_to(packages)
    assert Path(templates) == packages / "analyzer" / "report" / "templates"
    assert "better than the default" in Path(written).read_text()
