"""Reading protobuf text with every problem found, not only the first.

Owns: the recovery (a field that protobuf's parser refuses is blanked out and the parser asked
again) and the translation of its messages into what was expected and what was found. Judging
the text stays with protobuf's own parser on the real descriptor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf import text_format

from engine.errors import Problem
from engine.modelconfig.findings import near
from engine.modelconfig.locate import Node, Path, Places, written
from engine.modelconfig.mapping import Message, is_repeated
from engine.modelconfig.messages import DTYPES, nearest_type

_MOST = 100  # a text with more mistakes than this is not a model configuration

_INTEGERS = {"INT32": (-(2**31), 2**31 - 1), "INT64": (-(2**63), 2**63 - 1)} | {
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
}
_EXPECTED = dict.fromkeys(_INTEGERS, "a whole number") | {
    "DOUBLE": "a number",
    "FLOAT": "a number",
    "BOOL": "true or false",
    "STRING": "a string in quotes",
}
_TYPES = {
    1: "DOUBLE",
    2: "FLOAT",
    3: "INT64",
    4: "UINT64",
    5: "INT32",
    8: "BOOL",
    9: "STRING",
    11: "MESSAGE",
    13: "UINT32",
    14: "ENUM",
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text as a message, what was wrong with it, and which fields were left out for it."""

    message: Message
    places: Places
    problems: tuple[Problem, ...] = ()
    blanked: tuple[Path, ...] = ()


def parse(text: str, empty: Message, source: str) -> Parsed:
    """Read ``text`` into a message of the kind of ``empty``."""
    places = Places(text)
    problems: list[Problem] = []
    blanked: list[Path] = []
    current = text
    while len(problems) < _MOST:
        message = type(empty)()
        try:
            text_format.Parse(current, message)
        except text_format.ParseError as fault:
            problem, node = _translate(fault, text, places, empty.DESCRIPTOR, source)
            problems.append(problem)
            if node is None or node.statement[0] >= node.statement[1]:
                return Parsed(type(empty)(), places, tuple(problems), ((),))
            blanked.append(node.path)
            shorter = _blank(current, *node.statement)
            if shorter == current:
                return Parsed(type(empty)(), places, tuple(problems), ((),))
            current = shorter
        else:
            return Parsed(message, places, tuple(problems), tuple(blanked))
    return Parsed(type(empty)(), places, tuple(problems), ((),))


def _blank(text: str, start: int, end: int) -> str:
    """Replace a span by blanks, keeping the lines, and the separator that may follow it."""
    after = re.match(r"\s*[,;]", text[end:])
    if after is not None:
        end += after.end()
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]


def _translate(
    fault: text_format.ParseError, text: str, places: Places, root: Message, source: str
) -> tuple[Problem, Node | None]:
    """Say what protobuf's parser met; the node is None if the text's structure is broken."""
    line, column = fault.GetLine() or 1, fault.GetColumn() or 1
    offset = places.offset(line, column)
    said = re.sub(r"^\d+:\d+ : ", "", str(fault))
    said = re.sub(r"^'.*': ", "", said, flags=re.DOTALL).rstrip(".")
    if not places.whole:
        return _broken(said, offset, text, places, root, source), None
    node = places.at(offset)
    if said.startswith("Couldn't parse string") and (string := _string_before(offset, places)):
        line, column = places.line_column(string.value)
        what = f"{_name(root, string.path)}: a string that is not UTF-8 text"
        return Problem(source, what, line, column, hint="write the text as it is"), string
    if node is None:
        return Problem(source, _plain(said, offset, text), line, column), None
    what, hint, at = _explain(said, node, places, root)
    line, column = places.line_column(at)
    return Problem(source, what, line, column, hint=hint), node


def _string_before(offset: int, places: Places) -> Node | None:
    """Find the string that was just read: protobuf says where it stood after it."""
    strings = [one for one in places.walk() if one.found[:1] in {"'", '"'} and one.end <= offset]
    return max(strings, key=lambda one: one.end, default=None)


def _broken(
    said: str, offset: int, text: str, places: Places, root: Message, source: str
) -> Problem:
    if (bracket := places.unclosed) is not None:
        line, column = places.line_column(bracket.start)
        closing = {"{": "}", "<": ">", "[": "]"}[bracket.text]
        what = f"this {bracket.text!r} is never closed"
        return Problem(source, what, line, column, hint=f"add the missing {closing!r}")
    node = places.at(offset)
    prefix = f"{_name(root, node.path)}: " if node is not None and node.start < offset else ""
    line, column = places.line_column(offset)
    return Problem(source, prefix + _plain(said, offset, text), line, column)


