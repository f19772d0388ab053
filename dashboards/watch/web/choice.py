"""Which devices are listed: those of a group (all, those in need, those in one state) whose names have what was searched for."""

from collections.abc import Callable

from nicegui import ui

from .. import words
from ..views.fleet import Device, Fleet


class Choice:
    """Which devices are listed: a search, and one of a few groups."""

    def __init__(self) -> None:
        self._group = "all"
        self._changed: Callable[[], None] = lambda: None
        self._groups: dict[str, str] = {}
        with ui.element("div").classes("choice"):
            self._chips = ui.element("div").classes("chips").props("role=group aria-label='which devices'")
            self._search = ui.input(placeholder="Search a device", on_change=self._searched)
            self._search.classes("search").props("dense outlined clearable debounce=200 aria-label='search a device'")
        self._buttons: dict[str, ui.button] = {}

    def of(self, found: Fleet) -> list[Device]:
        """Those that are chosen."""
        text = str(self._search.value or "").strip().lower()
        return [device for device in found.devices if _in_group(device, self._group) and text in device.name.lower()]

    def show(self, found: Fleet, changed: Callable[[], None]) -> None:
        """The groups that there are, with their numbers."""
        self._changed = changed
        groups = {"all": f"All {len(found.devices):,}"} if found.devices else {}
        for group, name, number in (
            ("visit", "Needs a visit", found.count(2)),
            ("watch", "Keep an eye on", found.count(1)),
        ):
            groups |= {group: f"{name} {number:,}"} if number else {}
        groups |= {state: f"{words.STATE_WORDS[state]} {number:,}" for state, number in found.states.items()}
        if groups == self._groups:
            return
        if list(groups) == list(self._groups):
            for group, text in groups.items():
                self._buttons[group].set_text(text)
        else:
            if self._group not in groups:
                self._group = "all"
            self._chips.clear()
            with self._chips:
                self._buttons = {group: self._chip(group, text) for group, text in groups.items()}
        self._groups = groups

    def _chip(self, group: str, text: str) -> ui.button:
        chip = ui.button(text, on_click=lambda: self._choose(group), color=None).props("flat dense no-caps no-wrap")
        return chip.classes(f"chip chip-{group}{' here' if group == self._group else ''}")

    def _searched(self) -> None:
        self._changed()

    def _choose(self, group: str) -> None:
        self._group = group
        for name, chip in self._buttons.items():
            chip.classes(add="here") if name == group else chip.classes(remove="here")
        self._changed()


def _in_group(device: Device, group: str) -> bool:
    if group in ("visit", "watch"):
        return device.trouble_code == (2 if group == "visit" else 1)
    return group in ("all", device.state)
