"""What Home Assistant is told of the devices: keys, templates, what changes it, and who may say it.

The keys are those of home-assistant.io: integrations/mqtt ("Device discovery payload"), integrations/sensor.mqtt and
integrations/binary_sensor.mqtt ("Configuration variables"), read for 2026.2; classes and their units: integrations/sensor and
integrations/binary_sensor ("Device class").
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from coordinator.homeassistant import MOST_BYTES, Discovery
from coordinator.metrics import CHANNELS
from experiments import broker
from experiments.broker import RunningBroker
from tegu import topics
from tegu.thing import announce, describe
from tegu.wire.messages import State, encode_numbers
from tests.parts import needs
from tests.peer import Message, Peer

CONFIG = "homeassistant/device/tegu-home/room-1/config"

# key -> whether it must be there
ROOT_KEYS = {"device": True, "origin": True, "components": True, "availability": False}
DEVICE_KEYS = {"identifiers": True, "name": False, "manufacturer": False, "model": False, "sw_version": False}
ORIGIN_KEYS = {"name": True, "sw_version": False, "support_url": False}
AVAILABILITY_KEYS = {"topic": True, "value_template": False, "payload_available": False, "payload_not_available": False}
COMPONENT_KEYS = {
    "platform": True,
    "unique_id": True,
    "state_topic": True,
    "name": False,
    "availability": False,
    "default_entity_id": False,
    "device_class": False,
    "entity_category": False,
    "json_attributes_topic": False,
    "json_attributes_template": False,
    "value_template": False,
}
PLATFORM_KEYS = {
    "sensor": {**COMPONENT_KEYS, "state_class": False, "unit_of_measurement": False},
    "binary_sensor": {**COMPONENT_KEYS, "payload_on": False, "payload_off": False},
}
CLASSES = {
    "sensor": {
        "carbon_dioxide": "ppm",
        "temperature": "°C",
        "humidity": "%",
        "illuminance": "lx",
        "battery": "%",
        "voltage": "V",
        "data_size": "B",
        "signal_strength": "dBm",
    },
    "binary_sensor": {"motion": None, "occupancy": None, "connectivity": None},
}


def device(kind: str, what: str = "", name: str = "room-1") -> str:
    return topics.device("home", name, kind, what)


def state(word: str = "ready", **values: Any) -> bytes:
    return State(state=word, boot=1, model="presence", **values).encode()


def senml(channel: str, **record: Any) -> bytes:
    return json.dumps([{"n": channel, **record}]).encode()


def config_of(out: list[tuple[str, bytes, bool]]) -> dict[str, Any]:
    """The one message's."""
    [(topic, payload, retained)] = out
    assert retained
    assert len(payload) < MOST_BYTES
    config: dict[str, Any] = json.loads(payload)
    assert topic.endswith(config["device"]["identifiers"][0].split("_")[-1] + "/config")
    return config


def room() -> Discovery:
    """One that has heard everything of room-1."""
    told = Discovery("homeassistant", "home")
    told.heard(device("state"), state())
    numbers = {"version": 3, "free_heap_bytes": 90000, "battery_percent": 80.5, "battery_volts": 3.9, "rssi_dbm": -61}
    told.heard(device("telemetry"), encode_numbers({**numbers, "loss_after": 0.1}))
    for channel, known in CHANNELS.items():
        told.heard(device("sense", channel), senml(channel, u=known.senml_unit, v=1))
    told.heard(device("sense", "door-open"), senml("door-open", vb=True))
    told.heard(device("sense", "pressure"), senml("pressure", u="Pa", v=101325))
    return told


def components() -> dict[str, dict[str, Any]]:
    [(_, payload, _)] = room().everything()
    made: dict[str, dict[str, Any]] = json.loads(payload)["components"]
    return made


def render(template: str, payload: bytes) -> str:
    """As Home Assistant does it (helpers/template: async_render_with_possible_json_value): value, and value_json if it is JSON."""
    names: dict[str, Any] = {"value": payload.decode()}
    with contextlib.suppress(ValueError):
        names["value_json"] = json.loads(payload)
    return ImmutableSandboxedEnvironment().from_string(template).render(names).strip()


