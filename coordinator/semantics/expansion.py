"""From a Thing Description to expanded JSON-LD, by our own context: what no context can change any more.

This is the expansion of JSON-LD 1.1 for what a Thing Description may be (TD 1.1, section 7 and appendix D): a thing, with
prefixes and single terms that its @context adds. A parser of JSON-LD makes triples of the result; it never sees a context, and
that is the point: processing the specification's own scoped contexts takes it 4 ms a thing, the result 0.2 ms.

A thing speaks of itself alone. Whatever else it says is about blank nodes of its own, numbered from its id, so that the same
document gives the same triples and no two things share one. So there is no @graph, @included, @reverse or @nest, an object
with an @id is a mere reference, and what only the registry knows (facts, live state, models, rounds) is not a thing's to say.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tegu import topics

from .faults import Faulty, shown
from .naming import LANGUAGE, Json, Names, is_sensor_kind, own_ids, thing_id
from .terms import PREFIXES
from .thing_terms import THING, Scope, Term, scope

LEVELS = 32  # objects and arrays within one another, at most
NODES = 4096  # objects, at most
TEGU, MQV = PREFIXES["tegu"], PREFIXES["mqv"]
TOPICS = frozenset([MQV + "filter", MQV + "topic"])
ROOM, ADDRESS = TEGU + "room", PREFIXES["hctl"] + "hasTarget"
OURS_TO_SAY = frozenset(TEGU + name for name in ("channel", "unit", "radio", "energySource", "firmware", "room"))
OF_ROUNDS = "Activity Entity used wasAssociatedWith wasGeneratedBy wasDerivedFrom startedAtTime endedAtTime"
OF_CLASSES = "subClassOf subPropertyOf domain range"
REGISTRY_S = frozenset(
    [PREFIXES["prov"] + name for name in OF_ROUNDS.split()] + [PREFIXES["rdfs"] + name for name in OF_CLASSES.split()]
)
RESERVED = ("urn:tegu-", PREFIXES["nnet"], PREFIXES["sh"], PREFIXES["owl"], PREFIXES["rdf"])


def expand(document: Json) -> Json:
    """A document, expanded; its id must be there. Faulty, with the path: it says what it may not, or makes no sense."""
    return _Expansion(document).tree


class _Expansion:
    """Of one document, told by `tree`."""

    def __init__(self, document: Json) -> None:
        self.id = thing_id(document)
        own = own_ids(self.id)
        self._topics = topics.device(*own, "state").removesuffix("state") if own else ""
        self._room = f"urn:tegu:{own[0]}:room:" if own else ""
        self._labels = int.from_bytes(sha256(self.id.encode()).digest()[:12]) << 32
        self._nodes = 0
        self._names = Names(document)
        self._language = self._names.language
        said = {key: value for key, value in document.items() if key not in ("id", "@context")}
        self.tree = self._node(said, (), 0)
        self.tree["@id"] = self.id
        classes = self.tree.setdefault("@type", [])
        if THING not in classes:
            classes.append(THING)

    def _node(self, said: Json, inside: tuple[str, ...], level: int) -> Json:
        """An object as a node. inside: the scopes that it stands in."""
        self._nodes += 1
        if self._nodes > NODES:
            raise Faulty([], f"has more than {NODES} objects")
        if level >= LEVELS:
            raise Faulty([], f"is more than {LEVELS} levels deep")
        made: Json = {"@id": f"_:{self._labels + self._nodes:x}"}
        known = scope(*inside)
        for key, value in said.items():
            if value is None:
                continue
            try:
                term = known.terms.get(key)
                if term is None:
                    self._extension(made, key, value, inside, level)
                else:
                    _READS[term.reads](self, made, term, value, _within(inside, term), level + 1)
            except Faulty as fault:
                raise fault.below(key) from None
        return made

    # --- what the specification has terms for: each adds to `made` ---

    def _plain(self, made: Json, term: Term, value: Any, inside: tuple[str, ...], level: int) -> None:
        _add(made, term.iri, self._values(value, inside, level))

    def _class(self, made: Json, _: Term, value: Any, inside: tuple[str, ...], __: int) -> None:
        found = [self._class_iri(word, scope(*inside)) for word in _texts(value)]
        _add(made, "@type", [iri for iri in found if iri])

    def _word(self, made: Json, term: Term, value: Any, inside: tuple[str, ...], _: int) -> None:
        found = [self._iri(word, scope(*inside).words) for word in _texts(value)]
        _add(made, term.iri, [{"@id": iri} for iri in found if iri])

    def _unit(self, made: Json, term: Term, value: Any, _: tuple[str, ...], __: int) -> None:
        """An IRI if it has a prefix that the document declares, else the text."""
        for word in _texts(value):
            iri = self._iri(word, {}) if self._names.declares(word.partition(":")[0]) else None
            _add(made, term.iri, [{"@id": iri} if iri else word])

    def _text(self, made: Json, term: Term, value: Any, _: tuple[str, ...], __: int) -> None:
        _add(made, term.iri, [self._spoken(text) for text in _texts(value)])

    def _spoken(self, text: str) -> Any:
        return {"@value": text, "@language": self._language} if self._language else text

    def _languages(self, made: Json, term: Term, value: Any, _: tuple[str, ...], __: int) -> None:
        for tag, texts in _object(value).items():
            if not LANGUAGE.fullmatch(tag):
                raise Faulty([tag], "must be a language tag, as en or de-AT")
            _add(made, term.iri, [{"@value": text, "@language": tag} for text in _texts(texts)])

    def _typed(self, made: Json, term: Term, value: Any, _: tuple[str, ...], __: int) -> None:
        _add(made, term.iri, [{"@value": text, "@type": term.datatype} for text in _texts(value)])

    def _target(self, made: Json, term: Term, value: Any, inside: tuple[str, ...], level: int) -> None:
        """Where a form goes: a device of ours is reached by its own topics only, also where the address has one."""
        self._own_address(value)
        self._typed(made, term, value, inside, level)

    def _any(self, made: Json, term: Term, value: Any, _: tuple[str, ...], level: int) -> None:
        values = value if isinstance(value, list) and term.iri.endswith("enum") else [value]
        for one in values:
            _check_levels(one, level)
        _add(made, term.iri, [_literal(one) for one in values if one is not None])

    def _map(self, made: Json, term: Term, value: Any, inside: tuple[str, ...], level: int) -> None:
        for name, one in _object(value).items():
            try:
                node = self._node(_object(one), inside, level)
            except Faulty as fault:
                raise fault.below(name) from None
            node[term.name] = [name, *node.get(term.name, [])]
            _add(made, term.iri, [node])

    # --- what other vocabularies have terms for ---

    def _extension(self, made: Json, key: str, value: Any, inside: tuple[str, ...], level: int) -> None:
        if key == "id":
            raise Faulty([], "is for the thing alone: what it consists of has no id")
        if key.startswith("@"):
            raise Faulty([], "is not allowed here")
        iri = self._iri(key, {})
        if iri is None:  # a term of nobody
            _check_levels(value, level)
            return
        if iri in REGISTRY_S or (iri.startswith(RESERVED) and iri not in OURS_TO_SAY):
            raise Faulty([], "is not for a Thing Description to say")
        if iri in TOPICS:
            for topic in _texts(value):
                self._own_topic(topic)
        if iri == ADDRESS:
            self._own_address(value)
        values = self._values(value, inside, level + 1)
        if iri == ROOM and self._room:
            for one in values:
                if not isinstance(one, dict) or not str(one.get("@id")).startswith(self._room):
                    raise Faulty([], f'must be {{"@id": "{self._room}NAME"}}, not {shown(value)}')
        _add(made, iri, values)

    def _own_address(self, value: Any) -> None:
        for text in _texts(value):
            scheme, _, rest = text.partition("://")
            topic = rest.partition("/")[2] if scheme.lower() in ("mqtt", "mqtts") else ""
            if topic:
                self._own_topic(topic)

    def _own_topic(self, topic: str) -> None:
        if self._topics and not topic.startswith(self._topics):
            raise Faulty([], f"must be a topic of this device, {self._topics}..., not {shown(topic)}")

    def _values(self, value: Any, inside: tuple[str, ...], level: int) -> list[Any]:
        """A value, or an array of such, as a flat list of what expanded JSON-LD may have there."""
        if level >= LEVELS:
            raise Faulty([], f"is more than {LEVELS} levels deep")
        if isinstance(value, list):
            found = []
            for at, one in enumerate(value):
                try:
                    found += self._values(one, inside, level + 1)
                except Faulty as fault:
                    raise fault.below(at) from None
            return found
        if isinstance(value, dict):
            return [self._object(value, inside, level)] if "@value" not in value else self._value(value)
        if value is None:
            return []
        _check_number(value)
        return [value]

    def _object(self, value: Json, inside: tuple[str, ...], level: int) -> Json:
        if "@id" not in value:
            return self._node(value, inside, level)
        iri = self._iri(value["@id"], {}) if isinstance(value["@id"], str) else None
        if iri is None:
            raise Faulty(["@id"], f"must be an absolute IRI, not {shown(value['@id'])}")
        if len(value) > 1:
            raise Faulty([], f"must be a mere reference: nothing may be said about {shown(iri)} here")
        return {"@id": iri}

    def _value(self, value: Json) -> list[Any]:
        """A value object of JSON-LD."""
        unknown = value.keys() - {"@value", "@type", "@language", "@direction"}
        if unknown:
            raise Faulty([min(unknown)], "is not allowed beside @value")
        if value["@value"] is None:
            return []
        if isinstance(value["@value"], dict | list) or ("@type" in value and "@language" in value):
            raise Faulty([], "must be a single value, with a @type or a @language")
        _check_number(value["@value"])
        made = {"@value": value["@value"]}
        if "@type" in value:
            iri = self._iri(value["@type"], {}) if isinstance(value["@type"], str) else None
            if iri is None:
                raise Faulty(["@type"], f"must be an absolute IRI, not {shown(value['@type'])}")
            made["@type"] = iri
        if "@language" in value:
            tag = value["@language"]
            if not isinstance(tag, str) or not LANGUAGE.fullmatch(tag) or not isinstance(value["@value"], str):
                raise Faulty(["@language"], f"must be a language tag, as en or de-AT, of a text, not {shown(tag)}")
            made["@language"] = tag
        return [made]

    # --- IRIs ---

    def _class_iri(self, word: str, known: Scope) -> str | None:
        iri = self._iri(word, known.words)
        if iri and (iri in REGISTRY_S or iri.startswith(RESERVED)) and not is_sensor_kind(iri):
            raise Faulty([], f"{shown(word)} is not for a Thing Description to say")
        return iri

    def _iri(self, word: str, words: Mapping[str, str]) -> str | None:
        return words[word] if word in words else self._names.iri(word)


def _within(inside: tuple[str, ...], term: Term) -> tuple[str, ...]:
    if not term.scope or inside[-1:] == (term.scope,):
        return inside
    return (*(name for name in inside if name != term.scope), term.scope)


def _add(made: Json, iri: str, values: list[Any]) -> None:
    if values:
        made.setdefault(iri, []).extend(values)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    for at, text in enumerate(values):
        if not isinstance(text, str):
            raise Faulty([at] if isinstance(value, list) else [], f"must be text, not {shown(text)}")
    return values


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise Faulty([], f"must be an object, not {shown(value)}")
    return value


def _check_number(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Faulty([], f"must be a number, not {value}")


def _check_levels(value: Any, level: int) -> None:
    """What is not read is not deep either, and has no number that JSON has not."""
    if level >= LEVELS:
        raise Faulty([], f"is more than {LEVELS} levels deep")
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_levels(one, level + 1)
    else:
        _check_number(value)


def _literal(value: Any) -> Any:
    """Any JSON as a literal: rdf:JSON if it is an object or an array."""
    return {"@value": value, "@type": "@json"} if isinstance(value, dict | list) else value


_READS = {
    "plain": _Expansion._plain,
    "class": _Expansion._class,
    "word": _Expansion._word,
    "unit": _Expansion._unit,
    "text": _Expansion._text,
    "languages": _Expansion._languages,
    "typed": _Expansion._typed,
    "target": _Expansion._target,
    "any": _Expansion._any,
    "map": _Expansion._map,
}
