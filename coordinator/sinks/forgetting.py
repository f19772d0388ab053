"""What the embedded store forgets, slice by slice between two batches: points that are too old, and the oldest while it is too large.

Its pages are used again, so the file grows to its limit and no further; beside it lies the log of the last transactions.
A wrong clock must not delete a month: after a jump of the wall clock by more than an hour, or if it is not near the last
points when the store is opened, nothing goes for its age until it has been steady for some hours. The limit holds all the same.
"""

import logging
import sqlite3
import time
from pathlib import Path

from ..metrics import MEASUREMENTS
from ..trouble import in_words
from .pending import BATCH

NS = 1_000_000_000
DAY_NS = 24 * 3600 * NS
MEGABYTE = 1_000_000
SLICE = 2_000  # rows deleted at once
FORGET_S = 0.1  # spent on deleting between two batches
JUMP_S = 3600.0  # by which the wall clock may differ from the monotonic one between two looks
DOUBT_S = (
    6 * 3600.0
)  # for which a clock that jumped is not believed; a laptop that sleeps at night must come to an end of it
TELL_S = 3600.0  # between two sentences about a full store

log = logging.getLogger("tegu.coordinator")


class Forgetting:
    """For the thread that writes to `db`. keep_days: the age at which a point goes; most_mb: what all of them may take."""

    def __init__(self, db: sqlite3.Connection, path: Path, keep_days: float, most_mb: float) -> None:
        self._db, self._path = db, path
        self._keep_ns, self._most_mb = int(keep_days * DAY_NS), most_mb
        self._turn = list(MEASUREMENTS)  # of deleting by age; the first is next
        self._told_s = -TELL_S
        self._wall_ns, self._steady_s = time.time_ns(), time.monotonic()
        self._doubt_until_s = self._steady_s + (0.0 if self._is_near() else DOUBT_S)

    def look(self) -> None:
        """Delete what is to go, as long as there is time. sqlite3.Error: it cannot be deleted now."""
        until_s = time.monotonic() + FORGET_S
        self._by_size(until_s)
        if self._believes():
            self._by_age(time.time_ns() - self._keep_ns, until_s)

    def _by_size(self, until_s: float) -> None:
        """Not less than a batch is deleted, so that whoever writes faster than that cannot fill the disk."""
        gone = 0
        while self._used_bytes() > self._most_mb * MEGABYTE and (gone < BATCH or time.monotonic() < until_s):
            name = self._largest()
            # by their order in the file, which a clock that jumped does not change
            first = f'SELECT rowid FROM "{name}" ORDER BY rowid LIMIT {SLICE}'
            deleted = self._db.execute(f'DELETE FROM "{name}" WHERE rowid IN ({first})').rowcount
            if not deleted:
                break
            gone += deleted
        if gone and time.monotonic() - self._told_s >= TELL_S:
            self._told_s = time.monotonic()
            log.warning(
                "the store %s is full at %g MB: the oldest points go; raise store_mb", self._path, self._most_mb
            )

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _largest(self) -> str:
        """The measurement with most rows; they are not counted, as that would take too long."""

        def rows(name: str) -> int:
            ends = f'(SELECT max(rowid) FROM "{name}") - (SELECT min(rowid) FROM "{name}") + 1'
            return int(self._db.execute(f"SELECT coalesce({ends}, 0)").fetchone()[0])

        return max(MEASUREMENTS, key=rows)

    def _by_age(self, before_ns: int, until_s: float) -> None:
        """Of one measurement after the other."""
        for _ in MEASUREMENTS:
            name = self._turn[0]
            old = f'SELECT rowid FROM "{name}" WHERE time_ns < ? ORDER BY time_ns LIMIT {SLICE}'
            while self._db.execute(f'DELETE FROM "{name}" WHERE rowid IN ({old})', (before_ns,)).rowcount == SLICE:
                if time.monotonic() > until_s:
                    return
            self._turn.append(self._turn.pop(0))

    def _is_near(self) -> bool:
        """Whether the clock is near the last point of a measurement, or there is none."""
        last = [
            self._db.execute(f'SELECT time_ns FROM "{name}" ORDER BY rowid DESC LIMIT 1').fetchone()
            for name in MEASUREMENTS
        ]
        told = [row[0] for row in last if row is not None]
        return not told or any(abs(self._wall_ns - time_ns) <= JUMP_S * NS for time_ns in told)

    def _believes(self) -> bool:
        """Whether the wall clock has gone as the monotonic one did, now and for some time."""
        wall_ns, steady_s = time.time_ns(), time.monotonic()
        jump_s = (wall_ns - self._wall_ns) / NS - (steady_s - self._steady_s)
        self._wall_ns, self._steady_s = wall_ns, steady_s
        if abs(jump_s) > JUMP_S:
            if steady_s >= self._doubt_until_s:
                log.warning(
                    "the clock jumped by %s: for %s no point in %s goes for its age",
                    in_words(abs(jump_s)),
                    in_words(DOUBT_S),
                    self._path,
                )
            self._doubt_until_s = steady_s + DOUBT_S
        return steady_s >= self._doubt_until_s
