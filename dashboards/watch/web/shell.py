"""What stands around every page: where one can go, the period, whether the store is alive. And the clock that keeps a page up to date.

A page gives the shell two functions: `read`, which makes values of a reading in the reader's thread, and `show`, which puts
them into its elements. The shell calls both when the page opens, when the store has changed, and when the words for times
would be out of date. Nothing is built anew: elements are given new values, so a page neither flickers nor scrolls.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nicegui import ui

from coordinator.trouble import in_words

from ..reader import Reader
from ..store import Reading, StoreError
from ..views import periods, rounds
from ..words import ago

T = TypeVar("T")
Read = Callable[[Reading, periods.Period], T]
LOOK_S = 0.5  # between two looks at the file
WORDS_S = 10.0  # after which "20 s ago" is said anew
REST_TIMES = 8  # as long as a reading took, at least, the next one waits
PLACES = (
    ("/", "Fleet", "sensors"),
    ("/rounds", "Rounds", "autorenew"),
    ("/learning", "Learning", "trending_down"),
    ("/bytes", "Bytes", "swap_vert"),
    ("/energy", "Energy", "bolt"),
    ("/coordinator", "Coordinator", "hub"),
)
PERIODS = {"hour": "Hour", "day": "Day", "week": "Week", "all": "All"}


@dataclass(frozen=True)
class Around(Generic[T]):
    """A page's values, and what the shell itself shows with them."""

    page: T
    over: periods.Period
    site: str
    model: str
    late: bool
    quiet_s: float
    empty: bool
    closed_s: float | None  # since a round closed


class Shell:
    """One browser's page."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._word = ""  # of the period; empty: the usual one
        self._read: Read[Any] | None = None
        self._show: Callable[[Any, periods.Period], None] | None = None
        self._stamp: tuple[int, ...] = ()
        self._due_s = self._rest_s = 0.0
        self._links: dict[str, ui.link] = {}

    def build(self, routes: dict[str, Callable[..., Any]]) -> None:
        """The frame, with the page that the address names within it."""
        with ui.element("header").classes("top"), ui.element("div").classes("top-row"):
            with ui.link(target="/").classes("brand").props("aria-label=Tegu"):
                ui.html(
                    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 15c3-7 9-9 13-6 2 1.5 4 1.5 5 0-1 5-5 6-8 4.5S7 13 3 19z"/><circle cx="16.5" cy="10.3" r=".9"/></svg>',
                    sanitize=False,
                )
                ui.label("Tegu")
            with ui.element("nav").props("aria-label=Pages"):
                for path, name, icon in PLACES:
                    with ui.link(target=path).classes("place") as self._links[path]:
                        ui.icon(icon)
                        ui.label(name)
            with ui.element("div").classes("top-end"):
                with ui.element("div").classes("alive"):
                    self._dot = ui.element("span").classes("dot")
                    self._alive = ui.label()
                self._toggle = ui.toggle(PERIODS, on_change=lambda event: self._choose(event.value))
                self._toggle.classes("period").props(
                    "unelevated no-caps dense color=rest text-color=rest toggle-color=chosen toggle-text-color=chosen aria-label=Period"
                )
        self._banner = ui.label().classes("away").props("role=status")
        with ui.element("div").classes("page"):
            ui.sub_pages(routes)
        ui.timer(LOOK_S, self._tick)

    async def arrive(self, path: str, title: str, read: Read[T], show: Callable[[T, periods.Period], None]) -> None:
        """A page's elements are there: fill them, and keep them up to date until the next page arrives."""
        self._read, self._show = read, show
        for place, link in self._links.items():
            link.classes(add="here") if place == path else link.classes(remove="here")
        ui.page_title(f"{title} · Tegu")
        await self._refresh()

    async def _choose(self, word: str) -> None:
        if word != self._word:
            self._word = word
            await self._refresh()

    async def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s < self._rest_s:
            return
        if now_s >= self._due_s or self._reader.store.stamp() != self._stamp:
            await self._refresh()

    async def _refresh(self) -> None:
        read, show = self._read, self._show
        if read is None or show is None:
            return
        stamp, word = self._reader.store.stamp(), self._word
        try:
            found, took_s = await self._reader.read(lambda at: _around(at, word, read))
        except StoreError as error:
            self._due_s = time.monotonic() + 1.0
            self._say("visit", "not readable", f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return
        if self._dot.is_deleted:  # the visitor has left while this was read
            return
        now_s = time.monotonic()
        self._stamp, self._due_s, self._rest_s = stamp, now_s + WORDS_S, now_s + REST_TIMES * took_s
        if show is self._show:
            self._frame(found)
            show(found.page, found.over)

    def _frame(self, found: Around[Any]) -> None:
        self._word = found.over.word
        self._toggle.set_value(found.over.word)
        if found.late:
            waited = in_words(found.quiet_s)
            text = f"Nothing was written for {waited}: the coordinator or its monitor is not running. This is how things were then."
            self._say("watch", f"stopped {waited} ago", text)
        elif found.empty:
            self._say("watch", "waiting", "")
        else:
            self._say("good", "live" if found.closed_s is None else f"round closed {ago(found.closed_s)}", "")

    def _say(self, tone: str, text: str, banner: str) -> None:
        self._dot.classes(replace=f"dot is-{tone}")
        self._alive.set_text(text)
        self._banner.set_text(banner)
        self._banner.classes(replace=f"banner is-{tone}" if banner else "away")


def _around(at: Reading, word: str, read: Read[T]) -> Around[T]:
    over = periods.period(at, word)
    last = rounds.latest(at, 1)
    closed_s = max(0.0, (at.now_ns - last[0].closed_ns) / 1e9) if last else None
    return Around(read(at, over), over, at.site, at.model, at.late, at.quiet_s, at.newest_ns == 0, closed_s)
