"""A signal that sounds like speech, made of numbers: pulses through the resonances of vowels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from engine.types import Array

RATE = 16_000
#: the first three resonances of five vowels, in Hz (Peterson and Barney, 1952)
VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
BANDS = (80, 100, 140)


def speech(seconds: float, *, pitch: float = 180.0, seed: int = 1) -> Array:
    """Make f32 samples: a vowel each fifth of a second, at a pitch that goes up and down."""
    random = np.random.default_rng(seed)
    count = int(RATE * seconds)
    time = np.arange(count) / RATE
    pitches = pitch * (1 + 0.15 * np.sin(2 * np.pi * 1.5 * time))
    pulses = np.diff(np.floor(np.cumsum(pitches) / RATE), prepend=0)
    source = pulses + 0.01 * random.standard_normal(count)
    made, length = np.zeros(count), RATE // 5
    for number, start in enumerate(range(0, count, length)):
        piece = source[start : start + length]
        for frequency, band in zip(VOWELS[number % len(VOWELS)], BANDS, strict=True):
            piece = _resonated(piece, frequency, band)
        loudness = np.sqrt(np.sin(np.pi * np.arange(len(piece)) / len(piece)))
        made[start : start + length] = piece / np.abs(piece).max() * loudness
    return (0.5 * made).astype(np.float32)


def _resonated(source: Array, frequency: float, band: float) -> Array:
    radius = math.exp(-math.pi * band / RATE)
    first, second = 2 * radius * math.cos(2 * math.pi * frequency / RATE), -radius * radius
    before = last = 0.0
    made = []
    for value in source.tolist():
        before, last = last, (1 - first - second) * value + first * last + second * before
        made.append(last)
    return np.array(made)
