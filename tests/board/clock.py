# ruff: noqa: E402
"""A board without a clock of its own: prints unix_s() and local_s() as the coordinator's times come. `micropython clock.py FIRMWARE LIBRARY`."""

import sys

sys.path[:] = sys.argv[1:3] + sys.path

import board


class Clock:
    """time, of a board that has just started."""

    now_ms = 0

    def ticks_ms(self):
        return self.now_ms & 0x3FFFFFFF

    def ticks_us(self):
        return 0

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def ticks_add(self, a, b):
        return (a + b) & 0x3FFFFFFF

    def time(self):
        return self.now_ms // 1000


board.time = clock = Clock()
settings = {
    "device": "room-7",
    "link": {"kind": "serial"},
    "sensor": {},
    "label": {},
    "meter": {},
    "utc_offset_s": 3600,
}
own = board.Board(settings)


def told(passed_ms, unix_s=0):
    clock.now_ms += passed_ms
    if unix_s:
        own.set_time(unix_s)
    print(own.unix_s(), own.local_s())


told(0)
told(5000, 1800000000)
told(2500)
told(500)
told(0, 1799999000)  # the same round, heard again: older than what the board knows
told(0, 1800007200)  # a newer one
for _ in range(3):
    told(400000000)  # four days and more, and the ticks begin anew twice
