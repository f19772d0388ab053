# ruff: noqa: E402, PTH102, PTH123
"""What a board tells, second by second, in MicroPython: `micropython telling.py FIRMWARE LIBRARY FOLDER`.

The radio keeps what it is given, the clock goes by itself, and the sensor reads what it is told to. Prints a line of JSON a
scene: seconds, and what was published.
"""

import json
import os
import sys
from array import array
from binascii import hexlify
from hashlib import sha256

sys.path[:] = sys.argv[1:3] + sys.path

import device as firmware
from tegu import topics
from tegu.model import Model
from tegu.wire.initialization import encode_init

NOON_S = 1800014400  # of some day: a whole number of quarters of an hour
LN_3 = 1.0986123


class Radio:
    """Takes whatever it is given while it is connected."""

    state, link, skipped = "connected", 1, 0

    def __init__(self, told):
        self.told = told

    def step(self, now_ms):
        return None

    def carry_out(self, effects):
        if self.state == "connected":
            self.told.extend(effects)


class Told:
    """A device under a clock of its own, in a folder of its own."""

    made = 0

    def __init__(self, **changes):
        settings = {"device": "room-7", "site": "home", "model": "m", "link": {"kind": "unix", "host": "nobody"}}
        settings.update(changes)
        Told.made += 1
        folder = f"{sys.argv[3]}/{Told.made}"
        os.mkdir(folder)
        with open(folder + "/settings.json", "w") as file:
            json.dump(settings, file)
        self.now_ms, self.local_s, self.told = 0, 0, []
        self.device = firmware.Device(folder + "/")
        board = self.device.board
        board.clock, board.rest, board.local_s = lambda: self.now_ms, lambda _: None, lambda: self.local_s
        self.device.samples._read = lambda: (612.0, 21.5, 40.0)
        self.device.radio = Radio(self.told)
        self.device._looked_ms = 0

    def pass_s(self, seconds, step_ms=1000):
        for _ in range(seconds * 1000 // step_ms):
            self.now_ms += step_ms
            self.device.step()

    def take(self, spec, weights):
        """An initialization, and the samples that an update takes; no round yet."""
        model, session = Model(spec), self.device.session
        whole = bytes(encode_init(model, array("f", weights), 1))
        told = {"model": "m", "spec": spec, "hash": model.shape_hash, "version": 1, "bytes": len(whole), "chunks": 1}
        told.update(sha256=hexlify(sha256(whole).digest()).decode(), inner_step_size=0.1, samples=2, top_p=100.0)
        session.received(topics.model("home", "m", "manifest"), json.dumps(told).encode())
        session.received(topics.chunk("home", "m", 1, 0), whole)
        assert session.version == 1

    def heard(self, kind):
        """What was published of that kind since the last time: [(topic's end, what the JSON says)]."""
        found = []
        for effect in self.told:
            if effect[0] == "publish" and "/" + kind in effect[1]:
                found.append((effect[1].split("/")[-1], json.loads(effect[2])))
        self.told.clear()
        return found


def heartbeats(**settings):
    """When it told something, within 700 s from connecting, which takes it 100 s."""
    told, seconds = Told(**settings), []
    told.device.radio.state = "waiting"
    told.pass_s(100)
    told.device.radio.state = "connected"
    told.device._hear(("connected",))
    told.told.clear()
    for second in range(1, 701):
        told.pass_s(1)
        seconds += [(second, numbers) for _, numbers in told.heard("telemetry")]
    return seconds


def say(scene, what):
    print(json.dumps([scene, what]))


say("by default", heartbeats())
say("often", [second for second, _ in heartbeats(telemetry_s=200)])
say("not", heartbeats(telemetry_s=0))
say("null", heartbeats(telemetry_s=None))

told = Told()
told.pass_s(70, 700)  # a step that takes its time
told.now_ms = -1000  # as time.ticks_ms() begins anew
told.pass_s(10)
told.device._tell({})
say("uptime", told.heard("telemetry")[0][1]["uptime_s"])

told = Told()
told.device.radio.state = "waiting"
told.pass_s(700)
told.device._tell({})
say("without a link", [len(told.told), told.device.session.bytes["telemetry_up"]])

told = Told(telemetry_s=0, sensor={"kind": "scd4x", "sda": 1, "scl": 2})
told.local_s = NOON_S
told.pass_s(2)
say("first reading", told.heard("sense"))
told.take("11 | dense 2 softmax", [0.0] * 23 + [LN_3])  # whatever it reads, the biases decide
for quarter in range(1, 5):
    told.local_s = NOON_S + quarter * 900
    told.pass_s(2)
    if quarter < 4:
        told.heard("sense")
say("an hour later", told.heard("sense"))
told.device.session.learner.weights[23] = float(0)  # what was learned since then
told.local_s += 900
told.pass_s(2)
say("after learning", told.heard("sense"))
told.pass_s(60)
say("a minute later", told.heard("sense"))

told = Told(telemetry_s=0, sensor={"kind": "scd4x", "sda": 1, "scl": 2})
told.take("3 | dense 2 softmax", [0.0] * 8)
for quarter in range(5):
    told.local_s = NOON_S + quarter * 900
    told.pass_s(2)
say("another model", [channel for channel, _ in told.heard("sense")][-4:])


class Network:
    """The module of boards with Wi-Fi: what status("rssi") gives, or raises."""

    STA_IF = 0

    def __init__(self, rssi):
        self.rssi = rssi

    def WLAN(self, interface):
        return self

    def status(self, what):
        if isinstance(self.rssi, Exception):
            raise self.rssi
        return self.rssi


class Machine:
    """The module of boards with pins: an ADC at 0.8 of full scale."""

    Pin = staticmethod(lambda number: number)

    class ADC:
        def __init__(self, pin):
            assert pin == 34

        def read_u16(self):
            return 52428


for rssi in (-61, None, OSError("no link")):
    sys.modules["network"] = Network(rssi)
    told = Told(link={"kind": "wifi", "ssid": "building", "host": "nobody"})
    told.device._tell({})
    say("wifi", told.heard("telemetry")[0][1].get("rssi_dbm"))
sys.modules["machine"] = Machine()
for battery in ({"pin": 34, "scale": 5.0}, {"pin": 34, "scale": 5.0, "empty": 3.0, "full": 4.25}):
    told = Told(battery=battery)
    told.device._tell({})
    numbers = told.heard("telemetry")[0][1]
    say("battery", [numbers["battery_volts"], numbers.get("battery_percent")])
