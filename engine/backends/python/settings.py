"""What ``--backend-config=python,...`` and a model's parameters say of its process. Pure.

``shm-default-byte-size``, ``shm-growth-byte-size``, ``shm-region-prefix-name`` and
``stub-timeout-seconds`` are Triton's. Ours are ``shm-limit-byte-size`` (how large the memory of one
direction may become; 0, the default, is no limit) and ``in-process`` (``true``: models run in the
server's process, for a debugger; the parameter ``IN_PROCESS`` says it of one model).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.child.life import Memory
from engine.errors import InvalidArgument

PARAMETER = "IN_PROCESS"
_YES, _NO = ("true", "on", "1", "yes"), ("false", "off", "0", "no", "")


@dataclass(frozen=True, slots=True)
class Settings:
    """How Python models run."""

    memory: Memory = field(default_factory=Memory)
    patience_s: float = 30.0
    in_process: bool = False


def read(given: Mapping[str, str]) -> Settings:
    """Read what the command line sets.

    Raises:
        InvalidArgument: a value cannot be.
    """
    plain = Memory()

    def number(key: str, default: int, least: int = 1) -> int:
        text = given.get(key, str(default))
        if not text.isdecimal() or int(text) < least:
            raise InvalidArgument(
                f"--backend-config=python,{key}: expected a whole number, at least {least}, found"
                f" {text!r}"
            )
        return int(text)

    memory = Memory(
        size=number("shm-default-byte-size", plain.size),
        growth=number("shm-growth-byte-size", plain.growth),
        limit=number("shm-limit-byte-size", 0, least=0),
        prefix=given.get("shm-region-prefix-name", plain.prefix),
    )
    return Settings(
        memory,
        float(number("stub-timeout-seconds", 30)),
        yes(given.get("in-process", ""), "--backend-config=python,in-process"),
    )


def yes(text: str, where: str) -> bool:
    """Read a yes or no.

    Raises:
        InvalidArgument: it is neither.
    """
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise InvalidArgument(f"{where}: expected true or false, found {text!r}")
    return word in _YES
