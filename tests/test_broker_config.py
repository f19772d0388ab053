"""The broker as shipped: rights by topic, limits, and what it keeps. Every test talks to a real one."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

import broker_config
from edge_agents.agent import Agent, Place, make_source
from edge_agents.fleet import Fleet
from experiments import broker, broker_folder
from experiments.broker import RunningBroker
from tegu import topics
from tegu.wire.messages import State
from tests.parts import needs
from tests.peer import DEADLINE_S, MQTT5, MQTT311, Message, Peer

NAMES = ("coordinator", "coordinator-2", "homeassistant", "join", "labels", "observer", "registry", "room-1", "room-2")
USERS = {name: name for name in NAMES}
KINDS = ("mosquitto", "embedded")


def device(name: str, kind: str, what: str = "") -> str:
    return topics.device("here", name, kind, what)


def model(kind: str) -> str:
    return topics.model("here", "presence", kind)


STATE = topics.coordinator_state("here")
CHUNK = topics.chunk("here", "presence", 7, 0)
MODELS = {model("manifest"), model("round"), model("init"), CHUNK}
ABOUT = model("about")
HAS_A_WHAT = {"update": "presence", "ack": "presence", "sense": "co2"}
DEVICE_KINDS = ("state", "thing", "update", "ack", "telemetry", "sense", "label", "desired", "reported")
DEVICES = {device(name, kind, HAS_A_WHAT.get(kind, "")) for name in NAMES for kind in DEVICE_KINDS}
JOINS = {topics.join("here", name) for name in NAMES}
ALL_TOPICS = {STATE, ABOUT} | MODELS | DEVICES | JOINS

# The rights in words, worked by hand from the table of topics in the design.
WRITES = {
    "coordinator": ALL_TOPICS,
    "coordinator-2": {topic for topic in ALL_TOPICS if "/device/coordinator-2/" not in topic},
    "homeassistant": set(),
    "join": JOINS,
    "labels": {device(name, "label") for name in NAMES if name != "labels"},
    "observer": set(),
    "registry": {
        *(device(name, "ack", "presence") for name in NAMES if name != "registry"),
        *(device(name, "desired") for name in NAMES if name != "registry"),
    },
    "room-1": {
        device("room-1", "state"),
        device("room-1", "thing"),
        device("room-1", "update", "presence"),
        device("room-1", "telemetry"),
        device("room-1", "sense", "co2"),
        device("room-1", "reported"),
    },
}
READS = {
    "coordinator": ALL_TOPICS,
    "coordinator-2": {topic for topic in ALL_TOPICS if "/device/coordinator-2/" not in topic},
    "homeassistant": {topic for topic in ALL_TOPICS if "/device/homeassistant/" not in topic},
    "join": set(),
    "labels": set(),
    "observer": {topic for topic in ALL_TOPICS if "/device/observer/" not in topic},
    "registry": {topic for topic in ALL_TOPICS if "/device/registry/" not in topic},
    "room-1": {
        STATE,
        *MODELS,
        device("room-1", "ack", "presence"),
        device("room-1", "label"),
        device("room-1", "desired"),
    },
}


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """One for all tests that leave nothing behind in it."""
    needs("mosquitto")
    with broker.start(tmp_path_factory.mktemp("mosquitto"), USERS, "mosquitto") as running:
        yield running


@pytest.fixture(params=KINDS)
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningBroker]:
    """A fresh broker of each kind."""
    if request.param == "mosquitto":
        needs("mosquitto")
    with broker.start(tmp_path / "run", USERS, request.param) as running:
        yield running


@pytest.mark.parametrize("user", sorted(WRITES))
def test_a_user_writes_its_own_topics_and_no_others(mosquitto: RunningBroker, user: str) -> None:
    with Peer(mosquitto, "coordinator", client_id="watcher") as watcher, Peer(mosquitto, "room-2") as other:
        # The watcher has the coordinator's rights; for the coordinator's own row a device must not be thrown off.
        watcher.subscribe("tegu/1/#")
        writer = watcher if user == "coordinator" else Peer(mosquitto, user)
        for topic in sorted(ALL_TOPICS):
            writer.publish(topic, user.encode())
        other.publish(device("room-2", "telemetry"), b"marker")
        seen = [watcher.next()]
        while seen[-1].payload != b"marker":
            seen.append(watcher.next())
        if writer is not watcher:
            writer.leave()
    assert {message.topic for message in seen[:-1]} == WRITES[user]


@pytest.mark.parametrize("user", sorted(READS))
def test_a_user_reads_its_own_topics_and_no_others(mosquitto: RunningBroker, user: str) -> None:
    with Peer(mosquitto, "coordinator") as coordinator:
        reader = coordinator if user == "coordinator" else Peer(mosquitto, user)
        reader.subscribe("#")
        for topic in sorted(ALL_TOPICS):
            coordinator.publish(topic, b"for you?")
        seen = reader.all_so_far()
        reader.leave()
    assert {message.topic for message in seen} == READS[user]


def test_a_device_gets_no_retained_state_of_another_device(mosquitto: RunningBroker) -> None:
    mine, other = device("room-1", "desired"), device("room-2", "desired")
    with Peer(mosquitto, "coordinator") as coordinator, Peer(mosquitto, "room-1") as reader:
        for topic in (mine, other):
            coordinator.publish(topic, b"22 degrees", retained=True)
        reader.subscribe("tegu/1/here/device/#")
        assert reader.all_so_far() == [Message(mine, b"22 degrees", True)]
        for topic in (mine, other):
            coordinator.publish(topic, b"", retained=True)


def test_without_a_user_or_with_a_wrong_password_nobody_comes_in(either: RunningBroker) -> None:
    for user, password in ((None, None), ("room-1", "wrong"), ("room-3", "room-3")):
        with pytest.raises(ConnectionRefusedError):
            Peer(either, user, password=password)


@pytest.mark.parametrize("protocol", [MQTT311, MQTT5])
def test_another_ones_client_id_does_not_throw_it_off(mosquitto: RunningBroker, protocol: MQTTProtocolVersion) -> None:
    with Peer(mosquitto, "room-1", client_id="room-1", protocol=protocol) as first:
        with Peer(mosquitto, "room-2", client_id="room-1", protocol=protocol) as second:
            second.publish(device("room-2", "telemetry"), b"1")
        first.publish(device("room-1", "telemetry"), b"1")
        assert not first.disconnected.is_set()


@pytest.mark.parametrize("protocol", [MQTT311, MQTT5])
def test_a_retained_message_reaches_who_comes_later_until_it_is_cleared(
    either: RunningBroker, protocol: MQTTProtocolVersion
) -> None:
    with Peer(either, "coordinator", protocol=protocol) as coordinator:
        coordinator.publish(model("manifest"), b"version 1", retained=True)
        coordinator.publish(model("manifest"), b"version 2", retained=True)
        with Peer(either, "room-1", protocol=protocol) as late:
            late.subscribe(model("manifest"))
            assert late.next() == Message(model("manifest"), b"version 2", True)
        coordinator.publish(model("manifest"), b"", retained=True)
        with Peer(either, "room-2", protocol=protocol) as later:
            later.subscribe(model("manifest"))
            assert later.all_so_far() == []


def test_a_last_will_is_published_and_retained(either: RunningBroker) -> None:
    state = device("room-1", "state")
    with Peer(either, "coordinator") as watcher:
        watcher.subscribe(state)
        room = Peer(either, "room-1", will=(state, b"lost"))
        room.publish(state, b"ready", retained=True)
        assert watcher.next() == Message(state, b"ready", False)
        room.leave()
        assert watcher.next() == Message(state, b"lost", False)
    with Peer(either, "coordinator") as later:
        later.subscribe(state)
        assert later.next() == Message(state, b"lost", True)


@pytest.mark.parametrize("protocol", [MQTT311, MQTT5])
def test_updates_wait_for_a_coordinator_that_is_away(either: RunningBroker, protocol: MQTTProtocolVersion) -> None:
    update = device("room-1", "update", "presence")
    with Peer(either, "coordinator", protocol=protocol, keeps_session=True) as coordinator:
        coordinator.subscribe(update)
    with Peer(either, "room-1", protocol=protocol) as room:
        for at in range(150):  # more than max_inflight_messages
            room.publish(update, b"%d" % at)
    with Peer(either, "coordinator", protocol=protocol, keeps_session=True) as coordinator:
        assert [coordinator.next().payload for _ in range(150)] == [b"%d" % at for at in range(150)]


def test_a_whole_initialization_fits_and_a_larger_packet_ends_its_sender(either: RunningBroker) -> None:
    with Peer(either, "coordinator") as coordinator, Peer(either, "room-1") as reader:
        reader.subscribe(model("init"))
        init = bytes(300_000)
        coordinator.publish(model("init"), init)
        assert reader.next() == Message(model("init"), init, False)
        coordinator.send(model("init"), bytes(broker_folder.PACKET_BYTES + 1))
        assert coordinator.disconnected.wait(DEADLINE_S)
        with Peer(either, "coordinator") as again:
            again.publish(model("init"), b"marker")
        assert reader.next().payload == b"marker"


def test_state_and_queue_of_mosquitto_survive_a_restart(tmp_path: Path) -> None:
    needs("mosquitto")
    update = device("room-1", "update", "presence")
    with broker.start(tmp_path, USERS, "mosquitto") as running:
        with Peer(running, "coordinator", keeps_session=True) as coordinator:
            coordinator.subscribe(update)
            coordinator.publish(model("manifest"), b"version 1", retained=True)
        with Peer(running, "room-1") as room:
            room.publish(update, b"learned")
        running.restart()
        with Peer(running, "room-1") as room:
            room.subscribe(model("manifest"))
            assert room.next() == Message(model("manifest"), b"version 1", True)
        with Peer(running, "coordinator", keeps_session=True) as coordinator:
            assert coordinator.next() == Message(update, b"learned", False)


def test_a_killed_broker_serves_again_on_the_same_port(either: RunningBroker) -> None:
    before, port = either.pid, either.port
    either.kill()
    assert either.pid is None
    either.restart()
    assert either.pid not in (None, before)
    with Peer(either, "room-1") as room:
        room.publish(device("room-1", "telemetry"), b"1")
    assert either.port == port
    either.stop()
    either.stop()
    assert either.pid is None


def test_the_broker_under_test_is_the_broker_we_ship(mosquitto: RunningBroker) -> None:
    shipped = broker_config.folder()
    for name in ("mosquitto.conf", "acl"):
        assert (mosquitto.folder / name).read_bytes() == (shipped / name).read_bytes()
    listener = (shipped / "listeners" / "local.conf").read_text()
    assert "use_username_as_clientid true" in listener
    started = (mosquitto.folder / "listeners" / "local.conf").read_text()
    assert started.startswith(listener.replace(" 1883 ", f" {mosquitto.port} "))
    assert f"max_packet_size {broker_folder.PACKET_BYTES}\n" in (shipped / "mosquitto.conf").read_text()


def test_mosquitto_listens_on_its_one_port_only(mosquitto: RunningBroker) -> None:
    # A listener's option outside listeners/ makes mosquitto open port 1883 of all addresses as well.
    assert re.findall(r"listen socket on port (\d+)", mosquitto.log()) == [str(mosquitto.port)]


def test_the_tls_example_serves_devices_encrypted(tmp_path: Path) -> None:
    needs("mosquitto")
    needs("openssl")
    with broker.start(tmp_path, USERS, "mosquitto") as running:
        (tmp_path / "tls").mkdir()
        _make_certificates(tmp_path / "tls")
        port = broker.free_port()
        example = (broker_config.folder() / "tls.example.conf").read_text()
        (tmp_path / "listeners" / "tls.conf").write_text(example.replace("8883", f"{port} 127.0.0.1"))
        running.restart()
        ca_file = str(tmp_path / "tls" / "ca.crt")
        with Peer(running, "room-1", port=port, ca_file=ca_file) as room:
            with Peer(running, "room-2", client_id="room-1", port=port, ca_file=ca_file) as second:
                second.publish(device("room-2", "telemetry"), b"1")
            room.publish(device("room-1", "telemetry"), b"1")
        with pytest.raises(ConnectionRefusedError):
            Peer(running, "room-1", port=port)
        place = Place("room-1", "here", port=port, password="room-1", ca=ca_file, state_folder=tmp_path / "state")
        with Peer(running, "coordinator") as coordinator:
            coordinator.subscribe(device("room-1", "state"))
            with Fleet([Agent(place, make_source("simulated", {}))]):
                assert State.decode(coordinator.next().payload).state == "ready"


def _make_certificates(folder: Path) -> None:
    """The commands of broker_config/README.md, with the address this test connects to."""
    readme = (broker_config.folder() / "README.md").read_text()
    commands = [line for line in readme.splitlines() if line.startswith("openssl ")]
    assert len(commands) == 3
    for command in commands:
        local = command.replace("DNS:broker.building.example", "IP:127.0.0.1")
        subprocess.run(["bash", "-c", local], cwd=folder, check=True, capture_output=True)


def test_the_bridge_example_passes_updates_up_and_models_down(tmp_path: Path) -> None:
    needs("mosquitto")
    with (
        broker.start(tmp_path / "campus", {**USERS, "building-7": "change-me"}, "mosquitto") as campus,
        broker.start(tmp_path / "building", USERS, "mosquitto") as building,
    ):
        with (campus.folder / "acl").open("a") as acl:
            acl.write("\nuser building-7\ntopic readwrite tegu/1/here/#\n")
        campus.restart()
        example = (broker_config.folder() / "bridge.example.conf").read_text()
        example = example.replace("broker.example.org:8883", f"127.0.0.1:{campus.port}")
        example = example.replace("bridge_cafile tls/campus-ca.crt\n", "")
        (building.folder / "listeners" / "bridge.conf").write_text(example)
        with Peer(campus, "coordinator") as coordinator:
            coordinator.subscribe("tegu/1/#")
            coordinator.publish(model("manifest"), b"from the campus", retained=True)
            assert coordinator.next().payload == b"from the campus"
            building.restart()
            with Peer(building, "room-1") as room:
                room.subscribe(model("manifest"))
                assert room.next().payload == b"from the campus"
                room.publish(device("room-1", "sense", "co2"), b"stays here")
                room.publish(device("room-1", "update", "presence"), b"learned")
                assert coordinator.next() == Message(device("room-1", "update", "presence"), b"learned", False)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((broker_folder.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        for kind in KINDS:
            if kind == "mosquitto":
                needs("mosquitto")
            with pytest.raises(OSError, match=r"its log:[\s\S]*[Aa]ddress already in use"):
                broker.start(tmp_path / kind, USERS, kind, port)


@pytest.mark.parametrize(
    "users", [{"": "x"}, {"a:b": "x"}, {"a+": "x"}, {"#": "x"}, {"a\nb": "x"}, {"a": ""}, {"a": "x\ny"}]
)
def test_users_that_no_password_file_can_hold_are_refused(tmp_path: Path, users: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="user"):
        broker.start(tmp_path, users)


def hung_up(link: socket.socket) -> bool:
    """Whether the broker's end of the connection closes within the deadline, as it does when the broker ends."""
    try:
        return link.recv(1) == b""
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command's process, which does not outlive the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


