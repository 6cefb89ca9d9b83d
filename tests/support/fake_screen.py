"""A screen of ``analyze perf`` that remembers what was on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.perf.options import PerfOptions
from analyzer.perf.watch import Look


@dataclass
class FakeScreen:
    """Everything said and warned of, every look, and whether something is being measured."""

    width: int = 80
    unicode: bool = True
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    measuring: bool = False

    def say(self, *lines: str) -> None:
        self.lines.extend(lines)

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def began(self, heading: str, options: PerfOptions) -> None:
        del heading, options
        self.measuring = True

    def looked(self, look: Look) -> None:
        assert self.measuring
        self.looks.append(look)

    def ended(self) -> None:
        self.measuring = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
