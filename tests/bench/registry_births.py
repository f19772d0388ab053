"""How long after its birth a device is in the graph, when many are born at once: `python -m tests.bench.registry_births`.

A real mosquitto, the registry's service as a process, one publisher that says `state` and `thing` of so many devices a second.
The time is from the publishing of the announcement to the service's event that the thing was created, heard over HTTP.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from experiments import broker
from tegu import topics
from tegu.thing import announce
from tegu.wire.messages import State
from tests.peer import Peer
from tests.registered import Registered, until

SITE = "bench"
GOAL_S = 1.0
KINDS = (
    {"co2": "ppm", "temperature": "Cel", "humidity": "%RH"},
    {"temperature": "Cel", "humidity": "%RH"},
    {"light": "lx", "motion": "/"},
    {"sound": "/"},
)


def births(count: int) -> list[tuple[str, bytes, bytes]]:
    """(device, state, thing) of so many boards, of four kinds, in fifty rooms."""
    found = []
    for number in range(count):
        thing = announce(
            f"Board {number}", "presence", KINDS[number % 4], ram=160_000 + 512 * (number % 64), flash=700_000,
            radio="wifi", energy="mains", firmware="0.1.0", room=f"b1-{number % 50}",
        )  # fmt: skip
        found.append((f"board-{number}", State(state="ready", boot=1, model="presence", version=3).encode(), thing))
    return found


def listen(registry: Registered, heard_s: dict[str, float], stopping: threading.Event) -> None:
    with httpx.stream("GET", f"{registry.url}/events/thing_created", timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                heard_s[json.loads(line[5:])["id"]] = time.monotonic()
            if stopping.is_set():
                return


def measure(rate: int, seconds: float, folder: Path) -> tuple[list[float], float]:
    """The times of all devices in seconds, and how late the publisher itself was, at most."""
    devices = births(int(rate * seconds))
    users = {name: name for name in ("coordinator", "registry")}
    heard_s: dict[str, float] = {}
    said_s: dict[str, float] = {}
    late_s = 0.0
    stopping = threading.Event()
    with broker.start(folder / "broker", users, "mosquitto") as running, Peer(running, "coordinator") as peer:
        registry = Registered(folder / "registry", SITE, running.port, "registry")
        try:
            listener = threading.Thread(target=listen, args=(registry, heard_s, stopping), daemon=True)
            listener.start()
            until(lambda: registry.get("/registry/status")["readers"] == 1, "the listener")
            began_s = time.monotonic()
            for at, (device, state, thing) in enumerate(devices):
                due_s = began_s + at / rate
                while (now_s := time.monotonic()) < due_s:
                    threading.Event().wait(due_s - now_s)
                late_s = max(late_s, now_s - due_s)
                peer.send(topics.device(SITE, device, "state"), state, retained=True)
                peer.send(topics.device(SITE, device, "thing"), thing, retained=True)
                said_s[f"urn:tegu:{SITE}:{device}"] = time.monotonic()
            until(lambda: len(heard_s) >= len(devices), f"all {len(devices)} devices in the graph", 120)
            stopping.set()
        finally:
            registry.stop()
    return sorted(heard_s[iri] - then_s for iri, then_s in said_s.items()), late_s


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rate", type=int, default=500, help="devices a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lags_s, late_s = measure(options.rate, options.seconds, Path(folder))
    worst_s = lags_s[-1]
    sys.stdout.write(
        f"{len(lags_s)} births at {options.rate} a second, 0.5 kB each: in the graph after {statistics.median(lags_s):.3f} s in the "
        f"median, {lags_s[len(lags_s) * 99 // 100]:.3f} s for 99 of 100, {worst_s:.3f} s at most "
        f"(goal {GOAL_S:g} s: {'held' if worst_s <= GOAL_S else 'missed'}; the publisher was {late_s:.3f} s late at most)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
