"""What a board runs when it starts: takes part in its model for ever. Its settings are in settings.json beside this file.

On MicroPython's unix port: micropython -X heapsize=256k main.py FOLDER, which has settings.json and takes the board's state.
"""

import gc
import sys

from board import Board
from device import Device

GC_BYTES = 1024  # of garbage: what lives then lies close together, and a large model finds its place


def has_native() -> bool:
    """Whether this board has the C of tegu.native."""
    try:
        import tegu.native
    except ImportError:
        return False
    return bool(tegu.native)


def begin(folder: str) -> "Device | None":
    """The device; None, and said once why, if its settings are wrong."""
    try:
        device = Device(folder)
    except ValueError as error:
        print("tegu:", error)
        return None
    told = device.session
    print("tegu: device", told.device, "boot", told.boot, "free heap", told.free_heap_bytes)
    return device


def main(folder: str) -> None:
    """Step for ever. Ctrl-C says good-bye; after any error the board begins anew."""
    if has_native():  # without the C each step makes garbage: to collect it so often would take all the time
        gc.threshold(GC_BYTES)
    device = None
    try:
        device = begin(folder)
        while device is not None:
            device.step()
    except KeyboardInterrupt:
        if device is not None:
            device.leave()
    except Exception as error:  # no heap, no flash: what counts is in flash
        sys.print_exception(error)
        Board.restart()


main(sys.argv[1].rstrip("/") + "/" if len(sys.argv) > 1 else "")
