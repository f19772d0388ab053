"""Rooms as samples: the streaming inputs, the order of the support, the split by days, the files."""

import os
from math import cos, pi, sin
from pathlib import Path

import pytest

from edge_agents.rooms import (
    Room,
    RoomSource,
    brains4buildings,
    make_room,
    office,
    real_rooms,
    recorded,
    simulated,
    simulated_room,
    usable,
)
from edge_agents.sources import STRIDE, Replay
from tegu.room import RoomInputs

QUARTER_S = 900
DAY_S = 86400


# --- the inputs, one reading at a time ---


def pushed(inputs: RoomInputs, co2: list[float], from_s: int = 0) -> list[float] | None:
    """The inputs after these CO2 readings, a quarter of an hour apart, at 22 degrees and 40 percent."""
    row = None
    for n, ppm in enumerate(co2):
        row = inputs.push(from_s + n * QUARTER_S, ppm, 22.0, 40.0)
    return None if row is None else list(row)


def test_the_eleven_inputs_are_as_worked_by_hand():
    inputs = RoomInputs()
    for n, (co2, celsius, humidity) in enumerate([(500, 22, 40), (515, 22, 40), (530, 22, 40), (545, 22.2, 40)]):
        assert inputs.push(n * QUARTER_S, co2, celsius, humidity) is None
    row = inputs.push(3600, 560, 22.4, 45)
    assert list(row) == pytest.approx(
        [
            60 / 60,  # above the minimum of 500
            60 / 300,  # above 500
            15 / 15,
            30 / 20,
            60 / 30,
            0.4 / 0.4,
            5 / 5,
            0.4 / 4,
            5 / 20,
            sin(2 * pi / 24),
            cos(2 * pi / 24),
        ],
        abs=1e-5,
    )


def test_an_input_is_cut_at_two():
    row = pushed(RoomInputs(), [400, 400, 400, 400, 5000])
    assert row[:5] == [2.0, 2.0, 2.0, 2.0, 2.0]
    assert pushed(RoomInputs(), [5000, 5000, 5000, 5000, 400])[2:5] == [-2.0, -2.0, -2.0]


def test_a_gap_silences_the_inputs_until_an_hour_is_known_again():
    inputs = RoomInputs()
    assert pushed(inputs, [500] * 5) is not None
    after_gap = 6 * QUARTER_S  # slot 5 was missed; slots 6, 7, 8 and 9 look back on it
    assert [inputs.push(after_gap + n * QUARTER_S, 500, 22, 40) is None for n in range(5)] == [True] * 4 + [False]


def test_a_second_reading_of_a_quarter_replaces_the_first():
    inputs = RoomInputs()
    pushed(inputs, [500, 500, 500, 500])
    inputs.push(4 * QUARTER_S, 900, 22, 40)
    row = inputs.push(4 * QUARTER_S + 300, 530, 22, 40)
    assert row[2] == pytest.approx(30 / 15)
    assert row[0] == pytest.approx(30 / 60)


def test_the_minimum_is_forgotten_after_a_day():
    inputs = RoomInputs()
    assert pushed(inputs, [420] + [480] * 95)[0] == pytest.approx(1.0)
    assert pushed(inputs, [480], from_s=DAY_S)[0] == 0.0


def test_time_that_runs_back_starts_afresh():
    inputs = RoomInputs()
    pushed(inputs, [400] * 10, from_s=DAY_S)
    assert pushed(inputs, [460] * 4) is None
    assert pushed(inputs, [460], from_s=4 * QUARTER_S)[0] == 0.0


def test_a_gap_of_days_starts_afresh():
    inputs = RoomInputs()
    pushed(inputs, [400] * 5)
    assert pushed(inputs, [460] * 5, from_s=3 * DAY_S)[0] == 0.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_reading_that_is_not_finite_is_a_gap(bad: float):
    inputs = RoomInputs()
    pushed(inputs, [500] * 4)
    assert inputs.push(4 * QUARTER_S, bad, 22, 40) is None
    assert inputs.push(5 * QUARTER_S, 500, 22, 40) is None


# --- the order of the support ---


def replay(labels: str, start: int = 0) -> Replay:
    return Replay("r", True, "", [((float(n),), int(label)) for n, label in enumerate(labels)], start=start)


def test_each_class_is_given_in_time_order_seven_apart():
    source = replay("01" * 20)
    assert [source.next_support(n % 2)[0][0] for n in range(6)] == [0, 1, 14, 15, 28, 29]
    assert STRIDE == 7