def check(told: dict[str, Any], keys: dict[str, bool]) -> None:
    assert told.keys() <= keys.keys()
    assert {key for key, must in keys.items() if must} <= told.keys()


def test_a_message_has_the_documented_keys_and_no_others() -> None:
    [(topic, payload, _)] = room().everything()
    config = json.loads(payload)
    assert topic == CONFIG
    check(config, ROOT_KEYS)
    check(config["device"], DEVICE_KEYS)
    check(config["origin"], ORIGIN_KEYS)
    for told in config["availability"]:
        check(told, AVAILABILITY_KEYS)
    for component in config["components"].values():
        platform = component["platform"]
        check(component, PLATFORM_KEYS[platform])
        if "device_class" in component:
            assert component.get("unit_of_measurement") == CLASSES[platform][component["device_class"]]
        if platform == "sensor":
            assert component["state_class"] == "measurement"
        assert component.get("entity_category", "diagnostic") == "diagnostic"


def test_what_is_heard_of_a_room_becomes_its_sensors() -> None:
    made = components()
    said = {
        key: (told["platform"], told["name"], told.get("device_class"), told.get("unit_of_measurement"))
        for key, told in made.items()
    }
    assert said == {
        "state": ("binary_sensor", "Connection", "connectivity", None),
        "telemetry_version": ("sensor", "Model version", None, None),
        "telemetry_free_heap_bytes": ("sensor", "Free heap", "data_size", "B"),
        "telemetry_battery_percent": ("sensor", "Battery", "battery", "%"),
        "telemetry_battery_volts": ("sensor", "Battery voltage", "voltage", "V"),
        "telemetry_rssi_dbm": ("sensor", "Signal strength", "signal_strength", "dBm"),
        "sense_co2": ("sensor", "CO2", "carbon_dioxide", "ppm"),
        "sense_temperature": ("sensor", "Temperature", "temperature", "°C"),
        "sense_humidity": ("sensor", "Humidity", "humidity", "%"),
        "sense_illuminance": ("sensor", "Illuminance", "illuminance", "lx"),
        "sense_motion": ("binary_sensor", "Motion", "motion", None),
        "sense_presence": ("binary_sensor", "Presence", "occupancy", None),
        "sense_door-open": ("binary_sensor", "Door open", None, None),
        "sense_pressure": ("sensor", "Pressure", None, "Pa"),
    }
    assert made["sense_co2"]["state_topic"] == "tegu/1/home/device/room-1/sense/co2"
    assert made["sense_co2"]["unique_id"] == "tegu_home_room-1_sense_co2"
    assert made["sense_co2"]["default_entity_id"] == "sensor.home_room_1_co2"
    assert made["state"]["unique_id"] == "tegu_home_room-1_state"
    assert len({told["unique_id"] for told in made.values()}) == len(made)


