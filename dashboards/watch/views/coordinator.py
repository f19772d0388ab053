"""The coordinator itself, and what happened lately."""

from dataclasses import dataclass

from ..store import Reading
from .periods import Period, means

EVENTS_SHOWN = 40
DISK_LEAST_BYTES = 500_000_000
SPOOL_FULL_PERCENT = 80.0
QUEUE_LONG = 1000


@dataclass(frozen=True)
class Check:
    """One thing that should be so. code: 0 it is, 1 keep an eye on it, 2 it is not."""

    code: int
    text: str


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    time_ns: int
    kind: str
    text: str


@dataclass(frozen=True)
class Health:
    """The last point of the coordinator, and a period of them. values: by field; empty: there is none."""

    values: dict[str, float]
    steps: list[tuple[float | None, ...]]  # time, commit_ms, cpu_percent, memory_bytes, queue_messages
    checks: tuple[Check, ...]
    events: tuple[Event, ...]


def health(at: Reading, over: Period) -> Health:
    """How the coordinator is."""
    row = at.row("SELECT * FROM coordinator WHERE model = ? ORDER BY time_ns DESC LIMIT 1", at.model)
    values = {} if row is None else {word: value for word, value in dict(row).items() if isinstance(value, int | float)}
    steps = means(at, "coordinator", ("commit_ms", "cpu_percent", "memory_bytes", "queue_messages"), over)
    return Health(values, steps, checks(values) if values else (), events(at, EVENTS_SHOWN))


def events(at: Reading, most: int) -> tuple[Event, ...]:
    """What happened last, newest first. New versions are no news: each round makes one."""
    query = "SELECT * FROM event WHERE model = ? AND kind <> 'version' ORDER BY time_ns DESC LIMIT ?"
    return tuple(Event(row["time_ns"], row["kind"], row["text"] or "") for row in at.rows(query, at.model, most))


def checks(values: dict[str, float]) -> tuple[Check, ...]:
    """What should be so of a coordinator, in words. A value that is not told is not judged."""
    found = []
    if "connected" in values:
        found.append(
            Check(0, "Connected to the broker") if values["connected"] else Check(2, "Not connected to the broker")
        )
    if "queue_messages" in values:
        waiting = int(values["queue_messages"])
        long = waiting > QUEUE_LONG
        found.append(
            Check(1, f"{waiting:,} messages wait to be kept") if long else Check(0, "Every message is kept at once")
        )
    if lost := int(values.get("dropped_messages", 0)):
        found.append(Check(2, f"{lost:,} messages came faster than they could be kept"))
    if "failing" in values:
        failing = int(values["failing"])
        text = f"{failing} of the stores cannot be written" if failing else "All measurements are written"
        found.append(Check(2 if failing else 0, text))
    if spooled := int(values.get("spool_points", 0)):
        percent = values.get("spool_percent", 0.0)
        code = 2 if percent > SPOOL_FULL_PERCENT else 1
        found.append(
            Check(code, f"{spooled:,} measurements wait on disk for a database ({percent:.0f} % of the room there is)")
        )
    if gone := int(values.get("lost_points", 0) + values.get("rejected_points", 0)):
        found.append(Check(1, f"{gone:,} measurements were not written since the start"))
    if "disk_free_bytes" in values:
        free = values["disk_free_bytes"]
        text = "Enough room on the disk" if free >= DISK_LEAST_BYTES else "The disk is almost full"
        found.append(Check(0 if free >= DISK_LEAST_BYTES else 2, text))
    return tuple(found)
