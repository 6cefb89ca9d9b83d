from __future__ import annotations

import math

import pytest

from analyzer.statistics.distributions import incomplete_beta, t_quantile, t_tail

# Printed tables of Student's t (NIST/SEMATECH e-Handbook 1.3.6.7.2, and longer digits).
TABLE = [
    (0.975, 1, 12.706204736),
    (0.975, 2, 4.302652730),
    (0.975, 3, 3.182446305),
    (0.975, 4, 2.776445105),
    (0.975, 7, 2.364624252),
    (0.975, 10, 2.228138852),
    (0.975, 30, 2.042272456),
    (0.975, 120, 1.979930405),
    (0.95, 1, 6.313751515),
    (0.95, 10, 1.812461123),
    (0.99, 2, 6.964556734),
    (0.995, 5, 4.032142984),
    (0.9, 15, 1.340605608),
]


@pytest.mark.parametrize(("probability", "degrees", "expected"), TABLE)
def test_quantiles_are_those_of_the_printed_tables(
    probability: float, degrees: float, expected: float
) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)
    assert t_quantile(1 - probability, degrees) == pytest.approx(-expected, rel=1e-9)


@pytest.mark.parametrize("probability", [0.501, 0.6, 0.9, 0.975, 0.9999])
def test_quantiles_have_their_closed_forms_at_one_and_two_degrees(probability: float) -> None:
    assert t_quantile(probability, 1) == pytest.approx(
        math.tan(math.pi * (probability - 0.5)), rel=1e-9
    )
    spread = 2 * probability * (1 - probability)
    assert t_quantile(probability, 2) == pytest.approx(
        (2 * probability - 1) / math.sqrt(spread), rel=1e-9
    )


def test_many_degrees_are_the_normal_distribution() -> None:
    assert t_quantile(0.975, 1e7) == pytest.approx(1.959964, rel=1e-6)


@pytest.mark.parametrize("degrees", [1, 2.5, 3.7, 12, 400.25])
def test_the_tail_of_a_quantile_is_its_probability(degrees: float) -> None:
    for probability in (0.55, 0.8, 0.975, 0.999):
        tail = t_tail(t_quantile(probability, degrees), degrees)
        assert tail == pytest.approx(1 - probability, rel=1e-10)


def test_the_middle_is_nought() -> None:
    assert t_quantile(0.5, 3) == 0


@pytest.mark.parametrize(("probability", "degrees"), [(0, 3), (1, 3), (0.9, 0), (0.9, math.nan)])
def test_there_is_no_quantile_of_nonsense(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(probability, degrees)


def test_the_incomplete_beta_function_has_its_closed_forms() -> None:
    for x in (0.01, 0.3, 0.5, 0.77, 0.999):
        assert incomplete_beta(x, 1, 1) == pytest.approx(x)
        assert incomplete_beta(x, 3, 1) == pytest.approx(x**3)
        assert incomplete_beta(x, 1, 4) == pytest.approx(1 - (1 - x) ** 4)
        assert incomplete_beta(x, 2, 2) == pytest.approx(x * x * (3 - 2 * x))
        arcsine = 2 / math.pi * math.asin(math.sqrt(x))
        assert incomplete_beta(x, 0.5, 0.5) == pytest.approx(arcsine)
    assert (incomplete_beta(0, 2, 3), incomplete_beta(1, 2, 3)) == (0, 1)
