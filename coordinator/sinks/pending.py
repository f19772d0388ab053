"""Points on their way from the monitor's thread to a sink's thread: a bounded queue, putting into which never waits."""

import threading
import time
from collections import deque
from collections.abc import Sequence

from ..metrics import Point

BATCH = 5_000  # points that are written together
INTERVAL_S = 1.0  # after which fewer are written too
MOST = 200_000  # in memory, about 100 MB: reached only if neither the database nor the disk takes any


class Pending:
    """put() is for one thread, the rest for another. lost: points that had no room."""

    def __init__(self) -> None:
        self.lost = self._taken = 0
        self._queue: deque[Point] = deque()
        self._full = threading.Event()
        self._taken_at = time.monotonic()
        self._closing = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def waiting(self) -> int:
        """Points in memory, also those that are taken and not settled."""
        return len(self._queue) + self._taken

    def put(self, points: Sequence[Point]) -> None:
        """Add the points that there is room for."""
        waiting = len(self._queue)
        room = max(0, MOST - waiting)
        if len(points) > room:
            self.lost += len(points) - room
            points = points[:room]
        self._queue.extend(points)
        if waiting < BATCH <= waiting + len(points):
            self._full.set()

    def wait(self) -> None:
        """Return when a batch is full, after INTERVAL_S, or at close()."""
        self._full.wait(INTERVAL_S)
        self._full.clear()

    def take(self) -> list[Point]:
        """A batch, the oldest first, if it is full or INTERVAL_S have passed since the last; else nothing.

        It is to be settled() before the next is taken.
        """
        waiting, now = len(self._queue), time.monotonic()
        if waiting < BATCH and now - self._taken_at < INTERVAL_S and not self._closing:
            return []
        self._taken_at = now
        self._taken = min(waiting, BATCH)
        return [self._queue.popleft() for _ in range(self._taken)]

    def settled(self) -> None:
        """What was taken is written, on disk or given up."""
        self._taken = 0

    def close(self) -> None:
        """End wait() now; take() no longer waits for anything."""
        self._closing = True
        self._full.set()
