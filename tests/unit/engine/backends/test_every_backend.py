"""No backend without its kit: a new module must come with a test that inherits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.backend import builtin, find, known
from engine.errors import NotFound


@pytest.mark.parametrize("name", builtin())
def test_every_backend_is_found_and_has_a_test_that_inherits_the_kit(name: str) -> None:
    assert callable(find(name).load)
    test = Path(__file__).with_name(f"test_{name}.py")
    assert test.is_file()
    assert "(BackendKit)" in test.read_text()


def test_an_unknown_backend_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(NotFound, match=", ".join(known())):
        find("tflite_of_the_future")
