"""Rounds that are opened by a question: who is asked, who is told why not, and what a restart still knows. A real graph, no HTTP."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pyoxigraph import Literal, Triple

from coordinator import selecting
from coordinator.admission import AGAIN_S, Admission, Admitted
from coordinator.federation import Federation, Outgoing
from coordinator.registry import Registry
from coordinator.semantics import terms
from coordinator.semantics.terms import LIVE, term
from coordinator.settings import LinkSettings, ModelSettings, RegistrySettings, RoundSettings, Settings
from tegu.model import Model
from tegu.wire import F32
from tegu.wire.messages import Ack, Round, State
from tegu.wire.update import encode_update
from tests.test_where import add_device

MODEL = Model("1 | dense 1 linear")
SETTINGS = Settings(
    LinkSettings(site="home", checkpoint=Path(":memory:")),
    ModelSettings(name="m", spec=MODEL.spec, codec="f32"),
    RoundSettings(quorum=3, wait_for=1, deadline_s=60.0),
)


class Straight(Admission):
    """Asks a graph in this process."""

    def __init__(self, registry: Registry, where: str) -> None:
        super().__init__(RegistrySettings("http://127.0.0.1:1", where), "home", "m")
        self.registry = registry
        self.where = where
        self.asked = 0
        self.away = False

    def ask(self, round_num: int, ready: Sequence[str]) -> Admitted | None:
        self.asked += 1
        if self.away:
            return None
        told = selecting.select(self.registry, "m", round_num, self.where, ready)
        return Admitted(frozenset(told["devices"]), told["outside"], told["where"])


class Clock:
    now_s = 100.0


@pytest.fixture
def registry() -> Registry:
    made = Registry(None)
    add_device(made, "north", "b1", "office", "2", 64_000, ["co2"])
    add_device(made, "south", "b2", "office", "2", 64_000, ["temperature"])
    add_device(made, "small", "b3", "office", "2", 10_000, ["co2"])
    add_device(made, "kitchen", "k1", "kitchen", "3", 64_000, ["co2"])
    model = terms.model("home", "m")
    needs = [
        (term("tegu:needsTrainingRamBytes"), Literal(30_000)),
        (term("tegu:needsSensor"), terms.sensor_kind("co2")),
    ]
    made.replace_graph(model, [Triple(model, *need) for need in needs])
    return made


def ready(*devices: str) -> list[tuple[str, bytes]]:
    return [(f"tegu/1/home/device/{name}/state", State(state="ready", boot=1, model="m").encode()) for name in devices]


def update(device: str, version: int = 1, sequence: int = 1) -> tuple[str, bytes]:
    return f"tegu/1/home/device/{device}/update/m", bytes(
        encode_update(MODEL, array("f", [0.5, 0.0]), [0], F32, version, 1, sequence, 1)
    )


def acks(out: Outgoing) -> dict[str, tuple[str, str]]:
    return {
        topic.split("/")[4]: (Ack.decode(payload).result, Ack.decode(payload).why)
        for topic, payload, _ in out
        if "/ack/" in topic
    }


def make(registry: Registry, where: str, settings: Settings = SETTINGS) -> tuple[Federation, Straight, Clock]:
    clock, admission = Clock(), Straight(registry, where)
    federation = Federation(settings, lambda: clock.now_s, lambda: clock.now_s, admission=admission)
    return federation, admission, clock


ALL = ("north", "south", "small", "kitchen", "stranger")
WHY = {
    "south": "it has no CO2 sensor",
    "small": "it has 10000 bytes of free RAM, 30000 are needed",
    "kitchen": "room type = office is wanted, and it is kitchen",
    "stranger": "it is not in the registry",
}


def test_a_round_is_for_the_devices_that_the_graph_selects_and_the_others_are_told_why(registry: Registry) -> None:
    federation, _, _ = make(registry, "room type = office")
    federation.batch(ready(*ALL))
    out = federation.tick()
    assert acks(out) == {name: ("outside", f"not in this round: {why}") for name, why in WHY.items()}
    opened: Round = Round.decode(next(payload for topic, payload, _ in out if topic.endswith("/round")))
    assert (opened.round_num, opened.quorum) == (1, 1)  # three would never come


def test_an_update_from_outside_does_not_count_and_one_from_inside_closes_the_round(registry: Registry) -> None:
    federation, _, _ = make(registry, "room type = office")
    federation.batch(ready(*ALL))
    federation.tick()
    out = federation.batch([update("kitchen"), update("north")])
    assert acks(out) == {
        "kitchen": ("limited", "not in this round: room type = office is wanted, and it is kitchen"),
        "north": ("accepted", ""),
    }
    assert federation.rounds.heard == ["north"]
    federation.tick()
    assert federation.rounds.version == 2


def test_the_answer_set_stands_with_its_round_in_the_graph(registry: Registry) -> None:
    federation, _, _ = make(registry, "has CO2")
    federation.batch(ready(*ALL))
    federation.tick()
    iri = terms.round_("home", "m", 1)
    assert sorted(registry.facts(iri, term("tegu:selected"))) == ["urn:tegu:home:kitchen", "urn:tegu:home:north"]
    assert registry.facts(iri, term("tegu:selectedBy")) == ["has CO2"]


def test_each_round_is_asked_for_anew(registry: Registry) -> None:
    federation, admission, _ = make(registry, "battery >= 30 %")
    for name, percent in (("north", 31), ("kitchen", 29)):
        registry.set_facts(LIVE, [(terms.device("home", name), term("tegu:batteryPercent"), Literal(percent))])
    federation.batch(ready("north", "kitchen"))
    assert acks(federation.tick()) == {
        "kitchen": ("outside", "not in this round: battery >= 30 % is wanted, and it is 29")
    }
    for name, percent in (("north", 20), ("kitchen", 80)):
        registry.set_facts(LIVE, [(terms.device("home", name), term("tegu:batteryPercent"), Literal(percent))])
    federation.batch([update("north")])
    federation.tick()
    assert acks(federation.tick()) == {
        "north": ("outside", "not in this round: battery >= 30 % is wanted, and it is 20")
    }
    assert (admission.asked, federation.rounds.round_num) == (2, 2)


def test_a_device_that_comes_while_a_round_is_open_for_others_is_told_so(registry: Registry) -> None:
    federation, _, _ = make(registry, "room type = office")
    federation.batch(ready("north"))
    federation.tick()
    out = federation.batch(ready("kitchen", "north"))
    assert acks(out) == {"kitchen": ("outside", "not in this round: room type = office")}


def test_no_round_opens_for_nobody_and_the_question_is_not_repeated_at_once(registry: Registry) -> None:
    federation, admission, clock = make(registry, "floor = 9")
    federation.batch(ready("north"))
    assert federation.tick() == [] and federation.tick() == []
    assert (admission.asked, federation.rounds.open) == (1, None)
    clock.now_s += AGAIN_S
    admission.where = "floor = 2"
    assert federation.tick() != []
    assert federation.rounds.open is not None


def test_a_registry_that_is_away_leaves_the_last_answer_standing(registry: Registry) -> None:
    federation, admission, _ = make(registry, "room type = office")
    federation.batch(ready("north", "kitchen"))
    federation.tick()
    admission.away = True
    federation.batch([update("north")])
    federation.tick()
    federation.tick()
    assert federation.rounds.open is not None
    assert federation.rounds.open.admitted == frozenset(["north"])


def test_without_any_answer_ever_no_round_opens(registry: Registry) -> None:
    federation, admission, _ = make(registry, "has CO2")
    admission.away = True
    federation.batch(ready("north"))
    assert federation.tick() == []
    assert federation.rounds.open is None


def test_a_restart_goes_on_with_the_same_answer(registry: Registry, tmp_path: Path) -> None:
    settings = replace(SETTINGS, link=replace(SETTINGS.link, checkpoint=tmp_path / "c.sqlite"))
    federation, _, _ = make(registry, "room type = office", settings)
    federation.batch(ready("north", "kitchen"))
    federation.tick()
    federation.checkpoint.close()
    again, admission, _ = make(registry, "room type = office", settings)
    assert acks(again.batch([*ready("north", "kitchen"), update("kitchen")])) == {
        "kitchen": ("limited", "not in this round: room type = office is wanted, and it is kitchen")
    }
    assert admission.asked == 0
    assert again.rounds.open is not None and again.rounds.open.admitted == frozenset(["north"])


def test_a_serial_round_invites_only_who_is_admitted(registry: Registry) -> None:
    rules = replace(SETTINGS.rounds, algorithm="tinyreptile", quorum=1)
    federation, _, _ = make(registry, "has CO2", replace(SETTINGS, rounds=rules))
    federation.batch(ready("south", "north", "kitchen"))
    invited = []
    for version in range(1, 4):
        while federation.rounds.open is None:
            federation.tick()
        invited.append(federation.rounds.open.invited)
        federation.batch([update(invited[-1], version)])
        federation.tick()
    assert invited == ["kitchen", "north", "kitchen"]


def test_without_a_registry_rounds_are_for_all() -> None:
    federation = Federation(SETTINGS, lambda: 0.0, lambda: 0.0)
    federation.batch(ready("a", "b"))
    assert acks(federation.tick()) == {}
    assert federation.rounds.open is not None and federation.rounds.open.admitted is None


def test_an_answer_survives_being_written() -> None:
    answer = Admitted(frozenset(["b", "a"]), {"c": 'says "no"'}, "has CO2")
    assert Admitted.from_json(answer.to_json()) == answer


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"devices": 5, "outside": {}}', '{"devices": [1], "outside": {}}'])
def test_an_answer_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="answer cannot be read"):
        Admitted.from_json(text)
