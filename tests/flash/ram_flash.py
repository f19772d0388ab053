# ruff: noqa: B905
"""NOR flash in RAM for MicroPython's VfsLfs2: counts what wears it, and loses its power at a given operation.

Programming only clears bits, and erasing sets all of a block, as in the real thing. Programs and erases are the
operations. Of the one at which the power goes NOTHING is done, or HALF of its bytes, or all of it with one bit wrong
(FLIPPED), or all of it (WHOLE). From then on everything fails; what is left is in `memory`. A failure is a negative
errno to littlefs, as from a board's own driver, and an OSError to who uses the file.
"""

import errno

BLOCK_BYTES = 4096
TEARS = ("nothing", "half", "flipped", "whole")
NOTHING, HALF, FLIPPED, WHOLE = range(4)


class RamFlash:
    def __init__(self, memory):
        self.memory = memory
        self.dead = False
        self.cut_at = 0  # number of the operation, from 1; 0 is never
        self.tear = WHOLE
        self.bit = 0  # which one FLIPPED flips, counted from the first of the operation and around
        self.operations = self.programs = self.programmed_bytes = self.erases = 0
        self.erased = [0] * (len(memory) // BLOCK_BYTES)  # how often each block was

    def cut(self, at, tear, bit):
        self.cut_at, self.tear, self.bit = at, tear, bit

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_BYTES + offset
        if not self.dead:
            buffer[:] = memoryview(self.memory)[start : start + len(buffer)]
        return self._result()

    def writeblocks(self, block, buffer, offset):
        start = block * BLOCK_BYTES + offset
        self.programs += 1
        self.programmed_bytes += len(buffer)
        before = self.memory[start : start + len(buffer)]
        if before == b"\xff" * len(buffer):
            return self._change(start, buffer)
        return self._change(start, bytes(old & new for old, new in zip(before, buffer)))

    def ioctl(self, request, argument):
        if request == 4:
            return len(self.memory) // BLOCK_BYTES
        if request == 5:
            return BLOCK_BYTES
        if request == 6:
            self.erases += 1
            self.erased[argument] += 1
            return self._change(argument * BLOCK_BYTES, b"\xff" * BLOCK_BYTES)
        return self._result()

    def _result(self):
        return -errno.EIO if self.dead else 0

    def _change(self, start, after):
        if self.dead:
            return self._result()
        self.operations += 1
        self.dead = self.operations == self.cut_at
        count = len(after)
        if self.dead and self.tear < FLIPPED:
            count = count // 2 if self.tear == HALF else 0
        self.memory[start : start + count] = memoryview(after)[:count]
        if self.dead and self.tear == FLIPPED:
            self.memory[start + self.bit // 8 % count] ^= 1 << self.bit % 8
        return self._result()
