"""The board's MQTT client against a real broker, over real and broken links, in both interpreters; and fuzzed.

tests/radio has the scripts that are devices here, and protocol.py: the bytes and times worked out by hand.
"""

import contextlib
import json
import queue
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

import pytest

from experiments import broker
from experiments.broker import RunningBroker
from mcu_firmware.radio import Radio
from tegu import topics
from tests.parts import find_micropython, needs
from tests.peer import DEADLINE_S, Peer

SCRIPTS = Path(__file__).parent / "radio"
INTERPRETERS = ("python", "micropython")
SLOW_S = 90.0  # for what is counted in ten thousands
PACKETS = 200_000  # the id of a packet wraps at 65,535: three times
MESSAGES = 70_000  # and so does the broker's
CUTS = 1000
RESTARTS_S = 8.0
STREAMS = 20_000


def topic(kind: str, what: str = "") -> str:
    return topics.device("here", "room-1", kind, what)


STATE, LABEL, UPDATE, ACK = topic("state"), topic("label"), topic("update", "presence"), topic("ack", "presence")


class Script:
    """A script of tests/radio as a process. A context manager: it must end by itself with status 0, else it is killed."""

    def __init__(self, interpreter: str, name: str, *arguments: object) -> None:
        if interpreter == "micropython":
            needs("micropython")
        program = [str(find_micropython())] if interpreter == "micropython" else [sys.executable, "-u"]
        command = [*program, str(SCRIPTS / name), *map(str, arguments)]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put("(no more lines)")

    def line(self, deadline_s: float = DEADLINE_S) -> str:
        return self.lines.get(timeout=deadline_s)

    def figures(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The next line, which is JSON. It is also shown (pytest -s)."""
        line = self.line(deadline_s)
        print(self.name, line)  # noqa: T201
        assert line.startswith("{"), [line, *(self.line() for _ in range(9) if not self.lines.empty())]
        figures: dict[str, Any] = json.loads(line)
        return figures

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        killed = self.process.poll() is not None
        try:
            if kind is None and not killed:
                assert self.process.wait(DEADLINE_S) == 0, self.lines.get()
        finally:
            self.kill()
            self._reader.join(DEADLINE_S)
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()


class Proxy:
    """A TCP proxy before a broker for one connection at a time. A context manager.

    cuts: how many connections it cuts, each after 1 to 3,000 bytes, both directions together, in order or by a reset.
    swallow: when set, it takes the bytes of both sides and passes none on.
    """

    def __init__(self, server_port: int, cuts: int = 0) -> None:
        self.cuts, self.cut = cuts, 0
        self.swallow = threading.Event()
        self.pings = threading.Semaphore(0)  # one for each PINGRESP
        self._server_port = server_port
        self._draw = Random(1)
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(DEADLINE_S)
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                device, _ = self._listener.accept()
                with device, socket.create_connection(("127.0.0.1", self._server_port)) as server:
                    for link in (device, server):
                        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with contextlib.suppress(OSError):
                        self._pass_on(device, server)

    def _pass_on(self, device: socket.socket, server: socket.socket) -> None:
        left = self._draw.randint(1, 3000) if self.cut < self.cuts else 1 << 60
        heard = [device, server]
        while not self._ended.is_set():
            for source in select.select(heard, [], [], 0.05)[0]:
                data = source.recv(min(left, self._draw.randint(1, 1000)))
                if not data and self.swallow.is_set():
                    heard.remove(source)  # the other one does not get to know
                elif not data:
                    return
                if data == b"\xd0\x00":
                    self.pings.release()
                if self.swallow.is_set():
                    continue
                (server if source is device else device).sendall(data)
                left -= len(data)
                if not left:
                    self.cut += 1
                    if self._draw.random() < 0.5:
                        device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return


def enter(port: int, user: str) -> socket.socket:
    """A plain connection to the broker, for what must be fast: CONNECT is said, and accepted."""
    link = socket.create_connection(("127.0.0.1", port), timeout=SLOW_S)
    name = struct.pack(">H", len(user)) + user.encode()
    body = b"\x00\x04MQTT\x04\xc2\x00\x00" + 3 * name
    link.sendall(bytes((0x10, len(body))) + body)
    assert receive(link, 4) == b"\x20\x02\x00\x00"
    return link


def receive(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = link.recv(min(1 << 16, count - len(data)))
        assert more, "the broker has closed the connection"
        data += more
    return bytes(data)


def publish_packet(to: str, payload: bytes, number: int = 0) -> bytes:
    """PUBLISH, with QoS 1 if it has a number; shorter than 128 bytes."""
    body = struct.pack(">H", len(to)) + to.encode() + (struct.pack(">H", number) if number else b"") + payload
    return bytes((0x32 if number else 0x30, len(body))) + body


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    needs("mosquitto")
    users = {name: name for name in ("coordinator", "observer", "labels", "room-1")}
    with broker.start(tmp_path_factory.mktemp("mosquitto"), users, "mosquitto") as running:
        yield running


# --- By hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_bytes_and_times_are_those_worked_out_by_hand(interpreter: str) -> None:
    expected = [line[4:].partition("(")[0] for line in (SCRIPTS / "protocol.py").read_text().splitlines()]
    with Script(interpreter, "protocol.py") as script:
        for name in sorted(name for name in expected if name.startswith("test_")):
            assert script.line(60) == name


# --- How many --------------------------------------------------------------------------------------------------------


def test_200000_packets_with_qos_1_arrive_each_once_and_in_order(mosquitto: RunningBroker) -> None:
    expected = b"".join(publish_packet(UPDATE, b"%06d" % at) for at in range(PACKETS))
    with enter(mosquitto.port, "coordinator") as listener:
        listener.sendall(bytes((0x82, 5 + len(UPDATE), 0, 1, 0, len(UPDATE))) + UPDATE.encode() + b"\x00")
        assert receive(listener, 5) == b"\x90\x03\x00\x01\x00"
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(receive(listener, len(expected))), daemon=True)
        reader.start()
        with Script("micropython", "publish.py", mosquitto.port, PACKETS) as script:
            figures = script.figures(SLOW_S)
        reader.join(DEADLINE_S)
    assert heard == [expected]
    assert figures["said"] == PACKETS
    assert (figures["wraps"], figures["last_id"]) == divmod(PACKETS, 65535)
    assert figures["left"] is True


def test_70000_messages_with_qos_1_are_acknowledged_each_once_and_in_order(mosquitto: RunningBroker) -> None:
    every = 10_000  # what a broker holds back for one client is bounded
    with (
        enter(mosquitto.port, "labels") as speaker,
        Script("micropython", "receive.py", mosquitto.port, MESSAGES, every) as script,
    ):
        assert script.line() == "subscribed"
        for first in range(0, MESSAGES, every):
            numbers = range(first, first + every)
            speaker.sendall(b"".join(publish_packet(LABEL, b"%d" % at, at % 65535 + 1) for at in numbers))
            receive(speaker, 4 * every)  # PUBACKs
            assert script.line(SLOW_S) == str(first + every)
        assert script.figures()["skipped"] == 0


# --- Links that break ------------------------------------------------------------------------------------------------


def update(key: int) -> bytes:
    """As in tests/radio/updates.py."""
    return ((b"%d " % key) * 600)[: 20 + key * 37 % 1181]


def send_at_once(peer: Peer) -> None:
    """No Nagle: a PUBACK and a message one after the other would take 40 ms."""
    link = peer._client.socket()
    assert isinstance(link, socket.socket)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Coordinator:
    """Counts each key once, tells duplicates apart, and acknowledges both, as a coordinator does."""

    def __init__(self) -> None:
        self.counted: list[int] = []
        self.duplicates = 0

    def receive(self, peer: Peer, deadline_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            payload = peer.received.get(timeout=deadline_s).payload
            key = int(payload.split()[0])
            assert payload == update(key)
            if key in self.counted[-10:]:
                self.duplicates += 1
            else:
                self.counted.append(key)
            peer.send(ACK, b"%d" % key)

    def check(self, acknowledged: int) -> None:
        """All that the device knows to have arrived has been counted once; one more may have been on its way."""
        assert self.counted in (list(range(acknowledged)), list(range(acknowledged + 1)))


def test_no_update_is_lost_or_counted_twice_over_1000_cut_connections(mosquitto: RunningBroker) -> None:
    coordinator = Coordinator()
    with Peer(mosquitto, "coordinator") as peer, Proxy(mosquitto.port, CUTS) as proxy:
        send_at_once(peer)
        peer.subscribe(UPDATE)
        with Script("micropython", "updates.py", proxy.port, CUTS) as script:
            ends_s = time.monotonic() + SLOW_S
            while script.lines.empty() and time.monotonic() < ends_s:
                coordinator.receive(peer, 0.05)
            figures = script.figures()
        while not peer.received.empty():
            coordinator.receive(peer, 0)
        assert proxy.cut == CUTS
    print(f"{coordinator.duplicates} duplicates told apart")  # noqa: T201
    assert figures["lost"] == CUTS
    assert figures["acknowledged"] >= CUTS // 2
    assert coordinator.duplicates > 0
    coordinator.check(figures["acknowledged"])


def test_no_update_is_lost_or_counted_twice_over_restarts_and_kills_of_the_broker(tmp_path: Path) -> None:
    needs("mosquitto")
    coordinator, restarts = Coordinator(), 0
    users = {name: name for name in ("coordinator", "room-1")}
    with (
        broker.start(tmp_path, users, "mosquitto") as running,
        Script("micropython", "updates.py", running.port, 1_000_000) as script,
    ):
        ends_s = time.monotonic() + RESTARTS_S
        while time.monotonic() < ends_s:
            with Peer(running, "coordinator") as peer:
                send_at_once(peer)
                peer.subscribe(UPDATE)
                before, deadline_s = len(coordinator.counted), time.monotonic() + DEADLINE_S
                while len(coordinator.counted) < before + 3:
                    assert time.monotonic() < deadline_s, "no update after a restart"
                    coordinator.receive(peer, 0.1)
            if restarts % 2:
                running.kill()
            running.restart()
            restarts += 1
        script.tell("end")
        figures = script.figures()
    print(f"{restarts} restarts, {coordinator.duplicates} duplicates told apart")  # noqa: T201
    assert restarts >= 5
    assert figures["lost"] >= restarts - 1
    coordinator.check(figures["acknowledged"])


@pytest.mark.parametrize(("interpreter", "mode"), [("micropython", "quiet"), ("python", "talking")])
def test_a_quiet_link_is_kept_and_one_that_swallows_is_noticed_within_one_and_a_half_keepalives(
    mosquitto: RunningBroker, interpreter: str, mode: str
) -> None:
    with Proxy(mosquitto.port) as proxy, Script(interpreter, "silence.py", proxy.port, mode) as script:
        assert script.line() == "connected"
        for _ in range(3 if mode == "quiet" else 2):  # keepalive is a second: mosquitto itself gives up after 1.5
            assert proxy.pings.acquire(timeout=DEADLINE_S)
        proxy.swallow.set()
        silent_ms, why = script.line().split(" ", 1)
        assert why == "the broker is silent"
        assert 1500 <= int(silent_ms) <= 2000  # 20 ms between two steps, and a busy machine


# --- What a broker says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_what_is_too_large_is_skipped_and_acknowledged_and_the_next_message_arrives(
    mosquitto: RunningBroker, interpreter: str
) -> None:
    large = 150  # more than the 100 that the broker sends without an acknowledgement
    with Peer(mosquitto, "labels") as peer, Script(interpreter, "large.py", mosquitto.port) as script:
        assert script.line() == "subscribed"
        peer.publish(LABEL, b"first")
        peer.send(LABEL, bytes(5000), qos=0)
        for _ in range(large):
            peer.send(LABEL, bytes(5000))
        peer.publish(LABEL, b"second")
        peer.publish(LABEL, b"end")
        assert [script.line() for _ in range(4)] == ["first", "second", "end", str(large + 1)]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_wrong_password_is_said_in_a_sentence_and_can_be_mended(mosquitto: RunningBroker, interpreter: str) -> None:
    with Script(interpreter, "refused.py", mosquitto.port) as script:
        assert script.line() == ("the broker refuses us: not authorised: does it know this user name and password?")
        state, is_why, retry_ms = script.line().split()
        assert (state, is_why) == ("refused", "True")
        assert 29_000 <= int(retry_ms) <= 60_000
        assert script.line() == "connected"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_last_will_speaks_after_a_kill_and_not_after_leaving(mosquitto: RunningBroker, interpreter: str) -> None:
    with Peer(mosquitto, "coordinator") as watcher:
        watcher.publish(STATE, b"", retained=True)
        watcher.subscribe(STATE)
        with Script(interpreter, "will.py", mosquitto.port) as script:
            said = []
            for word in ("7", "leave", "8"):
                script.tell(word)
                said.append(script.line())
            assert said == ["ready", "True", "ready"]
            script.kill()
            seen = [watcher.next().payload for _ in range(4)]
    assert seen == [b"ready 7", b"offline", b"ready 8", b"lost 8"]
    with Peer(mosquitto, "observer") as late:
        late.subscribe(STATE)
        assert late.next() == (STATE, b"lost 8", True)


# --- The heap --------------------------------------------------------------------------------------------------------


def test_idle_steps_leave_no_garbage_and_a_message_without_room_is_skipped(mosquitto: RunningBroker) -> None:
    with enter(mosquitto.port, "labels") as speaker, Script("micropython", "heap.py", mosquitto.port) as script:
        assert script.line() == "subscribed"
        for at in range(100):
            speaker.sendall(publish_packet(LABEL, bytes(40), at + 1))
        assert script.line() == "full"
        large = struct.pack(">H", len(LABEL)) + LABEL.encode() + b"\x00\x01" + bytes(3000)
        speaker.sendall(b"\x32" + bytes((len(large) & 127 | 128, len(large) >> 7)) + large)
        speaker.sendall(publish_packet(LABEL, b"next", 2))
        figures = script.figures()
    assert figures["idle"] == 0
    assert figures["message"] <= 600
    assert figures["skipped"] == 1


# --- Fuzz ------------------------------------------------------------------------------------------------------------


class Tape:
    """A link whose other side says what was recorded, in pieces, and then closes."""

    def __init__(self, said: bytes, most: int) -> None:
        self.said, self.at, self.most = said, 0, most

    def readinto(self, buffer: Any) -> int | None:
        count = min(len(buffer), self.most, len(self.said) - self.at)
        buffer[:count] = self.said[self.at : self.at + count]
        self.at += count
        return count

    def write(self, buffer: Any) -> int | None:
        return len(buffer)

    def close(self) -> None: ...


class Recorder:
    """A link that remembers what was read from it."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.said = link, bytearray()
        link.setblocking(False)

    def readinto(self, buffer: Any) -> int | None:
        with contextlib.suppress(BlockingIOError):
            count = self.link.recv_into(buffer)
            self.said += buffer[:count]
            return count
        return None

    def write(self, buffer: Any) -> int | None:
        return self.link.send(buffer)

    def close(self) -> None:
        self.link.close()


def record(running: RunningBroker) -> bytes:
    """What mosquitto says to a radio: every packet that a device can get, one of them too large for 64 bytes."""
    recorder = Recorder(socket.create_connection(("127.0.0.1", running.port)))
    radio = Radio(lambda: recorder, "coordinator", "coordinator", lambda: 0.0)
    told: list[tuple[Any, ...]] = [
        ("publish", "tegu/1/a", b"retained", 1, True),
        ("subscribe", "tegu/1/a"),
        ("publish", "tegu/1/a", b"", 0, False),
        ("publish", "tegu/1/a", bytes(range(200)), 1, False),
        ("publish", "tegu/1/a", b"more", 1, False),
        ("unsubscribe", "tegu/1/a"),
        ("publish", "tegu/1/a", b"", 1, True),
    ]
    until(radio, recorder.link, 0, lambda: radio.state == "connected")
    radio.carry_out(told)
    until(radio, recorder.link, 0, lambda: not radio.pending)
    until(radio, recorder.link, 15_000, lambda: recorder.said.endswith(b"\xd0\x00"))
    recorder.close()
    return bytes(recorder.said)


def until(radio: Radio, link: socket.socket, now_ms: int, done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not done():
        event = radio.step(now_ms)
        assert time.monotonic() < deadline_s
        if event is None:
            select.select([link], [], [], 0.05)


def play(radio: Radio, tape: Tape, now_ms: int) -> list[tuple[Any, ...]]:
    """The events of a tape to its end; it must come to one."""
    events: list[tuple[Any, ...]] = []
    for _ in range(2 * len(tape.said) + 10):
        event = radio.step(now_ms)
        if event is not None:
            events.append(event)
            if event[0] == "lost":
                return events
    raise AssertionError("it hangs")


def mutated(stream: bytes, draw: Random) -> bytes:
    """One to four changes: a bit, a byte, a piece cut out, doubled, or put elsewhere."""
    data = bytearray(stream)
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(data)), draw.randint(1, 12)
        kind = draw.randrange(6)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        elif kind == 2 and len(data) > 2 * size:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            to = draw.randrange(len(data))
            data[to:to] = data[at : at + size]
        else:
            data[at:at] = draw.randbytes(size)
    return bytes(data)


def test_20000_mutated_streams_raise_nothing_and_never_hang(mosquitto: RunningBroker) -> None:
    stream, draw, tape = record(mosquitto), Random(2), Tape(b"", 1)
    radio = Radio(lambda: tape, "room-1", "room-1", lambda: 0.0, buffer_bytes=64)
    seen = dict.fromkeys(("connected", "message", "lost"), 0)
    whys = set()
    now_ms = 0
    for at in range(STREAMS):
        whole = at % 100 == 0
        tape = Tape(stream if whole else mutated(stream, draw), draw.choice((1, 2, 5, 1000)))
        skipped = radio.skipped
        now_ms += radio.retry_ms(now_ms)
        events = play(radio, tape, now_ms)
        for event in events:
            seen[event[0]] += 1
            assert event[0] != "message" or (type(event[1]), type(event[2])) == (str, bytes)
        whys.add(events[-1][1])
        if whole:  # whatever came before, the next link is as good as new
            payloads = [b"retained", b"", b"more"]
            assert events[:-1] == [("connected",), *(("message", "tegu/1/a", each) for each in payloads)]
            assert radio.skipped == skipped + 1
    assert seen["lost"] == STREAMS
    assert seen["connected"] > STREAMS // 2
    assert len(whys) > 20


def test_a_radio_that_is_told_to_hurry_tries_at_the_next_step() -> None:
    tries = []

    def open_link() -> Any:
        tries.append(1)
        raise OSError("no gateway answers")

    radio = Radio(open_link, "room-1", "", lambda: 0.5)
    assert radio.step(0) == ("lost", "no gateway answers")
    assert (radio.step(1), radio.retry_ms(1), len(tries)) == (None, 1499, 1)
    radio.hurry()
    assert radio.retry_ms(1) == 0
    assert radio.step(2) == ("lost", "no gateway answers")
    assert len(tries) == 2
