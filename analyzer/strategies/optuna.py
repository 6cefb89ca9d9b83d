"""Model Analyzer's optuna mode: a sampler proposes, and is told the constraints as well.

Owns the translation (dimensions to distributions, outcomes to trials) and when to stop. Needs the
extra ``optuna``. Whatever it asks follows from the seed and the outcomes: the study lives in
memory, and a fresh one that is told the same goes on in the same way.

Rules:

1. A dimension of numbers is searched by position in its list, so doubling values are exponents; any
   other is a choice among its values.
2. The sampler is ``optuna_sampler``: ``tpe`` (Model Analyzer's, each dimension by itself, ten
   random trials first), ``gp``, ``cmaes``, ``nsga2`` or ``random``. Broken constraints are told
   by how much, where the sampler takes them; to the others what breaks them is no better than the
   worst seen. What failed breaks them more than anything that was measured.
3. There are at most ``max_percentage_of_search_space`` (10) per cent of the space in trials, or
   ``optuna_max_trials`` where that is given, the smaller where both are; and at least
   ``min_percentage_of_search_space`` (5) per cent, or ``optuna_min_trials``, the larger of the
   two. One in any case. It ends early once ``optuna_early_exit_threshold`` (10) trials running
   were no better than the best. A candidate that is proposed again counts as a trial, and is not
   measured again.
4. With ``use_concurrency_formula`` the concurrency is not searched, but twice the batch size
   times the instances, or the nearest there is.
5. Then the load is swept for the best settings (``loads.swept``), unless request rates are
   searched.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Mapping
from importlib.util import find_spec
from typing import Any

from analyzer import loads
from analyzer.errors import UsageError
from analyzer.record.outcome import Outcome, better
from analyzer.record.row import Why
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    REQUEST_RATE,
    Candidate,
    Dimension,
    Value,
)
from analyzer.strategy import Asked, Early, Problem, Script, Scripted

try:
    import optuna
except ImportError as error:
    message = "the search mode optuna needs the package optuna: pip install 'servetune[optuna]'"
    raise UsageError(message) from error

_VIOLATION = "violation"
#: samplers that are told constraints, and what else some of them need
_CONSTRAINED = frozenset({"tpe", "gp", "nsga2"})
_NEEDS = {"gp": ("torch", "scipy"), "cmaes": ("cmaes",)}
SAMPLERS = ("tpe", "gp", "cmaes", "random", "nsga2")


def make(problem: Problem) -> Scripted:
    """Make the strategy.

    Raises:
        UsageError: the sampler is none of those, or needs packages that are not here.
    """
    # Optuna reports every trial as its own program would.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = str(problem.options.get("optuna_sampler", SAMPLERS[0]))
    return Scripted(_search(problem, name, _sampler(name, problem.seed, problem.abreast)))


def _search(problem: Problem, name: str, sampler: optuna.samplers.BaseSampler) -> Script:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    searched, formula = _searched(problem)
    least, most = bounds(problem.options, math.prod(len(each.values) for each in searched))
    patience = problem.options.get("optuna_early_exit_threshold", 10)
    seen: dict[Candidate, Outcome] = {}
    running: deque[tuple[optuna.Trial, Candidate]] = deque()
    best: Outcome | None = None
    known = since = 0
    ended = f"{most} trials, the most there may be, were made"
    for number in range(1, most + problem.abreast):
        if number <= most:
            trial = study.ask()
            values = {each.name: _suggested(trial, each) for each in searched}
            if formula is not None:
                values[formula.name] = _by_formula(formula, values)
            candidate = Candidate.of(**values)
            if candidate not in seen:
                text = f"trial {number} of at most {most}, proposed by Optuna's sampler {name}"
                yield Early(Asked(candidate, Why(text)))
            running.append((trial, candidate))
        if not running or number < problem.abreast:
            continue
        trial, candidate = running.popleft()
        outcome = yield from _heard(candidate, seen)
        study.tell(trial, _told(trial, outcome, seen, constrained=name in _CONSTRAINED))
        known += 1
        since = since + 1 if better(best, outcome) is best else 0
        best = better(best, outcome)
        if known >= least and since >= patience:
            ended = f"the last {since} trials were no better than the best"
            break
    for _, candidate in running:
        yield from _heard(candidate, seen)
    rates = any(each.name == REQUEST_RATE for each in problem.space.dimensions)
    count = 0 if rates else (yield from loads.swept(problem, seen))
    return loads.said(ended, count)


def _heard(
    candidate: Candidate, seen: dict[Candidate, Outcome]
) -> Generator[Candidate, Outcome, Outcome]:
    """Wait for a candidate's outcome, unless it was proposed and measured before."""
    if candidate not in seen:
        seen[candidate] = yield candidate
    return seen[candidate]


