"""Which device someone should look at, and why: one verdict from what is known of it. No I/O, no clock.

The limits stand here and nowhere else; dashboards and alert rules read them.
"""

from collections import deque
from dataclasses import dataclass, field

SILENT_S = 900.0  # a ready device that was not heard for so long
STARTS_A_DAY = 4  # from so many on a device restarts for a reason
STARTS_A_DAY_BAD = 8
BATTERY_PERCENT = 25.0
BATTERY_PERCENT_BAD = 10.0
BEHIND_VERSIONS = 16  # a device that takes part and yet does not come along
FAILED_READINGS_BAD = 10  # of the last hour
INVALID_UPDATES_BAD = 3  # of the last hour
GAP_BYTES = 2048  # on which the two counts may differ: a message lost now and then is the radio's nature
GAP_PERCENT = 5.0  # or so much of what it sent and received, whichever is more
LONGEST_SLEEP_S = 8 * 86400.0  # whatever a device says
AWAY = ("silent", "did not wake up", "link lost")  # what a device is that is not there
WORSE_BY = 2.0  # loss after its samples against loss before, over its last rounds: rooms are noisy, this is divergence
WORSE_ROUNDS = 10
HOUR_S, DAY_S = 3600.0, 86400.0


@dataclass
class Seen:
    """What was last heard of a device. Times are seconds since 1970 by the coordinator's clock."""

    name: str
    state: str = "ready"
    why: str = ""  # of a refusal
    boot: int = 0
    version: int = 0
    heard_s: float = 0.0
    changed_s: float = 0.0  # when its state last changed
    wakes_s: float = 0.0  # until when it sleeps
    battery_percent: float | None = None
    gap_bytes: int = 0
    traffic_bytes: int = 0
    starts_s: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    failed_s: deque[float] = field(default_factory=lambda: deque(maxlen=FAILED_READINGS_BAD))  # readings that failed
    invalid_s: deque[float] = field(default_factory=lambda: deque(maxlen=INVALID_UPDATES_BAD))
    losses: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WORSE_ROUNDS))  # before, after


def state_of(seen: Seen, now_s: float, silent_s: float = SILENT_S) -> str:
    """Its state as an operator means it: what it said last, or silent when that cannot be believed any more."""
    wakes_s = min(seen.wakes_s, seen.heard_s + LONGEST_SLEEP_S) if seen.state == "sleeping" else 0.0
    late_s = now_s - max(seen.heard_s, wakes_s)
    return "silent" if seen.state in ("ready", "sleeping") and late_s > silent_s else seen.state


def starts(seen: Seen, now_s: float) -> int:
    """Starts of the last day."""
    return sum(now_s - moment_s < DAY_S for moment_s in seen.starts_s)


def trouble(seen: Seen, newest: int, now_s: float, silent_s: float = SILENT_S) -> tuple[int, str]:
    """(0, ''), (1, why to keep an eye on it) or (2, why it needs a visit): the worst there is. newest: version.

    No length of time is in it: that would be true only when it was written.
    """
    return max(_found(seen, newest, now_s, silent_s), key=lambda found: found[0], default=(0, ""))


def _found(seen: Seen, newest: int, now_s: float, silent_s: float) -> list[tuple[int, str]]:
    state = state_of(seen, now_s, silent_s)
    found = []
    if state == "silent":
        found.append((2, "did not wake up" if seen.state == "sleeping" else "silent"))
    elif state == "lost":
        found.append((2 if now_s - seen.changed_s > silent_s else 1, "link lost"))
    elif state == "refused":
        found.append((2, f"the model does not fit: {seen.why}"))
    often = starts(seen, now_s)
    if often >= STARTS_A_DAY:
        found.append((2 if often >= STARTS_A_DAY_BAD else 1, f"started {often} times in a day"))
    if seen.battery_percent is not None and seen.battery_percent <= BATTERY_PERCENT:
        low = seen.battery_percent <= BATTERY_PERCENT_BAD
        found.append((2 if low else 1, f"battery at {seen.battery_percent:.0f} %"))
    if len(seen.failed_s) == FAILED_READINGS_BAD and now_s - seen.failed_s[0] < HOUR_S:
        found.append((2, "its sensor fails"))
    if len(seen.invalid_s) == INVALID_UPDATES_BAD and now_s - seen.invalid_s[0] < HOUR_S:
        found.append((2, "sends what is no update"))
    if seen.gap_bytes > max(GAP_BYTES, seen.traffic_bytes * GAP_PERCENT / 100):
        found.append((1, f"{seen.gap_bytes:,} bytes do not add up"))
    if state == "ready" and newest - seen.version > BEHIND_VERSIONS and seen.version:
        found.append((1, f"{newest - seen.version} versions behind"))
    if state == "ready" and seen.version > newest > 0:
        found.append((1, f"holds version {seen.version}, the newest is {newest}: restart it"))
    if len(seen.losses) == WORSE_ROUNDS and _mean(1, seen) > WORSE_BY * _mean(0, seen):
        found.append((1, "learning makes it worse"))
    return found


def _mean(which: int, seen: Seen) -> float:
    return sum(pair[which] for pair in seen.losses) / len(seen.losses)


def in_words(seconds: float) -> str:
    """A length of time as people say it: 40 s, 12 min, 3 h, 5 days."""
    for limit_s, unit_s, word in ((120, 1, "s"), (7200, 60, "min"), (2 * DAY_S, HOUR_S, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {word}"
    return f"{seconds / DAY_S:.0f} days"
