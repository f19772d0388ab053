"""`tegu gateway` between real parts: pseudo-terminals as serial lines, SerialLink on the board's end, mosquitto."""

import contextlib
import itertools
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import broker_config
from edge_agents import gateway
from experiments import broker
from experiments.broker import RunningBroker
from mcu_firmware.serial_link import SerialLink
from tegu import topics
from tests.parts import find_micropython, needs
from tests.peer import DEADLINE_S, Message, Peer
from tests.test_broker_config import _make_certificates

BOARDS = ("room-1", "room-2", "room-3")
USERS = {name: name for name in (*BOARDS, "coordinator", "observer")}
MICROPYTHON_BOARD = Path(__file__).parent / "serial" / "board.py"
CONNACK, PUBACK, DISCONNECT = b"\x20\2\0\0", b"\x40\2\0\1", b"\xe0\0"
LOST = b"lost"  # what the boards' wills say


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def wait_for(happened: Callable[[], object], what: str) -> None:
    """Until it has, which is looked at every 10 ms; the test fails after DEADLINE_S."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


class Cable:
    """A serial line: a name under which the gateway opens one end, and a UART at the other. Not plugged in at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1

    def plug(self) -> None:
        self.fd, other = os.openpty()
        tty.setraw(other)
        os.set_blocking(self.fd, False)
        self.path.symlink_to(os.ttyname(other))
        os.close(other)

    def unplug(self) -> None:
        if self.fd >= 0:
            self.path.unlink()
            os.close(self.fd)
            self.fd = -1

    # What machine.UART offers.

    def any(self) -> int:
        return len(select.select([self.fd], [], [], 0)[0])

    def readinto(self, buffer: bytearray) -> int | None:
        try:
            return os.readv(self.fd, [buffer])
        except OSError:  # nothing there, or nobody has the other end open
            return None

    def write(self, data: bytes | memoryview) -> int | None:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return None

    def pause(self) -> None:
        select.select([self.fd], [], [], 0.005)


class Board:
    """A board's program: SerialLink over a cable, and so much of MQTT as the tests need."""

    def __init__(self, name: str, cable: Cable, state: str) -> None:
        self.name, self.cable, self.state = name, cable, state
        self.link = SerialLink(cable, name, now_ms, cable.pause)

    def connect(self, password: str = "", answer: bytes = CONNACK) -> "Board":
        """Through the gateway and into the broker, with a will."""
        self.link.open()
        will = text(self.state) + text(LOST)
        login = text(self.name) + text(password or self.name)
        self.send(packet(0x10, text("MQTT") + b"\4\xee\0\x3c" + text(self.name) + will + login))
        assert self.receive(len(answer)) == answer
        return self

    def publish(self, topic: str, payload: bytes) -> None:
        """With QoS 1; back when the broker has said that it has it."""
        self.send(packet(0x32, text(topic) + b"\0\1" + payload))
        assert self.receive(4) == PUBACK

    def send(self, data: bytes) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while data:
            data = data[self.link.write(data) or 0 :]
            self.cable.pause()
            assert time.monotonic() < deadline_s

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer if the connection is over."""
        got, deadline_s = bytearray(), time.monotonic() + DEADLINE_S
        buffer = bytearray(4096)
        while len(got) < count:
            size = self.link.readinto(memoryview(buffer)[: count - len(got)])
            if size == 0:
                break
            got += buffer[: size or 0]
            self.cable.pause()
            assert time.monotonic() < deadline_s, f"{len(got)} of {count} bytes"
        return bytes(got)

    def ended(self) -> str:
        """Wait for the end of the connection: why."""
        assert self.receive(1) == b""
        return self.link.reason


def text(words: str | bytes) -> bytes:
    data = words.encode() if isinstance(words, str) else words
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    size, head = len(body), bytearray((first,))
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes(head) + bytes((size,)) + body


class Process:
    """`tegu gateway` as a process of its own, and what it writes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log_file = folder / f"gateway-{time.monotonic_ns()}.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agents.gateway", *arguments], stdin=subprocess.DEVNULL, stderr=log
            )

    def log(self) -> str:
        return self.log_file.read_text()

    def says(self, words: str) -> None:
        wait_for(lambda: words in self.log(), f"the gateway does not say {words!r}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(DEADLINE_S)


class Bench:
    """A broker, a gateway that looks for /…/tty*, and cables. `observer` sees states and telemetry of its own site.

    (What is retained of the test before, or still on its way, is of another site.)
    """

    numbers = itertools.count(1)

    def __init__(self, folder: Path, running: RunningBroker) -> None:
        self.folder, self.broker = folder, running
        self.site = f"site-{next(self.numbers)}"
        self.cables = [Cable(folder / f"tty{number}") for number in range(3)]
        self.gateways: list[Process] = []
        self.observer = Peer(running, "observer")
        self.observer.subscribe(self.state(topics.ANY))
        self.observer.subscribe(self.telemetry(topics.ANY))

    def state(self, name: str) -> str:
        return topics.device(self.site, name, "state")

    def telemetry(self, name: str) -> str:
        return topics.device(self.site, name, "telemetry")

    def start(self, *more: str) -> Process:
        port = () if "--broker-port" in more else ("--broker-port", str(self.broker.port))
        self.gateways.append(Process(self.folder, "--port", f"{self.folder}/tty*", *port, *more))
        return self.gateways[-1]

    def board(self, number: int, name: str = "") -> Board:
        """room-1 behind the first cable, and so on, or one of that name. The cable is plugged in."""
        cable, name = self.cables[number - 1], name or f"room-{number}"
        if cable.fd < 0:
            cable.plug()
        return Board(name, cable, self.state(name))

    def close(self) -> None:
        for one in self.gateways:
            if one.process.poll() is None:
                one.end(signal.SIGKILL)
        for cable in self.cables:
            cable.unplug()
        self.observer.leave()


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    needs("mosquitto")
    with broker.start(tmp_path_factory.mktemp("mosquitto"), USERS, "mosquitto") as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, mosquitto: RunningBroker) -> Iterator[Bench]:
    made = Bench(tmp_path, mosquitto)
    yield made
    made.close()


