"""One piece of a board's state in two files: a power cut at any moment leaves the state before the save, or the one after.

PATH.0 and PATH.1 are the slots; the newest whole one counts. A save goes into the other one, so what counts is never
written to. A slot is the body, then a seal of 24 bytes, little-endian, up to the end of the file:

| offset from the end of the body | bytes | |
|---|---|---|
| 0 | 4 | the letters Tegu |
| 4 | 4 | format number of the body |
| 8 | 4 | save number: one more than the state before it, modulo 2**32 |
| 12 | 4 | length of the body, bytes |
| 16 | 4 | CRC-32 of the body |
| 20 | 4 | CRC-32 of the 20 bytes before |

The seal is at the end because littlefs, like flash, only appends: what changes byte 0 of a file writes all of it again.
A slot that is cut short, torn, rotten or of another format is not whole. Of two equal save numbers PATH.0 counts.
"""

import os
from binascii import crc32
from errno import EIO, ENOENT
from struct import pack, unpack

MAGIC = b"Tegu"
SEAL_BYTES = 24

_REASONS = {28: "the file system is full", 30: "the file system is read-only"}  # MicroPython has no words for these two
_BLOCK = memoryview(bytearray(256))  # whatever is checked passes through here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from io import BufferedReader, BufferedWriter
    from typing import NoReturn

    Buffer = bytes | bytearray | memoryview | array[float]


class Slots:
    """The state at `path`. Two of the same path at a time, or two threads, are one too many.

    An OSError of begin(), put(), commit() or write() says that the state could not be saved: no space, read-only,
    broken. What counted before still counts (after one of commit(): it, or the new state, whole), and a new save may begin.
    """

    def __init__(self, path: str, format_number: int = 1) -> None:
        self._paths = (path + ".0", path + ".1")
        self._format = format_number
        self._file: "BufferedWriter | None" = None
        self._slot = self._number = self._length = self._crc = 0

    def open(self) -> "tuple[BufferedReader, int] | None":
        """(file at byte 0 of the newest body, its length in bytes), to be closed by the caller; None on a new board.

        OSError: one slot cannot be read and the other is not whole, so nobody knows whether there is a state. (While the
        other one is whole, that one counts.)
        """
        newest = self._newest()
        return None if newest is None else (open(self._paths[newest[0]], "rb"), newest[2])

    def read_into(self, *buffers: "bytearray | memoryview | array[float]") -> bool:
        """Fill the buffers one after the other, as write() was given them; False, and no byte of them, on a new board.

        ValueError: the body is longer or shorter than the buffers, which now hold anything. OSError: as open().
        """
        found = self.open()
        if found is None:
            return False
        file, left = found
        with file:
            for buffer in buffers:
                left -= file.readinto(buffer)
        if left:
            raise ValueError("the state in %s has %d bytes more than the buffers" % (self._paths[0][:-2], left))
        return True

    def write(self, *parts: "Buffer") -> None:
        """Save the parts as one body. None of them is copied."""
        self.begin()
        for part in parts:
            self.put(part)
        self.commit()

    def begin(self) -> None:
        """Begin a save whose body comes by put(); what open() gave stays readable. A save that was begun is abandoned."""
        self.abandon()
        newest = self._newest()
        self._slot = 1 - newest[0] if newest else 0
        self._number = newest[1] + 1 & 0xFFFFFFFF if newest else 1
        self._length = self._crc = 0
        try:
            self._file = open(self._paths[self._slot], "wb")
            _sync(self._file)  # else littlefs keeps the blocks of the slot's last state until the new one is whole
        except OSError as error:
            self._refuse(error)

    def put(self, buffer: "Buffer") -> None:
        """The next bytes of the body. ValueError: no save was begun."""
        try:
            self._length += self._begun().write(buffer)
        except OSError as error:
            self._refuse(error)
        self._crc = crc32(buffer, self._crc)

    def commit(self) -> None:
        """End the save: seal, sync, read back. Only when this returns is the new state safe. ValueError: as put()."""
        file = self._begun()
        seal = pack("<4sIIII", MAGIC, self._format, self._number, self._length, self._crc)
        try:
            file.write(seal + pack("<I", crc32(seal)))
            _sync(file)
            file.close()
            if self._check(self._slot) != (self._slot, self._number, self._length):
                raise OSError(EIO, "it reads back as something else")
        except OSError as error:
            self._refuse(error)
        self._file = None

    def abandon(self) -> None:
        """Drop a save that was begun, if there is one."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError:
            pass  # it holds nothing that counts

    def _begun(self) -> "BufferedWriter":
        if self._file is None:
            raise ValueError("no save was begun, or it failed; call begin() before put() and commit()")
        return self._file

    def _refuse(self, error: OSError) -> "NoReturn":
        self.abandon()
        reason = _REASONS.get(error.errno or 0, error)
        raise OSError(
            error.errno, "cannot save to %s: %s; what counted before still counts" % (self._paths[self._slot], reason)
        )

    def _newest(self) -> "tuple[int, int, int] | None":
        """As _check() has it."""
        newest, unread = None, None
        for slot in (0, 1):
            try:
                found = self._check(slot)
            except OSError as error:
                found, unread = None, unread if error.errno == ENOENT else error
            if found and (newest is None or 0 < (found[1] - newest[1] & 0xFFFFFFFF) < 1 << 31):
                newest = found
        if newest is None and unread is not None:
            raise OSError(unread.errno, "cannot read the state in %s (%s); restart" % (self._paths[0][:-2], unread))
        return newest

    def _check(self, slot: int) -> "tuple[int, int, int] | None":
        """(slot, save number, length of the body) if the slot is whole, else None; OSError if it cannot be read."""
        with open(self._paths[slot], "rb") as file:
            size = file.seek(0, 2) - SEAL_BYTES
            if size < 0:
                return None
            file.seek(size)
            seal = file.read(SEAL_BYTES)
            magic, format_number, number, length, crc, own_crc = unpack("<4sIIIII", seal)
            if (magic, format_number, length, own_crc) != (MAGIC, self._format, size, crc32(seal[:20])):
                return None
            file.seek(0)
            return (slot, number, length) if _checksum(file, length) == crc else None


def _checksum(file: "BufferedReader", left: int) -> int:
    """CRC-32 of the next `left` bytes; -1 if there are fewer."""
    crc = 0
    while left:
        block = _BLOCK[:left] if left < len(_BLOCK) else _BLOCK
        count = file.readinto(block)
        if count != len(block):
            return -1
        crc = crc32(block, crc)
        left -= count
    return crc


def _sync(file: "BufferedWriter") -> None:
    """From every cache to the flash, where the machine has a word for it."""
    file.flush()
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())
    elif hasattr(os, "sync"):
        os.sync()
