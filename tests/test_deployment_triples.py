"""Deployments in the graph: what stands there, and that a service killed at any moment goes on where it was."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pyoxigraph import Literal, NamedNode

from coordinator.deploying.kept import from_triples, to_facts, to_triples
from coordinator.deploying.stages import (
    Candidate,
    Deployment,
    Effect,
    plan,
)
from coordinator.registry import Registry
from coordinator.semantics.terms import DEPLOYMENTS, term
from tests.deployments import NEW, OLD, rules, started, take, tell

SITE = "home"
IRI = "urn:tegu:home:deployment:7"


def known(registry: Registry, iri: str) -> dict[str, object]:
    """The facts of a thing but for what only the service reads, by the last part of their names."""
    rows = registry.select(
        "SELECT ?iri ?name ?value { ?iri ?name ?value FILTER(?name NOT IN (rdf:type, tegu:kept, tegu:deployedTo)) }",
        iri=NamedNode(iri),
    )
    return {str(row["name"]).rpartition(":")[2].rpartition("#")[2]: row["value"] for row in rows}


def test_a_deployment_stands_in_the_graph_in_the_terms_of_the_vocabulary() -> None:
    registry = Registry(None, SITE)
    deployment = started(3, now_s=1_750_000_000.0, metric="loss_after <= 0.5")
    registry.add(DEPLOYMENTS, to_triples(deployment, SITE))
    assert known(registry, IRI) == {
        "deploys": f"urn:tegu:home:model:{NEW}",
        "where": "room type = office",
        "status": "running",
        "stage": 1,
        "metric": "loss_after <= 0.5",
        "startedAtTime": "2025-06-15T15:06:40Z",
    }
    assert known(registry, f"{IRI}:d00") == {
        "moveOf": IRI,
        "moves": "urn:tegu:home:d00",
        "status": "asked",
        "stage": 1,
        "desiredVersion": 5,
        "earlierModel": f"urn:tegu:home:model:{OLD}",
    }
    assert known(registry, f"{IRI}:d02")["status"] == "waiting"
    assert registry.select(
        "SELECT ?device { ?d a tegu:Deployment, prov:Activity ; tegu:deployedTo ?device } ORDER BY ?device"
    ) == [{"device": f"urn:tegu:home:d{at:02d}"} for at in range(3)]


def test_what_changed_is_set_without_the_rest_being_touched() -> None:
    registry = Registry(None, SITE)
    deployment = started(3, metric="loss_after <= 0.5")
    registry.add(DEPLOYMENTS, to_triples(deployment, SITE))
    deployment.reported("d00", 5, OLD, 'no "room"\n')
    deployment.tick(1.0)
    facts = to_facts(deployment, SITE)
    assert {subject.value for subject, _, _ in facts} == {IRI, f"{IRI}:d00"}
    registry.set_facts(DEPLOYMENTS, facts)
    assert known(registry, f"{IRI}:d00")["why"] == 'no "room"\n'
    assert {subject.value for subject, _, _ in to_facts(deployment, SITE)} == {IRI}
    assert from_triples(registry.graph(DEPLOYMENTS), SITE) == [deployment]


def test_a_reason_that_is_gone_is_gone_from_the_graph() -> None:
    registry = Registry(None, SITE)
    deployment = started(1)
    deployment.reported("d00", 5, OLD, "busy")
    registry.add(DEPLOYMENTS, to_triples(deployment, SITE))
    take(deployment, "d00")
    registry.set_facts(DEPLOYMENTS, to_facts(deployment, SITE))
    assert "why" not in known(registry, f"{IRI}:d00")


def test_deployments_come_back_by_number_with_other_triples_about() -> None:
    registry = Registry(None, SITE)
    bare = plan(12, "comfort", "", [Candidate("x")], rules())
    one = started(2)
    tell(one, "d00", 3, loss_after=0.1 + 0.2)
    for deployment in (bare, one):
        registry.add(DEPLOYMENTS, to_triples(deployment, SITE))
    triples = registry.graph(DEPLOYMENTS) + registry.graph(NamedNode("urn:tegu-graph:vocabulary"))
    assert from_triples(triples, SITE) == [one, bare]
    assert from_triples(triples, "elsewhere") == []


def test_what_was_not_answered_is_asked_again_after_a_restart() -> None:
    deployment = started(20)
    take(deployment, "d00")
    deployment.tick(1.0)
    assert deployment.effects() == [("desire", "d00", 5, NEW), ("desire", "d01", 5, NEW)]
    [again] = from_triples(to_triples(deployment, SITE), SITE)
    assert again.effects() == [("desire", "d01", 5, NEW)]


def test_text_that_no_graph_can_hold_does_not_stop_the_keeping() -> None:
    deployment = started(1)
    deployment.reported("d00", 5, OLD, "\ud800" + "x" * 1000)
    why = [value for _, name, value in to_facts(deployment, SITE) if name == term("tegu:why") and value is not None]
    assert why == [Literal("?" + "x" * 199)]


# --- all of it at random ---

NAMES = ["a", "b", "c", "d", "e"]
DEVICES = st.sampled_from(NAMES)
STATES = st.sampled_from(["ready", "ready", "sleeping", "offline", "lost"])
PICK = st.integers(0, 1000)


class Device:
    """What a device does: it takes the latest desired model that it hears, or says why not."""

    def __init__(self, version: int) -> None:
        self.version, self.model, self.count = version, OLD, 0

    def hear(self, version: int, model: str, takes: bool) -> tuple[int, str, str]:
        why = ""
        if version > self.version:
            self.version = version
            if takes:
                self.model = model
            else:
                why = "no room"
        return self.version, self.model, why


class DeployingMachine(RuleBasedStateMachine):
    """Devices behind a network that delays, doubles and reorders; at each event the service is killed, or could be."""

    @initialize(
        ahead=st.lists(st.sampled_from([0, 0, 0, 3]), min_size=5, max_size=5),
        metric=st.sampled_from(["", "loss_after <= 0.5", "loss_after <= 1.1 * before"]),
        samples=st.integers(1, 2),
        hold_s=st.sampled_from([0.0, 5.0]),
        needed_percent=st.sampled_from([50.0, 100.0]),
        asleep=st.integers(0, 2),
        straight=st.integers(0, 5),
    )
    def begin(
        self,
        ahead: list[int],
        metric: str,
        samples: int,
        hold_s: float,
        needed_percent: float,
        asleep: int,
        straight: int,
    ) -> None:
        chosen = [Candidate(n, "sleeping" if at < asleep else "ready", "", OLD, 0) for at, n in enumerate(NAMES)]
        its = rules(metric=metric, samples=samples, hold_s=hold_s, needed_percent=needed_percent, patience_s=30.0)
        self.deployment = plan(1, NEW, "", chosen, its)
        self.registry = Registry(None, SITE)
        self.registry.add(DEPLOYMENTS, to_triples(self.deployment, SITE))
        self.deployment.start(0.0)
        self.now_s = 0.0
        self.devices = {name: Device(version) for name, version in zip(NAMES, ahead, strict=True)}
        self.published: list[Effect] = []
        self.reports: list[tuple[str, int, str, str]] = []
        self.telemetries: list[tuple[str, dict[str, float]]] = []
        self.keep()
        for _ in range(straight):
            self.all_devices_answer_and_learn("", 0.3)
            self.time_passes(5.0)

    def keep(self) -> None:
        """What the caller does after each event: keep, then publish."""
        twin = copy.deepcopy(self.deployment)
        self.registry.set_facts(DEPLOYMENTS, to_facts(self.deployment, SITE))
        [restored] = from_triples(self.registry.graph(DEPLOYMENTS), SITE)
        assert restored == twin
        effects, again = self.deployment.effects(), restored.effects()
        unanswered = {move.device for move in self.deployment.moves.values() if move.status in ("asked", "recalled")}
        assert set(effects) - set(again) == {effect for effect in effects if effect[1] not in unanswered}
        assert set(again) - set(effects) <= set(self.published)  # the same once more
        self.published += effects
        self.deployment = restored if len(self.published) % 2 else self.deployment  # a life of both kinds

    @rule(passed_s=st.sampled_from([0.0, 1.0, 1.0, 5.0, 5.0, 5.0, 29.0, 31.0]))
    def time_passes(self, passed_s: float) -> None:
        self.now_s += passed_s
        self.deployment.tick(self.now_s)
        self.keep()

    @rule(pick=PICK, takes=st.sampled_from([True, True, True, False]))
    def a_desire_arrives(self, pick: int, takes: bool) -> None:
        if self.published:
            _, name, version, model = self.published[-1 - pick % len(self.published)]
            self.reports.append((name, *self.devices[name].hear(version, model, takes)))

    @rule(pick=PICK)
    def a_report_arrives(self, pick: int) -> None:
        if self.reports:
            self.deployment.reported(*self.reports[-1 - pick % len(self.reports)])
            self.deployment.tick(self.now_s)
            self.keep()

    @rule(refusing=st.sampled_from(["", "", "", *NAMES]), loss=st.sampled_from([0.3, 0.3, 0.4, 0.9]))
    def all_devices_answer_and_learn(self, refusing: str, loss: float) -> None:
        """The straight way, so that deployments get somewhere."""
        for name in NAMES:
            for _, _, version, model in [effect for effect in self.published if effect[1] == name][-1:]:
                self.reports.append((name, *self.devices[name].hear(version, model, name != refusing)))
                self.a_report_arrives(0)
            for _ in range(2):
                self.a_device_learns(name, loss)
                self.a_telemetry_arrives(0)

    @rule(name=DEVICES, loss=st.sampled_from([0.1, 0.4, 0.5, 2.0]))
    def a_device_learns(self, name: str, loss: float) -> None:
        device = self.devices[name]
        device.count += 1
        unique = loss + len(self.telemetries) * 1e-9
        numbers = {"boot": 1.0, "bytes_telemetry_up": float(device.count), "loss_after": unique}
        self.telemetries.append((name, numbers))

    @rule(pick=PICK)
    def a_telemetry_arrives(self, pick: int) -> None:
        if self.telemetries:
            self.deployment.telemetry(*self.telemetries[-1 - pick % len(self.telemetries)])
            self.deployment.tick(self.now_s)
            self.keep()

    @rule(name=DEVICES, state=STATES)
    def says(self, name: str, state: str) -> None:
        self.deployment.state(name, state, self.now_s)
        self.deployment.tick(self.now_s)
        self.keep()

    @rule(name=DEVICES, which=st.sampled_from(["retired", "quarantined", *[""] * 20]))
    def is_taken_away(self, name: str, which: str) -> None:
        if which == "retired":
            self.deployment.retired(name)
        elif which == "quarantined":
            self.deployment.quarantined(name, "its description")
        self.keep()

    @rule(what=st.sampled_from(["pause", "resume", "resume", "abort", "rollback", "restarted", *[""] * 20]))
    def people_say(self, what: str) -> None:
        allowed = {
            "pause": ("running",),
            "resume": ("paused",),
            "abort": ("running", "paused"),
            "rollback": ("running", "paused", "done", "aborted"),
        }
        if what and self.deployment.status in allowed.get(what, (self.deployment.status,)):
            getattr(self.deployment, what)(self.now_s)
            self.keep()

    @invariant()
    def after_going_back_nobody_has_the_model_but_who_is_listed_as_lost(self) -> None:
        if hasattr(self, "deployment") and self.deployment.status == "rolled back":
            lost = {name for name, move in self.deployment.moves.items() if move.status == "lost"}
            assert {name for name, device in self.devices.items() if device.model == NEW} <= lost

    @invariant()
    def one_device_alone_is_told_of_the_model_before_the_first_held(self) -> None:
        if hasattr(self, "deployment") and self.deployment.stage <= 1:
            assert len({effect[1] for effect in self.published if effect[3] == NEW}) <= 1

    @invariant()
    def the_first_has_held_when_a_second_is_told(self) -> None:
        told = dict.fromkeys(effect[1] for effect in getattr(self, "published", []) if effect[3] == NEW)
        if len(told) > 1:
            first = next(iter(told))
            assert any(report[0] == first and report[2] == NEW for report in self.reports)
            if self.deployment.rules.metric:
                count = sum(name == first for name, _ in self.telemetries)
                assert count >= self.deployment.rules.samples

    @invariant()
    def no_telemetry_counts_twice(self) -> None:
        for move in self.deployment.moves.values() if hasattr(self, "deployment") else ():
            counted = move.before + move.after
            assert len(set(counted)) == len(counted)

    @invariant()
    def versions_desired_of_a_device_grow(self) -> None:
        latest: dict[str, tuple[int, str]] = {}
        for _, name, version, model in getattr(self, "published", []):
            assert (version, model) >= latest.get(name, (0, "")) if latest.get(name, (0,))[0] == version else True
            assert version >= latest.get(name, (0, ""))[0]
            latest[name] = version, model


DeployingMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDeploying = DeployingMachine.TestCase


EVENTS = st.tuples(
    st.sampled_from(["reports", "reports", "tells", "tells", "tells", "refuses", "sleeps", "wakes", "waits"]),
    DEVICES,
    st.integers(0, 9),
)


def play(events: list[tuple[str, str, int]], killed: bool) -> tuple[Deployment, list[Effect]]:
    """A deployment after these events, and what it published, without what it said again."""
    deployment = plan(1, NEW, "", [Candidate(name, "ready", "", OLD) for name in NAMES], rules(metric="loss <= 0.6"))
    deployment.start(0.0)
    published: list[Effect] = []
    for at, (what, name, number) in enumerate(events):
        if what == "reports":
            take(deployment, *NAMES[: number + 1])
        elif what == "tells":
            tell(deployment, name, number, loss=number / 10)
        elif what == "refuses" and number == 0:
            deployment.reported(name, deployment.moves[name].version, OLD, "full")
        elif what in ("sleeps", "wakes"):
            deployment.state(name, "sleeping" if what == "sleeps" else "ready", float(at))
        deployment.tick(at + 10.0 * number)
        if killed:
            [deployment] = from_triples(to_triples(deployment, SITE), SITE)
        published += deployment.effects()
    return deployment, list(dict.fromkeys(published))


@settings(max_examples=200, deadline=None)
@given(events=st.lists(EVENTS, max_size=60))
def test_one_that_is_killed_and_restored_at_each_event_ends_as_one_that_lives_on(
    events: list[tuple[str, str, int]],
) -> None:
    assert play(events, killed=True) == play(events, killed=False)
