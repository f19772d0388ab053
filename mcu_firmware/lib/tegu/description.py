"""A device's Thing Description (W3C Web of Things TD 1.1) from what it announced (tegu.thing), as a plain dict.

The TD says what a Thing is: properties that can be read or watched, actions, events (section 5), and the Thing Model that it is
of (a link of relation `type`). How to reach them over MQTT is in forms by the draft of the W3C's MQTT binding: the address of
the broker, without a topic; `mqv:filter` to subscribe to or `mqv:topic` to publish on; only what is retained can be read.
Memory and sensors are subsystems in the terms of SSN, S3N and its extension for TinyML. Every topic is from tegu.topics.
"""

from . import topics
from .thing import THING_MODEL

CONTEXT = "https://www.w3.org/2022/wot/td/v1.1"
PREFIXES = {
    "tegu": "urn:tegu-terms:",
    "mqv": "http://www.example.org/mqtt-binding#",
    "sosa": "http://www.w3.org/ns/sosa/",
    "ssn": "http://www.w3.org/ns/ssn/",
    "ssns": "http://www.w3.org/ns/ssn/systems/",
    "s3n": "http://w3id.org/s3n/",
    "s3nx": "http://tinyml-schema.org/s3n_extend/",
    "schema": "https://schema.org/",
}
BYTE = "http://qudt.org/vocab/unit/BYTE"  # in full: `unit` is a term of the TD's own
MEMORIES = (("ram", "s3nx:RAM"), ("flash", "s3nx:Flash"))
TEXTS = (("radio", "tegu:radio"), ("energy", "tegu:energySource"), ("firmware", "tegu:firmware"))
OBJECT = {"type": "object"}
JSON, SENML, BYTES = "application/json", "application/senml+json", "application/octet-stream"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Found = dict[str, Any]


def describe_device(site: str, device: str, announced: "Found", broker: str) -> "Found":
    """As tegu.thing.describe."""
    if _text(announced, "tm") != THING_MODEL:
        raise ValueError("tm: must be " + THING_MODEL)
    sensors = _sensors(announced)
    mqtt = _Forms(site, device, broker)
    made: "Found" = {
        "@context": [CONTEXT, dict(PREFIXES)],
        "@type": ["Thing", "s3n:SmartSensor"],
        "id": "urn:tegu:%s:%s" % (topics.check_id(site, "site"), topics.check_id(device, "device")),
        "title": _text(announced, "title") or device,
        "securityDefinitions": {"login": {"scheme": "basic", "in": "auto"}},
        "security": "login",
        "links": [{"rel": "type", "href": THING_MODEL, "type": "application/tm+json"}],
        "properties": _properties(mqtt, sensors),
        "actions": {"label": {"input": _object_of(label="integer"), "forms": [mqtt.publish("invokeaction", "label")]}},
        "events": {},
        "ssn:hasSubSystem": _memory(announced) + [_sensor(channel, sensors[channel]) for channel in sorted(sensors)],
    }
    model_name = _id(announced, "model")
    if model_name:
        made["events"]["update"] = {"forms": [mqtt.event("update", model_name)]}
    for name, term in TEXTS:
        if _text(announced, name):
            made[term] = announced[name]
    if _id(announced, "room"):
        made["tegu:room"] = {"@id": "urn:tegu:%s:room:%s" % (site, announced["room"])}
    return made


class _Forms:
    """Of one device at one broker."""

    def __init__(self, site: str, device: str, broker: str) -> None:
        self._names = site, device
        self._broker = broker

    def watch(self, qos: str, retain: bool, kind: str, what: str = "") -> "Found":
        """Of a property: subscribe to its topic. What is retained is there at once, so it can be read as well."""
        operations = ["observeproperty", "unobserveproperty"]
        form = self._form((["readproperty"] if retain else []) + operations, "subscribe", qos)
        form["mqv:retain"] = retain
        form["mqv:filter"] = topics.device(*self._names, kind, what)
        form["contentType"] = SENML if what else JSON
        return form

    def event(self, kind: str, what: str) -> "Found":
        form = self._form(["subscribeevent", "unsubscribeevent"], "subscribe", "1")
        form["mqv:filter"] = topics.device(*self._names, kind, what)
        form["contentType"] = BYTES
        return form

    def publish(self, operation: str, kind: str, retain: bool = False) -> "Found":
        form = self._form([operation], "publish", "1")
        form["mqv:retain"] = retain
        form["mqv:topic"] = topics.device(*self._names, kind)
        form["contentType"] = JSON
        return form

    def _form(self, operations: "list[str]", packet: str, qos: str) -> "Found":
        return {"op": operations, "href": self._broker, "mqv:controlPacket": packet, "mqv:qos": qos}


def _properties(mqtt: _Forms, sensors: "dict[str, str]") -> "Found":
    """The device's state, its telemetry, the model that it has or shall have, and a property for each channel."""
    made = {
        "state": _watched(OBJECT, mqtt.watch("1", True, "state")),
        "telemetry": _watched(OBJECT, mqtt.watch("0", False, "telemetry")),
        "reported": _watched(_object_of(version="integer", model="string"), mqtt.watch("1", True, "reported")),
        "desired": _object_of(version="integer", model="string"),
    }
    made["desired"]["writeOnly"] = True
    made["desired"]["forms"] = [mqtt.publish("writeproperty", "desired", True)]
    for channel in sorted(sensors):
        if channel in made:
            raise ValueError("sensors.%s: is the name of a property that every device has" % channel)
        pack = {"type": "array", "unit": sensors[channel], "items": OBJECT}
        made[channel] = _watched(pack, mqtt.watch("0", False, "sense", channel))
    return made


def _watched(data: "Found", form: "Found") -> "Found":
    made = dict(data)
    made["readOnly"] = made["observable"] = True
    made["forms"] = [form]
    return made


def _object_of(**kinds: str) -> "Found":
    """A data schema: an object that has these, of these types."""
    made = dict(OBJECT, properties={name: {"type": kinds[name]} for name in kinds})
    made["required"] = sorted(kinds)
    return made


def _memory(announced: "Found") -> "list[Found]":
    """Free RAM and flash as capabilities of the microcontroller, in bytes."""
    found = []
    for name, kind in MEMORIES:
        value = announced.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 0:
            raise ValueError("%s: must be a whole number of bytes" % name)
        found.append({"@type": kind, "schema:value": value, "schema:unitCode": {"@id": BYTE}})
    if not found:
        return []
    return [{"@type": "s3n:MicroController", "s3n:hasSystemCapability": [{"ssns:hasSystemProperty": found}]}]


def _sensor(channel: str, unit: str) -> "Found":
    return {"@type": "sosa:Sensor", "tegu:channel": channel, "tegu:unit": unit}


def _sensors(announced: "Found") -> "dict[str, str]":
    sensors = announced.get("sensors", {})
    if not isinstance(sensors, dict):
        raise ValueError("sensors: must be an object, channel to unit")
    for channel in sensors:
        _checked(channel, "sensors." + channel)
        if not isinstance(sensors[channel], str):
            raise ValueError("sensors.%s: must be text" % channel)
    return sensors


def _id(announced: "Found", name: str) -> str:
    word = _text(announced, name)
    return _checked(word, name) if word else ""


def _checked(word: str, path: str) -> str:
    try:
        return topics.check_id(word)
    except ValueError:
        raise ValueError("%s: must be 1 to %d of a-z, 0-9 and '-'" % (path, topics.ID_BYTES))


def _text(announced: "Found", name: str) -> str:
    word = announced.get(name, "")
    if not isinstance(word, str):
        raise ValueError(name + ": must be text")
    return word
