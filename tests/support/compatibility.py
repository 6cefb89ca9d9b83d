"""Which rows of Triton are kept, and by which tests: read, judged, and written down.

Rows stand in ``conformance/rows.toml``; tests carry ``@pytest.mark.triton("<row>", ...)``, on
functions, or as ``pytestmark`` of a module. Marks are read out of the source text, so that the page
can be made without running anything.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROWS = TESTS / "conformance" / "rows.toml"
PAGE = TESTS.parent / "docs" / "triton-compatibility.md"
LEVELS = {"M": "must", "S": "should", "C": "could"}
#: So many tests of a row are named; the others are counted.
NAMED = 3
MARK = "triton"

HEAD = """\
# What of Triton is kept

Made by `scripts/compatibility` out of `tests/conformance/rows.toml` and the marks of the tests; a
test fails when it is stale. *Must*, *should* and *could* say how much Triton's users need a row. A
row is kept when tests show it; the others say why they are not yet.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that Triton does."""

    id: str
    section: str
    level: str
    what: str
    later: str


def rows(file: Path = ROWS) -> tuple[Row, ...]:
    """Read the rows, in the file's order."""
    sections = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(
        Row(name, section, entry["level"], entry["what"], entry.get("later", ""))
        for section, entries in sections.items()
        for name, entry in entries.items()
    )


def marks(folder: Path = TESTS) -> Mapping[str, tuple[str, ...]]:
    """Find, for every row that is marked, the tests that show it (path::name)."""
    found: dict[str, set[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if MARK not in text:  # most have none, and parsing takes its time
            continue
        for test, names in _of(ast.parse(text), file.relative_to(folder.parent).as_posix()):
            for name in names:
                found.setdefault(name, set()).add(test)
    return {name: tuple(sorted(tests)) for name, tests in found.items()}


def _of(tree: ast.Module, path: str) -> Iterator[tuple[str, Sequence[str]]]:
    everywhere: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
        ):
            everywhere += [name for call in ast.walk(node.value) for name in _rows_of(call)]
    for owner, node in _tests(tree, ""):
        names = [name for mark in node.decorator_list for name in _rows_of(mark)]
        if names or everywhere:
            yield f"{path}::{owner}{node.name}", [*everywhere, *names]


def _tests(
    tree: ast.Module | ast.ClassDef, owner: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _tests(node, f"{owner}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test"
        ):
            yield owner, node


def _rows_of(node: ast.AST) -> Iterator[str]:
    """Name the rows of one ``pytest.mark.triton(...)``."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == MARK
    ):
        for argument in node.args:
            assert isinstance(argument, ast.Constant), "rows are written out"
            yield str(argument.value)


def problems(listed: Sequence[Row], shown: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Say what is wrong: rows without a test or a reason, with both, and marks of no row."""
    known = {row.id for row in listed}
    wrong = [f"row {name} is marked by {tests[0]} and listed nowhere"
             for name, tests in shown.items() if name not in known]  # fmt: skip
    for row in listed:
        if row.level not in LEVELS:
            wrong.append(f"row {row.id}: no such level {row.level!r}")
        if row.id in shown and row.later:
            wrong.append(f"row {row.id} is shown by {shown[row.id][0]}, so remove its `later`")
        if row.id not in shown and not row.later:
            wrong.append(f"row {row.id} has neither a test nor a reason why not yet")
    return wrong


def page(listed: Sequence[Row], shown: Mapping[str, tuple[str, ...]]) -> str:
    """Write the page."""
    lines = [HEAD]
    for level, word in LEVELS.items():
        of = [row for row in listed if row.level == level]
        kept = sum(row.id in shown for row in of)
        lines.append(f"- *{word}*: {kept} of {len(of)} rows")
    for section in dict.fromkeys(row.section for row in listed):
        lines += ["", f"## {section}", "", "| row | | what | shown by, or why not yet |"]
        lines.append("|---|---|---|---|")
        for row in listed:
            if row.section == section:
                tests = shown.get(row.id, ())
                said = _tests_named(tests) if tests else f"*not yet*: {row.later}"
                lines.append(f"| {row.id} | {LEVELS[row.level]} | {row.what} | {said} |")
    return "\n".join(lines) + "\n"


def _tests_named(tests: tuple[str, ...]) -> str:
    named = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests[:NAMED])
    rest = len(tests) - NAMED
    return f"{named}<br>and {rest} more" if rest > 0 else named


def main() -> int:
    """Write the page where it belongs; say what is wrong."""
    listed, shown = rows(), marks()
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(listed, shown), encoding="utf-8")
    wrong = problems(listed, shown)
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
