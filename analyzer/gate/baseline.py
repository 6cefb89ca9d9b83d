"""A baseline as a file: what a check measured, block by block, addressed by its content. Pure.

Rules:

1. The address is the SHA-256 of the content's canonical JSON: keys sorted, no spaces, numbers as
   Python writes them. So equal contents are one file, and whoever changes a figure is found out.
2. The content has raw blocks, not means, so that it can be judged by whatever rule comes later.
3. ``parse(spelled(baseline)) == baseline``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analyzer.errors import UsageError
from analyzer.gate.fingerprint import fingerprint
from analyzer.gate.history import Run, levels
from analyzer.gate.values import SCHEMA, Block, Side

KIND = "servetune baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a run of all checks measured of one side.

    ``checks`` has the blocks by the check's name, ``configs`` the digest of what was served by the
    same, ``loads`` how it was loaded, in words. ``served`` has, by the check's name, what it takes
    to serve it again: by model its ``config`` (config.pbtxt), ``files`` (their digest) and
    ``folder``. ``environment`` is in JSON's types (``measure.machine.describe``). ``taken_at`` is
    UTC, ISO 8601.
    """

    taken_at: str
    commit: str
    engine_version: str
    environment: Mapping[str, Any]
    checks: Mapping[str, tuple[Block, ...]]
    configs: Mapping[str, str] = field(default_factory=dict)
    loads: Mapping[str, str] = field(default_factory=dict)
    served: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The name that its content gives it."""
        return address(_content(self))

    @property
    def fingerprint(self) -> str:
        """The name of the machine that it was measured on."""
        return fingerprint(self.environment)

    def run(self, check: str) -> Run:
        """Return a check's levels, for the history of it.

        Raises:
            KeyError: it has no such check.
        """
        return Run(
            taken_at=self.taken_at,
            commit=self.commit,
            fingerprint=self.fingerprint,
            values=levels(self.checks[check]),
        )


def address(content: Mapping[str, Any]) -> str:
    """Return the address of a content in JSON's types.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    )
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def spelled(baseline: Baseline) -> str:
    """Write a baseline as the text of a file.

    Raises:
        ValueError: a number is not finite.
    """
    content = _content(baseline)
    whole = {"address": address(content), "content": content}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def parse(text: str, source: str) -> Baseline:
    """Read what ``spelled`` wrote; ``source`` names it in errors.

    Raises:
        UsageError: it is something else, of another schema, or was changed since it was written.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{source}:{error.lineno}:{error.colno}"
        raise UsageError(f"{where}: not JSON ({error.msg}); save the baseline anew") from error
    content = whole.get("content") if isinstance(whole, dict) else None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UsageError(f"{source}: not a baseline: --save-baseline writes one")
    if content.get("schema") != SCHEMA:
        raise UsageError(
            f"{source}: a baseline of schema {content.get('schema')!r}; this version reads {SCHEMA}"
        )
    if whole.get("address") != (found := address(content)):
        raise UsageError(
            f"{source}: its content is {found}, but it was written as {whole.get('address')}: it "
            "was changed since; measure and save it anew"
        )
    try:
        return _baseline(content)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{source}: not a whole baseline: {error!r}") from error


def _content(baseline: Baseline) -> dict[str, Any]:
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "taken_at": baseline.taken_at,
        "commit": baseline.commit,
        "engine_version": baseline.engine_version,
        "environment": dict(baseline.environment),
        "configs": dict(baseline.configs),
        "loads": dict(baseline.loads),
        "served": {
            name: {model: dict(one) for model, one in models.items()}
            for name, models in baseline.served.items()
        },
        "checks": {
            name: [block_plain(block) for block in blocks]
            for name, blocks in baseline.checks.items()
        },
    }


def _baseline(content: Mapping[str, Any]) -> Baseline:
    return Baseline(
        taken_at=_of(str, content["taken_at"]),
        commit=_of(str, content["commit"]),
        engine_version=_of(str, content["engine_version"]),
        environment=_of(dict, content["environment"]),
        configs=_of(dict, content["configs"]),
        loads=_of(dict, content["loads"]),
        served={name: _of(dict, models) for name, models in _of(dict, content["served"]).items()},
        checks={
            name: tuple(block_of(block) for block in _of(list, blocks))
            for name, blocks in _of(dict, content["checks"]).items()
        },
    )


def block_plain(block: Block) -> dict[str, Any]:
    """Spell a block in JSON's types."""
    return {
        "side": block.side.value,
        "pair": block.pair,
        "launch": block.launch,
        "values": dict(block.values),
        "counts": dict(block.counts),
        "histogram": block.histogram,
        "seconds": block.seconds,
        "remarks": list(block.remarks),
    }


def block_of(plain: Mapping[str, Any]) -> Block:
    """Read what ``block_plain`` made.

    Raises:
        KeyError: a part is missing.
        TypeError: a part is of another kind.
        ValueError: it is of no side that there is.
    """
    return Block(
        side=Side(plain["side"]),
        pair=_of(int, plain["pair"]),
        launch=_of(int, plain["launch"]),
        values=_numbers(plain["values"]),
        counts=_numbers(plain["counts"]),
        histogram=_of(str, plain["histogram"]),
        seconds=float(_of((int, float), plain["seconds"])),
        remarks=tuple(_of(str, remark) for remark in _of(list, plain["remarks"])),
    )


def _numbers(plain: Any) -> dict[str, float]:  # noqa: ANN401 - as JSON has it
    return {name: float(_of((int, float), value)) for name, value in _of(dict, plain).items()}


def _of(kind: type | tuple[type, ...], plain: Any) -> Any:  # noqa: ANN401 - as JSON has it
    if not isinstance(plain, kind) or isinstance(plain, bool):
        raise TypeError(f"expected {kind}, found {plain!r:.60}")
    return plain
