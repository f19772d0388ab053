"""Figures as inline SVG and HTML: lines on axes, their legends and captions.

Drawn here rather than by a plotting library, so that they follow the page's light, dark and print colours.
Values and words come in, markup goes out: nothing here knows a Result. Colours are classes, see report.css.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from experiments.results import bytes_text, number_text, one_line

STYLES = 6  # of lines, each its own colour and dashes: .s0 to .s5 in report.css
WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 66, 30, 44  # room for tick labels, end values, the two axis labels
MOST_MARKERS = 16


@dataclass(frozen=True)
class Line:
    """One line of a chart; a value that is not finite is a gap."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: int

    @property
    def marked(self) -> bool:
        """Whether there are few enough points to mark each."""
        return len(self.ys) <= MOST_MARKERS


@dataclass(frozen=True)
class Axis:
    """Where values fall: `scale` is monotone, `place` gives 0 at `low` and 1 at `high`."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    text: Callable[[float], str]  # a tick's value
    exact: Callable[[float], str] = number_text  # a point's value
    scale: Callable[[float], float] = float

    def place(self, value: float) -> float:
        low, high = self.scale(self.low), self.scale(self.high)
        return (self.scale(value) - low) / (high - low)


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` + 1 round numbers (1, 2, 5 times a power of ten) that span low to high."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    size *= next(m for m in (1, 2, 5, 10, 20) if (high - low) / (size * m) <= most - 1)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    return [round(i * size, 12) for i in range(first, last + 1)]


def samples_axis(ticks: Sequence[int]) -> Axis:
    """Sample counts with 0 on a doubling scale."""
    high = ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1
    label = "samples learned from (doubling scale)"
    return Axis(label, ticks[0], high, ticks, "{:.0f}".format, scale=_doublings)


def _doublings(samples: float) -> float:
    return math.log2(1 + samples)


def rounds_axis(nums: Sequence[int]) -> Axis:
    """Round numbers."""
    low, high = min(nums), max(*nums, min(nums) + 1)
    inside = [t for t in steps(low, high) if low <= t <= high and t == int(t)]
    ticks = sorted({low, *(t for t in inside if t - low > 0.05 * (high - low))})
    return Axis("round", low, high, ticks, "{:.0f}".format)


def value_axis(lines: Iterable[Line], label: str, exact: Callable[[float], str] = number_text) -> Axis:
    """A plain scale over the finite values, from zero if they come near it; logarithmic over two decades."""
    values = [y for line in lines for y in line.ys if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(values), max(values)
    if low > 0 and high / low > 100:
        return _log_axis(low, high, f"{label}, log scale", exact)
    if high == low:
        high = low + (abs(low) or 1.0)
    ticks = steps(0.0 if 0 <= low < 0.4 * high else low, high)
    return Axis(label, ticks[0], ticks[-1], ticks, _alike(ticks), exact)


def _log_axis(low: float, high: float, label: str, exact: Callable[[float], str]) -> Axis:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [10.0**decade for decade in range(first, last + 1, max(1, (last - first) // 5))]
    return Axis(label, 10.0**first, 10.0**last, ticks, "{:g}".format, exact, math.log10)


def _alike(ticks: Sequence[float]) -> Callable[[float], str]:
    """All ticks with as many decimals as the step between them needs."""
    places = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{{:,.{places}f}}".format


def bytes_axis(lines: Iterable[Line]) -> Axis:
    """From zero, in the unit that keeps the numbers short."""
    high = max((y for line in lines for y in line.ys), default=0) or 1.0
    unit, size = next(((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if high >= s), ("B", 1.0))
    ticks = steps(0.0, high)
    text = _alike([tick / size for tick in ticks])
    return Axis(f"bytes so far ({unit})", 0.0, ticks[-1], ticks, lambda v: text(v / size), bytes_text)


def chart(lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """The figure as inline SVG. It scales with its column; words in it stay text."""
    left = "".join(_y_tick(y, t) for t in y.ticks)
    below = "".join(_x_tick(x, t) for t in x.ticks)
    middle, bottom = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6
    ends = _end_values(lines, y)
    drawn = "".join(_line(line, x, y) for line in reversed(lines))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(y.label)} by {escaped(x.label)}">\n'
        f'<text class="axis" x="0" y="13">{escaped(y.label)}</text>\n{left}{below}'
        f'<text class="axis" x="{middle:.0f}" y="{bottom}" text-anchor="middle">{escaped(x.label)}</text>\n'
        f"{drawn}{ends}</svg>\n"
    )


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _y_tick(axis: Axis, value: float) -> str:
    y = _y(axis, value)
    return (
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{axis.text(value)}</text>\n'
    )


def _x_tick(axis: Axis, value: float) -> str:
    x, y = _x(axis, value), HEIGHT - BOTTOM + 18
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{axis.text(value)}</text>\n'


def _line(line: Line, x: Axis, y: Axis) -> str:
    points = [(_x(x, a), _y(y, b), a, b) for a, b in zip(line.xs, line.ys, strict=True) if math.isfinite(b)]
    style = line.style % STYLES
    marks = "".join(
        f"<g>{_marker(style, px, py)}<title>{escaped(line.label)}, {x.text(a)}: {y.exact(b)}</title></g>"
        for px, py, a, b in points
        if line.marked
    )
    return f'<path class="line s{style}" d="{_path(line, x, y)}"/>{marks}\n'


def _path(line: Line, x: Axis, y: Axis) -> str:
    """Moves and lines through the finite values; a gap begins a new piece."""
    pen, parts = "M", []
    for a, b in zip(line.xs, line.ys, strict=True):
        if math.isfinite(b):
            parts.append(f"{pen}{_x(x, a):.1f} {_y(y, b):.1f}")
        pen = "L" if math.isfinite(b) else "M"
    return "".join(parts)


def _marker(style: int, x: float, y: float) -> str:
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        f"M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z",
        f"M{x:.1f} {y - 4.8:.1f}l4.6 8h-9.2z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
    )
    return f'<path class="mark s{style}" d="{shapes[style % len(shapes)]}"/>'


def _end_values(lines: Sequence[Line], y: Axis) -> str:
    """The last value of each line at the right edge, pushed apart where they would touch."""
    last = [line for line in lines if line.ys and math.isfinite(line.ys[-1])]
    last.sort(key=lambda line: -line.ys[-1])
    places = apart([_y(y, line.ys[-1]) for line in last], 14, HEIGHT - BOTTOM)
    x = WIDTH - RIGHT + 8
    return "".join(
        f'<text class="end s{line.style % STYLES}" x="{x}" y="{at + 4:.1f}">{y.exact(line.ys[-1])}</text>\n'
        for line, at in zip(last, places, strict=True)
    )


def apart(places: Sequence[float], gap: float, lowest: float) -> list[float]:
    """Rising places moved until they are a gap apart: down as needed, then up again from the lowest allowed."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    for i in range(len(moved) - 1, -1, -1):
        moved[i] = min(moved[i], lowest if i == len(moved) - 1 else moved[i + 1] - gap)
    return moved


