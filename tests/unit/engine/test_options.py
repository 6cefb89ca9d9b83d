from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InvalidArgument
from engine.options import (
    IDLE,
    LATER,
    ModelControlMode,
    ServeOptions,
    backend_settings,
    endpoints,
    from_flags,
    leftover,
    near_misses,
    switch,
    verbosity,
)

KNOWN = ("--http-port", "--model-repository")


def flags(**given: Any) -> Mapping[str, Any]:
    return {"model_repository": [Path("models")], **given}


def wrong(**given: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        from_flags(flags(**given))
    return caught.value.message


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "on", "On", "1"])
def test_every_form_of_true_is_true(text: str) -> None:
    assert switch("exit-on-error", text) is True


@pytest.mark.parametrize("text", ["false", "False", "off", "OFF", "0"])
def test_every_form_of_false_is_false(text: str) -> None:
    assert switch("exit-on-error", text) is False


@pytest.mark.parametrize("text", ["", "yes", "2", "tru"])
def test_anything_else_is_no_boolean(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--exit-on-error: expected true or false"):
        switch("exit-on-error", text)


@pytest.mark.parametrize(
    ("text", "level"), [("0", 0), ("1", 1), ("7", 7), ("True", 1), ("off", 0), ("false", 0)]
)
def test_verbosity_is_a_number_or_a_boolean(text: str, level: int) -> None:
    assert verbosity(text) == level


def test_verbosity_is_nothing_else() -> None:
    with pytest.raises(InvalidArgument, match="--log-verbose: expected 0, 1 or more, found '-1'"):
        verbosity("-1")


def test_backend_settings_belong_to_one_backend_or_to_all() -> None:
    texts = ["onnxruntime,default-max-batch-size=2", "default-max-batch-size=8"]
    assert backend_settings(texts) == {
        "onnxruntime": {"default-max-batch-size": "2"},
        "": {"default-max-batch-size": "8"},
    }


@pytest.mark.triton("2c.11")
def test_the_size_of_a_pool_of_threads_asks_for_the_pool() -> None:
    sizes = ["onnxruntime,intra_op_thread_count=2", "onnxruntime,inter_op_thread_count=1"]
    assert "add onnxruntime,enable-global-threadpool=1" in wrong(backend_config=sizes)
    shared = from_flags(flags(backend_config=[*sizes, "onnxruntime,enable-global-threadpool=1"]))
    assert shared.backend_config["onnxruntime"]["intra_op_thread_count"] == "2"


def test_a_backend_setting_that_nobody_reads_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="expected a whole number, found 'abc'"):
        backend_settings(["default-max-batch-size=abc"])
    with pytest.raises(InvalidArgument, match="--backend-config: shm-size of python is not avail"):
        backend_settings(["python,shm-size=4"])


def test_a_setting_of_a_name_that_is_no_backend_of_ours_is_a_librarys() -> None:
    texts = ["mine,mode=fast", "mine,default-max-batch-size=2", "native,key=a=b"]
    assert backend_settings(texts) == {
        "mine": {"mode": "fast", "default-max-batch-size": "2"},
        "native": {"key": "a=b"},
    }
    with pytest.raises(InvalidArgument, match="expected a whole number, found 'x'"):
        backend_settings(["mine,default-max-batch-size=x"])
    with pytest.raises(InvalidArgument, match="mode of synthetic is not available"):
        backend_settings(["synthetic,mode=fast"])


def test_a_backends_name_that_is_nearly_one_of_ours_is_noticed() -> None:
    texts = ["onnxruntme,mode=fast", "mine,mode=fast", "onnxruntime,default-max-batch-size=2"]
    (note,) = near_misses(from_flags(flags(backend_config=texts)))
    assert "no backend here is called 'onnxruntme'" in note
    assert "did you mean 'onnxruntime'?" in note


@pytest.mark.parametrize("text", ["onnxruntime", "onnxruntime,", ",a=1", "=1", "onnxruntime,=1"])
def test_a_backend_setting_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"expected \[BACKEND,\]SETTING=VALUE"):
        backend_settings([text])


def test_flags_that_are_absent_or_none_leave_tritons_defaults() -> None:
    assert from_flags(flags()) == ServeOptions(model_repository=(Path("models"),))
    assert from_flags(flags(metrics_address=None, load_model=None)) == from_flags(flags())


