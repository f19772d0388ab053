"""Conditions on devices as people write them, and as SPARQL: `room type = office, has CO2, battery >= 30 %`.

    condition  = part, separated by `,` or `and`
    part       = `has` [`no`] sensor | field operator value
    operator   = `=` `!=` `<` `<=` `>` `>=`

A sensor is named by its channel (co2), its kind (Thermometer) or its label (light sensor); FIELDS are below; a number may have
a unit: 64 kB (1000 bytes), 64 KiB, 2 MB, 30 %. Words are compared without regard to case. A device of which a value is not
known is never selected by a condition on it. Whoever needs more writes a whole query, which begins with SELECT and gives ?device.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyoxigraph import Literal, NamedNode

from ..registry import Registry, Row
from .terms import KINDS, short, term

FIELDS = {  # word -> (pattern that binds ?value, whether it is a number)
    "device": ('?device a tegu:Device BIND(REPLACE(STR(?device), "^.*:", "") AS ?value)', False),
    "title": ("?device schema:name ?value", False),
    "room": ('?device tegu:room ?room . BIND(REPLACE(STR(?room), "^.*:", "") AS ?value)', False),
    "room type": ("?device tegu:room/tegu:roomType ?value", False),
    "floor": ("?device tegu:room/tegu:floor ?value", False),
    "building": ("?device tegu:room/tegu:building ?value", False),
    "radio": ("?device tegu:radio ?value", False),
    "energy": ("?device tegu:energySource ?value", False),
    "firmware": ("?device tegu:firmware ?value", False),
    "state": ("?device tegu:state ?value", False),
    "model": ('?device tegu:takesPart ?model . BIND(REPLACE(STR(?model), "^.*:", "") AS ?value)', False),
    "runs": ('?device tegu:runs ?model . BIND(REPLACE(STR(?model), "^.*:", "") AS ?value)', False),
    "ram": ("?device tegu:ramBytes ?value", True),
    "flash": ("?device tegu:flashBytes ?value", True),
    "heap": ("?device tegu:heapBytes ?value", True),
    "battery": ("?device tegu:batteryPercent ?value", True),
    "version": ("?device tegu:inHand/tegu:versionNumber ?value", True),
    "shape hash": ("?device tegu:inHand/tegu:shapeHash ?value", True),
}
UNITS = {"": 1, "%": 1, "b": 1, "bytes": 1, "kb": 1000, "mb": 1_000_000, "kib": 1024, "mib": 1 << 20}
PART = re.compile(r"^(?P<field>[a-z][a-z ]*?)\s*(?P<operator>!=|<=|>=|=|<|>)\s*(?P<value>.+)$", re.IGNORECASE)
SENSOR = re.compile(r"^has\s+(?P<no>no\s+)?(?P<sensor>.+?)$", re.IGNORECASE)
NUMBER = re.compile(r"^(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>%|[a-zA-Z]*)$")
Foreign = Callable[[str], list[Row]]  # a whole query -> its rows
LONGEST = 1000  # characters of a condition
DEVICES = "?device a tegu:Device . FILTER NOT EXISTS { ?device tegu:quarantined ?quarantine }"


@dataclass(frozen=True)
class Condition:
    """One part. pattern: SPARQL about ?device; value: what binds ?value, to say why not; told: the part in words."""

    pattern: str
    value: str
    told: str

    @property
    def group(self) -> str:
        """The pattern, to stand beside others."""
        return f"{{ SELECT ?device {{ {self.pattern} }} }}" if self.value else f"{self.pattern} ."


def kinds(registry: Registry) -> dict[str, NamedNode]:
    """What people may call a kind of sensor, in lower case: every kind that the graph knows."""
    known = {channel: term(kind) for channel, kind in KINDS.items()}
    rows = registry.select(
        """SELECT DISTINCT ?kind ?label ?channel {
            { ?kind rdfs:subClassOf sosa:Sensor } UNION { ?device tegu:sensor ?kind } UNION { ?model tegu:needsSensor ?kind }
            OPTIONAL { ?kind rdfs:label ?label } OPTIONAL { ?kind tegu:channel ?channel } }"""
    )
    for row in rows:
        kind = NamedNode(row["kind"])
        name = re.split(r"[/#:]", row["kind"])[-1].removeprefix("sensor-")
        for word in (name, row["label"], row["channel"]):
            if word:
                known.setdefault(word.lower(), kind)
                known.setdefault(f"{word.lower()} sensor", kind)
    return known


def parse(text: str, known: Mapping[str, NamedNode]) -> list[Condition]:
    """The conditions in text; [] if it is empty. known: see kinds(). ValueError: what is wrong and what there is."""
    if len(text) > LONGEST:
        raise ValueError(f"a condition has at most {LONGEST} characters, not {len(text)}")
    parts = [part.strip() for part in re.split(r",|\band\b", text, flags=re.IGNORECASE)] if text.strip() else []
    return [_condition(part, known) for part in parts]


def _condition(part: str, known: Mapping[str, NamedNode]) -> Condition:
    if not part:
        raise ValueError("a condition is empty: two commas, or a comma at the end?")
    found = SENSOR.match(part)
    if found is not None:
        return _sensor(found["sensor"].strip(), bool(found["no"]), known)
    found = PART.match(part)
    if found is None:
        raise ValueError(
            f"{part!r} is no condition: write `has SENSOR` or `FIELD = VALUE`, FIELD being {', '.join(FIELDS)}"
        )
    wanted = found["value"].strip().strip("'\"")
    if wanted.startswith("=") or re.search(r"\bor\b", wanted, re.IGNORECASE):
        raise ValueError(f"{part!r}: write one `=`, and parts that must all hold with commas between; there is no `or`")
    field = re.sub(r"\s+", " ", found["field"].lower())
    if field not in FIELDS:
        raise ValueError(f"no field {field!r}; there are {', '.join(FIELDS)}")
    value, is_number = FIELDS[field]
    operator = found["operator"]
    if is_number:
        return Condition(
            f"{value} FILTER(?value {operator} {_number(wanted, field)})", value, f"{field} {operator} {wanted}"
        )
    if operator not in ("=", "!="):
        raise ValueError(f"{field} is a word: compare it by = or !=, not by {operator}")
    literal = Literal(wanted.lower())
    return Condition(f"{value} FILTER(LCASE(STR(?value)) {operator} {literal})", value, f"{field} {operator} {wanted}")


def _sensor(word: str, absent: bool, known: Mapping[str, NamedNode]) -> Condition:
    kind = known.get(word.lower())
    if kind is None:
        raise ValueError(f"no sensor {word!r} is known; there are {', '.join(sorted(known))}")
    pattern = f"?device tegu:sensor {kind}"
    if absent:
        return Condition(f"FILTER NOT EXISTS {{ {pattern} }}", "", f"has no {word}")
    return Condition(pattern, "", f"has {word}")


def _number(word: str, field: str) -> str:
    found = NUMBER.match(word)
    if found is None or found["unit"].lower() not in UNITS:
        raise ValueError(f"{field} must be compared with a number, such as 64 kB or 30 %, not {word!r}")
    number = float(found["number"]) * UNITS[found["unit"].lower()]
    return f"{number:.0f}" if number == int(number) else f"{number:.6f}"


def pattern(conditions: Sequence[Condition]) -> str:
    """All of them as SPARQL about ?device, of devices that are not in quarantine; no other variable is seen outside."""
    return " ".join([DEVICES, *(condition.group for condition in conditions)])


def select(registry: Registry, text: str, needs: str = "", foreign: Foreign | None = None) -> list[str]:
    """The IRIs of the devices that a condition, or a whole query, selects. needs: more SPARQL about ?device.

    foreign: answers a whole query, with limits; None: the graph itself does. Whatever a query selects, a device in quarantine, or one
    that does not meet the needs, is not among them. ValueError: it cannot be read.
    """
    conditions = [] if is_query(text) else parse(text, kinds(registry))
    rows = registry.select(f"SELECT DISTINCT ?device {{ {pattern(conditions)} {needs} }}")
    found = {row["device"] for row in rows}
    return sorted(found & _queried(registry, text, foreign) if is_query(text) else found)


def _queried(registry: Registry, text: str, foreign: Foreign | None) -> set[str]:
    try:
        rows = registry.select(text) if foreign is None else foreign(text)
    except SyntaxError as error:
        raise ValueError(f"the query cannot be read: {error}") from error
    if rows and "device" not in rows[0]:
        raise ValueError("the query must give ?device")
    return {row["device"] for row in rows if isinstance(row["device"], str)}


def is_query(text: str) -> bool:
    """Whether this is a whole SPARQL query."""
    return re.match(r"\s*(#.*\n\s*)*(PREFIX|BASE|SELECT)\b", text, re.IGNORECASE) is not None


def why_not(registry: Registry, device: NamedNode, conditions: Sequence[Condition]) -> str:
    """The first condition that does not hold of a device, in words; empty if all do."""
    if not registry.select("SELECT ?device { ?device a tegu:Device }", device=device):
        return "it is not in the registry"
    for condition in conditions:
        if registry.select(f"SELECT ?device {{ {condition.pattern} }}", device=device):
            continue
        if not condition.value:
            return f"{condition.told} is wanted"
        rows = registry.select(f"SELECT ?device ?value {{ {condition.value} }}", device=device)
        has = ", ".join(sorted({_told(row["value"]) for row in rows}))
        return f"{condition.told} is wanted, and it is {has or 'not known'}"
    return ""


def _told(value: object) -> str:
    return short(value) if isinstance(value, str) and ":" in value else str(value)
