"""Five sessions and one federation, joined in memory by a wire that does its worst.

Everything random comes from a seed, time is a step counter, and nothing is a stand-in but the wire: the sessions, the
federation and its SQLite file are the real ones. The wire keeps what MQTT promises (retained topics, one topic in order,
a subscription that ends with its connection) and nothing else: updates and acks are dropped, doubled, delayed and
overtaken, links break, devices reboot, and the federation is cut off before, within or after a commit and built again from
its file.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coordinator.federation import Federation
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.session import Session
from tegu.wire.messages import Ack, State
from tegu.wire.update import decode_update

DEVICES = ("a", "b", "c", "d", "e")
CHUNKED = ("d", "e")  # these pull 1 KiB pieces: the initialization has two
SPEC = "20 | dense 12 tanh | dense 2 softmax local"
MODEL = Model(SPEC)
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
        self.federation = Federation(told, self.now_s, self.now_s)
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
        self.carry_out(device, device.learn())
        self.carry_out(device, device.session.tick(self.now_s()))

    # --- the federation ---

    def start_federation(self) -> None:
        self.publish(self.federation.retained())
        online = State(state="online", boot=self.federation.epoch).encode()
        self.publish([(topics.coordinator_state("home"), online, True)])
        for topic, payload in self.retained.items():
            if "/device/" in topic:
                self.to_federation(topic, payload)

    def publish(self, out: list[tuple[str, bytes, bool]]) -> None:
        for topic, payload, retain in out:
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
        self.federation = Federation(self.told, self.now_s, self.now_s)
        assert self.federation.initialization.tobytes() == before
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
        assert federation.initialization.tobytes() == merged(before, [on_disk[d] for d in sorted(on_disk)], step)
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


def merged(before: "array[float]", payloads: list[bytes], step: float) -> bytes:
    """The next initialization: before + step / devices x sum of the deltas, added up in float64. Shared weights come first."""
    total = [0.0] * MODEL.shared_size
    for payload in payloads:
        update = decode_update(payload, MODEL)
        for i, value in zip(update.indices, update.values, strict=True):
            total[i] += value
    after = array("f", before)
    for i, change in enumerate(total):
        after[i] = before[i] + change * step / len(payloads)
    return after.tobytes()


def told(folder: Path, top_p: float = 20.0, codec: str = "int8", **changes: Any) -> Settings:
    rounds: dict[str, Any] = {"rounds": 8, "quorum": 3, "deadline_s": 60.0, "schedule": "linear", "clip": 0.0}
    return Settings(
        LinkSettings(checkpoint=folder / "c.sqlite"),
        ModelSettings(name="m", spec=SPEC, samples=4, top_p=top_p, codec=codec, init_codec="f32", inner_step_size=0.1),
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
        assert session.version == wire.federation.rounds.version
        assert session.tick(1e9) + session.tick(2e9) == [], "an update still waits for its ack"
        if device.boot == 1:
            check_that_nothing_learned_is_lost(device, [wire.sent[key] for key in mine])


def check_that_nothing_learned_is_lost(device: Device, counted: list[bytes]) -> None:
    """What it learned in rounds = what was counted + its residual, but for rounding."""
    residual = device.session._residual
    assert residual is not None
    sums = list(residual)
    for payload in counted:
        update = decode_update(payload, MODEL)
        for i, value in zip(update.indices, update.values, strict=True):
            sums[i] += value
    assert sums == pytest.approx([device.learned[i] for i in range(MODEL.shared_size)], abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_on_the_worst_wire_every_version_is_the_mean_of_what_was_accepted(tmp_path: Path, seed: int) -> None:
    wire = Wire(told(tmp_path), WORST, seed).run()
    check_the_books(wire)
    assert min(wire.crashes, wire.reboots, wire.lost) > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_serial_federation_on_the_worst_wire_counts_one_device_a_version(tmp_path: Path, seed: int) -> None:
    wire = Wire(told(tmp_path, algorithm="tinyreptile", rounds=10), WORST, seed).run()
    check_the_books(wire)
    assert len(wire.counted) == 10


@pytest.mark.parametrize("seed", range(4))
def test_a_quorum_that_is_never_there_goes_on_by_its_deadlines(tmp_path: Path, seed: int) -> None:
    wire = Wire(told(tmp_path, quorum=9, wait_for=1), WORST, seed).run()
    check_the_books(wire)


@pytest.mark.parametrize("seed", range(4))
def test_half_of_the_devices_at_random_are_enough(tmp_path: Path, seed: int) -> None:
    wire = Wire(told(tmp_path, join_percent=50.0), WORST, seed).run()
    check_the_books(wire)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last initialization when all devices answer every round and nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed")
    wire = Wire(told(folder, quorum=5, deadline_s=50_000.0), QUIET, 0).run()
    check_the_books(wire)
    assert len(wire.counted) == 5 * 8
    return wire.federation.initialization.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_if_every_update_arrives_in_the_end_so_does_the_undisturbed_initialization(
    tmp_path: Path, seed: int, undisturbed: bytes
) -> None:
    wire = Wire(told(tmp_path, quorum=5, deadline_s=50_000.0), BAD, seed).run()
    check_the_books(wire)
    assert min(wire.crashes, wire.lost) > 0
    assert wire.federation.initialization.tobytes() == undisturbed


@pytest.mark.parametrize("seed", range(3))
def test_a_reboot_before_the_update_was_made_changes_nothing_when_all_of_a_delta_is_sent(
    tmp_path: Path, seed: int
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    rules = {"top_p": 100.0, "codec": "f32", "quorum": 5, "deadline_s": 50_000.0}
    quiet = Wire(told(tmp_path / "1", **rules), QUIET, 0).run()  # type: ignore[arg-type]
    trouble = replace(BAD, reboot=0.2, only_while_learning=True)
    wire = Wire(told(tmp_path / "2", **rules), trouble, seed).run()  # type: ignore[arg-type]
    assert wire.reboots > 5
    assert wire.federation.initialization.tobytes() == quiet.federation.initialization.tobytes()