def test_every_sample_is_given_once_before_any_is_given_twice():
    source = replay("0" * 30 + "1" * 21)
    given = [source.next_support(1)[0][0] for _ in range(42)]
    assert sorted(given[:21]) == list(range(30, 51))
    assert given[21:] == given[:21]


def test_a_later_start_begins_there_and_wraps_around():
    source = replay("0" * 20, start=10)
    assert [source.next_support(0)[0][0] for _ in range(3)] == [10, 17, 4]


def test_any_class_is_given_one_after_the_other():
    source = replay("0110", start=2)
    assert [source.next_support(None)[0][0] for _ in range(5)] == [2, 3, 0, 1, 2]


def test_a_class_that_never_occurs_gives_nothing():
    assert replay("000").next_support(1) is None


def test_a_source_without_samples_is_refused():
    with pytest.raises(ValueError, match="empty room: no samples to learn from"):
        Replay("empty room", True, "", [])


# --- the split ---


def week(days: int, occupied_hours: tuple[int, int] = (9, 17)) -> Room:
    """A made-up room whose label follows the clock alone."""
    slots = range(days * 96)
    return make_room(
        "made up",
        True,
        "",
        ((n * QUARTER_S, 500.0, 22.0, 40.0, int(occupied_hours[0] <= n % 96 // 4 < occupied_hours[1])) for n in slots),
    )


@pytest.mark.parametrize(("days", "support_days"), [(3, 1), (9, 3), (12, 4), (10, 4)])
def test_the_support_is_the_first_third_of_the_days(days: int, support_days: int):
    room = week(days)
    assert room.times[room.support_rows] == support_days * DAY_S
    assert room.support_rows == support_days * 96 - 4  # the first hour has no history


def test_nothing_of_the_query_comes_before_the_end_of_the_support():
    room = simulated_room(3, 5)
    assert max(room.times[: room.support_rows]) // DAY_S < min(room.times[room.support_rows :]) // DAY_S
    assert len(room.support()) + len(room.query()) == len(room.y) == len(room.x)


def test_a_room_where_nobody_comes_cannot_be_used():
    assert usable(week(6))
    assert not usable(week(6, occupied_hours=(0, 0)))


def test_a_room_source_gives_support_from_the_support_and_query_from_the_query():
    room = week(6)
    source = RoomSource(room)
    assert source.next_support(0)[0] == room.x[0]
    assert source.query() == room.query()
    assert source.simulated


def test_a_rooms_sensors_read_what_they_read_at_the_sample_that_was_given_last():
    slots = range(6 * 96)
    room = make_room(
        "ramp", True, "", ((n * QUARTER_S, 500.125 + n, 20 + n % 8 / 4, 40.0, n % 96 // 48) for n in slots)
    )
    source = RoomSource(room)
    assert (source.readings(), source.present()) == ([], None)
    for label, quarter in ((0, 4), (0, 11), (1, 48), (1, 55)):  # from 1:00 and from 12:00 on, seven apart
        x, _ = source.next_support(label)
        assert source.present() == x == room.x[quarter - 4]
        assert source.readings() == [
            ("co2", "ppm", 500.12 + quarter),
            ("temperature", "Cel", 20 + quarter % 8 / 4),
            ("humidity", "%RH", 40.0),
        ]
    assert source.channel == "presence"
    assert room.read.itemsize * len(room.read) == 12 * len(room.y)


# --- the files ---


def write_office(folder: Path, lines: list[str], header: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = header or '"date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"'
    (folder / "datatraining.txt").write_text("\n".join([names, *lines]) + "\n")
    (folder / "datatest.txt").write_text(names + "\n")


def minute(n: int, co2: float, occupied: int) -> str:
    return f'"{n}","2015-02-04 {n // 60:02}:{n % 60:02}:00",22.0,40.0,426,{co2},0.0048,{occupied}'


def test_minutes_are_averaged_to_quarters_and_half_of_the_time_counts_as_occupied(tmp_path: Path):
    lines = [minute(n, 500 + n % 15, int(n >= 60 + 7)) for n in range(75)]
    write_office(tmp_path, lines)
    room = office(tmp_path)
    assert room.y == (1,)  # 8 of the 15 minutes of the only quarter that has an hour behind it
    assert room.x[0][1] == pytest.approx(7 / 300)  # the mean of 500..514 is 507


def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path):
    write_office(tmp_path, [minute(0, 500, 0), minute(1, 500, 0).replace("500", "five")])
    with pytest.raises(ValueError, match=r"datatraining.txt, line 3: not a row of readings \(.*'five'"):
        office(tmp_path)


def test_a_row_cut_short_is_named_by_file_and_line(tmp_path: Path):
    write_office(tmp_path, ['"1","2015-02-04 00:00:00",22.0'])
    with pytest.raises(ValueError, match=r"datatraining.txt, line 2: not a row of readings"):
        office(tmp_path)


def test_an_occupancy_that_is_not_0_or_1_is_refused(tmp_path: Path):
    write_office(tmp_path, [minute(0, 500, 2)])
    with pytest.raises(ValueError, match=r"line 2: .*occupancy must be 0 or 1, not 2"):
        office(tmp_path)


def test_missing_columns_are_named(tmp_path: Path):
    write_office(tmp_path, [], header='"date","Temperature","Humidity","Light","HumidityRatio"')
    with pytest.raises(ValueError, match=r"datatraining.txt, line 1: no column CO2, Occupancy"):
        office(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"datatraining\.txt"):
        real_rooms(tmp_path)


def write_b4b(folder: Path, lines: list[str]) -> None:
    header = ",id,timestamp,bms_co2__ppm,bms_temp_in__degC,bms_rel_humidity__0,bms_occupancy__bool"
    (folder / "b4b_preprocess_properties.csv").write_text("\ufeff" + "\r\n".join([header, *lines]) + "\r\n")


def test_the_repeated_hour_of_winter_time_is_told_once_and_silent_rows_are_left_out(tmp_path: Path):
    summer = [f"0,7,2022-10-30 0{n // 4}:{n % 4 * 15:02}:00+02:00,500,22,0.4,0" for n in range(12)]  # 0:00 to 2:45
    again = ["0,7,2022-10-30 02:00:00+01:00,900,22,0.4,1", "0,7,2022-10-30 02:15:00+01:00,,,,"]
    winter = ["0,7,2022-10-30 03:00:00+01:00,500,22,0.4,1"]
    write_b4b(tmp_path, [*summer, *again, *winter])
    (room,) = brains4buildings(tmp_path)
    assert room.name == "room 7"
    assert [time_s % DAY_S // 3600 for time_s in room.times] == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert room.y == (0,) * 8 + (1,)
    assert room.x[-1][8] == pytest.approx(0.0)  # 40 percent, from the file's 0.4


def test_a_bad_timestamp_is_named_by_file_and_line(tmp_path: Path):
    write_b4b(tmp_path, ["0,7,yesterday,500,22,0.4,0"])
    with pytest.raises(ValueError, match=r"b4b_preprocess_properties.csv, line 2: not a row of readings"):
        brains4buildings(tmp_path)


# --- the recorded rooms themselves ---


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("TEGU_DATA")
    if folder:
        return Path(folder)
    sentence = "TEGU_DATA is not set; get the recorded rooms with: tegu data get presence --to DIR, then TEGU_DATA=DIR"
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def test_the_recorded_rooms_have_the_rows_that_the_files_have(data: Path):
    found = {room.name: (len(room.y), room.support_rows, sum(room.y)) for room in real_rooms(data)}
    assert found["office 2015"] == (714, 195, 176)
    assert found["room 917810"] == (2300, 764, 313)  # 24 days of 96 quarters without the first hour
    assert found["room 999169"] == (2300, 764, 195)


def test_a_recorded_row_is_as_worked_by_hand_from_the_file(data: Path):
    source = recorded("room 917810", str(data))
    x, y = source.next_support(0)
    # 10 October, 1:00: 504.33 ppm after 511.33, 512.33, 510.67 and 514.67.
    assert x[0] == pytest.approx(0.0, abs=1e-4)
    assert list(x[1:5]) == pytest.approx([4.33334 / 300, -10.33336 / 15, -6.33332 / 20, -7.0 / 30], abs=1e-5)
    assert source.readings()[0] == ("co2", "ppm", 504.33)
    assert (y, source.simulated) == (0, False)
    assert "motion sensor" in source.description


def test_an_unknown_recorded_room_is_refused_with_the_names_there_are(data: Path):
    with pytest.raises(ValueError, match="no recorded room 'attic'; there are office 2015, room 917810"):
        recorded("attic", str(data))


def test_a_simulated_room_is_a_source_by_text():
    source = simulated("1", "2")
    assert source.simulated
    assert source.description.startswith("simulated ")
    assert {source.next_support(label)[1] for label in (0, 1)} == {0, 1}
