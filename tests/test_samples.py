"""Where a board's samples come from: mcu_firmware/samples.py."""

import struct
import sys
from array import array
from pathlib import Path

import pytest

from tegu.room import GRID_S, RoomInputs

sys.path.append(str(Path(__file__).parent.parent / "mcu_firmware"))

from samples import RING, Recording, Room, make_samples

HOUR_S = 3600
NOON_S = 1_800_014_400  # of some day: a whole number of quarters of an hour


class Air:
    """A sensor that is read as often as it is asked."""

    def __init__(self) -> None:
        self.reading: tuple[float, float, float] | None = (450.0, 21.0, 40.0)
        self.asked = 0

    def read(self) -> tuple[float, float, float] | None:
        self.asked += 1
        return self.reading


def quarters(room: Room, count: int, start_s: int = NOON_S, motion: bool = False) -> int:
    """So many quarters of an hour, looked at three times each; the time after them."""
    for at in range(count):
        for minute in (0, 5, 10):
            room.tick(start_s + at * GRID_S + minute * 60, motion)
    return start_s + count * GRID_S


def test_a_reading_is_taken_once_a_quarter_of_an_hour_and_told() -> None:
    air = Air()
    room = Room(air.read, False)
    assert room.tick(NOON_S, False) == [("co2", "ppm", 450.0), ("temperature", "Cel", 21.0), ("humidity", "%RH", 40.0)]
    assert room.tick(NOON_S + 899, False) == []
    assert len(room.tick(NOON_S + 900, False)) == 3
    assert air.asked == 2


def test_a_sensor_that_has_nothing_yet_is_asked_again() -> None:
    air = Air()
    air.reading = None
    room = Room(air.read, False)
    assert room.tick(NOON_S, False) == room.tick(NOON_S + 1, False) == []
    air.reading = (450.0, 21.0, 40.0)
    assert len(room.tick(NOON_S + 2, False)) == 3


def test_a_label_before_an_hour_is_known_is_no_sample() -> None:
    room = Room(Air().read, False)
    quarters(room, 3)
    room.label(1)
    assert room.next(1) is None


def test_a_label_makes_a_sample_of_the_present_inputs() -> None:
    room = Room(Air().read, False)
    inputs = RoomInputs()
    for at in range(5):
        row = inputs.push(NOON_S + at * GRID_S, 450.0, 21.0, 40.0)
    quarters(room, 5)
    room.label(1)
    room.label(7)
    assert room.next(0) is None
    sample = room.next(1)
    assert sample is not None
    assert row is not None
    assert (list(sample[0]), sample[1]) == (list(row), 1)
    assert room.next(1) is None


def test_the_newest_eight_samples_of_a_class_wait() -> None:
    air = Air()
    room = Room(air.read, False)
    now_s = quarters(room, 5)
    for at in range(RING + 3):
        air.reading = (500.0 + at, 21.0, 40.0)
        room.tick(now_s + at * GRID_S, False)
        room.label(0)
    given = []
    while (sample := room.next(0)) is not None:
        given.append(round(sample[0][1] * 300 + 500))  # CO2 above 500 ppm, in steps of 300
    assert given == [503 + at for at in range(RING)]


def test_motion_labels_a_room_and_half_an_hour_without_it_too() -> None:
    room = Room(Air().read, True)
    now_s = quarters(room, 6, motion=True)
    occupied = 0
    while room.next(1) is not None:
        occupied += 1
    assert occupied == 2  # the fifth and the sixth quarter: before, the hour was not known
    now_s = quarters(room, 3, now_s)
    assert room.next(1) is not None  # motion in the quarter before
    assert room.next(1) is None
    assert room.next(0) is not None  # the third quarter without
    assert room.next(0) is None


def test_after_a_gap_a_label_is_not_for_the_readings_before_it() -> None:
    air = Air()
    room = Room(air.read, False)
    now_s = quarters(room, 5)
    air.reading = None
    room.tick(now_s + 24 * HOUR_S, False)
    room.label(1)
    assert room.next(1) is None


def test_a_clock_that_was_put_back_does_not_make_an_empty_room_occupied() -> None:
    room = Room(Air().read, True)
    now_s = quarters(room, 5, motion=True)
    while room.next(1) is not None:
        pass
    quarters(room, 12, now_s - 24 * HOUR_S)
    assert room.next(1) is None
    assert room.next(0) is not None


def test_a_recording_plays_its_samples_again_and_again_and_scores_the_rest(tmp_path: Path) -> None:
    rows = [[0.5, 1.0, 1.0], [0.25, 2.0, 0.0], [0.75, 3.0, 1.0]]
    content = struct.pack("<HHHH", 2, 0, 2, 1) + b"".join(array("f", row).tobytes() for row in rows)
    (tmp_path / "samples.f32").write_bytes(content)
    recording = make_samples({"kind": "replay"}, f"{tmp_path}/", Air().read, False)
    assert isinstance(recording, Recording)
    played = [(list(x), y) for x, y in (recording.next(None) or ([], -1) for _ in range(3))]
    assert played == [([0.5, 1.0], 1), ([0.25, 2.0], 0), ([0.5, 1.0], 1)]
    assert [(list(x), y) for x, y in recording.query()] == [([0.75, 3.0], 1)]


def test_a_recording_of_numbers_gives_numbers(tmp_path: Path) -> None:
    content = struct.pack("<HHHH", 1, 2, 1, 0) + array("f", [0.5, 1.5, 2.5]).tobytes()
    (tmp_path / "sines.f32").write_bytes(content)
    x, y = Recording(str(tmp_path / "sines.f32")).next(None) or ([], [])
    assert (list(x), list(y)) == ([0.5], [1.5, 2.5])  # type: ignore[arg-type]


def test_an_empty_recording_says_so(tmp_path: Path) -> None:
    (tmp_path / "nothing.f32").write_bytes(struct.pack("<HHHH", 1, 0, 0, 0))
    with pytest.raises(ValueError, match="has no samples to learn from"):
        Recording(str(tmp_path / "nothing.f32"))
