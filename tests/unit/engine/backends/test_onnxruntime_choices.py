"""What a configuration makes of providers and settings: pure, for any installation (spec 2c)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.backend import Placement
from engine.backends.onnxruntime.accelerated import stand_in, through_openvino
from engine.backends.onnxruntime.providers import (
    Provider,
    cached,
    choose,
    runs_elsewhere,
    unused,
)
from engine.backends.onnxruntime.settings import GraphLevel, read
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import (
    Accelerator,
    ExecutionAccelerators,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    Optimization,
)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
RTX = "NvTensorRTRTXExecutionProvider"
ALL = (TENSORRT, CUDA, OPENVINO, CPU)
ON_GPU = Placement(device=1)


def model(
    gpu: tuple[Accelerator, ...] = (),
    cpu: tuple[Accelerator, ...] = (),
    instances: int = 1,
    parameters: Mapping[str, str] | None = None,
) -> ModelConfig:
    return ModelConfig(
        name="m",
        parameters=parameters or {},
        instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=instances),),
        optimization=Optimization(
            execution_accelerators=ExecutionAccelerators(
                gpu_execution_accelerator=gpu, cpu_execution_accelerator=cpu
            )
        ),
    )


def acc(name: str, **parameters: str) -> Accelerator:
    return Accelerator(name=name, parameters=parameters)


def test_a_cpu_instance_runs_on_the_cpu() -> None:
    assert choose(ModelConfig(name="m"), Placement(), ALL) == (Provider(CPU),)
    assert choose(model(gpu=(acc("tensorrt"),)), Placement(), ALL) == (Provider(CPU),)


@pytest.mark.triton("2c.5", "2c.7")
def test_a_gpu_instance_always_has_cuda_before_the_cpu() -> None:
    assert choose(ModelConfig(name="m"), ON_GPU, ALL) == (
        Provider(CUDA, {"device_id": "1"}),
        Provider(CPU),
    )


@pytest.mark.triton("2c.6", "2c.7")
def test_the_order_is_gpu_accelerators_cuda_cpu_accelerators_cpu() -> None:
    chosen = choose(model(gpu=(acc("cuda"), acc("tensorrt")), cpu=(acc("openvino"),)), ON_GPU, ALL)
    assert [provider.name for provider in chosen] == [TENSORRT, CUDA, OPENVINO, CPU]
    assert chosen[2].options == {"device_type": "CPU"}


@pytest.mark.triton("2c.4")
def test_tensorrt_parameters_are_translated() -> None:
    chosen = choose(
        model(
            gpu=(
                acc(
                    "tensorrt",
                    precision_mode="FP16",
                    max_workspace_size_bytes="1073741824",
                    trt_engine_cache_enable="1",
                ),
            )
        ),
        ON_GPU,
        ALL,
    )
    assert chosen[0] == Provider(
        TENSORRT,
        {
            "trt_fp16_enable": "1",
            "trt_max_workspace_size": "1073741824",
            "trt_engine_cache_enable": "1",
            "device_id": "1",
        },
    )


@pytest.mark.triton("2c.5")
def test_cuda_takes_any_option_and_the_old_top_level_ones() -> None:
    chosen = choose(
        model(
            gpu=(acc("cuda", use_ep_level_unified_stream="True", tunable_op_enable="1"),),
            parameters={
                "cudnn_conv_algo_search": "1",
                "arena_extend_strategy": "1",
                "gpu_mem_limit": "4294967296",
                "do_copy_in_default_stream": "false",
            },
        ),
        ON_GPU,
        ALL,
    )
    assert chosen[0] == Provider(
        CUDA,
        {
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "gpu_mem_limit": "4294967296",
            "do_copy_in_default_stream": "0",
            "use_ep_level_unified_stream": "1",
            "tunable_op_enable": "1",
            "device_id": "1",
        },
    )


@pytest.mark.triton("2c.4", "2c.5", "2c.6")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        (model(gpu=(acc("npu"),)), "unknown Execution Accelerator 'npu'.*tensorrt, cuda"),
        (model(cpu=(acc("tensorrt"),)), "unknown Execution Accelerator 'tensorrt'.*openvino"),
        (model(gpu=(acc("tensorrt", precision_mode="FP4"),)), "precision mode 'FP4' is requested"),
        (
            model(gpu=(acc("tensorrt", speed="9"),)),
            "unknown parameter 'speed' is provided for TensorRT Execution Accelerator",
        ),
        (model(cpu=(acc("openvino", threads="4"),)), "takes no parameters, found threads"),
        (model(gpu=(acc("cuda", do_copy_in_default_stream="often"),)), "expected true or false"),
        (model(parameters={"cudnn_conv_algo_search": "7"}), "expected one of 0, 1, 2, found '7'"),
    ],
)
def test_what_does_not_exist_is_named(config: ModelConfig, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        choose(config, ON_GPU, ALL)


@pytest.mark.parametrize(
    ("config", "placement", "lacking", "package"),
    [
        (model(), ON_GPU, CUDA, "pip install onnxruntime-gpu"),
        (model(gpu=(acc("tensorrt"),)), ON_GPU, TENSORRT, "tensorrt-cu13"),
        (model(cpu=(acc("openvino"),)), Placement(), OPENVINO, "pip install onnxruntime-openvino"),
    ],
)
def test_a_provider_that_is_not_there_is_an_error_that_names_its_package(
    config: ModelConfig, placement: Placement, lacking: str, package: str
) -> None:
    available = tuple(name for name in ALL if name != lacking)
    with pytest.raises(Unsupported) as caught:
        choose(config, placement, available)
    assert lacking in caught.value.message
    assert package in caught.value.message
    assert f"it has: {', '.join(available)}" in caught.value.message


@pytest.mark.triton("2c.11")
def test_without_parameters_an_instance_has_its_share_of_the_cores() -> None:
    settings = read(ModelConfig(name="m"), Placement(threads=4))
    assert (settings.intra_op_threads, settings.inter_op_threads) == (4, 0)
    assert (settings.parallel, settings.arena, settings.memory_pattern) == (False, True, True)
    assert settings.graph_level is GraphLevel.ALL
    assert settings.run_entries == {}


@pytest.mark.triton("2c.11")
def test_parameters_have_their_say() -> None:
    settings = read(
        model(
            parameters={
                "intra_op_thread_count": "3",
                "inter_op_thread_count": "2",
                "execution_mode": "1",
                "enable_mem_arena": "0",
                "enable_mem_pattern": "0",
                "memory.enable_memory_arena_shrinkage": "cpu:0",
                "session.use_device_allocator_for_initializers": "1",
            },
        ),
        Placement(threads=4),
    )
    assert (settings.intra_op_threads, settings.inter_op_threads) == (3, 2)
    assert (settings.parallel, settings.arena, settings.memory_pattern) == (True, False, False)
    assert settings.entries["session.use_device_allocator_for_initializers"] == "1"
    assert settings.run_entries == {"memory.enable_memory_arena_shrinkage": "cpu:0"}


@pytest.mark.triton("2c.1")
@pytest.mark.parametrize(
    ("level", "meaning"),
    [
        (None, GraphLevel.ALL),
        (0, GraphLevel.ALL),
        (-1, GraphLevel.BASIC),
        (1, GraphLevel.EXTENDED),
        (2, GraphLevel.NONE),
    ],
)
def test_graph_levels_are_tritons(level: int | None, meaning: GraphLevel) -> None:
    config = ModelConfig(optimization=Optimization(graph_level=level))
    assert read(config, Placement()).graph_level is meaning


@pytest.mark.parametrize(
    ("instances", "parameters", "spins"),
    [
        (1, {}, True),
        (2, {}, False),
        (1, {"intra_op_thread_count": "2"}, True),
        (1, {"intra_op_thread_count": "5"}, False),
        (1, {"intra_op_thread_count": "0"}, False),
        (1, {"session.intra_op.allow_spinning": "0"}, False),
        (2, {"session.intra_op.allow_spinning": "1"}, True),
    ],
)
def test_threads_spin_only_if_the_cores_are_theirs(
    instances: int, parameters: dict[str, str], *, spins: bool
) -> None:
    config = model(instances=instances, parameters=parameters)
    assert read(config, Placement(threads=4 // instances)).spins is spins


@pytest.mark.triton("2c.11")
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("intra_op_thread_count", "-2"),
        ("inter_op_thread_count", "many"),
        ("execution_mode", "2"),
        ("enable_mem_arena", "yes"),
    ],
)
def test_a_parameter_that_is_not_what_it_should_be_is_named(key: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"parameters\['{key}'\]: expected a whole number"):
        read(model(parameters={key: text}), Placement())


@pytest.mark.triton("2c.1")
def test_an_unknown_graph_level_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"graph\.level: expected 0 .* found 7"):
        read(ModelConfig(optimization=Optimization(graph_level=7)), Placement())


@pytest.mark.triton("2c.6")
@pytest.mark.parametrize(
    ("config", "placement", "available", "elsewhere"),
    [
        (model(cpu=(acc("openvino"),)), Placement(), (CPU,), True),
        (model(cpu=(acc("openvino"),)), Placement(), ALL, False),
        (model(cpu=(acc("openvino"),)), ON_GPU, (CUDA, CPU), False),
        (model(), Placement(), (CPU,), False),
    ],
)
def test_openvino_is_its_own_package_where_onnx_runtime_has_no_such_provider(
    config: ModelConfig, placement: Placement, available: tuple[str, ...], *, elsewhere: bool
) -> None:
    assert runs_elsewhere(config, placement, available) is elsewhere


def test_parameters_mean_the_same_through_the_package_openvino() -> None:
    config = stand_in(
        model(instances=2, parameters={"intra_op_thread_count": "3", "execution_mode": "1"}),
        "net/model.onnx",
    )
    assert (config.backend, config.default_model_filename) == ("openvino", "net/model.onnx")
    assert config.parameters == {"INFERENCE_NUM_THREADS": "6"}


def test_without_either_package_the_error_names_both(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        through_openvino(
            tmp_path,
            tmp_path / "model.onnx",
            model(cpu=(acc("openvino"),)),
            Placement(),
            look_up=lambda _name: None,
        )
    assert "pip install 'servetune[openvino]'" in caught.value.message
    assert "pip install onnxruntime-openvino" in caught.value.message


@pytest.mark.triton("2c.6", "2c.7")
def test_a_provider_that_is_dropped_or_has_no_nodes_is_told_unless_that_is_allowed() -> None:
    asked = (Provider(OPENVINO), Provider(CPU))
    allowed = model(parameters={"allow_provider_fallback": "true"})
    assert "could not use OpenVINOExecutionProvider" in unused(model(), asked, [CPU], {})
    idle = unused(model(), asked, [OPENVINO, CPU], {CPU: 7})
    assert "takes none of the model's nodes (7 on CPUExecutionProvider)" in idle
    assert unused(model(), asked, [OPENVINO, CPU], {OPENVINO: 5, CPU: 2}) == ""
    assert unused(model(), asked, [OPENVINO, CPU], {}) == ""
    assert unused(model(), (Provider(CPU),), [CPU], {CPU: 7}) == ""
    assert unused(allowed, asked, [CPU], {CPU: 7}) == ""


@pytest.mark.triton("2c.4")
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("FP32", {}),
        ("FP16", {"trt_fp16_enable": "1"}),
        ("BF16", {"trt_bf16_enable": "1"}),
        ("INT8", {"trt_int8_enable": "1"}),
    ],
)
def test_tensorrt_computes_in_the_precision_that_is_asked_for(
    mode: str, options: dict[str, str]
) -> None:
    chosen = choose(model(gpu=(acc("tensorrt", precision_mode=mode),)), ON_GPU, ALL)
    assert chosen[0].options == {**options, "device_id": "1"}


PASSED_ON = """
max_partition_iterations min_subgraph_size dla_enable dla_core engine_cache_enable engine_cache_path
engine_cache_prefix dump_subgraphs force_sequential_engine_build context_memory_sharing_enable
layer_norm_fp32_fallback timing_cache_enable timing_cache_path force_timing_cache detailed_build_log
build_heuristics_enable sparsity_enable builder_optimization_level auxiliary_streams tactic_sources
extra_plugin_lib_paths profile_min_shapes profile_max_shapes profile_opt_shapes cuda_graph_enable
dump_ep_context_model ep_context_file_path ep_context_embed_mode
"""


@pytest.mark.triton("2c.4")
def test_tensorrt_takes_every_parameter_that_triton_hands_on() -> None:
    given = {f"trt_{name}": f"x{number}" for number, name in enumerate(PASSED_ON.split())}
    renamed = {
        "int8_calibration_table_name": "table",
        "int8_use_native_calibration_table": "1",
    }
    chosen = choose(model(gpu=(acc("tensorrt", **given, **renamed),)), ON_GPU, ALL)
    expected = {**given, **{f"trt_{name}": value for name, value in renamed.items()}}
    assert chosen[0].options == {**expected, "device_id": "1"}


@pytest.mark.triton("2c.4")
def test_what_tensorrt_builds_is_kept_beside_the_model_unless_a_parameter_says_otherwise() -> None:
    asked = (Provider(TENSORRT, {"trt_timing_cache_enable": "0"}), Provider(CUDA), Provider(CPU))
    kept = cached(asked, "/m/.tensorrt/1")
    assert kept[0].options == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/m/.tensorrt/1",
        "trt_timing_cache_enable": "0",
        "trt_timing_cache_path": "/m/.tensorrt/1",
    }
    assert kept[1:] == asked[1:]
    assert cached(asked, "") == asked


@pytest.mark.triton("2c.4")
def test_tensorrt_rtx_stands_in_where_tensorrt_cannot_be_used() -> None:
    asked = model(
        gpu=(
            acc(
                "tensorrt",
                max_workspace_size_bytes="7",
                trt_profile_max_shapes="x:8x4",
                trt_timing_cache_enable="1",
            ),
        )
    )
    options = {"nv_max_workspace_size": "7", "nv_profile_max_shapes": "x:8x4"}
    chosen = choose(asked, ON_GPU, (RTX, CUDA, CPU))
    assert chosen == (Provider(RTX, options), Provider(CUDA, {"device_id": "1"}), Provider(CPU))
    assert choose(asked, ON_GPU, (RTX, CPU)) == (Provider(RTX, options), Provider(CPU))
    assert choose(asked, ON_GPU, (TENSORRT, RTX, CUDA, CPU))[0].name == TENSORRT
    kept = cached(chosen, "/m/.tensorrt/1")
    assert kept[0].options == {**options, "nv_runtime_cache_path": "/m/.tensorrt/1"}
    assert kept[1:] == chosen[1:]
    halved = model(gpu=(acc("tensorrt", precision_mode="FP16"),))
    with pytest.raises(Unsupported, match=r"no precision_mode FP16: .*--to onnx_fp16"):
        choose(halved, ON_GPU, (RTX, CUDA, CPU))
    with pytest.raises(Unsupported, match="lacks TensorrtExecutionProvider"):
        choose(halved, ON_GPU, (CUDA, CPU))


def test_tensorrt_rtx_has_an_accelerator_of_its_own() -> None:
    asked = model(gpu=(acc("tensorrt_rtx", nv_cuda="1", enable_cuda_graph="1"),))
    assert choose(asked, ON_GPU, (RTX, CPU)) == (
        Provider(RTX, {"nv_cuda": "1", "enable_cuda_graph": "1"}),
        Provider(CPU),
    )
    with pytest.raises(Unsupported, match="pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        choose(asked, ON_GPU, (CUDA, CPU))
    with pytest.raises(
        InvalidArgument, match="unknown parameter 'trt_x' is provided for TensorRT-R"
    ):
        choose(model(gpu=(acc("tensorrt_rtx", trt_x="1"),)), ON_GPU, (RTX, CPU))
