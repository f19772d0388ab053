"""What watching costs the coordinator: updates handled a second, watched and unwatched in turn.

    python -m tests.bench.watching [--rate 20000] [--updates 1000] [--pairs 12] [--seconds 3]

`updates` updates a second go through a real Federation with its checkpoint on disk, 64 to a commit, as the service does it.
Watched, every update and every ack is noted as well, and beside them come telemetry and readings that make `rate` points a
second in InfluxDB 1.6.7, which runs on the same two cores. What is printed is how much longer a batch took, window by
window, and how many points a second arrived. `--updates 0` sends as many as can be: then three processes want two cores.
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
from tests.timeseries import RunningInflux, influxdb, until

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


def handle(made: list[tuple[str, bytes]], folder: Path, recorder: Recorder | None, told: argparse.Namespace) -> float:
    """Microseconds that an update took, in the median batch."""
    settings = Settings(
        LinkSettings(checkpoint=folder / "checkpoint.sqlite"),
        ModelSettings("m", SPEC),
        RoundSettings(quorum=10**6, wait_for=1),
    )
    federation = Federation(settings)
    federation.batch([(topics.device("home", "room-0", "state"), State(state="ready", boot=1, model="m").encode())])
    federation.tick()
    took_s: list[float] = []
    pause_s = BATCH / told.updates if told.updates else 0.0
    ends_s, waiting = time.perf_counter() + told.seconds, threading.Event()
    for n, at in enumerate(cycle(range(0, UPDATES - BATCH, BATCH))):
        batch = made[at : at + BATCH]
        began_s = time.perf_counter()
        if began_s > ends_s:
            break
        if recorder is not None:
            for topic, payload in batch:
                recorder.heard("update", topic, payload, False)
        out = federation.batch(batch)
        if recorder is not None:
            for topic, payload, retain in out:
                recorder.said(topic, payload, retain)
        took_s.append(time.perf_counter() - began_s)
        waiting.wait(max(0.0, ends_s - told.seconds + (n + 1) * pause_s - time.perf_counter()))
    federation.checkpoint.close()
    return 1e6 * statistics.median(took_s) / BATCH


class Building:
    """Telemetry and readings at a steady rate, from a thread of its own, as paho's would bring them."""

    def __init__(self, recorder: Recorder, points_a_second: float) -> None:
        self.recorder = recorder
        self.groups = 0
        self.behind_s = 0.0
        self._rate = points_a_second / POINTS
        self._ready = [self._group(n) for n in range(DEVICES)]
        self.resting = False
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
        due, before_s = 0.0, time.perf_counter()
        while not self._stop.wait(TICK_S):
            now_s = time.perf_counter()
            due += 0.0 if self.resting else (now_s - before_s) * self._rate
            before_s = now_s
            while self.groups < due:
                for kind, topic, payload in self._ready[self.groups % DEVICES]:
                    self.recorder.heard(kind, topic, payload, False)
                self.groups += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000, help="points a second")
    parser.add_argument("--updates", type=int, default=1000, help="a second; 0: as many as can be")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window")
    told = parser.parse_args()
    made = updates()
    ratios, arrived = [], []
    with tempfile.TemporaryDirectory() as name, influxdb(Path(name) / "influxdb") as database:
        database.create("tegu")
        settings = MonitorSettings(
            store="", influxdb=database.url, influxdb_api="1", bucket="tegu", spool=str(Path(name) / "spool.sqlite")
        )
        recorder = Recorder(settings, Watched("home", "m", 1, 1, time.time_ns()), dict)
        with Building(recorder, told.rate) as building:
            for pair in range(told.pairs):
                building.resting = True
                until(lambda: readings_in(database) == SENSES * building.groups)  # nothing is on its way any more
                plain_us = handle(made, folder_of(name, f"plain{pair}"), None, told)
                building.resting = False
                before = count_of(database)
                until(lambda before=before: count_of(database) > before)  # type: ignore[misc]
                before, began_s = count_of(database), time.perf_counter()
                watched_us = handle(made, folder_of(name, f"watched{pair}"), recorder, told)
                arrived.append((count_of(database) - before) / (time.perf_counter() - began_s))
                ratios.append(watched_us / plain_us)
                print(
                    f"an update takes {plain_us:.0f} us unwatched, {watched_us:.0f} us watched ({ratios[-1]:.3f}); "
                    f"{arrived[-1]:,.0f} points/s arrived meanwhile"
                )
        recorder.close()
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"median ratio {middle:.3f} (quartiles {low:.3f} and {high:.3f}); median "
              f"{statistics.median(arrived):,.0f} points/s arrived; {recorder.lost} events had no room")  # fmt: skip


def readings_in(database: RunningInflux) -> int:
    rows = database.rows('SELECT count("value") FROM "reading"', "tegu")
    return int(rows[0]["count"]) if rows else 0


def folder_of(name: str, word: str) -> Path:
    made = Path(name) / word
    made.mkdir()
    return made


def count_of(database: RunningInflux) -> int:
    """Points of readings, telemetry, bytes, energy and updates that are there."""
    total = 0
    counted = ("reading", "value"), ("device", "samples"), ("energy", "joules"), ("bytes", "gap"), ("update", "bytes")
    for measurement, field in counted:
        rows = database.rows(f'SELECT count("{field}") FROM "{measurement}"', "tegu")
        total += int(rows[0]["count"]) if rows else 0
    return total


if __name__ == "__main__":
    main()
