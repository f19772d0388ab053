"""What ECharts is told to draw: lines and bars over time, and adaptation curves. Numbers in, a dictionary out.

Colours of lines and areas are the same in the light and in the dark; look.css colours the texts. The functions that write
numbers (bytes, joules, ...) are those of look.js.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..views.learning import Curve, Mark
from ..views.periods import Period

Points = Sequence[tuple[float, float | None]]  # (nanoseconds, value)
Options = dict[str, Any]

BLUE, TEAL, SAND, VIOLET, CLAY, GREY, RED = "#4a8fd0", "#1fa187", "#d3a338", "#8a7bd8", "#d9855b", "#95a0ae", "#d64f4f"
STATE_COLOURS = {
    "ready": "#2fa36f",
    "sleeping": "#6f8bd0",
    "offline": "#95a0ae",
    "refused": "#a672c8",
    "lost": "#e0913a",
    "silent": "#d64f4f",
}
_LINE = "rgba(127, 138, 152, 0.22)"
_TIMES = {
    "year": "{yyyy}",
    "month": "{MMM} {yyyy}",
    "day": "{d} {MMM}",
    "hour": "{HH}:{mm}",
    "minute": "{HH}:{mm}",
    "second": "{HH}:{mm}:{ss}",
    "millisecond": "{HH}:{mm}:{ss}",
}
_TEXT = {"fontFamily": "inherit", "fontSize": 12, "color": "#7b8694"}


@dataclass(frozen=True)
class Series:
    """One line or one colour of bars. gaps: a step with no point is a gap, not a line drawn across."""

    name: str
    colour: str
    points: Points
    area: bool = False
    dashed: bool = False


def lines(
    series: Sequence[Series], over: Period, unit: str = "number", marks: Sequence[Mark] = (), low: float | None = None
) -> Options:
    """Lines over time. unit: a function of look.js. low: where the axis begins; None: near the lowest value."""
    drawn = [_line(one, over) for one in series]
    if drawn and marks:
        drawn[0]["markLine"] = _marks(marks)
    return _over_time(drawn, over, unit, {"scale": low is None} | ({} if low is None else {"min": low}))


def bars(series: Sequence[Series], over: Period, unit: str = "number") -> Options:
    """Bars on top of each other, one for each step of time."""
    half_ms = over.step_ns / 2e6
    drawn = [
        {
            "type": "bar",
            "name": one.name,
            "stack": "all",
            "color": one.colour,
            "data": [[round(time_ns / 1e6 + half_ms), value] for time_ns, value in one.points],
            "barCategoryGap": "25%",
            "barMaxWidth": 28,
            "animation": False,
        }
        for one in series
    ]
    return _over_time(drawn, over, unit, {"min": 0})


def curves(found: Sequence[tuple[str, str, Curve]]) -> Options:
    """Adaptation curves: (name, colour, curve)."""
    counts = sorted({samples for _, _, curve in found for samples, _ in curve.points})
    drawn = []
    for at, (name, colour, curve) in enumerate(found):
        known = dict(curve.points)
        drawn.append(
            {
                "type": "line",
                "name": name,
                "color": colour,
                "data": [known.get(samples) for samples in counts],
                "connectNulls": True,
                "symbolSize": 7,
                "lineStyle": {"width": 2.5 if at == 0 else 1.5, "type": "solid" if at == 0 else "dashed"},
                "animation": False,
            }
        )
    axis = {
        "type": "category",
        "data": [str(samples) for samples in counts],
        "name": "samples of its own",
        "nameLocation": "middle",
        "nameGap": 26,
        "boundaryGap": False,
        "axisLabel": _TEXT,
        "nameTextStyle": _TEXT,
        "axisLine": {"lineStyle": {"color": _LINE}},
        "axisTick": {"show": False},
    }
    options = _frame(drawn, "number", {"min": 0})
    return options | {"xAxis": axis, "grid": options["grid"] | {"bottom": 30}}


def _line(one: Series, over: Period) -> Options:
    return {
        "type": "line",
        "name": one.name,
        "color": one.colour,
        "data": _with_gaps(one.points, over),
        "showSymbol": len(one.points) < 3,
        "symbolSize": 6,
        "smooth": 0.15,
        "smoothMonotone": "x",
        "lineStyle": {"width": 2, "type": "dashed" if one.dashed else "solid"},
        "areaStyle": {"opacity": 0.12} if one.area else None,
        "animation": False,
    }


def _with_gaps(points: Points, over: Period) -> list[list[float | None]]:
    """Points in milliseconds, at the middle of their steps; where many steps are missing a line is not drawn across."""
    made: list[list[float | None]] = []
    spaces = sorted(after - before for (before, _), (after, _) in pairwise(points))
    usual_ns = spaces[len(spaces) // 2] if spaces else over.step_ns
    for at, (time_ns, value) in enumerate(points):
        if at and time_ns - points[at - 1][0] > 4 * usual_ns:
            made.append([round((time_ns - usual_ns) / 1e6), None])
        made.append([round((time_ns + over.step_ns / 2) / 1e6), value])
    return made


def _marks(marks: Sequence[Mark]) -> Options:
    return {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": GREY, "type": "dotted", "width": 1},
        "label": {"show": False},
        "data": [{"xAxis": round(mark.time_ns / 1e6), "name": mark.kind} for mark in marks],
        "animation": False,
    }


def _over_time(drawn: list[Options], over: Period, unit: str, axis: Options) -> Options:
    times = {
        "type": "time",
        "min": round(over.start_ns / 1e6),
        "max": round((over.end_ns // over.step_ns + 1) * over.step_ns / 1e6),
        "splitNumber": 5,
        "axisLabel": _TEXT | {"hideOverlap": True, "formatter": _TIMES},
        "axisLine": {"lineStyle": {"color": _LINE}},
        "axisTick": {"show": False},
    }
    return _frame(drawn, unit, axis) | {"xAxis": times}


def _frame(drawn: list[Options], unit: str, axis: Options) -> Options:
    several = len(drawn) > 1
    return {
        "animation": False,
        "textStyle": _TEXT,
        "grid": {"left": 4, "right": 14, "top": 34 if several else 12, "bottom": 4, "containLabel": True},
        "legend": {
            "type": "scroll",
            "show": several,
            "left": 0,
            "top": 0,
            "itemWidth": 12,
            "itemHeight": 8,
            "itemGap": 16,
            "icon": "roundRect",
            "textStyle": _TEXT,
        },
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": "var(--card)",
            "borderColor": "var(--edge)",
            "borderWidth": 1,
            "textStyle": {"color": "var(--text)", "fontSize": 13},
            "extraCssText": "border-radius: 8px; box-shadow: 0 6px 20px rgba(10, 16, 24, 0.16); font-family: inherit;",
            "axisPointer": {"lineStyle": {"color": GREY}, "type": "line"},
            ":valueFormatter": f"tegu.{unit}",
        },
        "yAxis": {
            "type": "value",
            "splitNumber": 4,
            "axisLabel": _TEXT | {":formatter": f"tegu.{unit}"},
            "splitLine": {"lineStyle": {"color": _LINE}},
            "minInterval": 1 if unit == "count" else 0,
        }
        | axis,
        "series": drawn,
    }
