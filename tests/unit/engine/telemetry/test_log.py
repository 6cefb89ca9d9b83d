from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InvalidArgument
from engine.options import LogFormat, ServeOptions
from engine.telemetry.log import ROOT, set_up

LEVELS = {"debug": "D", "info": "I", "warning": "W", "error": "E"}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    logger = logging.getLogger(ROOT)
    level, propagate = logger.level, logger.propagate
    yield
    for carrier in logger.handlers[:]:
        logger.removeHandler(carrier)
        carrier.close()
    logger.setLevel(level)
    logger.propagate = propagate


def written(file: Path, **options: Any) -> list[str]:
    set_up(ServeOptions(model_repository=(), log_file=file, **options))
    logger = logging.getLogger(f"{ROOT}.x")
    for level in LEVELS:
        getattr(logger, level)("told %s\nand more", level)
    return file.read_text().splitlines()


def test_a_line_begins_as_tritons_do_and_one_event_is_one_line(tmp_path: Path) -> None:
    first, *_ = written(tmp_path / "log")
    assert re.fullmatch(
        rf"I\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} {os.getpid()} engine\.x\] told info\\nand more", first
    )


def test_the_other_format_begins_with_an_iso_date(tmp_path: Path) -> None:
    first, *_ = written(tmp_path / "log", log_format=LogFormat.ISO8601)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I \d+ engine\.x\] told info", first)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "IWE"),
        ({"log_verbose": 1}, "DIWE"),
        ({"log_info": False}, "WE"),
        ({"log_warning": False}, "IE"),
        ({"log_error": False}, "IW"),
    ],
)
def test_each_level_is_switched_by_itself(
    tmp_path: Path, options: dict[str, Any], shown: str
) -> None:
    assert [line[0] for line in written(tmp_path / "log", **options)] == list(shown)


def test_an_exception_follows_its_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    set_up(ServeOptions(model_repository=(), log_file=file))
    try:
        raise ValueError("the cause")  # noqa: TRY301 - an exception to log
    except ValueError:
        logging.getLogger(f"{ROOT}.x").exception("it failed")
    text = file.read_text()
    assert "it failed\nTraceback" in text
    assert text.rstrip().endswith("ValueError: the cause")


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"--log-file .*no/log: cannot write it: No such"):
        set_up(ServeOptions(model_repository=(), log_file=tmp_path / "no" / "log"))
