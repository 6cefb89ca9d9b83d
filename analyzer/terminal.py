"""What a sweep says on the terminal: the words for a row, and a few lines at its end.

Owns the words. Does not own what is shown while it runs (``display``).
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from analyzer import assembly, together
from analyzer.config import show
from analyzer.config.show import Line
from analyzer.metrics import BY_TAG
from analyzer.ranking.frontier import frontier
from analyzer.ranking.goal import Goal
from analyzer.ranking.goodput import verified
from analyzer.ranking.rank import Standing, contender, failures, gain
from analyzer.ranking.repeats import identity
from analyzer.record.doubt import doubt, mark
from analyzer.record.row import Phase, Row
from analyzer.report import answers, wording
from analyzer.space import (
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Candidate,
)
from analyzer.stages import Skipped, untried
from analyzer.variant import NO_BATCHING, chosen_fields, run_by
from analyzer.workspace import Workspace

#: how many of the reasons for not trying a setting are shown
REASONS = 5
#: percent beyond which an interval's upper end is not told to the digit
_WIDE = 1000
_PHASES = {
    Phase.SEARCH: "",
    Phase.ABREAST: "side by side?",
    Phase.CURVE: "load curve",
    Phase.VERIFY: "verification",
    Phase.GOODPUT: "goodput",
}


def closing_words(console: Console, rows: Sequence[Row], goal: Goal, winner: Standing) -> None:
    """Print the winner, its gain over the default, and what to do with it."""
    console.print()
    console.print(
        Text.assemble(("Best configuration: ", "bold"), (winner.variant, "bold green")),
        highlight=False,
    )
    console.print(f"  {settings_of(winner.best)}", highlight=False, markup=False)
    console.print(f"  {figures(winner.best)}", highlight=False, markup=False)
    console.print(f"  {gain_words(rows, goal, winner)}", highlight=False, markup=False)
    if near := answers.sentence(winner.best):
        console.print(f"  {near}", highlight=False, markup=False)
    for found in verified(rows, goal):
        words = wording.goodput(found, found.row.variant)
        console.print(f"  Verified goodput: {words}.", highlight=False, markup=False)
    if words := knee_words(rows, goal, winner):
        console.print(f"  {words}", highlight=False, markup=False)
    if not winner.satisfies:
        console.print(
            f"  No configuration keeps the constraints ({goal.describe()}); this is the closest.",
            style="yellow",
            highlight=False,
            markup=False,
        )
    for each in goal.unsure(winner.best):
        console.print(
            f"  Not certain: {wording.uncertain(each, winner.best)}.",
            style="yellow", highlight=False, markup=False,
        )  # fmt: skip
    if failed := failures(rows):
        console.print(
            f"  {len(failed)} measurement{'s' * (len(failed) > 1)} failed; "
            "the report gives each reason.",
            style="yellow",
            highlight=False,
        )
    console.print()


def say_skipped(console: Console, skipped: Sequence[Skipped]) -> None:
    """Print how many settings were not tried, and why; nothing where all were."""
    if not skipped:
        return
    settings = untried(skipped)
    reasons = Counter(each.reason for each in settings)
    amount = len({each.candidate for each in settings})
    lines = [f"Not tried: {amount} setting{'s' * (amount > 1)}."]
    for reason, times in reasons.most_common(REASONS):
        lines.append(f"  {reason}" + (f" ({times} settings)" if times > 1 else ""))
    if len(reasons) > REASONS:
        lines.append(f"  and {len(reasons) - REASONS} more reasons; the report lists them all")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def say_config(console: Console, lines: Sequence[Line]) -> None:
    """Print a configuration; in a terminal sources are dim and headings stand apart."""
    for at, (line, spelt) in enumerate(
        zip(lines, show.text(tuple(lines)).split("\n"), strict=True)
    ):
        style = "dim" if line.source.startswith(show.DEFAULT) else "bold" if line.heading else ""
        if line.heading and at and console.is_terminal:
            console.print()
        text, found, source = spelt.partition("  # ") if line.source else (spelt, "", "")
        console.print(
            Text.assemble((text, style), (f"{found}{source}", style or "dim")),
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def say_commands(console: Console, place: Workspace, model: str, *, local: bool) -> None:
    """Print where the report is, and the commands that serve the winner and deploy it."""
    target = model if place.root == Path("results") / model else str(place.root)
    lines = [("Report", str(place.report))]
    if local:
        lines.append(("Serve it", shlex.join(["engine", "serve", "--chosen", target])))
        lines.append(("Deploy", shlex.join(["analyze", "export", target])))
    for title, text in lines:
        console.print(
            Text.assemble((f"{title + ':':<10}", "bold"), (text, "cyan")),
            soft_wrap=True,
            highlight=False,
        )


def gain_words(rows: Sequence[Row], goal: Goal, winner: Standing) -> str:
    """Say how much better the winner is than the default configuration, and how sure that is."""
    compared, rival = gain(rows, goal), contender(rows, goal)
    if winner.is_default:
        if compared is None or rival is None:
            return "No other configuration could be compared with the default."
        better = compared.percent > 0
        return (
            f"No other configuration is {'proven ' * better}better than the default: "
            f"the closest, {rival.variant}, came out "
            f"{_interval(compared.percent, compared.low, compared.high)} ({compared.method})."
        )
    if compared is None:
        return "The default configuration could not be measured for comparison."
    name = BY_TAG[compared.tag].title.lower() if compared.tag in BY_TAG else "weighted objectives"
    amount = _interval(compared.percent, compared.low, compared.high)
    if not compared.proven:
        return (
            f"No proven gain over the default configuration: {name} {amount} ({compared.method})."
        )
    return f"{amount} better {name} than the default configuration ({compared.method})."


def knee_words(rows: Sequence[Row], goal: Goal, winner: Standing) -> str:
    """Say where the knee lies; "" where there is none, or the winner is it."""
    knee = frontier(rows, goal).knee
    best = winner.best
    if knee is None or (identity(knee.row), knee.row.load.same) == (identity(best), best.load.same):
        return ""
    rate, latency = (each.middle for each in knee.values[:2])
    share = rate / best.metrics["perf_throughput"] if "perf_throughput" in best.metrics else 0.0
    times = (
        latency / best.metrics["perf_latency_p99"] if "perf_latency_p99" in best.metrics else 0.0
    )
    against = f" ({share:.0%} of the throughput, {times:.0%} of the p99 latency)"
    return (
        f"The knee of throughput and latency is {knee.row.variant} at "
        f"{wording.load(knee.row)}: {figure(rate)} infer/sec, p99 {figure(latency)} ms"
        f"{against if share and times else ''}."
    )


def _interval(percent: float, low: float | None, high: float | None) -> str:
    text = f"{percent:+.1f} %"
    if low is None or high is None:
        return text
    # Two pairs that disagree bound next to nothing, and a number of ten digits says it badly.
    top = f"{high:+.1f}" if high <= _WIDE else f"over {_WIDE:+,d}"
    return f"{text} [95 % interval {low:+.1f} to {top} %]"


def settings_of(row: Row) -> str:
    """Say a variant's settings in a few words."""
    parts = row.trial.candidate.by_model()
    every = assembly.shown(row.settings)
    if not every:
        return _own(row.settings, parts.get("", Candidate(())))
    said = (
        f"{name}: {_own(own, parts.get('' if name == row.model else name, Candidate(())))}"
        for name, own in every.items()
    )
    return "; ".join(said)


