"""How long the dashboards' queries take on InfluxDB 1.6.7 with 1,000 devices over 30 days. The goal: the fleet's < 1 s.

    python -m tests.bench.fleet_queries                       # fills, then times the fleet's: some 5 minutes
    python -m tests.bench.fleet_queries --devices 100 --days 3 --dashboard device --all-parts

Filled are the measurements that the fleet dashboard reads, as often as the monitor writes them: status, device and
bytes every five minutes a device, fleet and coordinator every minute; 26 million points. They are two hours of a
building (see building_points) again and again, so that values repeat and moments do not. One device starts again and
again.

Cold is the first time after the database has started again and the kernel's cache was dropped (as root; else only the
former); warm is the median of five more.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from coordinator.metrics import line
from dashboards import queries
from tests.building_points import Building, points
from tests.timeseries import RunningInflux, influxdb

PARTS = frozenset({"status", "device", "bytes", "fleet", "coordinator", "round", "event"})
BATCH = 15_000
HOURS = 2  # that are repeated
GOAL_S = 1.0
SPANS_DAYS = {"30 days": 30, "24 hours": 1}


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--devices", type=int, default=1000)
    told.add_argument("--days", type=float, default=30)
    told.add_argument("--dashboard", default="fleet", choices=queries.names())
    told.add_argument("--all-parts", action="store_true", help="fill every measurement, as other dashboards need")
    wanted = told.parse_args()
    parts = frozenset() if wanted.all_parts else PARTS
    building = Building(wanted.devices, HOURS / 24, trouble="boot loop", parts=parts)
    to_s = building.start_s + int(wanted.days * 86400)
    with tempfile.TemporaryDirectory() as folder, influxdb(Path(folder)) as database:
        database.create("tegu")
        _fill(database, building, wanted.days)
        slow = _time_all(database, building.bad, to_s * 1000, wanted.dashboard)
    return 1 if slow else 0


def _fill(database: RunningInflux, building: Building, days: float) -> None:
    began_s, count = time.perf_counter(), 0
    for batch in _batches(building, days):
        database.get("/write?db=tegu", batch.encode())
        count += batch.count("\n") + 1
        if sys.stdout.isatty():
            print(f"\r{count:,} points, {count / (time.perf_counter() - began_s):,.0f} points/s", end="", flush=True)
    took_s = time.perf_counter() - began_s
    print(f"\n{building.devices:,} devices, {days:g} days: {count:,} points in {took_s:.0f} s")


def _batches(building: Building, days: float) -> Iterator[str]:
    """The building's points, repeated until the days are over, as line protocol."""
    period_ns = (building.end_s - building.start_s) * 10**9
    told = [(line(point).rpartition(" ")[0], point.time_ns) for point in points(building)]
    for turn in range(round(days / building.days)):
        for first in range(0, len(told), BATCH):
            part = told[first : first + BATCH]
            yield "\n".join([f"{head} {time_ns + turn * period_ns}" for head, time_ns in part])


def _time_all(database: RunningInflux, device: str, to_ms: int, name: str) -> int:
    """Prints a table; how many took longer than the goal."""
    slow = 0
    for span, days in SPANS_DAYS.items():
        choice = queries.Choice(to_ms - days * 86_400_000, to_ms, {"device": [device]})
        asked = [(each, queries.filled(each, choice)) for each in queries.listed(queries.read(name))]
        cold = _cold(database, [text for _, text in asked])
        print(f"\n{name}, {span}: {'query':40} cold s  warm s  rows")
        for (query, text), cold_s in zip(asked, cold, strict=True):
            warm = [_timed(database, text) for _ in range(5)]
            warm_s = statistics.median(took for took, _ in warm)
            slow += max(cold_s, warm_s) > GOAL_S
            print(f"{query.panel + ' ' + query.ref:52} {cold_s:6.3f}  {warm_s:6.3f}  {warm[0][1]}")
    print(f"\n{slow} of them took longer than {GOAL_S:g} s")
    return slow


def _cold(database: RunningInflux, texts: list[str]) -> list[float]:
    """Seconds of each, the first time after a start."""
    database.stop()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1\n")
    except OSError:
        print("the kernel's cache could not be dropped: cold is only a new start of the database")
    database.start()
    return [_timed(database, text)[0] for text in texts]


def _timed(database: RunningInflux, text: str) -> tuple[float, int]:
    began_s = time.perf_counter()
    series = database.query(text, "tegu")
    return time.perf_counter() - began_s, sum(len(each["values"]) for each in series)


if __name__ == "__main__":
    sys.exit(main())
