"""The race behind a search: who runs, who leaves it and why, and when it ends."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from support.listed import Listed

from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import contender, gain
from analyzer.record.row import Failure, LoadSpec, Phase, Row, Trial
from analyzer.space import CONCURRENCY, INSTANCE_COUNT, Candidate
from analyzer.stages import Campaign, Plan
from analyzer.statistics.estimate import Estimate

DEFAULT = Candidate.of(**{CONCURRENCY: 4})
PLAN = Plan(default=(DEFAULT,), verify_pairs=4)
#: seconds of a measurement, and of these of the server's start
SECONDS, START = 6.0, 1.0


@dataclass
class Track:
    """Measures variants by their instance count: a true gain over the default, and luck."""

    gains: Mapping[int, float]
    luck: float = 0.01
    width: float = 0.02
    seed: int = 1
    fails: Callable[[Row], bool] = lambda _: False
    rows: list[Row] = field(default_factory=list)

    def campaign(self, plan: Plan = PLAN) -> Campaign:
        asked = [DEFAULT.replaced(**{INSTANCE_COUNT: count}) for count in self.gains]
        return Campaign(Listed(*asked), Goal(), plan)

    def measure(self, trial: Trial) -> Row:
        count = trial.candidate.get(INSTANCE_COUNT)
        assert count is None or isinstance(count, int)
        name = "default" if count is None else str(count)
        dice = random.Random(f"{self.seed} {name} {trial.phase} {trial.repetition}")
        rate = 100.0 * (1.0 if count is None else self.gains[count])
        # The search is lucky for nobody, so that who is a finalist is plain to see.
        rate *= math.exp(dice.gauss(0.0, self.luck)) if trial.phase is Phase.VERIFY else 1.0
        wide = self.width * rate
        row = Row(
            number=len(self.rows), taken_at="", seconds=SECONDS, launch_seconds=START, model="m",
            variant=f"m_config_{name}", digest=name, trial=trial, load=LoadSpec(concurrency=4),
            stable=True, metrics={"perf_throughput": rate},
            estimates={
                "perf_throughput": Estimate(value=rate, low=rate - wide, high=rate + wide)
            },
        )  # fmt: skip
        if self.fails(row):
            row = replace(row, metrics={}, failure=Failure(stage="load", message="it died"))
        return row

    def run(self, plan: Plan = PLAN) -> Campaign:
        campaign = self.campaign(plan)
        while (trial := campaign.ask()) is not None:
            self.rows.append(self.measure(trial))
            campaign.tell(self.rows[-1])
            assert len(self.rows) < 300
        return campaign

    def rounds(self) -> Counter[str]:
        """How many rounds each has been through."""
        proofs = (row for row in self.rows if row.trial.phase is Phase.VERIFY)
        return Counter(row.variant.removeprefix("m_config_") for row in proofs)


def test_finalists_are_those_that_the_search_cannot_tell_from_the_best() -> None:
    track = Track({2: 1.30, 3: 1.29, 4: 1.20})
    track.run()
    assert track.rounds() == {"default": 4, "2": 4, "3": 4}


def test_three_race_the_default_at_most() -> None:
    track = Track(dict.fromkeys(range(2, 9), 1.3))
    track.run()
    assert track.rounds() == dict.fromkeys(("default", "2", "3", "4"), 4)


def test_each_round_is_everybody_once_and_every_other_the_other_way_about() -> None:
    track = Track({2: 1.30, 3: 1.29})
    track.run()
    order = [row.variant[9:] for row in track.rows if row.trial.phase is Phase.VERIFY]
    assert order == ["default", "2", "3", "3", "2", "default"] * 2


def test_who_is_clearly_behind_leaves_the_race_after_two_rounds() -> None:
    track = Track({2: 1.30, 3: 1.10}, width=0.1, luck=0.003)
    campaign = track.run()
    assert track.rounds() == {"default": 4, "2": 4, "3": 2}
    assert "m_config_3 was clearly behind the leader" in campaign.why_stopped()
    found = gain(track.rows, Goal())
    assert found is not None
    assert found.pairs == 4


def test_there_are_as_many_finalists_as_the_time_has_room_for_beside_the_rounds_of_two() -> None:
    gains = dict.fromkeys((2, 3, 4), 1.3)
    for measurements, others in ((8, 0), (10, 1), (12, 2)):
        track = Track(gains)
        track.run(replace(PLAN, verify_seconds=SECONDS * measurements))
        assert track.rounds()["default"] == 4
        assert sorted(track.rounds().values())[-2:] == [4, 4]
        assert len(track.rounds()) - 2 == others


def test_with_no_time_for_all_the_hindmost_leaves_though_nothing_is_clear() -> None:
    track = Track({2: 1.30, 3: 1.29})
    campaign = track.run(replace(PLAN, verify_seconds=SECONDS * 10))
    assert sorted(track.rounds().values()) == [2, 4, 4]
    assert "was behind, and no time was left to tell it from the leader" in campaign.why_stopped()


def test_a_precision_that_is_reached_ends_the_race_and_one_that_is_not_goes_on() -> None:
    near = Track({2: 1.3}, luck=0.002)
    campaign = near.run(replace(PLAN, verify_pairs=25, precision=0.03))
    assert near.rounds() == {"default": 3, "2": 3}
    assert "the gain is known to" in campaign.why_stopped()
    far = Track({2: 1.3}, luck=0.05)
    far.run(replace(PLAN, verify_pairs=25, precision=0.03))
    assert 6 < far.rounds()["default"] <= 25
    found = gain(far.rows, Goal())
    assert found is not None
    assert found.high is not None
    assert found.low is not None
    assert (found.high - found.low) / 2 <= 3.0 or far.rounds()["default"] == 25


def test_a_finalist_that_fails_twice_makes_room_for_the_next() -> None:
    def dies(row: Row) -> bool:
        return row.trial.phase is Phase.VERIFY and row.variant == "m_config_2"

    track = Track({2: 1.30, 3: 1.10}, fails=dies)
    campaign = track.run()
    assert track.rounds()["2"] == 2
    assert track.rounds()["3"] == 4
    best = contender(track.rows, Goal())
    assert best is not None
    assert best.variant == "m_config_3"
    assert "m_config_2 failed in the verification" in campaign.why_stopped()


def test_a_default_that_dies_in_a_round_costs_that_round_alone() -> None:
    def dies(row: Row) -> bool:
        return row.trial.repetition == 1 and row.variant == "m_config_default"

    track = Track({2: 1.30}, fails=dies)
    assert "compared 3 times" in track.run().why_stopped()
    assert track.rounds() == {"default": 4, "2": 4}


def test_where_every_finalist_fails_it_ends() -> None:
    track = Track({2: 1.3, 3: 1.2}, fails=lambda row: row.trial.phase is Phase.VERIFY
                  and row.variant != "m_config_default")  # fmt: skip
    assert "could be relied on" in track.run().why_stopped()
    assert contender(track.rows, Goal()) is None


def test_cut_anywhere_the_race_goes_on_as_it_would_have() -> None:
    plan = replace(PLAN, verify_seconds=SECONDS * 13, verify_pairs=5)
    track = Track({2: 1.30, 3: 1.29, 4: 1.28, 5: 1.1}, luck=0.02)
    track.run(plan)
    asked = [*(row.trial for row in track.rows), None]
    for cut in range(len(asked)):
        again = track.campaign(plan)
        for row in track.rows[:cut]:
            again.tell(row)
        assert again.ask() == asked[cut]


def test_a_round_is_explained_with_what_the_search_saw() -> None:
    track = Track({2: 1.30, 3: 1.29})
    track.run()
    proof = next(row for row in track.rows if row.trial.phase is Phase.VERIFY)
    assert proof.trial.why is not None
    assert "round 1" in proof.trial.why.text
    assert "2 finalists" in proof.trial.why.text
    assert proof.trial.why.predicted == {"perf_throughput": 100.0}


def test_what_is_left_is_counted_by_the_time_there_is() -> None:
    plan = replace(PLAN, verify_seconds=SECONDS * 6.5)
    track = Track({2: 1.3})
    campaign = track.campaign(plan)
    left = []
    while (trial := campaign.ask()) is not None:
        if trial.phase is Phase.VERIFY:
            left.append(campaign.progress().expected_left)
        track.rows.append(track.measure(trial))
        campaign.tell(track.rows[-1])
    assert left == [6, 5, 4, 3, 2, 1]
