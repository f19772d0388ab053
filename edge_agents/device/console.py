"""A board's MicroPython prompt, through mpremote: run code, copy files, check them. Every error is an OSError, a sentence.

mpremote is used as a library, whose interface its authors have not settled; what is used of it stands in this file.
"""

import errno
import io
import re
import struct
from ast import literal_eval
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from .port import open_port

ANSWER_S = 5
PIECE_BYTES = 768  # of a file: a board needs some times as much of its heap for each
LINUX = ("linux", "darwin", "win32")  # a soft reset ends MicroPython there
FACTS = """
import sys, os
i = sys.implementation
s = os.statvfs(os.getcwd())
try:
    import tegu_native as n
    n = not hasattr(n, '__file__')
except Exception:
    n = False
print(repr((i[0], tuple(i[1][:3]), getattr(i, '_mpy', 0), sys.platform, getattr(i, '_machine', ''), s[1], s[3], n)))
"""
THERE = """
import hashlib
b = bytearray(512)
m = memoryview(b)
for p in %s:
    try:
        f = open(p, 'rb')
    except OSError:
        continue
    h = hashlib.sha256()
    while True:
        n = f.readinto(b)
        if not n:
            break
        h.update(m[:n])
    f.close()
    print(repr((p, h.digest())))
"""
MAKE_FOLDERS = """
import os
for p in %s:
    try:
        os.stat(p)
    except OSError:
        os.mkdir(p)
"""
RESET = "import time, machine; time.sleep_ms(100); machine.reset()"


class Facts:
    """What a board says of itself.

    mpy: sys.implementation._mpy. block_bytes, free_blocks: of its file system. has_native: our C is in its firmware.
    """

    def __init__(self, told: tuple[Any, ...]) -> None:
        self.name: str = told[0]
        self.version: tuple[int, ...] = told[1]
        self.mpy: int = told[2]
        self.platform: str = told[3]
        self.machine: str = told[4]
        self.block_bytes: int = told[5]
        self.free_blocks: int = told[6]
        self.has_native: bool = told[7]


class Console:
    """A context manager. Opening it interrupts what the board runs and, on a board, frees its memory by a soft reset."""

    def __init__(self, port: str, baud: int, answer_s: float = ANSWER_S) -> None:
        self.port = port
        self._transport = self._opened(baud, answer_s)
        try:
            with self._speaking(), redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
                self._transport.enter_raw_repl(soft_reset=False, timeout_overall=answer_s)
                if self._platform() not in LINUX:
                    self._transport.enter_raw_repl(soft_reset=True, timeout_overall=answer_s)
        except BaseException:
            self.close()
            raise

    def _opened(self, baud: int, answer_s: float) -> Any:
        try:
            return SerialTransport(self.port, baud, timeout=answer_s)
        except (TransportError, ValueError) as error:
            open_port(self.port, baud, answer_s).close()  # says why, which mpremote does not
            raise OSError(f"{self.port} did not open; try again") from error

    def _platform(self) -> str:
        try:
            platform: str = self._transport.eval("__import__('sys').platform")
        except TransportExecError:  # the program that was interrupted has left no memory to answer with
            return ""
        return platform

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the port go; the board stays as it is."""
        with suppress(OSError):
            self._transport.close()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turns what mpremote raises into an OSError that is a sentence."""
        try:
            yield
        except TransportExecError as error:
            said = error.error_output.strip().splitlines()[-1]
            if re.search(rf"OSError:.*\b({errno.ENOSPC}|ENOSPC)\b", said):
                raise OSError("the board's file system is full; erase what else is on it, and flash again") from error
            raise OSError(f"the board says: {said}") from error
        except (TransportError, struct.error, SyntaxError, ValueError) as error:
            raise OSError(
                f"no MicroPython answers at {self.port}; press the board's reset button and try again, or put "
                "MicroPython onto it first (docs/guides/boards.md)"
            ) from error
        except serial.SerialException as error:
            raise OSError(f"the board at {self.port} is gone: {error}") from error

    def facts(self) -> Facts:
        with self._speaking():
            return Facts(literal_eval(self._transport.exec(FACTS).decode()))

    def there(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Of these files those that are on the board, each with its SHA-256, worked out by the board."""
        with self._speaking():
            lines = self._transport.exec(THERE % repr(list(paths))).decode().splitlines()
            return dict(literal_eval(line) for line in lines)

    def write(self, path: str, data: bytes, progress: Callable[[int, int], None]) -> None:
        """Make the file anew. As base64: half as long on the line as what mpremote's own writing sends."""
        with self._speaking():
            self._transport.exec(f"from binascii import a2b_base64 as a\nf = open({path!r}, 'wb')")
            for at in range(0, len(data), PIECE_BYTES):
                piece = b64encode(data[at : at + PIECE_BYTES])
                self._transport.exec(f"f.write(a({piece!r}))")
                progress(min(at + PIECE_BYTES, len(data)), len(data))
            self._transport.exec("f.close()")

    def make_folders(self, paths: Iterable[str]) -> None:
        """Outer ones first; those that are there stay."""
        with self._speaking():
            self._transport.exec(MAKE_FOLDERS % repr(list(paths)))

    def remove(self, path: str) -> None:
        """A file that is there."""
        with self._speaking():
            self._transport.exec(f"import os\nos.remove({path!r})")

    def restart(self) -> None:
        """Reset the board, which then runs main.py; a soft reset where it has no other."""
        with self._speaking():
            if self._transport.eval("hasattr(__import__('machine'), 'reset')"):
                self._transport.exec_raw_no_follow(RESET)
            else:
                self._transport.exit_raw_repl()
                self._transport.serial.write(b"\x04")
