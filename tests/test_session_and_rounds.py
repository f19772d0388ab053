"""Five sessions and one federation, joined in memory by a wire that does its worst.

Everything random comes from a seed, time is a step counter, and nothing is a stand-in but the wire: the sessions, the
federation and its SQLite file are the real ones. The wire keeps what MQTT promises (retained topics, one topic in order,
a subscription that ends with its connection) and nothing else: updates and acks are dropped, doubled, delayed and
overtaken, links break, devices reboot, and the federation is cut off before, within or after a commit and built again from
its file. Every case runs twice: with each version whole, and with sparse deltas down and a server's momentum.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coordinator import federation as federations
from coordinator.checkpoint import Checkpoint
from coordinator.federation import Federation
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.session import Session
from tegu.sparse import add
from tegu.wire.messages import Ack, Manifest, State
from tegu.wire.update import decode_update

DEVICES = ("a", "b", "c", "d", "e")
CHUNKED = ("d", "e")  # these pull 1 KiB pieces: the initialization has two
SPEC = "20 | dense 12 tanh | dense 2 softmax local"
MODEL = Model(SPEC)
SPARSE = {"down": 20.0, "server": "momentum", "outer_step_size": 0.5}
LIMIT = 6000  # steps: a federation that needs more has got stuck
Key = tuple[str, int, int, int]  # device, version, boot, sequence


@dataclass(frozen=True)
class Trouble:
    """How bad the wire is: probabilities, of a message or of a step, and the longest delay in steps."""

    lose: float = 0.0
    double: float = 0.0
    delay: int = 1
    break_link: float = 0.0
    reboot: float = 0.0
    crash: float = 0.0
    only_while_learning: bool = False  # of reboots


QUIET = Trouble()
BAD = Trouble(lose=0.15, double=0.15, delay=12, break_link=0.01, crash=0.06)
WORST = replace(BAD, reboot=0.01)


class PowerCut(BaseException):
    """The federation's process ends here."""


class CutShort(list[tuple[str, bytes]]):
    """A batch in the middle of which the power goes."""

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for n in range(len(self)):
            if n == len(self) // 2:
                raise PowerCut
            yield self[n]


