# ruff: noqa: B905
"""What saves cost of the flash and of the heap, as JSON: `saves.py FIRMWARE`."""

import gc
import json

from pieces import mount, new_memory

from slots import Slots

SAVES = 10000
SIZES = (4, 200, 4800, 9500, 20000)


def wear(device, size, saves):
    """Programs, bytes programmed and erases of one save of one piece, on average, and of the most erased block."""
    slots, body = Slots("/f/wear"), bytearray(size)
    before = (device.programs, device.programmed_bytes, device.erases)
    device.erased = [0] * len(device.erased)
    for _ in range(saves):
        slots.write(body)
    after = (device.programs, device.programmed_bytes, device.erases)
    return [(b - a) / saves for a, b in zip(before, after)] + [max(device.erased) / saves]


def heap(saves):
    """Bytes of heap in use after 100 saves, and after all; and the garbage of one save, which grows with nothing."""
    boot, learned = Slots("/f/boot"), Slots("/f/learned")
    small, large = bytearray(4), bytearray(4750)
    in_use = []
    for i in range(saves):
        if i % 20:
            boot.write(small)
        else:
            learned.write(large, large)
        if i in (100, saves - 1):
            gc.collect()
            in_use.append(gc.mem_alloc())
    gc.disable()
    garbage = []
    for slots, body in ((boot, small), (learned, large)):
        before = gc.mem_alloc()
        slots.write(body)
        garbage.append(gc.mem_alloc() - before)
    gc.enable()
    return in_use + garbage


def main():
    device = mount(new_memory())
    costs = {size: wear(device, size, 500) for size in SIZES}
    print(json.dumps({"wear": costs, "heap": heap(SAVES)}))


main()
