"""--metrics-config and --cache-config, in Triton's forms."""

from __future__ import annotations

import pytest

from engine.errors import InvalidArgument
from engine.metering import (
    QUANTILES,
    CacheChoice,
    Metering,
    Quantile,
    cache_config,
    metrics_config,
)
from engine.options import from_flags


def test_nothing_said_is_tritons_default() -> None:
    assert metrics_config([]) == Metering()
    assert Metering().counter_latencies
    assert not Metering().histogram_latencies
    assert not Metering().summary_latencies
    assert Metering().summary_quantiles == QUANTILES
    assert cache_config([]) is None


@pytest.mark.parametrize("form", ["true", "True", "on", "1", '"true"'])
def test_switches_have_every_form_and_add_up(form: str) -> None:
    got = metrics_config([f"summary_latencies={form}", "counter_latencies=false"])
    assert got == Metering(summary_latencies=True, counter_latencies=False)


@pytest.mark.parametrize("text", ["0.5:0.05,0.9:0.01", '"0.5:0.05,0.9:0.01"'])
def test_quantiles_come_with_their_errors(text: str) -> None:
    got = metrics_config([f"summary_quantiles={text}"])
    assert got.summary_quantiles == (Quantile(0.5, 0.05), Quantile(0.9, 0.01))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("summary_latencies", "option format is '<setting>=<value>'. Got summary_latencies"),
        ("model,summary_latencies=true", "option format"),
        ("=true", "option format"),
        ("summary_latency=true", "unknown setting 'summary_latency'"),
        ("summary_latencies=maybe", "expected true or false"),
        ("summary_quantiles=0.5", "got '0.5'"),
        ("summary_quantiles=0.5:x", "got '0.5:x'"),
        ("summary_quantiles=", "expected '<quantile>:<error>"),
        ("summary_quantiles=1.5:0.1", "between 0 and 1"),
        ("summary_quantiles=nan:0.1", "between 0 and 1"),
        ("summary_quantiles=0.5:0.1,0.5:0.2", "names one twice"),
    ],
)
def test_what_is_wrong_with_a_metrics_setting_is_said(text: str, told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        metrics_config([text])
    assert told in caught.value.message
    assert "--metrics-config" in caught.value.message


@pytest.mark.triton("11.1")
def test_settings_of_one_cache_add_up_over_flags_and_commas() -> None:
    assert cache_config(["local,size=1048576"]) == CacheChoice("local", {"size": "1048576"})
    there = CacheChoice("redis", {"host": "h", "port": "1", "password": "a=b"})
    assert cache_config(["redis,host=h", "redis,port=1", "redis,password=a=b"]) == there
    assert cache_config(["redis,host=h,port=1,password=a=b"]) == there


@pytest.mark.triton("11.1")
@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["local"], "option format is '<cache name>,<setting>=<value>'. Got local"),
        (["size=5"], "option format"),
        ([",size=5"], "option format"),
        (["local,size"], "option format"),
        (["local,size=1", "redis,host=x"], "local and redis: a server has one response cache"),
    ],
)
def test_what_is_wrong_with_a_cache_is_said(texts: list[str], told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        cache_config(texts)
    assert told in caught.value.message


@pytest.mark.triton("11.1")
def test_the_old_flag_means_a_local_cache_and_excludes_the_new_one() -> None:
    given = {"model_repository": ["models"]}
    assert from_flags({**given, "response_cache_byte_size": 0}).cache_config is None
    old = from_flags({**given, "response_cache_byte_size": 4096})
    assert old.cache_config == CacheChoice("local", {"size": "4096"})
    with pytest.raises(InvalidArgument, match="Incompatible flags"):
        from_flags({**given, "response_cache_byte_size": 1, "cache_config": ["local,size=1"]})
