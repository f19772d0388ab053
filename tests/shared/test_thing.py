"""What a device announces, and the Thing Description that is made of it."""

import json

from given import error_of

from tegu.thing import LIMIT_BYTES, announce, coarse, describe

BOARD = {
    "tm": "urn:tegu:tm:device:1",
    "title": "Room 7",
    "model": "presence",
    "ram": 163840,
    "flash": 524288,
    "sensors": {"co2": "ppm", "temperature": "Cel"},
    "radio": "wifi",
    "energy": "battery",
    "firmware": "0.1.0",
    "room": "b1-2-07",
}
PARTS = {name: BOARD[name] for name in ("ram", "flash", "radio", "energy", "firmware", "room")}


def described(**changes):
    """The Thing Description of room-7 with these changes in what it announced; None takes something out."""
    told = dict(BOARD)
    told.update(changes)
    return describe("home", "room-7", {name: value for name, value in told.items() if value is not None})


def refused(**changes):
    return error_of(ValueError, lambda: described(**changes))


def test_an_announcement_says_its_thing_model_and_every_part():
    assert json.loads(announce("Room 7", "presence", BOARD["sensors"], **PARTS)) == BOARD


def test_what_is_not_known_is_left_out():
    told = json.loads(announce("Room 7", "presence", {}, ram=0, room="", radio=None))
    assert told == {"tm": "urn:tegu:tm:device:1", "title": "Room 7", "model": "presence", "sensors": {}}


def test_an_announcement_has_at_most_512_bytes():
    spent = len(announce("", "presence", {}))
    assert len(announce("t" * (LIMIT_BYTES - spent), "presence", {})) == 512
    assert "513" in error_of(ValueError, announce, "t" * (LIMIT_BYTES + 1 - spent), "presence", {})


def test_a_part_that_there_is_not_is_refused():
    assert error_of(ValueError, lambda: announce("Room 7", "presence", {}, rom=1)).startswith("no part rom; ")


def test_free_bytes_are_rounded_down_to_so_many_binary_digits():
    # 0b101_1011: of three digits, 0b101_0000.
    assert [coarse(91, 3), coarse(95, 3), coarse(96, 3), coarse(7, 3), coarse(0, 3)] == [80, 80, 96, 7, 0]
    assert coarse(5120000000, 3) == 4 << 30  # between 4 and 5 times 2 ** 30
    assert coarse(163839, 6) == 39 << 12  # 163,840 is 40 times 4,096


