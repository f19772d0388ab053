"""Points that wait on disk while their database is away: a SQLite file of batches in the order in which they came.

Each row is a batch of lines, compressed. A commit is on the disk when append() returns (synchronous=FULL), so what was
appended outlives SIGKILL and a power cut. The file is bounded: beyond that the oldest batches go, and are counted.
SQLite's log beside it takes about a megabyte more.
"""

import json
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from .files import open_file

APPLICATION_ID = 0x54656773  # "Tegs"
FORM = 1
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY, points INTEGER NOT NULL, lines BLOB NOT NULL) STRICT"
)
LOG_PAGES = 250  # of 4 KiB, after which SQLite's log is written into the file
SHRINK_PAGES = 1_000  # free ones, more than which an empty file does not keep

log = logging.getLogger("tegu.coordinator")


class Batch(NamedTuple):
    """Lines, separated by line feeds. last_id: of the newest row in it; 0: it is not from the spool."""

    points: int
    lines: bytes
    last_id: int = 0


class Spool:
    """points, bytes: that wait now. lost: points that had to make room, or were damaged, since the start.

    Its methods raise OSError, and change nothing then, when the disk is full or broken.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path, self.most_bytes = path, most_bytes
        self.lost = self.points = self.bytes = 0
        self._db = open_file(path, APPLICATION_ID, FORM, "spool", exclusive=True)
        try:
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            self._db.execute(SCHEMA)
            (self.points,) = self._db.execute("SELECT coalesce(sum(points), 0) FROM batch").fetchone()
            self.bytes = self._used() if self.points else 0
        except sqlite3.OperationalError as error:
            self._db.close()
            raise OSError(f"cannot use the spool {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"the spool {path} is damaged ({error}); remove it or name another file") from error

    def close(self) -> None:
        self._db.close()

    def append(self, batch: Batch) -> None:
        """Keep the batch behind all others, durably. The oldest ones go if that makes it too large."""
        lost = 0
        with self._transaction():
            packed = zlib.compress(batch.lines, 1)
            self._db.execute("INSERT INTO batch (points, lines) VALUES (?, ?)", (batch.points, packed))
            while (used := self._used()) > self.most_bytes:
                oldest = "DELETE FROM batch WHERE id = (SELECT min(id) FROM batch) RETURNING points"
                gone = self._db.execute(oldest).fetchall()
                if not gone:
                    break
                lost += gone[0][0]
        self.lost += lost
        self.points += batch.points - lost
        self.bytes = used if self.points else 0

    def oldest(self, most_points: int) -> Batch | None:
        """The oldest batch, with those after it that do not make it larger than most_points; None if nothing waits."""
        points, last_id = 0, 0
        parts: list[bytes] = []
        damaged: list[int] = []
        with self._errors(), closing(self._db.execute("SELECT id, points, lines FROM batch ORDER BY id")) as rows:
            for row_id, row_points, packed in rows:
                if parts and points + row_points > most_points:
                    break
                try:
                    parts.append(zlib.decompress(packed))
                except zlib.error:
                    damaged.append(row_id)
                    continue
                points, last_id = points + row_points, row_id
        if damaged:
            gone = self._delete("id IN (SELECT value FROM json_each(?))", json.dumps(damaged))
            self.lost += gone
            log.error("%d points in %s are damaged and lost", gone, self.path)
        return Batch(points, b"\n".join(parts), last_id) if parts else None

    def remove(self, batch: Batch) -> None:
        """Forget a batch that oldest() returned."""
        self._delete("id <= ?", batch.last_id)
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        if not self.points and free > SHRINK_PAGES:
            with self._errors():
                self._db.execute("VACUUM")

    def _delete(self, which: str, value: int | str) -> int:
        """The number of points deleted."""
        with self._transaction():
            gone = self._db.execute(f"DELETE FROM batch WHERE {which} RETURNING points", (value,)).fetchall()
            used = self._used()
        points = sum(int(row[0]) for row in gone)
        self.points -= points
        self.bytes = used if self.points else 0
        return points

    def _used(self) -> int:
        """Bytes of the file that hold something."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"cannot use the spool {self.path}: {error}") from error
