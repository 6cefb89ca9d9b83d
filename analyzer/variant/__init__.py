"""Variants of a model's configuration: what there is to try, what a candidate means. Pure.

``choices`` lays out the space, ``means`` knows what can be had on a machine, ``making`` turns a
candidate into a configuration, ``runtime`` and ``accelerators`` say by what a model is run, and
``showing`` tells variants apart. Does not own files, names of variants, or the choice of what to
try.
"""

from __future__ import annotations

from analyzer.variant.choices import space
from analyzer.variant.making import (
    NO_BATCHING,
    canonical,
    chosen_answering,
    chosen_fields,
    make,
    may_answer_otherwise,
    reason_not_possible,
)
from analyzer.variant.means import Machine, Means
from analyzer.variant.placing import why_alone
from analyzer.variant.runtime import answering, on_cpu, precision_of
from analyzer.variant.showing import digest, digest_of, onto, run_by, settings

__all__ = [
    "NO_BATCHING",
    "Machine",
    "Means",
    "answering",
    "canonical",
    "chosen_answering",
    "chosen_fields",
    "digest",
    "digest_of",
    "make",
    "may_answer_otherwise",
    "on_cpu",
    "onto",
    "precision_of",
    "reason_not_possible",
    "run_by",
    "settings",
    "space",
    "why_alone",
]
