"""The pieces that pages are made of: tiles, cards, charts, facts. Each is made once and then shown new values."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from nicegui import ui

from ..views.device import Stretch
from ..words import NONE, STATE_WORDS, moment
from .charts import Options


class Tile:
    """A question and its answer."""

    def __init__(self, question: str) -> None:
        with ui.element("section").classes("tile") as self.box:
            ui.label(question).classes("tile-question")
            self._value = ui.label().classes("tile-value")
            self._more = ui.label().classes("tile-more")
            self._spark = ui.html(sanitize=False).classes("tile-spark")
        self._tone = ""

    def show(self, value: str, more: str = "", tone: str = "", spark: Sequence[float | None] = ()) -> None:
        """tone: good, watch, visit or none."""
        self._value.set_text(value)
        self._more.set_text(more)
        self._spark.set_content(_spark(spark))
        if tone != self._tone:
            self.box.classes(remove=f"is-{self._tone}" if self._tone else None, add=f"is-{tone}" if tone else None)
            self._tone = tone


def show_none(tiles: Iterable[Tile], why: str) -> None:
    """There is nothing to tell yet in any of them."""
    for tile in tiles:
        tile.show(NONE, why)


class Card:
    """A titled box with one sentence that says what is in it. Use it as a context."""

    def __init__(self, title: str, caption: str = "", wide: bool = False) -> None:
        self._box = ui.element("section").classes("card wide" if wide else "card")
        with self._box:
            ui.label(title).classes("card-title").props("role=heading aria-level=2")
            self.caption = ui.label(caption).classes("card-caption")

    def __enter__(self) -> "Card":
        self._box.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._box.__exit__(*error)

    def show(self, visible: bool) -> None:
        self._box.set_visibility(visible)


class Chart:
    """A card with a chart, or with a sentence when there is nothing to draw yet."""

    def __init__(self, title: str, caption: str, empty: str, wide: bool = False, low: bool = False) -> None:
        self.card = Card(title, caption, wide)
        self._low, self._aria = low, {"enabled": True, "label": {"description": f"{title}. {caption}"}}
        with self.card:
            self._place = ui.element("div").classes("chart-place")
            self._empty = ui.label(empty).classes("empty")
        self._place.set_visibility(False)
        self._chart: ui.echart | None = None
        self._shown: Options | None = None

    def show(self, options: Options | None) -> None:
        """None: nothing to draw."""
        if options == self._shown and self._chart is not None:
            return
        self._shown = options
        self._place.set_visibility(options is not None)
        self._empty.set_visibility(options is None)
        if options is None:
            return
        if self._chart is None:
            with self._place:
                self._chart = ui.echart(options | {"aria": self._aria}, renderer="svg").classes(
                    "chart low" if self._low else "chart"
                )
        else:
            self._chart.options.clear()
            self._chart.options.update(options | {"aria": self._aria})
            self._chart.update()


class Facts:
    """A list of names and values, in two columns if there is room."""

    def __init__(self, two: bool = False) -> None:
        self._box = ui.element("dl").classes("facts two" if two else "facts")
        self._shown: list[tuple[str, str]] = []

    def show(self, facts: Iterable[tuple[str, str]]) -> None:
        found = list(facts)
        if found == self._shown:
            return
        self._shown = found
        self._box.clear()
        with self._box:
            for name, value in found:
                with ui.element("div"):
                    with ui.element("dt"):
                        ui.label(name)
                    with ui.element("dd"):
                        ui.label(value)


class Lines:
    """A list of sentences, each with a coloured dot: tone, text, when."""

    def __init__(self, empty: str) -> None:
        self._box = ui.element("ul").classes("lines")
        self._empty = ui.label(empty).classes("empty")
        self._shown: list[tuple[str, str, str]] | None = None

    def show(self, found: Sequence[tuple[str, str, str]]) -> None:
        if list(found) == self._shown:
            return
        self._shown = list(found)
        self._empty.set_visibility(not found)
        self._box.clear()
        with self._box:
            for tone, text, when in found:
                with ui.element("li"):
                    ui.element("span").classes(f"dot is-{tone}")
                    ui.label(text).classes("line-text")
                    if when:
                        ui.label(when).classes("line-when")


def state_strip(stretches: Sequence[Stretch], start_ns: int, end_ns: int) -> str:
    """HTML of a strip of colours: the states over a period."""
    whole = max(1, end_ns - start_ns)
    parts = []
    for one in stretches:
        left, width = (one.start_ns - start_ns) / whole * 100, (one.end_ns - one.start_ns) / whole * 100
        title = (
            f"{STATE_WORDS.get(one.state, one.state)}, {moment(one.start_ns, end_ns)} to {moment(one.end_ns, end_ns)}"
        )
        state = one.state if one.state in STATE_WORDS else "offline"
        parts.append(
            f'<i class="state-{state}" style="left:{left:.2f}%;width:{width:.2f}%" title="{escape(title)}"></i>'
        )
    return f'<div class="strip">{"".join(parts)}</div>'


def _spark(values: Sequence[float | None]) -> str:
    """HTML of a small line without axes; empty for fewer than three values."""
    told = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(told) < 3:
        return ""
    low, high = min(value for _, value in told), max(value for _, value in told)
    span, last = (high - low) or 1.0, max(1, len(values) - 1)
    points = " ".join(f"{at / last * 100:.1f},{26 - (value - low) / span * 22:.1f}" for at, value in told)
    return (
        f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true"><polyline points="{points}"/></svg>'
    )