def line_key(style: int, marked: bool = True) -> str:
    """A piece of the line, for legends."""
    style %= STYLES
    mark = _marker(style, 17, 6) if marked else ""
    line = f'<path class="line s{style}" d="M0 6H34"/>'
    return f'<svg class="key" viewBox="0 0 34 12" aria-hidden="true">{line}{mark}</svg>'


def legend(lines: Iterable[Line]) -> str:
    """Names of lines beside a piece of each."""
    items = "".join(f"<li>{line_key(line.style, line.marked)}{escaped(line.label)}</li>" for line in lines)
    return f'<ul class="legend">{items}</ul>\n'


def swatches(names: Iterable[tuple[str, str]]) -> str:
    """A legend of colours: (class, name)."""
    items = "".join(f'<li><i class="swatch {kind}"></i>{name}</li>' for kind, name in names)
    return f'<ul class="legend">{items}</ul>\n'


def figure(title: str, sentence: str, drawn: str, lines: Sequence[Line] = ()) -> str:
    """A chart under its title and the sentence that says what to see."""
    key = legend(lines) if lines else ""
    caption = f"<figcaption><b>{escaped(title)}.</b> {escaped(sentence)}</figcaption>"
    return f"<figure>\n{caption}\n{key}{drawn}</figure>\n"


def pair(figures: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="pair">\n{figures}</div>\n'


def escaped(value: object) -> str:
    """Any text as HTML: on one line, and never markup."""
    return escape(one_line(value))
