"""The flags by which models share a machine: their forms, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from engine.errors import InvalidArgument
from engine.options import from_flags
from engine.sharing import HostPolicy, RateLimit, host_policies, rate_limit, rate_limit_resources


def test_resources_are_for_every_device_or_for_one() -> None:
    assert rate_limit_resources(["R1:10", "R2:5:0", "R2:8:1"]) == {
        ("R1", None): 10,
        ("R2", 0): 5,
        ("R2", 1): 8,
    }


def test_a_host_policys_settings_add_up_and_cores_may_come_in_several_ranges() -> None:
    assert host_policies(["gpu_0,numa-node=1", "gpu_0,cpu-cores=0-2,8-9", "cpu,cpu-cores=3-3"]) == {
        "gpu_0": HostPolicy(frozenset({0, 1, 2, 8, 9}), 1),
        "cpu": HostPolicy(frozenset({3})),
    }


@pytest.mark.parametrize("word", ["execution_count", "EXECUTION_COUNT"])
def test_the_limiters_mode_is_read_in_any_case(word: str) -> None:
    assert rate_limit(word) is RateLimit.EXECUTION_COUNT


RESOURCES = "format is '<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got "
POLICIES = "format is '<policy name>,<setting>=<value>'. Got "
CORES = "'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got "


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (rate_limit_resources, ["R1"], RESOURCES + "R1"),
        (rate_limit_resources, ["R1:1:2:3"], RESOURCES + "R1:1:2:3"),
        (rate_limit_resources, ["R1:some"], RESOURCES + "R1:some"),
        (rate_limit_resources, [":1"], RESOURCES + ":1"),
        (rate_limit_resources, ["R1:1", "R1:2"], "R1 is said to be 1 and 2"),
        (host_policies, ["cpu"], POLICIES + "cpu"),
        (host_policies, ["cpu,cpu-cores"], POLICIES + "cpu,cpu-cores"),
        (host_policies, ["cpu,cpu-cores=3"], CORES + "3"),
        (host_policies, ["cpu,cpu-cores=0-1,7"], CORES + "7"),
        (host_policies, ["cpu,cpu-cores=5-1"], CORES + "5-1"),
        (host_policies, ["cpu,numa-node=x"], "Can't parse 'x' to integer"),
        (host_policies, ["cpu,cores=0-1"], "'cores' is no setting; there are: cpu-cores, numa-nod"),
    ],
)
def test_what_has_another_form_is_refused_in_tritons_words(
    read: Callable[[Sequence[str]], object], given: list[str], said: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(given)
    assert said in refused.value.message


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        from_flags(
            {"model_repository": ["m"], "rate_limit": "some", "host_policy": ["a"]}, ["and this"]
        )
    text = refused.value.message
    assert "--rate-limit: expected off or execution_count, found 'some'" in text
    assert POLICIES in text
    assert "and this" in text
