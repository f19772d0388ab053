"""Conditions as people write them: which devices of a small building they select, and what they say of the others."""

import pytest
from pyoxigraph import Literal, NamedNode, Triple

from coordinator.registry import Registry
from coordinator.semantics import terms, where
from coordinator.semantics.terms import LIVE, term

# device: room, type, floor, RAM in bytes, battery in percent (None: mains), sensors
BUILDING = {
    "north": ("b1", "office", "2", 64_000, None, ["co2", "temperature"]),
    "south": ("b2", "Office", "2", 63_999, 20.5, ["temperature"]),
    "kitchen-3": ("k1", "kitchen", "3", 131_072, 90.0, ["co2", "noise-2"]),
    "store": ("", "", "", 8_000, 100.0, []),
}


def add_device(
    registry: Registry, name: str, room: str, kind: str, floor: str, ram: int, sensors: list[str]
) -> NamedNode:
    device = terms.device("home", name)
    triples = [
        Triple(device, term("rdf:type"), term("tegu:Device")),
        Triple(device, term("schema:name"), Literal(f"The {name}")),
        Triple(device, term("tegu:ramBytes"), Literal(ram)),
        *(Triple(device, term("tegu:sensor"), terms.sensor_kind(channel)) for channel in sensors),
    ]
    if room:
        place = terms.room("home", room)
        triples += [
            Triple(device, term("tegu:room"), place),
            Triple(place, term("tegu:roomType"), Literal(kind)),
            Triple(place, term("tegu:floor"), Literal(floor)),
        ]
    registry.replace_graph(device, triples)
    return device


@pytest.fixture
def registry() -> Registry:
    made = Registry(None)
    for name, (room, kind, floor, ram, battery, sensors) in BUILDING.items():
        device = add_device(made, name, room, kind, floor, ram, sensors)
        if battery is not None:
            made.set_facts(LIVE, [(device, term("tegu:batteryPercent"), Literal(battery))])
    return made


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", "kitchen-3 north south store"),
        ("  ", "kitchen-3 north south store"),
        ("has CO2", "kitchen-3 north"),
        ("has co2 sensor", "kitchen-3 north"),
        ("has Thermometer", "north south"),
        ("has noise-2", "kitchen-3"),
        ("has no CO2", "south store"),
        ("has no co2, has no temperature", "store"),
        ("room type = office", "north south"),
        ("ROOM TYPE = 'Office'", "north south"),
        ("room type != office", "kitchen-3"),
        ("room = b1", "north"),
        ("device = store", "store"),
        ("title = the north", "north"),
        ("floor = 2 and has CO2", "north"),
        ("ram >= 64 kB", "kitchen-3 north"),
        ("ram > 64kb", "kitchen-3"),
        ("ram < 64 KiB", "north south store"),
        ("ram = 128 KiB", "kitchen-3"),
        ("battery >= 20.5 %", "kitchen-3 south store"),
        ("battery > 20.5", "kitchen-3 store"),
        ("ram >= 8 kB, battery >= 50, has CO2", "kitchen-3"),
        ("ram >= 64 kB, battery >= 0", "kitchen-3"),
        ("PREFIX x: <urn:x> SELECT ?device { ?device tegu:ramBytes 8000 }", "store"),
    ],
)
def test_a_condition_selects_these_devices(registry: Registry, condition: str, expected: str) -> None:
    selected = where.select(registry, condition)
    assert selected == [f"urn:tegu:home:{name}" for name in expected.split()]


@pytest.mark.parametrize(
    ("condition", "device", "why"),
    [
        ("has CO2", "south", "has CO2 is wanted"),
        ("has CO2", "north", ""),
        ("room type = office", "kitchen-3", "room type = office is wanted, and it is kitchen"),
        ("room type = office", "store", "room type = office is wanted, and it is not known"),
        ("has no co2", "north", "has no co2 is wanted"),
        ("has co2, ram >= 1 MB, floor = 9", "north", "ram >= 1 MB is wanted, and it is 64000"),
        ("battery >= 30 %", "south", "battery >= 30 % is wanted, and it is 20.5"),
        ("has co2", "gone", "it is not in the registry"),
    ],
)
def test_a_device_that_is_not_selected_is_told_the_first_reason(
    registry: Registry, condition: str, device: str, why: str
) -> None:
    conditions = where.parse(condition, where.kinds(registry))
    assert where.why_not(registry, terms.device("home", device), conditions) == why


def test_why_not_agrees_with_what_is_selected(registry: Registry) -> None:
    for condition in ("has CO2, ram > 64 kB", "room type != kitchen", "battery < 95, has no microphone", "floor = 2"):
        conditions = where.parse(condition, where.kinds(registry))
        fine = [name for name in BUILDING if not where.why_not(registry, terms.device("home", name), conditions)]
        assert [f"urn:tegu:home:{name}" for name in sorted(fine)] == where.select(registry, condition)


def test_a_device_in_quarantine_is_selected_by_no_condition(registry: Registry) -> None:
    registry.set_facts(LIVE, [(terms.device("home", "north"), term("tegu:quarantined"), Literal("forms: is missing"))])
    assert where.select(registry, "room type = office") == ["urn:tegu:home:south"]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("has unicorn", "no sensor 'unicorn' is known; there are acceleration"),
        ("colour = red", "no field 'colour'; there are device"),
        ("ram > many", "ram must be compared with a number, such as 64 kB or 30 %, not 'many'"),
        ("ram > 3 parsec", "not '3 parsec'"),
        ("floor < 3", "floor is a word: compare it by = or !=, not by <"),
        ("has co2,", "a condition is empty"),
        ("room type == office", "write one `=`"),
        ("room type = office or floor = 2", "there is no `or`"),
        ("what is this", "'what is this' is no condition: write `has SENSOR`"),
        ("x" * 1001, "at most 1000 characters"),
        ("SELECT ?x { ?x a tegu:Device }", "the query must give ?device"),
        ("SELECT ?device { ?device", "the query cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(registry: Registry, condition: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        where.select(registry, condition)
    assert said in str(error.value)


@pytest.mark.parametrize("word", ['" || true || "', "x') . ?device ?a ?b", "\\", "}", "<urn:x>"])
def test_a_value_stays_a_value_whatever_is_in_it(registry: Registry, word: str) -> None:
    assert where.select(registry, f"title = {word}") == []
    assert len(where.select(registry, f"title != {word}")) == 4
