"""Whether a span lies within a region: pure, and in Triton's words where it does not.

Rules: an offset is below the region's size; offset and size together do not exceed it, also where
their sum is beyond what 64 bits count; an object is as large as what is registered of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import InvalidArgument

if TYPE_CHECKING:
    from engine.types import Span
    from engine.v2.call import SystemRegion

#: Keys that begin so are the server's own.
RESERVED_PREFIX = "triton_python_backend_shm_region_"
_LARGEST = (1 << 64) - 1


def check_span(span: Span, size: int) -> None:
    """Let a span pass that lies within the ``size`` bytes of its region.

    Raises:
        InvalidArgument: it does not.
    """
    if span.offset >= size:
        raise InvalidArgument(f"Invalid offset for shared memory region: '{span.region}'")
    if span.offset + span.size > _LARGEST:
        raise InvalidArgument(
            f"Integer overflow detected: byte_size ({span.size}) + offset ({span.offset}) exceeds "
            f"maximum value ({_LARGEST}) for region '{span.region}'"
        )
    if span.offset + span.size > size:
        raise InvalidArgument(
            f"Invalid offset + byte size for shared memory region: '{span.region}'"
        )


def check_key(region: SystemRegion) -> None:
    """Let a key pass that is a client's to use.

    Raises:
        InvalidArgument: it is the server's.
    """
    if region.key.lstrip("/").startswith(RESERVED_PREFIX):
        raise InvalidArgument(
            f"cannot register shared memory region '{region.name}' with key '{region.key}' as the "
            f"key contains the reserved prefix '{RESERVED_PREFIX}'"
        )


def check_object(region: SystemRegion, size: int) -> None:
    """Let a region pass that lies within the ``size`` bytes of its object, and is not empty.

    Raises:
        InvalidArgument: it does not.
    """
    if not region.size or region.offset + region.size > size:
        raise InvalidArgument(refusal(region.name))


def refusal(name: str) -> str:
    """Say that a region cannot be as it is described."""
    return f"failed to register shared memory region '{name}': invalid args"
