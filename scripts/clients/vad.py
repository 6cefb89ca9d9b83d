"""Say where a recording has speech: the example ``vad``, one sequence for the whole recording."""

import argparse
import sys
import wave

import numpy as np
import tritonclient.http as httpclient

RATE, CHUNK, LIKELY = 16_000, 512, 0.5


def main(recording: str, server: str) -> None:
    """Print when speech begins and when it ends."""
    with wave.open(recording) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            sys.exit(f"{recording}: wants 16 kHz, one channel, 16 bits")
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    chunks = audio[: len(audio) // CHUNK * CHUNK].reshape(-1, 1, CHUNK)
    client = httpclient.InferenceServerClient(server)
    speaking = False
    for number, chunk in enumerate(chunks):
        tensor = httpclient.InferInput("AUDIO", [1, CHUNK], "FP32").set_data_from_numpy(chunk)
        answer = client.infer(
            "vad",
            [tensor],
            sequence_id=1,
            sequence_start=number == 0,
            sequence_end=number == len(chunks) - 1,
        )
        chance = answer.as_numpy("SPEECH")[0, 0]
        if (chance > LIKELY) != speaking:
            speaking = not speaking
            said = "speech" if speaking else "no speech"
            print(f"{number * CHUNK / RATE:7.2f} s  {said}")
    print(f"{len(audio) / RATE:7.2f} s  end")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", help="a .wav file: 16 kHz, one channel, 16 bits")
    parser.add_argument("--server", default="localhost:8000", metavar="HOST:PORT")
    main(**vars(parser.parse_args()))