class Device:
    """A session with its link. It learns also while the link is down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.boot = 0
        self.back_at = 0  # step at which the link comes up; -1: it is up
        self.topics: set[str] = set()
        self.version = 0  # that was looked at last
        self.learned: dict[int, float] = defaultdict(float)  # shared parameter -> sum of what was learned in rounds
        self.start()

    def start(self) -> None:
        self.boot += 1
        self.session = Session("home", self.name, "m", self.boot, chunked=self.name in CHUNKED)

    def learn(self) -> list[tuple[Any, ...]]:
        session = self.session
        if not session.learning or session.learner is None:
            return []
        draw = Random(f"{self.name} {session.version} {session.learned}")
        x = [draw.uniform(-1, 1) for _ in range(20)]
        before = list(session.learner.weights)
        effects = session.sample(x, session.wanted or 0)
        for start, stop in MODEL.shared:
            for i in range(start, stop):
                self.learned[i] += session.learner.weights[i] - before[i]
        return effects


class Wire:
    """Broker and network: everything that is on its way, and the witness of all that happens."""

    def __init__(self, told: Settings, trouble: Trouble, seed: int) -> None:
        self.told, self.trouble, self.draw = told, trouble, Random(seed)
        self.step = 0
        self.serial = 0
        self.retained: dict[str, bytes] = {}
        self.flying: list[tuple[int, int, str, str, bytes]] = []  # due, serial, to whom, topic, payload
        self.last_due: dict[tuple[str, str], int] = {}
        self.devices = {name: Device(name) for name in DEVICES}
        self.sent: dict[Key, bytes] = {}
        self.answers: dict[Key, list[str]] = defaultdict(list)  # as published, whether or not they arrived
        self.counted: set[Key] = set()
        self.crashes = self.reboots = self.lost = 0
        self.down_until = -1
        self.federation = self.new_federation()
        self.velocity = [0.0] * MODEL.shared_size  # of the server's momentum
        self.held = {1: array("f", self.federation.initialization.tobytes())}  # what a device has in a version
        self.wholes = {1}  # versions that were published whole
        self.start_federation()

    def now_s(self) -> float:
        return float(self.step)

    # --- the network ---

    def happens(self, probability: float) -> bool:
        return self.draw.random() < probability

    def fly(self, to: str, topic: str, payload: bytes, in_order: bool) -> None:
        due = self.step + self.draw.randint(1, self.trouble.delay)
        if in_order:
            due = self.last_due[to, topic] = max(due, self.last_due.get((to, topic), 0))
        self.serial += 1
        self.flying.append((due, self.serial, to, topic, payload))

    def landed(self, to: str) -> list[tuple[str, bytes]]:
        due = sorted(flight for flight in self.flying if flight[2] == to and flight[0] <= self.step)
        self.flying = [flight for flight in self.flying if flight not in due]
        return [(topic, payload) for _, _, _, topic, payload in due]

    def to_device(self, device: Device, topic: str, payload: bytes) -> None:
        """A lost ack is just lost; a lost piece of a topic's state would be a broken link."""
        is_ack = "/ack/" in topic
        if self.happens(self.trouble.lose if is_ack else self.trouble.lose / 10):
            self.lost += 1
            if not is_ack:
                self.break_link(device)
            return
        for _ in range(2 if self.happens(self.trouble.double) else 1):
            self.fly(device.name, topic, payload, in_order=not is_ack)

    def to_federation(self, topic: str, payload: bytes) -> None:
        is_update = "/update/" in topic
        if is_update and self.happens(self.trouble.lose):
            self.lost += 1
            return
        for _ in range(2 if is_update and self.happens(self.trouble.double) else 1):
            self.fly("", topic, payload, in_order=not is_update)

    def break_link(self, device: Device) -> None:
        if device.back_at >= 0:
            return
        device.back_at = self.step + self.draw.randint(1, 30)
        device.topics.clear()
        self.flying = [flight for flight in self.flying if flight[2] != device.name]
        will_topic, will = device.session.will()
        self.retained[will_topic] = will
        self.to_federation(will_topic, will)

    # --- devices ---

    def carry_out(self, device: Device, effects: list[tuple[Any, ...]]) -> None:
        for what, topic, *rest in effects:
            if what == "publish":
                self.from_device(device, topic, rest[0])
            elif device.back_at >= 0:
                continue
            elif what == "subscribe":
                device.topics.add(topic)
                if topic in self.retained:
                    self.to_device(device, topic, self.retained[topic])
            else:
                device.topics.discard(topic)

    def from_device(self, device: Device, topic: str, payload: bytes) -> None:
        if "/update/" in topic:
            key = (device.name, *decode_update(payload, MODEL).key())
            assert self.sent.setdefault(key, payload) == payload, "one key, two contents"
        if device.back_at >= 0:
            return
        if "/state" in topic:
            self.retained[topic] = payload
        self.to_federation(topic, payload)

    def live(self, device: Device) -> None:
        """One step of a device."""
        trouble, session = self.trouble, device.session
        if self.happens(trouble.reboot) and (session.learning or not trouble.only_while_learning):
            self.reboots += 1
            self.break_link(device)
            device.start()
        if self.happens(trouble.break_link):
            self.break_link(device)
        if 0 <= device.back_at <= self.step:
            device.back_at = -1
            self.carry_out(device, device.session.connected())
        for topic, payload in self.landed(device.name):
            self.carry_out(device, device.session.received(topic, payload))
        if session.version != device.version and session._kept._start is not None:
            device.version = session.version
            assert session._kept._start.tobytes() == self.held[session.version].tobytes()
        self.carry_out(device, device.learn())
        self.carry_out(device, device.session.tick(self.now_s()))

    # --- the federation ---

    def new_federation(self) -> Federation:
        checkpoint = Checkpoint(self.told.link.checkpoint, "m", MODEL)
        checkpoint._db.execute("PRAGMA synchronous=OFF")  # processes die here, not machines
        return Federation(self.told, self.now_s, self.now_s, checkpoint)

    def start_federation(self) -> None:
        self.publish(self.federation.retained())
        online = State(state="online", boot=self.federation.epoch).encode()
        self.publish([(topics.coordinator_state("home"), online, True)])
        for topic, payload in self.retained.items():
            if "/device/" in topic:
                self.to_federation(topic, payload)

    def publish(self, out: list[tuple[str, bytes, bool]]) -> None:
        for topic, payload, retain in out:
            if topic == topics.model("home", "m", "manifest"):
                self.wholes.add(Manifest.decode(payload).version)
            if retain and payload:
                self.retained[topic] = payload
            elif retain:
                self.retained.pop(topic, None)
            self.witness_ack(topic, payload)
            for device in self.devices.values():
                if topic in device.topics:
                    self.to_device(device, topic, payload)

    def crash(self) -> None:
        before = self.federation.initialization.tobytes()
        self.federation.checkpoint.close()
        self.crashes += 1
        self.federation = self.new_federation()
        assert self.federation.initialization.tobytes() == before
        assert self.federation.published.tobytes() == self.held[self.federation.rounds.version].tobytes()
        self.down_until = self.step + self.draw.randint(1, 15)

    def serve(self) -> None:
        """One step of the federation. Messages that it had not acked when it died come again."""
        if self.step == self.down_until:
            self.start_federation()
        if self.step <= self.down_until:
            return
        messages = self.landed("")
        if messages and self.happens(self.trouble.crash):
            try:
                self.federation.batch(CutShort(messages))
            except PowerCut:
                self.back_to_the_broker(messages)
                self.crash()
                return
        out = self.federation.batch(messages)
        if messages and self.happens(self.trouble.crash):
            self.back_to_the_broker(messages)
            self.crash()
            return
        self.publish(out)
        out = self.witnessed_tick()
        if out and self.happens(self.trouble.crash):
            self.crash()
            return
        self.publish(out)

    def back_to_the_broker(self, messages: list[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            self.fly("", topic, payload, in_order="/update/" not in topic)

    # --- the witness ---

    def witness_ack(self, topic: str, payload: bytes) -> None:
        words = topics.parse(topic)
        assert words is not None
        if words[3] == "ack":
            ack = Ack.decode(payload)
            for key in self.sent:
                if key[0] == words[2] and key[2:] == (ack.boot, ack.sequence):
                    self.answers[key].append(ack.result)

    def witnessed_tick(self) -> list[tuple[str, bytes, bool]]:
        """A tick; if it closes a round, the new initialization is worked out a second time, from what the devices sent."""
        federation = self.federation
        version, before = federation.rounds.version, array("f", federation.initialization.tobytes())
        on_disk = dict(zip(federation.rounds.heard, federation.checkpoint.payloads(version), strict=True))
        out = federation.tick()
        if federation.rounds.version == version:
            assert federation.initialization.tobytes() == before.tobytes()
            return out
        assert federation.rounds.version == version + 1
        keys = {(device, *decode_update(payload, MODEL).key()) for device, payload in on_disk.items()}
        assert all(key[1] == version for key in keys)
        assert not keys & self.counted
        assert all(self.sent[key] == on_disk[key[0]] for key in keys)
        self.counted |= keys
        rules = self.told.rounds
        step = rules.outer_step_size * (1 - (version - 1) / rules.rounds)
        mean = mean_of([on_disk[device] for device in sorted(on_disk)])
        if rules.server:
            self.velocity = mean = [0.9 * v + m for v, m in zip(self.velocity, mean, strict=True)]
        assert federation.initialization.tobytes() == moved(before, mean, step)
        self.held[version + 1] = held = array("f", federation.initialization.tobytes())
        if self.told.model.top_p_down:
            (payload,) = [message[1] for message in out if message[0] == topics.delta("home", "m", version + 1)]
            held[:] = self.held[version]
            change = decode_update(payload, MODEL)
            add(MODEL.shared, held, change.indices, change.values)
        assert federation.published.tobytes() == held.tobytes()
        return out

    def run(self) -> "Wire":
        """Until all rounds are closed; then the wire heals, and everybody hears everything that is still due."""
        while not self.federation.rounds.finished:
            assert self.step < LIMIT, f"stuck at version {self.federation.rounds.version}"
            self.turn()
        self.trouble = QUIET
        for _ in range(120):
            self.turn()
        assert self.federation.rounds.finished
        return self

    def turn(self) -> None:
        self.step += 1
        for device in self.devices.values():
            self.live(device)
        self.serve()


def mean_of(payloads: list[bytes]) -> list[float]:
    """The mean of the deltas, added up in float64."""
    total = [0.0] * MODEL.shared_size
    for payload in payloads:
        update = decode_update(payload, MODEL)
        for i, value in zip(update.indices, update.values, strict=True):
            total[i] += value
    return [value / len(payloads) for value in total]


def moved(before: "array[float]", mean: list[float], step: float) -> bytes:
    """The next initialization. Shared weights come first."""
    after = array("f", before)
    for i, change in enumerate(mean):
        after[i] = before[i] + step * change
    return after.tobytes()


def told(folder: Path, top_p: float = 20.0, codec: str = "int8", down: float = 0.0, **changes: Any) -> Settings:
    rounds: dict[str, Any] = {"rounds": 8, "quorum": 3, "deadline_s": 60.0, "schedule": "linear", "clip": 0.0}
    return Settings(
        LinkSettings(checkpoint=folder / "c.sqlite"),
        ModelSettings(
            name="m",
            spec=SPEC,
            samples=4,
            top_p=top_p,
            codec=codec,
            init_codec="f32",
            inner_step_size=0.1,
            top_p_down=down,
        ),
        RoundSettings(**{**rounds, **changes}),
    )


def check_the_books(wire: Wire) -> None:
    """What was answered, what was counted and what each device believes are the same."""
    for key, results in wire.answers.items():
        assert results.count("accepted") <= 1
        if key not in wire.counted:
            assert not {"accepted", "duplicate"} & set(results), f"{key} was {results}, but it is in no version"
        elif key[2] == wire.devices[key[0]].boot:  # its first answer is the one that the device goes by
            assert results[0] in ("accepted", "duplicate"), f"{key} was {results}, but it is in a version"
    for version in range(1, wire.federation.rounds.version):
        devices = [key[0] for key in wire.counted if key[1] == version]
        assert devices, "a version from nothing"
        assert len(devices) == len(set(devices))
    for device in wire.devices.values():
        session = device.session
        mine = {key for key in wire.counted if key[0] == device.name and key[2] == session.boot}
        assert session.accepted == len(mine)
        assert session.version == device.version == wire.federation.rounds.version
        assert session.tick(1e9) + session.tick(2e9) == [], "an update still waits for its ack"
        if device.boot == 1:
            check_that_nothing_learned_is_lost(device, [wire.sent[key] for key in mine])


def check_that_nothing_learned_is_lost(device: Device, counted: list[bytes]) -> None:
    """What it learned in rounds = what was counted + its residual, but for rounding."""
    residual = device.session._kept._residual
    assert residual is not None
    sums = list(residual)
    for payload in counted:
        update = decode_update(payload, MODEL)
        for i, value in zip(update.indices, update.values, strict=True):
            sums[i] += value
    assert sums == pytest.approx([device.learned[i] for i in range(MODEL.shared_size)], abs=1e-5)


@pytest.fixture(autouse=True)
def _whole_every_third_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federations, "WHOLE_EVERY", 3)


BOTH = pytest.mark.parametrize("rules", [{}, SPARSE], ids=["whole", "sparse"])
Rules = dict[str, Any]


@BOTH
@pytest.mark.parametrize("seed", range(6))
def test_on_the_worst_wire_every_version_is_the_mean_of_what_was_accepted(
    tmp_path: Path, seed: int, rules: Rules
) -> None:
    wire = Wire(told(tmp_path, **rules), WORST, seed).run()
    check_the_books(wire)
    assert min(wire.crashes, wire.reboots, wire.lost) > 0
    assert len(wire.wholes) >= 4


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_a_serial_federation_on_the_worst_wire_counts_one_device_a_version(
    tmp_path: Path, seed: int, rules: Rules
) -> None:
    wire = Wire(told(tmp_path, algorithm="tinyreptile", rounds=10, **rules), WORST, seed).run()
    check_the_books(wire)
    assert len(wire.counted) == 10


@BOTH
@pytest.mark.parametrize("seed", range(2))
def test_a_quorum_that_is_never_there_goes_on_by_its_deadlines(tmp_path: Path, seed: int, rules: Rules) -> None:
    wire = Wire(told(tmp_path, quorum=9, wait_for=1, **rules), WORST, seed).run()
    check_the_books(wire)


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_devices_at_random_are_enough(tmp_path: Path, seed: int, rules: Rules) -> None:
    wire = Wire(told(tmp_path, join_percent=50.0, **rules), WORST, seed).run()
    check_the_books(wire)


def test_on_a_wire_that_does_no_harm_no_coordinator_dies_and_three_versions_are_whole(tmp_path: Path) -> None:
    wire = Wire(told(tmp_path, **SPARSE), QUIET, 0).run()  # type: ignore[arg-type]
    check_the_books(wire)
    assert wire.wholes == {1, 4, 7, 9}  # every third, and the last
    assert sorted(int(topic.rpartition("/")[2]) for topic in wire.retained if "/delta/" in topic) == [8, 9]
    assert {topic.split("/")[-2] for topic in wire.retained if "/chunk/" in topic} == {"7", "9"}


@BOTH
@pytest.mark.parametrize("seed", range(5))
def test_a_wire_that_heals_leaves_nobody_stuck(tmp_path: Path, seed: int, rules: Rules) -> None:
    """From some step on nothing goes wrong, so nobody connects again; every device has to answer every round."""
    settings = told(tmp_path, quorum=5, deadline_s=50_000.0, rounds=12, **rules)
    wire = Wire(settings, replace(BAD, break_link=0.05, lose=0.1), seed)
    while wire.federation.rounds.version < 6:
        wire.turn()
    wire.trouble = QUIET
    healed = wire.step
    check_the_books(wire.run())
    assert wire.step < healed + 120 + 7 * 40  # run() goes on for 120; a round has 4 samples, and resends after 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The last initialization when all devices answer every round and nothing goes wrong."""
    ends = {}
    for name, rules in (("", {}), ("momentum", SPARSE)):
        settings = told(tmp_path_factory.mktemp("undisturbed"), quorum=5, deadline_s=50_000.0, **rules)  # type: ignore[arg-type]
        wire = Wire(settings, QUIET, 0).run()
        check_the_books(wire)
        assert len(wire.counted) == 5 * 8
        ends[name] = wire.federation.initialization.tobytes()
    return ends


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_if_every_update_arrives_in_the_end_so_does_the_undisturbed_initialization(
    tmp_path: Path, seed: int, rules: Rules, undisturbed: dict[str, bytes]
) -> None:
    wire = Wire(told(tmp_path, quorum=5, deadline_s=50_000.0, **rules), BAD, seed).run()
    check_the_books(wire)
    assert min(wire.crashes, wire.lost) > 0
    assert wire.federation.initialization.tobytes() == undisturbed[rules.get("server", "")]


@BOTH
@pytest.mark.parametrize("seed", range(2))
def test_a_reboot_before_the_update_was_made_changes_nothing_when_all_of_a_delta_is_sent(
    tmp_path: Path, seed: int, rules: Rules
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    more = {"top_p": 100.0, "codec": "f32", "quorum": 5, "deadline_s": 50_000.0, **rules}
    quiet = Wire(told(tmp_path / "1", **more), QUIET, 0).run()
    trouble = replace(BAD, reboot=0.2, only_while_learning=True)
    wire = Wire(told(tmp_path / "2", **more), trouble, seed).run()
    assert wire.reboots > 5
    assert wire.federation.initialization.tobytes() == quiet.federation.initialization.tobytes()
