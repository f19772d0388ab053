"""The fleet: every device as it was last known, the one with most to do first."""

import re
import sqlite3
from dataclasses import dataclass

from coordinator.metrics import STATES
from coordinator.trouble import AWAY, in_words

from ..store import NS, Reading

HOUR_NS = 3600 * NS
LAST_SAID = 100  # telemetries in which the newest version is looked for
FORGOTTEN_NS = 3 * HOUR_NS  # a device that the coordinator knows is written down once an hour

_DEVICES = """
WITH RECURSIVE each(name) AS (
    SELECT min(device) FROM status
    UNION ALL SELECT (SELECT min(device) FROM status WHERE device > each.name) FROM each WHERE each.name IS NOT NULL
) SELECT name FROM each WHERE name IS NOT NULL"""


@dataclass(frozen=True)
class Device:
    """One device as it was last known. None: it does not say."""

    name: str
    site: str
    state: str
    trouble: str  # empty: nothing
    trouble_code: int  # 0 nothing, 1 keep an eye on it, 2 it needs a visit
    heard_s: float | None  # ago
    version: int
    behind: int
    boot: int
    starts: int
    battery_percent: float | None
    battery_volts: float | None
    rssi_dbm: float | None
    free_heap_bytes: int | None
    uptime_s: float | None
    sensor_failed: int | None
    loss_before: float | None
    loss_after: float | None
    gap_bytes: int | None


@dataclass(frozen=True)
class Fleet:
    """All devices of a model, worst first."""

    devices: tuple[Device, ...]
    version: int  # the newest

    def count(self, trouble_code: int) -> int:
        return sum(device.trouble_code == trouble_code for device in self.devices)

    @property
    def states(self) -> dict[str, int]:
        """Devices in each state there is, in the order of STATES."""
        found = [device.state for device in self.devices]
        return {state: found.count(state) for state in STATES if state in found}

    @property
    def heard(self) -> int:
        """Devices that are there: they take part, sleep until their turn, or said good-bye."""
        return sum(device.state in ("ready", "sleeping", "offline") for device in self.devices)


def fleet(at: Reading) -> Fleet:
    """Every device that the coordinator still knows."""
    found = [(status, _latest(at, "device", status["device"])) for status in known(at)]
    version = max([newest_version(at), *(held_version(status, said) for status, said in found)])
    devices = [make_device(at, status, said, version) for status, said in found]
    devices.sort(key=lambda told: (-told.trouble_code, -STATES.get(told.state, 0), -told.behind, natural(told.name)))
    return Fleet(tuple(devices), version)


def known(at: Reading) -> list[sqlite3.Row]:
    """The last `status` of every device, without those that the coordinator has forgotten."""
    names = [row["name"] for row in at.rows(_DEVICES)]
    found = [status for name in names if (status := _latest(at, "status", name)) is not None]
    newest_ns = max((status["time_ns"] for status in found), default=0)
    return [status for status in found if status["time_ns"] > newest_ns - FORGOTTEN_NS]


def newest_version(at: Reading) -> int:
    """The newest initialization that anyone was seen to have; the fleet's own point may be a minute old."""
    row = at.row("SELECT version FROM fleet WHERE model = ? ORDER BY time_ns DESC LIMIT 1", at.model)
    said = "SELECT version FROM device WHERE model = ? ORDER BY time_ns DESC LIMIT ?"
    held = at.rows(f"SELECT max(version) FROM ({said})", at.model, LAST_SAID)[0][0]
    return max(held or 0, row["version"] or 0 if row is not None else 0)


def held_version(status: sqlite3.Row, said: sqlite3.Row | None) -> int:
    """By its status or by its own telemetry, whichever came later."""
    if said is not None and said["version"] and said["time_ns"] > status["time_ns"]:
        return int(said["version"])
    return status["version"] or 0


def make_device(at: Reading, status: sqlite3.Row, said: sqlite3.Row | None, newest: int) -> Device:
    """A device from the last row of `status` and of `device`."""
    counted = at.row(
        "SELECT gap FROM bytes WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", status["device"], at.model
    )
    heard = [status["heard_s"], said["time_ns"] / NS if said is not None else None]
    heard_s = max((moment for moment in heard if moment), default=None)
    ago_s = None if heard_s is None else max(0.0, at.now_ns / NS - heard_s)
    version = held_version(status, said)
    state = status["state"] or "offline"
    words = (
        "battery_percent",
        "battery_volts",
        "rssi_dbm",
        "free_heap_bytes",
        "uptime_s",
        "sensor_failed",
        "loss_before",
        "loss_after",
    )
    return Device(
        name=status["device"],
        site=status["site"],
        state=state,
        trouble=_trouble(status, ago_s),
        trouble_code=min(2, status["trouble_code"] or 0),
        heard_s=ago_s,
        version=version,
        behind=max(0, newest - version) if version else 0,
        boot=status["boot"] or 0,
        starts=status["starts"] or 0,
        gap_bytes=None if counted is None else counted["gap"],
        **{word: None if said is None else said[word] for word in words},
    )


def _latest(at: Reading, measurement: str, device: str) -> sqlite3.Row | None:
    return at.row(
        f'SELECT * FROM "{measurement}" WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1', device, at.model
    )


def _trouble(status: sqlite3.Row, ago_s: float | None) -> str:
    """Why someone should look at it; and if it is away, for how long."""
    text: str = status["trouble"] or ""
    if ago_s is not None and text in AWAY:
        return f"{text} for {in_words(ago_s)}"
    return text


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts room-2 before room-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
