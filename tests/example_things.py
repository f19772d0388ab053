"""Thing Descriptions of ours for tests: each uses another part of W3C's TD 1.1."""

import copy
from typing import Any

from coordinator.semantics import things
from tegu.thing import announce

Json = dict[str, Any]
TD_1_1, TD_1_0 = "https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2019/wot/td/v1"
OPEN = {"securityDefinitions": {"open": {"scheme": "nosec"}}, "security": "open"}
LAMP: Json = {
    "@context": TD_1_1,
    "id": "urn:dev:lamp-1",
    "title": "Desk lamp",
    "description": "Left of the window",
    **OPEN,
    "properties": {
        "on": {"type": "boolean", "observable": True, "forms": [{"href": "coap://lamp.example/on"}]},
        "level": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "unit": "percent",
            "default": 50,
            "forms": [{"href": "coap://lamp.example/level", "op": ["readproperty", "writeproperty"]}],
        },
    },
    "actions": {
        "fade": {
            "input": {
                "type": "object",
                "properties": {"to": {"type": "integer"}, "seconds": {"type": "number", "exclusiveMinimum": 0}},
                "required": ["to"],
            },
            "output": {"type": "null"},
            "idempotent": True,
            "forms": [{"href": "coap://lamp.example/fade", "op": "invokeaction", "contentType": "application/cbor"}],
        }
    },
    "events": {
        "hot": {
            "data": {"type": "number", "unit": "Cel"},
            "subscription": {"type": "object"},
            "forms": [{"href": "coap://lamp.example/hot", "op": "subscribeevent", "subprotocol": "longpoll"}],
        }
    },
}
COMPOSED: Json = {
    "@context": [TD_1_0, TD_1_1],
    "id": "urn:dev:ceiling",
    "title": "Ceiling",
    "@type": "Thing",
    **OPEN,
    "version": {"instance": "1.2.0", "model": "1.0.0"},
    "created": "2026-03-01T12:00:00Z",
    "support": "mailto:house@example.org",
    "base": "https://house.example/",
    "links": [
        {"rel": "item", "href": "urn:dev:lamp-1"},
        {"rel": "type", "href": "https://house.example/ceiling.tm.json", "type": "application/tm+json"},
        {"rel": "icon", "href": "icon.png", "sizes": "16x16 32x32"},
        {"rel": "service-doc", "href": "manual", "hreflang": ["en", "de-AT"]},
    ],
    "forms": [{"href": "all", "op": ["readallproperties", "writeallproperties"]}],
}
VARIABLES: Json = {
    "@context": [TD_1_1],
    "id": "urn:dev:weather",
    "title": "Weather",
    "security": ["key", "login"],
    "securityDefinitions": {
        "key": {"scheme": "apikey", "in": "uri", "name": "token"},
        "name": {"scheme": "basic"},
        "digest": {"scheme": "digest", "qop": "auth-int", "in": "header"},
        "login": {"scheme": "combo", "oneOf": ["name", "digest", "flow"]},
        "flow": {
            "scheme": "oauth2",
            "flow": "code",
            "authorization": "https://login.example/",
            "token": "https://login.example/token",
            "scopes": ["read"],
        },
        "shared": {"scheme": "psk", "identity": "weather"},
        "bearer": {"scheme": "bearer", "format": "jwt", "alg": "ES256", "authorization": "https://login.example/"},
        "own": {"scheme": "ace:ACESecurityScheme"},
    },
    "uriVariables": {"days": {"type": "integer", "minimum": 1}},
    "schemaDefinitions": {"problem": {"type": "object", "properties": {"why": {"type": "string"}}}},
    "properties": {
        "forecast": {
            "type": "array",
            "items": [{"type": "number"}, {"type": "string", "enum": ["rain", "sun"]}],
            "minItems": 2,
            "uriVariables": {"place": {"type": "string", "pattern": "^[a-z]+$"}},
            "readOnly": True,
            "forms": [
                {
                    "href": "https://weather.example/{place}{?days,token}",
                    "security": "own",
                    "response": {"contentType": "application/json"},
                    "additionalResponses": [{"success": False, "contentType": "text/plain", "schema": "problem"}],
                }
            ],
        }
    },
}
LANGUAGES: Json = {
    "@context": [TD_1_1, {"@language": "de"}],
    "id": "urn:dev:door",
    "title": "Tür",
    "titles": {"de": "Tür", "en": "Door", "zh-Hans": "门"},
    "descriptions": {"ar": "باب"},
    **OPEN,
    "properties": {"open": {"title": "Offen", "type": "boolean", "forms": [{"href": "https://door.example/open"}]}},
}
EXTENDED: Json = {
    "@context": [
        TD_1_1,
        {"saref": "https://saref.etsi.org/core/", "om": "http://www.ontology-of-units-of-measure.org/resource/om-2/"},
        {"geo": "http://www.w3.org/2003/01/geo/wgs84_pos#", "near": "saref:isNear", "gr": "http://purl.org/gr#"},
    ],
    "id": "urn:dev:meter",
    "title": "Meter",
    "@type": ["Thing", "saref:Meter"],
    **OPEN,
    "geo:lat": 50.5,
    "near": {"@id": "urn:dev:lamp-1"},
    "saref:hasPart": [{"@type": "saref:Sensor", "saref:count": [1, [2]]}, {"@value": "x", "@language": "en"}],
    "gr:made": {"@value": "2026-01-01", "@type": "http://www.w3.org/2001/XMLSchema#date"},
    "nobody": "knows this",
    "properties": {
        "power": {
            "@type": "saref:Power",
            "type": "number",
            "unit": "om:watt",
            "forms": [{"href": "https://m.example/p", "htv:methodName": "GET"}],
        }
    },
}
EXAMPLES = {"lamp": LAMP, "composed": COMPOSED, "variables": VARIABLES, "languages": LANGUAGES, "extended": EXTENDED}
BOARD = announce(
    "Room 7",
    "presence",
    {"co2": "ppm", "temperature": "Cel"},
    ram=120_000,
    flash=400_000,
    radio="wifi",
    energy="battery",
    firmware="0.1.0",
    room="b1-2-07",
)


def device() -> Json:
    """What the registry makes of BOARD, a new copy each time."""
    return copy.deepcopy(things.expand("home", "room-7", BOARD))


def changed(document: Json, *changes: tuple[str, Any]) -> Json:
    """A copy with other values at dotted paths; ... removes what is there."""
    found = copy.deepcopy(document)
    for path, value in changes:
        *above, last = path.split(".")
        place: Any = found
        for step in above:
            place = place[int(step) if isinstance(place, list) else step]
        if value is ...:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return found
