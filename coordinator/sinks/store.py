"""The embedded store: one SQLite file, a table a measurement, which `tegu watch` and anyone else may read.

    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.execute("SELECT time_ns, joules FROM energy WHERE device = ? ORDER BY time_ns", ("room-1",))

A table has the columns time_ns, the tags and the fields of its measurement in metrics.py; a field that a point does not
have is null. A file of an older version of Tegu gets the columns that are new. One transaction a second, or for each
full batch; WAL with synchronous=NORMAL, so SIGKILL harms nothing and a power cut may cost the last transactions.
Readers never wait. What is too old goes, and the oldest while the file is too large (forgetting.py). While its disk is
almost full nothing is written: the checkpoint needs the room more. A file that is deleted or replaced is made anew.
"""

import logging
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..metrics import MEASUREMENTS, Measurement, Point
from .files import open_file
from .forgetting import Forgetting
from .pending import INTERVAL_S, Pending

APPLICATION_ID = 0x54656774  # "Tegt"
FORM = 1
TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}
LEAST_FREE_MB = 64  # on the disk, which the checkpoint may be on
MEGABYTE = 1_000_000
# What a point raises that is not as metrics.py has it. (A UnicodeError is a ValueError.)
BAD_POINT = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

log = logging.getLogger("tegu.coordinator")


