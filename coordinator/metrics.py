"""What is measured: one table of measurements, tags, fields and units. Sinks, dashboards, docs and tests all read this one.

A point is one row of a measurement at one moment. Tags are what a query groups by, and are few: site, device, model and words
from short lists. Round and version are fields: as tags each would begin a new series, and a database is as large as its
number of series. `line` writes a point in the line protocol of InfluxDB (1.x, 2.x, 3).
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

Value = int | float | str
MOST_INT = 2**63 - 1  # that a database can hold


class Field(NamedTuple):
    """A value of a measurement. kind: int, float or str. unit: s, ms, bytes, joules, percent, volts, dBm, or empty: a count."""

    name: str
    kind: type
    unit: str
    help: str


@dataclass(frozen=True)
class Measurement:
    """Fields by name; every point of it has all the tags and at least one of the fields."""

    name: str
    help: str
    tags: tuple[str, ...]
    fields: dict[str, Field] = field(default_factory=dict)


class Point(NamedTuple):
    """A row: tags in the order of the table, fields by name, nanoseconds since 1970."""

    measurement: str
    tags: tuple[str, ...]
    fields: dict[str, Value]
    time_ns: int


# state of a device -> its code in `status`, in the order of how much there is to do
STATES = {"ready": 0, "sleeping": 1, "offline": 2, "refused": 3, "lost": 4, "silent": 5}
RESULTS = ("accepted", "duplicate", "late", "stale", "limited", "invalid")  # what an ack says
BYTE_CLASSES = ("model_down", "update_up", "telemetry_up")
CURVE_SAMPLES = (0, 1, 2, 4, 8, 16, 32)  # after which a device scores itself, for its adaptation curve
EVENTS = (
    "version",
    "rollback",
    "restart",
    "trouble",
    "watch",
    "recovered",
)  # trouble: a visit; watch: to keep an eye on

_OF_DEVICE = ("site", "device", "model")
_KINDS = {"i": int, "f": float, "s": str}

# name | tags | help, then a line a field: name, kind (i, f, s), unit or '-', help
_TABLE = """
status | site device model | how a device is, at each change and once an hour
    state           s -       what it is: ready, sleeping, offline, refused, lost; silent: it should have been heard
    state_code      i -       the same as a number, 0 ready to 5 silent
    trouble         s -       why someone should look at it; empty: nothing
    trouble_code    i -       0 nothing, 1 keep an eye on it, 2 it needs a visit
    boot            i -       which start of the device this is
    starts          i -       starts seen in the last 24 hours
    version         i -       of the initialization that it holds
    behind          i -       versions that this is behind the newest
    heard_s         i s       when it was last heard, seconds since 1970
    silent_s        f s       how long it had not been heard then

device | site device model | what a device says of itself
    version         i -       of the initialization that it holds
    boot            i -       which start of the device this is
    samples         i -       learned from since its start
    updates         i -       made since its start
    accepted        i -       of these, merged by the coordinator
    bad             i -       messages that it could not take
    loss_before     f -       mean loss on held-out samples before a round
    loss_after      f -       and after it
    free_heap_bytes i bytes   heap that is free
    battery_percent f percent charge of its battery
    battery_volts   f volts   voltage of its battery
    rssi_dbm        f dBm     strength of its radio link
    sensor_failed   i -       readings that failed since its start
    meter_failed    i -       readings of its energy meter that failed
    uptime_s        f s       since its start

bytes | site device model | the ledger: payload bytes counted by the device and by the coordinator
    model_down              i bytes down to it since its last telemetry: manifest, rounds, initializations, deltas
    update_up               i bytes its updates since then, as often as they were sent
    telemetry_up            i bytes its telemetry since then
    dense_up                i bytes what these updates would have been as dense float32
    model_down_device       i bytes counted by the device since its start
    model_down_coordinator  i bytes counted by the coordinator over the same time
    model_down_gap          i bytes the first less the second
    update_up_device        i bytes counted by the device since its start
    update_up_coordinator   i bytes counted by the coordinator over the same time
    update_up_gap           i bytes sent and not received
    telemetry_up_device     i bytes counted by the device since its start
    telemetry_up_coordinator i bytes counted by the coordinator over the same time
    telemetry_up_gap        i bytes sent and not received
    gap                     i bytes all three gaps, each without its sign

energy | site device model kind | what a device spent since its last telemetry; kind: measured or modelled
    joules          f joules  all of it
    compute_joules  f joules  of it on learning and encoding (modelled only)
    radio_joules    f joules  of it on bytes sent and received (modelled only)
    session_joules  f joules  of it on connecting (modelled only)
    total_joules    f joules  all since its start

update | site device model result | an update that came, and what the coordinator said of it
    bytes           i bytes   of its payload
    version         i -       of the initialization that it starts from; the current one if it could not be read
    behind          i -       versions that this is behind the open round

adaptation | site device model samples | a device's adaptation curve: its loss after so many samples of its own
    loss            f -       mean loss on held-out samples
    version         i -       of the initialization that it started from

reading | site device channel | what a sensor reads
    value           f -       in the unit of its channel

other | site device name | a number in a device's telemetry that is not in this table
    value           f -       as it came

