"""What a board tells of itself and of its room, in MicroPython: mcu_firmware/device.py. tests/board/telling.py has the scenes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from coordinator.metrics import CHANNELS, MEASUREMENTS

from .parts import find_micropython, needs

FIRMWARE = Path(__file__).parent.parent / "mcu_firmware"
SENSED = [
    ["co2", [{"n": "co2", "u": "ppm", "v": 612.0}]],
    ["temperature", [{"n": "temperature", "u": "Cel", "v": 21.5}]],
    ["humidity", [{"n": "humidity", "u": "%RH", "v": 40.0}]],
]
Scenes = dict[str, list[Any]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """What each scene printed, by its name."""
    needs("micropython")
    script = Path(__file__).parent / "board" / "telling.py"
    folders = [str(FIRMWARE), str(FIRMWARE / "lib"), str(tmp_path_factory.mktemp("board"))]
    command = [str(find_micropython()), "-X", "heapsize=512k", str(script), *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    found: Scenes = {}
    for line in done.stdout.splitlines():
        if line.startswith("["):
            name, told = json.loads(line)
            found.setdefault(name, []).append(told)
        else:
            found.setdefault("printed", []).append(line)
    return found


def test_a_board_tells_that_it_is_there_every_five_minutes_or_as_its_settings_say(scenes: Scenes) -> None:
    assert [second for second, _ in scenes["by default"][0]] == [300, 600]
    assert scenes["often"] == [[200, 400, 600]]
    assert scenes["not"] == scenes["null"] == [[]]


def test_a_heartbeat_has_the_counts_and_no_loss(scenes: Scenes) -> None:
    (_, earlier), (_, later) = scenes["by default"][0]
    counted = {
        "version",
        "boot",
        "bad",
        "accepted",
        "samples",
        "updates",
        "free_heap_bytes",
        "sensor_failed",
        "uptime_s",
    }
    assert not counted - set(MEASUREMENTS["device"].fields)
    energy = {"energy_modelled", "compute_joules", "radio_joules", "session_joules"}
    assert set(later) == counted | energy | {"bytes_model_down", "bytes_update_up", "bytes_telemetry_up"}
    assert (earlier["uptime_s"], later["uptime_s"], later["samples"], later["version"]) == (400, 700, 0, 0)
    assert later["free_heap_bytes"] > 0
    assert earlier["bytes_telemetry_up"] == 0
    assert 250 < later["bytes_telemetry_up"] < 500


def test_its_seconds_are_seconds_though_its_steps_take_long_and_its_ticks_begin_anew(scenes: Scenes) -> None:
    assert scenes["uptime"] == [70 + 10]


def test_a_board_without_a_link_tells_nothing_and_counts_no_bytes(scenes: Scenes) -> None:
    assert scenes["without a link"] == [[0, 0]]


def test_presence_is_told_with_the_readings_once_the_last_hour_is_known(scenes: Scenes) -> None:
    assert scenes["first reading"] == [SENSED]
    *readings, (channel, (record,)) = scenes["an hour later"][0]
    assert readings == SENSED
    assert (channel, record["n"], record["u"]) == ("presence", "presence", CHANNELS["presence"].senml_unit)
    assert record["v"] == pytest.approx(
        0.75, abs=0.005
    )  # e to the ln 3 is three times e to the 0; the bias came as bfloat16
    assert scenes["after learning"][0][-1] == ["presence", [{"n": "presence", "u": "/", "v": 0.5}]]
    assert scenes["a minute later"] == [[]]


def test_a_model_of_other_inputs_has_no_presence(scenes: Scenes) -> None:
    assert scenes["another model"] == [["humidity", "co2", "temperature", "humidity"]]


def test_the_radio_link_is_told_where_the_board_knows_it(scenes: Scenes) -> None:
    assert scenes["wifi"] == [-61, None, None]


def test_a_battery_is_told_in_volts_and_where_its_range_is_known_in_percent(scenes: Scenes) -> None:
    (volts, no_percent), (same_volts, percent) = scenes["battery"]
    assert volts == same_volts == pytest.approx(4.0, abs=0.001)  # 0.8 of 5 volts
    assert no_percent is None
    assert percent == pytest.approx(80.0, abs=0.1)  # 1.0 of the 1.25 volts from empty to full


# --- what it announces, and the model that it is wished to have ---


def test_a_board_announces_what_is_free_its_sensors_and_its_settings(scenes: Scenes) -> None:
    ((told, length, qos_and_retain),) = scenes["announced"]
    ram, flash = told.pop("ram"), told.pop("flash")
    assert told == {
        "tm": "urn:tegu:tm:device:1",
        "title": "room-7",
        "model": "m",
        "sensors": {"co2": "ppm", "temperature": "Cel", "humidity": "%RH"},
        "radio": "lora",  # a spreading factor is the energy's matter
        "energy": "battery",
        "firmware": "0.1.0",
        "room": "b1-2-07",
    }
    assert 100_000 < ram < 512 * 1024
    assert ram % (1 << ram.bit_length() - 6) == 0  # six binary digits
    assert flash > 0
    assert length < 512
    assert qos_and_retain == [1, True]


def test_the_sensors_are_those_of_the_settings(scenes: Scenes) -> None:
    assert scenes["sht4x"] == [{"temperature": "Cel", "humidity": "%RH"}]
    assert scenes["no sensor"] == [{}]


def test_a_board_reports_its_model_and_begins_anew_with_the_one_that_it_is_wished(scenes: Scenes) -> None:
    assert scenes["listens"] == [["subscribe", "tegu/1/home/device/room-7/desired"]]
    # [restarts, model, boot number, what it reported, its states]
    assert scenes["wished"][:5] == [
        [[], "m", 1, [{"version": 0, "model": "m"}], ["ready"]],
        [[], "m", 1, [{"version": 3, "model": "m"}], []],  # what it has
        [[0], "m", 1, [], ["offline"]],
        [[], "other", 2, [{"version": 4, "model": "m"}], ["ready"]],  # it tries the other one
        [[], "other", 2, [{"version": 4, "model": "other"}], []],  # an old wish, and the manifest: it can be served
    ]


def test_a_board_that_cannot_serve_a_model_goes_back_to_the_one_before_and_says_why(scenes: Scenes) -> None:
    why = "wide: takes 300 inputs, not 11"
    assert scenes["wished"][5:] == [
        [[0], "wide", 3, [], ["offline"]],
        [[], "other", 4, [{"version": 5, "model": "other", "why": why}], ["ready"]],
    ]
    assert scenes["numbers"] == [[[0], {"version": 1, "model": "m", "why": "numbers: learns numbers, not classes"}]]
    assert scenes["too large"] == ["large: needs 1073741824", [[0], "m"]]


def test_what_is_no_wish_is_counted_and_changes_nothing(scenes: Scenes) -> None:
    assert scenes["no wish"] == [[3, 0, []]]


def test_what_was_kept_of_a_model_that_is_wished_for_no_more_is_removed_and_nothing_else(scenes: Scenes) -> None:
    (names,) = scenes["kept"]
    own = ["boot.0", "boot.1", "twin.0", "settings.json", "my-samples.f32"]
    assert names == sorted([*own, "start.0", "learned.1", "pieces", "other-start.0", "other-learned.1", "other-pieces"])


def test_why_an_update_was_not_taken_is_printed_when_it_is_another_reason(scenes: Scenes) -> None:
    assert [line for line in scenes["printed"] if line.startswith("not taken")] == [
        "not taken: outside: has no sensor co2",
        "not taken: outside",
    ]


def test_what_the_registry_is_told_by_is_out_of_the_heap_again(scenes: Scenes) -> None:
    assert scenes["out of the heap"] == [[]]
