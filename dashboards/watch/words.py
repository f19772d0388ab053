"""Numbers as people say them, and one word and one help text for each thing that a page shows."""

import math
import time
from collections.abc import Sequence
from itertools import pairwise

from coordinator.metrics import STATES
from coordinator.trouble import in_words

NONE = "\N{EN DASH}"
SPARKS = "▁▂▃▄▅▆▇█"

STATE_WORDS = {
    "ready": "Ready",
    "sleeping": "Sleeping",
    "offline": "Switched off",
    "refused": "Does not fit",
    "lost": "Link lost",
    "silent": "Silent",
}
STATE_HELP = {
    "ready": "takes part in the rounds",
    "sleeping": "sleeps until its next turn",
    "offline": "said good-bye and switched off",
    "refused": "the model does not fit this device",
    "lost": "its link to the broker broke",
    "silent": "should have been heard and was not",
}
TROUBLE_WORDS = ("Fine", "Keep an eye on it", "Needs a visit")
RESULT_WORDS = {
    "accepted": "merged",
    "duplicate": "came twice",
    "late": "came too late",
    "stale": "too old",
    "limited": "not asked for",
    "invalid": "unreadable",
}
CLASS_WORDS = {"model_down": "Model", "update_up": "Updates", "telemetry_up": "Reports"}
PERIOD_WORDS = {
    "hour": "in the last hour",
    "day": "in the last day",
    "week": "in the last week",
    "all": "since the beginning",
}
TREND_WORDS = {"improving": "Improving", "steady": "Steady", "worse": "Getting worse", "": "Too early to tell"}
KIND_WORDS = {"version": "New version", "rollback": "Taken back", "restart": "Restart", "trouble": "Trouble"}

# what a terminal obeys instead of showing it, and what turns the order of letters about
UNSEEN = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "?"
)

assert set(STATE_WORDS) == set(STATES)


def plain(text: str) -> str:
    """What anyone said, as letters and nothing else: a terminal would obey the rest."""
    return text if text.isprintable() else text.translate(UNSEEN)


def number(value: float | None, digits: int = 3) -> str:
    """At most so many significant digits, no exponent where a person would write none."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.1e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, 6)}f}"


def count(value: float | None) -> str:
    """A whole number."""
    return NONE if value is None else f"{value:,.0f}"


def many(value: int, word: str) -> str:
    """1 device, 2 devices."""
    return f"{value:,} {word}" if value == 1 else f"{value:,} {word}s"


def data(size: float | None) -> str:
    """Bytes in decimal units: 812 B, 6.8 kB, 2.1 MB."""
    return _scaled(size, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def energy(joules: float | None) -> str:
    """543 mJ, 1.23 J, 2 kJ."""
    return _scaled(joules, (("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3)), "µJ", 1e-6)


def tight(text: str) -> str:
    """A number and its unit that are not parted at the end of a line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def power(watts: float | None) -> str:
    """85 µW, 1.2 mW, 3 W."""
    return _scaled(watts, (("kW", 1e3), ("W", 1.0), ("mW", 1e-3)), "µW", 1e-6)


def _scaled(value: float | None, units: Sequence[tuple[str, float]], least: str, least_size: float = 1.0) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    for unit, size in units:
        if abs(value) >= size * 0.9995:
            return f"{_short(value / size)} {unit}"
    return f"{_short(value / least_size)} {least}"


def _short(value: float) -> str:
    """Two places below 10, one below 100, none above."""
    text = f"{value:,.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float | None) -> str:
    """1.4 s, 52 s, 12 min, 3 h, 5 days."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    return f"{_short(seconds)} s" if seconds < 10 else in_words(seconds)


def ago(seconds: float | None) -> str:
    """How long it is since then, in steps that do not flicker: just now, 20 s ago, 3 min ago."""
    if seconds is None:
        return "never"
    if seconds < 10:
        return "just now"
    if seconds < 120:
        return f"{seconds // 10 * 10:.0f} s ago"
    return f"{in_words(seconds)} ago"


def moment(time_ns: int, now_ns: int, clock: str = "%H:%M") -> str:
    """14:05, or with its day if that is another one."""
    then, now = time.localtime(time_ns / 1e9), time.localtime(now_ns / 1e9)
    return time.strftime(clock if then[:3] == now[:3] else f"%d %b, {clock}", then)


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f} %"


def change(value: float | None) -> str:
    """12 % lower."""
    if value is None:
        return ""
    return f"{abs(value):.0f} % {'lower' if value < 0 else 'higher'}"


def spark(values: Sequence[float | None], columns: int) -> str:
    """The whole history in at most so many characters, lowest to highest; a mean of nothing is a space."""
    width = min(columns, len(values))
    edges = [i * len(values) // width for i in range(width + 1)] if width else []
    parts = [[v for v in values[a:b] if v is not None] for a, b in pairwise(edges)]
    means = [sum(part) / len(part) if part else None for part in parts]
    told = [mean for mean in means if mean is not None]
    low, span = min(told, default=0.0), max(told, default=0.0) - min(told, default=0.0)
    return "".join(" " if mean is None else SPARKS[round((mean - low) / span * 7) if span else 0] for mean in means)
