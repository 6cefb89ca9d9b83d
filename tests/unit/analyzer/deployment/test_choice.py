"""Which configuration goes into production."""

import pytest
from support.deployments import measured, rows

from analyzer.deployment.choice import choose
from analyzer.errors import NothingMeasured, UsageError
from analyzer.ranking.goal import parse_goal
from analyzer.ranking.rank import recommended
from analyzer.record.row import Phase

GOAL = parse_goal()


def test_a_winner_that_was_proven_goes() -> None:
    chosen = choose(rows(1.5), GOAL)
    assert (chosen.variant, chosen.proven, chosen.is_default) == ("m_config_0", True, False)
    assert "better throughput than the default" in chosen.claim
    assert {row.variant for row in chosen.rows} == {"m_config_0"}
    assert {row.trial.phase for row in chosen.rows} == {Phase.SEARCH, Phase.VERIFY}


def test_where_the_verification_proved_nothing_the_default_goes_and_says_so() -> None:
    chosen = choose(rows(0.9), GOAL)
    assert (chosen.variant, chosen.proven, chosen.is_default) == ("m_config_default", False, True)
    assert chosen.claim.startswith("The default configuration")


def test_what_was_not_verified_goes_as_it_does_for_apply_and_says_so() -> None:
    made = rows(1.5, pairs=0)
    chosen, applied = choose(made, GOAL), recommended(made, GOAL)
    assert applied is not None
    assert chosen.variant == applied.variant == "m_config_0"
    assert not chosen.proven
    assert "the best that was found, is not verified to be better" in chosen.claim


def test_what_alone_keeps_the_constraints_goes() -> None:
    goal = parse_goal(None, {"perf_latency_p99": {"max": 15.0}})
    made = (
        measured("default", 0, 1, 50.0), measured("0", 1, 1, 100.0), measured("0", 2, 2, 110.0)
    )  # fmt: skip
    chosen = choose(made, goal)
    assert (chosen.variant, chosen.proven) == ("m_config_0", True)
    assert "keeps the constraints, which the default does not" in chosen.claim


def test_where_the_default_was_not_measured_the_best_goes() -> None:
    chosen = choose([row for row in rows() if row.variant == "m_config_0"], GOAL)
    assert chosen.variant == "m_config_0"
    assert not chosen.proven


def test_a_configuration_can_be_named_and_a_wrong_name_is_answered_with_the_near_one() -> None:
    chosen = choose(rows(1.5), GOAL, "m_config_default")
    assert chosen.is_default
    assert "The profile chose m_config_0" in chosen.claim
    with pytest.raises(UsageError, match=r"did you mean m_config_default\?"):
        choose(rows(), GOAL, "m_config_defautl", "journal")


def test_nothing_measured_is_nothing_to_export() -> None:
    with pytest.raises(NothingMeasured, match="no measurement that succeeded"):
        choose((), GOAL)
