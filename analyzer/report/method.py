"""How the numbers came about, when and on what, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.record.row import LoadSpec, Phase
from analyzer.report import wording
from analyzer.report.evidence import Evidence

Facts = tuple[tuple[str, str], ...]

#: facts of the machine that have a place of their own
_ELSEWHERE = frozenset({"versions", "warnings", "environment", "server_only"})
#: options whose names say too little beside their values
_OPTIONS = {"model": "model digest", "max_windows": "windows at most"}


def taken(evidence: Evidence) -> str:
    """Say when, and how long the measuring took."""
    day, _, clock = evidence.head.started_at.partition("T")
    spent = wording.duration(sum(row.seconds for row in evidence.rows))
    return f"{day} {clock[:5]} UTC, {spent} of measuring".replace("  ", " ")


def machine(evidence: Evidence) -> Facts:
    """Return what is known of the machine."""
    known = evidence.head.machine.items()
    return wording.facts({name: value for name, value in known if name not in _ELSEWHERE})


def state(evidence: Evidence) -> Facts:
    """Return what was looked at before the run, as (how good it is: ok, warning ..., what)."""
    looked = evidence.head.machine.get("environment") or ()
    return tuple(
        (str(one.get("level", "")), str(one.get("text", "")))
        for one in looked
        if isinstance(one, Mapping)
    )


def options(evidence: Evidence) -> Facts:
    """Return the options that the run was measured with."""
    known = evidence.head.options.items()
    return wording.facts({_OPTIONS.get(name, name): value for name, value in known})


def versions(evidence: Evidence) -> Facts:
    """Return the run's versions, and what the chosen model's runtime says of itself."""
    runtime = {} if evidence.chosen is None else evidence.chosen.best.runtime
    return tuple({**evidence.head.versions, **runtime}.items())


def method(evidence: Evidence) -> tuple[str, ...]:
    """Say how the numbers came about, and what they do not say."""
    first = evidence.rows[0].load
    said = [
        _loaded(first),
        _length(first),
        (
            "Latencies are percentiles over the requests that count (nearest rank). Queue and "
            "compute times are the server's own statistics; network and front end is what is left "
            "of the client's average."
        ),
        (
            "Each configuration stands by its best measurement of the search and of the load "
            "curves; what the search measured again, by its mean. The best of many noisy "
            "measurements looks a little better than it is, so the gain is taken from the "
            "verification alone, where there is one."
        ),
        (
            "The bars of the load curves are the 95 % interval of the throughput; of measurements "
            "by older versions, the slowest and the fastest window."
        ),
    ]
    if among := _among_others(evidence):
        said.append(among)
    if evidence.pairs():
        said.append(
            "Verification measures the leader and the default in turn, each time on a newly "
            "started server, so that drift of the machine meets both alike."
        )
    said.append(
        "The numbers hold for this machine, these versions and this load; client and server "
        "shared the machine unless the server was remote."
    )
    return tuple(said)


def _among_others(evidence: Evidence) -> str:
    """Say which measurements ran on GPUs side by side; "" where none did."""
    search = [row for row in evidence.rows if row.trial.phase is Phase.SEARCH]
    among = [row for row in search if row.trial.beside > 1]
    if not among:
        return ""
    most = max(row.trial.beside for row in among)
    gpus = len({row.gpu for row in among})
    text = (
        f"{len(among)} of {wording.count(len(search), 'measurement')} of the search ran up to "
        f"{most} at a time, on {wording.count(gpus, 'GPU')}, each with cores of its own. Before "
        "that the default, measured by itself and on all of them at once, had the same throughput "
        "and mean latency within their intervals. All other measurements had the machine to "
        "themselves."
    )
    if short := sum(row.short_of_cores for row in among):
        text += (
            f" {wording.count(short, 'measurement')} short of cores beside others did not count "
            "and came again alone."
        )
    return text


def _length(load: LoadSpec) -> str:
    """Say how long a measurement took, and why."""
    if load.rule == "windows":
        return (
            f"Windows of {load.window_seconds:g} s until the last three agree within "
            f"{load.tolerance:.0%}, at most {load.max_windows}. A measurement that never settles "
            "is kept and marked unstable."
        )
    wanted = f"{load.latency_precision:.0%} of the mean latency"
    if not load.is_open:
        wanted = f"{load.throughput_precision:.0%} of the throughput and {wanted}"
    return (
        f"Measured until half the 95 % interval is at most {wanted}, for {load.min_seconds:g} to "
        f"{load.max_seconds:g} s once the server was warm. One that is not as precise in this time "
        "is kept, and marked with how far its interval reaches."
    )


def _loaded(load: LoadSpec) -> str:
    """Say how the server was loaded."""
    over = f"over {load.protocol.upper()} with {load.data} data"
    counts = "Latency counts from the planned arrival to the last byte."
    if not load.is_open:
        how = "as many requests in flight as the concurrency says"
        return f"Load: closed loop {over}, {how}. {counts}"
    gaps = {
        "constant": "at even distances",
        "poisson": "at random moments (Poisson)",
        "gamma": f"in bursts (gamma, coefficient of variation {load.distribution_cv:g})",
    }
    return (
        f"Load: open loop {over}; requests come {gaps.get(load.distribution, load.distribution)} "
        f"at the request rate, whoever has been answered. {counts}"
    )
