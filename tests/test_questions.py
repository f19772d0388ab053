"""The questions of coordinator/queries on a site of twelve devices and six models, each answer worked out by hand, and on 300 and
60 that are made up, where plain loops (tests.registry_reference) must say the same."""

import random
import tracemalloc

import pytest
from pyoxigraph import Literal, NamedNode, Triple

from coordinator import matching
from coordinator.registry import Registry, Row, questions
from coordinator.semantics import terms
from coordinator.semantics.terms import term
from tests import registry_reference as reference
from tests.registry_boards import ACCELEROMETER, CAMERA, MICROPHONE, THERMOMETER
from tests.registry_building import SITE, TOP_1, Deployment, Device, Model, Room, Round, Site, site
from tests.registry_triples import fingerprint, graphs

CO2, LIGHT = "tegu:Co2Sensor", "tegu:LightSensor"
AIR_SENSORS = frozenset([CO2, THERMOMETER])
ROOMS = [
    Room("lab", "Laboratory 1", "laboratory"),
    Room("office", "Office 2.07", "office", "2"),
    Room("cellar", "Cellar", "store", "0"),
]
DEVICES = [
    Device(
        "d1", 100_000, 500_000, frozenset([MICROPHONE, ACCELEROMETER]), "lab", "Clap counter", "Listens at the door."
    ),
    Device("d2", 50_000, 200_000, AIR_SENSORS, "lab", "Lab air", in_hand=(("air", 3),)),
    Device("d3", 60_000, 300_000, AIR_SENSORS | {MICROPHONE}, "office", "Office air", in_hand=(("air", 1),)),
    Device("d4", 60_000, None, AIR_SENSORS, "office", "Says no flash"),
    Device("d5", None, 300_000, frozenset([CO2]), "office", "Says no RAM"),
    Device(
        "d6",
        200_000,
        900_000,
        AIR_SENSORS | {MICROPHONE, ACCELEROMETER, CAMERA},
        "cellar",
        "Too good to be true",
        quarantined="ram: more than its board has",
    ),
    Device("d7", 20_000, 100_000, frozenset(), "cellar", "Relay"),
    Device("d8", 30_000, 40_000, frozenset([THERMOMETER]), None, "Wanderer"),
    Device("d9", 40_000, 100_000, frozenset([LIGHT]), "attic", "50 % grey (old)"),
    Device("d10", 40_000, 100_000, AIR_SENSORS, "office", "Just enough for air"),
    Device("d11", 1_500, 10_000, frozenset(), "lab", "Tiny"),
    Device("d12", 9_999, 60_000, frozenset([MICROPHONE]), "lab", "A byte short", state="lost"),
]
MODELS = [
    Model("air", 40_000, 55_000, 100_000, AIR_SENSORS, "Air", "Tells who is there by the air.", 9, ((TOP_1, 80.0),), 3),
    Model(
        "clap", 10_000, None, 50_000, frozenset([MICROPHONE]), metrics=((TOP_1, 90.5), ("nnet:Top_5_accuracy", 99.0))
    ),
    Model("sine", 1_000, 2_000, None, frozenset(), "Sine"),
    Model("watch", 150_000, 180_000, 800_000, frozenset([CAMERA]), metrics=((TOP_1, 95.0),)),
    Model("warm", 20_000, 30_000, 40_000, frozenset([THERMOMETER]), metrics=((TOP_1, 80.0), (TOP_1, 81.0))),
    Model("mute", None, None, None, frozenset()),
]
ROUNDS = [
    Round("air", 1, 1_750_000_000, 1_750_000_060, ("d2", "d3"), ("d2", "d3"), "has co2"),
    Round("air", 2, 1_750_000_100, 1_750_000_160, ("d2", "d3"), ("d3",)),
    Round("air", 3, 1_750_000_200, None, ("d2", "d3")),
]
DEPLOYMENTS = [
    Deployment(1, "clap", "has microphone", "done", 3, ("d1", "d3")),
    Deployment(2, "sine", "floor = 1", "rolled back", 1, ("d1",)),
]
SMALL = Site(ROOMS, DEVICES, MODELS, ROUNDS, DEPLOYMENTS)


def device(name: str) -> str:
    return terms.device(SITE, name).value


def model(name: str) -> str:
    return terms.model(SITE, name).value


