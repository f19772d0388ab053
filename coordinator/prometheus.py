"""The newest points as Prometheus metrics, over HTTP. Which field becomes which metric is worked out here; no I/O but in `serve`.

Names follow prometheus.io/docs/practices/naming: base units (ms become seconds, percent become a ratio of 0 to 1), the unit last,
_total behind what only grows. A metric has one unit, so each sensor channel of metrics.CHANNELS has a metric of its own.
What a point says of the time since the one before is summed (coordinator.newest).
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .metrics import CHANNELS, MEASUREMENTS, Channel, Field, Point
from .newest import COUNTED, COUNTS, POINTS, SUMS

# fields that another metric says already, or that would not tell of what they are
LEFT_OUT = {
    "device": "version boot",
    "bytes": "model_down update_up telemetry_up model_down_gap update_up_gap telemetry_up_gap",
    "energy": "joules",
    "update": "version behind",
    "event": "version",
    "adaptation": "version",
}
SUBJECTS = {"bytes": "ledger"}
NAMES = {("status", "heard_s"): "heard_timestamp_s", ("round", "round_num"): "num"}
# unit of the table -> how it ends in the table, how in a metric, factor
UNITS = {"s": ("_s", "_seconds", 1.0), "ms": ("_ms", "_seconds", 0.001), "percent": ("_percent", "_ratio", 0.01)}
CHANNEL_UNITS = {
    "ppm": ("_ppm", 1.0),
    "°C": ("_celsius", 1.0),
    "%": ("_ratio", 0.01),
    "lx": ("_lux", 1.0),
    "": ("", 1.0),
}


class Metric(NamedTuple):
    """All samples of one name. kind: gauge or counter. rows: (values of the labels, value)."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    rows: list[tuple[tuple[str, ...], float]]


class Shown(NamedTuple):
    """A field as a metric. labels: the first tags of its point."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    factor: float = 1.0


def _shown(measurement: str, told: Field) -> Shown:
    """The metric of a field of the table."""
    counts = told.name in COUNTS.get(measurement, "").split() + SUMS.get(measurement, "").split()
    same = f"_{told.unit.lower()}" if told.unit else ""
    ending, suffix, factor = UNITS.get(told.unit, (same, same, 1.0))
    stem = f"_{NAMES.get((measurement, told.name), told.name)}".removesuffix(ending).removesuffix("_total")
    name = f"tegu_{SUBJECTS.get(measurement, measurement)}{stem}{suffix}" + ("_total" if counts else "")
    return Shown(name, "counter" if counts else "gauge", told.help, MEASUREMENTS[measurement].tags, factor)


def _table() -> dict[str, dict[str, Shown]]:
    """measurement -> field -> metric, without texts and what is left out."""
    made: dict[str, dict[str, Shown]] = {}
    for measurement, told in MEASUREMENTS.items():
        left_out = LEFT_OUT.get(measurement, "").split()
        made[measurement] = {
            word: _shown(measurement, one)
            for word, one in told.fields.items()
            if one.kind is not str and word not in left_out
        }
        if measurement in COUNTED:
            made[measurement][POINTS] = Shown(COUNTED[measurement], "counter", told.help, told.tags)
    return made


def _channel(channel: str, told: Channel) -> Shown:
    suffix, factor = CHANNEL_UNITS[told.unit]
    says = f"{told.title} as the sensor reads it"
    return Shown(f"tegu_reading_{channel}{suffix}", "gauge", says, ("site", "device"), factor)


TABLE = _table()
OF_CHANNEL = {channel: _channel(channel, told) for channel, told in CHANNELS.items()}


def metrics(points: Iterable[Point]) -> list[Metric]:
    """The newest point of each measurement and tags, as metrics in the order of their names."""
    made: dict[str, Metric] = {}
    for point in points:
        shown_of = TABLE[point.measurement]
        for word, value in point.fields.items():
            shown = shown_of.get(word)
            if point.measurement == "reading":
                shown = OF_CHANNEL.get(point.tags[2], shown)
            if shown is None or isinstance(value, str):
                continue
            metric = made.get(shown.name)
            if metric is None:
                metric = made[shown.name] = Metric(shown.name, shown.kind, shown.help, shown.labels, [])
            metric.rows.append((point.tags[: len(shown.labels)], value * shown.factor))
    return [made[name] for name in sorted(made)]


class Served:
    """A running HTTP server."""

    def __init__(self, server: Any, thread: threading.Thread) -> None:
        self.port: int = server.server_port
        self._server, self._thread = server, thread

    def close(self) -> None:
        """Answer nobody any more. Back when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def require() -> None:
    """ValueError with what to install if prometheus-client is missing."""
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise ValueError("prometheus needs a package: pip install 'tegu[prometheus]'") from None


def serve(address: str, newest: Callable[[], Iterable[Point]]) -> Served:
    """Answer GET at ADDRESS:PORT (port 0: a free one) with the points that `newest` gives, called once for each scrape.

    ValueError: prometheus-client is missing. OSError: the address cannot be listened on, in a sentence that names it.
    """
    require()
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    class Collected:
        def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
            for metric in metrics(newest()):
                family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                made = family(metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.rows:
                    made.add_metric(labels, value)
                yield made

    host, _, port = address.rpartition(":")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    try:
        return Served(*start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry))
    except OSError as error:
        raise OSError(f"cannot serve Prometheus at {address}: {error.strerror or error}") from error
