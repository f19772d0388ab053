"""Rooms to learn presence in: three recorded ones, and as many simulated ones as wanted.

A room is a table on a 15-minute grid of eleven inputs (tegu.room) and a label, occupied or empty. The split is at a
midnight: the first third of the days can be learned from, the later days are only scored, so nothing leaks across time.

Recorded: the office of Candanedo and Feldheim 2016 (labels: from pictures taken every minute), and the offices of
Brains4Buildings 2022 (CC BY 4.0; labels: the building's motion sensor). Their labels differ in kind: say which one a figure uses.
"""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from tegu.room import GRID_S, RoomInputs

from .building import DAY_S, Reading, SimulatedRoom
from .datasets import find
from .sources import Replay, Sample, Source

OFFICE_FILES = ("datatraining.txt", "datatest.txt")
OFFICE_COLUMNS = ("date", "Temperature", "Humidity", "CO2", "Occupancy")
B4B_FILE = "b4b_preprocess_properties.csv"
B4B_READINGS = ("bms_co2__ppm", "bms_temp_in__degC", "bms_rel_humidity__0", "bms_occupancy__bool")
LEAST_SAMPLES = 8  # of each class in each part, or a room cannot be learned or scored
CHANNELS = (("co2", "ppm"), ("temperature", "Cel"), ("humidity", "%RH"))  # with their units in SenML
EPOCH = datetime(2000, 1, 1)  # a midnight; times count from it, local, without daylight saving


@dataclass(frozen=True)
class Room:
    """times: local seconds; x: rows of eleven inputs; y: 1 occupied, 0 empty. support_rows come before the rest, by days.

    read: what the sensors read, CO2 in ppm, Celsius and percent, three numbers a row (float32: 12 bytes).
    """

    name: str
    simulated: bool
    description: str
    times: tuple[int, ...]
    x: tuple[tuple[float, ...], ...]
    y: tuple[int, ...]
    support_rows: int
    read: "array[float]"

    def support(self) -> list[Sample]:
        """The samples of the first third of the days, in time order."""
        return list(zip(self.x[: self.support_rows], self.y[: self.support_rows], strict=True))

    def query(self) -> list[Sample]:
        """The samples of all later days."""
        return list(zip(self.x[self.support_rows :], self.y[self.support_rows :], strict=True))


class RoomSource(Replay):
    """A room as a device's source: support as Replay gives it, from the row `start` on, and the later days as query.

    What its sensors read now is what they read at the sample that was given last.
    """

    channel = "presence"
    sensors = MappingProxyType(dict(CHANNELS))

    def __init__(self, room: Room, start: int = 0) -> None:
        super().__init__(room.name, room.simulated, room.description, room.support(), room.query(), start)
        self._read = room.read

    def readings(self) -> list[tuple[str, str, float]]:
        if self.given is None:
            return []
        row = self._read[3 * self.given : 3 * self.given + 3]
        return [(*channel, round(value, 2)) for channel, value in zip(CHANNELS, row, strict=True)]


def recorded(name: str, folder: str = "", start: str = "0") -> Source:
    """The recorded room of that name, as text asks for it; an empty folder means where `tegu data get presence` put it.

    Raises ValueError naming the rooms there are, and OSError if a file is not there.
    """
    found = Path(folder) if folder else find("presence")
    if found is None:
        raise FileNotFoundError("the recorded rooms are not here; `tegu data get presence` fetches them")
    rooms = real_rooms(found)
    for room in rooms:
        if room.name == name:
            return RoomSource(room, int(start))
    raise ValueError(f"no recorded room {name!r}; there are {', '.join(room.name for room in rooms)}")


def simulated(seed: str = "1", number: str = "1", start: str = "0") -> Source:
    """One room of the simulated building, as text asks for it."""
    return RoomSource(simulated_room(int(seed), int(number)), int(start))


