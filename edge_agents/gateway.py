"""`tegu gateway`: boards without a network reach the broker over a serial line.

The gateway is a pipe of bytes and nothing more. A board runs the same MQTT client as over Wi-Fi, with its own CONNECT,
user name, password and last will, over the frames of tegu.frames; the gateway opens one connection to the broker for
each board and passes bytes on. So the broker knows each board by its own name, its rights hold for it, and the gateway
has none. TLS is the gateway's part: a board's password crosses the serial line only. When a serial line is gone the
connection is closed without DISCONNECT, and the broker publishes the board's last will.

A port is a device, a pattern of devices that is looked at again and again (hot plug), or a URL of pyserial. One thread
for each open port, so that a port which cannot be selected on (rfc2217) or blocks holds nobody else up.
"""

import argparse
import glob
import io
import logging
import os
import select
import signal
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from tegu.frames import ASKED, SHUT, Pipe, since_ms
from tegu.topics import check_id

log = logging.getLogger("tegu.gateway")
LOOK_S = 0.5  # between two looks for new ports
IDLE_S, BUSY_S, BLIND_S = 0.25, 0.05, 0.01  # of waiting: nothing is due; an ACK is; select() cannot tell
CONNECT_S = 5.0  # a board waits 8
FAREWELL_S = 1.0
CALLS, CALL_MS = 3, 1000  # WHO is said so often, so far apart, until a frame comes
READ_BYTES = 4096
STRANGE_BYTES = 512  # without a frame among them: worth a word
TEXT = b"\t\r\n" + bytes(range(32, 127))
LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Port(Protocol):
    """What is used of pyserial's Serial."""

    timeout: float | None
    write_timeout: float | None

    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...


