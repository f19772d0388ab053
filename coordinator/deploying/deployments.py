"""The deployments of a site: which devices the graph resolves one to, what they answer, and what is to be published.

Between coordinator.deploying.stages, which decides, and coordinator.deploying.kept, which keeps: what changed is in the graph
before anything is published. HTTP and MQTT come in on threads of their own; one lock serves both.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from pyoxigraph import NamedNode

from tegu import topics
from tegu.wire import WireError
from tegu.wire.messages import Desired, Reported, State, decode_numbers

from ..metrics import CURVE_SAMPLES, MEASUREMENTS
from ..registry import Registry
from ..selecting import needs, why_not
from ..semantics import terms, where
from ..semantics.terms import DEPLOYMENTS, LIVE, term
from .holding import parse
from .kept import from_triples, to_facts, to_triples
from .moves import MOST_VERSION
from .stages import (
    Candidate,
    Deployment,
    Rules,
    plan,
)

log = logging.getLogger("tegu.registry")
Outgoing = list[tuple[str, bytes, bool]]
TOLD = [*MEASUREMENTS["device"].fields, *(f"curve_{count}" for count in CURVE_SAMPLES)]  # by devices, in telemetry
EXPLAINED = 200  # devices that a plan leaves out, with the reason
ACTS = ("pause", "resume", "abort", "rollback")


class Deployments:
    """now_s: seconds since 1970. ValueError: what the graph keeps of them was changed by somebody else."""

    def __init__(self, registry: Registry, now_s: Callable[[], float]) -> None:
        self._registry = registry
        self._site = registry.site
        self._now_s = now_s
        self._lock = threading.RLock()
        self.foreign: where.Foreign | None = None  # answers whole queries, with limits
        known = from_triples(registry.graph(DEPLOYMENTS), self._site)
        self._known = {one.number: one for one in known}
        for one in known:
            one.restarted(now_s())

    # --- people ---

    def propose(self, model: str, condition: str, rules: Rules, start: bool) -> dict[str, Any]:
        """The plan of a deployment, begun if start. ValueError: it cannot be, and why."""
        iri = terms.model(self._site, model)
        if not self._registry.facts(iri, term("tegu:needsRamBytes")):
            raise ValueError(f"no model {model} is in the registry; publish it first, or add it")
        if not self._registry.facts(iri, term("tegu:currentVersion")):
            raise ValueError(f"no coordinator has published {model}: devices would have nothing to fetch")
        for name in parse(rules.metric).names:  # devices may tell numbers of their own
            meant = [] if name in TOLD else get_close_matches(name, TOLD, 1, 0.8)
            if meant:
                raise ValueError(f"{name} in the metric: is {meant[0]} meant?")
        devices, outside = self._resolve(
            iri, condition
        )  # takes as long as it takes: what devices say must not wait for it
        with self._lock:
            number = max(self._known, default=0) + 1
            one = plan(number, model, condition, devices, rules, self._known.values())
            planned = {"plan": one.stages(), "outside": outside}
            if start:
                one.start(self._now_s())
                self._known[number] = one
                self._registry.add(DEPLOYMENTS, to_triples(one, self._site))
                self._registry.tell("deployment_created", terms.deployment(self._site, number).value)
            return one.summary() | planned

    def act(self, number: int, act: str) -> dict[str, Any]:
        """Do one of ACTS. KeyError: no such deployment. ValueError: not now."""
        with self._lock:
            one, now_s = self._known[number], self._now_s()
            if act == "rollback":
                one.rollback(now_s, self._known.values())
            elif act in ACTS:
                getattr(one, act)(now_s)
            else:
                raise ValueError(f"no act {act!r}; there are {', '.join(ACTS)}")
            self._keep(one)
            return one.summary()

    def summary(self, number: int) -> dict[str, Any]:
        """Where one stands. KeyError: no such deployment."""
        with self._lock:
            return self._known[number].summary()

    def summaries(self) -> list[dict[str, Any]]:
        """The newest first."""
        with self._lock:
            return [self._known[number].summary() for number in sorted(self._known, reverse=True)]

    # --- devices, time ---

    def heard(self, messages: Iterable[tuple[str, bytes, bool]]) -> None:
        """What devices say. What cannot be read is told by coordinator.registering."""
        with self._lock:
            at_work = [one for one in self._known.values() if one.listens]
            if not at_work:
                return
            for topic, payload, _ in messages:
                words = topics.parse(topic)
                if words is None or words[:2] != (self._site, "device") or not payload:
                    continue
                try:
                    self._tell(at_work, words[2], words[3], payload)
                except (WireError, ValueError):
                    continue

    def _tell(self, at_work: list[Deployment], device: str, kind: str, payload: bytes) -> None:
        for one in at_work:
            if kind == "state":
                state: State = State.decode(payload)
                boots = self._registry.facts(terms.device(self._site, device), term("tegu:boot"), LIVE)
                if not boots or state.boot >= boots[0]:  # else a will of an earlier life
                    one.state(device, state.state, self._now_s())
            elif kind == "reported":
                told: Reported = Reported.decode(payload)
                one.reported(device, told.version, told.model, told.why)
            elif kind == "telemetry":
                one.telemetry(device, decode_numbers(payload))

    def changed(self, kind: str, iri: str) -> None:
        """A listener of the registry: a thing that is gone takes no part any more."""
        if kind == "thing_deleted" and iri.startswith(f"urn:tegu:{self._site}:"):
            with self._lock:
                for one in self._known.values():
                    one.retired(terms.short(iri))

    def again(self) -> None:
        """The broker may have forgotten what is desired."""
        with self._lock:
            for one in self._known.values():
                if one.listens:
                    one.again()

    def tick(self) -> Outgoing:
        """What is due now; it is in the graph already."""
        out: Outgoing = []
        with self._lock:
            for one in self._known.values():
                if not one.listens:
                    continue
                self._quarantine(one)
                before = one.status, one.stage
                one.tick(self._now_s())
                self._keep(one)
                if (one.status, one.stage) != before:
                    log.info(
                        "deployment %d of %s: %s, stage %d %s", one.number, one.model, one.status, one.stage, one.why
                    )
                for _, device, version, model in one.effects():
                    topic = topics.device(self._site, device, "desired")
                    out.append((topic, Desired(version=version, model=model).encode(), True))
        return out

    def _quarantine(self, one: Deployment) -> None:
        for device in one.holds():
            for why in self._registry.facts(terms.device(self._site, device), term("tegu:quarantined")):
                one.quarantined(device, str(why))

    def _keep(self, one: Deployment) -> None:
        facts = to_facts(one, self._site)
        self._registry.set_facts(DEPLOYMENTS, facts)

    # --- the graph ---

    def _resolve(self, model: NamedNode, condition: str) -> tuple[list[Candidate], dict[str, str]]:
        """The devices that meet the condition and can run the model, and the others that meet it, with the reason."""
        asked = where.select(self._registry, condition, "", self.foreign)
        able = set(where.select(self._registry, "", needs(self._registry, model)))
        ours = [iri for iri in asked if terms.is_device(iri, self._site)]
        unable = [iri for iri in ours if iri not in able][:EXPLAINED]
        reasons = {terms.short(iri): why_not(self._registry, NamedNode(iri), model) for iri in unable}
        return [self._candidate(NamedNode(iri)) for iri in ours if iri in able], reasons

    def _candidate(self, iri: NamedNode) -> Candidate:
        def first(predicate: str) -> str:
            return str(next(iter(self._registry.facts(iri, term(predicate))), ""))

        earlier = first("tegu:runs") or first("tegu:takesPart")
        rows = self._registry.select(
            "SELECT ?device ?version { ?move tegu:moves ?device ; tegu:desiredVersion ?version }", device=iri
        )
        said = self._registry.facts(iri, term("tegu:reportedVersion"))
        version = min(MOST_VERSION, max([0, *(row["version"] for row in rows), *said]))
        return Candidate(
            terms.short(iri.value),
            first("tegu:state"),
            first("tegu:energySource"),
            terms.short(earlier) if earlier else "",
            version,
        )
