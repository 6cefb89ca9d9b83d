"""One server for all the pipelines whose packages are installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.serving import Server, serving

from engine import examples

PIPELINES = ("embed", "ocr", "vad")


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pipelines") / "models"
    for name in PIPELINES:
        if not examples.find(name).missing:
            examples.build(name, folder)
    yield folder
    shutil.rmtree(folder)  # 42 MB that pytest would keep for three runs


@pytest.fixture(scope="package")
def server(models: Path) -> Iterator[Server]:
    with serving("--model-repository", str(models), folder=models.parent) as server:
        yield server
