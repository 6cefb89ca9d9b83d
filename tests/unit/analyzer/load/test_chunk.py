"""What a sender says survives the pipe, however it is cut, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.chunk import RECORD_BYTES, Chunk, Ended, Failed, Frames, Ready, Said, frame

moments = st.integers(0, 2**62)
said: st.SearchStrategy[Said] = st.one_of(
    st.builds(Ready, cpu_ns=moments),
    st.builds(
        Chunk,
        upto_ns=moments,
        in_flight=st.integers(0, 99),
        area=st.integers(0, 2**90),
        cpu_ns=moments,
        dropped=st.integers(0, 9),
        errors=st.lists(st.text(), max_size=2).map(tuple),
        records=st.integers(0, 3).map(lambda count: bytes(range(RECORD_BYTES)) * count),
        responses=st.binary(max_size=9),
    ),
    st.builds(Ended, abandoned=st.integers(0, 9)),
    st.builds(Failed, message=st.text()),
)


@given(st.lists(said, max_size=5), st.integers(1, 200))
def test_frames_survive_however_the_pipe_cuts_them(every: list[Said], size: int) -> None:
    stream = b"".join(frame(one) for one in every)
    frames = Frames()
    heard = [
        one for at in range(0, len(stream), size) for one in frames.feed(stream[at : at + size])
    ]
    assert heard == every


@pytest.mark.parametrize(
    "stream",
    [
        b"Traceback (most recent call last):",
        b"\x02\0\0\0\0\0\0\0{}",
        b'\x10\0\0\0\0\0\0\0{"kind": "song"}',
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x02\0\0\0\0\0\0\0{]",
    ],
)  # fmt: skip
def test_what_is_no_frame_is_an_error(stream: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one too
        list(Frames().feed(stream))
