"""The board's drivers under both interpreters, against chips written from their datasheets (tests/sensors/bus.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import find_micropython, needs

HERE = Path(__file__).parent
FOLDERS = os.pathsep.join(str(folder) for folder in (HERE / "sensors", HERE.parent / "mcu_firmware"))


@pytest.mark.parametrize("file", ["test_sensors.py", "test_energy.py"])
@pytest.mark.parametrize("interpreter", ["python", "micropython"])
def test_the_drivers(interpreter: str, file: str) -> None:
    if interpreter == "micropython":
        needs("micropython")
    program = str(find_micropython()) if interpreter == "micropython" else sys.executable
    done = subprocess.run(
        [program, str(HERE / "shared" / "run.py"), file],
        env=os.environ | {"PYTHONPATH": FOLDERS, "MICROPYPATH": FOLDERS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, "\n" + done.stdout
    assert ", 0 failed" in done.stdout