def test_each_board_has_its_own_connection_and_its_own_rights(bench: Bench) -> None:
    boards = [bench.board(number) for number in (1, 2, 3)]
    bench.start()
    for board in boards:
        board.connect()
    for board in boards:
        board.publish(bench.telemetry("room-2"), board.name.encode())  # the broker acknowledges what it denies
        board.publish(bench.telemetry(board.name), board.name.encode())
    assert bench.observer.all_so_far() == [
        Message(bench.telemetry("room-1"), b"room-1", False),
        Message(bench.telemetry("room-2"), b"room-2", False),
        Message(bench.telemetry("room-2"), b"room-2", False),
        Message(bench.telemetry("room-3"), b"room-3", False),
    ]


def test_a_wrong_password_is_the_boards_affair(bench: Bench) -> None:
    board = bench.board(1)
    bench.start()
    board.connect("wrong", answer=b"\x20\2\0\5")
    assert "closed the connection" in board.ended()
    board.connect()


def test_who_leaves_in_order_has_no_will_and_who_is_unplugged_has(bench: Bench) -> None:
    first, second = bench.board(1), bench.board(2)
    gateway = bench.start()
    first.connect().send(DISCONNECT)
    first.link.close()
    gateway.says("room-1 has left")
    second.connect()
    second.cable.unplug()
    assert bench.observer.next() == Message(bench.state("room-2"), LOST, False)
    assert bench.observer.all_so_far() == []
    gateway.says("tty1 is gone")


def test_what_was_written_before_the_board_closes_arrives_and_without_a_disconnect_the_will_comes(bench: Bench) -> None:
    board = bench.board(1)
    gateway = bench.start()
    board.connect()
    board.link.pipe.write(packet(0x30, text(bench.telemetry("room-1")) + bytes(100)))
    board.link.close()  # so that the gateway hears of the end together with the bytes before it
    assert [bench.observer.next().payload for _ in range(2)] == [bytes(100), LOST]
    gateway.says("room-1 has left: the board closes")


def test_a_board_is_plugged_in_unplugged_and_plugged_in_again(bench: Bench) -> None:
    gateway = bench.start()
    gateway.says("no such port yet")
    for _ in range(2):
        board = bench.board(1)
        board.connect().publish(bench.telemetry("room-1"), b"here")
        assert bench.observer.next().payload == b"here"
        board.cable.unplug()
        assert bench.observer.next().payload == LOST
    assert gateway.log().count("no such port yet") <= 2


