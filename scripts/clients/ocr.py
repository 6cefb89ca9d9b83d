"""Read the text in a picture: the example ``ocr``. Needs pillow, to open the picture."""

import argparse

import numpy as np
import tritonclient.http as httpclient
from PIL import Image


def main(picture: str, server: str) -> None:
    """Print each piece of text, with its score and its box."""
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    tensor = httpclient.InferInput("IMAGE", list(pixels.shape), "UINT8").set_data_from_numpy(pixels)
    answer = httpclient.InferenceServerClient(server, network_timeout=60).infer("ocr", [tensor])
    texts, scores, boxes = (answer.as_numpy(name) for name in ("TEXT", "SCORE", "BOX"))
    for text, score, box in zip(texts, scores, boxes, strict=True):
        print(f"{score:.3f}  {box.tolist()}  {text.decode()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture")
    parser.add_argument("--server", default="localhost:8000", metavar="HOST:PORT")
    main(**vars(parser.parse_args()))
