"""Where a board's samples come from: its own sensor and people's labels, or a recording.

next(wanted) gives (x, y) of the class that the round asks for, or None: nothing yet. x is reused by the next call.
"""

from array import array
from struct import unpack

RING = 8  # labelled samples of each class that wait to be learned from, the newest
EMPTY_SLOTS = 2  # quarters of an hour without motion after which a room counts as empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Sample = tuple[array[float], "int | array[float]"]


class Recording:
    """Samples of a file, in its order and again from the start: for trying a board out, and for tests.

    Little-endian: inputs, outputs (0: the last number is a class), support and query counts, 2 bytes each; then of
    each sample its inputs and its outputs, or class, as float32; those to learn from first, then those only scored.
    """

    def __init__(self, path: str) -> None:
        self.row: "array[float] | None" = None  # nothing is known of now
        self._file = open(path, "rb")
        self.inputs, self.outputs, self._support, self._query = unpack("<HHHH", self._file.read(8))
        if not self._support:
            raise ValueError("%s has no samples to learn from" % path)
        self._row = array("f", bytes(4 * self.inputs))
        self._wanted = array("f", bytes(4 * max(1, self.outputs)))
        self._at = 0

    def tick(self, time_s: int, motion: bool) -> "list[tuple[str, str, float]]":
        """A recording has no readings of now."""
        return []

    def label(self, label: int) -> None:
        """It has its own."""

    def next(self, wanted: "int | None") -> "Sample | None":
        sample = self._read(self._at)
        self._at = (self._at + 1) % self._support
        return sample

    def query(self) -> "Iterator[Sample]":
        """The samples that are only scored."""
        for at in range(self._support, self._support + self._query):
            yield self._read(at)

    def _read(self, at: int) -> "Sample":
        self._file.seek(8 + at * 4 * (len(self._row) + len(self._wanted)))
        self._file.readinto(self._row)
        self._file.readinto(self._wanted)
        return self._row, self._wanted if self.outputs else int(self._wanted[0])


class Room:
    """A CO2 sensor, and labels from a person's button, an app or a motion sensor. read: a sensor's, in ppm, Celsius, percent."""

    outputs = 0  # its labels are classes

    def __init__(self, read: "Callable[[], Sequence[float] | None]", has_motion: bool) -> None:
        from tegu.room import GRID_S, INPUTS, RoomInputs  # a recording does not need it

        self._read = read
        self._has_motion = has_motion
        self._grid_s, self.inputs = GRID_S, len(INPUTS)
        self._inputs = RoomInputs()
        self.row: "array[float] | None" = None  # the present inputs, if the last hour is known
        self._rings = (array("f", bytes(4 * self.inputs * RING)), array("f", bytes(4 * self.inputs * RING)))
        self._given = [0, 0]  # samples of each class that came, and that were learned from
        self._learned = [0, 0]
        self._out = array("f", bytes(4 * self.inputs))
        self._slot = self._moved_slot = -1

    def tick(self, time_s: int, motion: bool) -> "list[tuple[str, str, float]]":
        """Once a quarter of an hour of local time a reading: [(channel, unit, value)]. OSError: the sensor does not answer."""
        slot = time_s // self._grid_s
        if slot < self._slot or slot > self._slot + 1:
            self.row = None  # of another time: a label of now is not for it
            self._moved_slot = min(self._moved_slot, slot)
        if motion:
            self._moved_slot = slot
        if slot == self._slot:
            return []
        reading = self._read()
        if reading is None:
            return []
        if self._slot < 0:
            self._moved_slot = max(self._moved_slot, slot)
        self.row = self._inputs.push(time_s, *reading)
        if self._has_motion and slot > self._slot >= 0:
            if self._moved_slot >= slot - 1:
                self.label(1)
            elif slot - self._moved_slot > EMPTY_SLOTS:
                self.label(0)
        self._slot = slot
        return [("co2", "ppm", reading[0]), ("temperature", "Cel", reading[1]), ("humidity", "%RH", reading[2])]

    def label(self, label: int) -> None:
        """The room is empty (0) or occupied (1) now: a sample, if the last hour is known."""
        if self.row is None or label not in (0, 1):
            return
        at = self._given[label] % RING * self.inputs
        for i in range(self.inputs):
            self._rings[label][at + i] = self.row[i]
        self._given[label] += 1
        self._learned[label] = max(self._learned[label], self._given[label] - RING)

    def next(self, wanted: "int | None") -> "Sample | None":
        label = 1 if wanted is None else wanted
        if label > 1 or self._learned[label] == self._given[label]:
            return None
        at = self._learned[label] % RING * self.inputs
        for i in range(self.inputs):
            self._out[i] = self._rings[label][at + i]
        self._learned[label] += 1
        return self._out, label

    def query(self) -> "Iterator[Sample]":
        """None: what a room was labelled with is for learning."""
        return iter(())


def make_samples(
    sensor: "dict[str, Any]", folder: str, read: "Callable[[], Any]", has_motion: bool
) -> "Recording | Room":
    """As the settings' `sensor` says."""
    if sensor.get("kind") == "replay":
        return Recording(folder + sensor.get("file", "samples.f32"))
    return Room(read, has_motion)