def room(name: str) -> str:
    return terms.room(SITE, name).value


def kind(short: str) -> str:
    return term(short).value


def name(iri: str) -> str:
    """The last word."""
    return iri.rpartition(":")[2]


def names(rows: list[Row], column: str) -> list[str]:
    return [name(row[column]) for row in rows]


@pytest.fixture(scope="module")
def registry() -> Registry:
    made = Registry(None, SITE)
    made.replace_graphs(graphs(SMALL))
    return made


# --- what fits ---


@pytest.mark.parametrize(
    ("wanted", "run", "train"),
    [
        ("air", {"d2", "d3", "d10"}, {"d3"}),
        ("clap", {"d1", "d3"}, set()),
        ("sine", {"d1", "d2", "d3", "d4", "d7", "d8", "d9", "d10", "d11", "d12"}, set()),
        ("watch", set(), set()),
        ("warm", {"d2", "d3", "d8", "d10"}, {"d2", "d3", "d8", "d10"}),
        ("mute", set(), set()),
    ],
)
def test_devices_that_can_run_and_train_a_model_have_its_ram_flash_and_sensors(registry, wanted, run, train):
    if wanted == "sine":
        train = run - {"d11"}  # 1,500 of 2,000 bytes
    assert set(names(registry.ask("devices_that_can_run", model=model(wanted)), "device")) == run
    assert set(names(registry.ask("devices_that_can_train", model=model(wanted)), "device")) == train


def test_a_device_that_can_run_a_model_comes_with_its_free_memory(registry):
    rows = registry.ask("devices_that_can_run", model=model("clap"))
    assert sorted(rows, key=str) == [
        {"device": device("d1"), "ramBytes": 100_000, "flashBytes": 500_000},
        {"device": device("d3"), "ramBytes": 60_000, "flashBytes": 300_000},
    ]


def test_models_are_best_first_and_those_without_the_metric_last(registry):
    top_1, top_5 = kind(TOP_1), kind("nnet:Top_5_accuracy")
    rows = registry.ask("models_that_run_on", device=device("d3"), metric=top_1)
    assert [(name(row["model"]), row["value"]) for row in rows] == [
        ("clap", 90.5),
        ("warm", 81.0),
        ("air", 80.0),
        ("sine", None),
    ]
    rows = registry.ask("models_that_run_on", device=device("d3"), metric=top_5)
    assert names(rows, "model") == ["clap", "air", "sine", "warm"]
    rows = registry.ask("models_that_train_on", device=device("d3"), metric=top_1)
    assert [(name(row["model"]), row["needsTrainingRamBytes"]) for row in rows] == [
        ("warm", 30_000),
        ("air", 55_000),
        ("sine", 2_000),
    ]


def test_memory_that_is_just_enough_is_enough(registry):
    rows = registry.ask("models_that_run_on", device=device("d10"), metric=kind(TOP_1))
    assert names(rows, "model") == ["warm", "air", "sine"]  # air needs the 40,000 and the 100,000 bytes that it has
    rows = registry.ask("models_that_train_on", device=device("d8"), metric=kind(TOP_1))
    assert names(rows, "model") == ["warm", "sine"]  # warm needs the 30,000 and the 40,000


def test_nothing_runs_on_a_device_in_quarantine_nor_on_one_that_does_not_say_its_ram(registry):
    for silent in ("d5", "d6"):
        assert registry.ask("models_that_run_on", device=device(silent), metric=kind(TOP_1)) == []
        assert registry.ask("models_that_train_on", device=device(silent), metric=kind(TOP_1)) == []


def test_all_pairs_in_one_query_and_by_arrays_are_the_same(registry):
    rows = registry.ask("matching")
    assert sum(row["can"] == "run" for row in rows) == 3 + 2 + 10 + 0 + 4 + 0
    assert sum(row["can"] == "train" for row in rows) == 1 + 0 + 9 + 0 + 4 + 0
    found = matching.match(registry)
    for train, word in ((False, "run"), (True, "train")):
        pairs = [(row["model"], row["device"]) for row in rows if row["can"] == word]
        assert sorted(found.pairs(train)) == sorted(pairs)


