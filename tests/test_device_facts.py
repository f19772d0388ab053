"""What a device says of itself beside what it learns: its modelled energy and its Thing Description."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

import coordinator
from coordinator.semantics import terms
from tegu.description import BYTE
from tegu.energy import modelled
from tegu.thing import announce, describe

BARE = b'{"tm": "urn:tegu:tm:device:1"}'


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


@pytest.mark.parametrize("announced", [announce("Office", "presence", {"co2": "ppm"}, ram=4096, room="b1-2-07"), BARE])
def test_the_description_of_a_device_is_one_by_the_standards_schema(announced: bytes) -> None:
    schema = json.loads((Path(coordinator.__file__).parent / "thing.schema.json").read_text(encoding="utf-8"))
    thing = json.loads(json.dumps(describe("home", "room-1", json.loads(announced))))
    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(thing)] == []


def test_the_description_of_a_device_has_the_names_of_the_graph() -> None:
    thing = describe("home", "room-1", json.loads(announce("Office", "presence", {}, room="b1-2-07")))
    assert thing["id"] == terms.device("home", "room-1").value
    assert thing["tegu:room"] == {"@id": terms.room("home", "b1-2-07").value}
    prefixes = thing["@context"][1]
    assert prefixes == {name: terms.PREFIXES[name] for name in prefixes}
    assert terms.term("unit:BYTE").value == BYTE
