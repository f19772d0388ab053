"""The queries of the generated dashboards, listed and filled in as Grafana would: for tests and figures.

`listed` reads a dashboard's JSON, nothing else; `filled` puts in the time, the window and what is chosen. The rules
are Grafana's: $timeFilter, $__interval and $__interval_ms are put in by its datasource, $name before.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "json"
PIXELS = 1500  # of a wide panel: as many points as a line has, if its panel does not say
# Lengths that Grafana takes for a window, in seconds, each with the window that it then takes; beyond: a day and more.
_WINDOWS = (
    (0.75, 0.5), (1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120),
    (450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (16200, 10800),
    (32400, 21600), (86400, 43200), (604800, 86400), (1814400, 604800),
)  # fmt: skip
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
EVERYTHING = ".*"  # the value of a variable when all is chosen


class Query(NamedTuple):
    """One query of a dashboard. panel: its title; or the name of the variable or mark it is of.

    every: shortest window. points: that a line has at most.
    """

    dashboard: str
    panel: str
    ref: str
    text: str
    kind: str = "panel"  # panel, variable, annotation
    every: str = ""
    table: bool = True
    points: int = PIXELS


@dataclass(frozen=True)
class Choice:
    """What is chosen above a dashboard. values: texts by variable; a variable without one has all its values."""

    from_ms: int
    to_ms: int
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read(name: str) -> dict[str, Any]:
    """A generated dashboard by name, like fleet."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """Of the generated dashboards."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def listed(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Every query of it: of variables, annotations and panels."""
    title = str(dashboard["title"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(title, variable["name"], "", variable["query"], "variable")
    for mark in dashboard["annotations"]["list"]:
        yield Query(title, mark["name"], mark["target"]["refId"], mark["target"]["query"], "annotation")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            table = target["resultFormat"] == "table"
            points = int(panel.get("maxDataPoints", PIXELS))
            every = panel.get("interval", "")
            yield Query(title, panel["title"], target["refId"], target["query"], "panel", every, table, points)


def filled(query: Query, choice: Choice) -> str:
    """Its text as the database gets it."""
    window_s = window(choice, query.every, query.points)
    macros = {
        "timeFilter": f"time >= {choice.from_ms}ms and time <= {choice.to_ms}ms",
        "__interval": in_units(window_s),
        "__interval_ms": str(int(window_s * 1000)),
        "__from": str(choice.from_ms),
        "__to": str(choice.to_ms),
    }

    def put(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        return macros[name] if name in macros else _chosen(choice.values.get(name), found[2])

    return _VARIABLE.sub(put, query.text)


def _chosen(values: Sequence[str] | None, form: str | None) -> str:
    if values is None:
        return EVERYTHING
    if form == "regex":
        escaped = [re.sub(r"([-.*+?^${}()|\[\]/\\])", r"\\\1", value) for value in values]
        return escaped[0] if len(escaped) == 1 else "(" + "|".join(escaped) + ")"
    return ",".join(values)


def window(choice: Choice, every: str = "", points: int = PIXELS) -> float:
    """$__interval in seconds: the time over the points, rounded, at least `every`."""
    wanted = (choice.to_ms - choice.from_ms) / 1000 / points
    rounded = next((taken for limit, taken in _WINDOWS if wanted < limit), 2592000)
    shortest = re.fullmatch(r"(\d+)(ms|s|m|h|d|w)", every) if every else None
    return max(rounded, int(shortest[1]) * _UNITS[shortest[2]] if shortest else 0.001)


def in_units(seconds: float) -> str:
    """Like 30s, 5m, 2h, 1d: in the largest unit that it is a multiple of."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds / _UNITS[unit])}{unit}"
    return f"{int(seconds * 1000)}ms"
