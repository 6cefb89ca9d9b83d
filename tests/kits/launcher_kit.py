"""What every launcher keeps to. A test module subclasses the kit and gives it a launcher.

``launcher`` serves a model named ``model`` that batches.
"""

from dataclasses import replace

import pytest

from analyzer import v2client
from analyzer.errors import LaunchError
from analyzer.launcher import Endpoint, Launcher
from engine.modelconfig.schema import ModelConfig


def smaller(base: ModelConfig, max_batch_size: int) -> ModelConfig:
    """Change the batch size, and drop what may ask for larger batches."""
    return replace(base, max_batch_size=max_batch_size, dynamic_batching=None)


class LauncherKit:
    model = "tiny"

    @pytest.fixture
    def launcher(self) -> Launcher:
        raise NotImplementedError

    def config(self, endpoint: Endpoint) -> ModelConfig:
        return v2client.model_config(endpoint, self.model)

    def test_what_is_served_answers_and_closing_twice_is_closing_once(
        self, launcher: Launcher
    ) -> None:
        endpoint = launcher.serve(self.model, None, variant="tiny_config_default")
        assert v2client.ready(endpoint)
        assert v2client.model_ready(endpoint, self.model)
        launcher.close()
        launcher.close()

    def test_variants_are_served_under_their_own_configurations_and_then_the_default_again(
        self, launcher: Launcher
    ) -> None:
        base = self.config(launcher.serve(self.model, None, variant="tiny_config_default"))
        for number, size in enumerate((3, 5)):
            wanted = smaller(base, size)
            endpoint = launcher.serve(self.model, wanted, variant=f"tiny_config_{number}")
            assert self.config(endpoint).max_batch_size == size
        endpoint = launcher.serve(self.model, None, variant="tiny_config_default")
        assert self.config(endpoint).max_batch_size == base.max_batch_size

    def test_an_unknown_model_is_an_error_that_names_it_and_then_it_serves_again(
        self, launcher: Launcher
    ) -> None:
        with pytest.raises(LaunchError, match="nobody"):
            launcher.serve("nobody", None, variant="nobody_config_default")
        assert v2client.model_ready(
            launcher.serve(self.model, None, variant="tiny_config_default"), self.model
        )
