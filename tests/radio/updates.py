"""Sends updates one after the other, each again until it is acknowledged by a message, as a Session does.

updates.py PORT LOST: until LOST links are lost; prints figures as JSON. A file's end on stdin also ends it.
"""

import json
import select
import sys

from device import Device, ticks_ms, topic

AGAIN_MS = 50


def update(key):
    """20 to 1,200 bytes that say which key it is all over."""
    return ((b"%d " % key) * 600)[: 20 + key * 37 % 1181]


def main(most_lost):
    device = Device(keepalive_s=5)
    device.radio.will = (topic("state"), b"lost")
    ended = select.poll()
    ended.register(sys.stdin, select.POLLIN | select.POLLHUP)
    key = lost = again = 0
    said_ms = None
    while lost < most_lost and not ended.poll(0):
        event = device.turn(5)
        if event is None:
            if said_ms is not None and ticks_ms() - said_ms > AGAIN_MS:
                device.radio.carry_out([("publish", topic("update", "presence"), update(key), 1, False)])
                said_ms = ticks_ms()
                again += 1
        elif event[0] == "lost":
            lost += 1
            said_ms = None
        elif event[0] == "connected":
            device.radio.carry_out(
                [("publish", topic("state"), b"ready", 1, True), ("subscribe", topic("ack", "presence"))]
            )
            device.radio.carry_out([("publish", topic("update", "presence"), update(key), 1, False)])
            said_ms = ticks_ms()
        elif event[2] == b"%d" % key:
            key += 1
            device.radio.carry_out([("publish", topic("update", "presence"), update(key), 1, False)])
            said_ms = ticks_ms()
    print(json.dumps({"acknowledged": key, "lost": lost, "again": again}))


main(int(sys.argv[2]))