class Store:
    """A sink (see Output). ValueError: the file is something else or has another type somewhere; OSError: no file."""

    def __init__(self, path: Path, keep_days: float, most_mb: float = 1000.0) -> None:
        self._path, self._keep_days, self._most_mb = path, keep_days, most_mb
        self._open()
        self._insert = {name: _insertion(told) for name, told in MEASUREMENTS.items()}
        self._pending = Pending()
        self._written = self._rejected = 0
        self._trouble = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def put(self, points: Sequence[Point]) -> None:
        self._pending.put(points)

    def numbers(self) -> dict[str, float]:
        return {
            "waiting_points": self._pending.waiting,
            "spool_points": 0,
            "spool_bytes": 0,
            "spool_percent": 0.0,
            "written_points": self._written,
            "lost_points": self._pending.lost,
            "rejected_points": self._rejected,
            "failing": int(bool(self._trouble)),
        }

    def close(self, deadline_s: float) -> None:
        """Write the rest; what is not written after deadline_s is lost."""
        self._closing.set()
        self._pending.close()
        self._thread.join(deadline_s)
        left = self._pending.waiting
        if left:
            log.error("%d points for %s are lost: no time to write them", left, self._path)

    def _run(self) -> None:
        points: list[Point] = []
        while not self._closing.is_set():
            self._pending.wait()
            points = self._write_all(points)
            self._forget()
        self._write_all(points)
        self._db.close()

    def _write_all(self, points: list[Point]) -> list[Point]:
        """Write these points and what is pending; return those that could not be."""
        while points := points or self._pending.take():
            try:
                self._check_file()
                self._check_disk()
                self._write(points)
            except (sqlite3.Error, OSError, ValueError) as error:
                self._tell(str(error))
                self._closing.wait(INTERVAL_S)
                return points
            self._tell("")
            self._pending.settled()
            points = []
            self._forget()
        return []

    def _forget(self) -> None:
        if self._files and not self._closing.is_set():
            try:
                self._forgetting.look()
            except sqlite3.Error as error:
                self._tell(str(error))

    def _open(self) -> None:
        """ValueError and OSError as of the class; nothing stays open then."""
        db = open_file(self._path, APPLICATION_ID, FORM, "store", exclusive=False)
        try:
            db.execute("PRAGMA synchronous=NORMAL")
            for told in MEASUREMENTS.values():
                _prepare(db, told, self._path)
            self._forgetting = Forgetting(db, self._path, self._keep_days, self._most_mb)
            self._files = _files(self._path)
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.Error):
                raise OSError(f"cannot use the store {self._path}: {error}") from error
            raise
        self._db = db

    def _check_file(self) -> None:
        """Open the file anew if it was deleted or another took its place. ValueError, OSError: as _open."""
        found, ours = _files(self._path), self._files
        if ours and found.get(self._path) == ours.get(self._path):
            return
        if ours:
            log.error("the store %s was deleted or replaced while it was written: it is opened anew", self._path)
            self._files = {}
            self._db.close()
            # the log of the file that is gone would be taken for that of its successor
            for name in found.keys() - {self._path}:
                if found[name] == ours.get(name):
                    name.unlink(missing_ok=True)
        self._open()

    def _check_disk(self) -> None:
        """OSError if too little is free. What is free in the file is no help: a transaction is first written to the log."""
        if shutil.disk_usage(self._path.parent).free < LEAST_FREE_MB * MEGABYTE:
            raise OSError(f"less than {LEAST_FREE_MB} MB are free on its disk, which the checkpoint may need")

    def _write(self, points: list[Point]) -> None:
        """In one transaction, without those that are not as metrics.py has them. sqlite3.Error: none is written."""
        try:
            self._insert_all(points)
            rejected = 0
        except BAD_POINT:
            fitting = [point for point in points if self._fits(point)]
            rejected = len(points) - len(fitting)
            self._insert_all(fitting)
        self._written += len(points) - rejected
        self._rejected += rejected

    def _insert_all(self, points: list[Point]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for name, tags, fields, time_ns in points:
            rows[name].append((time_ns, *tags, *map(fields.get, MEASUREMENTS[name].fields)))
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for name, values in rows.items():
                self._db.executemany(self._insert[name], values)
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _fits(self, point: Point) -> bool:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            values = (point.time_ns, *point.tags, *map(point.fields.get, MEASUREMENTS[point.measurement].fields))
            self._db.execute(self._insert[point.measurement], values)
        except BAD_POINT:
            return False
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        return True

    def _tell(self, trouble: str) -> None:
        """Log when writing fails for another reason than before, and when it is over. trouble: empty: none."""
        if trouble and trouble != self._trouble:
            log.error("cannot write to the store %s: %s; points wait in memory", self._path, trouble)
        elif self._trouble and not trouble:
            log.warning("the store %s takes points again", self._path)
        self._trouble = trouble


def _files(path: Path) -> dict[Path, tuple[int, int]]:
    """Which files these are, as long as they are open: of the store and of what SQLite keeps beside it."""
    found = {}
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(OSError):
            told = name.stat()
            found[name] = (told.st_dev, told.st_ino)
    return found


def _columns(told: Measurement) -> dict[str, str]:
    """Name -> type."""
    return (
        {"time_ns": "INTEGER"}
        | dict.fromkeys(told.tags, "TEXT")
        | {name: TYPES[field.kind] for name, field in told.fields.items()}
    )


def _insertion(told: Measurement) -> str:
    columns = _columns(told)
    names = ", ".join(f'"{name}"' for name in columns)
    return f'INSERT INTO "{told.name}" ({names}) VALUES ({", ".join("?" * len(columns))})'


def _prepare(db: sqlite3.Connection, told: Measurement, path: Path) -> None:
    """Make the table and its indexes, or add what an older version did not have."""
    columns = _columns(told)
    words = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    db.execute(f'CREATE TABLE IF NOT EXISTS "{told.name}" ({words}) STRICT')
    found = {row[1]: row[2] for row in db.execute(f'PRAGMA table_info("{told.name}")')}
    for name, kind in columns.items():
        if name not in found:
            db.execute(f'ALTER TABLE "{told.name}" ADD COLUMN "{name}" {kind}')
        elif found[name] != kind:
            raise ValueError(
                f"{path} has {told.name}.{name} as {found[name]}, this version of Tegu as {kind}; name another store"
            )
    for index in (("time_ns",), ("device", "time_ns"))[: 1 + ("device" in told.tags)]:
        db.execute(f'CREATE INDEX IF NOT EXISTS "{told.name}_{index[0]}" ON "{told.name}" ({", ".join(index)})')