STARTS_AND_WAITS = """
import sys
from pathlib import Path
from experiments import broker
running = broker.start(Path(sys.argv[1]), {"room-1": "room-1"}, sys.argv[2])
print(running.port, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_ends_with_the_process_that_started_it(tmp_path: Path, kind: str) -> None:
    if kind == "mosquitto":
        needs("mosquitto")
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path), kind]
    with running(command) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        with socket.create_connection((broker_folder.HOST, port), DEADLINE_S) as link:
            parent.kill()
            assert hung_up(link)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_says_how_to_connect_and_ends_when_told(kind: str, how: int, tmp_path: Path) -> None:
    if kind == "mosquitto":
        needs("mosquitto")
    users = tmp_path / "users"
    users.write_text("# the building\ncoordinator:secret\nobserver:secret\n\n")
    arguments = ["broker", "--port", "0", "--kind", kind, "--users", str(users), "--user", "room-1:room-1"]
    command = [sys.executable, "-m", "tegu_command", *arguments]
    with running(command) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(5)]
        address = re.search(r"MQTT on 127\.0\.0\.1:(\d+)", said[1])
        assert address is not None
        with socket.create_connection((broker_folder.HOST, int(address[1])), DEADLINE_S) as link:
            os.kill(process.pid, how)
            assert process.wait(DEADLINE_S) == 0
            assert hung_up(link)
    assert said[2] == "users: coordinator, observer, room-1\n"
    assert "-u observer -P PASSWORD" in said[3]
    assert not any("secret" in line for line in said)
