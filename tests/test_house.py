"""The house rules that a program can check: sizes, names, tests without mocks and sleeps."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN_WORDS = {
    "manager", "handler", "helper", "util", "utils", "factory", "base", "common", "data", "info",
    "process",
}  # fmt: skip
# Words that Triton, the V2 protocol or a library we must name brings along.
ALLOWED_NAMES = {"process_time", "data_received", "data_type", "data_file", "data", "cpu_info"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_stay_below_their_ceiling() -> None:
    ceilings = {"engine": 600, "analyzer": 600, "tests": 800}
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for folder, ceiling in ceilings.items()
        for path in sources(folder)
        if (lines := path.read_text().count("\n")) > ceiling
    ]
    assert not long


def test_functions_stay_below_fifty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length(node)}"
        for path in sources("engine", "analyzer")
        for node in functions(path)
        if length(node) > 50
        # A command's options are its signature: their count is the product's, not the code's.
        and path.name != "cli.py"
    ]
    assert not long


def test_modules_and_classes_own_something_that_has_a_name() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("engine", "analyzer")
        for name in [
            path.stem,
            *(n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)),
        ]
        if FORBIDDEN_WORDS & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name)}
        and name not in ALLOWED_NAMES
    ]
    assert not named


@pytest.mark.parametrize("pattern", [r"\bMagicMock\b", r"\bmonkeypatch\b", r"\bsleep\("])
def test_tests_use_real_classes_and_wait_on_conditions(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("tests")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources("engine", "analyzer")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_path_of_a_machine_is_in_the_repository() -> None:
    pattern = "(/wor[k]/|/roo[t]/|/hom[e]/[a-z])"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode > 1:
        pytest.skip("not a git checkout")
    assert found.stdout == ""
