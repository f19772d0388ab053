# ruff: noqa: E402, PTH123, T201
"""Prints the heap in bytes that stays taken after the import of all a device needs, as JSON.

`micropython -O3 of_import.py FOLDER`, or `... IMAGE.romfs`: then the modules stay in the image, as in a board's flash.
What MicroPython itself brings is imported first and not counted.
"""

import gc
import sys

sys.path[:] = [sys.path[0]]
if sys.argv[1].endswith(".romfs"):
    import vfs

    with open(sys.argv[1], "rb") as file:
        image = file.read()
    vfs.mount(vfs.VfsRom(image), "/rom")
    sys.path[:] = ["/rom"]
else:
    sys.path[:] = [sys.argv[1]]

import array  # noqa: F401
import binascii  # noqa: F401
import hashlib  # noqa: F401
import json
import math  # noqa: F401
import struct  # noqa: F401


def taken():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def main():
    before = taken()
    import tegu.session  # noqa: F401

    return taken() - before


print(json.dumps({"import_bytes": main()}))
