"""Connects with a keepalive of 1 s and says when the link is lost: silence.py PORT quiet|talking.

talking: publishes with QoS 0 all the time, to which there is no answer. Prints "connected", then milliseconds from the
last byte to the loss, and why.
"""

import sys

from device import Device, topic
from radio import since


def main(talking):
    device = Device(keepalive_s=1)
    device.until("connected")
    print("connected")
    event = None
    while event is None:
        if talking and not device.radio.pending:
            device.radio.carry_out([("publish", topic("telemetry"), b"{}", 0, False)])
        event = device.turn()
    assert event[0] == "lost", event
    print(since(device.now(), device.radio._heard_ms), event[1])


main(sys.argv[2] == "talking")