def test_the_plain_facts_of_models_and_devices_are_one_row_each(registry):
    rows = {name(row["model"]): row for row in registry.ask("requirements")}
    assert rows["sine"] == {
        "model": model("sine"),
        "needsRamBytes": 1_000,
        "needsTrainingRamBytes": 2_000,
        "needsFlashBytes": None,
        "sensors": None,
    }
    assert set(rows["air"]["sensors"].split()) == {kind(CO2), kind(THERMOMETER)}
    rows = {name(row["device"]): row for row in registry.ask("capabilities")}
    assert rows.keys() == {f"d{number}" for number in range(1, 13)} - {"d6"}
    assert rows["d5"] == {
        "device": device("d5"),
        "ramBytes": None,
        "flashBytes": 300_000,
        "sensors": kind(CO2),
    }


def test_what_two_graphs_say_counts_once(registry):
    twice = Registry(None, SITE)
    twice.replace_graphs(graphs(SMALL))
    for one in ("d2", "d3"):
        twice.add(terms.imported("copy"), registry.graph(terms.device(SITE, one)))
    twice.add(terms.imported("copy"), registry.graph(terms.model(SITE, "air")))
    asked = {
        "devices_that_can_run": {"model": model("air")},
        "models_that_run_on": {"device": device("d3"), "metric": kind(TOP_1)},
        "models_together_on_a_device": {"device": device("d3"), "models": f"{model('air')} {model('clap')}"},
        "lineage": {"version": f"{model('air')}:3"},
        "text_search": {"words": "air"},
        "rooms": {},
        "devices": {},
        "capabilities": {},
        "requirements": {},
        "matching": {},
        "stale_devices": {},
    }
    for question, given in asked.items():
        assert _unordered(twice.ask(question, **given)) == _unordered(registry.ask(question, **given)), question


def _unordered(rows: list[Row]) -> list[list[tuple[str, object]]]:
    return sorted(
        (
            [(key, sorted(value.split()) if key == "sensors" and value else value) for key, value in row.items()]
            for row in rows
        ),
        key=str,
    )


# --- together ---


def together(registry: Registry, on: str, *wanted: str) -> dict[str, tuple[object, object, object, bool]]:
    rows = registry.ask("models_together_on_a_device", device=device(on), models="  ".join(map(model, wanted)))
    parts = [row["part"] if row["sensor"] is None else row["sensor"] for row in rows]
    assert len(parts) == len(set(parts))
    return {part: (row["needs"], row["has"], row["left"], row["fits"]) for part, row in zip(parts, rows, strict=True)}


def test_models_together_need_the_sum_of_their_memory(registry):
    assert together(registry, "d3", "air", "clap", "sine") == {
        "models": (3, 3, 0, True),
        "ram": (51_000, 60_000, 9_000, True),
        "flash": (150_000, 300_000, 150_000, True),
        kind(CO2): (1, 1, 0, True),
        kind(THERMOMETER): (1, 1, 0, True),
        kind(MICROPHONE): (1, 1, 0, True),
    }
    told = together(registry, "d3", "air", "warm", "sine")
    assert told["ram"] == (61_000, 60_000, -1_000, False)
    assert told["flash"] == (140_000, 300_000, 160_000, True)


def test_what_is_missing_for_models_together_is_named(registry):
    told = together(registry, "d2", "air", "clap")
    assert told[kind(MICROPHONE)] == (1, 0, -1, False)
    assert told["ram"] == (50_000, 50_000, 0, True)
    assert together(registry, "d4", "sine")["flash"] == (0, None, None, True)
    assert together(registry, "d4", "air")["flash"] == (100_000, None, None, False)
    assert together(registry, "d3", "mute", "sine")["ram"] == (None, 60_000, None, False)
    assert together(registry, "d6", "sine")["quarantined"] == (None, None, None, False)
    assert together(registry, "d3", "sine", "nonesuch")["models"] == (2, 1, -1, False)


# --- rooms and versions ---


