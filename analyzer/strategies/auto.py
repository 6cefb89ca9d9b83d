"""Auto: learn how this server behaves, predict every configuration, measure where it decides.

Owns what is asked, in which order, and when to stop. Does not own what is believed
(``analyzer.search``) nor how a server is simulated (``analyzer.simulation``).

Rules:

1. A few probes first (``search.probes``), so that there is something to learn from.
2. Then whatever the expected improvement is greatest of, for each second that measuring it takes: a
   setting that is up is cheaper than one that has to be loaded. Two beliefs are asked, one by the
   simulated server and one by nothing but the measurements, weighed by how well each foresees them.
3. Towards its end (by its budget, or by what the time allows), and once little more is expected,
   it makes sure of what is a step away from the best (``search.nearby``): where beliefs are wrong,
   it ends at the top of a hill at least. Or it measures again who may be the best after all
   (``search.again``), if that is worth more.
4. It ends when its measurements are used up: ``max_trials``, else 30. Where nobody has said how
   many there may be, it also ends when neither belief expects 0.3 % more anywhere, twice running,
   and no step away from the best is worth a try, nor a repetition.
   No load is asked for under which each request would wait for longer than half a measurement: too
   few would be answered for a rate.
   In a pipeline the station that holds up the others is helped first (``search.bottleneck``).
5. It is a function of what it was told, in that order: what it remembers besides only saves time.
6. Asked for more while measurements are pending, it thinks as if each had come out as it foresees
   it (``search.unanswered``): so the next is worth most besides them. Before anything succeeded it
   waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.search import again, bottleneck, nearby, probes, unanswered
from analyzer.search.features import Embedding
from analyzer.search.pool import Closed, Pool
from analyzer.search.price import Priced, priced
from analyzer.search.prior import Simulated
from analyzer.search.quantities import THROUGHPUT, sheet
from analyzer.search.reasons import because
from analyzer.search.thinking import Thinker, best_of
from analyzer.space import Candidate
from analyzer.strategy import Asked, Problem

#: measurements without a budget of the user's
USUAL_TRIALS = 30
#: less than this is not worth a measurement
_LEAST_GAIN = 0.003
#: so many failures without one answer, and there is nothing to learn
_HOPELESS = 8
#: so many measurements at least before it may end, or measure one of them again
_FEWEST = 12
#: from this share of its measurements on, it makes sure of what is a step away from the best
_MAKE_SURE = 0.6
#: less than this is not worth another measurement of the same
_LEAST_AGAIN = 0.0003
_TIMES = {1: "once", 2: "twice"}
#: an improvement that is none, by which candidates that are likely to be good are told apart
_NONE = 1e-6


def make(problem: Problem) -> Auto:
    """Make the strategy."""
    return Auto(problem)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked and why, or why nothing is."""

    candidate: Candidate | None
    why: Why | None = None
    ended: str = ""
    times: int = 0


