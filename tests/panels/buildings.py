"""Buildings that never were, in a real InfluxDB: each in a database of its own, as the monitor would have written."""

import json
import urllib.error
import urllib.parse
from itertools import islice
from typing import Any

from coordinator.metrics import line
from tests.building_points import Building, points
from tests.panels.browser import Ask
from tests.timeseries import RunningInflux

BATCH = 20_000  # points a request


def fill(influxdb: RunningInflux, building: Building, database: str) -> None:
    """Write all that the building tells into a new database of this name."""
    influxdb.create(database)
    lines = map(line, points(building))
    while batch := list(islice(lines, BATCH)):
        influxdb.get(f"/write?db={database}", "\n".join(batch).encode())


def answers(influxdb: RunningInflux, database: str) -> Ask:
    """A function that asks InfluxDB as Grafana's server does, and hands on its words also where it refuses."""

    def ask(text: str) -> dict[str, Any]:
        asked = urllib.parse.urlencode({"db": database, "q": text, "epoch": "ms"})
        try:
            return dict(json.loads(influxdb.get(f"/query?{asked}")))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    return ask
