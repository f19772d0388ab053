"""Devices announced to Home Assistant by MQTT discovery: retained messages that say which topics are which sensors. No I/O.

One message a device, on {prefix}/device/tegu-{site}/{device}/config (device discovery, Home Assistant 2024.11 or newer:
home-assistant.io/integrations/mqtt, "Device discovery payload"; the site is its node id, so that no two sites can meet on a
topic and a coordinator can ask the broker for its own). Home Assistant then reads the device's own topics; nothing of them
passes through here. Keys are written out, not abbreviated.

A coordinator that starts again hears its own retained messages first, so it knows what it has said and says only what is new.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tegu import topics
from tegu.wire import WireError
from tegu.wire.messages import State, decode_numbers

from .metrics import CHANNELS

Outgoing = list[tuple[str, bytes, bool]]  # topic, payload, retained
Component = dict[str, Any]
MOST_DEVICES = 10_000
MOST_CHANNELS = 64  # of a device
MOST_BYTES = 10_000  # of a message; a channel that would make it longer is not announced
TEXT_CHARACTERS = 64  # of a name that a device gives itself
UNIT_CHARACTERS = 16
STATES = ("ready", "sleeping", "offline", "lost", "refused")
BINARY_CLASSES = ("motion", "occupancy")
UNITS = {channel.senml_unit: channel.unit for channel in CHANNELS.values()}

# Of telemetry: name -> title, unit and class in Home Assistant.
DIAGNOSTICS = {
    "version": ("Model version", "", ""),
    "free_heap_bytes": ("Free heap", "B", "data_size"),
    "battery_percent": ("Battery", "%", "battery"),
    "battery_volts": ("Battery voltage", "V", "voltage"),
    "rssi_dbm": ("Signal strength", "dBm", "signal_strength"),
}

# Templates get the payload as value_json; it is not defined for an empty one, which is what remains of a device taken away.
AVAILABLE = "{{ 'online' if value_json is defined and value_json.state in ('ready', 'sleeping') else 'offline' }}"
CONNECTED = "{{ 'ON' if value_json is defined and value_json.state in ('ready', 'sleeping', 'refused') else 'OFF' }}"  # link is up
READING = "{{ (value_json | last).v | default('') }}"  # the newest record of a SenML pack; an empty result is ignored
SWITCH = (
    "{% set r = value_json | last %}{% set x = r.v | default(r.vb) | default('') %}"
    "{{ '' if x is string else 'ON' if x >= 0.5 else 'OFF' }}"
)
NUMBER = "{{ value_json.NAME | default('') }}"
ATTRIBUTES = "{{ value_json | default({}) | tojson }}"


@dataclass
class Known:
    """What is known of a device, and the message that said so. What is heard says whether it may be more than before."""

    name: str = ""
    model: str = ""
    sw_version: str = ""
    channels: dict[str, str | None] = field(default_factory=dict)  # with the unit; one that says yes or no: None
    numbers: set[str] = field(default_factory=set)  # of DIAGNOSTICS
    left_out: set[str] = field(default_factory=set)  # channels that have no room
    said: bytes = b""

    def thing(self, root: str, payload: bytes) -> bool:
        """An announcement, or a Thing Description in full (both in tegu.thing); root: the device's topics of readings."""
        told = json.loads(payload)
        sensors, firmware = told.get("sensors", {}), told.get("firmware")
        if "tm" not in told:
            sensors, firmware = _described(told, root), told.get("tegu:firmware")
        for channel, unit in sensors.items():
            self.add(channel, _unit(unit))
        self.name, self.model, self.sw_version = _text(told.get("title")), _text(told.get("model")), _text(firmware)
        return True

    def sense(self, channel: str, payload: bytes) -> bool:
        """A reading, as SenML."""
        if channel in self.channels:
            return False
        record = json.loads(payload)[-1]
        value = record.get("v", record.get("vb"))
        if not isinstance(value, int | float):
            raise ValueError("no value")
        return self.add(channel, None if isinstance(value, bool) else _unit(record.get("u")))

    def telemetry(self, payload: bytes) -> bool:
        if len(self.numbers) == len(DIAGNOSTICS):
            return False
        new = DIAGNOSTICS.keys() & decode_numbers(payload).keys() - self.numbers
        self.numbers |= new
        return bool(new)

    def add(self, channel: str, unit: str | None) -> bool:
        if len(self.channels) >= MOST_CHANNELS:
            return False
        self.channels.setdefault(topics.check_id(channel, "channel"), unit)
        return True


