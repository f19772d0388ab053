"""A whole federation on real parts: mosquitto from broker_config/, a coordinator process, agents, over loopback MQTT."""

import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from coordinator.settings import load
from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from edge_agents.sources import Sample, Source
from experiments import broker
from experiments.observer import USER, Observer, Tap
from experiments.results import RoundRow
from experiments.simulation import Simulation
from tegu import topics
from tegu.model import Model
from tegu.wire.initialization import decode_init
from tegu.wire.messages import Ack

from .parts import needs
from .peer import Peer

SITE = "test"
SPEC = "1 | dense 8 tanh | dense 1 linear"
DEVICES = [f"device-{n}" for n in range(1, 9)]
USERS = {name: f"secret of {name}" for name in [*DEVICES, "coordinator", "newcomer", USER]}
DEADLINE_S = 60.0
CONFIG = """
[coordinator]
site = "{site}"
port = {port}
password = "{password}"
checkpoint = "{checkpoint}"
[model]
name = "lines"
spec = "{spec}"
inner_step_size = 0.1
samples = 8
top_p = 30
init_codec = "f32"
top_p_down = {down}
[rounds]
rounds = {rounds}
quorum = {quorum}
deadline_s = 30
algorithm = "{algorithm}"
schedule = "cosine"
{rules}
[monitor]
{monitor}
"""
UNWATCHED = 'store = ""'
SPARSE = "server = 'momentum'\nouter_step_size = 0.3"  # with sparse deltas down


class Line(Source):
    """y = slope x, from x in -1..1 drawn by seed; before the samples of `holds` it waits for a release()."""

    poll_s = 0.02

    def __init__(self, number: int, holds: tuple[int, ...] = ()) -> None:
        super().__init__(f"line {number}", True, "a line")
        self._slope = 1.0 + 0.1 * number
        self._random = Random(number)
        self._given = 0
        self._holds = list(holds)

    def release(self) -> None:
        del self._holds[0]

    def next_support(self, wanted: int | None) -> Sample | None:
        if self._given in self._holds[:1]:
            return None
        self._given += 1
        return self._at(self._random.uniform(-1, 1))

    def query(self) -> list[Sample]:
        return [self._at(n / 10) for n in range(-10, 11)]

    def _at(self, x: float) -> Sample:
        return (x,), (self._slope * x,)


class Coordinator:
    """The coordinator as a process that can be killed and started again on the same checkpoint."""

    def __init__(
        self, folder: Path, port: int, rounds: int, quorum: int, algorithm: str, rules: str, monitor: str
    ) -> None:
        self._config = folder / "coordinator.toml"
        self._config.write_text(
            CONFIG.format(
                site=SITE,
                port=port,
                password=USERS["coordinator"],
                checkpoint=folder / "coordinator.sqlite",
                spec=SPEC,
                rounds=rounds,
                quorum=quorum,
                algorithm=algorithm,
                rules=rules,
                monitor=monitor,
                down=20 if rules else 0,
            )
        )
        self._log = (folder / "coordinator.log").open("ab")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "coordinator.service", str(self._config)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