def test_the_sensors_that_a_room_lacks_come_first(registry):
    rows = registry.ask("missing_sensors", model=model("air"), room=room("cellar"))
    assert [(row["sensor"], row["label"], row["device"]) for row in rows] == [
        (kind(THERMOMETER), "thermometer", None),
        (kind(CO2), "CO2 sensor", None),
    ]  # d6 is in quarantine
    rows = registry.ask("missing_sensors", model=model("clap"), room=room("lab"))
    assert names(rows, "device") == ["d1", "d12"]
    rows = registry.ask("missing_sensors", model=model("air"), room=room("office"))
    assert [(row["sensor"], name(row["device"])) for row in rows] == [
        (kind(THERMOMETER), "d10"),
        (kind(THERMOMETER), "d3"),
        (kind(THERMOMETER), "d4"),
        (kind(CO2), "d10"),
        (kind(CO2), "d3"),
        (kind(CO2), "d4"),
        (kind(CO2), "d5"),
    ]


def test_a_device_is_stale_by_as_many_versions_as_it_is_behind(registry):
    assert registry.ask("stale_devices") == [
        {"device": device("d3"), "model": model("air"), "inHand": 1, "current": 3, "behind": 2}
    ]


def test_the_lineage_of_a_version_goes_back_to_the_first(registry):
    rows = registry.ask("lineage", version=f"{model('air')}:3")
    versions = [row for row in rows if row["device"] is None]
    assert [(row["number"], row["round"] and name(row["round"]), row["selectedBy"]) for row in versions] == [
        (3, "2", None),
        (2, "1", "has co2"),
        (1, None, None),
    ]
    assert (versions[1]["began"], versions[1]["ended"]) == ("2025-06-15T15:06:40Z", "2025-06-15T15:07:40Z")
    learned = {(row["number"], name(row["device"])): row for row in rows if row["device"] is not None}
    assert learned.keys() == {(3, "d3"), (2, "d2"), (2, "d3")}
    assert learned[2, "d2"]["room"] == room("lab")
    assert set(learned[3, "d3"]["sensors"].split()) == {kind(CO2), kind(THERMOMETER)}  # its microphone taught nothing
    assert [row["number"] for row in registry.ask("lineage", version=f"{model('air')}:1")] == [1]


def test_the_versions_of_a_model_are_the_newest_first(registry):
    rows = registry.ask("versions_of_model", model=model("air"))
    assert [(row["number"], row["current"], row["counted"], row["inHand"]) for row in rows] == [
        (3, True, 1, 1),
        (2, False, 2, 0),
        (1, False, 0, 1),
    ]


# --- retirement ---


def changes(registry: Registry, gone: str) -> set[tuple[str, str, str | None, int]]:
    rows = matching.answer(registry, "retirement", device=device(gone))
    return {(row["what"], name(row["thing"]), row["sensor"], row["left"]) for row in rows}


def test_what_is_lost_with_a_device_is_named(registry):
    assert changes(registry, "d3") == {
        ("room loses a sensor", "office", kind(MICROPHONE), 0),
        ("model loses a participant", "air", None, 1),
        ("round loses a device", "3", None, 1),
        ("deployment loses a device", "1", None, 1),
        ("model has no device left to train it", "air", None, 0),
    }
    assert changes(registry, "d1") == {
        ("room loses a sensor", "lab", kind(ACCELEROMETER), 0),
        ("deployment loses a device", "1", None, 1),  # the other was rolled back
    }


def test_nothing_is_lost_with_a_device_in_quarantine_or_one_that_others_replace(registry):
    assert changes(registry, "d6") == set()
    assert changes(registry, "d7") == set()
    assert changes(registry, "d8") == set()


def test_the_last_device_for_a_model_is_missed():
    without = Registry(None, SITE)
    without.replace_graphs(graphs(Site(ROOMS, [one for one in DEVICES if one.name != "d3"], MODELS)))
    assert changes(without, "d1") == {
        ("room loses a sensor", "lab", kind(ACCELEROMETER), 0),
        ("model has no device left to run it", "clap", None, 0),
    }


# --- search ---


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("air", ["air", "d10", "d2", "d3"]),
        ("AIR  office", ["d3"]),
        ("air there", ["air"]),
        ("office 2.07", ["office"]),
        ("50 % (OLD)", ["d9"]),
        ("%", ["d9"]),
        ("listens counter", ["d1"]),
        (".* [", []),
        ('" } DROP', []),
        ("air nonesuch", []),
        ("", []),
        (" \t\n", []),
    ],
)
def test_every_word_must_be_in_a_name_or_a_description(registry, words, found):
    assert names(registry.ask("text_search", words=words), "thing") == found


