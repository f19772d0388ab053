"""Prints what radio.step() leaves on the heap, in bytes as JSON: heap.py PORT (MicroPython only).

idle: per step in which nothing comes. message: per message with QoS 1 of 40 bytes, event and PUBACK included.
whole: of a radio, its buffer included. A message for which the heap has no room must be skipped, and the next one come.
"""

import gc
import json

from device import Device, topic


def taken():
    gc.collect()
    return gc.mem_alloc()


def fill():
    """Takes every block that is left: a chain of tuples of one block each."""
    chain = ()
    try:
        while True:
            chain = (chain,)
    except MemoryError:
        return chain


def garbage_of_idle_steps(device):
    step, now = device.radio.step, device.now()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(1000):
        assert step(now) is None
    garbage = gc.mem_alloc() - before
    gc.enable()
    return garbage / 1000


def garbage_of_messages(device):
    radio, now, poll = device.radio, device.now(), device.poll
    gc.collect()
    gc.disable()
    count = garbage = 0
    while count < 100:
        poll.poll(1000)
        before = gc.mem_alloc()
        event = radio.step(now)
        while event is not None:
            count += 1
            event = radio.step(now)
        garbage += gc.mem_alloc() - before
    gc.enable()
    return garbage / 100


def first_event_with_little_memory(device):
    """What comes, and how many messages were skipped, when there is room for small things only."""
    now, event = device.now(), None
    hole = [bytearray(256) for _ in range(8)]
    chain = fill()
    del hole
    print("full")
    while event is None:
        event = device.radio.step(now)
    del chain
    return event, device.radio.skipped


def main():
    before = taken()
    device = Device(buffer_bytes=4096)
    whole = taken() - before
    device.until("connected")
    device.radio.carry_out([("subscribe", topic("label"))])
    device.settle()
    figures = {"whole": whole, "idle": garbage_of_idle_steps(device)}
    print("subscribed")
    figures["message"] = garbage_of_messages(device)
    device.settle()
    event, figures["skipped"] = first_event_with_little_memory(device)
    assert event[2] == b"next", event
    print(json.dumps(figures))


main()
