"""200 KB through a heap that cannot hold them twice: `large.py FIRMWARE FOLDER`. Prints the least bytes that were free."""

import gc
import sys
from array import array

sys.path.insert(0, sys.argv[1])

from slots import Slots

FLOATS = 50000


def main():
    gc.collect()
    weights = array("f", range(FLOATS))
    slots = Slots(sys.argv[2] + "/init")
    slots.write(b"head", weights)
    weights[0] = weights[FLOATS - 1] = -1.0
    head = bytearray(4)
    assert slots.read_into(head, weights)
    assert head == b"head" and weights[0] == 0.0 and weights[1] == 1.0 and weights[FLOATS - 1] == FLOATS - 1
    copy(slots)
    assert slots.read_into(head, weights) and weights[0] == 0.0 and weights[FLOATS - 1] == FLOATS - 1
    assert head == b"next"
    gc.collect()
    print(gc.mem_free())


def copy(slots):
    """The next state is the one before with another head; that one is open while it is read."""
    source, left = slots.open()
    block = bytearray(4096)
    slots.begin()
    slots.put(b"next")
    source.seek(4)
    left -= 4
    while left:
        view = memoryview(block)[: min(left, len(block))]
        left -= source.readinto(view)
        slots.put(view)
    slots.commit()
    source.close()


main()