def _plain(said: str, offset: int, text: str) -> str:
    """Put protobuf's words about the text's form in ours."""
    word = re.match(r"\s*([\w.+-]+|\S)", text[offset:])
    found = f"found {word.group(1)!r}" if word is not None else "the text ends"
    if "missing ending quote" in said:
        return "a string without its closing quote"
    if said.startswith("Expected identifier or number"):
        return f"expected a field's name or a value, {found}"
    if (expected := re.match(r'Expected "(.+?)"', said)) is not None:
        return f"expected {expected.group(1)!r}, {found}"
    if said.startswith(("Couldn't parse", "Expected string", "Enum type")):
        return f"expected a value, {found}"
    return f"{said}, {found}"


def _name(root: Message, path: Path) -> str:
    """Write a field's path, counting only what the schema lets occur more than once."""
    shown: list[str | int] = []
    for name, index in zip(path[::2], path[1::2], strict=True):
        known = root.fields_by_name.get(name) if root is not None else None
        shown.append(name)
        if known is not None and is_repeated(known):
            shown.append(index)
        root = known.message_type if known is not None else None
    return written(shown)


def _explain(said: str, node: Node, places: Places, root: Message) -> tuple[str, str, int]:
    """Find out what is wrong with a field: the text, the hint, and where to point."""
    descriptor = _descriptor(root, node.path[:-2])
    name = _name(root, node.path)
    known = descriptor.fields_by_name if descriptor is not None else {}
    if descriptor is not None and node.name not in known:
        what = f"{name}: no such field in {descriptor.name}"
        return what, near(node.name, known), node.start
    if "should not have multiple" in said:
        first = places.line_column(_first(node, places).start)[0]
        return f"{name}: given twice", f"the first is on line {first}; keep one", node.start
    if (other := re.search(r'along with field "(\w+)"', said)) is not None:
        there = places.node((*node.path[:-2], other.group(1)))
        where = f" on line {places.line_column(there.start)[0]}" if there is not None else ""
        what = f"{name}: cannot be given together with {other.group(1)}{where}"
        return what, "keep one of them", node.start
    if node.name not in known:
        return f"{name}: {said}", "", node.start
    if said == 'Expected ":"':
        return f"{name}: expected ':' before the value", "", node.value
    what, hint = _mismatch(name, known[node.name], _found(node))
    return what, hint, node.value


def _first(node: Node, places: Places) -> Node:
    return places.node((*node.path[:-2], node.name, 0)) or node


def _found(node: Node) -> str:
    return node.found or "nothing"


def _descriptor(root: Message, path: Path) -> Message | None:
    """Follow a path's names through the schema; None where it leaves it."""
    for step in path:
        if isinstance(step, int):
            continue
        known = root.fields_by_name.get(step)
        if known is None or known.message_type is None:
            return None
        root = known.message_type
    return root


def _mismatch(name: str, known: Message, found: str) -> tuple[str, str]:
    """Say which kind of value a field takes, and which it got."""
    kind = _TYPES.get(known.type, "")
    if kind == "ENUM":
        return _wrong_word(name, known.enum_type, found)
    if kind == "MESSAGE":
        return _wrong_block(name, known, found)
    hint = ""
    expected = _EXPECTED.get(kind, "another value")
    if kind in _INTEGERS and re.fullmatch(r"[-+]?\d+", found):
        least, most = _INTEGERS[kind]
        expected += f" from {least} to {most}"
    if kind == "STRING" and re.fullmatch(r"[\w.+-]+", found):
        hint = f'write "{found}"'
    return f"{name}: expected {expected}, found {found}", hint


def _wrong_word(name: str, enum: Message, found: str) -> tuple[str, str]:
    words = sorted(enum.values_by_name)
    if set(DTYPES) <= set(words):
        words = list(DTYPES)
    if found[:1] in "'\"":
        return f"{name}: expected a word without quotes, found {found}", ""
    what = f"{name}: expected one of {', '.join(words)}, found {found}"
    hint = nearest_type(found) if words == list(DTYPES) else near(found, words)
    return what, hint if hint.startswith("did you mean") else ""


def _wrong_block(name: str, known: Message, found: str) -> tuple[str, str]:
    inner = known.message_type
    what = f"{name}: expected a block {{ ... }}, found {found}"
    fields = [field.name for field in inner.fields]
    if inner.GetOptions().map_entry:
        return what, f"write {known.name} {{ key: ... value: ... }}"
    if len(fields) == 1 and found not in {"nothing", "["}:
        return what, f"write {known.name} {{ {fields[0]}: {found} }}"
    return what, f"its fields are: {', '.join(fields)}"
