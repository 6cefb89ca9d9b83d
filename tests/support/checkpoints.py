"""Checkpoints as Model Analyzer writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def config(name: str, **fields: object) -> dict[str, Any]:
    tensor = {"dataType": "TYPE_FP32", "dims": ["16"]}
    return {
        "name": name, "platform": "onnxruntime_onnx", "maxBatchSize": 8, "cpu_only": False,
        "input": [{"name": "IN", **tensor}], "output": [{"name": "OUT", **tensor}], **fields,
    }  # fmt: skip


def figures(**values: float) -> list[Any]:
    return [[tag, {"_value": value, "_timestamp": 0}] for tag, value in values.items()]


def measurement(*models: str, throughput: float = 100.0, **load: object) -> dict[str, Any]:
    params = {"batch-size": 1, "concurrency-range": 1, **load}
    return {
        "_model_variants_name": ",".join(models),
        "_gpu_data": {
            "GPU-1": figures(gpu_used_memory=800.0, gpu_free_memory=24000.0, gpu_utilization=30.0),
            "GPU-2": figures(gpu_used_memory=200.0, gpu_free_memory=24000.0, gpu_utilization=10.0),
        },
        "_model_config_measurements": [
            {
                "_model_config_name": model,
                "_model_specific_pa_params": params,
                "_non_gpu_data": figures(
                    perf_throughput=throughput, perf_latency_avg=4.0, perf_latency_p99=9.5
                ),
            }
            for model in models
        ],
    }


def line(model: str, load: str = "--concurrency-range=1") -> str:
    return f"-m {model} -b 1 -i grpc -f {model}-results.csv --verbose-csv {load}"


def variant(configs: Mapping[str, Any], measured: Mapping[str, Any], *behind: object) -> list[Any]:
    runs = [
        {"_model_name": name, "_model_config": each, "_composing_configs": list(behind)}
        for name, each in configs.items()
    ]
    return [{"_triton_env": {}, "_model_run_configs": runs}, dict(measured)]


def checkpoint(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ResultManager.results": {"_results": dict(results)},
        "ResultManager.server_only_data": {"GPU-1": figures(gpu_used_memory=457.0)},
        "MetricsManager.gpus": {"GPU-1": {"name": "A GPU", "total_memory": 25395462144}},
        "ModelManager.model_variant_name_manager": {"_model_config_dicts": {}},
    }


def usual() -> dict[str, Any]:
    """One model: the default at two loads, and a variant with two instances."""
    default, other = "m_config_default", "m_config_0"
    two = line(default, "--concurrency-range=2")
    return checkpoint({"m": {
        default: variant({"m": config(default)}, {
            line(default): measurement(default),
            two: measurement(default, throughput=150.0, **{"concurrency-range": 2}),
        }),
        other: variant(
            {"m": config(other, instanceGroup=[{"count": 2, "kind": "KIND_GPU"}],
                         dynamicBatching={})},
            {line(other): measurement(other, throughput=220.5, **{"batch-size": 4})},
        ),
    }})  # fmt: skip
