"""What may be wrong with warm-up samples and with metrics of a model's own.

Owns: the rules for ``model_warmup`` and ``model_metrics``. Does not own: running a sample, nor
reading its files.

1. A sample is run past the scheduler, so it brings every input that the model's file has: those
   of the requests, those that a sequence batcher fills, and those computed from a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from engine.modelconfig.check_tensors import leaves_the_folder
from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import MetricControl, ModelConfig, ModelWarmup, WarmupInput

#: the families of metrics that a model may set up for itself
FAMILIES = ("nv_inference_first_response_histogram_ms",)


def check_samples(config: ModelConfig) -> Iterator[Finding]:
    """Say what is wrong with the warm-up and the metrics."""
    if config.is_ensemble and config.model_warmup:
        what = f"model_warmup can not be specified for ensemble '{config.name}'"
        yield Finding(("model_warmup",), what, "warm up the models of its steps")
    else:
        for index, sample in enumerate(config.model_warmup):
            yield from _sample(sample, ("model_warmup", index), config)
    for index, metric in enumerate(config.model_metrics or ()):
        yield from _metric(metric, ("model_metrics", "metric_control", index), config.name)


def _sample(sample: ModelWarmup, path: Path, config: ModelConfig) -> Iterator[Finding]:
    which = f"warm-up sample '{sample.name}'"
    if sample.batch_size > max(1, config.max_batch_size):
        what = f"{which} has batch_size {sample.batch_size}, which is above max_batch_size:"
        yield Finding((*path, "batch_size"), f"{what} {config.max_batch_size} for {config.name}")
    known = {tensor.name for tensor in config.input} | config.filled_inputs  # rule 1
    for name, given in sample.inputs.items():
        yield from _input(name, given, (*path, "inputs"), config.name)
        if config.input and name not in known:
            what = f"{which}: the model has no input '{name}' for {config.name}"
            yield Finding((*path, "inputs"), what, near(name, known))
    needed = [tensor.name for tensor in config.input if not tensor.optional]
    if missing := [name for name in needed if name not in sample.inputs and sample.batch_size]:
        what = f"{which} lacks the inputs {', '.join(map(repr, missing))} for {config.name}"
        yield Finding(path, what, "a sample brings every input that is not optional")


def _input(name: str, given: WarmupInput, path: Path, model: str) -> Iterator[Finding]:
    if given.data_type is None:
        yield Finding(path, f"warm-up input '{name}' must specify 'data_type' for {model}")
    if any(dim < 0 for dim in given.dims):
        yield Finding(
            path,
            "warmup setting expects all variable-size dimensions are specified for input "
            f"'{name}' for {model}",
            "write the sizes to run with in the place of -1",
        )
    if given.zero_data is None and given.random_data is None and given.input_data_file is None:
        what = f"warmup setting expects input '{name}' to have input_data_type set for {model}"
        yield Finding(path, what, "add zero_data: true, random_data: true, or input_data_file")
    if given.input_data_file is not None and leaves_the_folder(given.input_data_file):
        what = f"warm-up input '{name}' names a file outside of the model's warmup folder"
        yield Finding(path, f"{what} for {model}")


def _metric(metric: MetricControl, path: Path, model: str) -> Iterator[Finding]:
    if not metric.family:
        yield Finding(path, f"metric identifier must specify non-empty 'family' for {model}")
    elif metric.family not in FAMILIES:
        what = f"model_metrics sets up '{metric.family}', which is no family of {model}'s own"
        yield Finding((*path, "metric_identifier"), what, near(metric.family, FAMILIES), True)
    if metric.buckets is None:
        yield Finding(path, f"metric control must specify 'histogram_options' for {model}")
    elif not metric.buckets:
        what = f"histogram options must specify non-empty 'buckets' for {model}"
        yield Finding((*path, "histogram_options"), what)
    buckets = metric.buckets or ()
    if any(one >= other for one, other in pairwise(buckets)):
        what = f"histogram buckets must ascend for {metric.family} for {model}"
        yield Finding((*path, "histogram_options", "buckets"), what)
