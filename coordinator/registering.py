"""What passes on the broker, as changes of the graph: a device that announces itself enters it, a model that is published too.

    device/{d}/thing                what it is: a Thing Description, or a board's 512 bytes, expanded
    device/{d}/state, telemetry     how it is now: state, version in hand, battery, free heap
    device/{d}/reported             which model it was moved to
    device/{d}/ack/{m}              of the coordinator: who took part in a round
    model/{m}/manifest, about       what it is and needs
    model/{m}/round                 a round, and so where a version comes from

No MQTT here: messages in, messages out. A bad message is counted and dropped; a bad announcement puts its device in quarantine
and is answered by an ack that says what is wrong.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyoxigraph import Literal, NamedNode, Triple

from tegu import topics
from tegu.session import MOST_BOOTS
from tegu.wire import WireError
from tegu.wire.messages import Ack, Manifest, Reported, Round, State, decode_numbers

from .documents.things import Things
from .reasons import fitting
from .registry import Registry
from .semantics import models, terms, things
from .semantics.about import checked
from .semantics.terms import LIVE, term

log = logging.getLogger("tegu.registry")
Message = tuple[str, bytes, bool]  # topic, payload, whether it is a retained one of before
Outgoing = list[tuple[str, bytes, bool]]  # topic, payload, retain
Facts = list[tuple[NamedNode, NamedNode, NamedNode | Literal | None]]
ABOUT_BYTES = 4096
PARTS = 16  # a number that moved by less than one such part of itself is not written anew
DESCRIBED = ("spec", "hash", "top_p", "codec", "residual", "heap_bytes")  # of a manifest, what a description is made of
ABOUT = term("tegu:about")
SELECTION = (term("tegu:selected"), term("tegu:selectedBy"))  # of a round, as coordinator.selecting keeps it
KEPT_ROUNDS = 1000  # of each model, with the devices that took part
HEARD_S = 60.0  # from one note that a device was heard to the next
NUMBERS = {"battery_percent": "tegu:batteryPercent", "free_heap_bytes": "tegu:heapBytes"}


@dataclass
class Model:
    """What was heard of a model."""

    manifest: Manifest | None = None
    version: int = 0  # the newest that a coordinator published
    about: dict[str, Any] = field(default_factory=dict)
    round: Round | None = None
    rounds: list[int] = field(default_factory=list)


class Registering:
    """The messages of one site. now_s: seconds since 1970."""

    def __init__(self, registry: Registry, documents: Things, now_s: Callable[[], float]) -> None:
        self.registry = registry
        self.documents = documents
        self.site = registry.site
        self.bad = 0
        self._now_s = now_s
        self._models: dict[str, Model] = {}
        self._numbers: dict[tuple[str, str], float] = {}  # as written: device, name
        self._heard_s: dict[str, float] = {}
        self._boots: dict[str, int] = {}
        self._parts: dict[str, str] = {}  # the model that a device takes part in
        self._in_hand: dict[str, float] = {}  # its version
        self._modelled: set[str] = set()  # of what is taken now: expanded from a Thing Model
        self._quarantined = {
            row["device"] for row in registry.select("SELECT ?device { ?device tegu:quarantined ?why }")
        }

    def changed(self, kind: str, iri: str) -> None:
        """A listener of the registry: what was last heard of a device that people took out is forgotten too."""
        if kind == "thing_deleted":
            self._quarantined.discard(iri)
            self._heard_s.pop(iri, None)
            for known in (self._boots, self._parts, self._in_hand):
                known.pop(iri, None)
            for name in NUMBERS:
                self._numbers.pop((iri, name), None)
            self.registry.forget(LIVE, NamedNode(iri))

    def heard(self, messages: Iterable[Message]) -> Outgoing:
        """Take these messages. What is returned may be published: what it answers is in the graph."""
        out: Outgoing = []
        announced: dict[str, dict[str, Any]] = {}  # by device, the last one
        self._modelled = set()
        old: set[str] = set()
        facts: Facts = []
        for topic, payload, retained in messages:
            words = topics.parse(topic)
            if words is None or words[0] != self.site:
                continue
            _, owner, name, kind, rest = words
            if owner not in ("device", "model"):
                continue
            try:
                topics.check_id(name, owner)
                if owner == "device" and kind == "thing":
                    found = self._expand(name, payload, out, facts)
                    if found is not None:
                        if not retained:
                            old.discard(name)
                        elif name not in announced:
                            old.add(name)
                        announced[name] = found
                elif owner == "device":
                    facts += self._device(name, kind, rest, payload)
                else:
                    facts += self._model(name, kind, payload)
            except (WireError, ValueError, RecursionError) as error:
                self.bad += 1
                log.warning("a message on %.80s is dropped: %s", topic, error)
            except Exception:  # whatever a device says, it does not end this for the others
                self.bad += 1
                log.exception("a message on %.80s is dropped: this is a fault of ours", topic)
        for retained in (True, False):
            documents = [document for name, document in announced.items() if (name in old) == retained]
            self._announce(documents, retained)
        if facts:
            self.registry.set_facts(LIVE, facts)
        return out

    # --- devices ---

    def _announce(self, documents: list[dict[str, Any]], retained: bool) -> None:
        """All at once; if that fails, one by one, so that the one that cannot be kept is found."""
        try:
            if documents:
                self.documents.announce(documents, retained, self._modelled, self._refuse)
        except Exception as error:
            if len(documents) == 1:
                log.exception("an announcement cannot be kept: this is a fault of ours")
                self._refuse(documents[0]["id"], f"cannot be kept: {error}")
                return
            for document in documents:
                self._announce([document], retained)

    def _refuse(self, iri: str, why: str) -> None:
        """What was announced is valid, and cannot be kept all the same."""
        log.warning("%s is in quarantine: %s", iri, why)
        self._quarantined.add(iri)
        self.registry.set_facts(LIVE, [(NamedNode(iri), term("tegu:quarantined"), Literal(why))])

    def _expand(self, device: str, payload: bytes, out: Outgoing, facts: Facts) -> dict[str, Any] | None:
        """The Thing Description that a device announces, None if it is in quarantine or there is none."""
        if not payload:
            return None
        iri = terms.device(self.site, device)
        try:
            document = things.expand(self.site, device, payload)
            modelled = things.is_modelled(payload)
            faults = [] if modelled else things.check(document)
            why = f"{faults[0].path}: {faults[0].message}" if faults else ""
        except ValueError as error:
            document, modelled, why = {}, False, str(error)
        if not why:
            (self._modelled.add if modelled else self._modelled.discard)(iri.value)
            if iri.value in self._quarantined:
                self._quarantined.discard(iri.value)
                facts += [(iri, term("rdf:type"), None), (iri, term("tegu:quarantined"), None)]
            return document
        log.warning("%s is in quarantine: %s", device, why)
        self.bad += 1
        self._quarantined.add(iri.value)
        facts += [
            (iri, term("rdf:type"), term("tegu:Device")),
            (iri, term("tegu:quarantined"), Literal(why)),
        ]  # also a new one
        model = _model_of(payload) or "thing"
        ack = Ack(result="invalid", version=0, why=fitting(f"thing: {why}"))
        out.append((topics.device(self.site, device, "ack", model), ack.encode(), False))
        return None

    def _device(self, device: str, kind: str, rest: str, payload: bytes) -> Facts:
        if not payload:
            return []
        iri = terms.device(self.site, device)
        if kind == "state":
            return self._state(iri, State.decode(payload))
        if kind == "telemetry":
            return self._telemetry(iri, decode_numbers(payload))
        if kind == "reported":
            told: Reported = Reported.decode(payload)
            runs = terms.model(self.site, told.model) if told.model else None
            return [(iri, term("tegu:runs"), runs), (iri, term("tegu:reportedVersion"), Literal(told.version))]
        if kind == "ack":
            self._ack(iri, topics.check_id(rest, "model"), Ack.decode(payload))
        return []

    def _state(self, iri: NamedNode, told: State) -> Facts:
        known = self._boots.get(iri.value) or max(self.registry.facts(iri, term("tegu:boot"), LIVE), default=0)
        if not known <= told.boot < MOST_BOOTS:
            return []  # a will of an earlier life, or a lie
        self._boots[iri.value] = told.boot
        model = terms.model(self.site, told.model) if told.model else None
        self._parts[iri.value] = told.model
        self._in_hand[iri.value] = told.version
        facts: Facts = [
            (iri, term("tegu:state"), Literal(told.state)),
            (iri, term("tegu:boot"), Literal(told.boot)),
            (iri, term("tegu:takesPart"), model),
            (iri, term("tegu:heardAt"), self._now()),
        ]
        return facts + self._in_hand_facts(iri, told.model, told.version)

    def _in_hand_facts(self, iri: NamedNode, model: str, number: int) -> Facts:
        """Which version a device has; no device makes up versions."""
        version = terms.version(self.site, model, number) if model and number else None
        facts: Facts = [(iri, term("tegu:inHand"), version)]
        if version is not None and number <= self._known(model).version:
            facts += self._version_facts(model, number)
        return facts

    def _version_facts(self, model: str, number: int) -> Facts:
        version = terms.version(self.site, model, number)
        return [
            (version, term("rdf:type"), term("tegu:Version")),
            (version, term("tegu:versionOf"), terms.model(self.site, model)),
            (version, term("tegu:versionNumber"), Literal(number)),
        ]

    def _telemetry(self, iri: NamedNode, numbers: dict[str, float]) -> Facts:
        facts: Facts = []
        for name, predicate in NUMBERS.items():
            value = numbers.get(name)
            known = self._numbers.get((iri.value, name))
            if value is not None and (known is None or abs(value - known) > abs(known) / PARTS):
                self._numbers[iri.value, name] = value
                facts.append((iri, term(predicate), Literal(value)))
        part, version = self._parts.get(iri.value, ""), numbers.get("version", 0)
        if part and version and self._in_hand.get(iri.value) != version and version == int(version):
            self._in_hand[iri.value] = version
            facts += self._in_hand_facts(iri, part, int(version))
        now_s = self._now_s()
        if not 0 <= now_s - self._heard_s.get(iri.value, -HEARD_S) < HEARD_S:
            self._heard_s[iri.value] = now_s
            facts.append((iri, term("tegu:heardAt"), self._now()))
        return facts

    # --- models and rounds ---

    def _model(self, name: str, kind: str, payload: bytes) -> Facts:
        known = self._known(name)
        if kind == "manifest" and payload:
            manifest: Manifest = Manifest.decode(payload)
            before, known.manifest = known.manifest, manifest
            known.version = manifest.version
            if before is None or any(getattr(before, part) != getattr(manifest, part) for part in DESCRIBED):
                self._describe(name, known)
            return [*self._version_facts(name, manifest.version), *self._manifest_facts(name, manifest)]
        if kind == "about":
            if len(payload) > ABOUT_BYTES:
                raise ValueError(f"about: must have at most {ABOUT_BYTES} bytes")
            about = json.loads(payload) if payload else {}
            if not isinstance(about, dict):
                raise ValueError("about: must be an object")
            checked(about)
            if about != known.about:
                known.about = about
                self._describe(name, known)
        if kind == "round":
            self._round(name, known, Round.decode(payload) if payload else None)
        return []

    def _describe(self, name: str, known: Model) -> None:
        """The model's graph anew."""
        if known.manifest is None:
            return
        iri = terms.model(self.site, name)
        created, told = not self.registry.has(iri), known.manifest
        description = models.describe_spec(
            **{"name": name, **known.about},
            spec=told.spec,
            top_p=told.top_p,
            codec=told.codec,
            residual=bool(told.residual),
            training_ram_bytes=told.heap_bytes,
        )
        about = Triple(iri, ABOUT, Literal(json.dumps(known.about, sort_keys=True)))
        self.registry.replace_graph(iri, [*models.triples(description, iri, self.site), about])
        self.registry.tell("model_created" if created else "model_updated", iri.value)

    def _manifest_facts(self, name: str, manifest: Manifest) -> Facts:
        model = terms.model(self.site, name)
        version = terms.version(self.site, name, manifest.version)
        return [
            (model, term("tegu:currentVersion"), version),
            (version, term("tegu:sha256"), Literal(manifest.sha256)),
            (version, term("tegu:shapeHash"), Literal(manifest.hash)),
        ]

    def _round(self, name: str, known: Model, opened: Round | None) -> None:
        before = known.round
        if opened is not None and before is not None and opened.opens_s < before.opens_s:
            return  # the broker says again what is over
        known.round = opened
        same = opened is not None and before is not None and opened.round_num == before.round_num
        if before is not None and not same:
            self._end(name, before, opened)
        if opened is None or same:
            return
        iri = terms.round_(self.site, name, opened.round_num)
        version = terms.version(self.site, name, opened.version)
        began = _moment(datetime.fromtimestamp(opened.opens_s, UTC))
        here = self.registry.graph(iri)
        said = {triple.predicate: triple.object for triple in here}
        if said.get(term("prov:used")) == version and term("prov:endedAtTime") not in said:
            return  # it goes on after a restart
        selection = [
            triple for triple in here if triple.predicate in SELECTION
        ]  # the rest is of an earlier coordinator's
        self.registry.replace_graph(
            iri,
            [
                *selection,
                Triple(iri, term("rdf:type"), term("tegu:Round")),
                Triple(iri, term("rdf:type"), term("prov:Activity")),
                Triple(iri, term("tegu:roundNumber"), Literal(opened.round_num)),
                Triple(iri, term("prov:used"), version),
                Triple(iri, term("prov:startedAtTime"), began),
            ],
        )
        self.registry.set_facts(
            LIVE,
            [
                *self._version_facts(name, opened.version),
                (terms.model(self.site, name), term("tegu:currentVersion"), version),
            ],
        )
        self._forget_rounds(name, known, opened.round_num)

    def _end(self, name: str, before: Round, opened: Round | None) -> None:
        """A round is over. If the next one is of another version, this is where that comes from."""
        iri = terms.round_(self.site, name, before.round_num)
        self.registry.set_facts(iri, [(iri, term("prov:endedAtTime"), self._now())])
        manifest = self._models[name].manifest
        number = opened.version if opened is not None else manifest.version if manifest is not None else 0
        if number <= before.version:
            return
        version = terms.version(self.site, name, number)
        self.registry.replace_graph(
            version,
            [
                Triple(version, term("rdf:type"), term("prov:Entity")),
                Triple(version, term("prov:wasGeneratedBy"), iri),
                Triple(version, term("prov:wasDerivedFrom"), terms.version(self.site, name, before.version)),
            ],
        )

    def _ack(self, device: NamedNode, name: str, ack: Ack) -> None:
        """An update counts: its device took part in the open round."""
        known = self._known(name)
        if ack.result != "accepted" or known.round is None or ack.version != known.round.version:
            return
        iri = terms.round_(self.site, name, known.round.round_num)
        self.registry.add(iri, [Triple(iri, term("prov:wasAssociatedWith"), device)])

    def _known(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = self._kept_model(name)
        return self._models[name]

    def _kept_model(self, name: str) -> Model:
        """What the graph knows of a model from before this process."""
        iri = terms.model(self.site, name)
        about = next(iter(self.registry.facts(iri, ABOUT, iri)), "{}")
        version = self.registry.select(
            "SELECT ?model ?n { ?model tegu:currentVersion/tegu:versionNumber ?n }", model=iri
        )
        rows = self.registry.select(
            f"""SELECT ?n ?version ?began ?ended {{ ?r tegu:roundNumber ?n ; prov:used/tegu:versionNumber ?version ;
                prov:startedAtTime ?began OPTIONAL {{ ?r prov:endedAtTime ?ended }}
                FILTER(STRSTARTS(STR(?r), {Literal(f"{iri.value}:round:")})) }} ORDER BY ?began ?n"""
        )
        known = Model(about=json.loads(about), rounds=[row["n"] for row in rows])
        known.version = max((row["n"] for row in version), default=0)
        if rows and rows[-1]["ended"] is None:
            began_s = int(datetime.fromisoformat(rows[-1]["began"]).timestamp())
            number, of_version = rows[-1]["n"], rows[-1]["version"]
            known.round = Round(round_num=number, version=of_version, opens_s=began_s, closes_s=began_s, quorum=1)
        return known

    def _forget_rounds(self, name: str, known: Model, round_num: int) -> None:
        known.rounds.append(round_num)
        while len(known.rounds) > KEPT_ROUNDS:
            self._forget_round(terms.round_(self.site, name, known.rounds.pop(0)))

    def _forget_round(self, iri: NamedNode) -> None:
        """And the version that it began with, unless a device still has it or it is somebody's beginning."""
        for version in self.registry.facts(iri, term("prov:used")):
            used = NamedNode(version)
            rows = self.registry.select(
                "SELECT ?version { { ?d tegu:inHand ?version } UNION { ?m tegu:currentVersion ?version } }",
                version=used,
            )
            if not rows:
                self.registry.remove_graph(used)
                self.registry.forget(LIVE, used)
        self.registry.remove_graph(iri)

    def _now(self) -> Literal:
        return _moment(datetime.fromtimestamp(self._now_s(), UTC))


def _moment(when: datetime) -> Literal:
    return Literal(when.strftime("%Y-%m-%dT%H:%M:%SZ"), datatype=term("xsd:dateTime"))


def _model_of(payload: bytes) -> str:
    """The model that an announcement names, if that can be read."""
    try:
        name = json.loads(payload)["model"]
        return topics.check_id(name, "model") if isinstance(name, str) else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
