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
