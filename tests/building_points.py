"""A building that never was, as the points that a coordinator's monitor would write. Same seed, same points.

Every device tells its telemetry at each step, is sent what a round needs, learns and answers; its loss falls from
version to version. One of them, or the coordinator, may misbehave in the last quarter of the time: see TROUBLES. Points
come in the order of time.

    for point in points(Building(devices=50, days=1, trouble="boot loop")): ...
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.metrics import STATES, Point, Value, make_point
from coordinator.trouble import Seen

from .building_rooms import DENSE_BYTES, DOWN_BYTES, UPDATE_BYTES, Named, Room

TROUBLES = {
    "silent": "is not heard any more",
    "boot loop": "starts again at each step",
    "battery": "its battery falls to a few percent",
    "gap": "its updates do not arrive",
    "diverging": "its loss grows as it learns",
    "behind": "keeps the version that it has",
    "spool": "a database is away: points wait on disk",
    "lost": "and then they have no room",
    "rejected": "a database does not take points",
}
MINUTE_S, DAY_S = 60, 86400


@dataclass(frozen=True)
class Building:
    """What is built. start_s: its first moment. step_s: between a device's telemetries, each in a round of its own."""

    devices: int = 50
    days: float = 1.0
    step_s: int = 300
    seed: int = 1
    trouble: str = ""  # one of TROUBLES, or none
    start_s: int = 1_790_000_000 // DAY_S * DAY_S
    site: str = "house"
    model: str = "presence"
    prefix: str = "room"  # of the devices' names
    parts: frozenset[str] = frozenset()  # measurements to make; none named: all

    @property
    def steps(self) -> int:
        return int(self.days * DAY_S / self.step_s)

    @property
    def end_s(self) -> int:
        """Its last moment: no point is later."""
        return self.start_s + self.steps * self.step_s

    @property
    def bad_from_s(self) -> int:
        return self.end_s - self.steps // 4 * self.step_s

    @property
    def bad(self) -> str:
        """The device that misbehaves, if one does."""
        return f"{self.prefix}-{self.devices * 2 // 3:03d}"


def points(building: Building) -> Iterator[Point]:
    """All points, in the order of time."""
    for (name, tags, values), time_s in _told(building):
        if not building.parts or name in building.parts:
            point = make_point(name, (building.site, *tags), values, time_s * 10**9)
            if point is not None:
                yield point


def _told(building: Building) -> Iterator[tuple[Named, int]]:
    chance = random.Random(building.seed)
    rooms = [_room(building, number, chance) for number in range(building.devices)]
    yield (
        ("event", (building.model, "restart"), {"text": "the coordinator's start number 1", "version": 1}),
        building.start_s,
    )
    minute_s = building.start_s + MINUTE_S
    for step in range(building.steps):
        opened_s, version = building.start_s + step * building.step_s, step + 1
        for number, room in enumerate(rooms):
            now_s = opened_s + 1 + number * (building.step_s - 2) // building.devices
            while minute_s <= now_s:
                yield from _minute(building, rooms, version, minute_s)
                minute_s += MINUTE_S
            bad = building.trouble if room.name == building.bad and now_s > building.bad_from_s else ""
            for named in room.step(version, now_s, bad, chance):
                yield named, now_s
        yield from _round(building, rooms, version, opened_s + building.step_s - 1)
    yield from _minute(building, rooms, building.steps, building.end_s)


def _room(building: Building, number: int, chance: random.Random) -> Room:
    name = f"{building.prefix}-{number:03d}"
    seen = Seen(name, boot=1, heard_s=building.start_s, changed_s=building.start_s)
    if number % 2 == 0 or name == building.bad:
        seen.battery_percent = 60.0 + 40 * chance.random()
    if building.trouble == "battery" and name == building.bad:
        seen.battery_percent = 45.0
    hardness, rssi_dbm, metered = 0.5 + chance.random(), -50 - chance.randrange(30), number % 5 == 0
    drain = 20 / building.steps
    return Room(name, building.model, hardness, drain, rssi_dbm, seen, building.start_s, metered, building.parts)


def _minute(building: Building, rooms: list[Room], version: int, now_s: int) -> Iterator[tuple[Named, int]]:
    """The fleet as a whole, and the coordinator."""
    states, codes = Counter(room.state for room in rooms), Counter(room.code for room in rooms)
    fleet: dict[str, Value | None] = {state: states[state] for state in STATES}
    fleet |= {"devices": len(rooms), "watch": codes[1], "visit": codes[2], "version": version}
    fleet["behind_most"] = max((room.behind for room in rooms if room.state == "ready"), default=0)
    fleet["gap_bytes"] = sum(room.lost_bytes for room in rooms)
    yield ("fleet", (building.model,), fleet), now_s
    minutes = (now_s - building.start_s) // MINUTE_S
    bad_part = max(0, now_s - building.bad_from_s) / (building.end_s - building.bad_from_s)
    waiting = bad_part if building.trouble in ("spool", "lost") else 0.0
    health: dict[str, Value | None] = {
        "epoch": 1,
        "connected": 1,
        "queue_messages": minutes % 7,
        "dropped_messages": int(50 * bad_part) if building.trouble == "lost" else 0,
        "commits": len(rooms),
        "commit_ms": 1.5 + minutes % 5,
        "round_age_s": float(now_s % building.step_s),
        "waiting_points": minutes % 11,
        "spool_points": int(1e6 * waiting),
        "spool_bytes": int(1e8 * waiting),
        "spool_percent": 100.0 * waiting,
        "written_points": 14 * len(rooms) * MINUTE_S // building.step_s,
        "lost_points": int(1e4 * bad_part) if building.trouble == "lost" else 0,
        "rejected_points": int(100 * bad_part) if building.trouble == "rejected" else 0,
        "failing": int(waiting > 0),
        "memory_bytes": 60_000_000 + 1000 * minutes,
        "cpu_percent": 2.0 + minutes % 3,
        "disk_free_bytes": 20_000_000_000 - 1_000_000 * minutes,
    }
    yield ("coordinator", (building.model,), health), now_s


def _round(building: Building, rooms: list[Room], version: int, closed_s: int) -> Iterator[tuple[Named, int]]:
    """The round that all devices of a step took part in; its version is the next one's."""
    told = [room.loss for room in rooms if room.spent_joules]
    accepted = sum(room.arrived for room in rooms)
    fields: dict[str, Value | None] = {
        "round_num": version,
        "version": version,
        "ready": sum(room.state == "ready" for room in rooms),
        "quorum": max(1, len(rooms) * 3 // 4),
        "accepted": accepted,
        "duplicate": version % 3 == 0,
        "late": version % 4 == 0,
        "stale": version % 10 == 0,
        "limited": 0,
        "invalid": 0,
        "extended": version % 20 == 0,
        "quorum_s": 0.75 * building.step_s if version % 20 else None,
        "lasted_s": float(building.step_s - 1),
        "update_bytes": accepted * UPDATE_BYTES,
        "dense_bytes": accepted * DENSE_BYTES,
        "said_bytes": DOWN_BYTES,
        "loss_before": sum(before for before, _ in told) / len(told) if told else None,
        "loss_after": sum(after for _, after in told) / len(told) if told else None,
        "joules": sum(room.spent_joules for room in rooms),
        "outer_step_size": 0.3,
    }
    yield ("round", (building.model,), fields), closed_s
    if version % 10 == 0:
        yield (
            ("event", (building.model, "version"), {"text": f"version {version + 1}", "version": version + 1}),
            closed_s,
        )