def test_a_board_that_waits_is_called_when_a_gateway_comes(bench: Bench) -> None:
    board = bench.board(1)
    with pytest.raises(OSError, match=r"no gateway answers.*0 frames heard"):
        board.link.open(answer_ms=50)
    assert not board.link.called()
    bench.start()
    wait_for(board.link.called, "no call")
    assert not board.link.called()
    life = board.link.pipe.life
    board.connect()
    assert board.link.pipe.life != life


def test_two_boards_with_one_id_are_told_apart_until_the_first_is_gone(bench: Bench) -> None:
    first, second = bench.board(1), bench.board(2, "room-1")
    gateway = bench.start()
    first.connect()
    with pytest.raises(OSError, match=r"room-1 is taken by the board at .*/tty0; give each board an id of its own"):
        second.link.open()
    first.publish(bench.telemetry("room-1"), b"undisturbed")
    assert bench.observer.next().payload == b"undisturbed"
    first.cable.unplug()
    assert bench.observer.next().payload == LOST
    gateway.says("room-1 has left")
    second.connect()


def test_an_id_that_is_none_is_refused(bench: Bench) -> None:
    bench.cables[0].plug()
    bench.start()
    with pytest.raises(OSError, match="device must be 1 to 32 of a-z"):
        SerialLink(bench.cables[0], "Room/1", now_ms).open()


def test_a_board_that_begins_anew_takes_the_place_of_its_former_life(bench: Bench) -> None:
    board = bench.board(1)
    gateway = bench.start()
    board.connect()
    again = bench.board(1)
    again.connect()
    assert bench.observer.next().payload == LOST
    gateway.says("room-1 has left: the board began anew")
    again.publish(bench.telemetry("room-1"), b"anew")
    assert bench.observer.next().payload == b"anew"


def test_a_gateway_that_is_killed_and_started_again(bench: Bench) -> None:
    """The broker publishes the wills at once; the boards hear from the new gateway that they must begin anew."""
    boards = [bench.board(number) for number in (1, 2)]
    gateway = bench.start()
    for board in boards:
        board.connect()
    gateway.end(signal.SIGKILL)
    assert {bench.observer.next().topic for _ in boards} == {bench.state("room-1"), bench.state("room-2")}
    bench.start()
    for board in boards:
        assert board.ended() == "the gateway was started again"
        board.connect().publish(bench.telemetry(board.name), b"again")
        assert bench.observer.next().payload == b"again"


def test_a_gateway_that_is_killed_amid_a_frame(bench: Bench) -> None:
    board = bench.board(1)
    gateway = bench.start()
    board.connect()
    gateway.process.send_signal(signal.SIGSTOP)
    board.link.write(packet(0x30, text(bench.telemetry("room-1")) + bytes(600)))
    frame = bytes(board.link.pipe._out[0][:100])
    gateway.end(signal.SIGKILL)
    board.cable.write(frame)
    bench.start()
    assert "started again" in board.ended() or "not open here" in board.link.reason
    board.connect()


def test_a_gateway_that_is_told_to_end_says_so(bench: Bench) -> None:
    board = bench.board(1)
    gateway = bench.start()
    board.connect()
    assert gateway.end() == 0
    assert board.ended() == "the gateway ends"
    assert bench.observer.next().payload == LOST
    assert "Traceback" not in gateway.log()


def test_a_broker_that_is_down_and_up_again(tmp_path: Path) -> None:
    needs("mosquitto")
    (tmp_path / "bench").mkdir()
    with (
        broker.start(tmp_path / "broker", USERS, "mosquitto") as running,
        contextlib.closing(Bench(tmp_path / "bench", running)) as bench,
    ):
        board = bench.board(1)
        gateway = bench.start()
        board.connect()
        running.stop()
        assert "closed the connection" in board.ended() or "broke" in board.link.reason
        with pytest.raises(OSError, match=f"does not reach the broker at 127.0.0.1:{running.port}: .*refused"):
            board.connect()
        gateway.says("room-1 is refused")
        with pytest.raises(OSError, match="does not reach the broker"):  # its id is not taken by the first
            bench.board(2, "room-1").link.open()
        running.restart()
        board.connect().publish(bench.telemetry("room-1"), b"again")


