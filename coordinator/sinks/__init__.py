"""Where points go: the embedded store and, if there is one, an InfluxDB. Each has a thread of its own.

    the monitor's thread -> put() -> Pending, in memory -> the sink's thread -> Store: a SQLite file
                                                                             -> Writer: InfluxDB; Spool while it is away

What a sink may lose, and says so in numbers():
- Killed (SIGKILL, power cut): what was put in the last second, and the batch being written. While a database hangs
  instead of refusing, that is up to influxdb.ANSWER_S of points. What is on disk stays, and goes first next time.
- A full disk, a full spool: `lost_points`, counted exactly. What a full store forgets is the oldest, and is not counted.
- What a database would not have: `rejected_points`; the lines are in rejected.lp beside the spool.
A batch that was written but whose answer was lost is written again: the same point (measurement, tags, time) is then
overwritten by itself, so nothing counts twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..metrics import Point
from ..settings import MonitorSettings
from .influxdb import Database
from .rejected import Rejected
from .spool import Spool
from .store import Store
from .writer import Writer

MEGABYTE = 1_000_000


class Output(Protocol):
    """A sink of points."""

    def put(self, points: Sequence[Point]) -> None:
        """Take the points: never blocks, never raises. For one thread."""

    def numbers(self) -> dict[str, float]:
        """waiting_points (in memory), spool_points, spool_bytes, spool_percent, and since the start written_points,
        lost_points and rejected_points; failing: 1 while it cannot write."""

    def close(self, deadline_s: float) -> None:
        """Write what can be written in that time, and keep the rest on disk. Nothing may be put any more."""


def open_outputs(settings: MonitorSettings) -> list[Output]:
    """The sinks of these settings. ValueError and OSError say what is wrong with a file, an address or a package."""
    opened: list[Output] = []
    if settings.store and settings.influxdb and Path(settings.store).resolve() == Path(settings.spool).resolve():
        raise ValueError(f"store and spool must be two files, not both {settings.spool}")
    try:
        if settings.store:
            opened.append(Store(Path(settings.store), settings.keep_days, settings.store_mb))
        if settings.influxdb:
            spool = Path(settings.spool)
            database = Database(
                settings.influxdb, settings.influxdb_api, settings.org, settings.bucket, settings.token_file
            )
            kept = Spool(spool, settings.spool_mb * MEGABYTE)
            opened.append(Writer(database, kept, Rejected(spool.with_name("rejected.lp"))))
    except BaseException:
        for output in opened:
            output.close(1.0)
        raise
    return opened