round | site model | a round that closed
    round_num       i -       its number
    version         i -       of the initialization that it started from
    ready           i -       devices that were ready when it closed
    quorum          i -       updates that would close it
    accepted        i -       updates merged
    duplicate       i -       updates that came twice
    late            i -       updates for the version before
    stale           i -       updates for an older version
    limited         i -       updates of devices that were not asked or had been heard
    invalid         i -       messages that are no update
    extended        i -       deadlines that passed with no update
    quorum_s        f s       from its opening to its quorum; absent: the deadline closed it
    lasted_s        f s       from its opening to its close
    update_bytes    i bytes   of all updates that came
    dense_bytes     i bytes   what the same updates would have been as dense float32
    said_bytes      i bytes   published by the coordinator for the model: once each, however many devices take it
    loss_before     f -       mean over the devices that told theirs
    loss_after      f -       the same, after their samples
    joules          f joules  spent by all devices, measured and modelled together
    outer_step_size f -       of the newest manifest

fleet | site model | all devices of a model together, every minute
    devices         i -       heard of
    ready           i -       taking part
    sleeping        i -       until their next round
    offline         i -       that said good-bye
    refused         i -       that the model does not fit
    lost            i -       whose link broke
    silent          i -       that should have been heard
    watch           i -       to keep an eye on
    visit           i -       that need a visit
    version         i -       the newest initialization
    behind_most     i -       versions that the last of those that take part is behind
    gap_bytes       i bytes   the ledger's gaps, all devices

coordinator | site model | the coordinator itself, every minute
    epoch           i -       how often it has started
    connected       i -       1: to the broker
    queue_messages  i -       that wait for their commit
    dropped_messages i -      that came faster than they could be kept, since its start
    commits         i -       since the last point
    commit_ms       f ms      mean time that a commit took
    round_age_s     f s       since the open round was opened
    waiting_points  i -       for a database, in memory
    spool_points    i -       for a database, on disk
    spool_bytes     i bytes   on disk
    spool_percent   f percent of what may be on disk
    written_points  i -       since the last point, by all sinks
    lost_points     i -       that had no room, since its start
    rejected_points i -       that a database would not take, since its start
    bad_messages    i -       of devices that could not be read, or were too many, since the monitor's start
    failing         i -       sinks that cannot write now
    memory_bytes    i bytes   of its processes
    cpu_percent     f percent of one core, its processes together
    disk_free_bytes i bytes   where its checkpoint is

event | site model kind | something worth a mark on every chart
    text            s -       for people
    version         i -       the newest initialization
"""


def _parse(table: str) -> dict[str, Measurement]:
    made: dict[str, Measurement] = {}
    for block in table.strip().split("\n\n"):
        head, *rows = block.splitlines()
        name, tags, text = (word.strip() for word in head.split(" | "))
        fields = {}
        for row in rows:
            word, kind, unit, told = row.split(None, 3)
            fields[word] = Field(word, _KINDS[kind], "" if unit == "-" else unit, told)
        made[name] = Measurement(name, text, tuple(tags.split()), fields)
    return made


MEASUREMENTS = _parse(_TABLE)


class Channel(NamedTuple):
    """What a sensor channel means: its unit in SenML (RFC 8428) and in words, and Home Assistant's name of its kind."""

    senml_unit: str
    unit: str
    title: str
    device_class: str


CHANNELS = {
    "co2": Channel("ppm", "ppm", "CO2", "carbon_dioxide"),
    "temperature": Channel("Cel", "°C", "Temperature", "temperature"),
    "humidity": Channel("%RH", "%", "Humidity", "humidity"),
    "illuminance": Channel("lx", "lx", "Illuminance", "illuminance"),
    "motion": Channel("/", "", "Motion", "motion"),
    "presence": Channel("/", "", "Presence", "occupancy"),
}


def make_point(name: str, tags: tuple[str, ...], values: dict[str, Value | None], time_ns: int) -> Point | None:
    """A point with those of the values that can be stored, as their kinds: not None, finite, 64 bits; None if none is left.

    ValueError for a measurement, a number of tags or a field that is not in the table.
    """
    try:
        told = MEASUREMENTS[name]
    except KeyError:
        raise ValueError(f"no measurement {name!r}; there are {', '.join(MEASUREMENTS)}") from None
    if len(tags) != len(told.tags):
        raise ValueError(f"{name} has the tags {', '.join(told.tags)}, not {tags}")
    fields: dict[str, Value] = {}
    for word, value in values.items():
        if word not in told.fields:
            raise ValueError(f"{name} has no field {word!r}")
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        made = told.fields[word].kind(value)
        if not isinstance(made, int) or -MOST_INT <= made <= MOST_INT:
            fields[word] = made
    return Point(name, tags, fields, time_ns) if fields else None


def line(point: Point) -> str:
    """The point in InfluxDB's line protocol: name,tag=value field=1i,other=1.5,text="..." nanoseconds."""
    told = MEASUREMENTS[point.measurement]
    words = [point.measurement]
    words += [f"{name}={_tag(value)}" for name, value in zip(told.tags, point.tags, strict=True) if value]
    fields = ",".join(f"{name}={_value(value)}" for name, value in point.fields.items())
    return f"{','.join(words)} {fields} {point.time_ns}"


def _tag(value: str) -> str:
    if value.isalnum():
        return value
    for letter in (",", "=", " "):
        value = value.replace(letter, "\\" + letter)
    return value


def _value(value: Value) -> str:
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{text}"'
