"""A link to a broker that loses what it is told to: whole PUBLISH packets of MQTT 3.1.1, from the device to the broker only."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

Drop = Callable[[str, bytes], bool]  # topic, payload -> whether this packet is lost


class LossyLink:
    """A context manager; `port` on 127.0.0.1 leads to the broker's."""

    def __init__(self, broker_port: int, drop: Drop) -> None:
        self._broker_port = broker_port
        self._drop = drop
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = [self._server]

    def __enter__(self) -> "LossyLink":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for link in self._open:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                device, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                self._open += [device, broker]
                threading.Thread(target=self._up, args=(device, broker), daemon=True).start()
                threading.Thread(target=self._down, args=(broker, device), daemon=True).start()

    def _down(self, broker: socket.socket, device: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := broker.recv(65536):
                device.sendall(data)
            device.shutdown(socket.SHUT_RDWR)

    def _up(self, device: socket.socket, broker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for packet in packets(device):
                if packet[0] >> 4 != 3 or not self._drop(*published(packet)):
                    broker.sendall(packet)
            broker.shutdown(socket.SHUT_RDWR)


def packets(link: socket.socket) -> Iterator[bytes]:
    """MQTT control packets, whole (MQTT 3.1.1, section 2.2: a type, then the rest's length in 7-bit pieces)."""
    rest = b""
    while data := link.recv(65536):
        rest += data
        while (size := length_of(rest)) and len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]


def length_of(data: bytes) -> int:
    """Of the packet that data begins with, its head included; 0 if it cannot be known yet."""
    length = 0
    for n in range(1, min(5, len(data))):
        length |= (data[n] & 127) << 7 * (n - 1)
        if data[n] < 128:
            return 1 + n + length
    return 0


def published(packet: bytes) -> tuple[str, bytes]:
    """Topic and payload of a PUBLISH packet (section 3.3)."""
    at = 2
    while packet[at - 1] & 128:
        at += 1
    size = int.from_bytes(packet[at : at + 2], "big")
    topic = packet[at + 2 : at + 2 + size].decode()
    return topic, packet[at + 2 + size + (2 if packet[0] & 6 else 0) :]
