"""What words of a Thing Description mean as IRIs, by its @context; and whose id an IRI is.

A context may have prefixes, single terms and a language. It cannot give another meaning to what the specification or Tegu names,
nor make ids mean something else; it has no @vocab, @base or @import. Nothing is fetched.
"""

import re
from collections.abc import Mapping
from typing import Any

from pyoxigraph import NamedNode

from .faults import Faulty, shown
from .terms import KINDS, PREFIXES, term
from .thing_terms import CONTEXTS, KNOWN_PREFIXES, ROOT_TERMS

Json = dict[str, Any]
LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|\\^`\x7f-\x9f\ud800-\udfff]*")
DEVICE = re.compile(r"urn:tegu:([a-z0-9-]{1,32}):([a-z0-9-]{1,32})")
SCHEMES = frozenset(["urn", "_"])  # as prefixes they would change what ids are (https: cannot: what follows is //)
SENSOR_KINDS = frozenset(term(kind).value for kind in KINDS.values())
OTHER_SENSORS = PREFIXES["tegu"] + "sensor-"


class Names:
    """Of one document. Faulty: its @context says what it may not."""

    def __init__(self, document: Json) -> None:
        self._names, self.language = _context(document)
        self._iris: dict[str, str | None] = {}

    def declares(self, name: str) -> bool:
        return name in self._names

    def iri(self, word: str) -> str | None:
        """What a word means, None if it means nothing. Faulty: it would be no IRI."""
        if word not in self._iris:
            self._iris[word] = _resolved(word, self._names)
        return self._iris[word]


def own_ids(iri: str) -> tuple[str, str] | None:
    """(site, device) of the IRI of a device of ours, None of any other."""
    found = DEVICE.fullmatch(iri)
    return (found[1], found[2]) if found else None


def is_sensor_kind(iri: str) -> bool:
    return iri in SENSOR_KINDS or iri.startswith(OTHER_SENSORS)


def thing_id(document: Json) -> str:
    """The id of a thing, one that it may have. Faulty: it has none."""
    iri = document.get("id")
    if iri is None:
        raise Faulty(["id"], "is missing")
    if not isinstance(iri, str) or not ABSOLUTE.fullmatch(iri) or not _is_iri(iri):
        raise Faulty(["id"], f"must be an absolute IRI, as urn:dev:lamp-1, not {shown(iri)}")
    if iri.lower().startswith("urn:tegu") and own_ids(iri) is None:
        raise Faulty(["id"], f"must be urn:tegu:SITE:DEVICE, or not begin with urn:tegu, unlike {shown(iri)}")
    return iri


def _is_iri(text: str) -> bool:
    """By the store's own rules: triples about anything else would be dropped."""
    try:
        return bool(NamedNode(text))
    except ValueError:
        return False


def _resolved(word: str, names: Mapping[str, str]) -> str | None:
    if word in names:
        iri = names[word]
    else:
        prefix, colon, rest = word.partition(":")
        if not colon or prefix == "_":
            return None
        base = names.get(prefix, "") if not rest.startswith("//") else ""
        iri = base + rest if base.endswith((":", "/", "?", "#", "[", "]", "@")) else word
    if not ABSOLUTE.fullmatch(iri):
        raise Faulty([], f"{shown(word)} makes no IRI")
    return iri


def _context(document: Json) -> tuple[dict[str, str], str]:
    """(names with their IRIs, default language) that a document's @context adds to the specification's terms."""
    said = document.get("@context", [])
    names = dict(KNOWN_PREFIXES)
    language = ""
    for at, part in enumerate(said if isinstance(said, list) else [said]):
        for name, iri in part.items() if isinstance(part, dict) else ():
            path = ["@context", at, name]
            if name == "@language" and isinstance(iri, str) and LANGUAGE.fullmatch(iri):
                language = iri
            elif name != "@direction":
                _check_name(path, name, iri)
                names[name] = iri
    for name, iri in names.items():  # one may be made with another
        prefix, _, rest = iri.partition(":")
        if prefix in names and not rest.startswith("//"):
            names[name] = names[prefix] + rest
    return names, language


def _check_name(path: list[str | int], name: str, iri: Any) -> None:
    if not isinstance(iri, str):
        raise Faulty(path, f"must be an IRI, as text, not {shown(iri)}")
    if name.startswith("@"):
        raise Faulty(path, "is not allowed: a context may have prefixes, terms and a @language")
    if not ABSOLUTE.fullmatch(iri):
        raise Faulty(path, f"must be an absolute IRI, not {shown(iri)}")
    if name in ROOT_TERMS:
        raise Faulty(path, "is a term of the Thing Description and means nothing else")
    if name == "tegu" and iri != PREFIXES["tegu"]:
        raise Faulty(path, f"must be {PREFIXES['tegu']}, not {shown(iri)}")
    if not name or ":" in name or "/" in name or name in SCHEMES:
        raise Faulty(path, "cannot be a prefix or a term")


def unread_contexts(document: Json) -> list[str]:
    """The contexts elsewhere that a document names and nobody fetches: terms that only they have say nothing here."""
    said = document.get("@context", [])
    parts = said if isinstance(said, list) else [said]
    return [part for part in parts if isinstance(part, str) and part not in CONTEXTS]
