"""The three pieces of state of a board on one littlefs in RAM, at /f; the firmware's folder is the first argument.

`boot` has 4 bytes, `learned` 200 B and 4.6 KB, `init` 20 KB.
"""

import gc
import sys

import vfs

sys.path.insert(0, sys.argv[1])

from ram_flash import BLOCK_BYTES, RamFlash

from slots import Slots

BLOCKS = 64
SIZES = {"boot": (4,), "learned": (200, 4600), "init": (20000,)}
ROUND = ("boot",) * 12 + ("learned", "init")


def parts(name, number):
    """What save `number` of a piece writes; None for 0. No two saves have the same bytes."""
    if number == 0:
        return None
    return [(number * 65537 + size).to_bytes(4, "little") * (size // 4) for size in SIZES[name]]


def held(name):
    """What the slots of a piece hold, in parts."""
    buffers = [bytearray(size) for size in SIZES[name]]
    return buffers if Slots("/f/" + name).read_into(*buffers) else None


def new_memory():
    memory = bytearray(b"\xff" * (BLOCKS * BLOCK_BYTES))
    vfs.VfsLfs2.mkfs(RamFlash(memory))
    return memory


def mount(memory, readonly=False):
    device = RamFlash(memory)
    vfs.mount(vfs.VfsLfs2(device), "/f", readonly=readonly)
    return device


def unmount():
    gc.collect()
    vfs.umount("/f")


def try_to_save(name, number):
    """The error that kept the piece from being saved, or None."""
    try:
        Slots("/f/" + name).write(*parts(name, number))
    except OSError as error:
        return error
    return None


def after_rounds(rounds):
    """(memory, the number of the last save of each piece) after that many rounds."""
    memory, saves = new_memory(), {"boot": 0, "learned": 0, "init": 0}
    mount(memory)
    for name in ROUND * rounds:
        saves[name] += 1
        try_to_save(name, saves[name])
    unmount()
    return memory, saves
