"""What is read of a stream's responses is what the protocol's own code reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from analyzer.load.http2.answers import read
from analyzer.load.http2.grpc import Messages, prefixed


@given(
    st.text(max_size=30),
    st.sampled_from([None, True, False]),
    st.dictionaries(st.text(max_size=9), st.integers(-5, 1 << 60), max_size=3),
    st.lists(st.binary(max_size=200), max_size=3),
    st.booleans(),
)
def test_the_end_the_error_and_emptiness(
    error: str,
    final: bool | None,  # noqa: FBT001 - drawn
    others: dict[str, int],
    outputs: list[bytes],
    first: bool,  # noqa: FBT001 - drawn
) -> None:
    response = service_pb2.ModelInferResponse(model_name="m", model_version="1", id="7")
    if first and final is not None:
        response.parameters["triton_final_response"].bool_param = final
    for name, value in others.items():
        response.parameters[name].int64_param = value
    if final is not None:
        response.parameters["triton_final_response"].bool_param = final
    for index, content in enumerate(outputs):
        response.outputs.add(name=f"OUT{index}", datatype="UINT8", shape=[len(content)])
        response.raw_output_contents.append(content)
    whole = service_pb2.ModelStreamInferResponse(error_message=error, infer_response=response)
    assert read(whole.SerializeToString()) == (error, final is not False, not outputs)


def test_an_error_alone_is_the_end() -> None:
    whole = service_pb2.ModelStreamInferResponse(error_message="it broke")
    assert read(whole.SerializeToString()) == ("it broke", True, True)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_messages_are_read_whatever_their_compression(compression: str) -> None:
    messages = [b"", b"short", bytes(5000)]
    text = b"".join(prefixed(one, compression) for one in messages)
    parser = Messages()
    found = []
    for at in range(0, len(text), 7):
        found += parser.feed(text[at : at + 7])
    assert found == messages


def test_a_response_that_is_cut_is_none() -> None:
    whole = service_pb2.ModelStreamInferResponse(error_message="it broke").SerializeToString()
    with pytest.raises(ValueError, match="ends too early"):
        read(whole[:1])