def test_what_is_called_just_so_comes_before_what_only_mentions_it(registry):
    rows = registry.ask("text_search", words="air")
    assert [(row["name"], row["score"]) for row in rows][:2] == [("Air", 10), ("Just enough for air", 2)]
    assert {row["kind"] for row in registry.ask("text_search", words="laboratory")} == {kind("tegu:Room")}
    assert [row["score"] for row in registry.ask("text_search", words="door")] == [1]


# --- why not ---


@pytest.mark.parametrize(
    ("on", "wanted", "reasons"),
    [
        ("d3", "air", []),
        ("d2", "air", [("ram to train", 55_000, 50_000)]),
        ("d12", "clap", [("cannot train", None, None), ("ram", 10_000, 9_999)]),
        ("d4", "warm", [("flash", 40_000, None)]),
        (
            "d7",
            "air",
            [
                ("ram", 40_000, 20_000),
                ("ram to train", 55_000, 20_000),
                ("sensor", kind(THERMOMETER), None),
                ("sensor", kind(CO2), None),
            ],
        ),
        ("d6", "watch", [("quarantined", None, "ram: more than its board has")]),
        ("d3", "mute", [("cannot train", None, None), ("ram unknown", None, None)]),
        ("nobody", "air", [("unknown device", None, None)]),
        ("d3", "nothing", [("unknown model", None, None)]),
    ],
)
def test_each_reason_why_a_device_cannot_run_or_train_a_model_is_a_row(registry, on, wanted, reasons):
    rows = registry.ask("why_not", device=device(on), model=model(wanted))
    assert [(row["reason"], row["needs"], row["has"]) for row in rows] == reasons


def test_a_pair_fits_if_there_is_no_reason_why_not(registry):
    pairs = {(row["model"], row["device"], row["can"]) for row in registry.ask("matching")}
    only_training = {"ram to train", "cannot train"}
    for one in DEVICES:
        for other in MODELS:
            rows = registry.ask("why_not", device=device(one.name), model=model(other.name))
            reasons = {row["reason"] for row in rows}
            pair = (model(other.name), device(one.name))
            assert ((*pair, "run") in pairs) == (not reasons - only_training), pair
            assert ((*pair, "train") in pairs) == (not reasons), pair


# --- lists ---


def test_a_list_of_devices_has_a_row_for_each(registry):
    rows = {name(row["device"]): row for row in registry.ask("devices")}
    assert rows.keys() == {one.name for one in DEVICES}
    assert rows["d12"] == {
        "device": device("d12"),
        "name": "A byte short",
        "state": "lost",
        "room": room("lab"),
        "ramBytes": 9_999,
        "flashBytes": 60_000,
        "sensors": kind(MICROPHONE),
        "quarantined": None,
    }
    assert rows["d6"]["quarantined"] == "ram: more than its board has"


def test_a_list_of_models_has_their_version_and_who_takes_part(registry):
    rows = {name(row["model"]): row for row in registry.ask("models", metric=kind(TOP_1))}
    assert [(one, rows[one]["value"], rows[one]["version"], rows[one]["devices"]) for one in rows] == [
        ("air", 80.0, 3, 2),
        ("clap", 90.5, None, None),
        ("mute", None, None, None),
        ("sine", None, None, None),
        ("warm", 81.0, None, None),
        ("watch", 95.0, None, None),
    ]


def test_a_list_of_rooms_has_those_that_nobody_described(registry):
    rows = {name(row["room"]): row for row in registry.ask("rooms")}
    assert {one: (row["name"], row["type"], row["devices"]) for one, row in rows.items()} == {
        "attic": (None, None, 1),
        "cellar": ("Cellar", "store", 2),
        "lab": ("Laboratory 1", "laboratory", 4),
        "office": ("Office 2.07", "office", 4),
    }
    assert rows["cellar"]["sensors"] is None  # of d6 nothing is believed
    assert set(rows["lab"]["sensors"].split()) == {
        kind(short) for short in (MICROPHONE, ACCELEROMETER, CO2, THERMOMETER)
    }


def test_deployments_are_the_newest_first(registry):
    rows = registry.ask("deployments")
    assert [(name(row["deployment"]), row["status"], row["stage"], row["devices"]) for row in rows] == [
        ("2", "rolled back", 1, 1),
        ("1", "done", 3, 2),
    ]


