"""What configurations used over time, and their batches: figures among which one chooses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer.report.drawing import (
    BLUE,
    GREY,
    PURPLE,
    SKY,
    VERMILLION,
    Chart,
    Choice,
    Figure,
    axis,
    brief,
    filled,
    frame,
)
from analyzer.report.timelines import GPU, OWN, Channel, Timeline

#: what one chooses among, and of what that is
PART, WHICH = "configuration", "Of one measurement, at the configuration's best load."
_PANEL_PX, _REST_PX = 132, 74
_GAP = 0.07
#: of the models of a pipeline
_MODELS = (BLUE, SKY, PURPLE, GREY)


def draw(timelines: Sequence[Timeline], part: str = PART, which: str = WHICH) -> tuple[Chart, ...]:
    """Draw what there is of both; ``which`` says what the timelines are of."""
    return (*_over_time(timelines, part, which), *_batches(timelines, part, which))


def _over_time(timelines: Sequence[Timeline], part: str, which: str) -> list[Chart]:
    """One panel for each quantity, one below the other; the default's stands behind."""
    watched = [each for each in timelines if len(each.at) > 1]
    panels = [channel for channel in (*OWN, *GPU)
              if any(channel.name in each.values for each in watched)]  # fmt: skip
    if not panels:
        return []
    default = next((each for each in watched if each.is_default), None)
    behind = [] if default is None or len(watched) == 1 else [default]
    choices = [_time_choice(each, panels, len(behind)) for each in watched]
    traces = [_line(place, "solid", BLUE) for place in range(len(panels))]
    for one in behind:
        traces += [
            _line(place, "dot", VERMILLION)
            | {"name": "default", "x": list(one.at), "y": _column(one, channel)}
            for place, channel in enumerate(panels)
        ]
    layout = _panels(panels)
    return [
        Chart(
            name="time",
            title="What was used over time",
            note=f"{which} The shaded part counts; what comes before is warm-up.",
            figure=_first(traces, layout, choices[0]),
            wide=True,
            choices=tuple(choices),
            part=part,
        )
    ]


def _time_choice(one: Timeline, panels: Sequence[Channel], behind: int) -> Choice:
    own = [{"name": one.title, "x": list(one.at), "y": _column(one, channel)} for channel in panels]
    # The default is not drawn behind itself.
    rest: list[Figure] = [{"visible": not one.is_default}] * (len(panels) * behind)
    counts = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": 0,
        "x1": one.until,
        "y0": 0,
        "y1": 1,
        "fillcolor": GREY,
        "opacity": 0.16,
        "line": {"width": 0},
        "layer": "below",
        "name": "what counts",
        "showlegend": True,
    }
    return Choice(label=one.label, traces=(*own, *rest), layout={"shapes": [counts]})


def _column(one: Timeline, channel: Channel) -> list[float | None]:
    """Return a channel, as long as the time; what was not seen is a gap."""
    values = one.values.get(channel.name, ())[: len(one.at)]
    return [*values, *[None] * (len(one.at) - len(values))]


def _line(place: int, dash: str, colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "xaxis": "x",
        "yaxis": _axis_name("y", place),
        "hovertemplate": "%{y:,.4g}",
        "line": {"color": colour, "width": 2, "dash": dash},
    }


def _axis_name(letter: str, place: int) -> str:
    return letter if place == 0 else f"{letter}{place + 1}"


def _panels(panels: Sequence[Channel]) -> Figure:
    """Return a layout of panels one below the other, which share the time."""
    many = len(panels)
    height = (1.0 - _GAP * (many - 1)) / many
    layout = frame(x={}, y={}, height=_PANEL_PX * many + _REST_PX)
    layout["xaxis"] = {
        **axis("Seconds from where it counts", None),
        "rangemode": "normal",
    }
    for place, channel in enumerate(panels):
        top = 1.0 - place * (height + _GAP)
        layout[_axis_name("yaxis", place)] = {
            **axis(f"{channel.title}<br>({channel.unit})", None),
            "domain": [max(0.0, round(top - height, 6)), round(top, 6)],
            "nticks": 4,
        }
    layout["hovermode"] = "x unified"
    return layout


def _first(traces: Sequence[Figure], layout: Figure, choice: Choice) -> Figure:
    """Return the figure as it looks with the first choice."""
    data = [{**trace, **own} for trace, own in zip(traces, choice.traces, strict=True)]
    return {"data": data, "layout": {**layout, **choice.layout}}


def _batches(timelines: Sequence[Timeline], part: str, which: str) -> list[Chart]:
    """Batch sizes and how many of the inferences ran in them; nothing where nothing was batched."""
    known = [each for each in timelines if each.batches]
    sizes = sorted({size for each in known for own in each.batches.values() for size in own})
    if not sizes or sizes[-1] <= 1:
        return []
    models = list(dict.fromkeys(name for each in known for name in each.batches))
    default = next((each for each in known if each.is_default), None)
    compared = default is not None and len(models) == 1 and len(known) > 1
    traces: list[Figure] = [
        {"type": "bar", "hovertemplate": "batches of %{x}: %{y:.1f}%", "marker": {"color": colour}}
        for colour in (_MODELS * len(models))[: len(models)]
    ]
    if compared and default is not None:
        traces.append({
            "type": "bar",
            "name": "default",
            "hovertemplate": "default, batches of %{x}: %{y:.1f}%<extra></extra>",
            "marker": filled(VERMILLION, "/"),
            **_bars(default.batches[models[0]], sizes),
        })  # fmt: skip
    choices = [_batch_choice(each, models, sizes, compared=compared) for each in known]
    layout = frame(
        x=axis("Batch size", None), y=axis("Share of the inferences (%)", None), height=360
    )
    layout["xaxis"] |= {"type": "category"}
    layout["xaxis"]["categoryarray"] = [str(size) for size in sizes]
    del layout["xaxis"]["rangemode"]
    layout |= {"barmode": "group", "bargap": 0.2, "hovermode": "closest"}
    return [
        Chart(
            name="batches",
            title="How requests were batched",
            note=f"Which share of the inferences ran in batches of each size. {which}",
            figure=_first(traces, layout, choices[0]),
            wide=True,
            choices=tuple(choices),
            part=part,
        )
    ]


def _batch_choice(
    one: Timeline, models: Sequence[str], sizes: Sequence[int], *, compared: bool
) -> Choice:
    own = [
        {
            "name": one.title if len(models) == 1 else f"{model}, {one.title}",
            **_bars(one.batches.get(model, {}), sizes),
        }
        for model in models
    ]
    rest: list[Figure] = [{"visible": not one.is_default}] * compared
    return Choice(label=one.label, traces=(*own, *rest), layout={})


def _bars(shares: Mapping[int, float], sizes: Sequence[int]) -> Figure:
    return {
        "x": [str(size) for size in sizes],
        "y": [brief(100.0 * shares.get(size, 0.0)) for size in sizes],
    }
