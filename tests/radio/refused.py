"""Comes with a wrong password, says why it is refused and when it will try again, then mends it: refused.py PORT."""

from device import Device


def main():
    device = Device(password="wrong")
    event = device.until("lost")
    print(event[1])
    print(device.radio.state, device.radio.why == event[1], device.radio.retry_ms(device.now()))
    device.radio.password = "room-1"
    device.until("connected")
    print(device.radio.state)


main()
