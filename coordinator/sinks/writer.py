"""Brings points to an InfluxDB, in order, by way of the disk while it cannot take them.

At most a second's points, or BATCH of them, are written at once. What cannot be written goes to the spool; while
anything is there, new points queue behind it. Of many points in memory (a database slower than the devices) all but the
newest go there too. Trouble is told once when it begins, when its reason changes, and when it is over.
"""

import logging
import threading
import time
from collections.abc import Sequence

from ..metrics import Point, line
from .delivery import Refusal, deliver
from .influxdb import Database, Outcome
from .pending import BATCH, INTERVAL_S, Pending
from .rejected import Rejected
from .spool import Batch, Spool

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 30.0
SPILL = 50_000  # points in memory, more than which go to the spool
KEEP_S = 1.0  # of the time to close is for the disk

log = logging.getLogger("tegu.coordinator")


class Writer:
    """A sink (see Output), with the spool as its own."""

    def __init__(self, database: Database, spool: Spool, rejected: Rejected) -> None:
        self._database, self._spool, self._rejected = database, spool, rejected
        self._pending = Pending()
        self._batch: Batch | None = None  # taken out of pending; written or spooled before the next is
        self._written = 0
        self._pause_s = self._resume_at = 0.0
        self._waiting = self._trouble = ""  # why it waits; what is wrong here, with the disk mostly
        self._since = 0.0
        self._closing, self._closed = threading.Event(), False
        self._lock = threading.Lock()  # of all above but pending; close() may come while the thread waits for an answer
        if spool.points:
            log.info("%d points that wait in %s go to %s first", spool.points, spool.path, database.where)
        self._thread = threading.Thread(target=self._run, name="influxdb", daemon=True)
        self._thread.start()

    def put(self, points: Sequence[Point]) -> None:
        self._pending.put(points)

    def numbers(self) -> dict[str, float]:
        return {
            "waiting_points": self._pending.waiting,
            "spool_points": self._spool.points,
            "spool_bytes": self._spool.bytes,
            "spool_percent": 100.0 * self._spool.bytes / self._spool.most_bytes,
            "written_points": self._written,
            "lost_points": self._pending.lost + self._spool.lost,
            "rejected_points": self._rejected.count,
            "failing": int(bool(self._waiting or self._trouble)),
        }

    def close(self, deadline_s: float) -> None:
        self._closing.set()
        self._pending.close()
        self._thread.join(max(0.0, deadline_s - KEEP_S))
        with self._lock:
            self._closed = True
            while self._take() and self._keep():
                pass
            left = self._pending.waiting
            if left:
                log.error("%d points for %s are lost: %s", left, self._database.where, self._trouble)
            elif self._spool.points:
                log.info("%d points for %s wait in %s", self._spool.points, self._database.where, self._spool.path)
            self._spool.close()
        if not self._thread.is_alive():
            self._database.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._pending.wait()
            self._write_all()
        self._write_all()

    def _write_all(self) -> None:
        """Until there is nothing to write, or the database or the disk wants a pause."""
        try:
            while self._step():
                pass
        except Exception as error:  # also of the packages: this thread must outlive it
            self._tell_trouble(str(error) if isinstance(error, OSError) else repr(error))
            self._closing.wait(INTERVAL_S)

    def _step(self) -> bool:
        """Write a batch, the oldest; False if there is none or it must wait."""
        with self._lock:
            batch = None if self._closed else self._next()
        if batch is None:
            return False
        outcome, refusals = deliver(self._database.write, batch.lines)
        with self._lock:
            return not self._closed and self._note(batch, outcome, refusals)

    def _next(self) -> Batch | None:
        """The batch to write now. What cannot be written now, or not yet, is in the spool."""
        waits = time.monotonic() < self._resume_at
        while self._take() and (waits or self._spool.points or len(self._pending) > SPILL):
            if not self._keep():
                break
        if waits:
            return None
        return self._spool.oldest(BATCH) if self._spool.points else self._batch

    def _take(self) -> bool:
        """Whether a batch is held, taken out of memory if there was none."""
        if self._batch is None and (points := self._pending.take()):
            lines = [made for point in points if (made := self._line(point))]
            if lines:
                self._batch = Batch(len(lines), "\n".join(lines).encode("utf-8", "replace"))
            else:
                self._pending.settled()
        return self._batch is not None

    def _line(self, point: Point) -> str:
        """Empty if the point is not as metrics.py has it, which is counted."""
        try:
            return line(point)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            self._rejected.add(
                "the monitor", f"no point of a measurement: {error!r}", 1, [repr(point).encode("utf-8", "replace")]
            )
            return ""

    def _keep(self) -> bool:
        """Put the batch that is held into the spool; False if the disk does not take it."""
        if self._batch:
            try:
                self._spool.append(self._batch)
            except OSError as error:
                self._tell_trouble(str(error))
                return False
            self._tell_trouble("")
            self._settle()
        return True

    def _settle(self) -> None:
        """The batch out of memory is written or in the spool."""
        self._batch = None
        self._pending.settled()

    def _note(self, batch: Batch, outcome: Outcome, refusals: list[Refusal]) -> bool:
        """Take down what became of the batch; False if it must wait."""
        if outcome.kind == "wait":
            self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LAST_PAUSE_S)
            self._resume_at = time.monotonic() + max(self._pause_s, outcome.pause_s)
            self._tell_waiting(outcome)
            self._keep()
            return False
        if batch.last_id:
            self._spool.remove(batch)
        for reason, refused, lines in refusals:
            self._rejected.add(self._database.where, reason, refused, lines)
        self._written += batch.points - sum(refusal.refused for refusal in refusals)
        if not batch.last_id:
            self._settle()
        self._pause_s = self._resume_at = 0.0
        self._tell_trouble("")
        if self._waiting:
            gone_s, left = time.monotonic() - self._since, self._spool.points
            log.warning("%s takes points again after %.0f s; %d on disk follow", self._database.where, gone_s, left)
            self._waiting = ""
        return True

    def _tell_waiting(self, outcome: Outcome) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        if outcome.reason != self._waiting:
            detail = f": {outcome.detail}" if outcome.detail else ""
            path = self._spool.path
            log.warning("%s %s%s; points wait in %s", self._database.where, outcome.reason, detail, path)
        self._waiting = outcome.reason

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.error("%s; points for %s wait in memory", trouble, self._database.where)
        elif self._trouble and not trouble:
            log.warning("points for %s wait in memory no longer", self._database.where)
        self._trouble = trouble
