"""One instance of a PyTorch model: arrays in, arrays out, by the names of the configuration.

Owns: under which of PyTorch's modes a model runs (rules 1 to 3), and how many threads compute.

1. no gradients are recorded; with ``INFERENCE_MODE`` (the default) nothing else about them either;
2. what else a model's parameters say about runs (cuDNN, TorchScript's optimiser, emptying the
   CUDA cache) is decided at load, so that a model that says nothing pays nothing;
3. PyTorch's threads belong to the thread that computes, so each instance has its share of the
   cores, unless a model has set one count for all (``INTRA_OP_THREAD_COUNT``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch

from engine.backends.pytorch.program import Program
from engine.backends.pytorch.settings import Settings
from engine.backends.pytorch.tensors import to_array, to_torch
from engine.errors import Internal
from engine.modelconfig.agree import control_type
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType

Mode = Callable[[], AbstractContextManager[Any]]


class Session:
    """A program, and the names of its tensors."""

    def __init__(  # noqa: PLR0913 - all of it is decided at load
        self,
        program: Program,
        config: ModelConfig,
        settings: Settings,
        *,
        inputs: Mapping[str, int] | None,
        outputs: Mapping[str, int],
        device: str,
        threads: int,
        held: Callable[[], int | None],
        accelerated: bool,
    ) -> None:
        self._program = program
        self._settings = settings
        self._inputs, self._outputs = inputs, outputs
        self._arguments = len(program.inputs)
        self._device = device
        self._threads, self._held = threads, held
        self._accelerated = accelerated
        self._types_in = _types_in(config)
        self._types_out = _types_out(config)
        self._modes = _modes(settings, device)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            InvalidArgument: an input's strings cannot be given to PyTorch.
            Internal: the model failed, with its text, or gave something else than configured.
        """
        threads = self._held() or self._threads
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with ExitStack() as modes:
            for mode in self._modes:
                modes.enter_context(mode())
            tensors = {name: self._tensor(name, array) for name, array in inputs.items()}
            try:
                results = self._program.call(self._arrange(tensors))
            except Exception as fault:
                raise Internal(f"PyTorch execute failure: {fault}") from fault
            answers = {name: self._answer(name, results) for name in outputs}
        if self._settings.cache_cleaning and self._device != "cpu":
            torch.cuda.empty_cache()
        return answers

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        settings, held = self._settings, self._held()
        return {
            "runtime": f"pytorch {torch.__version__}",
            "format": self._program.kind.value,
            "device": self._device,
            "accelerator": "Torch-TensorRT" if self._accelerated else "none",
            "intra_op_threads": f"{held}, for all PyTorch models" if held else str(self._threads),
            "mode": "inference" if settings.inference_mode else "no gradients",
            "weights": "shared by instances" if settings.weight_sharing else "its own",
        }

    def close(self) -> None:
        """Let the program go."""
        del self._program

    def _tensor(self, name: str, array: Array) -> Any:  # noqa: ANN401 - untyped library
        tensor = to_torch(name, array, self._types_in[name], own=self._program.writes)
        on_cpu = self._device == "cpu" or not isinstance(tensor, torch.Tensor)
        return tensor if on_cpu else tensor.to(self._device)

    def _arrange(self, tensors: Mapping[str, Any]) -> Sequence[Any]:
        if self._inputs is None:
            return [tensors]
        values: list[Any] = [None] * self._arguments
        for name, tensor in tensors.items():
            values[self._inputs[name]] = tensor
        return values

    def _answer(self, name: str, results: Sequence[Any] | Mapping[str, Any]) -> Array:
        try:
            result = results[name] if isinstance(results, Mapping) else results[self._outputs[name]]
        except LookupError as fault:
            gave = ", ".join(results) if isinstance(results, Mapping) else f"{len(results)} results"
            raise Internal(f"there is no output '{name}': the model gave {gave}") from fault
        return to_array(name, result, self._types_out[name], own=self._program.writes)


def _modes(settings: Settings, device: str) -> tuple[Mode, ...]:
    modes: list[Mode] = [torch.inference_mode if settings.inference_mode else torch.no_grad]
    if not settings.optimized_execution:
        modes.append(lambda: torch.jit.optimized_execution(False))
    if device != "cpu" and not settings.cudnn:
        modes.append(lambda: torch.backends.cudnn.flags(enabled=False))
    return tuple(modes)


def _types_in(config: ModelConfig) -> Mapping[str, DType | None]:
    types: dict[str, DType | None] = {tensor.name: tensor.data_type for tensor in config.input}
    for made in config.batch_input:
        types.update((name, made.data_type) for name in made.target_name)
    if config.sequence_batching is not None:
        for tensor in config.sequence_batching.control_input:
            for control in tensor.control:
                types[tensor.name] = control_type(control)
        for state in config.sequence_batching.state:
            types[state.input_name] = state.data_type
    return types


def _types_out(config: ModelConfig) -> Mapping[str, DType | None]:
    types: dict[str, DType | None] = {tensor.name: tensor.data_type for tensor in config.output}
    for state in config.sequence_batching.state if config.sequence_batching else ():
        types[state.output_name] = state.data_type
    return types
