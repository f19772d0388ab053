"""The embedded store as its readers see it: opened for one reading at a time, never written, whatever its age.

A store may be written while it is read, may be of an earlier release that lacks tables or columns, and may be replaced or
taken away between two readings. So each reading opens the file anew (2 ms) and lays a temporary view over every table of
coordinator.metrics: a column that is not there reads as null, a table that is not there as empty, and what was written by
a clock that was ahead is not there until its time comes: else it would stand for the newest, and hide what happens now.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

from coordinator.metrics import MEASUREMENTS

NS = 10**9
LOCKED_S = 1.0  # how long a reading waits for a writer
AHEAD_NS = 60 * NS  # how far a point may be ahead of the reader's clock
LATE_INTERVALS = 3.0  # of the coordinator's own points, without one, and it is no longer there
LATE_S = 10.0  # at least
FIRST_LATE_S = 180.0  # while it has written only one such point
# Beside a store that nobody writes, a reader without the right to make files cannot make those that it would share with a writer.
NOT_ALLOWED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
OF_MODEL = ("fleet", "round", "status")  # where the model of today is looked for, in this order
WITH_TIMES = (
    "fleet",
    "coordinator",
    "round",
    "device",
    "status",
)  # by whose points a store's beginning and end are known
Sums = tuple[float, ...]


class StoreError(Exception):
    """The store cannot be read; the text is a sentence for whoever called, without its full stop."""


@dataclass(frozen=True)
class Reading:
    """One look at a store. Times are nanoseconds since 1970; a store with no points has first_ns = newest_ns = 0."""

    db: sqlite3.Connection
    now_ns: int
    model: str  # the newest one; empty: none yet
    site: str
    first_ns: int
    newest_ns: int
    every_s: float  # between two points of the coordinator; 0: not known yet
    closed: dict[tuple[object, ...], Sums] = field(
        default_factory=dict
    )  # sums over times that are past, by what and when

    @property
    def quiet_s(self) -> float:
        """How long nothing was written."""
        return max(0.0, (self.now_ns - self.newest_ns) / NS) if self.newest_ns else 0.0

    @property
    def late(self) -> bool:
        """Whether something should have been written: the coordinator or its monitor is not running."""
        limit_s = max(LATE_S, LATE_INTERVALS * self.every_s) if self.every_s else FIRST_LATE_S
        return self.newest_ns > 0 and self.quiet_s > limit_s

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self.db.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> sqlite3.Row | None:
        """Its first row, or None."""
        found: sqlite3.Row | None = self.db.execute(query, values).fetchone()
        return found


class Store:
    """A file. It need not exist yet, nor still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed: dict[tuple[object, ...], Sums] = {}

    def stamp(self) -> tuple[int, ...]:
        """Changes whenever something may have been written."""
        found: list[int] = []
        for name in (self.path, self._log):
            try:
                told = name.stat()
            except OSError:
                found += [0, 0, 0]
            else:
                found += [told.st_ino, told.st_mtime_ns, told.st_size]
        return tuple(found)

    @contextmanager
    def reading(self, now_ns: int | None = None) -> Iterator[Reading]:
        """A look at the store as it is now. StoreError if it is not there or cannot be read; also from within."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        try:
            db = self._open(now_ns + AHEAD_NS)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        try:
            yield self._look(db, now_ns)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            db.close()

    @property
    def _log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _open(self, until_ns: int) -> sqlite3.Connection:
        if not self.path.is_file():
            raise StoreError(f"there is no store {self.path}")
        address = f"{self.path.resolve().as_uri()}?mode=ro"
        db = sqlite3.connect(address, uri=True, timeout=LOCKED_S)
        try:
            _lay_views(db, self.path, until_ns)
        except (sqlite3.Error, StoreError) as error:
            db.close()
            code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.OperationalError) else 0
            if code not in NOT_ALLOWED or self._log.exists():
                raise
            db = sqlite3.connect(address + "&immutable=1", uri=True)
            _lay_views(db, self.path, until_ns)
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")  # all of a reading is of one moment
        return db

    def _look(self, db: sqlite3.Connection, now_ns: int) -> Reading:
        site, model = "", ""
        for name in OF_MODEL:
            if (row := _end(db, name, "DESC")) is not None:
                site, model = row["site"], row["model"]
                break
        first = [row[0] for name in WITH_TIMES if (row := _end(db, name, "ASC")) is not None]
        newest = [row[0] for name in WITH_TIMES if (row := _end(db, name, "DESC")) is not None]
        latest = [row[0] for row in db.execute("SELECT time_ns FROM coordinator ORDER BY time_ns DESC LIMIT 6")]
        gaps = [(after - before) / NS for after, before in pairwise(latest)]
        every_s = median(gaps) if gaps else 0.0
        return Reading(db, now_ns, model, site, min(first, default=0), max(newest, default=0), every_s, self._closed)

    def _failed(self, error: sqlite3.Error) -> StoreError:
        if "not a database" in str(error) or "malformed" in str(error):
            return StoreError(f"{self.path} is no store of Tegu, or it is damaged: {error}")
        return StoreError(f"{self.path} cannot be read now: {error}")


def _lay_views(db: sqlite3.Connection, path: Path, until_ns: int) -> None:
    """Temporary views that hide the tables of the same names, have every column, and no row of later than until_ns."""
    db.execute("PRAGMA temp_store = MEMORY")
    there: dict[str, set[str]] = {}
    for (name,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        there[name] = {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?, 'main')", (name,))}
    if there and not any("time_ns" in there.get(name, ()) for name in MEASUREMENTS):
        raise StoreError(f"{path} is a database, but no store of Tegu")
    for told in MEASUREMENTS.values():
        columns = there.get(told.name, set())
        parts = [_column(word, word in columns) for word in ("time_ns", *told.tags, *told.fields)]
        source = f'FROM main."{told.name}" WHERE time_ns <= {until_ns:d}' if "time_ns" in columns else "WHERE 0"
        db.execute(f'CREATE TEMP VIEW "{told.name}" AS SELECT {", ".join(parts)} {source}')


def _end(db: sqlite3.Connection, name: str, order: str) -> sqlite3.Row | None:
    """The first or the last row of a table."""
    found: sqlite3.Row | None = db.execute(
        f'SELECT time_ns, site, model FROM "{name}" ORDER BY time_ns {order} LIMIT 1'
    ).fetchone()
    return found


def _column(name: str, there: bool) -> str:
    return f'"{name}"' if there else f'NULL AS "{name}"'