def test_a_device_tells_its_facts_and_its_state(registry):
    facts = {(row["fact"], row["value"]) for row in registry.ask("device_facts", device=device("d12"))}
    assert facts == {
        (kind("schema:name"), "A byte short"),
        (kind("tegu:ramBytes"), 9_999),
        (kind("tegu:flashBytes"), 60_000),
        (kind("tegu:room"), room("lab")),
        (kind("tegu:radio"), "wifi"),
        (kind("tegu:energySource"), "mains"),
        (kind("tegu:firmware"), "0.1.0"),
        (kind("tegu:sensor"), kind(MICROPHONE)),
        (kind("tegu:state"), "lost"),
        (kind("tegu:boot"), 1),
        (kind("tegu:heardAt"), "2025-06-15T15:06:41Z"),
    }
    (row,) = registry.ask("device_state", device=device("d12"))
    assert (row["state"], row["boot"], row["batteryPercent"], row["quarantined"]) == ("lost", 1, None, None)


@pytest.mark.parametrize(
    ("thing", "kinds"),
    [
        (device("d5"), ["tegu:Device"]),
        (model("mute"), ["nnet:NeuralNetwork"]),
        (room("cellar"), ["tegu:Room"]),
        (room("attic"), ["tegu:Room"]),
        (f"{model('air')}:1", ["tegu:Version"]),
        (f"{model('air')}:round:3", ["tegu:Round"]),
        (f"urn:tegu:{SITE}:deployment:2", ["tegu:Deployment"]),
        (device("nobody"), []),
        ("urn:x", []),
    ],
)
def test_what_is_unknown_is_told_from_what_has_no_answer(registry, thing, kinds):
    assert [row["kind"] for row in registry.ask("known", thing=thing)] == list(map(kind, kinds))


def test_every_question_can_be_asked_of_an_empty_registry():
    empty = Registry(None, SITE)
    given = {"iri": "urn:x", "text": "x", "number": 1}
    for question in questions().values():
        assert question.says, question.name
        values = {name: given[form] for name, (form, _) in question.parameters.items()}
        rows = matching.answer(empty, question.name, **values)
        assert (question.name == "why_not") == bool(rows), question.name


# --- 300 devices and 60 models that are made up ---


@pytest.fixture(scope="module")
def made() -> Site:
    return site(300, 60, seed=7)


@pytest.fixture(scope="module")
def large(made: Site) -> Registry:
    registry = Registry(None, SITE)
    registry.replace_graphs(graphs(made))
    return registry


def test_the_same_seed_makes_the_same_graph():
    assert fingerprint(graphs(site(40, 26))) == fingerprint(graphs(site(40, 26)))
    assert fingerprint(graphs(site(40, 26))) != fingerprint(graphs(site(40, 26, seed=1)))
    few, many = site(10, 5), site(40, 26)
    assert [(one.ram_bytes, one.sensors) for one in few.devices] == [
        (one.ram_bytes, one.sensors) for one in many.devices[:10]
    ]


def test_matching_is_what_plain_loops_say(large, made):
    found = matching.match(large)
    rows = large.ask("matching")
    for train, pairs in (
        (False, reference.pairs_to_run(made.devices, made.models)),
        (True, reference.pairs_to_train(made.devices, made.models)),
    ):
        assert len(pairs) > 1000
        assert {(name(device), name(model)) for model, device in found.pairs(train)} == pairs
        word = "train" if train else "run"
        assert {(name(row["device"]), name(row["model"])) for row in rows if row["can"] == word} == pairs


def test_of_all_pairs_only_as_many_are_listed_as_are_asked_for(large):
    rows = large.ask("matching")
    assert matching.answer(large, "matching") == rows
    assert matching.answer(large, "matching", 7) == rows[:7]


