"""How many points a second each sink takes, put() to read back, and what a real outage leaves behind.

    python tests/bench/sink_speed.py                          # influxd (API 1), VictoriaMetrics (API 2), the store
    python tests/bench/sink_speed.py --outage 10 --rate 1000  # ten minutes without influxd at 1,000 points a second

The points are a building's: of eight, one each of what a telemetry makes (device, bytes, energy), one update, four
readings. The rounds of the three sinks take turns; the figure is the middle one. CPU is this process's, all threads,
on a machine whose other cores the database uses.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from coordinator.metrics import MEASUREMENTS, Point, Value, line
from coordinator.settings import InfluxdbApi, MonitorSettings
from coordinator.sinks import Output, open_outputs
from tests.timeseries import influxdb, until, victoria_metrics

DEVICES = 1_000
STEP = 500  # points put at once
WAITING = 20_000  # points in memory, at which the loop stops putting for a moment
KINDS = ("device", "bytes", "energy", "update", "reading", "reading", "reading", "reading")
STEP_S = 0.1  # of the outage's steady rate


def building(first: int, count: int, start_ns: int) -> list[Point]:
    """Points number first, first + 1, ...: one a millisecond, each another point to a database."""
    made = []
    for number in range(first, first + count):
        told = MEASUREMENTS[KINDS[number % len(KINDS)]]
        device = f"room-{number // len(KINDS) % DEVICES}"
        tags = tuple({"site": "home", "device": device, "model": "presence"}.get(tag, tag) for tag in told.tags)
        values: dict[type, Value] = {int: number, float: number * 0.6180339887 % 1, str: "ready"}
        fields = {field.name: values[field.kind] for field in told.fields.values()}
        made.append(Point(told.name, tags, fields, start_ns + number * 1_000_000))
    return made


@contextmanager
def opened(settings: MonitorSettings) -> Iterator[Output]:
    (output,) = open_outputs(settings)
    try:
        yield output
    finally:
        output.close(10.0)


def run(output: Output, points: list[Point]) -> tuple[float, float, float]:
    """Seconds until all are written, CPU seconds, and the longest put() in seconds."""
    wanted = output.numbers()["written_points"] + len(points)
    began, cpu, longest_s = time.perf_counter(), time.process_time(), 0.0
    for first in range(0, len(points), STEP):
        some = points[first : first + STEP]
        before = time.perf_counter()
        output.put(some)
        longest_s = max(longest_s, time.perf_counter() - before)
        while output.numbers()["waiting_points"] > WAITING:
            time.sleep(0.001)
    until(lambda: output.numbers()["written_points"] >= wanted, 300.0)
    return time.perf_counter() - began, time.process_time() - cpu, longest_s


def speed(points_a_round: int, rounds: int, folder: Path) -> None:
    with ExitStack() as stack:
        influx = stack.enter_context(influxdb(folder))
        influx.create("tegu")
        victoria = stack.enter_context(victoria_metrics(folder))
        databases: tuple[tuple[str, str, InfluxdbApi], ...] = (
            ("influxd 1.6.7, API 1", influx.url, "1"),
            ("VictoriaMetrics, API 2", victoria.url, "2"),
        )
        sinks = {
            name: stack.enter_context(
                opened(MonitorSettings(store="", influxdb=url, influxdb_api=api, spool=str(folder / f"spool{api}")))
            )
            for name, url, api in databases
        }
        sinks["store (SQLite)"] = stack.enter_context(opened(MonitorSettings(store=str(folder / "store.sqlite"))))
        seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sinks}
        for number in range(rounds):
            points = building(number * points_a_round, points_a_round, time.time_ns() - 3600 * 10**9)
            for name, output in sinks.items():
                seen[name].append(run(output, points))
    size = sum(len(line(point)) for point in points[: len(KINDS)]) / len(KINDS)
    print(f"{rounds} rounds of {points_a_round:,} points of {size:.0f} bytes, {DEVICES:,} devices")
    print(f"{'sink':24}{'points/s':>10}{'CPU us/point':>14}{'CPU share':>11}{'at 1,000/s':>12}{'longest put':>13}")
    for name, results in seen.items():
        took_s, cpu_s, _ = statistics.median_low(results)
        longest_ms = 1000 * max(longest_s for _, _, longest_s in results)
        share, a_point = cpu_s / took_s, cpu_s / points_a_round
        print(
            f"{name:24}{points_a_round / took_s:>10,.0f}{1e6 * a_point:>14.1f}{share:>11.0%}{1000 * a_point:>12.1%}"
            f"{longest_ms:>10.1f} ms"
        )


def outage(minutes: float, rate: int, kill: bool, folder: Path) -> None:
    """Ten seconds with the database, the outage, and until all is written; then count what is there."""
    start_ns = time.time_ns()
    with influxdb(folder) as database:
        database.create("tegu")
        settings = MonitorSettings(
            store="", influxdb=database.url, influxdb_api="1", spool=str(folder / "spool.sqlite")
        )
        with opened(settings) as output:
            put, longest_s, most = steady(output, 0, rate, 10.0, start_ns)
            (database.kill if kill else database.stop)()
            cpu = time.process_time()
            put, slow_s, most = steady(output, put, rate, 60.0 * minutes, start_ns)
            cpu_s = time.process_time() - cpu
            database.start()
            began = time.monotonic()
            until(lambda: output.numbers()["written_points"] >= put, 600.0)
            back_s, numbers = time.monotonic() - began, output.numbers()
        there = 0
        for name in sorted(set(KINDS)):
            field = next(iter(MEASUREMENTS[name].fields))
            there += sum(row["count"] for row in database.rows(f'SELECT count("{field}") FROM "{name}"', "tegu"))
    lost, rejected, slowest_ms = numbers["lost_points"], numbers["rejected_points"], 1000 * max(longest_s, slow_s)
    print(f"{put:,} points put, {there:,} there, after {minutes:g} minutes without influxd at {rate:,} points a second")
    print(f"lost {lost:.0f}, rejected {rejected:.0f}; all were written {back_s:.0f} s after its start")
    print(f"spool at most {most / 1e6:.1f} MB; longest put {slowest_ms:.1f} ms; CPU {cpu_s / (60 * minutes):.1%}")


def steady(output: Output, first: int, rate: int, seconds: float, start_ns: int) -> tuple[int, float, float]:
    """Put `rate` points a second; the number of the next point, the longest put() and the most bytes in the spool."""
    began, at_once, longest_s, most, steps = time.monotonic(), round(rate * STEP_S), 0.0, 0.0, round(seconds / STEP_S)
    for step in range(steps):
        points = building(first + step * at_once, at_once, start_ns)
        before = time.perf_counter()
        output.put(points)
        longest_s = max(longest_s, time.perf_counter() - before)
        most = max(most, output.numbers()["spool_bytes"])
        time.sleep(max(0.0, began + (step + 1) * STEP_S - time.monotonic()))
    return first + steps * at_once, longest_s, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000, help="a round (100,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--outage", type=float, metavar="MINUTES", help="run an outage of influxd instead, in real time"
    )
    parser.add_argument("--rate", type=int, default=1_000, help="points a second in the outage (1,000)")
    parser.add_argument("--kill", action="store_true", help="influxd ends by SIGKILL")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if chosen.outage:
            outage(chosen.outage, chosen.rate, chosen.kill, Path(folder))
        else:
            speed(chosen.points, chosen.rounds, Path(folder))


if __name__ == "__main__":
    main()
