"""perf_analyzer's JSON of every request, for its readers (``--profile-export-file``). Pure.

Times are ns since 1970. A request begins where it was sent, as there. What went into requests and
came out of them is left out, as perf_analyzer's readers of V2 models do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from analyzer.perf.figures import Figures
from analyzer.perf.options import Mode
from engine import __version__


def profile_export(every: Sequence[Figures], *, epoch_ns: int) -> bytes:
    """Write all levels; ``epoch_ns`` is 1970 on the clock of the records, negated."""
    return orjson.dumps(
        {
            "experiments": [_experiment(each, epoch_ns) for each in every],
            "version": __version__,
            "service_kind": "triton",
            "endpoint": "",
        }
    )


def _experiment(each: Figures, epoch_ns: int) -> dict[str, Any]:
    whole = each.mode.closed
    return {
        "experiment": {
            "mode": "concurrency" if whole else "request_rate",
            "value": int(each.level) if whole else float(each.level),
        },
        "requests": _requests(each, epoch_ns),
        "window_boundaries": (
            [0, 2**64 - 1]
            if each.mode is Mode.PERIODIC
            else [edge + epoch_ns for edge in each.boundaries_ns]
        ),
    }


def _requests(each: Figures, epoch_ns: int) -> list[dict[str, Any]]:
    records = each.records
    began = (records.array["began"] + epoch_ns).tolist()
    last = (records.array["last"] + epoch_ns).tolist()
    sequence = records.array["sequence"].tolist()
    requests = []
    for place, good in enumerate(records.succeeded.tolist()):
        if not good:
            continue
        came = (records.responses_of(place) + epoch_ns).tolist() or [last[place]]
        request: dict[str, Any] = {"timestamp": began[place]}
        if sequence[place]:
            request["sequence_id"] = sequence[place]
        request["request_inputs"] = {}
        request["response_timestamps"] = came
        request["response_outputs"] = [{} for _ in came]
        requests.append(request)
    return requests