def bounds(options: Mapping[str, Any], size: int) -> tuple[int, int]:
    """Return the fewest and the most trials for a space of so many candidates, by rule 3."""
    percent = options.get("max_percentage_of_search_space")
    most = [options["optuna_max_trials"]] if "optuna_max_trials" in options else []
    if percent is not None or not most:
        most.append(int(size * (10 if percent is None else percent) / 100))
    percent = options.get("min_percentage_of_search_space")
    least = [options["optuna_min_trials"]] if "optuna_min_trials" in options else []
    if percent is not None or not least:
        least.append(int(size * (5 if percent is None else percent) / 100))
    return max(least), max(1, min(most))


def _sampler(name: str, seed: int, abreast: int) -> optuna.samplers.BaseSampler:
    if absent := [each for each in _NEEDS.get(name, ()) if find_spec(each) is None]:
        message = f"optuna_sampler: {name} needs more packages: pip install {' '.join(absent)}"
        raise UsageError(message)
    samplers = optuna.samplers
    match name:
        case "tpe":
            # As Model Analyzer has it, whatever later versions of Optuna do by default; but trials
            # whose outcome is not known yet count as bad ones, or the next would be the same.
            return samplers.TPESampler(seed=seed, multivariate=False, constant_liar=abreast > 1)
        case "gp":
            return samplers.GPSampler(seed=seed)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed)
        case "random":
            return samplers.RandomSampler(seed=seed)
    raise UsageError(f"optuna_sampler: there is no {name}; there are: {', '.join(SAMPLERS)}")


def _searched(problem: Problem) -> tuple[list[Dimension], Dimension | None]:
    """Return the dimensions that the sampler searches, and the one that the formula gives."""
    every = list(problem.space.dimensions)
    if not problem.options.get("use_concurrency_formula"):
        return every, None
    formula = next((each for each in every if each.name == CONCURRENCY), None)
    return [each for each in every if each is not formula], formula


def _suggested(trial: optuna.Trial, dimension: Dimension) -> Value:
    every = dimension.values
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in every):
        return every[trial.suggest_int(dimension.name, 0, len(every) - 1)]
    return every[trial.suggest_categorical(dimension.name, range(len(every)))]


def _by_formula(load: Dimension, values: Mapping[str, Value]) -> Value:
    aim = 2 * int(values.get(MAX_BATCH_SIZE, 1)) * int(values.get(INSTANCE_COUNT, 1))
    return min(load.values, key=lambda value: (abs(math.log(float(value) / aim)), value))


def _told(
    trial: optuna.Trial, outcome: Outcome, seen: Mapping[Candidate, Outcome], *, constrained: bool
) -> float:
    """Note what a trial breaks, and return its value."""
    worst = min((each.score for each in seen.values() if each.score is not None), default=0.0)
    most = max((each.violation for each in seen.values()), default=0.0)
    broken = (
        1.0 + most if outcome.score is None else outcome.violation or float(not outcome.feasible)
    )
    if constrained:
        trial.set_constraint(_VIOLATION, broken)
    kept = outcome.score is not None and (constrained or not broken)
    return outcome.score if kept and outcome.score is not None else worst
