"""Receives COUNT messages with QoS 1, which must be 0, 1, 2 ...: receive.py PORT COUNT EVERY prints a line each EVERY."""

import json
import sys

from device import Device, ticks_ms, topic


def main(count, every):
    device = Device()
    device.until("connected")
    device.radio.carry_out([("subscribe", topic("label"))])
    device.settle()
    print("subscribed")
    began_ms = ticks_ms()
    for expected in range(count):
        event = device.until("message")
        assert event[1:] == (topic("label"), b"%d" % expected), event
        if (expected + 1) % every == 0:
            print(expected + 1)
    took_ms = ticks_ms() - began_ms
    device.settle()
    print(json.dumps({"ms": took_ms, "skipped": device.radio.skipped}))
    device.radio.leave([], device.now, 5000)


main(int(sys.argv[2]), int(sys.argv[3]))