class Site:
    """A broker, a coordinator and a tap on all that passes."""

    def __init__(self, running: broker.RunningBroker, coordinator: Coordinator, tap: Tap, folder: Path) -> None:
        self.running = running
        self.coordinator = coordinator
        self.folder = folder
        self.observer = Observer(SITE, "lines")
        self.rows: list[RoundRow] = []
        self.counted: set[tuple[str, int, int]] = set()  # updates that were accepted: topic, boot, sequence
        self.init = b""
        self.seen: list[tuple[str, bytes]] = []  # all that passed
        self._tap = tap

    def agent(self, device: str, source: Source) -> Agent:
        port = self.running.port
        return Agent(Place(device, SITE, "lines", port=port, password=USERS[device], state_folder=self.folder), source)

    def watch(self, until: str, count: int = 0) -> None:
        """Take in what passes until 'finished', or until `count` updates in all were accepted."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            for topic, payload in self._tap.messages(0.1):
                self.seen.append((topic, payload))
                row = self.observer.see(topic, payload, time.monotonic())
                if row is not None:
                    self.rows.append(row)
                if topic.endswith("/init"):
                    self.init = payload
                if "/ack/" in topic:
                    self._count(topic, Ack.decode(payload))
                    if until == "accepted" and len(self.counted) >= count:
                        return
            if until == "finished" and self.observer.finished:
                return
        pytest.fail(f"not {until} {count or ''} in {DEADLINE_S:.0f} s; log: {self._log()}", pytrace=False)

    def _count(self, topic: str, ack: Ack) -> None:
        if ack.result in ("accepted", "duplicate"):  # the first ack may have died with the coordinator
            self.counted.add((topic, ack.boot, ack.sequence))

    def _log(self) -> str:
        return (self.folder / "coordinator.log").read_text()[-2000:]


@contextmanager
def site(
    folder: Path,
    rounds: int,
    quorum: int = 8,
    algorithm: str = "tinymetafed",
    rules: str = "",
    monitor: str = UNWATCHED,
) -> Iterator[Site]:
    folder.mkdir(exist_ok=True)
    with (
        broker.start(folder / "broker", USERS, "mosquitto") as running,
        Tap(running.host, running.port, USERS[USER], SITE) as tap,
    ):
        coordinator = Coordinator(folder, running.port, rounds, quorum, algorithm, rules, monitor)
        try:
            yield Site(running, coordinator, tap, folder)
        finally:
            coordinator.stop()


@pytest.fixture(autouse=True)
def _mosquitto() -> None:
    needs("mosquitto")


def undisturbed(folder: Path, rounds: int, rules: str = "") -> bytes:
    """The last initialization of a run in which nothing happens."""
    with (
        site(folder, rounds, rules=rules) as here,
        Fleet([here.agent(name, Line(n)) for n, name in enumerate(DEVICES)]),
    ):
        here.watch("finished")
        return here.init


def test_eight_agents_learn_a_better_initialization(tmp_path: Path) -> None:
    with site(tmp_path, 12) as here, Fleet([here.agent(name, Line(n)) for n, name in enumerate(DEVICES)]):
        here.watch("finished")
    assert [row.accepted for row in here.rows] == [8] * 12
    assert here.rows[-1].query_loss_before < 0.25 * here.rows[0].query_loss_before
    assert here.rows[-1].query_loss_after <= here.rows[0].query_loss_after
    model = Model(SPEC)
    assert all(0 < row.bytes_up < 8 * 4 * model.size / 2 for row in here.rows)


def test_a_late_joiner_gets_the_initialization_from_retained_topics(tmp_path: Path) -> None:
    with site(tmp_path, 2) as here:
        with Fleet([here.agent(name, Line(n)) for n, name in enumerate(DEVICES)]):
            here.watch("finished")
        here.coordinator.kill()  # retained topics need no coordinator
        newcomer = here.agent("newcomer", Line(50))
        with Fleet([newcomer]):
            assert newcomer.ready.wait(DEADLINE_S)
        here.coordinator.start()
    version, weights = decode_init(here.init, Model(SPEC))
    assert (newcomer.session.version, version) == (3, 3)
    assert newcomer.session.learner is not None
    assert newcomer.session.learner.weights == weights


SAMPLES = 8  # a device learns from in a round, as CONFIG says


def test_a_coordinator_killed_within_rounds_ends_with_the_same_initialization_to_the_bit(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path / "undisturbed", 6)
    rounds = (2, 3, 4, 6)
    slow = Line(5, tuple(SAMPLES * (r - 1) + 4 for r in rounds))  # no round closes before the kill within it
    with site(tmp_path / "killed", 6) as here:
        agents = [here.agent(name, slow if n == 5 else Line(n)) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            for r, heard in zip(rounds, (1, 3, 7, 5), strict=True):
                here.watch("accepted", 8 * (r - 1) + heard)
                here.coordinator.kill()
                slow.release()
                here.coordinator.start()
            here.watch("finished")
    assert here.init == expected
    assert decode_init(expected, Model(SPEC))[1] != array("f", Model(SPEC).initial(1))


def test_a_broker_killed_within_a_round_ends_with_the_same_initialization_to_the_bit(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path / "undisturbed", 4)
    slow = Line(5, (SAMPLES + 4,))
    with site(tmp_path / "killed", 4) as here:
        agents = [here.agent(name, slow if n == 5 else Line(n)) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("accepted", 12)
            here.running.kill()
            here.running.restart()
            slow.release()
            here.watch("finished")
    assert here.init == expected


@pytest.mark.parametrize("rules", ["", SPARSE])
def test_a_simulated_federation_ends_with_the_same_initialization_to_the_bit(tmp_path: Path, rules: str) -> None:
    expected = undisturbed(tmp_path / "mqtt", 4, rules)
    settings = load(tmp_path / "mqtt" / "coordinator.toml")
    settings = replace(settings, link=replace(settings.link, checkpoint=Path(":memory:")))
    weights = Simulation(settings, {name: Line(n) for n, name in enumerate(DEVICES)}).run()
    assert decode_init(expected, Model(SPEC)) == (5, weights)


def test_with_sparse_deltas_a_killed_coordinator_ends_with_the_same_initialization_to_the_bit(tmp_path: Path) -> None:
    expected = undisturbed(tmp_path / "undisturbed", 5, SPARSE)
    slow = Line(5, (2 * SAMPLES + 4,))
    with site(tmp_path / "killed", 5, rules=SPARSE) as here:
        agents = [here.agent(name, slow if n == 5 else Line(n)) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("accepted", 8 * 2 + 3)
            here.coordinator.kill()
            slow.release()
            here.coordinator.start()
            here.watch("finished")
    assert here.init == expected


def test_tinyreptile_asks_one_device_a_round_in_turn(tmp_path: Path) -> None:
    with site(tmp_path, 16, quorum=1, algorithm="tinyreptile") as here:
        agents = [here.agent(name, Line(n)) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("finished")
    assert [row.accepted for row in here.rows] == [1] * 16
    assert sum(agent.session.accepted for agent in agents) == 16
    assert all(row.stale == row.late == 0 for row in here.rows)
    assert here.rows[-1].query_loss_before < here.rows[0].query_loss_before


def test_a_device_with_a_wrong_password_is_told_so_and_ends(tmp_path: Path) -> None:
    with site(tmp_path, 1) as here:
        agent = Agent(Place("device-1", SITE, "lines", port=here.running.port, state_folder=tmp_path), Line(1))
        with Fleet([agent]) as fleet:
            fleet.wait()
        assert "uthori" in agent.refused  # "Not authorized", "Bad user name or password" says 3.1.1 by code 5


def test_an_update_without_qos_1_is_nobodys(tmp_path: Path) -> None:
    topic = topics.device(SITE, "device-1", "update", "lines")
    with site(tmp_path, 1) as here, Peer(here.running, "device-1", password=USERS["device-1"]) as device:
        device.subscribe(topics.device(SITE, "device-1", "ack", "lines"))
        device.subscribe(topics.coordinator_state(SITE))
        seen = [device.next()]
        while seen[-1].topic != topics.coordinator_state(SITE):
            seen.append(device.next())  # the coordinator is online: it has subscribed
        device.send(topic, b"22", qos=0)
        device.publish(topic, b"333")
        while seen[-1].topic.endswith("/state") or "3 bytes" not in Ack.decode(seen[-1].payload).why:
            seen.append(device.next())
    said = [Ack.decode(message.payload).why for message in seen if "/ack/" in message.topic]
    assert not any("2 bytes" in why for why in said), said
