"""What is true of this machine for as long as an agent runs on it: the parts of its announcement (tegu.thing)."""

import shutil
from importlib.metadata import version
from pathlib import Path

from tegu.thing import coarse
from tegu.topics import check_id

from .figures import MEMORY, available_bytes

DIGITS = 3  # of free bytes: what other programs take and leave must not be news at each start

Facts = dict[str, int | str]


def facts(folder: Path, radio: str, energy: str, room: str) -> Facts:
    """Free memory, free disk where `folder` is, radio, energy source, firmware and room; empty is not known.

    ValueError: a room that can be none. OSError: there is no such folder.
    """
    return {
        "ram": coarse(available_bytes(MEMORY) or 0, DIGITS),
        "flash": coarse(shutil.disk_usage(folder).free, DIGITS),
        "radio": radio.partition("-")[0],  # a LoRa spreading factor is the energy's matter
        "energy": energy,
        "firmware": version("tegu"),
        "room": check_id(room, "room") if room else "",
    }
