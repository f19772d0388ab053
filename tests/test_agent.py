"""An agent beside a real broker: what it does when its source, its labels or its link go wrong."""

import json
import math
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker_config import link
from coordinator.federation import Federation
from coordinator.metrics import MEASUREMENTS
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from edge_agents.agent import Agent, Place, make_source
from edge_agents.fleet import Fleet
from edge_agents.meter import Rapl
from edge_agents.sources import Sample, Source
from experiments import broker
from experiments.observer import USER, Tap
from tegu import topics
from tegu.wire.messages import Ack, State, decode_numbers

from .parts import needs
from .peer import Peer

USERS = {name: name for name in ("room-1", "coordinator", "labels", USER)}
SETTINGS = Settings(
    LinkSettings(site="test", checkpoint=Path(":memory:")),
    ModelSettings("m", "1 | dense 2 softmax", samples=4),
    RoundSettings(quorum=1),
)


class Scripted(Source):
    """Gives what is queued: a sample, None, or an error to raise; then waits. Its sensor reads `read`, or raises it."""

    poll_s = 0.01

    def __init__(self) -> None:
        super().__init__("scripted", True, "for a test")
        self.next: queue.SimpleQueue[Sample | Exception | None] = queue.SimpleQueue()
        self.labels: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.scored: list[Sample] = []
        self.read: list[tuple[str, str, float]] | Exception = []
        self.row: tuple[float, ...] | None = None

    def query(self) -> list[Sample]:
        return self.scored

    def readings(self) -> list[tuple[str, str, float]]:
        if isinstance(self.read, Exception):
            raise self.read
        return self.read

    def present(self) -> tuple[float, ...] | None:
        return self.row

    def next_support(self, wanted: int | None) -> Sample | None:
        try:
            given = self.next.get_nowait()
        except queue.Empty:
            return None
        if isinstance(given, Exception):
            raise given
        return given

    def receive_label(self, label: int) -> None:
        self.labels.put(label)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[broker.RunningBroker]:
    needs("mosquitto")
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as started:
        with Peer(started, "coordinator") as peer:
            federation = Federation(SETTINGS)
            federation.rounds.ready.add("room-1")
            for topic, payload, retain in [*federation.tick(), *federation.retained()]:
                peer.publish(topic, payload, retained=retain)
        yield started


def agent(
    running: broker.RunningBroker, source: Source, folder: Path, meter: Rapl | None = None, **options: Any
) -> Agent:
    place = Place("room-1", "test", "m", port=running.port, password=USERS["room-1"], state_folder=folder, **options)
    return Agent(place, source, meter)