def _own(settings: Mapping[str, Any], candidate: Candidate) -> str:
    """Say one model's settings."""
    delay = settings.get(QUEUE_DELAY) if settings.get("dynamic_batching") else NO_BATCHING
    fields = dict(chosen_fields(candidate))
    # Said by the number and kind of instances.
    fields.pop("instance_group", None)
    return _words(
        run_by(settings),
        settings.get("instance_group"),
        settings.get(MAX_BATCH_SIZE),
        delay,
        settings.get(INTRA_OP_THREADS),
        fields,
    )


def changes(candidate: Candidate) -> str:
    """Say what a candidate changes; "" for the default."""
    said = {
        model: _words(
            run_by(dict(part.items)),
            part.get(INSTANCE_COUNT),
            part.get(MAX_BATCH_SIZE),
            part.get(QUEUE_DELAY),
            part.get(INTRA_OP_THREADS),
            chosen_fields(part),
        )
        for model, part in candidate.by_model().items()
    }
    return "; ".join(f"{model}: {text}" if model else text for model, text in said.items() if text)


def _words(
    by: str,
    instances: object,
    largest: object,
    delay: object,
    threads: object,
    fields: Mapping[str, str],
) -> str:
    """Say settings in a few words; what is None goes unsaid."""
    parts = [by] if by else []
    if instances:
        parts.append(f"instances {instances}")
    if largest is not None:
        parts.append(f"max batch {largest}")
    if delay is not None:
        parts.append("no batching" if delay == NO_BATCHING else f"batching delay {delay} us")
    if threads is not None:
        parts.append(f"threads {threads}")
    parts += [f"{name} {value}" for name, value in fields.items()]
    return ", ".join(parts)