class Discovery:
    """The messages for one site. prefix: Home Assistant's discovery prefix, usually homeassistant."""

    def __init__(self, prefix: str, site: str) -> None:
        self._site = topics.check_id(site, "site")
        self._root = f"{prefix}/device/tegu-{site}/"
        self._devices: dict[str, Known] = {}

    @property
    def own(self) -> str:
        """A subscription to this site's messages. It goes before those to the devices' topics."""
        return self._root + "+/config"

    def everything(self) -> Outgoing:
        """All that holds, to be published at each connect: the broker may have lost it."""
        return [(self._topic(device), known.said, True) for device, known in list(self._devices.items())]

    def heard(self, topic: str, payload: bytes) -> Outgoing:
        """What a message changes in what is said; most change nothing. A bad one is ignored."""
        if topic.startswith(self._root):
            self._recall(topic, payload)
            return []
        words = topics.parse(topic)
        if words is None or words[0] != self._site or words[1] != "device" or len(payload) > MOST_BYTES:
            return []
        _, _, device, kind, channel = words
        if kind == "state" and not payload:
            return [(self._topic(device), b"", True)] if self._devices.pop(device, None) else []
        known = self._devices.get(device) or Known()
        try:
            if self._hear(known, topics.check_id(device, "device"), kind, channel, payload):
                return self._say(device, known)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError, WireError):
            pass
        return []

    def _hear(self, known: Known, device: str, kind: str, channel: str, payload: bytes) -> bool:
        if kind == "state":
            return not known.said and State.decode(payload).state in STATES
        if kind == "thing":
            return known.thing(topics.device(self._site, device, "sense/"), payload)
        if kind == "sense":
            return known.sense(channel, payload)
        return kind == "telemetry" and known.telemetry(payload)

    def _topic(self, device: str) -> str:
        return f"{self._root}{device}/config"

    def _say(self, device: str, known: Known) -> Outgoing:
        """The device's message if it is another than before. A channel that makes it too long is left out from then on."""
        payload = self._encode(device, known)
        while len(payload) >= MOST_BYTES:
            known.left_out.add([channel for channel in known.channels if channel not in known.left_out][-1])
            payload = self._encode(device, known)
        if payload == known.said or (device not in self._devices and len(self._devices) >= MOST_DEVICES):
            return []
        self._devices[device] = known
        known.said = payload
        return [(self._topic(device), payload, True)]

    def _encode(self, device: str, known: Known) -> bytes:
        told = {"identifiers": [f"tegu_{self._site}_{device}"], "name": known.name or device, "manufacturer": "Tegu"}
        told |= {"model": known.model} if known.model else {}
        told |= {"sw_version": known.sw_version} if known.sw_version else {}
        state = topics.device(self._site, device, "state")
        config = {
            "device": told,
            "origin": {"name": "Tegu"},
            "availability": [{"topic": state, "value_template": AVAILABLE}],
            "components": self._components(device, known, state),
        }
        return json.dumps(config, separators=(",", ":")).encode()

    def _components(self, device: str, known: Known, state: str) -> dict[str, Component]:
        telemetry = topics.device(self._site, device, "telemetry")
        made = {"state": connection(state)}
        made |= {f"telemetry_{name}": number(name, telemetry) for name in DIAGNOSTICS if name in known.numbers}
        for channel in sorted(known.channels.keys() - known.left_out):
            topic = topics.device(self._site, device, "sense", channel)
            made[f"sense_{channel}"] = reading(channel, known.channels[channel], topic)
        for key, component in made.items():
            component["unique_id"] = f"tegu_{self._site}_{device}_{key}"
            entity = f"{self._site}_{device}_{key.partition('_')[2] or key}".replace("-", "_")
            component["default_entity_id"] = f"{component['platform']}.{entity}"
        return made

    def _recall(self, topic: str, payload: bytes) -> None:
        """What was said before this start, unless something has been said of the device since."""
        device = topic[len(self._root) :].removesuffix("/config")
        if device in self._devices or len(self._devices) >= MOST_DEVICES:
            return
        known = Known(said=payload)
        try:
            config = json.loads(payload)
            told = config["device"]
            known.name = _text(told["name"]) if told["name"] != device else ""
            known.model, known.sw_version = _text(told.get("model")), _text(told.get("sw_version"))
            for key, component in config["components"].items():
                kind, _, name = key.partition("_")
                if kind == "telemetry" and name in DIAGNOSTICS:
                    known.numbers.add(name)
                elif kind == "sense":
                    unit = _unit(component.get("unit_of_measurement"))
                    known.add(name, unit if component["platform"] == "sensor" else None)
            self._devices[topics.check_id(device, "device")] = known
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return


def connection(topic: str) -> Component:
    """Whether the device's link is up. It is always available itself, or it could not say no; the state is its attributes."""
    return {
        "platform": "binary_sensor",
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "availability": [],
        "state_topic": topic,
        "value_template": CONNECTED,
        "json_attributes_topic": topic,
        "json_attributes_template": ATTRIBUTES,
    }


def number(name: str, topic: str) -> Component:
    """A number of the device's telemetry."""
    title, unit, device_class = DIAGNOSTICS[name]
    template = NUMBER.replace("NAME", name)
    return {**_sensor(title, unit, device_class, topic, template), "entity_category": "diagnostic"}


def reading(channel: str, unit: str | None, topic: str) -> Component:
    """A sensor of the device. A channel that is in no table has its unit from its readings; None: it says yes or no."""
    known = CHANNELS.get(channel)
    title = known.title if known else channel.replace("-", " ").capitalize()
    device_class = known.device_class if known else ""
    if device_class in BINARY_CLASSES or (known is None and unit is None):
        told = {"platform": "binary_sensor", "name": title, "state_topic": topic, "value_template": SWITCH}
        return told | ({"device_class": device_class} if device_class else {})
    return _sensor(title, known.unit if known else unit or "", device_class, topic, READING)


def _sensor(title: str, unit: str, device_class: str, topic: str, template: str) -> Component:
    told = {"platform": "sensor", "name": title, "state_class": "measurement"}
    told |= {"unit_of_measurement": unit} if unit else {}
    told |= {"device_class": device_class} if device_class else {}
    return told | {"state_topic": topic, "value_template": template}


def _described(thing: dict[str, Any], root: str) -> dict[str, Any]:
    """The units of a Thing Description's properties that are readings, by their channels."""
    return {
        channel: reads.get("unit")
        for channel, reads in thing.get("properties", {}).items()
        if reads["forms"][0].get("mqv:filter") == root + channel
    }


def _text(word: Any) -> str:
    """What a device calls itself, if it can be shown."""
    return word.strip()[:TEXT_CHARACTERS] if isinstance(word, str) and word.isprintable() else ""


def _unit(word: Any) -> str:
    """A unit of SenML as Home Assistant writes it."""
    short = word if isinstance(word, str) and word.isprintable() and len(word) <= UNIT_CHARACTERS else ""
    return UNITS.get(short, short)
