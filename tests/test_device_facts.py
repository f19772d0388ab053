"""What a device says of itself beside what it learns: its modelled energy and its Thing Description."""

import json

import pytest

from tegu.energy import modelled
from tegu.thing import describe
from tegu.topics import device


def test_energy_is_cycles_bytes_and_sessions_times_their_costs() -> None:
    # 1,000 weights: 10 samples of 22 cycles a weight and one encoding of 55: 275,000 cycles at 155 pJ.
    ble = modelled(1000, 10, 1, 100, 2, "ble")
    assert ble.compute_joules == pytest.approx(42.625e-6)
    assert ble.radio_joules == pytest.approx(23.5e-6)
    assert ble.session_joules == 0.0
    assert ble.joules == pytest.approx(66.125e-6)
    assert modelled(1000, 10, 1, 100, 2, "wifi").session_joules == pytest.approx(1.086)
    with pytest.raises(ValueError, match="no radio 'zigbee'"):
        modelled(1, 1, 1, 1, 1, "zigbee")


def test_a_thing_has_what_the_standard_asks_for_and_the_topics_of_its_device() -> None:
    thing = json.loads(json.dumps(describe("home", "room-1", "presence", "Office", {"co2": "ppm"})))
    assert thing["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    assert (thing["@type"], thing["id"], thing["title"]) == ("Thing", "urn:tegu:home:room-1", "Office")
    assert thing["security"] in thing["securityDefinitions"]
    properties = thing["properties"]
    assert properties["co2"]["unit"] == "ppm"
    for name, topic in (
        ("state", device("home", "room-1", "state")),
        ("co2", device("home", "room-1", "sense", "co2")),
    ):
        assert properties[name]["forms"][0]["href"] == "mqtt://broker/" + topic
    assert thing["actions"]["label"]["forms"][0]["href"].endswith(device("home", "room-1", "label"))
    assert thing["events"]["update"]["forms"][0]["href"].endswith(device("home", "room-1", "update", "presence"))
    with pytest.raises(ValueError, match="site"):
        describe("Home", "room-1", "presence", "Office", {})
