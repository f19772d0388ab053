"""How often this device has started: a number that grows with each start, kept in a file of its own."""

import json
import os
from pathlib import Path

from tegu.topics import check_id


def next_boot(folder: Path, device: str) -> int:
    """This start's boot number, one more than the last; kept in folder/{device}.json. ValueError if that is broken."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{check_id(device, 'device')}.json"
    try:
        boot = int(json.loads(path.read_text(encoding="utf-8"))["boot"]) + 1
    except FileNotFoundError:
        boot = 1
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is broken; it must hold {{"boot": NUMBER}}, the number of the last start') from error
    keep_boot(folder, device, boot)
    return boot


def keep_boot(folder: Path, device: str, boot: int) -> None:
    """Write the boot number durably."""
    write_durably(folder / f"{device}.json", json.dumps({"boot": boot}).encode())


def write_durably(path: Path, content: bytes) -> None:
    """The old file or the new one is there, never half of one."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