def test_booleans_lists_and_settings_arrive_typed() -> None:
    options = from_flags(
        flags(
            allow_grpc="OFF",
            reuse_http_port="1",
            log_verbose="True",
            load_model=["a", "b"],
            model_control_mode=ModelControlMode.EXPLICIT,
            backend_config=["x,default-max-batch-size=2"],
        )
    )
    assert options.allow_grpc is False
    assert options.reuse_http_port is True
    assert options.log_verbose == 1
    assert options.load_model == ("a", "b")
    assert options.backend_config == {"x": {"default-max-batch-size": "2"}}


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("false", False)])
def test_tritons_old_name_for_disabling_auto_completion_is_known(
    text: str,
    expected: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    assert from_flags(flags(strict_model_config=text)).disable_auto_complete_config is expected


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_flags(
            {"allow_http": "maybe", "log_verbose": "x", "load_model": ["a"]}, ["known already"]
        )
    lines = caught.value.message.splitlines()
    assert lines[0] == "known already"
    assert [line.partition(":")[0].split()[0] for line in lines[1:]] == [
        "--allow-http",
        "--log-verbose",
        "--model-repository",
        "--load-model",
    ]


@pytest.mark.triton("3.3")
def test_models_are_named_only_in_explicit_mode() -> None:
    assert "requires --model-control-mode=explicit" in wrong(load_model=["a"])
    explicit = ModelControlMode.EXPLICIT
    assert "'*' loads every model" in wrong(load_model=["*", "a"], model_control_mode=explicit)


def test_a_server_that_serves_nothing_is_refused() -> None:
    assert "nothing would be served" in wrong(allow_http="false", allow_grpc="false")


def test_two_services_cannot_share_a_port() -> None:
    assert wrong(grpc_port=8000) == ("--http-port and --grpc-port are both 8000; give each its own")
    assert "--http-port and --metrics-port" in wrong(http_port=8002)


def test_ports_collide_only_where_something_listens_on_the_same_address() -> None:
    assert from_flags(flags(http_port=8001, allow_grpc="false"))
    assert from_flags(flags(http_port=0, grpc_port=0, metrics_port=0))
    assert from_flags(flags(http_address="127.0.0.1", grpc_address="127.0.0.2", grpc_port=8000))
    assert "both 8000" in wrong(http_address="127.0.0.1", grpc_port=8000)


def test_metrics_are_where_http_is_unless_told_otherwise() -> None:
    here = from_flags(flags(http_address="127.0.0.1", allow_grpc="0"))
    assert endpoints(here) == (("http", "127.0.0.1", 8000), ("metrics", "127.0.0.1", 8002))
    there = from_flags(flags(metrics_address="127.0.0.9", allow_grpc="0"))
    assert endpoints(there)[1] == ("metrics", "127.0.0.9", 8002)


def test_a_flag_of_a_later_version_is_refused_by_name_and_topic() -> None:
    for words in (["--trace-config=level=OFF"], ["--trace-config", "level=OFF"]):
        assert leftover(words, KNOWN).problems == (
            "--trace-config: not available in this version (tracing); leave it out",
        )


@pytest.mark.parametrize("name", sorted(LATER))
def test_repeating_tritons_default_asks_for_nothing(name: str) -> None:
    accepted, what = LATER[name]
    for value in accepted:
        for words in ([f"--{name}={value}"], [f"--{name}={value.upper()}"]):
            assert leftover(words, KNOWN).problems == ()
    assert f"({what})" in leftover([f"--{name}=something-else"], KNOWN).problems[0]
    assert leftover([f"--{name}"], KNOWN).problems


@pytest.mark.parametrize("text", ["off", "0", "False"])
def test_a_default_of_false_has_every_form(text: str) -> None:
    assert leftover([f"--grpc-use-ssl={text}"], KNOWN).problems == ()


@pytest.mark.parametrize("name", sorted(IDLE))
def test_a_flag_without_effect_is_noted(name: str) -> None:
    judged = leftover([f"--{name}", "8"], KNOWN)
    assert judged.problems == ()
    assert judged.notes == (f"--{name} has no effect: {IDLE[name]}",)


def test_an_unknown_flag_is_answered_with_the_nearest() -> None:
    (problem,) = leftover(["--http-prot=1"], KNOWN).problems
    assert problem == "--http-prot: no such flag; did you mean --http-port?"
    (problem,) = leftover(["--qqq"], KNOWN).problems
    assert problem == "--qqq: no such flag; --help lists the flags there are"


def test_a_stray_word_is_no_value_of_the_flag_before_it() -> None:
    judged = leftover(["--http-thread-count=8", "models"], KNOWN)
    assert len(judged.notes) == 1
    assert "'models': expected a flag" in judged.problems[0]


def test_no_flag_is_both_ours_and_refused() -> None:
    ours = {name.replace("_", "-") for name in ServeOptions.__dataclass_fields__}
    assert ours.isdisjoint(LATER)
    assert ours.isdisjoint(IDLE)
    assert set(LATER).isdisjoint(IDLE)


@pytest.mark.triton("1.8")
@pytest.mark.parametrize("name", ["", "two words", "../other"])
def test_a_configurations_name_is_a_files_name(name: str) -> None:
    assert "--model-config-name: expected the name of a file in configs/" in wrong(
        model_config_name=name
    )
    assert from_flags(flags(model_config_name="h100")).model_config_name == "h100"
