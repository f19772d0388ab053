"""The embedded store: one SQLite file, a table a measurement, which `tegu watch` and anyone else may read.

    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.execute("SELECT time_ns, joules FROM energy WHERE device = ? ORDER BY time_ns", ("room-1",))

A table has the columns time_ns, the tags and the fields of its measurement in metrics.py; a field that a point does not
have is null. A file of an older version of Tegu gets the columns that are new. One transaction a second, or for each
full batch; WAL with synchronous=NORMAL, so SIGKILL harms nothing and a power cut may cost the last transactions.
Readers never wait. Rows older than keep_days go little by little, and their space is used again.
"""

import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..metrics import MEASUREMENTS, Measurement, Point
from .files import open_file
from .pending import INTERVAL_S, Pending

APPLICATION_ID = 0x54656774  # "Tegt"
FORM = 1
TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}
SLICE = 2_000  # rows deleted at once
FORGET_S = 0.1  # spent on deleting between two batches
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
DAY_NS = 24 * 3600 * 1_000_000_000

log = logging.getLogger("tegu.coordinator")


class Store:
    """A sink (see Output). ValueError: the file is something else or has another type somewhere; OSError: no file."""

    def __init__(self, path: Path, keep_days: float) -> None:
        self._path, self._keep_ns = path, int(keep_days * DAY_NS)
        self._db = open_file(path, APPLICATION_ID, FORM, "store", exclusive=False)
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            for told in MEASUREMENTS.values():
                _prepare(self._db, told, path)
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise OSError(f"cannot use the store {path}: {error}") from error
            raise
        self._insert = {name: _insertion(told) for name, told in MEASUREMENTS.items()}
        self._pending = Pending()
        self._written = self._rejected = 0
        self._trouble = ""
        self._closing = threading.Event()
        self._turn = list(MEASUREMENTS)  # of deleting; the first is next
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
            self._forget(time.time_ns() - self._keep_ns, time.monotonic() + FORGET_S)
        self._write_all(points)
        self._db.close()

    def _write_all(self, points: list[Point]) -> list[Point]:
        """Write these points and what is pending; return those that could not be."""
        while points := points or self._pending.take():
            try:
                self._write(points)
            except sqlite3.Error as error:
                self._tell(str(error))
                self._closing.wait(INTERVAL_S)
                return points
            self._tell("")
            self._pending.settled()
            points = []
        return []

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

    def _forget(self, before_ns: int, until: float) -> None:
        """Delete rows older than that, of one measurement after the other, as long as there is time."""
        try:
            for _ in MEASUREMENTS:
                old = f'SELECT rowid FROM "{self._turn[0]}" WHERE time_ns < ? ORDER BY time_ns LIMIT {SLICE}'
                while (
                    self._db.execute(f'DELETE FROM "{self._turn[0]}" WHERE rowid IN ({old})', (before_ns,)).rowcount
                    == SLICE
                ):
                    if time.monotonic() > until:
                        return
                self._turn.append(self._turn.pop(0))
        except sqlite3.Error as error:
            self._tell(str(error))

    def _tell(self, trouble: str) -> None:
        """Log when writing fails for another reason than before, and when it is over. trouble: empty: none."""
        if trouble and trouble != self._trouble:
            log.error("cannot write to the store %s: %s; points wait in memory", self._path, trouble)
        elif self._trouble and not trouble:
            log.warning("the store %s takes points again", self._path)
        self._trouble = trouble


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
