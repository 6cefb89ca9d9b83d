"""The guard: asks the default and each variant the same questions, and judges the answers.

Owns the order of things: the default's answers are taken once and kept; variants that answer alike,
whatever their instances and batches, are compared once, also over runs, since rows carry what came
of it. Does not own what is near enough (``tolerance``), nor serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analyzer import v2client, variant
from analyzer.accuracy import distance, kept
from analyzer.accuracy.distance import Answer
from analyzer.accuracy.samples import samples, why_not
from analyzer.accuracy.tolerance import fault, tolerance
from analyzer.errors import AnalyzerError
from analyzer.launcher import Endpoint
from analyzer.record.accuracy import Accuracy
from analyzer.record.row import Row
from engine.modelconfig.schema import ModelConfig
from engine.types import InferRequest

#: answers requests one after the other; LaunchError where one is not
Ask = Callable[[Endpoint, str, Sequence[InferRequest]], Sequence[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is compared, and how strictly.

    ``asked`` are the models that requests are sent to, ``meaning`` all that tells these requests
    and this default from others, ``tolerances`` the user's, by precision.
    """

    asked: tuple[str, ...]
    place: Path
    count: int = 8
    sources: tuple[str, ...] = ("random",)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    meaning: str = ""


def ask(endpoint: Endpoint, model: str, requests: Sequence[InferRequest]) -> Sequence[Answer]:
    """Ask a server.

    Raises:
        LaunchError: it refused one, or does not answer.
    """
    found = []
    for request in requests:
        reply = v2client.infer(endpoint, model, request)
        found.append({tensor.name: tensor for tensor in reply.outputs})
    return found


class Guard:
    """Compares variants of one set of configurations with their default."""

    def __init__(
        self,
        defaults: Mapping[str, ModelConfig],
        terms: Terms,
        rows: Iterable[Row] = (),
        ask: Ask = ask,
    ) -> None:
        """Prepare; ``rows`` are those measured before, whose comparisons stand."""
        self._defaults = defaults
        self._terms = terms
        self._ask = ask
        self._default_key = _key(defaults)
        self._known = {row.accuracy.key: row.accuracy for row in rows if row.accuracy is not None}
        self._requests: Mapping[str, Sequence[InferRequest]] | None = None
        text = f"{terms.meaning} {self._default_key} {terms.count}"
        self._meaning = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._reference = kept.read(terms.place, self._meaning)
        reasons = (why_not(defaults[model]) for model in terms.asked)
        self._unable = next(filter(None, reasons), "")

    def known(self, configs: Mapping[str, ModelConfig]) -> Accuracy | None:
        """Return what is known of variants that answer alike; None where nothing is."""
        return self._known.get(_key(configs))

    def judges(self, configs: Mapping[str, ModelConfig]) -> bool:
        """Whether a variant may answer otherwise than the default."""
        return _key(configs) != self._default_key

    @property
    def wants_default(self) -> bool:
        """Whether the default has still to be asked."""
        return self._reference is None and not self._unable

    def learn(self, endpoint: Endpoint) -> None:
        """Ask the default, and keep its answers; where it cannot be asked, nothing is compared."""
        if not self.wants_default:
            return
        try:
            self._reference = self._answers(endpoint)
            kept.write(self._terms.place, self._meaning, self._reference)
        except AnalyzerError as error:
            self._unable = f"the default's own answers could not be had: {error.message}"
        except OSError as error:
            # They are at hand as long as this run goes on.
            del error

    def check(self, endpoint: Endpoint, configs: Mapping[str, ModelConfig]) -> Accuracy:
        """Compare a variant that is served there with the default; ``fault`` says if it is out.

        Raises:
            LaunchError: it does not answer.
        """
        key = _key(configs)
        if (found := self._known.get(key)) is not None:
            return found
        if self._reference is None:
            return Accuracy(key=key, unchecked=self._unable)
        precision, allowed = self._tolerance(configs)
        outputs = distance.compare(self._reference, self._answers(endpoint))
        found = Accuracy(
            key=key,
            precision=precision,
            tolerance=allowed,
            samples=len(self._reference),
            outputs=outputs,
            spread=distance.spread(self._reference),
            fault=fault(outputs, precision, allowed),
        )
        self._known[key] = found
        return found

    def _tolerance(self, configs: Mapping[str, ModelConfig]) -> tuple[str, float]:
        both = (*self._defaults.values(), *configs.values())
        return tolerance(self._terms.tolerances, *map(variant.precision_of, both))

    def _answers(self, endpoint: Endpoint) -> tuple[Answer, ...]:
        """Ask every model its samples; of several, an answer has the outputs of all."""
        every = [
            self._named(model, self._ask(endpoint, model, requests))
            for model, requests in self._asked().items()
        ]
        return tuple({name: one for part in parts for name, one in part.items()}
                     for parts in zip(*every, strict=False))  # fmt: skip

    def _named(self, model: str, answers: Sequence[Answer]) -> Sequence[Answer]:
        if len(self._terms.asked) == 1:
            return answers
        return [
            {f"{model}/{name}": replace(one, name=f"{model}/{name}") for name, one in each.items()}
            for each in answers
        ]

    def _asked(self) -> Mapping[str, Sequence[InferRequest]]:
        if self._requests is None:
            terms = self._terms
            self._requests = {
                model: samples(self._defaults[model], terms.sources, terms.shapes, terms.count)
                for model in terms.asked
            }
        return self._requests


def _key(configs: Mapping[str, ModelConfig]) -> str:
    """Return what variants that answer alike have in common."""
    text = "\n".join(f"{name} {variant.answering(configs[name])}" for name in sorted(configs))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
