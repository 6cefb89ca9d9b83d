"""A value with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """One option's typed value, its source (``FILE:line`` or ``--flag``), and what was written."""

    value: Any
    source: str
    given: Any = None


#: settings by the key of their option
Settings = Mapping[str, Setting]
