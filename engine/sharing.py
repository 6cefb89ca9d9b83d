"""How models share a machine, as the command line says it: rate limiter and host policies.

Owns the values and the forms of ``--rate-limit-resource`` and ``--host-policy``, in Triton's
words. Does not own whether there are such cores (``execution.pinning``), nor whose turn it is
(``ratelimit``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from engine.errors import InvalidArgument

#: how many of a resource there are, by its name and device; None is every device
Resources = Mapping[tuple[str, int | None], int]


class RateLimit(Enum):
    """Whether models take turns: never, or by executions times priority."""

    OFF = "off"
    EXECUTION_COUNT = "execution_count"


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Where the threads of an instance may run; None where the policy does not say."""

    cores: frozenset[int] | None = None
    numa_node: int | None = None


def rate_limit(text: str) -> RateLimit:
    """Read ``--rate-limit``, in any letter case.

    Raises:
        InvalidArgument: there is no such mode.
    """
    try:
        return RateLimit(text.strip().lower())
    except ValueError:
        message = f"--rate-limit: expected off or execution_count, found {text!r}"
        raise InvalidArgument(message) from None


def rate_limit_resources(texts: Iterable[str]) -> Resources:
    """Read every ``--rate-limit-resource NAME:COUNT[:DEVICE]``.

    Raises:
        InvalidArgument: one of them has another form, or says otherwise than one before.
    """
    found: dict[tuple[str, int | None], int] = {}
    for text in texts:
        name, *numbers = text.split(":")
        if not name or len(numbers) not in {1, 2} or not all(map(_whole, numbers)):
            raise InvalidArgument(
                "--rate-limit-resource option format is '<resource_name>:<count>:<device>' or "
                f"'<resource_name>:<count>'. Got {text}"
            )
        count, *device = map(int, numbers)
        place = (name, device[0] if device else None)
        if found.setdefault(place, count) != count:
            raise InvalidArgument(
                f"--rate-limit-resource: {name} is said to be {found[place]} and {count}; keep one"
            )
    return found


def host_policies(texts: Iterable[str]) -> Mapping[str, HostPolicy]:
    """Read every ``--host-policy NAME,SETTING=VALUE``; settings of one name add up.

    Raises:
        InvalidArgument: one of them has another form, or sets what there is not.
    """
    found: dict[str, HostPolicy] = {}
    for text in texts:
        name, comma, rest = text.partition(",")
        setting, equals, value = rest.partition("=")
        if not (name and comma and setting and equals and value):
            raise InvalidArgument(
                f"--host-policy option format is '<policy name>,<setting>=<value>'. Got {text}"
            )
        policy = found.get(name, HostPolicy())
        if setting == "cpu-cores":
            found[name] = replace(policy, cores=_cores(value))
        elif setting == "numa-node":
            if not _whole(value):
                raise InvalidArgument(
                    f"--host-policy: Parsing 'numa-node' value: Can't parse '{value}' to integer"
                )
            found[name] = replace(policy, numa_node=int(value))
        else:
            raise InvalidArgument(
                f"--host-policy: {setting!r} is no setting; there are: cpu-cores, numa-node"
            )
    return found


def _cores(text: str) -> frozenset[int]:
    cores: set[int] = set()
    for part in text.split(","):
        lower, dash, upper = part.partition("-")
        if not (dash and _whole(lower) and _whole(upper)) or int(lower) > int(upper):
            raise InvalidArgument(
                "host policy setting 'cpu-cores' format is "
                f"'<lower_cpu_core_id>-<upper_cpu_core_id>'. Got {part}"
            )
        cores.update(range(int(lower), int(upper) + 1))
    return frozenset(cores)


def _whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()