def make_room(name: str, simulated: bool, description: str, readings: Iterable[Reading]) -> Room:
    """Readings in time order become a Room. Rows without an hour of history are left out."""
    inputs = RoomInputs()
    times, rows, labels, read = [], [], [], array("f")
    for time_s, co2_ppm, temperature_c, humidity_percent, occupied in readings:
        row = inputs.push(time_s, co2_ppm, temperature_c, humidity_percent)
        if row is not None:
            times.append(time_s)
            rows.append(tuple(row))
            labels.append(occupied)
            read.extend((co2_ppm, temperature_c, humidity_percent))
    days = sorted({time_s // DAY_S for time_s in times})
    first_query_day = days[math.ceil(len(days) / 3)] if len(days) > 1 else math.inf
    support_rows = sum(time_s // DAY_S < first_query_day for time_s in times)
    return Room(name, simulated, description, tuple(times), tuple(rows), tuple(labels), support_rows, read)


def usable(room: Room) -> bool:
    """Whether both parts have enough of both classes."""
    parts = room.y[: room.support_rows], room.y[room.support_rows :]
    return all(min(sum(part), len(part) - sum(part)) >= LEAST_SAMPLES for part in parts)


def simulated_room(seed: int, number: int, days: int = 12) -> Room:
    """Room `number` of the building `seed`, drawn again while it has too few samples of a class."""
    for attempt in range(100):
        drawn = SimulatedRoom(seed, number, attempt)
        description = f"simulated {drawn.kind}, {drawn.volume_m3:.0f} m3, labels from the simulation"
        room = make_room(f"simulated {drawn.kind} {number}", True, description, drawn.readings(days))
        if usable(room):
            return room
    raise ValueError(f"no usable simulated room {number} of building {seed} in {days} days")


def real_rooms(folder: Path) -> list[Room]:
    """Every usable recorded room in a folder laid out as `tegu data get presence` leaves it.

    Raises ValueError naming file and line of a bad row, and FileNotFoundError naming a missing file.
    """
    rooms = [office(folder / "occupancy"), *brains4buildings(folder / "brains4buildings")]
    return [room for room in rooms if usable(room)]


def office(folder: Path) -> Room:
    """The office of Candanedo and Feldheim, a minute apart in the files, averaged to the grid."""
    minutes: list[Reading] = []
    for name in OFFICE_FILES:
        minutes += _office_minutes(folder / name)
    minutes.sort()
    return make_room(
        "office 2015", False, "recorded office (Candanedo and Feldheim 2016), labels from pictures", _grid(minutes)
    )


def _grid(minutes: Sequence[Reading]) -> Iterator[Reading]:
    """Averages over quarters of an hour; occupied if someone was there for half of it or more."""
    slots: dict[int, list[Reading]] = {}
    for reading in minutes:
        slots.setdefault(reading[0] // GRID_S, []).append(reading)
    for slot, found in slots.items():
        co2, temperature, humidity, occupied = (
            sum(values) / len(found) for values in list(zip(*found, strict=True))[1:]
        )
        yield slot * GRID_S, co2, temperature, humidity, int(occupied >= 0.5)


def _office_minutes(path: Path) -> list[Reading]:
    readings = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        _need_columns(path, names, OFFICE_COLUMNS)
        # Each row begins with its number, which the heading has no name for.
        places = [names.index(column) + 1 for column in OFFICE_COLUMNS]
        for row in rows:
            try:
                date, temperature, humidity, co2, occupied = (row[place] for place in places)
                time_s = _local_s(datetime.strptime(date, "%Y-%m-%d %H:%M:%S"))
                readings.append((time_s, *_numbers(co2, temperature, humidity), _label(occupied)))
            except (ValueError, IndexError) as error:
                raise ValueError(f"{path}, line {rows.line_num}: not a row of readings ({error})") from error
    return readings


def brains4buildings(folder: Path) -> list[Room]:
    """The offices of Brains4Buildings by the building management system's own sensors, on the grid already."""
    path = folder / B4B_FILE
    readings: dict[str, dict[int, Reading]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        _need_columns(path, rows.fieldnames or [], ("id", "timestamp", *B4B_READINGS))
        for row in rows:
            values = [row[column] for column in B4B_READINGS]
            if not all(values):
                continue  # the system was silent, as at the change to winter time
            try:
                moment = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=None)
                co2, temperature, humidity = _numbers(*values[:3])
                reading = (_local_s(moment), co2, temperature, 100.0 * humidity, _label(values[3]))
            except ValueError as error:
                raise ValueError(f"{path}, line {rows.line_num}: not a row of readings ({error})") from error
            # The hour that winter time repeats is told once; it is a night's.
            readings.setdefault(row["id"], {}).setdefault(reading[0], reading)
    return [
        make_room(
            f"room {room_id}",
            False,
            f"recorded office {room_id} (Brains4Buildings 2022), labels from the building's motion sensor",
            sorted(readings[room_id].values()),
        )
        for room_id in sorted(readings)
    ]


def _local_s(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds())


def _numbers(*words: str) -> tuple[float, float, float]:
    first, second, third = (float(word) for word in words)
    if not all(map(math.isfinite, (first, second, third))):
        raise ValueError("a reading is not finite")
    return first, second, third


def _label(word: str) -> int:
    value = float(word)
    if value not in (0.0, 1.0):
        raise ValueError(f"occupancy must be 0 or 1, not {word}")
    return int(value)


def _need_columns(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in names]
    if missing:
        raise ValueError(f"{path}, line 1: no column {', '.join(missing)}")
