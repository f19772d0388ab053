"""One device: what is known of it, and what it did over a period."""

from dataclasses import dataclass

from coordinator.metrics import BYTE_CLASSES, RESULTS

from ..store import Reading
from . import costs
from .fleet import Device, held_version, make_device, newest_version
from .learning import Curve, curve
from .periods import Period, means

MOST_CHANNELS = 8
STATES_SHOWN = 200


@dataclass(frozen=True)
class Stretch:
    """A time in which a device was in one state."""

    state: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class DeviceView:
    """A device's page."""

    device: Device
    said: list[tuple[float | None, ...]]  # time, loss before and after, battery percent, volts, rssi
    stretches: tuple[Stretch, ...]
    bytes_steps: list[tuple[float | None, ...]]  # time, sums of BYTE_CLASSES
    counted: costs.Counted | None
    energy_steps: list[tuple[float | None, ...]]  # time, joules
    spent: costs.Spent | None
    results: dict[str, int]  # of its updates
    readings: dict[str, list[tuple[float | None, ...]]]  # by channel: time, value
    curve: Curve | None
    fleet_curve: Curve | None
    updates: int | None
    samples: int | None


def device(at: Reading, name: str, over: Period) -> DeviceView | None:
    """None: the store knows no device of that name."""
    status = at.row("SELECT * FROM status WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", name, at.model)
    if status is None:
        return None
    said = at.row("SELECT * FROM device WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", name, at.model)
    newest = max(newest_version(at), held_version(status, said))
    results = at.rows(
        'SELECT result, count(*) FROM "update" WHERE device = ? AND model = ? AND time_ns >= ? GROUP BY 1',
        name,
        at.model,
        over.start_ns,
    )
    counts = {row[0]: row[1] for row in results}
    return DeviceView(
        device=make_device(at, status, said, newest),
        said=means(
            at, "device", ("loss_before", "loss_after", "battery_percent", "battery_volts", "rssi_dbm"), over, name
        ),
        stretches=stretches(at, name, over),
        bytes_steps=_sums(at, "bytes", BYTE_CLASSES, name, over),
        counted=costs.counted(at, name),
        energy_steps=_sums(at, "energy", ("joules",), name, over),
        spent=costs.spent(at, name),
        results={result: counts[result] for result in RESULTS if result in counts},
        readings=_readings(at, name, over),
        curve=curve(at, "DESC", name),
        fleet_curve=curve(at, "DESC"),
        updates=said["updates"] if said is not None else None,
        samples=said["samples"] if said is not None else None,
    )


def stretches(at: Reading, name: str, over: Period) -> tuple[Stretch, ...]:
    """The states it was in over a period, in the order of time."""
    before = at.row(
        "SELECT time_ns, state FROM status WHERE device = ? AND model = ? AND time_ns < ? ORDER BY time_ns DESC LIMIT 1",
        name,
        at.model,
        over.start_ns,
    )
    rows = at.rows(
        "SELECT time_ns, state FROM status WHERE device = ? AND model = ? AND time_ns >= ? ORDER BY time_ns",
        name,
        at.model,
        over.start_ns,
    )
    found: list[tuple[str, int]] = []
    for row in ([before] if before is not None else []) + rows:
        if row["state"] and (not found or found[-1][0] != row["state"]):
            found.append((row["state"], max(row["time_ns"], over.start_ns)))
    ends = [start_ns for _, start_ns in found[1:]] + [over.end_ns]
    made = [
        Stretch(state, start_ns, max(start_ns, end_ns)) for (state, start_ns), end_ns in zip(found, ends, strict=True)
    ]
    return tuple(made[-STATES_SHOWN:])


def _sums(
    at: Reading, measurement: str, columns: tuple[str, ...], name: str, over: Period
) -> list[tuple[float | None, ...]]:
    words = ", ".join(f"sum(CAST({column} AS REAL))" for column in columns)
    rows = at.rows(
        f'SELECT time_ns / ? * ?, {words} FROM "{measurement}" WHERE device = ? AND model = ? AND time_ns >= ? GROUP BY 1',
        over.step_ns,
        over.step_ns,
        name,
        at.model,
        over.start_ns,
    )
    return [tuple(row) for row in rows]


def _readings(at: Reading, name: str, over: Period) -> dict[str, list[tuple[float | None, ...]]]:
    rows = at.rows(
        "SELECT channel, time_ns / ? * ?, avg(value) FROM reading WHERE device = ? AND time_ns >= ? GROUP BY 1, 2",
        over.step_ns,
        over.step_ns,
        name,
        over.start_ns,
    )
    found: dict[str, list[tuple[float | None, ...]]] = {}
    for channel, time_ns, value in rows:
        if channel in found or len(found) < MOST_CHANNELS:
            found.setdefault(channel, []).append((time_ns, value))
    return found
