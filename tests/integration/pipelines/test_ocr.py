"""The example ``ocr``, served: text that is drawn here is read back, as by the bare models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.http
from support.clients import bare_session, run_client
from support.serving import Server
from tritonclient.utils import InferenceServerException

from engine.examples import _boxes, _crops, ocr
from engine.types import Array

pytestmark = pytest.mark.skipif(
    not ocr.RAPIDOCR.there, reason=f"its weights are not here: {ocr.RAPIDOCR.install}"
)
LINES = ((30, 30, "Triton batch 8 OK"), (60, 110, "Hello world"), (200, 190, "Invoice 2026-11-26"))
TEXTS = [text for _, _, text in LINES]


@pytest.fixture(scope="module")
def drawn() -> Array:
    """Three lines of text, in the font that pillow brings along."""
    image = pytest.importorskip("PIL.Image", reason="pip install pillow")
    draw = pytest.importorskip("PIL.ImageDraw")
    font = pytest.importorskip("PIL.ImageFont").load_default(32)
    page = image.new("RGB", (640, 256), "white")
    pen = draw.Draw(page)
    for left, top, text in LINES:
        pen.text((left, top), text, fill="black", font=font)
    return np.asarray(page)


@dataclass(frozen=True)
class Read:
    texts: list[str]
    scores: Array
    boxes: Array


def read(server: Server, image: Array) -> Read:
    tensor = tritonclient.http.InferInput("IMAGE", list(image.shape), "UINT8")
    tensor.set_data_from_numpy(np.ascontiguousarray(image))
    client = tritonclient.http.InferenceServerClient(server.http, network_timeout=60)
    answer: Any = client.infer("ocr", [tensor])
    client.close()
    texts = [text.decode() for text in answer.as_numpy("TEXT")]
    return Read(texts, answer.as_numpy("SCORE"), answer.as_numpy("BOX"))


def read_bare(image: Array) -> Read:
    """Run the package's own files one after the other, each line by itself."""

    def run(file: str, array: Array) -> Array:
        if file not in sessions:
            sessions[file] = bare_session(ocr.RAPIDOCR.read(file))
        return np.asarray(sessions[file].run(None, {"x": array})[0])

    sessions: dict[str, onnxruntime.InferenceSession] = {}
    chances = run(ocr.FIND, _crops.page(image))[0, 0]
    boxes = _boxes.find_boxes(chances, *image.shape[:2])
    lines = [_crops.cut(image, one.left, one.top, one.right, one.bottom) for one in boxes]
    lines = [
        np.rot90(line, 2) if run(ocr.TURN, _crops.for_angles([line]))[0, 1] > 0.9 else line
        for line in lines
    ]
    planes = _crops.for_letters(lines)
    metadata = ""
    letters = []
    for one in planes:
        chances = run(ocr.READ, one[None])[0]
        metadata = sessions[ocr.READ].get_modelmeta().custom_metadata_map["character"]
        letters.append(_crops.letters(chances, _crops.characters(metadata)))
    corners = [(one.left, one.top, one.right, one.bottom) for one in boxes]
    return Read(
        [text for text, _ in letters], np.array([score for _, score in letters]), np.array(corners)
    )


def wrong_letters(read: str, drawn: str) -> int:
    """Count what has to be changed (Levenshtein)."""
    costs = list(range(len(drawn) + 1))
    for row, letter in enumerate(read, 1):
        above, costs[0] = costs[0], row
        for column, other in enumerate(drawn, 1):
            change = min(costs[column] + 1, costs[column - 1] + 1, above + (letter != other))
            above, costs[column] = costs[column], change
    return costs[-1]


def test_text_that_is_drawn_is_read_back_as_by_the_bare_models(
    server: Server, drawn: Array
) -> None:
    served, bare = read(server, drawn), read_bare(drawn)
    assert all(wrong_letters(*pair) <= 1 for pair in zip(served.texts, TEXTS, strict=True))
    assert served.texts == bare.texts
    np.testing.assert_array_equal(served.boxes, bare.boxes)
    np.testing.assert_allclose(served.scores, bare.scores, atol=1e-3)
    assert served.scores.min() > 0.8
    for (left, top, _), box in zip(LINES, served.boxes, strict=True):
        assert abs(box[0] - left) < 8
        assert box[1] < top + 16 < box[3]


@pytest.mark.parametrize("turns", [1, 2])
def test_text_on_its_side_or_its_head_is_read_all_the_same(
    server: Server, drawn: Array, turns: int
) -> None:
    found = sorted(read(server, np.rot90(drawn, turns)).texts)
    assert all(wrong_letters(*pair) <= 1 for pair in zip(found, sorted(TEXTS), strict=True))


def test_a_picture_without_text_has_none(server: Server) -> None:
    nothing = read(server, np.full((70, 90, 3), 255, np.uint8))
    assert (nothing.texts, nothing.scores.shape, nothing.boxes.shape) == ([], (0,), (0, 4))


def test_an_image_without_pixels_is_refused_with_words(server: Server) -> None:
    with pytest.raises(InferenceServerException, match=r"IMAGE: has no pixels: \[0, 5, 3\]"):
        read(server, np.zeros((0, 5, 3), np.uint8))


def test_its_client_prints_what_it_reads(server: Server, drawn: Array, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image").fromarray(drawn[:90]).save(tmp_path / "page.png")
    (line,) = run_client("ocr", tmp_path, server.http)
    assert wrong_letters(line.split("  ")[2], TEXTS[0]) <= 1
