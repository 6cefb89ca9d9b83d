"""What ``--aa`` found: the smallest change that each gate can see on this machine. Pure.

As lines for the terminal, as Markdown, and as JSON: ``{schema, kind: "noise", taken_at, version,
served, checks: [{name, model, load, gates: [{metric, gate, smallest_pct, needed_pct, enough,
noise_pct, bias_pct, launches}]}], tainted, environment, commit, reproduce}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.gate.detectable import CAUGHT, Detectable
from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Subject, finite
from analyzer.gate.values import SCHEMA

ADVICE = (
    "Quieten the machine, measure longer (--block-seconds, --max-pairs, --max-time), or widen the "
    "gate."
)
_HEAD = ("", "check", "metric", "gate", "smallest change seen", "gate needs", "launches differ by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What each check's gates can see; of one that has no such gate, or too few pairs, nothing."""

    found: Mapping[str, Sequence[Detectable]]
    subjects: Mapping[str, Subject]
    served: str
    tainted: Sequence[str]
    environment: Mapping[str, Any]
    taken_at: str
    version: str
    commit: str
    command: str

    @property
    def every(self) -> list[Detectable]:
        """All gates."""
        return [each for found in self.found.values() for each in found]


def headline(noise: Noise) -> str:
    """Say the whole in one line."""
    every = noise.every
    good = sum(each.enough for each in every)
    if not every:
        return "Nothing can be said: no gate is on what varies, or there were too few pairs"
    gates = f"{len(every)} gate{'s' * (len(every) != 1)}"
    if good == len(every):
        return f"This machine can guard {gates}"
    return f"This machine can guard {good} of {gates}; the rest would often end with 'cannot tell'"


def sentence(each: Detectable) -> str:
    """Say what a gate can see, in figures."""
    return (
        f"a change of {_share(each.effect)} or more is seen in {100 * CAUGHT:.0f} % of all "
        f"checks; the gate needs {_share(each.needed)} (two launches of the same differ by "
        f"{_share(each.noise)}, by {each.launches} launches of both)"
    )


def markdown(noise: Noise) -> str:
    """Return the Markdown file's text."""
    return "\n".join(_lines(noise)) + "\n"


def _lines(noise: Noise) -> Iterator[str]:
    yield f"## {headline(noise)}"
    yield ""
    yield f"Measured against itself: {noise.served}."
    yield ""
    yield f"| {' | '.join(_HEAD)} |"
    yield f"| {' | '.join(['---'] * len(_HEAD))} |"
    for check, found in noise.found.items():
        for each in found:
            cells = (
                "\N{WHITE HEAVY CHECK MARK}" if each.enough else "\N{WARNING SIGN}",
                check, f"`{each.gate.quantity.tag}`", f"`{spelled(each.gate)}`",
                _share(each.effect), _share(each.needed), _share(each.noise),
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"
    yield ""
    if not all(each.enough for each in noise.every):
        yield ADVICE
        yield ""
    for why in noise.tainted:
        yield f"- Disturbed: {why}"


def text(noise: Noise) -> str:
    """Return the JSON file's text."""
    plain = {
        "schema": SCHEMA,
        "kind": "noise",
        "taken_at": noise.taken_at,
        "version": noise.version,
        "served": noise.served,
        "checks": [
            {
                "name": check,
                "model": noise.subjects[check].model,
                "load": noise.subjects[check].load,
                "gates": [_plain(each) for each in found],
            }
            for check, found in noise.found.items()
        ],
        "tainted": list(noise.tainted),
        "environment": dict(noise.environment),
        "commit": noise.commit,
        "reproduce": [noise.command],
    }
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(each: Detectable) -> dict[str, Any]:
    return {
        "metric": each.gate.quantity.tag,
        "gate": spelled(each.gate),
        "smallest_pct": _hundred(each.effect),
        "needed_pct": _hundred(each.needed),
        "enough": each.enough,
        "noise_pct": _hundred(each.noise),
        "bias_pct": _hundred(each.bias),
        "launches": each.launches,
    }


def _hundred(share: float) -> float | None:
    known = finite(share)
    return None if known is None else 100 * known


def _share(share: float) -> str:
    return f"{share:.1%}".replace("%", " %") if finite(share) is not None else "any size"
