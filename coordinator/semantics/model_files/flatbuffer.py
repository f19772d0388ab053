"""The tables of a FlatBuffer that is not believed: their fields by number, with limits on lengths and on the work in all.

`flatbuffers` raises struct.error or TypeError when an offset points outside of the file; whoever reads must catch them. It has
no limits, though: a small file may say the same table a million times.
"""

from typing import Any

from flatbuffers import number_types as kinds
from flatbuffers.table import Table


def root(content: bytes, most_reads: int) -> "Fields":
    """The root table. most_reads: numbers that may be read of the file in all, before ValueError."""
    return Fields(content, Table(content, 0).Indirect(0), [most_reads])


class Fields:
    """A table of the file. Its fields are numbered as the schema has them; what is absent is 0 or empty."""

    def __init__(self, content: bytes, at: int, left: list[int]) -> None:
        self.table = Table(content, at)
        self.left = left  # reads, shared by all tables of the file

    def _at(self, field: int) -> int:
        self._pay(1)
        offset: int = self.table.Offset(4 + 2 * field)
        return self.table.Pos + offset if offset else 0

    def _pay(self, reads: int) -> None:
        self.left[0] -= reads
        if self.left[0] < 0:
            raise ValueError("it is too intricate")

    def number(self, field: int, kind: Any = kinds.Int32Flags) -> int:
        at = self._at(field)
        return int(self.table.Get(kind, at)) if at else 0

    def table_at(self, field: int) -> "Fields | None":
        at = self._at(field)
        return Fields(self.table.Bytes, self.table.Indirect(at), self.left) if at else None

    def length(self, field: int) -> int:
        """Of a vector."""
        return self._vector(field)[1]

    def _vector(self, field: int) -> tuple[int, int]:
        """(where its first entry is, entries)"""
        at = self._at(field)
        if not at:
            return 0, 0
        start = self.table.Indirect(at)
        return start + 4, int(self.table.Get(kinds.UOffsetTFlags, start))

    def numbers(self, field: int, most: int, what: str = "numbers") -> list[int]:
        at, count = self._limited(field, most, what)
        return [int(self.table.Get(kinds.Int32Flags, at + 4 * i)) for i in range(count)]

    def tables(self, field: int, most: int, what: str = "tables") -> "list[Fields]":
        at, count = self._limited(field, most, what)
        return [Fields(self.table.Bytes, self.table.Indirect(at + 4 * i), self.left) for i in range(count)]

    def _limited(self, field: int, most: int, what: str) -> tuple[int, int]:
        at, count = self._vector(field)
        if count > most:
            raise ValueError(f"it has {count} {what}; {most} are the most that can be read")
        self._pay(count)
        return at, count
