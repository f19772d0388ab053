"""One device of the building that never was, and what would have been written of it. See building_points."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.metrics import CURVE_SAMPLES, STATES, Value
from coordinator.trouble import Seen, starts, state_of, trouble

UPDATE_BYTES, DENSE_BYTES, TELEMETRY_BYTES, DOWN_BYTES = 180, 2880, 140, 520
CURVE = {samples: 1 / (1 + samples) ** 0.5 for samples in CURVE_SAMPLES}  # part of the loss that is left
OFTEN_S, SILENT_S, HOUR_S = 300, 900, 3600

Named = tuple[str, tuple[str, ...], dict[str, Value | None]]  # measurement, tags after the site, fields


@dataclass
class Room:
    """A device, and what it has told so far."""

    name: str
    model: str
    hardness: float
    drain_percent: float  # of its battery, a step
    rssi_dbm: int
    seen: Seen
    since_s: int
    metered: bool
    parts: frozenset[str]  # measurements to make, of those that are many; none named: all
    state: str = "ready"
    code: int = 0
    behind: int = 0
    updates: int = 0
    accepted: int = 0
    joules: float = 0.0
    spent_joules: float = 0.0
    lost_bytes: int = 0
    arrived: bool = False  # its update, in this round
    loss: tuple[float, float] = (0.0, 0.0)
    news: tuple[object, ...] = ()
    written_s: int = 0

    @property
    def whose(self) -> tuple[str, str]:
        return self.name, self.model

    def step(self, version: int, now_s: int, bad: str, chance: random.Random) -> Iterator[Named]:
        """What it does in one round, in which `bad` is wrong with it."""
        self.spent_joules, self.arrived = 0.0, False
        if bad == "silent":
            yield from self._status(version, now_s)
            return
        self.seen.heard_s = now_s
        if bad == "boot loop":
            self.seen.boot += 1
            self.seen.starts_s.append(now_s)
            self.since_s, self.updates, self.accepted, self.joules, self.lost_bytes = now_s - 20, 0, 0, 0.0, 0
        if bad != "behind":
            self.seen.version = version
        self.updates += 1
        self.arrived = bad != "gap"
        if self.arrived:
            self.accepted += 1
            fields: dict[str, Value | None] = {"bytes": UPDATE_BYTES, "version": self.seen.version}
            yield "update", (*self.whose, "accepted"), {**fields, "behind": version - self.seen.version}
        else:
            self.lost_bytes += UPDATE_BYTES
        yield from self._telemetry(version, now_s, bad, chance)
        yield from self._status(version, now_s)

    def _telemetry(self, version: int, now_s: int, bad: str, chance: random.Random) -> Iterator[Named]:
        before = self.hardness * (0.2 + 0.8 / (1 + version / 20)) * (0.95 + 0.1 * chance.random())
        after = before * (2.5 if bad == "diverging" else 0.6)
        self.loss = before, after
        self.seen.losses.append(self.loss)
        if self.seen.battery_percent is not None:
            drain = 10 * self.drain_percent if bad == "battery" else self.drain_percent
            self.seen.battery_percent = max(4.0, self.seen.battery_percent - drain)
        yield (
            "device",
            self.whose,
            {
                "version": self.seen.version,
                "boot": self.seen.boot,
                "samples": 32 * self.updates,
                "updates": self.updates,
                "accepted": self.accepted,
                "bad": 0,
                "loss_before": before,
                "loss_after": after,
                "free_heap_bytes": 90_000 + chance.randrange(4000),
                "battery_percent": self.seen.battery_percent,
                "rssi_dbm": float(self.rssi_dbm - chance.randrange(4)),
                "sensor_failed": 0,
                "uptime_s": float(now_s - self.since_s),
            },
        )
        for samples, left in CURVE.items() if self._wanted("adaptation") else ():
            yield "adaptation", (*self.whose, str(samples)), {"loss": before * left, "version": self.seen.version}
        yield self._energy(chance)
        yield "bytes", self.whose, self._ledger()
        for channel, value in _readings(now_s, chance).items() if self._wanted("reading") else ():
            yield "reading", (self.name, channel), {"value": value}
        yield "other", (self.name, "reconnects"), {"value": float(self.updates // 50)}

    def _wanted(self, name: str) -> bool:
        return not self.parts or name in self.parts

    def _energy(self, chance: random.Random) -> Named:
        parts: dict[str, Value | None] = {
            "compute_joules": 0.02,
            "radio_joules": 0.05 + 0.01 * chance.random(),
            "session_joules": 0.5,
        }
        self.spent_joules = sum(float(part or 0) for part in parts.values())
        self.joules += self.spent_joules
        sums: dict[str, Value | None] = {"joules": self.spent_joules, "total_joules": self.joules}
        if self.metered:  # a meter knows no parts
            return "energy", (*self.whose, "measured"), sums
        return "energy", (*self.whose, "modelled"), parts | sums

    def _ledger(self) -> dict[str, Value | None]:
        down, up, told = (self.updates * size for size in (DOWN_BYTES, UPDATE_BYTES, TELEMETRY_BYTES))
        self.seen.gap_bytes, self.seen.traffic_bytes = self.lost_bytes, down + up + told
        return {
            "model_down": DOWN_BYTES,
            "update_up": UPDATE_BYTES,
            "telemetry_up": TELEMETRY_BYTES,
            "dense_up": DENSE_BYTES,
            "model_down_device": down,
            "model_down_coordinator": down,
            "model_down_gap": 0,
            "update_up_device": up,
            "update_up_coordinator": up - self.lost_bytes,
            "update_up_gap": self.lost_bytes,
            "telemetry_up_device": told,
            "telemetry_up_coordinator": told,
            "telemetry_up_gap": 0,
            "gap": self.lost_bytes,
        }

    def _status(self, newest: int, now_s: int) -> Iterator[Named]:
        """At changes, every five minutes while it talks, every hour while it does not."""
        seen = self.seen
        self.state = state_of(seen, now_s, SILENT_S)
        self.code, why = trouble(seen, newest, now_s, SILENT_S)
        self.behind = max(0, newest - seen.version)
        news = (seen.boot, self.state, self.code)
        due_s = OFTEN_S if seen.heard_s > self.written_s else HOUR_S
        if news == self.news and now_s - self.written_s < due_s:
            return
        if self.code == 2 and self.news[2:] != (2,):
            yield "event", (self.model, "trouble"), {"text": f"{self.name}: {why}", "version": newest}
        self.news, self.written_s = news, now_s
        yield (
            "status",
            self.whose,
            {
                "state": self.state,
                "state_code": STATES[self.state],
                "trouble": why,
                "trouble_code": self.code,
                "boot": seen.boot,
                "starts": starts(seen, now_s),
                "version": seen.version,
                "behind": self.behind,
                "heard_s": int(seen.heard_s),
                "silent_s": float(now_s - seen.heard_s),
            },
        )


def _readings(now_s: int, chance: random.Random) -> dict[str, float]:
    there = 8 <= now_s / 3600 % 24 < 18 and chance.random() < 0.7
    return {
        "co2": 420 + (600 if there else 60) * chance.random(),
        "temperature": 19 + 3 * chance.random(),
        "humidity": 35 + 10 * chance.random(),
        "presence": float(there),
        "illuminance": 20.0 + (400 if there else 10) * chance.random(),
    }
