"""Where each field of a protobuf text stands: line, column, and the span it takes.

Owns: reading the *structure* of a text, tolerantly, so that a problem found anywhere (by
protobuf's parser, or much later by a semantic check) can be given its place. Does not own:
what the fields mean, or whether the text is right; protobuf's own parser judges that.

A path names a field as ``("input", 0, "dims", 1)``; the numbers count a field's occurrences
and may be left out, which means the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<skip>\s+|\#[^\n]*)
    | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | (?P<word>[-+]?[\w.][\w.+-]*)
    | (?P<mark>[\[\]{}<>:,;])
    | (?P<other>.)
    """,
    re.VERBOSE,
)
_DEEPEST = 2 * 100  # steps of a path, two for each field: protobuf reads no deeper
_CLOSING = {"{": "}", "<": ">", "[": "]"}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int
    kind: str


@dataclass(slots=True)
class Node:
    """One field of the text, or one element of a field written as a list.

    Offsets count characters from 0. ``start`` is where the field's name stands, ``value``
    where its value begins; ``statement`` spans all that must go if the field goes (for an
    element of a list: the whole list).
    """

    name: str
    path: Path
    start: int
    value: int
    end: int
    statement: tuple[int, int]
    found: str = ""
    in_list: bool = False
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bracket:
    """An opening bracket that nothing closes."""

    text: str
    start: int


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "skip":
            found.append(_Token(match.group(), match.start(), match.end(), kind))
    return found


class _Reader:
    """Reads fields until the text ends or its structure breaks; what was read stays."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._length = len(text)
        self.unclosed: Bracket | None = None

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, *texts: str) -> bool:
        token = self._peek()
        return token is not None and token.kind == "mark" and token.text in texts

    def fields(self, parent: Path, closing: str = "") -> tuple[list[Node], bool]:
        """Read the fields up to ``closing``; the flag says whether the structure held."""
        nodes: list[Node] = []
        seen: dict[str, int] = {}
        while (token := self._peek()) is not None:
            if closing and self._is(closing):
                return nodes, True
            if token.kind != "word":
                return nodes, False
            self._at += 1
            if not self._statement(token, parent, nodes, seen):
                return nodes, False
            if self._is(",", ";"):
                self._at += 1
        return nodes, not closing

    def _statement(
        self, name: _Token, parent: Path, nodes: list[Node], seen: dict[str, int]
    ) -> bool:
        if self._is(":"):
            self._at += 1
        first = len(nodes)
        if self._is("["):
            held = self._list(name, parent, nodes, seen)
        else:
            held = self._value(name, parent, nodes, seen)
        end = self._tokens[self._at - 1].end
        for node in nodes[first:]:
            node.statement = (name.start, end)
        return held

    def _list(self, name: _Token, parent: Path, nodes: list[Node], seen: dict[str, int]) -> bool:
        opening = self._tokens[self._at]
        self._at += 1
        first = len(nodes)
        held = True
        while held and not self._is("]"):
            if self._peek() is None:
                self.unclosed = self.unclosed or Bracket(opening.text, opening.start)
                return False
            held = self._value(name, parent, nodes, seen)
            nodes[-1].in_list = True
            if self._is(","):
                self._at += 1
                held = held and not self._is("]")
            elif not self._is("]"):
                held = held and self._peek() is None
        if not held:
            return False
        self._at += 1
        if len(nodes) == first:  # an empty list still says that the field was given
            end = self._tokens[self._at - 1].end
            path = (*parent, name.text, seen.get(name.text, 0))
            nodes.append(Node(name.text, path, name.start, opening.start, end, (0, 0)))
        return True

    def _value(self, name: _Token, parent: Path, nodes: list[Node], seen: dict[str, int]) -> bool:
        index = seen.get(name.text, 0)
        seen[name.text] = index + 1
        path = (*parent, name.text, index)
        token = self._peek()
        start = token.start if token is not None else self._length
        node = Node(name.text, path, name.start, start, start, (name.start, start))
        nodes.append(node)
        if token is None:
            return False
        held = True
        if self._is("{", "<") and len(path) > _DEEPEST:
            held = False
        elif self._is("{", "<"):
            self._at += 1
            node.found = token.text
            closing = _CLOSING[token.text]
            node.children, held = self.fields(path, closing)
            if held:
                self._at += 1
            elif self._peek() is None and self.unclosed is None:
                self.unclosed = Bracket(token.text, token.start)
        elif token.kind in {"word", "string"}:
            node.found = token.text
            self._at += 1
            while token.kind == "string" and (following := self._peek()) is not None:
                if following.kind != "string":
                    break
                self._at += 1
        else:
            node.found = token.text
            held = False
        node.end = max(start, self._tokens[self._at - 1].end)
        return held


class Places:
    """The fields of one text, and where they stand."""

    def __init__(self, text: str) -> None:
        self._text = text
        reader = _Reader(text)
        self.nodes, self.whole = reader.fields(())
        self.unclosed = reader.unclosed

    def line_column(self, offset: int) -> tuple[int, int]:
        """Turn an offset into a line and a column, both from 1."""
        before = self._text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def offset(self, line: int, column: int) -> int:
        """Turn a line and a column, both from 1, into an offset."""
        start = 0
        for _ in range(line - 1):
            start = self._text.find("\n", start) + 1
        return start + column - 1

    def walk(self) -> Iterator[Node]:
        """Yield every field, outer before inner."""
        waiting = list(reversed(self.nodes))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def at(self, offset: int) -> Node | None:
        """Find the innermost field that covers an offset."""
        best = None
        for node in self.walk():
            begin = node.value if node.in_list else node.start
            if begin <= offset < max(node.end, node.value + 1):
                best = node
        return best

    def node(self, path: Sequence[str | int]) -> Node | None:
        """Find the field a path names, or the nearest one around it; None if there is none."""
        nodes, best = self.nodes, None
        steps = list(path)
        while steps:
            name = steps.pop(0)
            index = steps.pop(0) if steps and isinstance(steps[0], int) else 0
            named = [node for node in nodes if node.name == name]
            if not named:
                return best
            best = named[index] if isinstance(index, int) and index < len(named) else named[-1]
            nodes = best.children
        return best

    def find(self, path: Sequence[str | int]) -> tuple[int, int] | tuple[None, None]:
        """Give line and column of the field a path names, or of the nearest one around it."""
        node = self.node(path)
        if node is None:
            return None, None
        of_element = node.in_list and not (path and isinstance(path[-1], str))
        return self.line_column(node.value if of_element else node.start)


def written(path: Sequence[str | int]) -> str:
    """Write a path as people read it: ``input[0].dims[1]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
