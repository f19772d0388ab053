"""Asks a database the queries of the dashboards' panels, as Grafana would, whoever has filled it.

asked = Panels("http://127.0.0.1:8086", "tegu", Choice(from_ms, to_ms, {"device": ["room-007"]}))
asked.rows("fleet", "Need a visit")            # [{"time": 0, "visit": 1}]
asked.failures()                               # sentences of the database about queries that it does not like
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from dashboards import queries
from dashboards.queries import Choice, Query

ANSWER_S = 60.0
Row = dict[str, Any]


class Panels(NamedTuple):
    """An InfluxDB that answers InfluxQL on /query, and what is chosen above the dashboards."""

    url: str
    database: str
    choice: Choice

    def rows(self, dashboard: str, panel: str, ref: str = "A") -> list[Row]:
        """What the query of a panel (by its title) answers. KeyError if there is no such query."""
        for query in queries.listed(queries.read(dashboard)):
            if (query.panel, query.ref) == (panel, ref):
                return self.asked(queries.filled(query, self.choice))
        raise KeyError(f"{dashboard} has no panel {panel!r} with a query {ref}")

    def every(self) -> list[tuple[str, Query]]:
        """All queries of all dashboards, with the names of theirs."""
        return [(name, query) for name in queries.names() for query in queries.listed(queries.read(name))]

    def failures(self) -> list[str]:
        """Of all queries of panels, variables and marks: what the database says of those that it does not like."""
        said = []
        for name, query in self.every():
            try:
                self.asked(queries.filled(query, self.choice))
            except ValueError as error:
                said.append(f"{name}, {query.panel} {query.ref}: {error}")
        return said

    def asked(self, text: str) -> list[Row]:
        """Rows: columns, and tags where it is grouped by them. Times are in ns. ValueError if it refuses."""
        told = urllib.parse.urlencode({"q": text, "db": self.database, "epoch": "ns"})
        try:
            with urllib.request.urlopen(f"{self.url}/query", told.encode(), timeout=ANSWER_S) as answer:
                (result,) = json.loads(answer.read())["results"]
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error
        if "error" in result:
            raise ValueError(f"{result['error']}: {text}")
        return [
            series.get("tags", {}) | dict(zip(series["columns"], values, strict=True))
            for series in result.get("series", [])
            for values in series["values"]
        ]
