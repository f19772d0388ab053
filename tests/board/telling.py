# ruff: noqa: E402, PTH102, PTH123, PTH208
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

    def leave(self, effects, clock, within_ms):
        self.carry_out(effects)


class Told:
    """A device under a clock of its own, in a folder of its own."""

    made = 0

    def __init__(self, **changes):
        settings = {"device": "room-7", "site": "home", "model": "m", "link": {"kind": "unix", "host": "nobody"}}
        settings.update(changes)
        Told.made += 1
        self.folder = f"{sys.argv[3]}/{Told.made}"
        os.mkdir(self.folder)
        with open(self.folder + "/settings.json", "w") as file:
            json.dump(settings, file)
        self.now_ms, self.local_s, self.told = 0, 0, []
        self.start()

    def start(self):
        """Another life, from what is in the folder."""
        self.device = firmware.Device(self.folder + "/")
        self.restarts = []
        board = self.device.board
        board.restart = self.restarts.append
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

    def say(self, kind, fields):
        """Something for this device alone, from the registry or the coordinator."""
        self.device._hear(("message", topics.device("home", "room-7", kind), json.dumps(fields).encode()))

    def model(self, name, spec):
        """The manifest of a model."""
        model = Model(spec)
        told = {"model": name, "spec": spec, "hash": model.shape_hash, "version": 1, "bytes": 9, "chunks": 1}
        told.update(sha256="", inner_step_size=0.1, samples=2, top_p=100.0, heap_bytes=self.heap_bytes)
        self.device._hear(("message", topics.model("home", name, "manifest"), json.dumps(told).encode()))

    heap_bytes = 0

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


def lived(told):
    """What it did since the last time: [[restarts], its model, boot number, what it reported, states that it said]."""
    device = told.device
    published = [effect for effect in told.told if effect[0] == "publish"]
    told.told.clear()
    said = [json.loads(payload) for _, topic, payload, _, _ in published if topic.endswith("/reported")]
    states = [json.loads(payload)["state"] for _, topic, payload, _, _ in published if topic.endswith("/state")]
    return [told.restarts, device.session.model_name, device.session.boot, said, states]


del sys.modules["machine"]
SCD4X = {"kind": "scd4x", "sda": 1, "scl": 2}
told = Told(sensor=SCD4X, room="b1-2-07", energy="battery", radio="lora-sf7")
told.device._hear(("connected",))
said = {effect[1].split("/")[-1]: effect for effect in told.told}
say("announced", [json.loads(said["thing"][2]), len(said["thing"][2]), said["thing"][3:]])
say("listens", said["desired"])
say("sht4x", json.loads(Told(sensor={"kind": "sht4x"}).device.session.thing)["sensors"])
say("no sensor", json.loads(Told().device.session.thing)["sensors"])

told = Told(sensor=SCD4X)
told.device._hear(("connected",))
say("wished", lived(told))
told.say("desired", {"version": 3, "model": "m"})
say("wished", lived(told))
told.say("desired", {"version": 4, "model": "other"})
say("wished", lived(told))
told.start()
told.device._hear(("connected",))
say("wished", lived(told))
told.say("desired", {"version": 4, "model": "other"})
told.model("other", "11 | dense 2 softmax")
say("wished", lived(told))
told.say("desired", {"version": 5, "model": "wide"})
told.start()
told.device._hear(("connected",))
told.told.clear()
told.model("wide", "300 | dense 2 softmax")
say("wished", lived(told))
told.start()
told.device._hear(("connected",))
say("wished", lived(told))

told = Told(sensor=SCD4X)
told.say("desired", {"version": 1, "model": "numbers"})
told.start()
told.model("numbers", "11 | dense 1 linear")
say("numbers", [told.restarts, json.loads(told.device.reported)])

told = Told(sensor=SCD4X)
told.say("desired", {"version": 1, "model": "large"})
told.start()
told.device._hear(("connected",))
told.heap_bytes = 1 << 30
told.model("large", "11 | dense 2 softmax")
say("too large", json.loads(told.device.reported)["why"].split(" bytes")[0])
say("too large", [told.restarts, json.loads(told.device.reported)["model"]])

told = Told(sensor=SCD4X)
for why in ("has no sensor co2", "has no sensor co2", ""):
    told.say("ack/m", {"result": "outside", "version": 1, "why": why})

told = Told(sensor=SCD4X)
for bad in ("{", [], {"version": 1}):
    told.say("desired", bad)
say("no wish", [told.device.session.bad, json.loads(told.device.reported)["version"], told.restarts])

told = Told(sensor=SCD4X)
for name in ("start.0", "learned.1", "pieces"):
    for model in ("", "gone-", "other-"):
        open(told.folder + "/" + model + name, "w").close()
open(told.folder + "/my-samples.f32", "w").close()
told.say("desired", {"version": 1, "model": "other"})
told.start()
say("kept", sorted(os.listdir(told.folder)))
say("out of the heap", [name for name in sys.modules if name in ("registry", "tegu.thing", "tegu.twin")])
