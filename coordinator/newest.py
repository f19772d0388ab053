"""The newest point of each measurement and tags, for whoever asks how things are now. No I/O, no clock.

What a point says of the time since the one before (an update's bytes, a round's updates) is summed here since the monitor began:
who looks now and then would miss what was between.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .metrics import MEASUREMENTS, Point

KEEP_NS = 7 * 24 * 3600 * 10**9  # a device silent for longer is forgotten
SWEEP_NS = 3600 * 10**9  # how late that may be noticed
MOST_POINTS = 200_000
MOST_OF_DEVICE = 256  # points
POINTS = "points"  # how many there were, as a field of the newest

# measurement -> fields that count since a start of the device or of the coordinator
COUNTS = {
    "device": "samples updates accepted bad sensor_failed meter_failed",
    "bytes": "model_down_device model_down_coordinator update_up_device update_up_coordinator"
    " telemetry_up_device telemetry_up_coordinator",
    "energy": "total_joules",
    "coordinator": "dropped_messages lost_points rejected_points",
}
# fields that count since the point before
SUMS = {
    "bytes": "dense_up",
    "energy": "compute_joules radio_joules session_joules",
    "update": "bytes",
    "round": "accepted duplicate late stale limited invalid extended update_bytes dense_bytes said_bytes joules",
    "coordinator": "commits written_points",
}
# what is counted by its points, and the name of that
COUNTED = {"update": "tegu_updates_total", "round": "tegu_rounds_total", "event": "tegu_events_total"}


@dataclass
class Owned:
    """What there is of a device."""

    heard_ns: int = 0
    keys: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)


class Newest:
    """The newest point of each measurement and tags. Any thread may call; points come in the order of their time.

    The time of the last point is now, also when a clock that was wrong goes back: whoever feeds this writes of the
    coordinator every minute.
    """

    def __init__(self) -> None:
        self.refused = 0  # points for which there was no room
        self._points: dict[tuple[str, tuple[str, ...]], Point] = {}
        self._devices: dict[tuple[str, str], Owned] = {}
        self._now_ns = self._swept_ns = 0
        self._lock = threading.Lock()

    def put(self, points: Iterable[Point]) -> None:
        with self._lock:
            for point in points:
                self._put(point)
            if abs(self._now_ns - self._swept_ns) >= SWEEP_NS:
                self._swept_ns = self._now_ns
                self._sweep()

    def points(self) -> list[Point]:
        """One of each measurement and tags."""
        with self._lock:
            return list(self._points.values())

    def _put(self, point: Point) -> None:
        self._now_ns = point.time_ns
        key = point.measurement, point.tags
        before = self._points.get(key)
        if MEASUREMENTS[point.measurement].tags[1] == "device" and not self._own(point, before is None):
            return
        if before is None and len(self._points) >= MOST_POINTS:
            self.refused += 1
            return
        self._points[key] = _added(point, before)

    def _own(self, point: Point, new: bool) -> bool:
        """Note when its device was heard; False if there is no room for it, or it has been silent for too long."""
        heard_ns = point.time_ns
        if point.measurement == "status":  # comes also of a silent device
            heard_ns = int(float(point.fields.get("heard_s", 0)) * 1e9)
        owned = self._devices.get(point.tags[:2])  # type: ignore[arg-type]
        if owned is None:
            if heard_ns < self._now_ns - KEEP_NS:
                return False
            owned = self._devices[point.tags[0], point.tags[1]] = Owned()
        owned.heard_ns = max(owned.heard_ns, heard_ns)
        if new and len(owned.keys) >= MOST_OF_DEVICE:
            self.refused += 1
            return False
        owned.keys.add((point.measurement, point.tags))
        return True

    def _sweep(self) -> None:
        for owned in self._devices.values():
            owned.heard_ns = min(owned.heard_ns, self._now_ns)  # heard by a clock that was ahead
        gone = [name for name, owned in self._devices.items() if owned.heard_ns < self._now_ns - KEEP_NS]
        for name in gone:
            for key in self._devices.pop(name).keys:
                self._points.pop(key, None)


def _added(point: Point, before: Point | None) -> Point:
    """The point, with what only grows carried on from the one before."""
    sums, counts = SUMS.get(point.measurement, ""), COUNTS.get(point.measurement, "")
    if not sums and not counts and point.measurement not in COUNTED:
        return point
    fields: dict[str, Any] = dict(point.fields)
    known = before.fields if before else {}
    for word in counts.split():
        if word in known:
            fields.setdefault(word, known[word])
    for word in sums.split():
        if word in known or word in fields:
            fields[word] = known.get(word, 0) + max(0, fields.get(word, 0))
    if point.measurement in COUNTED:
        fields[POINTS] = known.get(POINTS, 0) + 1  # type: ignore[operator]
    return point._replace(fields=fields)
