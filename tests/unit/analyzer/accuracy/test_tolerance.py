"""What is near enough, and what a refusal says."""

from __future__ import annotations

import pytest

from analyzer.accuracy.tolerance import ALL, DEFAULTS, fault, tolerance
from analyzer.record.accuracy import Compared


def test_the_looser_precision_of_the_two_sets_the_tolerance() -> None:
    assert tolerance({}, None, None) == ("FP32", DEFAULTS["FP32"])
    assert tolerance({}, None, "BF16") == ("BF16", DEFAULTS["BF16"])
    assert tolerance({}, "INT8", "FP32") == ("INT8", DEFAULTS["INT8"])
    assert tolerance({}, "dynamic", None) == ("FP32", DEFAULTS["FP32"])


def test_a_users_tolerance_comes_before_ours() -> None:
    assert tolerance({ALL: 0.5}, None, "BF16") == ("BF16", 0.5)
    assert tolerance({"BF16": 0.01}, None, "BF16") == ("BF16", 0.01)
    assert tolerance({"INT8": 0.2}, None, "BF16") == ("BF16", DEFAULTS["BF16"])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Compared(error=0.05, cosine=0.9951, top1=0.5, lost=0.05), ""),
        (Compared(error=0.06, cosine=1.0), "is off by up to 6% of its scale"),
        (Compared(error=0.0, cosine=0.99), "cosine similarity of 0.99, below 0.995"),
        (
            Compared(error=0.01, cosine=1.0, top1=0.75, lost=0.2),
            "another class on top in 25% of the samples, where the default's led by up to 20%",
        ),
        (Compared(error=0.5), "differs in 50% of its elements"),
        (Compared(error=None, fault="has the shape [3] in place of [2]"), "has the shape [3]"),
    ],
)
def test_a_refusal_says_by_which_figure(found: Compared, said: str) -> None:
    text = fault({"y": found, "z": Compared(error=0.0)}, "BF16", 0.05)
    if not said:
        assert text == ""
        return
    assert text.startswith("its answers are not the default's: output 'y' ")
    assert said in text
    assert "tolerance for BF16: 5%" in text
    assert "'z'" not in text