def first(tap: Tap, kind: str, wanted: str = "") -> bytes:
    """The payload of the first message of that kind that contains `wanted`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for topic, payload in tap.messages(0.1):
            if f"/{kind}" in topic and wanted.encode() in payload:
                return payload
    pytest.fail(f"no {kind} with {wanted!r} came", pytrace=False)


def test_a_sensor_that_fails_and_a_bad_sample_cost_nothing_but_a_line(
    running: broker.RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Scripted()
    given: list[Sample | Exception | None] = [OSError("i2c bus error"), ((1.0, 2.0), 0), ((0.5,), 7), ValueError("odd")]
    for item in [*given, *[((0.5,), n % 2) for n in range(4)]]:
        source.next.put(item)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([agent(running, source, tmp_path)]):
        numbers = decode_numbers(first(tap, "telemetry"))
        assert (numbers["samples"], numbers["updates"], numbers["sensor_failed"]) == (4, 1, 4)
        first(tap, "update")
    said = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert [line.rpartition(": ")[2] for line in said] == [
        "i2c bus error",
        "a sample has 1 inputs, not 2",
        "a class is a whole number from 0 to 1",
        "odd",
    ]


# --- what it tells of itself ---

COUNTED = {"version", "boot", "bad", "accepted", "samples", "updates", "sensor_failed", "uptime_s", "free_heap_bytes"}
BYTES = {"bytes_model_down", "bytes_update_up", "bytes_telemetry_up"}
MODELLED = {"compute_joules", "radio_joules", "session_joules", "energy_modelled"}
FOUR: list[Sample] = [((0.5,), 0), ((0.5,), 1), ((0.5,), 0), ((0.5,), 1)]


def test_a_device_that_has_nothing_to_learn_tells_that_it_is_there(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    device = agent(running, Scripted(), tmp_path, telemetry_s=0.05)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        earlier, later = (first(tap, "telemetry", '"version": 1') for _ in range(2))
    numbers, then = decode_numbers(earlier), decode_numbers(later)
    assert set(numbers) == COUNTED | BYTES | MODELLED  # and no loss: it would be taken for another round's
    assert not COUNTED - set(MEASUREMENTS["device"].fields)
    assert (numbers["boot"], numbers["samples"], numbers["updates"], numbers["sensor_failed"]) == (1, 0, 0, 0)
    assert 0 < numbers["uptime_s"] <= then["uptime_s"] < 20
    assert numbers["free_heap_bytes"] > 1e6
    assert then["bytes_telemetry_up"] == numbers["bytes_telemetry_up"] + len(earlier)
    assert len(earlier) < 500


def test_telemetry_may_be_for_updates_alone(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    device = agent(running, source, tmp_path, telemetry_s=0)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        assert device.ready.wait(20)
        for sample in FOUR:
            source.next.put(sample)
        assert decode_numbers(first(tap, "telemetry"))["updates"] == 1


def test_a_round_tells_its_losses_and_its_adaptation_curve(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    source.scored = [((0.5,), 0), ((0.5,), 1)]  # whatever a softmax says here, it is half right: ln 2 at least
    for sample in FOUR:
        source.next.put(sample)
    device = agent(running, source, tmp_path, telemetry_s=0.05)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        numbers = decode_numbers(first(tap, "telemetry", "loss_after"))
        heartbeat = decode_numbers(first(tap, "telemetry"))
    curve = {f"curve_{count}" for count in (0, 1, 2, 4)}  # and none after 8 samples: the round has four
    assert set(numbers) == COUNTED | BYTES | MODELLED | curve | {"loss_before", "loss_after"}
    assert (numbers["curve_0"], numbers["curve_4"]) == (numbers["loss_before"], numbers["loss_after"])
    assert all(numbers[name] >= math.log(2) - 1e-6 for name in curve)
    assert set(heartbeat) == COUNTED | BYTES | MODELLED
    assert (heartbeat["samples"], heartbeat["updates"]) == (4, 1)


def test_readings_and_presence_come_with_the_telemetry(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    source.channel, source.row, source.read = "presence", (0.0,), [("co2", "ppm", 612.0)]
    device = agent(running, source, tmp_path, telemetry_s=0.05)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        assert json.loads(first(tap, "sense/co2")) == [{"n": "co2", "u": "ppm", "v": 612.0}]
        # Without an input the biases decide, which all start from the same number: one half.
        assert json.loads(first(tap, "sense/presence")) == [{"n": "presence", "u": "/", "v": 0.5}]
        with Peer(running, "room-1"):  # its link breaks, and it comes back and says what it is
            assert json.loads(first(tap, "thing", "presence"))["sensors"]["co2"] == "ppm"


def test_a_sensor_that_does_not_answer_costs_its_readings_and_is_counted(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    source = Scripted()
    source.read = OSError("i2c bus error")
    device = agent(running, source, tmp_path, telemetry_s=0.05)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        assert decode_numbers(first(tap, "telemetry", '"sensor_failed": 1'))["samples"] == 0
        source.read = [("co2", "ppm", 612.0)]
        first(tap, "sense/co2")


def test_energy_is_the_meters_where_there_is_one(running: broker.RunningBroker, tmp_path: Path) -> None:
    (tmp_path / "max_energy_range_uj").write_text("262143328850\n")
    (tmp_path / "energy_uj").write_text("1000000\n")
    meter = Rapl(time.monotonic(), tmp_path)
    (tmp_path / "energy_uj").write_text("3500000\n")
    device = agent(running, Scripted(), tmp_path, meter, telemetry_s=0.05)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        numbers = decode_numbers(first(tap, "telemetry"))
    assert set(numbers) == COUNTED | BYTES | {"joules", "metered_s", "energy_modelled", "meter_failed"}
    assert (numbers["joules"], numbers["energy_modelled"], numbers["meter_failed"]) == (2.5, 0, 0)


# --- the link ---


def test_an_agent_that_dies_of_an_error_is_lost_and_not_ready(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    source.next.put(KeyError("a bug in a source"))
    with Tap(running.host, running.port, USERS[USER], "test") as tap:
        with Fleet([agent(running, source, tmp_path)]) as fleet:
            fleet.wait()
        assert fleet.failed == ["room-1"]
        assert State.decode(first(tap, "state", "lost")).boot == 1


@pytest.mark.parametrize("bad", [b"", b"{", b'{"label": 1e999}', b'{"label": "1"}', b"[" * 100_000, b'{"label": -1}'])
def test_a_bad_label_is_dropped_and_the_next_one_arrives(
    running: broker.RunningBroker, tmp_path: Path, bad: bytes
) -> None:
    source = Scripted()
    device = agent(running, source, tmp_path)
    topic = topics.device("test", "room-1", "label")
    with Fleet([device]):
        assert device.ready.wait(20)  # so that its subscriptions stand
        with Peer(running, "labels") as someone:
            someone.publish(topic, bad)
            someone.publish(topic, json.dumps({"label": 1}).encode())
        assert source.labels.get(timeout=20) == 1


def test_a_source_of_ones_own_is_found_and_a_wrong_one_is_told() -> None:
    assert make_source("tests.test_agent:Scripted", {}).name == "scripted"
    assert make_source("simulated", {}).simulated
    for spec, settings in (("nothing", {}), ("tests.test_agent:Nobody", {}), ("simulated", {"seat": "1"})):
        with pytest.raises(ValueError, match=spec.partition(":")[0]):
            make_source(spec, settings)


def test_a_device_that_forgot_its_boot_number_comes_back_with_the_next_one_in_its_will_too(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    device = agent(running, Scripted(), tmp_path)
    with Tap(running.host, running.port, USERS[USER], "test") as tap, Fleet([device]):
        assert device.ready.wait(20)
        with Peer(running, "coordinator") as coordinator:
            told = Ack(result="stale", version=1, least_boot=57).encode()
            coordinator.publish(topics.device("test", "room-1", "ack", "m"), told)
        first(tap, "state", '"boot": 58')  # said at once, on the old connection
        first(tap, "state", '"boot": 58')  # said again on the new one
        first(tap, "thing")
        with Peer(running, "room-1"):  # the same name: the broker drops the agent's connection
            assert State.decode(first(tap, "state", "lost")).boot == 58
    assert json.loads((tmp_path / "room-1.json").read_text()) == {"boot": 58}


def test_no_client_of_ours_holds_small_packets_back(running: broker.RunningBroker) -> None:
    client = link.client(USER, USERS[USER])
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(running.host, running.port)
    client.loop_start()
    try:
        assert connected.wait(20)
        opened = client.socket()
        assert isinstance(opened, socket.socket)
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        client.disconnect()
        client.loop_stop()
