"""What the terms of a Thing Description are in RDF: a local stand-in for the contexts of W3C's TD 1.1 and 1.0.

Facts only, from the ontologies of the specification (td:, hctl:, wotsec:, jsonschema:): each term with its IRI and with how
its value is read. Which terms there are depends on where one stands, as with JSON-LD's scoped contexts: `type` is a class in a
data schema and a media type in a link.

Where the specification's context makes an IRI of a mere name (a security definition, the schema of a response, a unit without
a prefix), a text stays a text here: an IRI relative to nothing says nothing.
"""

from dataclasses import dataclass, field
from typing import Any

from .terms import PREFIXES

CONTEXTS = frozenset(["https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2019/wot/td/v1"])
TD, FORM, SECURITY, DATA = (PREFIXES[name] for name in ("td", "hctl", "wotsec", "jsonschema"))
KNOWN_PREFIXES = {  # without being declared
    **{name: PREFIXES[name] for name in ("td", "hctl", "wotsec", "jsonschema", "rdfs", "xsd", "dct")},
    "htv": "http://www.w3.org/2011/http#",
    "tm": "https://www.w3.org/2019/wot/tm#",
}
NAME, THING = TD + "name", TD + "Thing"
DATE_TIME, URI = PREFIXES["xsd"] + "dateTime", PREFIXES["xsd"] + "anyURI"


@dataclass(frozen=True, slots=True)
class Term:
    """reads: plain (texts, numbers, objects), text (for people), languages (a map of them), word (of the
    specification's own), class, unit, any (JSON as it is), map (name -> object), typed (as `datatype`), target (the same, of a form).

    name: the property that takes the name in a map. scope: what terms there are inside, if other ones.
    """

    iri: str
    reads: str = "plain"
    datatype: str = ""
    name: str = ""
    scope: str = ""


@dataclass(frozen=True)
class Scope:
    """terms: as keys. words: as values, and as classes."""

    terms: dict[str, Term]
    words: dict[str, str] = field(default_factory=dict)


def _same(namespace: str, names: str, reads: str = "plain") -> dict[str, Term]:
    return {name: Term(namespace + name, reads) for name in names.split()}


def _words(namespace: str, names: str, ending: str = "") -> dict[str, str]:
    """Each in small letters, as documents write it, for its IRI."""
    return {name.lower(): namespace + name + ending for name in names.split()}


def _map(iri: str, name: str = NAME, scope: str = "") -> Term:
    return Term(iri, "map", name=name, scope=scope)


def _data(name: str) -> Term:
    return Term(TD + name, scope="data")


