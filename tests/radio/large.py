"""Prints the payloads that come through a buffer of 256 bytes, until "end", then `skipped`: large.py PORT."""

from device import Device, topic


def main():
    device = Device(buffer_bytes=256)
    device.until("connected")
    device.radio.carry_out([("subscribe", topic("label"))])
    device.settle()
    print("subscribed")
    payload = b""
    while payload != b"end":
        payload = device.until("message")[2]
        print(payload.decode())
    print(device.radio.skipped)


main()
