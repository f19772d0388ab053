"""What a board says of settings that it cannot use, and what time it takes it to be, in MicroPython: mcu_firmware/board.py."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .parts import find_micropython, needs

FIRMWARE = Path(__file__).parent.parent / "mcu_firmware"
GOOD = {"device": "room-7", "password": "p", "site": "home", "model": "presence", "link": {"kind": "serial"}}
WIFI = {"kind": "wifi", "ssid": "building", "host": "broker"}
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "good"),
    ({"sensor": None, "label": None, "meter": None, "battery": None}, "good"),
    ({"link": WIFI}, "good"),
    ({"device": "Room 7"}, "device must be 1 to 32 of a-z, 0-9 and '-', not 'Room 7'"),
    ({"room": "b1-2-07"}, "good"),
    ({"room": ""}, "good"),
    ({"room": "B1.2"}, "room must be 1 to 32 of a-z, 0-9 and '-', not 'B1.2'"),
    ({"site": ""}, "site must be 1 to 32 of a-z, 0-9 and '-', not ''"),
    ({"link": "wifi"}, "link in settings.json must be an object, not 'wifi'"),
    ({"link": {"kind": "lan"}}, "link.kind in settings.json must be wifi, serial or unix, not 'lan'"),
    ({"link": {**WIFI, "host": ""}}, "link.host is missing in settings.json"),
    ({"link": {"kind": "wifi", "host": "broker"}}, "link.ssid is missing in settings.json"),
    ({"link": {**WIFI, "tls": True}}, "link.ca is missing in settings.json"),
    ({"sensor": {"kind": "scd4x", "sda": 4}}, "sensor.scl is missing in settings.json"),
    ({"meter": {"kind": "ina219"}}, "sensor.sda is missing in settings.json"),
    ({"battery": 34}, "battery in settings.json must be an object, not 34"),
    ({"battery": {"pin": 34}}, "battery.scale is missing in settings.json"),
    ({"battery": {"pin": 34, "scale": 5.0}}, "good"),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    needs("micropython")
    path = tmp_path_factory.mktemp("settings") / "cases"
    path.write_text("\n".join(["no json", *(json.dumps({**GOOD, **changes}) for changes, _ in CASES)]))
    script = Path(__file__).parent / "board" / "settings.py"
    command = [str(find_micropython()), str(script), str(FIRMWARE), str(FIRMWARE / "lib"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()


def test_settings_that_are_no_json_are_told(said: list[str]) -> None:
    assert said[0] == "settings.json is not JSON"


@pytest.mark.parametrize(("at", "sentence"), list(enumerate([sentence for _, sentence in CASES], 1)))
def test_settings_are_looked_at_before_anything_is_done(said: list[str], at: int, sentence: str) -> None:
    assert said[at] == sentence


def test_a_board_without_a_clock_goes_by_the_newest_time_that_it_was_told() -> None:
    needs("micropython")
    script = Path(__file__).parent / "board" / "clock.py"
    command = [str(find_micropython()), str(script), str(FIRMWARE), str(FIRMWARE / "lib")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    times = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    unix = [0, 1800000000, 1800000002, 1800000003, 1800000003, 1800007200, 1800407200, 1800807200, 1801207200]
    assert times == [(now_s, now_s + 3600 if now_s else 0) for now_s in unix]
