"""What passes on the broker, in the graph: devices, models, rounds. A real graph in memory, no broker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyoxigraph import Literal, Triple

from coordinator.documents.things import Things
from coordinator.registering import Outgoing, Registering
from coordinator.registry import Registry
from coordinator.semantics import terms, things
from tegu import topics
from tegu.thing import announce
from tegu.wire.messages import Ack, Manifest, Reported, Round, State, encode_numbers

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
DEVICE = "urn:tegu:home:room-7"
MODEL = "urn:tegu:home:model:presence"
WHOLE = {
    "@context": "https://www.w3.org/2022/wot/td/v1.1",
    "id": DEVICE,
    "title": "Room 7",
    "securityDefinitions": {"none": {"scheme": "nosec"}},
    "security": "none",
}
SPEC = "3 | dense 4 tanh | dense 2 softmax"


@dataclass
class Site:
    registry: Registry
    registering: Registering
    now_s: float = NOW_S

    def hear(self, topic: str, payload: bytes, retained: bool = False) -> Outgoing:
        return self.registering.heard([(topic, payload, retained)])

    def device(self, kind: str, payload: bytes, what: str = "", retained: bool = False) -> Outgoing:
        return self.hear(topics.device("home", "room-7", kind, what), payload, retained)

    def model(self, kind: str, payload: bytes) -> Outgoing:
        return self.hear(topics.model("home", "presence", kind), payload)

    def facts(self, subject: str) -> dict[str, object]:
        """What stands in tegu: terms of it; several values as a sorted list."""
        rows = self.registry.select(f"SELECT ?p ?o {{ <{subject}> ?p ?o FILTER(STRSTARTS(STR(?p), STR(tegu:))) }}")
        found: dict[str, list[object]] = {}
        for row in rows:
            found.setdefault(row["p"].removeprefix("urn:tegu-terms:"), []).append(row["o"])
        return {name: values[0] if len(values) == 1 else sorted(map(str, values)) for name, values in found.items()}


@pytest.fixture
def site() -> Site:
    registry = Registry(None)
    made = Site(registry, None)  # type: ignore[arg-type]
    documents = Things(registry, lambda: datetime.fromtimestamp(made.now_s, UTC))
    made.registering = Registering(registry, documents, lambda: made.now_s)
    return made


def manifest(version: int, **other: object) -> bytes:
    told = {"model": "presence", "spec": SPEC, "hash": 4711, "version": version, "bytes": 100, "sha256": "ab" * 32}
    told |= {"chunks": 1, "inner_step_size": 0.1, "samples": 8, "top_p": 10.0, "heap_bytes": 14_000} | other
    return Manifest(**told).encode()


def opened(round_num: int, version: int) -> bytes:
    return Round(round_num=round_num, version=version, opens_s=1_800_000_000, closes_s=1_800_000_060, quorum=2).encode()


def accepted(version: int, result: str = "accepted") -> bytes:
    return Ack(result=result, boot=1, sequence=1, version=version).encode()


# --- devices ---


def test_a_board_of_512_bytes_is_a_device_with_memory_sensors_and_a_room(site: Site) -> None:
    sensors = {"co2": "ppm", "presence": "/"}
    told = announce(
        "Room 7", "presence", sensors, ram=120_000, flash=640_000, radio="wifi", energy="battery", firmware="0.1.0",
        room="b1-2-07",
    )  # fmt: skip
    assert len(told) <= 512
    assert site.device("thing", told) == []
    facts = site.facts(DEVICE)
    expected = {
        "ramBytes": 120_000,
        "flashBytes": 640_000,
        "sensor": "urn:tegu-terms:Co2Sensor",  # presence is what the model says, not a sensor
        "radio": "wifi",
        "energySource": "battery",
        "firmware": "0.1.0",
        "room": "urn:tegu:home:room:b1-2-07",
    }
    assert {name: facts[name] for name in expected} == expected


def test_the_whole_description_follows_and_says_what_was_there_at_once(site: Site) -> None:
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}, ram=120_000))
    brief = {row["p"]: row["o"] for row in site.registry.select(f"SELECT ?p ?o {{ <{DEVICE}> ?p ?o }}")}
    topic = "SELECT ?f { ?d td:hasPropertyAffordance [ td:name 'co2' ; td:hasForm [ mqv:filter ?f ] ] }"
    assert site.registry.select(topic) == []
    assert site.registering.documents.complete(10) == 0
    assert site.registry.select(topic) == [{"f": "tegu/1/home/device/room-7/sense/co2"}]
    whole = {row["p"]: row["o"] for row in site.registry.select(f"SELECT ?p ?o {{ <{DEVICE}> ?p ?o }}")}
    brief.pop("urn:tegu-terms:brief")
    assert {name: whole.get(name) for name in brief} == brief


def test_what_was_taken_briefly_is_completed_after_a_restart_too(site: Site) -> None:
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}))
    again = Things(site.registry, lambda: datetime.now(UTC))
    assert again.complete(1) == 0
    assert site.registry.select("SELECT ?s { ?s tegu:brief true }") == []
    assert len(site.registry.select(f"SELECT ?a {{ <{DEVICE}> td:hasPropertyAffordance ?a }}")) == 5


words = st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True)


@given(
    title=st.text(min_size=1, max_size=20).filter(str.strip),
    sensors=st.dictionaries(words.filter(lambda word: word not in ("state", "telemetry", "reported", "desired")), st.sampled_from(["ppm", "Cel", "%RH", "/"]), max_size=4),
    ram=st.integers(0, 1 << 40),
    room=words,
)  # fmt: skip
def test_whatever_a_board_may_announce_is_valid_and_its_brief_facts_are_a_part_of_the_whole(
    title: str, sensors: dict[str, str], ram: int, room: str
) -> None:
    told = {"tm": "urn:tegu:tm:device:1", "title": title, "model": "m", "sensors": sensors, "ram": ram, "room": room}
    payload = json.dumps(told).encode()
    try:
        document = things.expand("home", "room-7", payload)
    except ValueError:
        assert len(payload) > 512
        return
    assert things.check(document) == []
    assert set(things.brief(document)) <= set(things.triples(document))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b'{"tm": "urn:tegu:tm:device:1", "ram": -4}', "ram: must be a whole number of bytes, not -4"),
        (b'{"tm": "urn:other"}', "tm: must be a Thing Model known here, urn:tegu:tm:device:1, not 'urn:other'"),
        (b'{"tm": "urn:tegu:tm:device:1", "sensors": {"CO2": "ppm"}}', "sensors.CO2"),
        (b"{", "is no JSON"),
        (b'{"id": "urn:tegu:home:room-8", "title": "x"}', "id: must be urn:tegu:home:room-7, the device's own"),
        (b'{"id": "urn:tegu:home:room-7", "title": "x"}', "@context: is missing"),
    ],
)
def test_an_announcement_that_is_wrong_is_answered_with_what_is_wrong_and_its_device_is_in_quarantine(
    site: Site, payload: bytes, why: str
) -> None:
    site.device("state", State(state="ready", boot=1, model="presence").encode())
    ((topic, answer, retain),) = site.device(
        "thing", payload[:-1] + b', "model": "presence"}' if payload != b"{" else payload
    )
    ack: Ack = Ack.decode(answer)
    assert topic == topics.device("home", "room-7", "ack", "presence" if payload != b"{" else "thing")
    assert (ack.result, retain) == ("invalid", False)
    assert why in ack.why
    assert ack.why == f"thing: {site.facts(DEVICE)['quarantined']}"[:140]
    assert site.facts(DEVICE)["state"] == "ready"  # not lost
    assert site.registering.bad == 1


def test_a_device_leaves_quarantine_by_a_valid_announcement_and_keeps_what_was_known_meanwhile(site: Site) -> None:
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}, ram=1000))
    site.device("thing", b'{"tm": "urn:tegu:tm:device:1", "ram": "?"}')
    assert "quarantined" in site.facts(DEVICE)
    assert site.facts(DEVICE)["ramBytes"] == 1000
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}, ram=2000))
    assert "quarantined" not in site.facts(DEVICE)
    assert site.facts(DEVICE)["ramBytes"] == 2000


def test_a_repaired_announcement_that_was_known_before_ends_the_quarantine(site: Site) -> None:
    good = announce("Room 7", "presence", {"co2": "ppm"}, ram=1000)
    for payload in (good, b"[]", good):
        site.device("thing", payload)
    assert "quarantined" not in site.facts(DEVICE)


def test_nothing_is_left_of_a_device_that_people_took_out_until_it_speaks_again(site: Site) -> None:
    site.registry.listeners.append(site.registering.changed)
    site.device("thing", b"[]")
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}))
    site.device("state", State(state="ready", boot=1, model="presence").encode())
    site.registering.documents.remove(DEVICE)
    assert site.registry.select(f"SELECT ?p {{ <{DEVICE}> ?p ?o }}") == [{"p": "urn:tegu-terms:digest"}]
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}), retained=True)  # the broker's, of before
    assert "sensor" not in site.facts(DEVICE)
    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}))
    assert site.facts(DEVICE)["sensor"] == "urn:tegu-terms:Co2Sensor"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"tm": "x", "model": ["a"]}',
        b'{"tm": "x", "model": {"a": 1}}',
        b'{"tm": "urn:tegu:tm:device:1", "model": 7}',
        json.dumps(WHOLE | {"registration": {"expires": "0001-01-01T00:00:00+14:00"}}).encode(),
        json.dumps(WHOLE | {"registration": {"ttl": 10**400}}).encode(),
        json.dumps(WHOLE | {"registration": {"ttl": float("inf")}}).encode(),
    ],
)
def test_no_announcement_ends_the_registry(site: Site, payload: bytes) -> None:
    good = topics.device("home", "good", "thing"), announce("Good", "presence", {}), False
    site.registering.heard([(topics.device("home", "room-7", "thing"), payload, False), good])
    assert {"quarantined", "announced"} & site.facts(DEVICE).keys()  # a registration that is wrong is not believed
    assert site.facts("urn:tegu:home:good")["announced"] is True


def test_a_fault_of_ours_takes_one_announcement_and_not_the_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = site.registering.documents.announce

    def broken(documents: Sequence[Any], *rest: Any) -> list[str]:
        if any(document["id"] == DEVICE for document in documents):
            raise ZeroDivisionError("oops")
        return keep(documents, *rest)

    monkeypatch.setattr(site.registering.documents, "announce", broken)
    told = announce("Room", "presence", {"co2": "ppm"})
    site.registering.heard([(topics.device("home", name, "thing"), told, False) for name in ("a", "room-7", "b")])
    assert "oops" in str(site.facts(DEVICE)["quarantined"])
    assert [site.facts(f"urn:tegu:home:{name}")["announced"] for name in ("a", "b")] == [True, True]


@pytest.mark.parametrize("unit", ["schema:a b", "tegu:x y", "td:}", "<urn:x>", "a" * 17, "x\\ny"])
def test_a_unit_that_is_none_puts_its_device_in_quarantine_and_harms_nobody_else(site: Site, unit: str) -> None:
    told = {"tm": "urn:tegu:tm:device:1", "sensors": {"co2": unit}}
    site.device("thing", json.dumps(told).encode())
    assert "sensors.co2" in str(site.facts(DEVICE)["quarantined"])
    assert site.registering.documents.complete(10) == 0


def test_a_description_that_cannot_be_completed_stays_brief_and_is_not_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise things.Faulty(["title"], "is odd")

    site.device("thing", announce("Room 7", "presence", {"co2": "ppm"}))
    with monkeypatch.context() as broken:
        broken.setattr("coordinator.semantics.things.triples", refuse)
        assert site.registering.documents.complete(10) == 0
    assert Things(site.registry, lambda: datetime.now(UTC)).complete(10) == 0
    assert site.facts(DEVICE)["sensor"] == "urn:tegu-terms:Co2Sensor"


def test_an_announcement_onto_a_graph_of_something_else_ends_nothing(site: Site) -> None:
    iri = terms.device("home", "room-7")
    site.registry.replace_graph(iri, [Triple(iri, terms.term("schema:name"), Literal("imported"))])
    assert site.device("thing", announce("Room 7", "presence", {"co2": "ppm"})) == []
    assert "something else" in str(site.facts(DEVICE)["quarantined"])


def test_a_birth_and_an_old_will_in_one_batch(site: Site) -> None:
    topic = topics.device("home", "room-7", "state")
    states = (State(state="ready", boot=5, model="presence"), State(state="lost", boot=4, model="presence"))
    site.registering.heard([(topic, state.encode(), False) for state in states])
    assert (site.facts(DEVICE)["state"], site.facts(DEVICE)["boot"]) == ("ready", 5)


def test_a_boot_number_that_is_a_lie_does_not_freeze_a_device(site: Site) -> None:
    site.device("state", State(state="lost", boot=(1 << 32) - 1).encode())
    site.device("state", State(state="ready", boot=1).encode())
    assert site.facts(DEVICE)["state"] == "ready"


def test_a_live_announcement_and_its_retained_copy_bring_a_device_back(site: Site) -> None:
    topic, told = topics.device("home", "room-7", "thing"), announce("Room 7", "presence", {"co2": "ppm"})
    site.device("thing", told)
    site.registering.documents.remove(DEVICE)
    site.registering.heard([(topic, told, False), (topic, told, True)])
    assert "sensor" in site.facts(DEVICE)


def test_the_last_of_several_announcements_counts(site: Site) -> None:
    topic = topics.device("home", "room-7", "thing")
    site.registering.heard([(topic, announce(f"Room {n}", "m", {}, ram=n), False) for n in range(1, 6)])
    assert site.facts(DEVICE)["ramBytes"] == 5


def test_the_state_of_a_device_and_a_will_of_an_earlier_life(site: Site) -> None:
    site.device("state", State(state="ready", boot=3, model="presence", version=9).encode())
    site.device("state", State(state="lost", boot=2, model="presence").encode())
    facts = site.facts(DEVICE)
    assert (facts["state"], facts["boot"], facts["takesPart"]) == ("ready", 3, MODEL)
    assert facts["inHand"] == f"{MODEL}:9"
    assert facts["heardAt"] == "2027-01-15T08:00:00Z"
    site.device("state", State(state="lost", boot=3, model="presence").encode())
    facts = site.facts(DEVICE)
    assert facts["state"] == "lost"
    assert "inHand" not in facts


def test_battery_and_heap_are_written_when_they_have_moved(site: Site) -> None:
    for percent, expected in ((80.0, 80.0), (78.0, 80.0), (74.0, 74.0), (78.0, 74.0), (79.0, 79.0)):
        site.device("telemetry", encode_numbers({"battery_percent": percent, "free_heap_bytes": 50_000}))
        assert site.facts(DEVICE)["batteryPercent"] == expected
    assert site.facts(DEVICE)["heapBytes"] == 50_000


def test_the_version_in_hand_follows_telemetry(site: Site) -> None:
    site.model("manifest", manifest(3))
    site.device("state", State(state="ready", boot=1, model="presence").encode())
    assert "inHand" not in site.facts(DEVICE)
    for told, expected in ((2, 2), (3, 3), (0, 3), (9, 9)):
        site.device("telemetry", encode_numbers({"version": told}))
        assert site.facts(DEVICE)["inHand"] == f"{MODEL}:{expected}"
    assert site.registry.ask("stale_devices") == []
    assert site.facts(f"{MODEL}:9") == {}  # nobody published that
    site.device("telemetry", encode_numbers({"version": 2}))
    (row,) = site.registry.ask("stale_devices")
    assert row["device"] == DEVICE


def test_which_model_a_device_reports(site: Site) -> None:
    site.device("reported", Reported(version=4, model="presence", why="").encode())
    assert (site.facts(DEVICE)["runs"], site.facts(DEVICE)["reportedVersion"]) == (MODEL, 4)
    site.device("reported", Reported(version=5, model="", why="").encode())
    assert "runs" not in site.facts(DEVICE)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tegu/1/home/device/room-7/state", b"{"),
        ("tegu/1/home/device/Room/state", b'{"state": "ready"}'),
        ("tegu/1/home/device/room-7/telemetry", b'{"battery_percent": "full"}'),
        ("tegu/1/home/device/room-7/reported", b'{"version": -1, "model": "m"}'),
        ("tegu/1/home/model/presence/manifest", b"\xff\xfe"),
        ("tegu/1/home/model/presence/about", b"[1"),
        ("tegu/1/home/model/presence/round", b'{"round_num": 1}'),
        ("tegu/1/home/device/room-7/ack/Model", b"{}"),
    ],
)
def test_a_message_that_cannot_be_read_is_counted_and_dropped(site: Site, topic: str, payload: bytes) -> None:
    before = site.registry.changes
    assert site.hear(topic, payload) == []
    assert (site.registering.bad, site.registry.changes) == (1, before)


def test_other_sites_and_other_topics_are_nothing_to_us(site: Site) -> None:
    for topic in (
        "tegu/1/other/device/a/state",
        "tegu/1/home/coordinator/state",
        "homeassistant/x",
        "tegu/1/home/join/a",
    ):
        assert site.hear(topic, b"\x00") == []
    assert site.registering.bad == 0


# --- models and rounds ---


def test_a_published_model_is_in_the_graph_with_what_it_needs(site: Site) -> None:
    site.model("manifest", manifest(3))
    site.model(
        "about",
        json.dumps(
            {"name": "Presence", "sensors": ["co2"], "licence": "MIT", "metrics": {"top-1-accuracy": 90}}
        ).encode(),
    )
    facts = site.facts(MODEL)
    assert facts["needsTrainingRamBytes"] == 14_000
    assert facts["needsSensor"] == "urn:tegu-terms:Co2Sensor"
    assert facts["currentVersion"] == f"{MODEL}:3"
    assert facts["parameters"] == 3 * 4 + 4 + 4 * 2 + 2
    assert site.facts(f"{MODEL}:3")["sha256"] == "ab" * 32
    assert site.registry.select(f"SELECT ?n {{ <{MODEL}> schema:name ?n }}") == [{"n": "Presence"}]


def test_what_is_said_about_a_model_before_its_manifest_waits_for_it(site: Site) -> None:
    site.model("about", b'{"sensors": ["light"]}')
    assert site.facts(MODEL) == {}
    site.model("manifest", manifest(1))
    assert site.facts(MODEL)["needsSensor"] == "urn:tegu-terms:LightSensor"


def test_a_new_version_of_a_model_does_not_describe_it_anew(site: Site) -> None:
    heard: list[tuple[str, str]] = []
    site.registry.listeners.append(lambda kind, iri: heard.append((kind, iri)))
    for version in (1, 2, 3):
        site.model("manifest", manifest(version))
    site.model("manifest", manifest(4, heap_bytes=15_000))
    assert heard == [("model_created", MODEL), ("model_updated", MODEL)]
    assert site.facts(MODEL)["needsTrainingRamBytes"] == 15_000


def test_where_a_version_comes_from(site: Site) -> None:
    site.model("manifest", manifest(1))
    for round_num, version, devices in ((1, 1, ["a", "b"]), (2, 2, ["b"]), (3, 2, ["c"]), (4, 3, [])):
        site.model("round", opened(round_num, version))
        for device in devices:
            site.hear(topics.device("home", device, "ack", "presence"), accepted(version))
            site.hear(topics.device("home", "x", "ack", "presence"), accepted(version, "late"))
            site.hear(topics.device("home", "y", "ack", "presence"), accepted(version - 1))
    rows = site.registry.select("SELECT ?r ?d { ?r prov:wasAssociatedWith ?d }")
    found = sorted((row["r"].rpartition(":")[2], row["d"].rpartition(":")[2]) for row in rows)
    assert found == [("1", "a"), ("1", "b"), ("2", "b"), ("3", "c")]
    # Round 2 closed with nothing merged yet: round 3 is of the same version, and is what made version 3.
    generated = site.registry.select("SELECT ?v ?r { ?v prov:wasGeneratedBy ?r } ORDER BY ?v")
    assert [(row["v"], row["r"]) for row in generated] == [
        (f"{MODEL}:2", f"{MODEL}:round:1"),
        (f"{MODEL}:3", f"{MODEL}:round:3"),
    ]
    assert site.registry.select(f"SELECT ?v {{ <{MODEL}:3> prov:wasDerivedFrom+ ?v }} ORDER BY ?v") == [
        {"v": f"{MODEL}:1"},
        {"v": f"{MODEL}:2"},
    ]


def test_the_last_round_of_all_ends_with_the_manifest_of_what_came_of_it(site: Site) -> None:
    site.model("manifest", manifest(1))
    site.model("round", opened(1, 1))
    site.model("manifest", manifest(2, finished=1))
    site.model("round", b"")
    assert site.registry.select("SELECT ?v { ?v prov:wasGeneratedBy ?r }") == [{"v": f"{MODEL}:2"}]


def test_a_round_that_goes_on_after_a_restart_is_one_round(site: Site) -> None:
    site.model("round", opened(1, 1))
    again = Registering(site.registry, site.registering.documents, lambda: NOW_S + 60)
    again.heard([(topics.model("home", "presence", "round"), opened(1, 1), True)])
    again.heard([(topics.device("home", "a", "ack", "presence"), accepted(1), False)])
    rows = site.registry.select(
        f"SELECT ?n ?at ?d {{ <{MODEL}:round:1> tegu:roundNumber ?n ; prov:startedAtTime ?at ; prov:wasAssociatedWith ?d }}"
    )
    assert rows == [{"n": 1, "at": "2027-01-15T08:00:00Z", "d": "urn:tegu:home:a"}]


def test_acks_that_waited_at_the_broker_while_the_registry_was_away_count(site: Site) -> None:
    site.model("round", opened(1, 1))
    again = Registering(site.registry, site.registering.documents, lambda: NOW_S + 60)
    ack = topics.device("home", "a", "ack", "presence")
    again.heard([(ack, accepted(1), False), (topics.model("home", "presence", "round"), opened(2, 2), True)])
    assert site.registry.select("SELECT ?r ?d { ?r prov:wasAssociatedWith ?d }") == [
        {"r": f"{MODEL}:round:1", "d": "urn:tegu:home:a"}
    ]
    assert site.registry.select(f"SELECT ?r {{ <{MODEL}:2> prov:wasGeneratedBy ?r }}") == [{"r": f"{MODEL}:round:1"}]


def test_a_coordinator_that_begins_anew_does_not_mix_its_rounds_with_those_of_before(site: Site) -> None:
    for number in (1, 2):
        site.model("round", opened(number, number))
        site.hear(topics.device("home", f"old-{number}", "ack", "presence"), accepted(number))
    anew = Round(round_num=1, version=1, opens_s=1_800_000_500, closes_s=1_800_000_560, quorum=2).encode()
    site.model("round", anew)
    site.hear(topics.device("home", "new", "ack", "presence"), accepted(1))
    rows = site.registry.select(f"SELECT ?d {{ <{MODEL}:round:1> prov:wasAssociatedWith ?d }}")
    assert rows == [{"d": "urn:tegu:home:new"}]


def test_what_the_broker_says_again_ends_no_round_twice(site: Site) -> None:
    for number in (1, 2):
        told = Round(round_num=number, version=number, opens_s=1_800_000_000 + number, closes_s=1_800_000_060, quorum=2)
        site.model("round", told.encode())
    site.now_s += 10
    first = Round(round_num=1, version=1, opens_s=1_800_000_001, closes_s=1_800_000_060, quorum=2)
    site.model("round", first.encode())
    assert site.registry.select("SELECT ?r ?at { ?r prov:endedAtTime ?at }") == [
        {"r": f"{MODEL}:round:1", "at": "2027-01-15T08:00:00Z"}
    ]


def test_no_device_makes_up_versions(site: Site) -> None:
    site.model("manifest", manifest(9))
    for version in (8, 10, 4_000_000_000):
        site.device("state", State(state="ready", boot=1, model="presence", version=version).encode())
    rows = site.registry.select("SELECT ?n { ?v tegu:versionNumber ?n } ORDER BY ?n")
    assert [row["n"] for row in rows] == [8, 9]


def test_what_people_say_of_a_model_outlives_a_restart_and_can_be_taken_back(site: Site) -> None:
    site.model("manifest", manifest(1))
    site.model("about", b'{"sensors": ["co2"]}')
    again = Registering(site.registry, site.registering.documents, lambda: NOW_S)
    topic = topics.model("home", "presence", "manifest")
    again.heard([(topic, manifest(2), True)])
    assert site.facts(MODEL)["needsSensor"] == "urn:tegu-terms:Co2Sensor"
    again.heard([(topics.model("home", "presence", "about"), b"", False)])
    assert "needsSensor" not in site.facts(MODEL)


def test_only_so_many_rounds_are_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.registering.KEPT_ROUNDS", 3)
    for number in range(1, 7):
        site.model("round", opened(number, number))
    again = Registering(site.registry, site.registering.documents, lambda: NOW_S)
    again.heard([(topics.model("home", "presence", "round"), opened(7, 7), False)])
    rows = site.registry.select("SELECT ?n { ?r a tegu:Round ; tegu:roundNumber ?n } ORDER BY ?n")
    assert [row["n"] for row in rows] == [5, 6, 7]
    versions = site.registry.select("SELECT ?n { ?v tegu:versionNumber ?n } ORDER BY ?n")
    assert [row["n"] for row in versions] == [5, 6, 7]  # those that no round begins with any more are gone


def test_names_in_the_graph() -> None:
    assert terms.short(DEVICE) == "room-7"
    assert terms.short(f"{MODEL}:9") == "presence:9"