def test_a_million_pairs_that_nobody_wants_cost_no_memory():
    crowd = Registry(None, SITE)
    nets = [NamedNode(f"urn:x:m{number}") for number in range(500)]
    boards = [NamedNode(f"urn:x:d{number}") for number in range(1000)]
    facts = [(net, term("rdf:type"), term("nnet:NeuralNetwork")) for net in nets]
    facts += [(net, term(f"tegu:{need}"), Literal(1)) for net in nets for need in matching.VERBS.values()]
    facts += [(board, term("rdf:type"), term("tegu:Device")) for board in boards]
    facts += [(board, term("tegu:ramBytes"), Literal(1)) for board in boards]
    crowd.replace_graph(NamedNode("urn:tegu-graph:import:crowd"), [Triple(*fact) for fact in facts])
    tracemalloc.start()
    try:
        rows = matching.answer(crowd, "matching", 3)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    pairs = [(row["model"], row["device"], row["can"]) for row in rows]
    first, second = ("urn:x:m0", "urn:x:d0"), ("urn:x:m0", "urn:x:d1")
    assert pairs == [(*first, "run"), (*first, "train"), (*second, "run")]
    assert most_bytes < 10_000_000  # a million dictionaries have 200


def test_who_can_run_and_train_a_model_is_what_plain_loops_say(large, made):
    for one in made.models:
        for question, can in (
            ("devices_that_can_run", reference.can_run),
            ("devices_that_can_train", reference.can_train),
        ):
            rows = large.ask(question, model=model(one.name))
            assert sorted(names(rows, "device")) == sorted(each.name for each in made.devices if can(each, one))


def test_what_runs_and_trains_on_a_device_is_in_the_order_of_plain_loops(large, made):
    for one in made.devices[::7]:
        for question, train in (("models_that_run_on", False), ("models_that_train_on", True)):
            rows = large.ask(question, device=device(one.name), metric=kind(TOP_1))
            assert names(rows, "model") == reference.best_first(one, made.models, train=train)


def test_what_fits_together_is_what_plain_loops_say(large, made):
    draw, answers = random.Random(3), []
    for one in draw.sample(made.devices, 60):
        fitting = [each for each in made.models if reference.can_run(one, each)] or made.models
        chosen = draw.sample(fitting, min(len(fitting), draw.randint(1, 8)))
        rows = large.ask(
            "models_together_on_a_device",
            device=device(one.name),
            models=" ".join(model(each.name) for each in chosen),
        )
        answers.append(reference.fit_together(one, chosen))
        assert all(row["fits"] for row in rows) == answers[-1], (one, chosen)
    assert 10 < sum(answers) < 50


def test_what_a_room_lacks_is_what_plain_loops_say(large, made):
    for one in made.models[::5]:
        for place in made.rooms[::6]:
            rows = large.ask("missing_sensors", model=model(one.name), room=room(place.name))
            lacking = {row["sensor"] for row in rows if row["device"] is None}
            assert lacking == set(map(kind, reference.missing_in_room(one, made.devices, place.name)))


def test_what_is_lost_with_a_device_is_what_plain_loops_say(large, made):
    lost = 0
    for one in made.devices[::4]:
        rows = matching.answer(large, "retirement", device=device(one.name))
        told = reference.retire(one.name, made.devices, made.models)
        assert {(name(row["thing"]), row["sensor"]) for row in rows if row["what"] == "room loses a sensor"} == {
            (place, kind(each)) for place, sensors in told.sensors.items() for each in sensors
        }
        for verb, gone in (("run", told.not_run), ("train", told.not_trained)):
            what = f"model has no device left to {verb} it"
            assert {name(row["thing"]) for row in rows if row["what"] == what} == gone
            lost += len(gone)
    assert lost > 0


def test_who_is_stale_is_what_the_site_was_made_of(large, made):
    current = {one.name: one.version for one in made.models}
    behind = {
        (one.name, model, current[model] - version)
        for one in made.devices
        for model, version in one.in_hand
        if version < current[model]
    }
    rows = large.ask("stale_devices")
    assert len(behind) > 3
    assert {(name(row["device"]), name(row["model"]), row["behind"]) for row in rows} == behind


def test_the_lineage_of_a_version_is_what_the_site_was_made_of(large, made):
    federated = next(one for one in made.models if one.version is not None)
    counted = {
        (each.number + 1, device)
        for each in made.rounds
        if each.model == federated.name and each.ended_s is not None
        for device in each.counted
    }
    rows = large.ask("lineage", version=f"{model(federated.name)}:{federated.version}")
    assert {(row["number"], name(row["device"])) for row in rows if row["device"] is not None} == counted
    assert sum(row["device"] is None for row in rows) == federated.version
