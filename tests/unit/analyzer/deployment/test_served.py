"""How the chosen server is started in a container: its flags, variables and packages."""

from collections.abc import Mapping

import pytest
from support.deployments import VERSIONS, config, journal_head, rows

from analyzer.deployment.choice import choose
from analyzer.deployment.served import packages, served
from analyzer.deployment.values import Served, Wish
from analyzer.ranking.goal import parse_goal
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

CHOICE = choose(rows(), parse_goal())
OPENVINO_ON_ONNX = """
optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }
"""


def loaded(text: str = config()) -> ModelConfig:
    return convert.loads(text, "m")


def how(
    options: Mapping[str, object] | None = None,
    *models: ModelConfig,
    wish: Wish = Wish(),  # noqa: B008 - it does not change
) -> Served:
    configs = {each.name: each for each in models or (loaded(),)}
    return served(CHOICE, journal_head(options), configs, wish)


def test_the_flags_of_the_measured_server_go_along() -> None:
    flags = ["--rate-limit=execution_count", "--exit-timeout-secs=50", "--log-file=x.log"]
    found = how({"server_flags": [*flags, "--disable-auto-complete-config"]})
    assert found.flags == ("--rate-limit=execution_count", "--disable-auto-complete-config")
    assert found.exit_timeout_s == 50
    assert not found.notes


def test_models_that_were_measured_together_had_one_servers_flags() -> None:
    found = how({"together": {"m": {"server_flags": ["--log-verbose=1"]}, "n": {}}})
    assert found.flags == ("--log-verbose=1",)


def test_a_configuration_by_name_does_not_hide_the_chosen_one() -> None:
    assert how({"server_flags": ["--model-config-name=other"]}).flags == ()


def test_what_a_container_has_not_is_a_note() -> None:
    found = how({
        "server_flags": ["--allow-client-shm=true", "--host-policy=cpu,cpu-cores=0-3"],
        "environment": {"CUDA_VISIBLE_DEVICES": "GPU-1", "API_KEY": "s3cret", "MALLOC": "1"},
    })  # fmt: skip
    assert found.flags == ("--host-policy=cpu,cpu-cores=0-3",)
    assert found.environment == {"MALLOC": "1"}
    said = " ".join(found.notes)
    for words in ("shared memory", "static CPU manager", "left to the cluster", "API_KEY"):
        assert words in said
    assert "s3cret" not in said


def test_native_backends_have_a_folder_in_the_image() -> None:
    found = how({"server_flags": ["--backend-directory=/opt/b"]})
    assert (found.backends, found.flags) == ("/opt/b", ("--backend-directory=/backends",))


def test_python_models_are_asked_what_they_import() -> None:
    model = loaded(config(backend="python"))
    assert "--pip PACKAGE" in how({}, model).notes[0]
    found = how({}, model, wish=Wish(packages=("scipy==1.14.0",)))
    assert not found.notes
    assert found.requirements[-1] == "scipy==1.14.0"


def test_a_runtime_outside_the_model_is_a_note() -> None:
    text = config(backend="python") + (
        'parameters { key: "EXECUTION_ENV_PATH" value: { string_value: "/envs/a.tar.gz" } }'
    )
    assert "/envs/a.tar.gz" in how({}, loaded(text)).notes[-1]


def test_python_is_the_measured_one() -> None:
    assert how().python == "3.12"


@pytest.mark.parametrize(
    ("text", "more", "named", "pinned", "swapped"),
    [
        (config(), {}, "servetune==0.1.0", "onnxruntime==1.22.0", ""),
        (config(backend="openvino"), {}, "servetune[openvino]==0.1.0", "openvino==2025.3.0", ""),
        (config() + OPENVINO_ON_ONNX, {}, "servetune[openvino]==0.1.0", "openvino==2025.3.0", ""),
        (config(backend="pytorch"), {}, "servetune[torch]==0.1.0", "torch==2.13.0", ""),
        (config(backend="tensorflow"), {}, "servetune[openvino]==0.1.0", "openvino==2025.3.0", ""),
        (config(backend="tensorflow"), {"tensorflow": "2.21.0"}, "servetune==0.1.0",
         "tensorflow==2.21.0", ""),
        (config(backend="tensorflow"), {"tensorflow-cpu": "2.21.0"},
         "servetune[tensorflow]==0.1.0", "tensorflow-cpu==2.21.0", ""),
        (config(kind="GPU"), {"onnxruntime-gpu": "1.22.0"}, "servetune==0.1.0", "numpy==2.1.0",
         "onnxruntime-gpu[cuda,cudnn]==1.22.0"),
        (config() + OPENVINO_ON_ONNX, {"onnxruntime-openvino": "1.21.0"}, "servetune==0.1.0",
         "numpy==2.1.0", "onnxruntime-openvino==1.21.0"),
        (config(backend="tensorrt", kind="GPU"), {"tensorrt-cu13": "10.13.2"},
         "servetune[tensorrt]==0.1.0", "tensorrt-cu13==10.13.2", ""),
    ],
)  # fmt: skip
def test_packages_are_what_the_backend_needs_as_it_was_measured(
    text: str, more: Mapping[str, str], named: str, pinned: str, swapped: str
) -> None:
    lines, instead = packages((loaded(text),), {**VERSIONS, **more}, ())
    assert lines[0] == named
    assert pinned in lines
    assert instead == swapped
    assert ("onnxruntime==1.22.0" in lines) is not bool(swapped)


def test_a_cache_elsewhere_needs_its_client() -> None:
    lines, _ = packages((loaded(),), {}, ("--cache-config=redis,host=cache",))
    assert lines[0].startswith("servetune[redis]==")


def test_where_versions_are_not_known_the_extra_brings_them() -> None:
    lines, _ = packages((loaded(config(backend="pytorch")),), {}, ())
    assert lines == (lines[0],)
    assert lines[0].startswith("servetune[torch]==")
