"""Tensors, requests and responses for the V2 tests: generators, and what it means to be equal."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Span, Tensor
from engine.v2 import binary as wire
from engine.v2.call import Infer, SharedInput

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
VERSIONS = st.just("") | st.integers(1, 2**63 - 1).map(str)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
IN_JSON = tuple(dtype for dtype in DType if dtype not in {DType.FP16, DType.BF16})
RESERVED = {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
RESERVED |= {"binary_data_output", "headers"}


def tensor_of(name: str, dtype: DType, shape: tuple[int, ...], seed: int) -> Tensor:
    """Draw a tensor's elements from all that its type can hold, NaN and infinities included."""
    random = np.random.default_rng(seed)
    count = int(np.prod(shape))
    if dtype is DType.BYTES:
        flat = np.empty(count, np.object_)
        flat[:] = [f"ä{n}\n\0".encode()[: random.integers(8)].decode(errors="ignore").encode()
                   for n in range(count)]  # fmt: skip
        return Tensor(name, dtype, flat.reshape(shape))
    if dtype is DType.BOOL:
        return Tensor(name, dtype, random.integers(0, 2, shape).astype(np.bool_))
    raw = random.bytes(count * dtype.size)
    return Tensor(name, dtype, np.frombuffer(raw, dtype.numpy).reshape(shape))


def tensors(dtypes: tuple[DType, ...] = tuple(DType)) -> st.SearchStrategy[Tensor]:
    return st.builds(tensor_of, NAMES, st.sampled_from(dtypes), SHAPES, st.integers(0, 2**32 - 1))


def unique(found: list[Any]) -> list[Any]:
    return list({one.name: one for one in found}.values())


OWN_PARAMETERS = st.dictionaries(
    NAMES.filter(lambda name: name not in RESERVED and not name.startswith("triton_")),
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    max_size=3,
)


SPANS = st.builds(Span, NAMES, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
SLOTS = tensors().map(lambda one: wire.slot(one.name, one.dtype, one.array.shape))


@st.composite
def inferences(draw: st.DrawFn, *, binary: bool) -> Infer:
    """Inferences of any model, some of whose inputs lie in regions."""
    request = draw(requests(binary=binary))
    count = draw(st.integers(0, 2))
    places = draw(
        st.lists(
            st.integers(0, len(request.inputs) + count - 1),
            min_size=count,
            max_size=count,
            unique=True,
        )
        if count
        else st.just([])
    )
    shared = tuple(SharedInput(place, draw(SLOTS), draw(SPANS)) for place in sorted(places))
    return Infer(draw(NAMES), draw(VERSIONS), request, shared)


def requests(*, binary: bool) -> st.SearchStrategy[InferRequest]:
    """Requests; ``binary`` ones may ask for outputs in either form (which only HTTP knows)."""
    flag = st.booleans() if binary else st.just(False)
    in_answer = st.builds(RequestedOutput, NAMES, flag, st.integers(0, 5))
    in_region = st.builds(RequestedOutput, NAMES, span=SPANS)
    outputs = st.lists(in_answer | in_region, max_size=3)
    return st.builds(
        InferRequest,
        inputs=st.lists(tensors(), max_size=3).map(unique).map(tuple),
        id=st.text(st.characters(codec="utf-8"), max_size=8),
        outputs=outputs.map(unique).map(tuple),
        binary_default=flag,
        priority=st.integers(0, 2**63 - 1),
        timeout_us=st.integers(0, 2**63 - 1),
        sequence_id=st.just(0) | st.integers(1, 2**63 - 1) | st.text("abc", min_size=1, max_size=5),
        sequence_start=st.booleans(),
        sequence_end=st.booleans(),
        parameters=OWN_PARAMETERS,
    )


def responses(dtypes: tuple[DType, ...] = tuple(DType)) -> st.SearchStrategy[InferResponse]:
    return st.builds(
        InferResponse,
        model=NAMES,
        version=st.integers(1, 9).map(str),
        outputs=st.lists(tensors(dtypes), max_size=3).map(unique).map(tuple),
        id=st.text(st.characters(codec="utf-8"), max_size=8),
        parameters=OWN_PARAMETERS,
    )


def same_tensor(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit (all NaNs are one: JSON cannot tell them apart)."""
    if (one.name, one.dtype, one.array.shape) != (other.name, other.dtype, other.array.shape):
        return False
    if one.array.dtype != other.array.dtype:
        return False
    nan = one.dtype in {DType.FP16, DType.FP32, DType.FP64}
    return bool(np.array_equal(one.array, other.array, equal_nan=nan))


def plain(value: InferRequest | InferResponse) -> dict[str, Any]:
    """All of it but the tensors."""
    tensors_in = {"inputs", "outputs"} if isinstance(value, InferResponse) else {"inputs"}
    return {
        name: getattr(value, name) for name in value.__dataclass_fields__ if name not in tensors_in
    }


def same(one: InferRequest | InferResponse, other: InferRequest | InferResponse) -> bool:
    left = one.outputs if isinstance(one, InferResponse) else one.inputs
    right = other.outputs if isinstance(other, InferResponse) else other.inputs
    return (
        plain(one) == plain(other)
        and len(left) == len(right)
        and all(same_tensor(a, b) for a, b in zip(left, right, strict=True))
    )
