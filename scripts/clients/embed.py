"""Rank texts by how near they are to the first one: the example ``embed``."""

import argparse

import numpy as np
import tritonclient.http as httpclient


def main(texts: list[str], server: str) -> None:
    """Print the other texts, the nearest first, each with its cosine."""
    rows = np.array([[text.encode()] for text in texts], np.object_)
    tensor = httpclient.InferInput("TEXT", list(rows.shape), "BYTES").set_data_from_numpy(rows)
    client = httpclient.InferenceServerClient(server)
    vectors = client.infer("embed", [tensor]).as_numpy("EMBEDDING")
    cosines = vectors[1:] @ vectors[0]
    for number in np.argsort(-cosines):
        print(f"{cosines[number]:6.3f}  {texts[1 + number]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", help="the first is what the others are held against")
    parser.add_argument("--server", default="localhost:8000", metavar="HOST:PORT")
    main(**vars(parser.parse_args()))
