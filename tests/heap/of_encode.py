# ruff: noqa: T201
"""Prints what encode_update needs of the heap beyond its output, as JSON: `micropython of_encode.py LIBRARY`.

Measure 1, by living in it. The heap is filled up block by block until nothing can be allocated; then one hole is
opened and encode_update runs, the collector on. Whatever it needs at once must fit into the hole, garbage included
if it cannot be collected in time, so nothing can be overlooked; the controls show that the heap neither grows nor has
room elsewhere. `least_free_bytes` is the smallest hole with which it, and every larger one tried, succeeds with the
right bytes. Fragmentation counts against the encoder.

Measure 2, by looking. With room to spare, all functions that the encoder calls first collect, then note what is alive.
It counts frames that MicroPython would put on the C stack when the heap is full, which measure 1 would miss.
"""

import gc
import json
import sys
from array import array

sys.path.insert(0, sys.path[0] + "/../shared")
sys.path.insert(0, sys.argv[1])

from given import Numbers, delta

from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire import bits, update

MODEL = Model("1 | dense 32 tanh | dense 32 tanh | dense 1 linear")
VALUES = delta(Numbers(1), MODEL.shared_size)
INDICES = top_p(VALUES, 10.0)
BLOCK = 32 if sys.maxsize > 1 << 32 else 16


def encode():
    return update.encode_update(MODEL, VALUES, INDICES, 2, 1, 2, 3, 32)


EXPECTED = bytes(encode())


def blocks(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK


OUTPUT_BYTES = BLOCK + blocks(len(EXPECTED))  # a bytearray and its bytes


def fill():
    """Takes every block that is left: a chain of tuples of one block each."""
    chain = ()
    try:
        while True:
            chain = (chain,)
    except MemoryError:
        return chain


def fits(size):
    try:
        bytearray(size)
    except MemoryError:
        return False
    return True


def attempt(hole_bytes, result):
    """result: [all that is free, encoded?, does a block less than the hole fit?, does a little more than it fit?]."""
    hole = bytearray(hole_bytes)
    chain = fill()
    del hole
    gc.collect()
    result[0] = gc.mem_free()
    try:
        payload = encode()
        result[1] = payload == EXPECTED
    except MemoryError:
        result[1] = False
    payload = None
    gc.collect()
    result[2] = fits(hole_bytes - BLOCK)
    gc.collect()
    result[3] = fits(hole_bytes + 4 * BLOCK)
    del chain


def least_free():
    """(bytes free in all of the smallest hole from which on it works, whether both controls held in all of those)."""
    least, controls = 0, True
    for hole in range(OUTPUT_BYTES, OUTPUT_BYTES + 4096, BLOCK):
        result = [0, False, False, False]
        attempt(hole, result)
        if not result[1]:
            least, controls = 0, True
            continue
        least = least or result[0]
        controls = controls and result[2] and not result[3] and result[0] <= hole + 4 * BLOCK
    return least, controls


def most_alive():
    peak = array("I", [0])

    def watch(owner, name):
        function = getattr(owner, name)

        def watched(*arguments):
            gc.collect()
            alive = gc.mem_alloc()
            if alive > peak[0]:
                peak[0] = alive
            return function(*arguments)

        setattr(owner, name, watched)

    # Whatever the encoder's modules define or import and can call; classes by their methods.
    for owner in (update, bits):
        for name in dir(owner):
            thing = getattr(owner, name)
            if isinstance(thing, type):
                if thing.__name__ in ("Bits", "Rice", "_Plan"):
                    for method in dir(thing):
                        if not method.startswith("__") and callable(getattr(thing, method)):
                            watch(thing, method)
            elif callable(thing) and name not in ("array", "encode_update", "decode_update"):
                watch(owner, name)
    gc.collect()
    before = gc.mem_alloc()
    payload = encode()
    alive = peak[0] - before
    return alive if payload == EXPECTED else 0


def main():
    least, controls = least_free()
    print(
        json.dumps(
            {
                "block_bytes": BLOCK,
                "entries": len(INDICES),
                "output_bytes": OUTPUT_BYTES,
                "least_free_bytes": least,
                "controls_held": controls,
                "beyond_output_bytes": least - OUTPUT_BYTES,
                "alive_beyond_output_bytes": most_alive() - OUTPUT_BYTES,
            }
        )
    )


main()
