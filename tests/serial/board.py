"""A board on MicroPython for tests/test_gateway.py: SerialLink over a socket that stands for its UART, and a little MQTT.

`micropython board.py DEVICE SITE COUNT PORT` listens on 127.0.0.1 for the other end of its serial line.
Then it connects as DEVICE, publishes COUNT telemetry messages with QoS 1 one after the other, says how long that took,
and leaves in order.
"""

import select
import socket
import sys
import time

HERE = sys.argv[0].rsplit("/", 1)[0] if "/" in sys.argv[0] else "."
sys.path.insert(0, HERE + "/../../mcu_firmware")
sys.path.insert(0, HERE + "/../../mcu_firmware/lib")

from serial_link import SerialLink  # noqa: E402

DEADLINE_MS = 10000


class Uart:
    """A socket with what machine.UART offers."""

    def __init__(self, link):
        link.setblocking(False)
        link.setsockopt(6, 1, 1)  # TCP_NODELAY: a UART does not wait for more either
        self.link = link
        self.poll = select.poll()
        self.poll.register(link, select.POLLIN)

    def any(self):
        return len(self.poll.poll(0))

    def readinto(self, buffer):
        return self.link.readinto(buffer)

    def write(self, data):
        return self.link.write(data)

    def pause(self):
        self.poll.poll(5)


def answer(uart, link, count):
    """The next `count` bytes of the broker."""
    got = b""
    start_ms = time.ticks_ms()
    buffer = bytearray(64)
    while len(got) < count:
        size = link.readinto(memoryview(buffer)[: count - len(got)])
        if size == 0 or time.ticks_diff(time.ticks_ms(), start_ms) > DEADLINE_MS:
            raise OSError("no answer: " + link.reason)
        if size:
            got += bytes(buffer[:size])
        else:
            uart.pause()
    return got


def send(uart, link, data):
    while data:
        data = data[link.write(data) or 0 :]
        uart.pause()


def text(words):
    return len(words).to_bytes(2, "big") + words.encode()


def packet(first, body):
    return bytes([first, len(body)]) + body  # shorter than 128 bytes


def main(device, site, count, port):
    listener = socket.socket()
    listener.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    listener.listen(1)
    sys.stdout.write("listening\n")
    uart = Uart(listener.accept()[0])
    link = SerialLink(uart, device, time.ticks_ms, uart.pause).open()
    send(uart, link, packet(0x10, text("MQTT") + b"\4\xc2\0\x3c" + text(device) + text(device) + text(device)))
    assert answer(uart, link, 4) == b"\x20\2\0\0"
    start_ms = time.ticks_ms()
    for number in range(1, count + 1):
        name = number.to_bytes(2, "big")
        send(uart, link, packet(0x32, text(f"tegu/1/{site}/device/{device}/telemetry") + name + b"%d" % number))
        assert answer(uart, link, 4) == b"\x40\2" + name
    sys.stdout.write(f"{time.ticks_diff(time.ticks_ms(), start_ms)} ms\n")
    send(uart, link, b"\xe0\0")
    link.close()
    sys.stdout.write(f"good {link.pipe.good} bad {link.pipe.bad} resent {link.pipe.resent}\n")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