@pytest.mark.parametrize(
    ("key", "payload", "shown"),
    [
        ("sense_co2", b'[{"n": "co2", "u": "ppm", "v": 612}]', "612"),
        ("sense_co2", b'[{"n": "co2", "u": "ppm", "v": 0}]', "0"),
        ("sense_temperature", b'[{"n": "temperature", "u": "Cel", "v": 21.4}]', "21.4"),
        ("sense_temperature", b'[{"n": "temperature", "v": 21.4}, {"n": "temperature", "v": 21.5}]', "21.5"),
        ("sense_temperature", b'[{"n": "temperature", "vs": "broken"}]', ""),
        ("sense_motion", b'[{"n": "motion", "u": "/", "v": 1}]', "ON"),
        ("sense_motion", b'[{"n": "motion", "u": "/", "v": 0}]', "OFF"),
        ("sense_motion", b'[{"n": "motion", "vb": true}]', "ON"),
        ("sense_motion", b'[{"n": "motion", "vb": false}]', "OFF"),
        ("sense_presence", b'[{"n": "presence", "u": "/", "v": 0.5}]', "ON"),
        ("sense_presence", b'[{"n": "presence", "u": "/", "v": 0.49}]', "OFF"),
        ("sense_presence", b'[{"n": "presence", "vs": "maybe"}]', ""),
        ("telemetry_version", b'{"version": 7, "boot": 1}', "7"),
        ("telemetry_battery_percent", b'{"version": 7, "boot": 1}', ""),
        ("telemetry_rssi_dbm", b'{"rssi_dbm": -61}', "-61"),
        ("state", b'{"state": "ready", "boot": 1}', "ON"),
        ("state", b'{"state": "sleeping", "boot": 1, "wakes_s": 1800000000}', "ON"),
        ("state", b'{"state": "refused", "boot": 1, "why": "needs more heap"}', "ON"),
        ("state", b'{"state": "lost", "boot": 1}', "OFF"),
        ("state", b'{"state": "offline", "boot": 1}', "OFF"),
        ("state", b"", "OFF"),
    ],
)
def test_a_template_shows_what_was_sent(key: str, payload: bytes, shown: str) -> None:
    assert render(components()[key]["value_template"], payload) == shown


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (state("ready"), "online"),
        (state("sleeping", wakes_s=1_800_000_000), "online"),
        (state("offline"), "offline"),
        (state("lost"), "offline"),
        (state("refused", why="needs more heap"), "offline"),
        (b"", "offline"),
    ],
)
def test_a_device_is_available_while_it_is_ready_or_asleep(payload: bytes, shown: str) -> None:
    [(_, config, _)] = room().everything()
    [available] = json.loads(config)["availability"]
    assert available["topic"] == "tegu/1/home/device/room-1/state"
    assert render(available["value_template"], payload) == shown


def test_the_connection_is_shown_also_while_the_device_is_away() -> None:
    assert components()["state"]["availability"] == []  # in place of the device's, which would hide it just then


def test_the_state_itself_and_its_reason_are_attributes_of_the_connection() -> None:
    shown = components()["state"]
    assert shown["json_attributes_topic"] == shown["state_topic"] == device("state")
    told = state("refused", why="needs more heap")
    assert json.loads(render(shown["json_attributes_template"], told)) == json.loads(told)
    assert json.loads(render(shown["json_attributes_template"], b"")) == {}


def test_a_message_goes_out_when_it_says_something_new_and_only_then() -> None:
    told = Discovery("homeassistant", "home")
    assert list(config_of(told.heard(device("state"), state()))["components"]) == ["state"]
    assert told.heard(device("state"), state("lost")) == []
    assert told.heard(device("state"), state()) == []
    assert "sense_co2" in config_of(told.heard(device("sense", "co2"), senml("co2", u="ppm", v=612)))["components"]
    assert told.heard(device("sense", "co2"), senml("co2", u="ppm", v=613)) == []
    telemetry = encode_numbers({"version": 1, "samples": 32})
    assert "telemetry_version" in config_of(told.heard(device("telemetry"), telemetry))["components"]
    assert told.heard(device("telemetry"), telemetry) == []
    assert told.heard(device("telemetry"), encode_numbers({"loss_after": 0.5})) == []
    thing = announce("Room 917.810", "presence", {}, firmware="0.1.0")
    config = config_of(told.heard(device("thing"), thing))
    assert config["device"] == {
        "identifiers": ["tegu_home_room-1"],
        "name": "Room 917.810",
        "manufacturer": "Tegu",
        "model": "presence",
        "sw_version": "0.1.0",
    }
    assert list(config["components"]) == ["state", "telemetry_version", "sense_co2"]
    assert told.heard(device("thing"), thing) == []


@pytest.mark.parametrize("form", ["as a board announces it", "in full"])
def test_a_thing_names_its_channels_before_they_are_heard(form: str) -> None:
    told = Discovery("homeassistant", "home")
    thing = announce("Room 1", "presence", {"co2": "ppm", "pressure": "hPa"}, firmware="0.1.0")
    if form == "in full":
        thing = json.dumps(describe("home", "room-1", json.loads(thing))).encode()
    config = config_of(told.heard(device("thing"), thing))
    assert (config["device"]["name"], config["device"]["sw_version"]) == ("Room 1", "0.1.0")
    assert list(config["components"]) == ["state", "sense_co2", "sense_pressure"]
    assert config["components"]["sense_co2"]["device_class"] == "carbon_dioxide"
    assert config["components"]["sense_pressure"]["unit_of_measurement"] == "hPa"
    assert told.heard(device("sense", "co2"), senml("co2", v=612)) == []