def figures(row: Row) -> str:
    """Say throughput, p99 latency and the load."""
    rate = figure(row.metrics.get("perf_throughput"))
    p99 = figure(row.metrics.get("perf_latency_p99"))
    return f"{rate} infer/sec, p99 {p99} ms at {wording.load(row)}"


def load_of(row: Row) -> str:
    """Say how much load there was, as short as can be."""
    return f"{row.load.level:g}" + "/s" * row.load.is_open


def numbers(row: Row) -> tuple[str, str]:
    """Return throughput and p99 latency as shown."""
    if row.failure is not None:
        return "failed", ""
    tags = ("perf_throughput", "perf_latency_p99")
    return figure(row.metrics.get(tags[0])), figure(row.metrics.get(tags[1]))


def remark_of(row: Row, *, precision: bool = True) -> str:
    """Say what a row was taken for, and whether to trust it.

    Without ``precision`` nothing is said of intervals that are wider than asked for.
    """
    near = answers.short(row.accuracy)
    doubted = doubt(row) if precision or not mark(row).startswith("±") else ""
    said = (_PHASES[row.trial.phase], f"answers {near}" if near else "", doubted)
    return ", ".join(filter(None, said))


def reason_of(row: Row) -> str:
    """Return the one line of a failure's reason that says most; "" where there was none."""
    if row.failure is None:
        return ""
    lines = row.failure.message.strip().splitlines() or [row.failure.stage]
    # What did not come up says why in its own last words.
    return lines[-1 if row.failure.stage == "launch" else 0].strip()


def line(row: Row) -> str:
    """Say everything of a row in one line: what it was, what was seen, what was foreseen."""
    settings = "" if row.failure else f"  {settings_of(row)}"
    text = f"[{row.number}] {row.variant}{settings}, {wording.load(row)}: "
    rate, p99 = numbers(row)
    if not row.failure:
        rate = f"{rate} infer/sec{_foreseen(row, 'perf_throughput')}"
        rate += f", p99 {p99} ms{_foreseen(row, 'perf_latency_p99')}"
    text += rate
    for each in together.rows(row):
        text += f"; {each.model} {figures(each)}"
    remark = reason_of(row) or remark_of(row)
    return f"{text} ({remark})" if remark else text


def _foreseen(row: Row, tag: str) -> str:
    """Say what was expected of a metric; "" where nobody said."""
    predicted = {} if row.trial.why is None else row.trial.why.predicted
    return f" ({figure(predicted[tag])} foreseen)" if tag in predicted else ""


def figure(value: float | None) -> str:
    """Show three significant digits or so, without an exponent."""
    if value is None:
        return "-"
    if value >= 100:  # noqa: PLR2004 - from three digits before the point on, none after it
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - likewise


def clock(seconds: float) -> str:
    """Spell a time: seconds, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes}:{rest:02d} min"
