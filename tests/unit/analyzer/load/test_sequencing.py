"""Sequences: ids in prebuilt messages, and which request of which sequence a slot sends next."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from analyzer.errors import LoadError
from analyzer.load.job import Supply
from analyzer.load.sequences import PLACEHOLDER, SequencePlan, Step, Template, in_json, in_protobuf
from analyzer.load.sequencing import Sequencing

IDS = st.integers(1, PLACEHOLDER - 1)


def step(name: str) -> Step:
    """Four messages that say what they are, and their sequence."""
    within, first, last, both = (
        Template.of(f"{name}{kind}".encode() + in_json(PLACEHOLDER), in_json)
        for kind in (" ", " first ", " last ", " both ")
    )
    return within, first, last, both


def words(message: bytes) -> tuple[str, ...]:
    return tuple(message.decode().split())


@given(IDS)
def test_an_id_is_put_into_json(number: int) -> None:
    plain = b'{"sequence_id":' + in_json(PLACEHOLDER) + b',"sequence_start":true}'
    message = Template.of(plain, in_json).message(in_json(number))
    assert len(message) == len(plain)
    assert json.loads(message) == {"sequence_id": number, "sequence_start": True}


@given(IDS)
def test_an_id_is_put_into_protobuf(number: int) -> None:
    request = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"x" * 300])
    request.parameters["sequence_id"].int64_param = PLACEHOLDER
    plain = request.SerializeToString()
    message = Template.of(plain, in_protobuf).message(in_protobuf(number))
    request.parameters["sequence_id"].int64_param = number
    assert len(message) == len(plain)
    assert service_pb2.ModelInferRequest.FromString(message) == request


def test_each_slot_goes_through_a_sequence_of_its_own() -> None:
    streams = ((step("a"), step("b"), step("c")), (step("d"),))
    source = Sequencing(
        (Supply(weight=1, sequences=streams),), SequencePlan(length=0, start=7, end=100), 0
    )
    said = [words(source.take(slot)[0]) for slot in (0, 1, 0, 0, 1, 1)]
    assert said == [
        ("a", "first", "7"), ("d", "both", "8"), ("b", "7"), ("c", "last", "7"),
        ("a", "first", "9"), ("b", "9"),
    ]  # fmt: skip
    source.take(0)
    assert [(slot, words(message)) for slot, message in source.endings()] == [
        (1, ("c", "last", "9"))
    ]


@given(st.lists(st.integers(0, 3), max_size=200), st.integers(0, 5))
def test_no_two_sequences_at_a_time_have_one_id(slots: list[int], seed: int) -> None:
    plan = SequencePlan(length=4, variation=50, start=1, end=6)
    source = Sequencing((Supply(weight=1, sequences=((step("a"),),)),), plan, seed)
    under_way: dict[int, int] = {}
    for slot in slots:
        message, _, number = source.take(slot)
        if "first" in words(message):
            assert number not in under_way.values()
            under_way[slot] = number
        assert under_way.get(slot, number) == number
        if "last" in words(message):
            del under_way[slot]
    assert [slot for slot, _ in source.endings()] == sorted(under_way)


@pytest.mark.parametrize("ids", ["0:5", "5:5", "a:b", "-3"])
def test_what_is_no_range_of_ids_is_said(ids: str) -> None:
    with pytest.raises(LoadError, match="expected ids of sequences"):
        SequencePlan.of(20, 20, ids)


def test_senders_share_the_ids() -> None:
    plan = SequencePlan(start=1, end=101)
    shares = [plan.shared(index, 3, 4) for index in range(3)]
    assert [(each.start, each.end) for each in shares] == [(1, 34), (34, 67), (67, 101)]
    with pytest.raises(LoadError, match="fewer than there may be sequences"):
        plan.shared(0, 3, 40)