def test_a_device_that_is_taken_away_is_taken_out() -> None:
    told = room()
    assert told.heard(device("state"), b"") == [(CONFIG, b"", True)]
    assert told.everything() == []
    assert told.heard(device("state"), b"") == []


def test_a_coordinator_that_starts_again_knows_what_it_has_said() -> None:
    before = room()
    before.heard(device("thing"), b'{"tm": "urn:tegu:tm:device:1", "title": "Room 1"}')
    [(topic, payload, _)] = before.everything()
    after = Discovery("homeassistant", "home")
    assert after.own == "homeassistant/device/tegu-home/+/config"
    assert after.heard(topic, payload) == []
    assert after.everything() == before.everything()
    assert after.heard(device("state"), state()) == []
    assert after.heard(device("thing"), b'{"tm": "urn:tegu:tm:device:1", "title": "Room 1"}') == []
    for channel in (*CHANNELS, "door-open", "pressure"):
        assert after.heard(device("sense", channel), senml(channel, v=1)) == []
    assert after.heard(device("telemetry"), encode_numbers({"battery_percent": 80})) == []
    assert "sense_noise" in config_of(after.heard(device("sense", "noise"), senml("noise", v=1)))["components"]


def test_its_own_message_coming_back_changes_nothing() -> None:
    told = room()
    [(topic, payload, _)] = told.everything()
    for echo in (payload, b"", b"{}", b'{"device": {"name": "x"}, "components": {}}'):
        assert told.heard(topic, echo) == []
    assert told.everything() == [(topic, payload, True)]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (device("state"), b"{"),
        (device("state"), b'{"state": "online"}'),
        (device("state"), b'{"state": 1}'),
        ("tegu/1/home/device/Room 1/state", state()),
        ("tegu/1/office/device/room-1/state", state()),
        ("tegu/1/home/coordinator/state", state()),
        ("tegu/1/home/device/room-1/sense/co2/x", senml("co2", v=1)),
        (device("thing"), b"[]"),
        (device("thing"), b'{"properties": {"co2": {"forms": []}}}'),
        (device("thing"), b'{"tm": "urn:tegu:tm:device:1", "sensors": ["co2"]}'),
        (device("thing"), b'{"tm": "urn:tegu:tm:device:1", "sensors": {"C O 2": "ppm"}}'),
        (device("thing"), b'{"title": "' + bytes(MOST_BYTES) + b'"}'),
        (device("sense", "co2"), b"612"),
        (device("sense", "co2"), b"[]"),
        (device("sense", "co2"), b'{"v": 1}'),
        (device("sense", "co2"), senml("co2", vs="high")),
        (device("sense", "co2"), b"[" * 9000),
        (device("telemetry"), b'{"version": "x"}'),
        (device("telemetry"), b'{"samples": 3}'),
        (device("ack", "presence"), b"{}"),
        ("homeassistant/device/tegu-home/room-1/config", b"{}"),
        ("homeassistant/device/tegu-home/room-1/config", b'{"device": {"name": 1}, "components": []}'),
        ("homeassistant/device/tegu-home/a/b/config", b'{"device": {"name": "b"}, "components": {}}'),
    ],
)
def test_a_message_that_says_nothing_of_a_device_is_ignored(topic: str, payload: bytes) -> None:
    told = Discovery("homeassistant", "home")
    assert told.heard(topic, payload) == []
    assert told.everything() == []


