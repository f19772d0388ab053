"""What littlefs does not promise to survive, and what the slots make of it, as JSON: `faults.py FIRMWARE SEED`.

`rot`: one bit of the flash is wrong, anywhere. littlefs checks its own records and not what is in files. `stumble`:
one operation fails, by a code or by an exception, and the device goes on working, mounted as it is.
"""

import errno
import json
import random
import sys

import vfs
from pieces import after_rounds, held, mount, parts, try_to_save, unmount
from ram_flash import BLOCK_BYTES, RamFlash

FLIPS = 600


class Stumbling(RamFlash):
    """Fails at one operation, which does nothing, and not at the others."""

    at, throws = 0, False

    def _change(self, start, after):
        if self.operations + 1 != self.at:
            return RamFlash._change(self, start, after)
        self.operations += 1
        if self.throws:
            raise OSError(errno.EIO)
        return -errno.EIO


def age(name, saves):
    """How many saves back what is there is: "0", "1", "older", "none", "wrong" or "error"."""
    try:
        got = held(name)
    except OSError:
        return "error"
    if got is None:
        return "none"
    for number in range(saves[name], 0, -1):
        if got == parts(name, number):
            return str(saves[name] - number) if saves[name] - number < 2 else "older"
    return "wrong"


def rot(memory, saves, blocks):
    """How often each piece was how old, one bit of these blocks being wrong."""
    ages, work = {}, bytearray(len(memory))
    for _ in range(FLIPS):
        work[:] = memory
        work[random.choice(blocks) * BLOCK_BYTES + random.randrange(BLOCK_BYTES)] ^= 1 << random.randrange(8)
        try:
            mount(work)
        except OSError:
            ages["unmounted"] = ages.get("unmounted", 0) + 1
            continue
        for name in saves:
            key = name + " " + age(name, saves)
            ages[key] = ages.get(key, 0) + 1
        unmount()
    return ages


def stumble(memory, saves, throws):
    """What came of each operation that failed."""
    results, work = {}, bytearray(len(memory))
    for name in saves:
        at = 0
        while True:
            at += 1
            work[:] = memory
            device = Stumbling(work)
            device.at, device.throws = at, throws
            vfs.mount(vfs.VfsLfs2(device), "/f")
            if try_to_save(name, saves[name] + 1) is None:
                unmount()
                break  # it has fewer operations than that
            now = age(name, {name: saves[name] + 1})
            works = try_to_save(name, 999) is None and held(name) == parts(name, 999)
            unmount()
            key = {"0": "new", "1": "old"}.get(now, now) + (", goes on" if works else ", stuck")
            results[key] = results.get(key, 0) + 1
    return results


def main():
    random.seed(int(sys.argv[2]))
    memory, saves = after_rounds(3)
    used = [
        i for i in range(2, len(memory) // BLOCK_BYTES) if set(memory[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES]) != {255}
    ]
    print(
        json.dumps(
            {
                "rot_in_files": rot(memory, saves, used),
                "rot_in_records": rot(memory, saves, [0, 1]),
                "stumble_code": stumble(memory, saves, False),
                "stumble_exception": stumble(memory, saves, True),
            }
        )
    )


main()
