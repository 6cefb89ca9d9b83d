"""Reading text in an image: three trained models and Python between them, as an ensemble.

The models are PP-OCRv4's and PP-OCRv2's (Apache-2.0): one finds text, one tells whether a line
stands on its head, one reads lines. What lies between them is numpy: ``_boxes`` and ``_crops``,
which are put beside the ``model.py`` of each step.

1. How many lines there are is known only after the first model, so nothing here has a batch of the
   server's: lines are the first dimension of a tensor.
2. Lines are filled up to the widest, so that they are read together.
3. Where there is no text, one empty line goes on: the models need something. It is left out at the
   end, since it has no box.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import onnx

from engine.errors import Unsupported
from engine.examples import Example
from engine.examples._outside import Outside

RAPIDOCR = Outside("rapidocr-onnxruntime")
FOLDER = "rapidocr_onnxruntime/models"
FIND, TURN, READ = (
    f"{FOLDER}/{name}.onnx"
    for name in ("ch_PP-OCRv4_det_infer", "ch_ppocr_mobile_v2.0_cls_infer", "ch_PP-OCRv4_rec_infer")
)

CONFIG = """\
# An image (RGB) in; out, for each piece of text that is found, in the order of reading: the text
# in UTF-8, how sure its letters are, and its box: left, top, right, bottom in pixels.
name: "ocr"
platform: "ensemble"
max_batch_size: 0

input [ { name: "IMAGE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
output [
  { name: "TEXT" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "SCORE" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "BOX" data_type: TYPE_INT32 dims: [ -1, 4 ] }
]

ensemble_scheduling {
  step [
    {
      model_name: "ocr_page"
      model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      output_map { key: "PAGE" value: "page" }
    },
    {
      model_name: "ocr_find"
      model_version: -1
      input_map { key: "x" value: "page" }
      output_map { key: "y" value: "chances" }
    },
    {
      model_name: "ocr_cut"
      model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      input_map { key: "CHANCES" value: "chances" }
      output_map { key: "BOX" value: "BOX" }
      output_map { key: "LINES" value: "lines" }
    },
    {
      model_name: "ocr_turn"
      model_version: -1
      input_map { key: "x" value: "lines" }
      output_map { key: "y" value: "angles" }
    },
    {
      model_name: "ocr_lay"
      model_version: -1
      input_map { key: "IMAGE" value: "IMAGE" }
      input_map { key: "BOX" value: "BOX" }
      input_map { key: "ANGLES" value: "angles" }
      output_map { key: "LINES" value: "upright" }
    },
    {
      model_name: "ocr_read"
      model_version: -1
      input_map { key: "x" value: "upright" }
      output_map { key: "y" value: "steps" }
    },
    {
      model_name: "ocr_spell"
      model_version: -1
      input_map { key: "STEPS" value: "steps" }
      input_map { key: "BOX" value: "BOX" }
      output_map { key: "TEXT" value: "TEXT" }
      output_map { key: "SCORE" value: "SCORE" }
    }
  ]
}
"""

#: what every step in Python begins with; each adds ``compute``
STEP = """\
from pathlib import Path

import crops  # beside this file
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.folder = Path(args["model_repository"], args["model_version"])
        self.start()

    def start(self):
        pass

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        if "IMAGE" in given and 0 in given["IMAGE"].shape:
            error = pb_utils.TritonError(f"IMAGE: has no pixels: {list(given['IMAGE'].shape)}")
            return pb_utils.InferenceResponse(error=error)
        made = self.compute(**{name.lower(): array for name, array in given.items()})
        return pb_utils.InferenceResponse([pb_utils.Tensor(*one) for one in made.items()])

"""

PAGE = """\
    def compute(self, image):
        return {"PAGE": crops.page(image)}
"""

CUT = """\
    def compute(self, image, chances):
        from boxes import find_boxes

        found = [
            (box.left, box.top, box.right, box.bottom)
            for box in find_boxes(chances[0, 0], *image.shape[:2])
        ]
        lines = [crops.cut(image, *box) for box in found] or [image[:1, :1]]
        return {
            "BOX": np.array(found, np.int32).reshape(-1, 4),
            "LINES": crops.for_angles(lines),
        }
"""

LAY = """\
    def compute(self, image, box, angles):
        lines = [crops.cut(image, *one) for one in box.tolist()] or [image[:1, :1]]
        upright = [
            np.rot90(line, 2) if angle[1] > 0.9 else line for line, angle in zip(lines, angles)
        ]
        return {"LINES": crops.for_letters(upright)}
"""

SPELL = """\
    def start(self):
        text = (self.folder / "characters.txt").read_text(encoding="utf-8")
        self.known = crops.characters(text)

    def compute(self, steps, box):
        read = [crops.letters(line, self.known) for line in steps[: len(box)]]
        return {
            "TEXT": np.array([text.encode() for text, _ in read], np.object_),
            "SCORE": np.array([score for _, score in read], np.float32),
        }
"""


def _config(name: str, backend: str, says: str, given: str, taken: str) -> str:
    return f"""\
# {says}
name: "{name}"
backend: "{backend}"
max_batch_size: 0

input [ {given} ]
output [ {taken} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""


def _tensor(name: str, kind: str, dims: str) -> str:
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] }}'


