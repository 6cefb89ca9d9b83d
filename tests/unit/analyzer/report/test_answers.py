"""How near answers came, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.single_rows import row

from analyzer.record.accuracy import Accuracy, Compared
from analyzer.report.answers import sentence, short

FOUND = Accuracy(
    key="k",
    precision="BF16",
    tolerance=0.05,
    samples=8,
    outputs={"y": Compared(error=0.0041, cosine=1.0, top1=1.0, lost=0.0)},
    spread=0.4,
)


@pytest.mark.parametrize(
    ("found", "cell", "said"),
    [
        (None, "", ""),
        (
            FOUND,
            "0.41% off",
            (
                "Its answers to 8 samples are the default's, within 0.41% of the outputs' scale "
                "(allowed for BF16: 5%), with the same class on top in 100% of them."
            ),
        ),
        (
            replace(FOUND, outputs={"y": Compared(error=0.0)}),
            "equal",
            "Its answers to 8 samples are the default's, equal (allowed for BF16: 5%).",
        ),
        (replace(FOUND, outputs={"y": Compared(error=8e-7)}), "<0.01% off", "within <0.01% of"),
        (replace(FOUND, spread=0.015), "0.41% off", "differ by 1.5% only"),
        (
            Accuracy(key="k", unchecked="the model keeps sequences"),
            "not compared",
            "Its answers were not compared with the default's: the model keeps sequences.",
        ),
        (
            replace(FOUND, outputs={"y": Compared(error=None, fault="is not")}, fault="y is not"),
            "other answers",
            "",
        ),
    ],
)
def test_answers_are_said_to_be_near_or_not(found: Accuracy | None, cell: str, said: str) -> None:
    assert short(found) == cell
    text = sentence(replace(row("0"), accuracy=found))
    assert said in text
    assert bool(said) == bool(text)
