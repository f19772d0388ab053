"""Rounds that are opened by a question: who is asked, who is told why not, and what a restart still knows. A real graph, no HTTP."""

import contextlib
import socket
import threading
import time
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


@pytest.mark.parametrize("why", ["quote " + '"' * 200, "\\" * 200, "\x01" * 200, "ü" * 200, "plain " * 60])
def test_every_reason_fits_an_ack(why: str) -> None:
    told = Admitted(frozenset(), {"a" * 32: why}).why("a" * 32)
    assert told.startswith("not in this round: ") and len(told) >= 39
    Ack(result="outside", version=(1 << 32) - 1, round_num=(1 << 32) - 1, why=told).encode()


def test_an_answer_survives_being_written() -> None:
    answer = Admitted(frozenset(["b", "a"]), {"c": 'says "no"'}, "has CO2")
    assert Admitted.from_json(answer.to_json()) == answer


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"devices": 5, "outside": {}}', '{"devices": [1], "outside": {}}'])
def test_an_answer_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="answer cannot be read"):
        Admitted.from_json(text)


# --- the registry's answer over HTTP, however odd ---


class Odd:
    """Listens, reads a request, and says these bytes, one after the other with pauses of so many seconds."""

    def __init__(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pieces, self._pause_s = pieces, pause_s
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            link, _ = self._listener.accept()
            with link:
                link.recv(65536)
                for piece in self._pieces:
                    link.sendall(piece)
                    self._gone.wait(self._pause_s)

    @property
    def admission(self) -> Admission:
        address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return Admission(RegistrySettings(address), "home", "m")

    def __enter__(self) -> "Odd":
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._listener.close()
        self._thread.join(5)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n[1, 2]",
        HEAD + b'{"devices": ["a"',
        b"HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\nhalf",
        b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_odd_answer_of_the_registry_is_no_answer(said: bytes) -> None:
    with Odd(said) as odd:
        assert odd.admission.ask(1, ["a"]) is None


def test_an_answer_that_comes_drop_by_drop_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.admission.PATIENCE_S", 0.4)
    with Odd(HEAD, *[b" "] * 100, pause_s=0.2) as odd:
        admission = odd.admission
        began_s = time.monotonic()
        assert admission.ask(1, ["a"]) is None
        assert admission.ask(2, ["a"]) is None  # left alone for a while
        assert time.monotonic() - began_s < 2.0


def test_a_registry_that_answers_is_believed() -> None:
    body = b'{"devices": ["a"], "outside": {"b": "it sleeps"}, "where": "has CO2"}'
    with Odd(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body) as odd:
        assert odd.admission.ask(1, ["a", "b"]) == Admitted(frozenset(["a"]), {"b": "it sleeps"}, "has CO2")


# --- questions of one's own ---


def test_a_whole_query_selects_no_device_that_is_unfit_or_in_quarantine(registry: Registry) -> None:
    registry.set_facts(LIVE, [(terms.device("home", "kitchen"), term("tegu:quarantined"), Literal("odd"))])
    told = selecting.select(registry, "m", 1, "SELECT ?device { ?device tegu:ramBytes ?ram }", ALL)
    assert told["devices"] == ["north"]
    assert told["outside"]["kitchen"] == "in quarantine: odd"
    assert told["outside"]["small"] == WHY["small"]


def test_a_whole_query_is_given_to_whoever_may_answer_foreign_ones(registry: Registry) -> None:
    asked = []

    def foreign(text: str) -> list[dict[str, object]]:
        asked.append(text)
        return [{"device": "urn:tegu:home:north"}, {"device": None}]

    query = "SELECT ?device { SERVICE <http://127.0.0.1:1/> { ?device ?p ?o } }"
    assert selecting.select(registry, "m", 1, query, ALL, foreign)["devices"] == ["north"]
    assert asked == [query]


# --- a serial round, a restart with other settings, a device that went to another model ---


def test_a_serial_round_waits_for_a_device_that_is_admitted_and_here(registry: Registry) -> None:
    rules = replace(SETTINGS.rounds, algorithm="tinyreptile", quorum=1)
    federation, admission, clock = make(registry, "device = north", replace(SETTINGS, rounds=rules))
    registry.set_facts(LIVE, [(terms.device("home", "north"), term("tegu:takesPart"), terms.model("home", "m"))])
    federation.batch(ready("kitchen"))
    assert federation.tick() == [] and federation.rounds.open is None
    federation.batch(ready("north"))
    clock.now_s += AGAIN_S
    federation.tick()
    assert federation.rounds.open is not None and federation.rounds.open.invited == "north"
    assert admission.asked == 2


def test_a_restart_does_not_take_the_answer_of_another_round(registry: Registry, tmp_path: Path) -> None:
    settings = replace(SETTINGS, link=replace(SETTINGS.link, checkpoint=tmp_path / "c.sqlite"))
    federation, _, _ = make(registry, "room type = office", settings)
    federation.batch(ready("north", "kitchen"))
    federation.tick()
    federation.checkpoint.close()
    alone = Federation(settings, lambda: 0.0, lambda: 0.0)  # without a registry: rounds for all
    alone.batch([*ready("north", "kitchen"), update("north")])
    alone.now_s = lambda: 100.0
    alone.tick()
    alone.checkpoint.close()
    again, admission, _ = make(registry, "has CO2", settings)
    again.batch(ready("north", "kitchen"))
    again.tick()
    assert admission.asked == 1
    assert again.rounds.open is not None and again.rounds.open.admitted == frozenset(["north", "kitchen"])


def test_a_device_that_takes_part_in_another_model_now_is_not_waited_for(registry: Registry) -> None:
    federation, _, _ = make(registry, "")
    federation.batch(ready("north"))
    moved = State(state="ready", boot=2, model="other").encode()
    federation.batch([("tegu/1/home/device/north/state", moved)])
    assert federation.rounds.ready == set()
