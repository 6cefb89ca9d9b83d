"""The sequence that a tensor of an ensemble belongs to, as in Triton's ensemble scheduler. Pure.

Owns three rules:

1. what a step answers belongs to the sequence of the step's request, unless the response has the
   parameters ``sequence_id``, ``sequence_start`` or ``sequence_end``: then they say where, and so a
   step can begin, end or choose a sequence of the steps behind it;
2. a step's request belongs where its inputs do: where the first of them does that a step wrote,
   else where the ensemble's own request does;
3. a response of the ensemble says where its outputs belong, by parameters of these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.errors import InvalidArgument
from engine.types import InferRequest, Parameter, Tensor

_WORDS = ("sequence_id", "sequence_start", "sequence_end")
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Membership:
    """A sequence (0 or "" is none), and whether it begins or ends here."""

    id: int | str
    start: bool
    end: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """A tensor, and where it belongs; None: it is the request's own."""

    tensor: Tensor
    of: Membership | None = None


def membership(request: InferRequest) -> Membership:
    """Say where a request belongs."""
    return Membership(request.sequence_id, request.sequence_start, request.sequence_end)


def inherited(inputs: Iterable[Carried], own: Membership) -> Membership:
    """Say where a step's request belongs (rule 2); ``own`` is of the ensemble's request."""
    return next((one.of for one in inputs if one.of is not None), own)


def answered(parameters: Mapping[str, Parameter], of: Membership) -> Membership:
    """Say where belongs what a step answered to a request of ``of`` (rule 1).

    Raises:
        InvalidArgument: a parameter is of another kind.
    """
    if not any(word in parameters for word in _WORDS):
        return of
    named = parameters.get("sequence_id", of.id)
    if isinstance(named, bool) or not isinstance(named, int | str):
        raise InvalidArgument(
            "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or"
            " TRITONSERVER_PARAMETER_STRING"
        )
    for word in _WORDS[1:]:
        if not isinstance(parameters.get(word, False), bool):
            raise InvalidArgument(f"expect parameter '{word}' to be TRITONSERVER_PARAMETER_BOOL")
    if isinstance(named, int):  # on the wire it is signed
        named %= 2 * _SIGN
    start, end = (bool(parameters.get(word, False)) for word in _WORDS[1:])
    return Membership(named, start, end)


def told(outputs: Iterable[Carried], own: Membership) -> Mapping[str, Parameter]:
    """Say where the outputs of a response belong (rule 3)."""
    found = inherited(outputs, own)
    named = found.id if isinstance(found.id, str) else (found.id + _SIGN) % (2 * _SIGN) - _SIGN
    return dict(zip(_WORDS, (named, found.start, found.end), strict=True))
