"""The example ``vad``, served: speech is found, streams do not mix, and END makes room."""

from __future__ import annotations

import asyncio
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from support.clients import bare_session, run_client
from support.serving import Server
from support.speech import RATE, speech

from engine.examples import vad
from engine.types import Array

pytestmark = pytest.mark.skipif(
    not vad.SILERO.there, reason=f"its weights are not here: {vad.SILERO.install}"
)
CHUNK, PLACES = 512, 64


@pytest.fixture(scope="module")
def bare() -> onnxruntime.InferenceSession:
    return bare_session(vad.SILERO.read(vad.WEIGHTS))


def chunks(audio: Array) -> list[Array]:
    return list(audio[: len(audio) // CHUNK * CHUNK].reshape(-1, 1, CHUNK))


def run_bare(session: onnxruntime.InferenceSession, audio: Array) -> Array:
    """Run the package's own file as its own code does: alone, context and state by hand."""
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    heard = []
    for chunk in chunks(audio):
        given = {"input": np.concatenate([context, chunk], axis=1), "state": state}
        chance, state = session.run(None, {**given, "sr": np.array(RATE, np.int64)})
        context = chunk[:, -64:]
        heard.append(chance[0, 0])
    return np.array(heard)


def ask(chunk: Array, module: Any = tritonclient.grpc) -> list[Any]:
    return [module.InferInput("AUDIO", [1, CHUNK], "FP32").set_data_from_numpy(chunk)]


def listen(server: Server, audio: Array, name: int) -> Array:
    """Send a stream as one sequence; give the likelihood of speech in each chunk."""
    heard = []
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        parts = chunks(audio)
        for number, chunk in enumerate(parts):
            answer = client.infer(
                "vad",
                ask(chunk),
                sequence_id=name,
                sequence_start=number == 0,
                sequence_end=number == len(parts) - 1,
            )
            heard.append(answer.as_numpy("SPEECH")[0, 0])
    return np.array(heard)


def test_streams_at_once_are_heard_as_each_alone_by_the_bare_model(
    server: Server, bare: onnxruntime.InferenceSession
) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    streams = [
        speech(2, pitch=180, seed=1),
        speech(2, pitch=120, seed=2),
        np.zeros(2 * RATE, np.float32),
        0.1 * noise,
        np.concatenate([0.01 * noise[:RATE], speech(1.5, pitch=100, seed=3)]),
    ]
    with ThreadPoolExecutor(len(streams)) as threads:
        heard = list(
            threads.map(lambda at: listen(server, streams[at], at + 1), range(len(streams)))
        )
    for served, audio in zip(heard, streams, strict=True):
        np.testing.assert_allclose(served, run_bare(bare, audio), atol=1e-5)
    means = [float(one.mean()) for one in heard]
    assert min(means[:2]) > 0.5, means
    assert max(means[2:4]) < 0.2, means
    before, after = heard[4][: RATE // CHUNK], heard[4][RATE // CHUNK + 2 :]
    assert before.max() < 0.5 < after[:20].mean()


def test_a_stream_that_starts_again_has_forgotten_what_it_heard(server: Server) -> None:
    audio = speech(0.3)
    np.testing.assert_array_equal(listen(server, audio, 7), listen(server, audio, 7))


def test_the_stream_that_is_one_too_many_waits_until_another_ends(server: Server) -> None:
    silent = np.zeros((1, CHUNK), np.float32)

    async def scene() -> None:
        client = tritonclient.grpc.aio.InferenceServerClient(server.grpc)

        def say(name: int, *, start: bool = False, end: bool = False) -> asyncio.Task[Any]:
            flags = {"sequence_start": start, "sequence_end": end}
            return asyncio.ensure_future(
                client.infer("vad", ask(silent), sequence_id=name, **flags)
            )

        await asyncio.gather(*(say(100 + number, start=True) for number in range(PLACES)))
        extra = say(99, start=True, end=True)
        await asyncio.gather(*(say(101 + number) for number in range(PLACES - 1)))
        assert not extra.done()
        await say(100, end=True)
        await extra
        await asyncio.gather(*(say(101 + number, end=True) for number in range(PLACES - 1)))
        await client.close()

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_its_client_says_where_a_recording_has_speech(server: Server, tmp_path: Path) -> None:
    recording = tmp_path / "speech.wav"
    audio = np.concatenate([np.zeros(RATE, np.float32), speech(1.0), np.zeros(RATE, np.float32)])
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((audio * 32767).astype("<i2").tobytes())
    printed = run_client("vad", tmp_path, server.http)
    (first, said), (second, ended) = (
        (float(line.split()[0]), line.split(maxsplit=2)[2]) for line in printed[:2]
    )
    assert (said, ended) == ("speech", "no speech")
    assert 1.0 <= first < 1.5
    assert 1.7 < second < 2.5
