"""Rounds of one version that are for one device after the other, with a real session, federation and graph: nobody is left out."""

from dataclasses import replace

from pyoxigraph import Literal

from coordinator.federation import Outgoing
from coordinator.registry import Registry
from coordinator.semantics import terms
from coordinator.semantics.terms import LIVE, term
from coordinator.settings import RoundSettings
from tegu.session import Session
from tests.test_admission import SETTINGS, make, ready
from tests.test_where import add_device


def charged(registry: Registry, **percent: int) -> None:
    facts = [
        (terms.device("home", name), term("tegu:batteryPercent"), Literal(value)) for name, value in percent.items()
    ]
    registry.set_facts(LIVE, facts)


def test_a_device_that_the_first_round_of_a_version_was_not_for_learns_in_the_second() -> None:
    registry = Registry(None)
    for name, room in (("north", "b1"), ("south", "b2")):
        add_device(registry, name, room, "office", "2", 64_000, ["co2"])
    charged(registry, north=80, south=20)
    settings = replace(
        SETTINGS,
        model=replace(SETTINGS.model, samples=1),
        rounds=RoundSettings(quorum=1, wait_for=2, deadline_s=10.0),
    )
    federation, _, clock = make(registry, "battery >= 30 %", settings)
    south = Session("home", "south", "m", 1)

    def hear(out: Outgoing) -> None:
        for topic, payload, _ in out:
            south.received(topic, payload)  # which drops what is for the other one

    federation.batch(ready("north", "south"))
    for _ in range(2):  # the manifest, and then the initialization that it names
        hear(federation.retained())
    hear(federation.tick())
    assert (federation.rounds.round_num, south.version, south.learning) == (1, 1, False)
    assert south.refused_why == "outside: not in this round: battery >= 30 % is wanted, and it is 20"
    charged(registry, north=20, south=80)  # and north has said nothing
    clock.now_s += 10.0
    hear(federation.tick())
    assert (federation.rounds.round_num, federation.rounds.version, south.learning) == (2, 1, True)
    ((_, topic, update, _, _),) = south.sample([1.0], [1.0])
    hear(federation.batch([(topic, update)]))
    federation.tick()
    assert (federation.rounds.version, south.accepted) == (2, 1)