IMAGE, BOXES = _tensor("IMAGE", "UINT8", "-1, -1, 3"), _tensor("BOX", "INT32", "-1, 4")


def _python(name: str, code: str, says: str, given: str, taken: str) -> Example:
    beside: dict[str, Callable[[], bytes]] = {"crops.py": lambda: _beside("_crops")}
    if code is CUT:
        beside["boxes.py"] = lambda: _beside("_boxes")
    if code is SPELL:
        beside["characters.txt"] = _characters
    return Example(
        summary=says,
        megabytes=0.01,
        config=_config(name, "python", says, given, taken),
        code=f'"""{says}"""\n\n{STEP}{code}',
        files=beside,
    )


def _trained(name: str, file: str, says: str, given: str, taken: str) -> Example:
    x, y = _tensor("x", "FP32", given), _tensor("y", "FP32", taken)
    return Example(
        summary=says,
        megabytes=1,
        config=_config(name, "onnxruntime", says, x, y),
        model=lambda: renamed(RAPIDOCR.read(file)),
    )


def renamed(inner: bytes) -> bytes:
    """Call the only output ``y``, whatever the tool that wrote the file called it."""
    model = onnx.load_from_string(inner)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["y" if name == output.name else name for name in node.output]
        node.input[:] = ["y" if name == output.name else name for name in node.input]
    output.name = "y"
    return bytes(model.SerializeToString(deterministic=True))


def _characters() -> bytes:
    for one in onnx.load_from_string(RAPIDOCR.read(READ)).metadata_props:
        if one.key == "character":
            return str(one.value).encode()
    message = f"{READ}: does not list its characters"
    raise Unsupported(message)


def _beside(module: str) -> bytes:
    return files("engine.examples").joinpath(f"{module}.py").read_bytes()


PARTS = {
    "ocr_page": _python(
        "ocr_page",
        PAGE,
        "An image, made ready for the detector.",
        IMAGE,
        _tensor("PAGE", "FP32", "1, 3, -1, -1"),
    ),
    "ocr_find": _trained(
        "ocr_find", FIND, "Where text is: PP-OCRv4's detector.", "-1, 3, -1, -1", "-1, 1, -1, -1"
    ),
    "ocr_cut": _python(
        "ocr_cut",
        CUT,
        "Boxes around text, and what is in them.",
        f"{IMAGE}, {_tensor('CHANCES', 'FP32', '-1, 1, -1, -1')}",
        f"{BOXES}, {_tensor('LINES', 'FP32', '-1, 3, 48, 192')}",
    ),
    "ocr_turn": _trained(
        "ocr_turn",
        TURN,
        "How likely a line stands upright, on its head.",
        "-1, 3, 48, 192",
        "-1, 2",
    ),
    "ocr_lay": _python(
        "ocr_lay",
        LAY,
        "Lines, upright and as wide as the widest.",
        f"{IMAGE}, {BOXES}, {_tensor('ANGLES', 'FP32', '-1, 2')}",
        _tensor("LINES", "FP32", "-1, 3, 48, -1"),
    ),
    "ocr_read": _trained(
        "ocr_read",
        READ,
        "What a line says: PP-OCRv4's recogniser.",
        "-1, 3, 48, -1",
        "-1, -1, 6625",
    ),
    "ocr_spell": _python(
        "ocr_spell",
        SPELL,
        "Letters out of the likelihoods of each step.",
        f"{_tensor('STEPS', 'FP32', '-1, -1, 6625')}, {BOXES}",
        f"{_tensor('TEXT', 'STRING', '-1')}, {_tensor('SCORE', 'FP32', '-1')}",
    ),
}

EXAMPLE = Example(
    summary="image -> text, scores, boxes: three trained models, and Python between them",
    megabytes=17,
    config=CONFIG,
    parts=PARTS,
    outside=(RAPIDOCR,),
)
