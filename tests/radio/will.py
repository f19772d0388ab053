"""Connects with a last will; then does what each line on stdin says: will.py PORT.

leave: says "offline" and leaves. BOOT (a number): comes back, with a will and a birth of that boot number.
"""

import sys

from device import Device, topic


def main():
    device = Device()
    radio, state = device.radio, topic("state")
    while True:
        word = sys.stdin.readline().strip()
        if word == "leave":
            print(radio.leave([("publish", state, b"offline", 1, True)], device.now, 5000))
        else:
            radio.will = (state, b"lost " + word.encode())
            device.until("connected")
            radio.carry_out([("publish", state, b"ready " + word.encode(), 1, True)])
            device.settle()
            print("ready")


main()