class Auto:
    """The strategy; see the module."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        space, cores = problem.space, problem.cores
        self._embedding = Embedding(space, problem.base, cores or 0)
        self._pool = Pool(space, problem.seed, cores, self._embedding)
        prior = Simulated(space, problem.base, cores, self._embedding)
        self._thinker = Thinker(space, self._pool, self._embedding, prior)
        self._told: dict[Candidate, Outcome] = {}
        #: what was decided since something was told, with nothing pending and besides what was
        self._decided: dict[tuple[Candidate, ...], _Question] = {}

    def ask(self) -> Candidate | None:
        """Name the next candidate, or None when the search is over."""
        return self._question().candidate

    def ahead(self, pending: Sequence[Candidate]) -> Asked | None:
        """Name the next besides those pending; None where there is none, or too little is known."""
        question = self._question(tuple(pending))
        if question.candidate is None:
            return None
        return Asked(question.candidate, question.why, question.times)

    def _besides(self, pending: Sequence[Candidate]) -> _Question:
        told = list(self._told.values())
        if not any(each.score is not None for each in told):
            return _Question(None)
        learned = sheet(self._problem.goal, told)
        # What is measured again is known as well as it can be until it has been.
        new = [each for each in pending if each not in self._told]
        supposed = unanswered.supposed(new, told, learned, self._thinker.think(told, learned))
        # What came last stays last: it is what is up on the server that is free now.
        found = self._decide([*told[:-1], *supposed, told[-1]])
        return found if found.candidate not in pending else _Question(None)

    def tell(self, outcome: Outcome) -> None:
        """Learn an outcome; of two for one candidate the first counts, but for a repetition."""
        known = self._told.get(outcome.candidate)
        if known is None or again.times(outcome) > again.times(known) > 0:
            self._told[outcome.candidate] = outcome
            self._decided.clear()

    def why(self) -> Why | None:
        """Say why it asks what it asks, and what it expects."""
        return self._question().why

    def ended(self) -> str:
        """Say why there is nothing more to ask."""
        return self._question().ended

    def repetition(self) -> int:
        """Say how often what it asks for was measured."""
        return self._question().times

    def _question(self, pending: tuple[Candidate, ...] = ()) -> _Question:
        if pending not in self._decided:
            self._decided[pending] = (
                self._besides(pending) if pending else self._decide([*self._told.values()])
            )
        return self._decided[pending]

    def _decide(self, outcomes: Sequence[Outcome]) -> _Question:
        budget = self._problem.max_trials or USUAL_TRIALS
        # What is known to fail is told without a measurement.
        measured = sum(
            max(1, again.times(each))
            for each in outcomes
            if each.row is not None or each.score is not None
        )
        if measured >= budget:
            return _Question(None, ended=f"its {budget} measurements were taken")
        scored = any(each.score is not None for each in outcomes)
        if not scored and len(outcomes) >= _HOPELESS:
            return _Question(None, ended=f"none of {len(outcomes)} measurements succeeded")
        closed = self._pool.closed(outcomes)
        left = self._problem.affordable(outcomes)
        late = measured >= _MAKE_SURE * min(budget, budget if left is None else measured + left)
        return (
            self._helped(outcomes, closed)
            or self._probe(outcomes, closed)
            or (self._guided(outcomes, late=late) if scored else self._another(outcomes, closed))
        )

    def _helped(self, outcomes: Sequence[Outcome], closed: Closed) -> _Question | None:
        """Help the station that holds up a pipeline's others."""
        if not bottleneck.applies(self._problem.space):
            return None
        asked = bottleneck.propose(self._problem.space, outcomes)
        if asked is None or asked.candidate in closed:
            return None
        return _Question(asked.candidate, asked.why)

    # Probes

    def _probe(self, outcomes: Sequence[Outcome], closed: Closed) -> _Question | None:
        space, cores, embedding = self._problem.space, self._problem.cores, self._embedding
        most = probes.bearable(_first_rate(outcomes), cores)
        told = {each.candidate for each in outcomes}
        seen = {embedding.key(each) for each in told}

        def fresh(candidate: Candidate) -> bool:
            return (
                candidate in space
                and candidate not in told
                and candidate not in closed
                and self._pool.has(candidate)
                and embedding.key(candidate) not in seen
            )

        if fresh(first := probes.centre(space, embedding, cores, most)):
            text = "several instances and middling batches under a load that fills them"
            return _Question(first, Why(f"a first probe: {text}"))
        best = best_of(outcomes)
        if embedding.categories and best is not None:
            met = {embedding.category(each.candidate) for each in outcomes}
            for each in probes.categories(embedding, best.candidate):
                if fresh(each) and embedding.category(each) not in met:
                    names = [dimension.name for dimension in embedding.categories]
                    said = ", ".join(f"{name} {each.get(name)}" for name in names)
                    text = "at the best so far: what it gains cannot be predicted"
                    return _Question(each, Why(f"a probe of {said}, {text}"))
        last = probes.wide(space, embedding, cores, most)
        if best is not None:
            # What the best computes by is what the search goes on with.
            place = embedding.place(best.candidate)
            last = last.replaced(**{each.name: place[each.name] for each in embedding.categories})
        if fresh(last):
            text = "larger batches and a delay, in one instance under more load"
            return _Question(last, Why(f"a probe of {text}"))
        return None

    def _another(self, outcomes: Sequence[Outcome], closed: Closed) -> _Question:
        """Choose what is least like all that failed."""
        left = [
            each
            for each in self._pool.candidates(())
            if each not in self._told and each not in closed
        ]
        if not left:
            return _Question(None, ended="nothing that can be tried succeeded")
        if not outcomes:
            return _Question(left[0], Why("the first that there is"))
        here = self._embedding.raw(left).features
        failed = self._embedding.raw([each.candidate for each in outcomes]).features
        far = ((here[:, None, :] - failed[None, :, :]) ** 2).sum(2).min(1)
        return _Question(left[int(far.argmax())], Why("far from all that failed"))

    # What is thought

    def _guided(self, outcomes: Sequence[Outcome], *, late: bool) -> _Question:
        learned = sheet(self._problem.goal, outcomes)
        thought = self._thinker.think(outcomes, learned)
        if thought is None:
            return _Question(None, ended="everything that can be tried was measured")
        choice = priced(outcomes, thought, self._pool.setting)
        done = thought.most < _LEAST_GAIN
        if done or late:
            step, gain = self._step(outcomes, choice)
            enough = len(outcomes) >= _FEWEST
            repeat = again.propose(learned, outcomes) if enough else None
            if repeat is not None and repeat.gain > max(gain, _LEAST_AGAIN):
                text = (
                    f"measured {_TIMES[repeat.times]}, and not told from the best yet: another is "
                    f"expected to gain {repeat.gain:.1%}"
                )
                return _Question(repeat.candidate, Why(text), times=repeat.times)
            if step is not None:
                return self._asked(choice, step, step=True)
        if done and self._problem.max_trials is None and len(outcomes) >= _FEWEST:
            earlier = self._thinker.think(outcomes[:-1], learned)
            if earlier is None or earlier.most < _LEAST_GAIN:
                most = max(thought.most, 0.0)
                return _Question(
                    None, ended=f"no candidate is expected to gain more than {most:.2%}"
                )
        return self._asked(choice, choice.best(thought.improvement + _NONE * thought.promise))

    def _step(self, outcomes: Sequence[Outcome], choice: Priced) -> tuple[int | None, float]:
        """Choose what is a step away from the best, by number, and say what is expected of it.

        None if none is worth a try.
        """
        thought = choice.thought
        near = nearby.around(self._problem.space, self._embedding, outcomes)
        here = [
            number
            for number, place in enumerate(thought.left)
            if thought.candidates[place] in near and choice.bearable[number]
        ]
        if not here:
            return None, 0.0
        gained = nearby.improvement(thought, [thought.left[number] for number in here])
        most = float(gained.max())
        return (None, 0.0) if most < _LEAST_GAIN else (choice.best(gained, here), most)

    def _asked(self, choice: Priced, number: int, *, step: bool = False) -> _Question:
        thought, place = choice.thought, choice.thought.left[number]
        candidate = thought.candidates[place]
        other_load = thought.best is not None and (
            self._pool.setting(candidate) == self._pool.setting(thought.best)
        )
        return _Question(candidate, because(thought, place, other_load=other_load, step=step))


def _first_rate(outcomes: Sequence[Outcome]) -> float | None:
    """Return the throughput of the first measurement that has one: of the default, as a rule."""
    rates = (each.row.metrics.get(THROUGHPUT) for each in outcomes if each.row is not None)
    return next((rate for rate in rates if rate), None)
