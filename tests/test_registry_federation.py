"""Rounds opened by a question, on real parts: mosquitto with its rights, the registry's service, a coordinator, agents."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from experiments import broker
from experiments.broker import RunningBroker
from tegu import topics
from tegu.thing import announce
from tegu.wire.messages import Ack, State

from .parts import needs
from .peer import Peer
from .registered import Registered, until
from .test_federation import Line

SITE = "test"
DEVICES = [f"device-{n}" for n in range(1, 5)]
USERS = {name: name for name in [*DEVICES, "coordinator", "registry", "observer", "faulty"]}
CONFIG = """
[coordinator]
site = "{site}"
port = {port}
password = "coordinator"
checkpoint = "{folder}/coordinator.sqlite"
[model]
name = "lines"
spec = "1 | dense 8 tanh | dense 1 linear"
inner_step_size = 0.1
samples = 8
[rounds]
rounds = {rounds}
quorum = 3
wait_for = 4
deadline_s = 30
[monitor]
store = ""
[registry]
address = "{url}"
where = "{where}"
token_file = "{token}"
[about]
name = "Straight lines"
description = "The slope of a line"
sensors = "light"
data = "made up"
"""


class SensedLine(Line):
    """A line that comes from sensors."""

    def __init__(self, number: int, channels: dict[str, str]) -> None:
        super().__init__(number)
        self.sensors = channels


@contextmanager
def coordinator(folder: Path, port: int, registry: Registered, where: str, rounds: int) -> Iterator[Path]:
    """A coordinator whose rounds the registry opens; its log."""
    folder.mkdir(exist_ok=True)
    told = {"site": SITE, "port": port, "folder": folder, "rounds": rounds, "where": where}
    told |= {"url": registry.url, "token": registry.folder / "token"}
    (folder / "coordinator.toml").write_text(CONFIG.format(**told))
    log = folder / "coordinator.log"
    command = [sys.executable, "-m", "coordinator.service", str(folder / "coordinator.toml")]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningBroker]:
    needs("mosquitto")
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as started:
        yield started


@pytest.fixture
def registry(running: RunningBroker, tmp_path: Path) -> Iterator[Registered]:
    made = Registered(tmp_path / "registry", SITE, running.port, "registry")
    try:
        yield made
    finally:
        made.stop()


def agents(running: RunningBroker, folder: Path) -> list[Agent]:
    """Four devices; the last has no light sensor."""
    made = []
    for number, name in enumerate(DEVICES, 1):
        place = Place(name, SITE, "lines", port=running.port, password=name, state_folder=folder / name)
        channels = {"light": "lx"} if number < 4 else {"co2": "ppm"}
        made.append(Agent(place, SensedLine(number, channels)))
    return made


def test_a_round_is_for_whom_the_graph_selects_and_the_one_outside_is_told_why(
    running: RunningBroker, registry: Registered, tmp_path: Path
) -> None:
    with (
        Peer(running, "observer") as observer,
        coordinator(tmp_path / "c", running.port, registry, "has light, state = ready", 6) as log,
    ):
        observer.subscribe(topics.device(SITE, "device-4", "ack", "lines"))
        observer.subscribe(topics.model(SITE, "lines", "manifest"))
        with Fleet(agents(running, tmp_path)):
            told: Ack = until(lambda: _ack(observer), "an ack for the device outside")
            until(lambda: _current(registry) == 7, f"six rounds, see {log}")
    assert (told.result, told.why) == ("outside", "not in this round: it has no light sensor")
    inside = [f"urn:tegu:test:{name}" for name in DEVICES[:3]]
    rounds = "urn:tegu:test:model:lines:round:"
    for number in range(1, 7):
        assert registry.column(f"SELECT ?d {{ <{rounds}{number}> tegu:selected ?d }}") == inside
        by = registry.column(f"SELECT ?w {{ <{rounds}{number}> tegu:selectedBy ?w }}")
        assert by == ["has light, state = ready"]
    # Every update that was merged is there, and no other: three devices a round, as the quorum says.
    rows = registry.select("SELECT ?r ?d { ?r a tegu:Round ; prov:wasAssociatedWith ?d }")
    assert sorted((row["r"], row["d"]) for row in rows) == [
        (f"{rounds}{n}", device) for n in range(1, 7) for device in inside
    ]
    # Where version 7 comes from: round 6, which used version 6, and so on back to the first.
    versions = "urn:tegu:test:model:lines:"
    assert registry.column(f"SELECT ?v {{ <{versions}7> prov:wasDerivedFrom+ ?v }}") == [
        f"{versions}{n}" for n in range(1, 7)
    ]
    assert registry.column(f"SELECT ?r {{ <{versions}7> prov:wasGeneratedBy ?r }}") == [f"{rounds}6"]


def test_a_device_whose_announcement_is_wrong_is_told_so_and_kept_in_quarantine(
    running: RunningBroker, registry: Registered
) -> None:
    thing, state = (topics.device(SITE, "faulty", kind) for kind in ("thing", "state"))
    with Peer(running, "observer") as observer, Peer(running, "faulty") as device:
        observer.subscribe(topics.device(SITE, "faulty", "ack", "lines"))
        device.publish(state, State(state="ready", boot=1, model="lines").encode(), retained=True)
        device.publish(
            thing, json.dumps({"tm": "urn:tegu:tm:device:1", "model": "lines", "ram": "12k"}).encode(), retained=True
        )
        told: Ack = until(lambda: _ack(observer), "an ack")
        assert (told.result, told.why) == ("invalid", "thing: ram: must be a whole number of bytes, not '12k'")
        why = registry.column("SELECT ?why { <urn:tegu:test:faulty> tegu:quarantined ?why }")
        assert why == ["ram: must be a whole number of bytes, not '12k'"]
        device.publish(thing, announce("Mended", "lines", {"light": "lx"}, ram=12000), retained=True)
        until(
            lambda: registry.column("SELECT ?n { <urn:tegu:test:faulty> schema:name ?n }") == ["Mended"],
            "the mended thing",
        )
        assert registry.column("SELECT ?why { <urn:tegu:test:faulty> tegu:quarantined ?why }") == []


def test_a_whole_building_announces_itself_at_once(running: RunningBroker, registry: Registered) -> None:
    """More than a broker has under way to one listener: it waits for acks."""
    with Peer(running, "coordinator") as everybody:
        for number in range(300):
            thing = topics.device(SITE, f"board-{number}", "thing")
            everybody.send(thing, announce(f"Board {number}", "lines", {"co2": "ppm"}, ram=1000), retained=True)
        count = "SELECT (COUNT(?d) AS ?n) { ?d a tegu:Device ; tegu:ramBytes 1000 }"
        until(lambda: registry.column(count) == ["300"], "three hundred devices in the graph")


def test_a_device_that_the_coordinator_heard_of_first_is_waited_for(
    running: RunningBroker, registry: Registered
) -> None:
    told = announce("One", "lines", {"light": "lx"}, ram=1 << 20)
    with Peer(running, "device-1") as device:
        late = threading.Timer(
            0.3, lambda: device.publish(topics.device(SITE, "device-1", "thing"), told, retained=True)
        )
        late.start()
        asked = {
            "site": SITE,
            "model": "lines",
            "round_num": 1,
            "where": "has light",
            "ready": ["device-1", "stranger"],
        }
        answer = registry.send("POST", "/registry/rounds", asked)
        late.join()
    assert answer["devices"] == ["device-1"]
    assert answer["outside"] == {"stranger": "it is not in the registry"}


def test_what_was_answered_survives_kill_9(running: RunningBroker, registry: Registered) -> None:
    document = {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "title": "Lamp",
        "securityDefinitions": {"none": {"scheme": "nosec"}},
        "security": "none",
    }
    with Peer(running, "device-1") as device:
        for number in range(40):
            registry.send("PUT", f"/things/urn:example:lamp-{number}", {**document, "id": f"urn:example:lamp-{number}"})
        registry.kill()
        # What is said while it is away waits at the broker.
        device.publish(
            topics.device(SITE, "device-1", "thing"), announce("Away", "lines", {"co2": "ppm"}), retained=True
        )
    registry.start()
    assert len(registry.get("/things", limit="100")) >= 40
    until(lambda: registry.column("SELECT ?n { <urn:tegu:test:device-1> schema:name ?n }") == ["Away"], "the device")


def _ack(observer: Peer) -> Ack | None:
    for message in observer.all_so_far():
        if "/ack/" in message.topic:
            ack: Ack = Ack.decode(message.payload)
            return ack
    return None


def _current(registry: Registered) -> int:
    found = registry.column("SELECT ?n { <urn:tegu:test:model:lines> tegu:currentVersion/tegu:versionNumber ?n }")
    return int(found[0]) if found else 0
