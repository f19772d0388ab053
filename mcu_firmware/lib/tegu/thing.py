"""A device's Thing Description (W3C Web of Things TD 1.1), with its MQTT topics as forms, as a plain dict.

Section 5 of the TD says what a Thing is (title, properties, actions, events); the MQTT binding says `mqv:` terms.
"""

from . import topics


def describe(site: str, device: str, model_name: str, title: str, sensors: "dict[str, str]") -> "dict[str, object]":
    """The Thing Description of a device. sensors: channel -> unit (SenML), as 'co2': 'ppm'."""
    properties: "dict[str, object]" = {
        "state": _property("object", topics.device(site, device, "state"), True),
        "telemetry": _property("object", topics.device(site, device, "telemetry"), False),
    }
    for channel, unit in sensors.items():
        form = _property("number", topics.device(site, device, "sense", channel), False)
        form["unit"] = unit
        properties[channel] = form
    return {
        "@context": ["https://www.w3.org/2022/wot/td/v1.1", {"mqv": "http://www.example.org/mqtt-binding#"}],
        "@type": "Thing",
        "id": "urn:tegu:%s:%s" % (topics.check_id(site, "site"), topics.check_id(device, "device")),
        "title": title,
        "securityDefinitions": {"login": {"scheme": "basic", "in": "header"}},
        "security": "login",
        "properties": properties,
        "actions": {"label": _form("invokeaction", topics.device(site, device, "label"), "publish")},
        "events": {"update": _form("subscribeevent", topics.device(site, device, "update", model_name), "subscribe")},
    }


def _property(kind: str, topic: str, retain: bool) -> "dict[str, object]":
    form = _form("observeproperty", topic, "subscribe")
    form["type"] = kind
    form["readOnly"] = True
    form["observable"] = True
    form["mqv:retain"] = retain
    return form


def _form(operation: str, topic: str, packet: str) -> "dict[str, object]":
    return {"forms": [{"op": operation, "href": "mqtt://broker/" + topic, "mqv:controlPacket": packet}]}
