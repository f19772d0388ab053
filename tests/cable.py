"""A USB cable for boards that are processes: a serial port of this machine whose other end is a board's console."""

import os
import pty
import select
import subprocess
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import find_micropython

# A board of MicroPython's unix port: its flash root is a littlefs in RAM, of BLOCKS times 512 bytes.
UNIX_BOARD = """
import os, sys, vfs
class Ram:
    def __init__(self, size):
        self.data = bytearray(size)
    def readblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        self.data[at : at + len(buffer)] = buffer
    def ioctl(self, wanted, _):
        return {4: len(self.data) // 512, 5: 512}.get(wanted, 0)
ram = Ram(BLOCKS * 512)
vfs.VfsLfs2.mkfs(ram)
vfs.mount(vfs.VfsLfs2(ram), "/flash")
os.chdir("/flash")
sys.path[:] = ["", "/flash/lib"]
"""


class Cable:
    """A context manager. console: a file descriptor of the board's console; port: a path that names the serial port.

    spoiled: what is changed on the way to the board, as (good, bad) of the same length.
    """

    def __init__(self, console: int, port: Path) -> None:
        self.console = console
        self.port = port
        self.spoiled: tuple[bytes, bytes] | None = None
        self._ends = (-1, -1)
        self._stop, self._stopped = os.pipe()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._carry, name="cable")

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._stopped)
        self._thread.join()
        self.unplug()
        os.close(self._stop)

    def plug(self) -> None:
        """The port is there: another one under the same name."""
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        with self._lock:
            self._ends = (ours, theirs)
        self.port.symlink_to(os.ttyname(theirs))

    def unplug(self) -> None:
        """The port goes away; who has it open reads an error."""
        self.port.unlink(missing_ok=True)
        with self._lock:
            for end in self._ends:
                if end >= 0:
                    os.close(end)
            self._ends = (-1, -1)

    def _carry(self) -> None:
        while True:
            ours = self._ends[0]
            watched = [self._stop, self.console, *([ours] if ours >= 0 else [])]
            ready = select.select(watched, [], [], 0.01)[0]  # a port that was plugged in meanwhile is seen then
            if self._stop in ready:
                return
            with self._lock:
                if ours != self._ends[0]:
                    continue
                if ours in ready:
                    self._write(self.console, self._changed(os.read(ours, 4096)))
                if self.console in ready:
                    try:
                        said = os.read(self.console, 4096)
                    except OSError:  # the board has ended
                        return
                    if not said:
                        return
                    if ours >= 0:
                        self._write(ours, said)

    def _changed(self, data: bytes) -> bytes:
        return data.replace(*self.spoiled) if self.spoiled else data

    @staticmethod
    def _write(end: int, data: bytes) -> None:
        while data:
            data = data[os.write(end, data) :]


class UnixBoard:
    """MicroPython's unix port at a cable. A context manager; `cable` is plugged in at `port`."""

    def __init__(self, folder: Path, blocks: int = 2048) -> None:
        script = folder / "board.py"
        script.write_text(UNIX_BOARD.replace("BLOCKS", str(blocks)))
        self.console, theirs = pty.openpty()
        tty.setraw(theirs)
        command = [str(find_micropython()), "-X", "heapsize=8M", "-i", str(script)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.cable = Cable(self.console, folder / "ttyBoard")

    @property
    def port(self) -> str:
        return str(self.cable.port)

    def __enter__(self) -> Self:
        self.cable.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cable.__exit__(kind, error, at)
        self.process.kill()
        self.process.wait()
        os.close(self.console)
