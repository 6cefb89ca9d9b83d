"""What every backend keeps to, whatever runs below it.

A backend's own test inherits ``BackendKit`` and says how to make a model that gives its input X
(FP32, [-1, 4]) back as Y; ``test_every_backend.py`` sees to it that each has such a test.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.works import work

from engine.backend import Backend, Executor, Placement, Runnable, Signature
from engine.errors import EngineError
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.types import Array, DType, TensorSpec

Loaded = Runnable | Executor


def compute(
    loaded: Loaded, inputs: Mapping[str, Array], outputs: Sequence[str]
) -> dict[str, Array]:
    """Run a model of either kind on one request."""
    if not isinstance(loaded, Executor):
        return dict(loaded.run(inputs, outputs))
    asked = work(inputs, outputs)
    loaded.execute([asked.work])
    (answer,) = asked.answers
    assert not isinstance(answer, EngineError), answer
    assert answer is not None
    return {tensor.name: tensor.array for tensor in answer}


class BackendKit:
    """Inherit, and override the three."""

    backend: Backend
    has_files = True

    def make(self, directory: Path) -> ModelConfig:
        """Put an identity model into ``directory`` and return what its configuration says."""
        raise NotImplementedError

    @staticmethod
    def identity(backend: str) -> ModelConfig:
        """Describe the model that the kit expects."""
        return ModelConfig(
            name="identity",
            backend=backend,
            max_batch_size=8,
            input=(ModelInput(name="X", data_type=DType.FP32, dims=(4,)),),
            output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(4,)),),
        )

    @pytest.fixture
    def runnable(self, tmp_path: Path) -> Iterator[Loaded]:
        loaded = self.backend.load(tmp_path, self.make(tmp_path), Placement())
        yield loaded
        loaded.close()

    @pytest.mark.parametrize("rows", [0, 1, 3, 8])
    def test_any_number_of_rows_goes_through_unchanged(self, runnable: Loaded, rows: int) -> None:
        array = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
        (result,) = compute(runnable, {"X": array}, ["Y"]).values()
        np.testing.assert_array_equal(result, array)
        assert result.dtype == array.dtype

    def test_rows_of_a_larger_array_and_read_only_arrays_are_inputs_too(
        self, runnable: Loaded
    ) -> None:
        whole = np.arange(64, dtype=np.float32).reshape(8, 8)
        part = whole[2:5, ::2]
        np.testing.assert_array_equal(compute(runnable, {"X": part}, ["Y"])["Y"], part)
        frozen = np.frombuffer(bytes(33), np.float32, count=8, offset=1).reshape(2, 4)
        np.testing.assert_array_equal(compute(runnable, {"X": frozen}, ["Y"])["Y"], frozen)

    def test_it_says_what_runs(self, runnable: Loaded) -> None:
        described = runnable.describe()
        assert described["runtime"]
        assert all(isinstance(value, str) for value in described.values())

    def test_a_signature_agrees_with_the_configuration(self, tmp_path: Path) -> None:
        config = self.make(tmp_path)
        signature = self.backend.inspect(tmp_path, config)
        if signature is not None:
            assert signature == Signature(
                (TensorSpec("X", DType.FP32, (-1, 4)),),
                (TensorSpec("Y", DType.FP32, (-1, 4)),),
                batchable=True,
            )

    def test_instances_run_side_by_side(self, tmp_path: Path) -> None:
        config = self.make(tmp_path)
        results: dict[int, bool] = {}

        def work(number: int) -> None:
            runnable = self.backend.load(tmp_path, config, Placement())
            array = np.full((2, 4), number, np.float32)
            results[number] = all(
                np.array_equal(compute(runnable, {"X": array}, ["Y"])["Y"], array)
                for _ in range(20)
            )
            runnable.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == dict.fromkeys(range(4), True)

    def test_a_missing_model_is_an_error_that_names_the_place(self, tmp_path: Path) -> None:
        config = self.make(tmp_path)
        if not self.has_files:
            return
        empty = tmp_path / "empty"
        empty.mkdir()
        for act in (
            lambda: self.backend.inspect(empty, config),
            lambda: self.backend.load(empty, config, Placement()),
        ):
            with pytest.raises(EngineError, match=str(empty)):
                act()