def test_a_broker_that_does_not_answer_is_not_taken_for_a_gateway_that_does_not(bench: Bench) -> None:
    """A listener whose queue is full: a connection to it is neither accepted nor refused."""
    board = bench.board(1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as mute, contextlib.ExitStack() as stack:
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(mute.getsockname())
        bench.start("--broker-port", str(mute.getsockname()[1])).says("tty0 is open")
        start_ms = now_ms()
        with pytest.raises(OSError, match="the gateway has not reached the broker in time"):
            board.link.open(answer_ms=300, open_ms=600)
        assert now_ms() - start_ms >= 600
        bench.gateways[0].end(signal.SIGKILL)


def test_garbage_is_warned_of_once_and_a_board_is_heard_all_the_same(bench: Bench) -> None:
    noisy, talkative = bench.board(1), bench.board(2)
    gateway = bench.start()
    gateway.says("tty0 is open")
    gateway.says("tty1 is open")
    for _ in range(3):
        assert noisy.cable.write(random.Random(1).randbytes(2000)) == 2000
        assert talkative.cable.write(b"MicroPython v1.25.0; Type help() for more information.\r\n>>> " * 20) == 1200
        gateway.says("tty0: 512 bytes and no frame among them; is 115200 (--baud) what the board speaks at")
        gateway.says("tty1: 512 bytes and no frame among them; this is text")
    for board in (noisy, talkative):
        board.connect().publish(bench.telemetry(board.name), b"here")
        assert bench.observer.next().payload == b"here"
    assert gateway.log().count("no frame among them") == 2


def test_half_frames_and_prints_between_frames_lose_nothing(bench: Bench) -> None:
    board = bench.board(1)
    bench.start()
    board.connect()
    dice = random.Random(2)
    for number in range(20):
        board.cable.write(dice.choice((b"print()\r\n", b"\0\3\3", dice.randbytes(30), bytes((0, 0, 0, 5)))))
        board.publish(bench.telemetry("room-1"), b"%d" % number)
    assert [message.payload for message in bench.observer.all_so_far()] == [b"%d" % number for number in range(20)]


def test_a_uart_that_takes_a_few_bytes_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    board = bench.board(1)
    whole = board.cable.write
    monkeypatch.setattr(board.cable, "write", lambda data: whole(data[:7]) if random.random() < 0.8 else None)
    bench.start()
    board.connect().publish(bench.telemetry("room-1"), bytes(range(256)) * 10)
    assert bench.observer.next().payload == bytes(range(256)) * 10
    assert board.link.pipe.bad == 0


def test_a_port_that_takes_a_few_bytes_at_a_time(bench: Bench) -> None:
    """The gateway's own end, so its Line is run here."""
    board, stopping = bench.board(1), threading.Event()
    port = gateway.open_port(str(board.cable.path), 115200)
    whole, port.write = port.write, lambda data: whole(data[:7])  # type: ignore[method-assign]
    to_broker = gateway.Broker("127.0.0.1", bench.broker.port)
    line = gateway.Line("tty0", port, 115200, to_broker, gateway.Boards(), stopping)
    thread = threading.Thread(target=line.run)
    thread.start()
    try:
        board.connect().publish(bench.telemetry("room-1"), b"here")
        assert board.link.pipe.bad == 0
    finally:
        stopping.set()
        thread.join(DEADLINE_S)


def test_200_kb_go_up_and_down_at_once_and_how_fast(bench: Bench) -> None:
    """A pseudo-terminal has no baud rate: what is measured is the gateway's and SerialLink's own work."""
    board = bench.board(1)
    bench.start()
    board.connect()
    desired = topics.device(bench.site, "room-1", "desired")
    board.send(packet(0x82, b"\0\7" + text(desired) + b"\0"))
    assert board.receive(5) == b"\x90\3\0\7\0"
    up, down = random.Random(3).randbytes(200_000), random.Random(4).randbytes(200_000)
    with Peer(bench.broker, "coordinator") as coordinator:
        coordinator.send(desired, down, qos=0)
        start_s = time.monotonic()
        board.send(packet(0x30, text(bench.telemetry("room-1")) + up))
        wanted = packet(0x30, text(desired) + down)
        assert board.receive(len(wanted)) == wanted
    assert bench.observer.next().payload == up
    speed = 400_000 / (time.monotonic() - start_s)
    assert speed > 2 * 11_520, f"{speed:.0f} bytes per second are fewer than a line of 115,200 baud carries both ways"
    assert board.link.pipe.bad == 0


def test_tls_is_the_gateways_part(tmp_path: Path) -> None:
    needs("mosquitto")
    needs("openssl")
    (tmp_path / "bench").mkdir()
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as running:
        (running.folder / "tls").mkdir()
        _make_certificates(running.folder / "tls")
        port = broker.free_port()
        example = (broker_config.folder() / "tls.example.conf").read_text()
        (running.folder / "listeners" / "tls.conf").write_text(example.replace("8883", f"{port} 127.0.0.1"))
        running.restart()
        with contextlib.closing(Bench(tmp_path / "bench", running)) as bench:
            board = bench.board(1)
            bench.start("--ca", str(running.folder / "tls" / "ca.crt"), "--broker-port", str(port))
            board.connect()
            for number in range(5):
                board.publish(bench.telemetry("room-1"), b"%d" % number)
            assert len(bench.observer.all_so_far()) == 5
            board.cable.unplug()
            assert bench.observer.next().payload == LOST


def test_boards_on_micropython_over_socket_urls(bench: Bench) -> None:
    """As the emulated board's serial line is reached. Three at once, each under its own name."""
    needs("micropython")
    ports = [broker.free_port() for _ in BOARDS]
    programs = [
        subprocess.Popen(
            [str(find_micropython()), str(MICROPYTHON_BOARD), name, bench.site, "20", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, port in zip(BOARDS, ports, strict=True)
    ]
    for program in programs:
        assert program.stdout is not None and program.stdout.readline() == "listening\n"
    bench.start(*(word for port in ports for word in ("--port", f"socket://127.0.0.1:{port}")))
    for program in programs:
        said, _ = program.communicate(timeout=30)
        assert program.returncode == 0 and "bad 0" in said, said
    heard = bench.observer.all_so_far()
    for name in BOARDS:
        mine = [message.payload for message in heard if message.topic == bench.telemetry(name)]
        assert mine == [b"%d" % number for number in range(1, 21)]
    assert not [message for message in heard if message.payload == LOST]


def test_a_port_of_another_machine_by_rfc2217(bench: Bench) -> None:
    """pyserial's own server shares a cable; such a port cannot be selected on."""
    board = bench.board(1)
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_share, args=(server, str(board.cable.path)))
    thread.start()
    process = Process(
        bench.folder,
        *("--port", f"rfc2217://127.0.0.1:{server.getsockname()[1]}", "--broker-port", str(bench.broker.port)),
    )
    bench.gateways.append(process)
    try:
        board.connect().publish(bench.telemetry("room-1"), b"from afar")
        assert bench.observer.next().payload == b"from afar"
    finally:
        process.end()
        thread.join(DEADLINE_S)
        server.close()
    assert bench.observer.next().payload == LOST


def _share(server: socket.socket, path: str) -> None:
    """One client of RFC 2217 for the port at `path`, until it leaves."""
    serial, rfc2217 = import_module("serial"), import_module("serial.rfc2217")
    link, _ = server.accept()

    class WithoutModemLines(serial.Serial):  # type: ignore[name-defined,misc]  # a pseudo-terminal has none
        cts = dsr = ri = cd = True

        def _update_dtr_state(self) -> None: ...

        def _update_rts_state(self) -> None: ...

    port = WithoutModemLines(path, 115200, timeout=0)

    class Sender:
        def write(self, data: bytes) -> None:
            link.sendall(data)

    manager = rfc2217.PortManager(port, Sender())
    with contextlib.suppress(OSError):
        while True:
            ready = select.select([link.fileno(), port.fileno()], [], [])[0]
            if link.fileno() in ready:
                data = link.recv(1024)
                if not data:
                    break
                port.write(b"".join(manager.filter(data)))
            if port.fileno() in ready:
                link.sendall(b"".join(manager.escape(port.read(1024))))
    link.close()
    port.close()


def test_without_pyserial_a_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    assert gateway.run(["--port", "/dev/nowhere"]) == 1
    assert "pip install 'tegu[boards]'" in capsys.readouterr().err


def test_a_port_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "tty0").write_text("no port")
    process = Process(tmp_path, "--port", f"{tmp_path}/tty*", "--port", "socket://127.0.0.1:1")
    process.says("tty0: cannot be opened")
    process.says("socket://127.0.0.1:1: cannot be opened")
    cables = [Cable(tmp_path / "tty1"), Cable(tmp_path / "tty2")]
    for cable in cables:  # each is seen when the gateway looks again
        cable.plug()
        process.says(f"{cable.path} is open")
    assert process.end(signal.SIGINT) == 0
    assert process.log().count("cannot be opened") == 2
    for cable in cables:
        cable.unplug()
