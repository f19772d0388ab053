"""Deployments joined to the graph: whom one is resolved to, what is published, what an earlier life may say. A real graph, no broker."""

from dataclasses import dataclass, field

import pytest
from pyoxigraph import Literal, Triple

from coordinator.deploying.deployments import Deployments
from coordinator.deploying.moves import MOST_VERSION
from coordinator.deploying.stages import Rules
from coordinator.registry import Registry
from coordinator.semantics import terms
from coordinator.semantics.terms import LIVE, term
from tegu import topics
from tegu.wire.messages import Desired, Reported, State
from tests.test_where import add_device

DEVICES = ("a", "b", "c", "small", "dark")


@dataclass
class Site:
    registry: Registry
    now_s: float = 1000.0
    known: Deployments = field(init=False)

    def __post_init__(self) -> None:
        self.known = Deployments(self.registry, lambda: self.now_s)

    def hear(self, device: str, kind: str, payload: bytes) -> None:
        self.known.heard([(topics.device("home", device, kind), payload, False)])

    def tick(self) -> dict[str, Desired]:
        """What is desired now, by device."""
        return {topic.split("/")[4]: Desired.decode(payload) for topic, payload, _ in self.known.tick()}


@pytest.fixture
def site() -> Site:
    registry = Registry(None)
    for name in DEVICES:
        ram = 10_000 if name == "small" else 64_000
        iri = add_device(
            registry, name, f"room-{name}", "office", "1", ram, ["temperature" if name == "dark" else "co2"]
        )
        facts = [
            ("tegu:state", Literal("ready")),
            ("tegu:boot", Literal(4)),
            ("tegu:takesPart", terms.model("home", "old")),
        ]
        registry.set_facts(LIVE, [(iri, term(name), value) for name, value in facts])
    model = terms.model("home", "new")
    needs = {"tegu:needsRamBytes": Literal(20_000), "tegu:needsTrainingRamBytes": Literal(30_000)}
    needs["tegu:needsSensor"] = terms.sensor_kind("co2")  # type: ignore[assignment]
    registry.replace_graph(model, [Triple(model, term(name), value) for name, value in needs.items()])
    registry.set_facts(LIVE, [(model, term("tegu:currentVersion"), terms.version("home", "new", 3))])
    described = terms.model("home", "described")
    registry.replace_graph(described, [Triple(described, term("tegu:needsRamBytes"), Literal(1))])
    return Site(registry)


def test_a_plan_says_who_would_get_it_in_which_stage_and_who_would_not_and_why(site: Site) -> None:
    told = site.known.propose("new", "room type = office", Rules(samples=1), start=False)
    assert told["plan"] == [["a"], ["b"], ["c"]]
    assert told["outside"] == {
        "small": "it has 10000 bytes of free RAM, 30000 are needed",
        "dark": "it has no CO2 sensor",
    }
    assert (told["status"], told["where"], site.known.summaries()) == ("planned", "room type = office", [])
    assert site.tick() == {}


def test_a_whole_query_moves_no_device_that_is_unfit(site: Site) -> None:
    told = site.known.propose("new", "SELECT ?device { ?device tegu:ramBytes ?r }", Rules(), start=False)
    assert sorted(device for stage in told["plan"] for device in stage) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("model", "where", "said"),
    [
        ("other", "", "no model other is in the registry"),
        ("described", "", "no coordinator has published described: devices would have nothing to fetch"),
        ("new", "floor = 9", "no device fits new where floor = 9"),
        ("new", "floor > 9", "floor is a word"),
    ],
)
def test_what_cannot_be_deployed_is_told(site: Site, model: str, where: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        site.known.propose(model, where, Rules(), start=True)
    assert site.known.summaries() == []


def test_a_device_without_enough_flash_is_left_out(site: Site) -> None:
    model = terms.model("home", "new")
    site.registry.add(model, [Triple(model, term("tegu:needsFlashBytes"), Literal(5_000))])
    for name, flash in (("a", 5_000), ("b", 4_999)):
        iri = terms.device("home", name)
        site.registry.add(iri, [Triple(iri, term("tegu:flashBytes"), Literal(flash))])
    told = site.known.propose("new", "has co2, ram >= 64 kB", Rules(), start=False)
    assert told["plan"] == [["a"]]
    assert told["outside"] == {
        "b": "it has 4999 bytes of free flash, 5000 are needed",
        "c": "its free flash is not known, 5000 bytes are needed",
    }


def test_a_metric_that_is_misspelt_is_told_before_anything_moves(site: Site) -> None:
    with pytest.raises(ValueError, match="los_after in the metric: is loss_after meant"):
        site.known.propose("new", "", Rules(metric="los_after <= 0.9"), start=True)
    site.known.propose("new", "", Rules(metric="comfort_of_mine >= 3"), start=False)  # devices may tell their own


def test_what_is_desired_is_in_the_graph_before_it_is_published(site: Site) -> None:
    site.known.propose("new", "device != b", Rules(), start=True)
    wished = site.tick()
    assert {name: (wish.version, wish.model) for name, wish in wished.items()} == {"a": (1, "new")}
    again = Site(site.registry)  # killed before it could publish
    assert {name: (wish.version, wish.model) for name, wish in again.tick().items()} == {"a": (1, "new")}


def test_a_broker_that_forgot_everything_is_told_again(site: Site) -> None:
    site.known.propose("new", "device = a", Rules(), start=True)
    assert list(site.tick()) == ["a"]
    assert site.tick() == {}
    site.known.again()
    assert list(site.tick()) == ["a"]


def test_a_will_of_an_earlier_life_is_nothing_to_a_deployment(site: Site) -> None:
    site.known.propose("new", "device = a", Rules(patience_s=60), start=True)
    site.hear("a", "state", State(state="lost", boot=3).encode())
    assert list(site.tick()) == ["a"]  # it is awake, and so it is its turn


def test_a_will_of_this_life_is(site: Site) -> None:
    site.known.propose("new", "device = a", Rules(patience_s=60), start=True)
    site.hear("a", "state", State(state="lost", boot=4).encode())
    assert site.tick() == {}


def test_a_version_beyond_all_that_a_board_counts_is_not_counted_further(site: Site) -> None:
    iri = terms.device("home", "a")
    site.registry.set_facts(LIVE, [(iri, term("tegu:reportedVersion"), Literal((1 << 32) - 1))])
    site.known.propose("new", "device = a", Rules(), start=True)
    assert site.tick()["a"].version <= MOST_VERSION + 1


def test_a_device_that_is_retired_meanwhile_is_waited_for_no_longer(site: Site) -> None:
    site.registry.listeners.append(site.known.changed)
    site.known.propose("new", "", Rules(patience_s=60), start=True)
    site.tick()
    site.hear("a", "reported", Reported(version=1, model="new", why="").encode())
    assert list(site.tick()) == ["b"]
    site.registry.tell("thing_deleted", "urn:tegu:home:b")
    site.tick()
    assert site.known.summary(1)["devices"]["retired"] == {"b": ""}
