"""What a device announces of itself, retained on its topic `thing`: the parameters of Tegu's Thing Model, in 512 bytes of JSON.

    tm         the Thing Model: urn:tegu:tm:device:1
    title      for people
    model      that it takes part in
    ram        bytes of memory that are free
    flash      bytes of flash, or disk, that are free
    sensors    channel -> unit (SenML), as {"co2": "ppm"}
    radio      wifi, ble, 802.15.4, lora or ethernet
    energy     where its power comes from: mains, battery or harvest
    firmware   version of its program
    room       where it is, an id

All but `tm` may be left out. A device that has room may say its whole Thing Description instead; describe() makes one of
what others announce. (Thing Models and their use: W3C Web of Things, TD 1.1, section 10.)
"""

import json

THING_MODEL = "urn:tegu:tm:device:1"
PARTS = ("ram", "flash", "radio", "energy", "firmware", "room")
LIMIT_BYTES = 512
ENERGY_SOURCES = ("mains", "battery", "harvest")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def announce(title: str, model_name: str, sensors: "dict[str, str]", **parts: "Any") -> bytes:
    """A device's announcement. parts: of PARTS; None, 0 and "" are left out. ValueError: it is longer than 512 bytes."""
    told = {"tm": THING_MODEL, "title": title, "model": model_name, "sensors": sensors}
    for name, value in parts.items():
        if name not in PARTS:
            raise ValueError("no part %s; there are %s" % (name, ", ".join(PARTS)))
        if value:
            told[name] = value
    payload = json.dumps(told).encode()
    if len(payload) > LIMIT_BYTES:
        raise ValueError("an announcement of %d bytes is more than the %d allowed" % (len(payload), LIMIT_BYTES))
    return payload


def coarse(free_bytes: int, digits: int) -> int:
    """free_bytes rounded down to so many binary digits, so that the same machine announces the same at its next start."""
    step = 1
    while free_bytes // step >> digits:
        step *= 2
    return free_bytes // step * step


def describe(
    site: str, device: str, announced: "dict[str, Any]", broker: str = "mqtt://broker:1883"
) -> "dict[str, Any]":
    """The Thing Description of a device that announced this. broker: its address, without a topic.

    ValueError, as 'sensors.co2: must be text': what is announced cannot be read.
    """
    from .description import describe_device  # a board that only announces does not pay for it

    return describe_device(site, device, announced, broker)
