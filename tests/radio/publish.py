"""Publishes COUNT packets with QoS 1 as fast as they are acknowledged; prints figures as JSON: publish.py PORT COUNT."""

import json
import sys

from device import Device, ticks_ms, topic


def main(count):
    device = Device(most_in_flight=8)
    radio, update = device.radio, topic("update", "presence")
    device.until("connected")
    began_ms, said, wraps, last_id = ticks_ms(), 0, 0, 0
    while said < count or radio.pending:
        if said < count and radio.pending < 16:
            some = min(8, count - said)
            radio.carry_out([("publish", update, b"%06d" % at, 1, False) for at in range(said, said + some)])
            said += some
        event = radio.step(device.now())
        assert event is None, event
        wraps += radio._id < last_id
        last_id = radio._id
        if radio.pending >= 8:
            device.poll.poll(20)
    took_ms = ticks_ms() - began_ms
    left = radio.leave([], device.now, 5000)
    print(json.dumps({"said": said, "wraps": wraps, "last_id": last_id, "ms": took_ms, "left": left}))


main(int(sys.argv[2]))