class Uplink:
    """One board's connection to the broker; after it was made nothing of it waits. over: why it is, or empty."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.link = link
        self.over = ""
        self.unsent = b""

    def receive(self, most: int) -> bytes:
        """What has come, at most so much; empty: nothing now, or never again, see over."""
        try:
            data = self.link.recv(most)
        except LATER:
            return b""
        except OSError as error:
            self.over = f"the connection to the broker broke: {error}"
            return b""
        if not data:
            self.over = "the broker closed the connection"
        return data

    def send(self, data: bytes = b"") -> None:
        """Pass on what is unsent, and data. If it cannot be, receive() will tell."""
        self.unsent += data
        try:
            while self.unsent:
                self.unsent = self.unsent[self.link.send(self.unsent) :]
        except LATER:
            pass
        except OSError:
            self.unsent = b""

    def close(self) -> None:
        """Send the rest and wait until the broker has seen the end, for FAREWELL_S at most."""
        try:
            self.link.settimeout(FAREWELL_S)
            self.link.sendall(self.unsent)
            self.link.shutdown(socket.SHUT_WR)
            while self.link.recv(READ_BYTES):
                pass
        except OSError:
            pass  # it was broken already
        self.link.close()


@dataclass(frozen=True)
class Broker:
    """Where it is; tls: None for plain TCP."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def connect(self) -> Uplink:
        """A new connection. OSError with a sentence."""
        try:
            link = socket.create_connection((self.host, self.port), CONNECT_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Uplink(self.tls.wrap_socket(link, server_hostname=self.host) if self.tls else link)
        except OSError as error:
            raise OSError(f"the gateway does not reach the broker at {self.host}:{self.port}: {error}") from error


class Boards:
    """Which board speaks through which port: one device id, one port."""

    def __init__(self) -> None:
        self._port_of: dict[str, str] = {}
        self._lock = threading.Lock()

    def claim(self, device: str, port: str) -> None:
        """device is behind port from now on. ValueError if that is no id, or another port's."""
        check_id(device, "device")
        with self._lock:
            owner = self._port_of.setdefault(device, port)
        if owner != port:
            raise ValueError(f"the id {device} is taken by the board at {owner}; give each board an id of its own")

    def release(self, device: str, port: str) -> None:
        with self._lock:
            if self._port_of.get(device) == port:
                del self._port_of[device]


def open_port(name: str, baud: int) -> Port:
    """A device or a URL of pyserial. OSError, ValueError with a sentence."""
    serial = import_module("serial")
    try:
        port: Port = serial.serial_for_url(name, baudrate=baud, timeout=BLIND_S, exclusive=True)
    except OSError as error:
        hint = (
            "is it used by another program, or closed to this user (group dialout)?" if "://" not in name else "waiting"
        )
        raise OSError(f"cannot be opened: {error}; {hint}") from error
    if name.startswith("socket://"):
        # Else Nagle's algorithm and delayed acknowledgements together hold a short frame back for 40 ms.
        with socket.socket(fileno=os.dup(port.fileno())) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return port


class Line:
    """One open port, until it fails or the gateway ends, and whoever is behind it."""

    def __init__(
        self, name: str, port: Port, baud: int, broker: Broker, boards: Boards, stopping: threading.Event
    ) -> None:
        self.name = name
        self._port, self._baud, self._broker, self._boards, self._stopping = port, baud, broker, boards, stopping
        self._fd = _descriptor(port)
        if self._fd is not None:  # else read() is the wait
            port.timeout = port.write_timeout = 0
        self._pipe = Pipe(listens=True)
        self._uplink: Uplink | None = None
        self._device = ""
        self._rest: memoryview | None = None  # of a frame that the port has not taken whole
        self._buffer = bytearray(READ_BYTES)
        self._strange: int | None = 0  # bytes since the last frame; None: a word was said about it
        self._calls = 0
        self._opened_ms = _now_ms()

    def run(self) -> None:
        """Until then. OSError if the port fails."""
        why = "the serial line is gone"
        try:
            while not self._stopping.is_set():
                self._step()
                self._wait()
            why = "the gateway ends"
            self._pipe.cut(why)
            self._speak()
        finally:
            self._hang_up(why)
            self._port.close()

    def _wait(self) -> None:
        """Until something can be done, or it is time to look at the clock.

        What TLS holds back unseen by select() is no concern: _relay() leaves nothing there for which there is room.
        """
        uplink, files = self._uplink, [] if self._fd is None else [self._fd]
        writing = files if self._rest is not None else []
        reading = list(files)
        wait_s = 0.0 if self._fd is None else BUSY_S if self._pipe.busy else IDLE_S
        if uplink is not None:
            links = [uplink.link.fileno()]
            reading += links if self._pipe.room else []
            writing = writing + links if uplink.unsent else writing
        select.select(reading, writing, [], wait_s)

    def _step(self) -> None:
        self._listen()
        if self._uplink is not None and self._pipe.state in (SHUT, ASKED):
            self._hang_up(self._pipe.reason or "the board began anew")
        if self._pipe.state == ASKED:
            self._speak()  # the board hears that it is heard
            self._connect()
        if self._uplink is not None:
            self._relay(self._uplink)
        self._speak()

    def _listen(self) -> None:
        """Take what has come. Until there was a frame, ask for boards a few times."""
        data, good = self._port.read(READ_BYTES), self._pipe.good
        now_ms = _now_ms()
        self._pipe.push(data, len(data), now_ms)
        if self._strange is not None:
            self._strange = 0 if self._pipe.good > good else self._strange + len(data)
            if self._strange >= STRANGE_BYTES:
                self._say_it_is_strange(data)
        if not self._pipe.good and self._calls < CALLS and since_ms(now_ms, self._opened_ms) >= self._calls * CALL_MS:
            self._calls += 1
            self._pipe.call()

    def _say_it_is_strange(self, data: bytes) -> None:
        """Once for each opening of the port."""
        self._strange = None
        wrong = f"is {self._baud} (--baud) what the board speaks at, and is it one of Tegu's?"
        if all(byte in TEXT for byte in data[-60:]):
            wrong = f"this is text, {data[-60:].decode()!r}: is this the board's console, and its firmware not running?"
        log.warning("%s: %d bytes and no frame among them; %s", self.name, STRANGE_BYTES, wrong)

    def _connect(self) -> None:
        """A board has said OPEN."""
        device = self._pipe.peer
        try:
            self._boards.claim(device, self.name)
            self._device = device
            self._uplink = self._broker.connect()
        except (ValueError, OSError) as error:
            log.warning("%s: %s is refused: %s", self.name, device, error)
            self._pipe.cut(str(error))
            self._boards.release(device, self.name)
            return
        log.info("%s: %s is connected", self.name, device)
        self._pipe.accept()

    def _relay(self, uplink: Uplink) -> None:
        """What the board sent to the broker and the other way round, as far as both take it now."""
        uplink.send()
        while not uplink.unsent and (count := self._pipe.readinto(self._buffer)):
            uplink.send(bytes(self._buffer[:count]))
        while self._pipe.room and (data := uplink.receive(self._pipe.room)):
            self._pipe.write(data)
        if uplink.over:
            self._pipe.close(uplink.over)
            self._hang_up(uplink.over)

    def _speak(self) -> None:
        """Write frames as long as the port takes them."""
        while True:
            if self._rest is None:
                self._rest = self._pipe.next_bytes(_now_ms())
            if self._rest is None or (self._fd is not None and not select.select([], [self._fd], [], 0)[1]):
                return
            count = self._port.write(bytes(self._rest)) or 0
            self._rest = self._rest[count:] if count < len(self._rest) else None

    def _hang_up(self, why: str) -> None:
        """End the board's connection to the broker; without a DISCONNECT, unless the board has sent one."""
        uplink, self._uplink = self._uplink, None
        if uplink is None:
            return
        while count := self._pipe.readinto(self._buffer):
            uplink.send(bytes(self._buffer[:count]))
        uplink.close()
        self._boards.release(self._device, self.name)
        pipe = self._pipe
        log.info("%s: %s has left: %s", self.name, self._device, why)
        log.debug("%s: %d frames were good, %d not, %d sent again", self.name, pipe.good, pipe.bad, pipe.resent)


class Gateway:
    """Opens the ports that there are, as they come."""

    def __init__(self, ports: list[str], baud: int, broker: Broker) -> None:
        self._ports, self._baud, self._broker = ports, baud, broker
        self._boards = Boards()
        self._ended = False
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._told: dict[str, str] = {}  # about a port, so that it is said once

    def end(self) -> None:
        """Have run() return soon. May be called from a signal, for it takes no lock."""
        self._ended = True

    def run(self) -> None:
        """Until end(); then everything is closed in order."""
        while not self._ended:
            self._look()
            time.sleep(LOOK_S)
        self._stopping.set()
        for thread in self._threads.values():
            thread.join()

    def _look(self) -> None:
        """Open what is there and not open. Whether it works is seen in its thread."""
        for name in self._names():
            thread = self._threads.get(name)
            if thread is None or not thread.is_alive():
                self._threads[name] = threading.Thread(target=self._serve, args=(name,), name=name)
                self._threads[name].start()

    def _names(self) -> set[str]:
        names = set()
        for port in self._ports:
            found = [port] if "://" in port else glob.glob(port)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            if not found:
                self._tell(port, "no such port yet; waiting for one")
            elif port not in found:
                self._told.pop(port, None)
            names.update(found)
        return names

    def _serve(self, name: str) -> None:
        """A port from its opening to its end."""
        try:
            port = open_port(name, self._baud)
        except (OSError, ValueError) as error:
            self._tell(name, str(error))
            return
        self._told.pop(name, None)
        log.info("%s is open", name)
        try:
            Line(name, port, self._baud, self._broker, self._boards, self._stopping).run()
        except OSError as error:
            log.warning("%s is gone: %s", name, error)

    def _tell(self, name: str, sentence: str) -> None:
        if self._told.get(name) != sentence:
            self._told[name] = sentence
            log.warning("%s: %s", name, sentence)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _descriptor(port: Port) -> int | None:
    """What select() takes; None if the port has none."""
    try:
        return port.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tegu gateway", description="Connect boards on serial lines to the broker.")
    parser.add_argument(
        "--port",
        action="append",
        required=True,
        help="a device, a pattern in quotes ('/dev/ttyACM*', for hot plug), or a URL of pyserial (socket://HOST:PORT, "
        "rfc2217://HOST:PORT); may be repeated",
    )
    parser.add_argument("--baud", type=int, default=115200, help="default 115200")
    parser.add_argument("--host", default="127.0.0.1", help="of the broker")
    parser.add_argument("--broker-port", type=int, default=1883, help="default 1883")
    parser.add_argument("--ca", default="", help="file of the certificate authority; then TLS")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> int:
    """`tegu gateway`: relay until interrupted. 0: ended by Ctrl-C or SIGTERM; 1: cannot begin."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="%(asctime)s %(message)s")
    try:
        import_module("serial")
        tls = ssl.create_default_context(cafile=options.ca) if options.ca else None
    except ModuleNotFoundError:
        extra = "install it with: pip install 'tegu[boards]' (in a checkout: pip install -e '.[boards]')"
        sys.stderr.write(f"tegu gateway: needs pyserial, which is not installed; {extra}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"tegu gateway: {options.ca}: {error}\n")
        return 1
    gateway = Gateway(options.port, options.baud, Broker(options.host, options.broker_port, tls))
    for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's `&` would have us ignore it
        signal.signal(ending, lambda *_: gateway.end())
    gateway.run()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
