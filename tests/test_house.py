"""The house rules that a program can check: sizes, names, tests without mocks and sleeps."""

import ast
import re
import subprocess
from dataclasses import dataclass
from functools import cache
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


@dataclass(frozen=True)
class Outline:
    """What the rules ask of a module: what it says of itself, and what it has."""

    docstring: str | None
    classes: tuple[str, ...]
    functions: tuple[tuple[str, int, int], ...]  # name, line, length


@cache  # parsing all of them takes seconds, and three tests ask
def outlines() -> dict[Path, Outline]:
    return {path: outline(ast.parse(path.read_text())) for path in sources("engine", "analyzer")}


def outline(module: ast.Module) -> Outline:
    nodes = list(ast.walk(module))
    return Outline(
        ast.get_docstring(module),
        tuple(node.name for node in nodes if isinstance(node, ast.ClassDef)),
        tuple(
            (node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ),
    )


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
        f"{path.relative_to(ROOT)}:{line} {name}: {length}"
        for path, module in outlines().items()
        for name, line, length in module.functions
        if length > 50
        # A command's options are its signature: their count is the product's, not the code's.
        and path.name != "cli.py"
    ]
    assert not long


def test_modules_and_classes_own_something_that_has_a_name() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, module in outlines().items()
        for name in (path.stem, *module.classes)
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
        str(path.relative_to(ROOT)) for path, module in outlines().items() if not module.docstring
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
