"""What watching costs the coordinator: updates handled a second, watched and unwatched in turn.

    python -m tests.bench.watching [--rate 20000] [--pairs 6] [--seconds 5]

Updates of as many devices as there are go through a real Federation with its checkpoint on disk, 64 to a commit, as the
service does it. Watched, every update and every ack is noted as well, and beside them come telemetry and readings
that make `rate` points a second in InfluxDB 1.6.7, which runs on the same two cores. What is printed is the ratio of
the two speeds, window by window, and how many points a second arrived.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from array import array
from itertools import cycle
from pathlib import Path
from random import Random

from coordinator.federation import Federation
from coordinator.recording import Recorder, Watched
from coordinator.settings import LinkSettings, ModelSettings, MonitorSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire.messages import State
from tegu.wire.update import encode_update
from tests.timeseries import influxdb

SPEC = "1 | dense 32 tanh | dense 32 tanh | dense 1 linear"
MODEL = Model(SPEC)
UPDATES = 2000  # made beforehand, and handled again and again under a new sequence's key
BATCH = 64
SENSES = 4  # readings beside a telemetry
POINTS = SENSES + 3  # of that telemetry: device, bytes, energy
DEVICES = 500
TICK_S = 0.01


def updates() -> list[tuple[str, bytes]]:
    draw, made = Random(1), []
    for n in range(UPDATES):
        values = array("f", [draw.gauss(0, 0.1) for _ in range(MODEL.shared_size)])
        payload = encode_update(MODEL, values, top_p(values, 10.0), 2, 1, 1, 1, 32)
        made.append((topics.device("home", f"room-{n}", "update", "m"), bytes(payload)))
    return made


def handle(made: list[tuple[str, bytes]], folder: Path, recorder: Recorder | None, seconds: float) -> float:
    """Updates a second."""
    told = Settings(
        LinkSettings(checkpoint=folder / "checkpoint.sqlite"),
        ModelSettings("m", SPEC),
        RoundSettings(quorum=10**6, wait_for=1),
    )
    federation = Federation(told)
    federation.batch([(topics.device("home", "room-0", "state"), State(state="ready", boot=1, model="m").encode())])
    federation.tick()
    count, began_s = 0, time.perf_counter()
    for at in cycle(range(0, UPDATES - BATCH, BATCH)):
        batch = made[at : at + BATCH]
        if recorder is not None:
            for topic, payload in batch:
                recorder.heard("update", topic, payload, False)
        out = federation.batch(batch)
        if recorder is not None:
            for topic, payload, retain in out:
                recorder.said(topic, payload, retain)
        count += len(batch)
        if time.perf_counter() - began_s > seconds:
            break
    speed = count / (time.perf_counter() - began_s)
    federation.checkpoint.close()
    return speed


class Building:
    """Telemetry and readings at a steady rate, from a thread of its own, as paho's would bring them."""

    def __init__(self, recorder: Recorder, points_a_second: float) -> None:
        self.recorder = recorder
        self.groups = 0
        self.behind_s = 0.0
        self._rate = points_a_second / POINTS
        self._ready = [self._group(n) for n in range(DEVICES)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="building", daemon=True)

    def __enter__(self) -> "Building":
        for n in range(DEVICES):
            state = State(state="ready", boot=1, model="m").encode()
            self.recorder.heard("state", topics.device("home", f"room-{n}", "state"), state, False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _group(self, n: int) -> list[tuple[str, str, bytes]]:
        numbers = {
            "version": 1,
            "boot": 1,
            "bad": 0,
            "accepted": 3,
            "samples": 99,
            "updates": 3,
            "free_heap_bytes": 9000,
        }
        numbers |= {"bytes_model_down": 0, "bytes_update_up": 0, "bytes_telemetry_up": 0, "energy_modelled": 1}
        spent = {"compute_joules": 0.5, "radio_joules": 0.25, "session_joules": 0.0}
        made = [("telemetry", topics.device("home", f"room-{n}", "telemetry"), json.dumps(numbers | spent).encode())]
        for channel in ("co2", "temperature", "humidity", "presence")[:SENSES]:
            reading = json.dumps([{"n": channel, "u": "ppm", "v": 612.5 + n}]).encode()
            made.append(("sense", topics.device("home", f"room-{n}", "sense", channel), reading))
        return made

    def _run(self) -> None:
        began_s = time.perf_counter()
        while not self._stop.wait(TICK_S):
            due = int((time.perf_counter() - began_s) * self._rate)
            while self.groups < due:
                for kind, topic, payload in self._ready[self.groups % DEVICES]:
                    self.recorder.heard(kind, topic, payload, False)
                self.groups += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000, help="points a second")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a window")
    options = parser.parse_args()
    made = updates()
    ratios, arrived = [], []
    with tempfile.TemporaryDirectory() as name, influxdb(Path(name) / "influxdb") as database:
        database.create("tegu")
        handle(made, folder_of(name, "warm"), None, 1.0)
        for pair in range(options.pairs):
            plain = handle(made, folder_of(name, f"plain{pair}"), None, options.seconds)
            folder = folder_of(name, f"watched{pair}")
            settings = MonitorSettings(
                store="", influxdb=database.url, influxdb_api="1", bucket="tegu", spool=str(folder / "spool.sqlite")
            )
            recorder = Recorder(settings, Watched("home", "m", pair + 1, 1, time.time_ns()), dict)
            with Building(recorder, options.rate) as building:
                time.sleep(2.0)  # until the monitor is up
                before, began_s = count_of(database), time.perf_counter()
                watched = handle(made, folder, recorder, options.seconds)
                after, took_s = count_of(database), time.perf_counter() - began_s
            recorder.close()
            groups = building.groups
            ratios.append(watched / plain)
            arrived.append((after - before) / took_s)
            print(
                f"unwatched {plain:,.0f} updates/s, watched {watched:,.0f} ({watched / plain:.3f}); "
                f"{arrived[-1]:,.0f} readings and telemetry points/s arrived meanwhile; {groups * POINTS:,} given, "
                f"{recorder.lost} events without room"
            )
        print(f"median ratio {statistics.median(ratios):.3f}, lowest {min(ratios):.3f}; "
              f"median {statistics.median(arrived):,.0f} points/s arrived")  # fmt: skip


def folder_of(name: str, word: str) -> Path:
    made = Path(name) / word
    made.mkdir()
    return made


def count_of(database: object) -> int:
    """Points of readings, telemetry, bytes and energy that are there."""
    total = 0
    for measurement, field in (("reading", "value"), ("device", "samples"), ("energy", "joules")):
        rows = database.rows(f'SELECT count("{field}") FROM "{measurement}"', "tegu")  # type: ignore[attr-defined]
        total += int(rows[0]["count"]) if rows else 0
    return total


if __name__ == "__main__":
    main()
