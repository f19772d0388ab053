"""What a board runs when it starts: takes part in its model for ever. Its settings are in settings.json beside this file.

On MicroPython's unix port: micropython -X heapsize=192k main.py FOLDER, which has settings.json and takes the board's state.
"""

import gc
import sys

from device import Device

GC_BYTES = 1024  # of garbage: what lives then lies close together, and a large model finds its place


def main(folder: str) -> None:
    """Step for ever; Ctrl-C says good-bye. What is wrong with the settings is said once, and the prompt comes back."""
    gc.threshold(GC_BYTES)
    try:
        device = Device(folder)
    except ValueError as error:
        print("tegu:", error)
        return
    print(
        "tegu: device", device.session.device, "boot", device.session.boot, "free heap", device.session.free_heap_bytes
    )
    try:
        while True:
            device.step()
    except KeyboardInterrupt:
        device.leave()
    except Exception as error:  # no heap, no flash: what counts is in flash, so begin anew
        sys.print_exception(error)
        device.board.restart()


main(sys.argv[1].rstrip("/") + "/" if len(sys.argv) > 1 else "")