def test_a_description_is_of_its_device_and_its_thing_model():
    made = described()
    assert made["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    assert made["@type"] == ["Thing", "s3n:SmartSensor"]
    assert (made["id"], made["title"]) == ("urn:tegu:home:room-7", "Room 7")
    assert made["links"] == [{"rel": "type", "href": "urn:tegu:tm:device:1", "type": "application/tm+json"}]
    assert made["security"] in made["securityDefinitions"]


def test_a_description_has_memory_in_bytes_and_its_sensors_as_subsystems():
    chip, co2, temperature = described()["ssn:hasSubSystem"]
    (capability,) = chip["s3n:hasSystemCapability"]
    byte = {"@id": "http://qudt.org/vocab/unit/BYTE"}
    assert chip["@type"] == "s3n:MicroController"
    assert capability["ssns:hasSystemProperty"] == [
        {"@type": "s3nx:RAM", "schema:value": 163840, "schema:unitCode": byte},
        {"@type": "s3nx:Flash", "schema:value": 524288, "schema:unitCode": byte},
    ]
    assert co2 == {"@type": "sosa:Sensor", "tegu:channel": "co2", "tegu:unit": "ppm"}
    assert temperature == {"@type": "sosa:Sensor", "tegu:channel": "temperature", "tegu:unit": "Cel"}


def test_a_description_has_the_facts_of_the_device():
    made = described()
    assert (made["tegu:radio"], made["tegu:energySource"], made["tegu:firmware"]) == ("wifi", "battery", "0.1.0")
    assert made["tegu:room"] == {"@id": "urn:tegu:home:room:b1-2-07"}


def test_what_is_retained_can_be_read_and_readings_can_only_be_watched():
    properties = described()["properties"]
    assert properties["reported"]["forms"] == [
        {
            "op": ["readproperty", "observeproperty", "unobserveproperty"],
            "href": "mqtt://broker:1883",
            "mqv:controlPacket": "subscribe",
            "mqv:qos": "1",
            "mqv:retain": True,
            "mqv:filter": "tegu/1/home/device/room-7/reported",
            "contentType": "application/json",
        }
    ]
    assert properties["co2"]["forms"] == [
        {
            "op": ["observeproperty", "unobserveproperty"],
            "href": "mqtt://broker:1883",
            "mqv:controlPacket": "subscribe",
            "mqv:qos": "0",
            "mqv:retain": False,
            "mqv:filter": "tegu/1/home/device/room-7/sense/co2",
            "contentType": "application/senml+json",
        }
    ]
    assert (properties["co2"]["type"], properties["co2"]["unit"]) == ("array", "ppm")
    filters = {name: properties[name]["forms"][0].get("mqv:filter") for name in ("state", "telemetry")}
    assert filters == {
        "state": "tegu/1/home/device/room-7/state",
        "telemetry": "tegu/1/home/device/room-7/telemetry",
    }


def test_what_others_say_to_a_device_is_published():
    made = described()
    for form, operation, topic, retain in (
        (made["properties"]["desired"]["forms"][0], "writeproperty", "desired", True),
        (made["actions"]["label"]["forms"][0], "invokeaction", "label", False),
    ):
        assert (form["op"], form["mqv:topic"]) == ([operation], "tegu/1/home/device/room-7/" + topic)
        assert (form["mqv:controlPacket"], form["mqv:qos"], form["mqv:retain"]) == ("publish", "1", retain)


def test_an_update_is_an_event_of_the_model_that_the_device_takes_part_in():
    (form,) = described()["events"]["update"]["forms"]
    assert form["op"] == ["subscribeevent", "unsubscribeevent"]
    assert form["mqv:filter"] == "tegu/1/home/device/room-7/update/presence"
    assert form["contentType"] == "application/octet-stream"
    assert described(model=None)["events"] == {}


def test_the_address_of_the_broker_is_in_every_form():
    made = describe("home", "room-7", BOARD, "mqtts://broker.example:8883")
    found = []
    for kind in ("properties", "actions", "events"):
        for affordance in made[kind].values():
            found += [form["href"] for form in affordance["forms"]]
    assert found == ["mqtts://broker.example:8883"] * 8  # four of every device, two channels, one action, one event


def test_of_what_is_not_announced_nothing_is_said():
    made = describe("home", "room-7", {"tm": BOARD["tm"]})
    assert (made["title"], made["ssn:hasSubSystem"]) == ("room-7", [])
    assert [name for name in made if name.startswith("tegu:")] == []
    assert sorted(made["properties"]) == ["desired", "reported", "state", "telemetry"]


def test_what_cannot_be_read_is_told_by_its_path():
    assert refused(tm=None) == "tm: must be urn:tegu:tm:device:1"
    assert refused(tm="urn:tegu:tm:device:2") == "tm: must be urn:tegu:tm:device:1"
    for name in ("title", "model", "radio", "energy", "firmware", "room"):
        assert refused(**{name: 7}) == name + ": must be text"
    for name in ("ram", "flash"):
        for bad in (-1, 1.5, "1", True):
            assert refused(**{name: bad}) == name + ": must be a whole number of bytes"
    assert refused(room="B1.2") == "room: must be 1 to 32 of a-z, 0-9 and '-'"
    assert refused(model="a/b") == "model: must be 1 to 32 of a-z, 0-9 and '-'"
    assert refused(sensors=["co2"]) == "sensors: must be an object, channel to unit"
    assert refused(sensors={"CO2": "ppm"}) == "sensors.CO2: must be 1 to 32 of a-z, 0-9 and '-'"
    assert refused(sensors={"co2": 1}) == "sensors.co2: must be text"
    assert refused(sensors={"state": "/"}) == "sensors.state: is the name of a property that every device has"


def test_an_id_that_can_be_none_is_the_callers_fault():
    assert "site" in error_of(ValueError, describe, "Home", "room-7", BOARD)
    assert "device" in error_of(ValueError, describe, "home", "room/7", BOARD)
