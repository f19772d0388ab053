"""What the scripts here share: a radio over TCP, under MicroPython and CPython. The first argument is the broker's port."""

import random
import select
import socket
import sys
import time

HERE = sys.argv[0].rsplit("/", 1)[0]
sys.path.insert(0, HERE + "/../../mcu_firmware")
sys.path.insert(0, HERE + "/../../mcu_firmware/lib")

from radio import Radio  # noqa: E402
from tegu import topics  # noqa: E402

PORT = int(sys.argv[1])
DEADLINE_MS = 60000
MICROPYTHON = sys.implementation.name == "micropython"


def topic(kind, what=""):
    return topics.device("here", "room-1", kind, what)


def ticks_ms():
    return time.ticks_ms() if MICROPYTHON else int(time.monotonic() * 1000)


class Socket:
    """A non-blocking socket of CPython as the stream that MicroPython's is by itself."""

    def __init__(self, plain):
        self.plain = plain
        self.fileno, self.close = plain.fileno, plain.close

    def readinto(self, buffer):
        try:
            return self.plain.recv_into(buffer)
        except BlockingIOError:
            return None

    def write(self, buffer):
        try:
            return self.plain.send(buffer)
        except BlockingIOError:
            return None


class Device:
    """A radio and its clock, which jumps over the waits between two tries."""

    def __init__(self, name="room-1", password="", **options):
        self.jumped_ms = 0
        self.poll = select.poll()
        self.radio = Radio(self.open, name, password or name, random.random, **options)

    def open(self):
        link = socket.socket()
        link.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY: MicroPython has no names for them
        try:
            link.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
        except OSError:
            link.close()
            raise
        link.setblocking(False)
        self.poll = select.poll()
        self.poll.register(link, select.POLLIN)
        return link if MICROPYTHON else Socket(link)

    def now(self):
        return ticks_ms() + self.jumped_ms

    def turn(self, rest_ms=20):
        """One step; when there was nothing, a rest until something comes."""
        event = self.radio.step(self.now())
        if event is not None:
            return event
        if self.radio.link is None:
            self.jumped_ms += self.radio.retry_ms(self.now())
            select.poll().poll(5)  # else it tries a thousand times while a broker starts
        else:
            self.poll.poll(rest_ms)
        return None

    def until(self, kind):
        """The next event, which must be of this kind."""
        event, began_ms = None, ticks_ms()
        while event is None:
            event = self.turn()
            assert ticks_ms() - began_ms < DEADLINE_MS, "no " + kind
        assert event[0] == kind, event
        return event

    def settle(self):
        """Until nothing is pending; no event may come meanwhile."""
        began_ms = ticks_ms()
        while self.radio.pending:
            event = self.turn()
            assert event is None, event
            assert ticks_ms() - began_ms < DEADLINE_MS, "not acknowledged"