_THING = Scope(
    {
        "@type": Term(PREFIXES["rdf"] + "type", "class"),
        "title": Term(TD + "title", "text"),
        "titles": Term(TD + "titleInLanguage", "languages"),
        "description": Term(TD + "description", "text"),
        "descriptions": Term(TD + "descriptionInLanguage", "languages"),
        "version": Term(TD + "versionInfo"),
        "instance": Term(TD + "instance"),
        "model": Term(TD + "model"),
        "created": Term(PREFIXES["dct"] + "created", "typed", DATE_TIME),
        "modified": Term(PREFIXES["dct"] + "modified", "typed", DATE_TIME),
        "support": Term(TD + "supportContact", "typed", URI),
        "base": Term(TD + "baseURI", "typed", URI),
        "license": Term(PREFIXES["dct"] + "license"),
        "profile": Term(TD + "followsProfile", "typed", URI),
        "properties": _map(TD + "hasPropertyAffordance", scope="data"),
        "actions": _map(TD + "hasActionAffordance"),
        "events": _map(TD + "hasEventAffordance"),
        "links": Term(TD + "hasLink", scope="link"),
        "forms": Term(TD + "hasForm", scope="form"),
        "security": Term(TD + "hasSecurityConfiguration"),
        "securityDefinitions": _map(TD + "definesSecurityScheme", scope="security"),
        "schemaDefinitions": _map(TD + "schemaDefinitions", scope="data"),
        "uriVariables": _map(TD + "hasUriTemplateSchema", scope="data"),
        "observable": Term(TD + "isObservable"),
        "safe": Term(TD + "isSafe"),
        "idempotent": Term(TD + "isIdempotent"),
        "synchronous": Term(TD + "isSynchronous"),
        "input": _data("hasInputSchema"),
        "output": _data("hasOutputSchema"),
        "subscription": _data("hasSubscriptionSchema"),
        "data": _data("hasNotificationSchema"),
        "dataResponse": _data("hasNotificationResponseSchema"),
        "cancellation": _data("hasCancellationSchema"),
    },
    {name: TD + name for name in ("Thing", "PropertyAffordance", "ActionAffordance", "EventAffordance")},
)
_DATA = Scope(
    {
        "type": Term(PREFIXES["rdf"] + "type", "class"),
        "unit": Term(PREFIXES["schema"] + "unitCode", "unit"),
        "properties": _map(DATA + "properties", DATA + "propertyName"),
        **_same(DATA, "readOnly writeOnly items required oneOf format pattern multipleOf"),
        **_same(DATA, "minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems minLength maxLength"),
        **_same(DATA, "contentEncoding contentMediaType"),
        **_same(DATA, "const default enum", "any"),
    },
    _words(DATA, "Object Array Boolean String Number Integer Null", "Schema"),
)
_LINK = Scope(
    {
        "href": Term(FORM + "hasTarget", "typed", URI),
        "type": Term(FORM + "hintsAtMediaType"),
        "rel": Term(FORM + "hasRelationType"),
        "anchor": Term(FORM + "hasAnchor", "typed", URI),
        "sizes": Term(FORM + "hasSizes"),
        "hreflang": Term(FORM + "hasHreflang"),
    }
)
_FORM = Scope(
    {
        "href": Term(FORM + "hasTarget", "target", URI),
        "op": Term(FORM + "hasOperationType", "word"),
        "contentType": Term(FORM + "forContentType"),
        "contentCoding": Term(FORM + "forContentCoding"),
        "subprotocol": Term(FORM + "forSubProtocol"),
        "scopes": Term(SECURITY + "scopes"),
        "response": Term(FORM + "returns"),
        "additionalResponses": Term(FORM + "additionalReturns"),
        "success": Term(FORM + "isSuccess"),
        "schema": Term(FORM + "hasAdditionalOutputSchema"),
    },
    _words(
        TD,
        "readProperty writeProperty observeProperty unobserveProperty invokeAction queryAction cancelAction "
        "subscribeEvent unsubscribeEvent readAllProperties writeAllProperties readMultipleProperties "
        "writeMultipleProperties observeAllProperties unobserveAllProperties subscribeAllEvents "
        "unsubscribeAllEvents queryAllActions",
    ),
)
_SECURITY = Scope(
    {
        "scheme": Term(PREFIXES["rdf"] + "type", "class"),
        **_same(SECURITY, "in name scopes flow qop alg format identity oneOf allOf"),
        **{name: Term(SECURITY + name, "typed", URI) for name in ("proxy", "authorization", "token", "refresh")},
    },
    _words(SECURITY, "Auto Combo Basic Digest APIKey Bearer PSK OAuth2", "SecurityScheme")
    | {"nosec": SECURITY + "NoSecurityScheme"},
)
_INSIDE = {"data": _DATA, "link": _LINK, "form": _FORM, "security": _SECURITY}
_KNOWN: dict[tuple[str, ...], Scope] = {}
ROOT_TERMS = frozenset(_THING.terms) | {"id"}


def scope(*inside: str) -> Scope:
    """The terms of a place: those of the thing, then of each of `inside`, the last one counting most."""
    if inside not in _KNOWN:
        terms, words = dict(_THING.terms), dict(_THING.words)
        for name in inside:
            terms.update(_INSIDE[name].terms)
            words.update(_INSIDE[name].words)
        _KNOWN[inside] = Scope(terms, words)
    return _KNOWN[inside]


def context() -> dict[str, Any]:
    """The same as a context of JSON-LD 1.1, for those who process a document by themselves."""
    inside = {
        name: {term: _written(meant, {}) for term, meant in part.terms.items()} | part.words
        for name, part in _INSIDE.items()
    }
    terms = {name: _written(term, inside) for name, term in _THING.terms.items() if name != "@type"}
    return {"@version": 1.1, "id": "@id", **KNOWN_PREFIXES, **terms, **_THING.words}


def _written(term: Term, inside: dict[str, Any]) -> Any:
    if term.reads == "class":
        return "@type"
    written: dict[str, Any] = {"@id": term.iri}
    if term.reads == "map":
        written |= {"@container": "@index", "@index": term.name}
    if term.reads == "languages":
        written["@container"] = "@language"
    if term.reads == "word":
        written["@type"] = "@vocab"
    if term.datatype:
        written["@type"] = term.datatype
    if term.scope and inside:
        written["@context"] = inside[term.scope]
    return written