def test_a_device_cannot_make_its_message_too_long() -> None:
    name, site = "d" * 32, "s" * 32
    told = Discovery("homeassistant", site)
    for at in range(70):
        channel = f"{at:032d}"
        told.heard(topics.device(site, name, "sense", channel), senml(channel, u="u" * 16, v=1))
    [(topic, payload, _)] = told.everything()
    assert 9000 < len(payload) < MOST_BYTES
    shown = json.loads(payload)["components"]
    assert list(shown) == ["state", *(f"sense_{at:032d}" for at in range(len(shown) - 1))]
    again = Discovery("homeassistant", site)
    again.heard(topic, payload)
    assert again.heard(topics.device(site, name, "sense", f"{69:032d}"), senml("x", u="u" * 16, v=1)) == []
    thing = json.dumps({"title": "t" * 500, "model": "m" * 500, "tegu:firmware": "v" * 500}).encode()
    assert config_of(told.heard(topics.device(site, name, "thing"), thing))["device"]["name"] == "t" * 64


def test_there_are_at_most_ten_thousand_devices() -> None:
    told = Discovery("homeassistant", "home")
    for at in range(10_001):
        told.heard(device("state", name=f"room-{at}"), state())
    assert len(told.everything()) == 10_000
    assert told.heard(device("sense", "co2", "room-10000"), senml("co2", v=1)) == []
    told.heard(device("state", name="room-0"), b"")
    assert len(told.heard(device("state", name="room-10000"), state())) == 1


# --- the broker ---


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningBroker]:
    """With a user for Home Assistant, whom our acl knows."""
    needs("mosquitto")
    names = ("coordinator", "observer", "labels", "join", "room-1", "room-2", "homeassistant")
    with broker.start(tmp_path, {name: name for name in names}, "mosquitto") as running:
        yield running


def test_only_the_coordinator_and_home_assistant_write_discovery(mosquitto: RunningBroker) -> None:
    with Peer(mosquitto, "coordinator") as coordinator, Peer(mosquitto, "homeassistant") as reader:
        reader.subscribe("homeassistant/#")
        for user in ("room-1", "observer", "labels", "join"):
            with Peer(mosquitto, user) as other:
                other.publish(CONFIG, b"{}", retained=True)
                other.publish("homeassistant/status", b"offline")
        coordinator.publish(CONFIG, b"for you", retained=True)
        assert reader.all_so_far() == [Message(CONFIG, b"for you", False)]
        coordinator.subscribe(Discovery("homeassistant", "home").own)
        assert coordinator.next() == Message(CONFIG, b"for you", True)
        reader.publish("homeassistant/status", b"online")  # its birth
        assert reader.next() == Message("homeassistant/status", b"online", False)


def test_home_assistant_reads_the_devices_and_commands_none(mosquitto: RunningBroker) -> None:
    with Peer(mosquitto, "homeassistant") as reader, Peer(mosquitto, "room-1") as room_1:
        with Peer(mosquitto, "coordinator") as coordinator:
            coordinator.subscribe("tegu/1/#")
            for topic in (device("state"), device("label"), device("desired"), device("state", name="homeassistant")):
                reader.publish(topic, b"{}")
            room_1.publish(device("telemetry"), b"marker")
            assert coordinator.next().payload == b"marker"
        reader.subscribe("tegu/1/home/device/+/sense/+")
        room_1.publish(device("sense", "co2"), senml("co2", v=612))
        assert reader.next().topic == device("sense", "co2")


def test_a_device_reads_no_discovery(mosquitto: RunningBroker) -> None:
    with Peer(mosquitto, "coordinator") as coordinator, Peer(mosquitto, "room-2") as reader:
        reader.subscribe("homeassistant/#")
        coordinator.publish(CONFIG, b"{}", retained=True)
        assert reader.all_so_far() == []


def test_what_the_broker_kept_tells_a_new_coordinator_what_was_said(mosquitto: RunningBroker) -> None:
    before = room()
    with Peer(mosquitto, "coordinator") as coordinator, Peer(mosquitto, "room-1") as device_1:
        device_1.publish(device("state"), state(), retained=True)
        for topic, payload, retained in before.everything():
            coordinator.publish(topic, payload, retained=retained)
    after = Discovery("homeassistant", "home")
    with Peer(mosquitto, "coordinator") as coordinator:
        coordinator.subscribe(after.own)
        coordinator.subscribe(device("state", name=topics.ANY))
        for message in coordinator.all_so_far():
            assert after.heard(message.topic, message.payload) == []
    assert after.everything() == before.everything()
