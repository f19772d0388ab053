# ruff: noqa: PTH107, PTH123
"""Saves on a file system that is full or read-only, as JSON: `full.py FIRMWARE`."""

import json
import os

from pieces import after_rounds, held, mount, parts, try_to_save, unmount
from ram_flash import BLOCK_BYTES

from slots import Slots


def fill(room):
    """A file that leaves only so many blocks free, at most."""
    with open("/f/filler", "wb") as file:
        try:
            while os.statvfs("/f")[3] > room:
                file.write(bytes(BLOCK_BYTES))
                file.flush()
        except OSError:
            pass


def attempt(memory, saves, name, room):
    """(was it saved, errno and text of the refusal, is the right state there, can it be saved once there is room)"""
    mount(memory)
    fill(room)
    error = try_to_save(name, saves[name] + 1)
    kept = held(name) == parts(name, saves[name] + (error is None))
    kept = kept and all(held(other) == parts(other, saves[other]) for other in saves if other != name)
    os.remove("/f/filler")
    again = try_to_save(name, saves[name] + 2) is None and held(name) == parts(name, saves[name] + 2)
    unmount()
    return [error is None, error and error.errno, str(error), kept, again]


def grow(memory, room):
    """As attempt(), when a piece of 4 B grows to 40 KB."""
    mount(memory)
    fill(room)
    slots, refusal = Slots("/f/boot"), None
    try:
        slots.write(*[bytes(BLOCK_BYTES)] * 10)
    except OSError as error:
        refusal = error
    found = slots.open()
    length = found[1]
    found[0].close()
    os.remove("/f/filler")
    slots.write(bytes(40000))
    unmount()
    return [refusal is None, refusal and refusal.errno, str(refusal), length]


def read_only(memory, saves):
    mount(memory, True)
    error = try_to_save("learned", 99)
    kept = all(held(name) == parts(name, saves[name]) for name in saves)
    unmount()
    return [error and error.errno, str(error), kept]


def main():
    memory, saves = after_rounds(3)
    same = [attempt(bytearray(memory), saves, name, room) for name in saves for room in range(8)]
    growing = [grow(bytearray(memory), room) for room in range(16)]
    print(json.dumps({"same": same, "growing": growing, "read_only": read_only(memory, saves)}))


main()
