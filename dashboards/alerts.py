"""Alert rules: what is asked, how often, and when it is too much. Plain values, for files and for Grafana's API alike.

Limits that the monitor has too come from coordinator.trouble. A rule asks with InfluxQL (A), takes the last number of
each series (B) and compares it (C); the series' tags become the alert's labels, so that there is one alert a device.
"""

from typing import NamedTuple

from coordinator import trouble
from coordinator.metrics import BYTE_CLASSES, STATES

from .influxql import checked

FOLDER, GROUP, GROUP_S, SOURCE_UID = "Tegu", "tegu", 60, "tegu"
HOUR_S = 3600
_DEVICE = "{{ $labels.device }}"
_OF_DEVICE = ' WHERE $timeFilter GROUP BY "site", "device"'
_OF_COORDINATOR = ' WHERE $timeFilter GROUP BY "site", "model"'


class Rule(NamedTuple):
    """One rule. way and limit: when C fires (gt, lt). window_s: how far back A looks. lasting: before it is told.

    page: of the dashboard that the alert leads to. absent: what no data at all means (OK, Alerting).
    """

    name: str
    title: str
    query: str
    way: str
    limit: float
    window_s: int
    lasting: str
    severity: str
    summary: str
    help: str
    page: str = "device"
    absent: str = "OK"


def _mismatch() -> str:
    """Gaps of devices that lost more than GAP_BYTES and more than GAP_PERCENT of what they sent and received."""
    names = [f"{name}_device" for name in BYTE_CLASSES]
    sums = ", ".join(f'last("{name}") AS "{name}"' for name in names)
    traffic = " + ".join(f'"{name}"' for name in names)
    inner = f'SELECT last("gap") AS "gap", {sums} FROM "bytes"{_OF_DEVICE}'
    worst = f'"gap" > {trouble.GAP_BYTES} AND "gap" * 100 > {trouble.GAP_PERCENT:g} * ({traffic})'
    return f'SELECT "gap" FROM ({inner}) WHERE {worst} GROUP BY "site", "device"'


def _more(field: str) -> str:
    """By how much a count grew that begins anew when the coordinator does."""
    inner = f'SELECT non_negative_difference("{field}") AS "more" FROM "coordinator"{_OF_COORDINATOR}'
    return f'SELECT sum("more") FROM ({inner}) GROUP BY "site", "model"'


RULES = (
    Rule(
        "silent", "Device silent", f'SELECT last("state_code") FROM "status"{_OF_DEVICE}',
        "gt", STATES["silent"] - 0.5, 3 * HOUR_S, "5m", "critical",
        f"{_DEVICE} is silent", "It was ready or due to wake, and was not heard: power, link or firmware.",
    ),
    Rule(
        "restarts", "Device starts again and again", f'SELECT last("starts") FROM "status"{_OF_DEVICE}',
        "gt", trouble.STARTS_A_DAY_BAD - 0.5, 3 * HOUR_S, "0s", "critical",
        f"{_DEVICE} has started {{{{ $values.B }}}} times in 24 hours", "Its supply, its memory or its firmware.",
    ),
    Rule(
        "stale", "Version stale",
        'SELECT last("behind") FROM "status" WHERE $timeFilter AND "state" = \'ready\' GROUP BY "site", "device"',
        "gt", trouble.BEHIND_VERSIONS, 3 * HOUR_S, "10m", "warning",
        f"{_DEVICE} is {{{{ $values.B }}}} versions behind", "It takes part and does not fetch new initializations.",
    ),
    Rule(
        "diverging", "Loss diverging", f'SELECT mean("loss_after") / mean("loss_before") FROM "device"{_OF_DEVICE}',
        "gt", trouble.WORSE_BY, 3 * HOUR_S, "15m", "warning",
        f"Learning makes {_DEVICE} worse", "Its loss is higher after its own samples: sensor, labels or step size.",
        "convergence",
    ),
    Rule(
        "ledger", "Ledger mismatch", _mismatch(),
        "gt", 0, 24 * HOUR_S, "10m", "warning",
        f"{{{{ $values.B }}}} bytes of {_DEVICE} do not add up", "The two counts differ: messages are lost.",
        "communication",
    ),
    Rule(
        "battery", "Battery low", f'SELECT last("battery_percent") FROM "device"{_OF_DEVICE}',
        "lt", trouble.BATTERY_PERCENT, 24 * HOUR_S, "30m", "warning",
        f"The battery of {_DEVICE} is at {{{{ $values.B }}}} percent", "It wants a new battery or a charge.",
    ),
    Rule(
        "spool", "Spool filling", f'SELECT last("spool_percent") FROM "coordinator"{_OF_COORDINATOR}',
        "gt", 50, HOUR_S, "5m", "warning",
        "{{ $values.B }} percent of the spool are full", "A database is away; at 100 percent the oldest points go.",
        "coordinator",
    ),
    Rule(
        "lost", "Points lost", _more("lost_points"),
        "gt", 0, HOUR_S, "0s", "critical",
        "{{ $values.B }} points were lost", "They had no room, in memory or on disk.",
        "coordinator",
    ),
    Rule(
        "rejected", "Points rejected", _more("rejected_points"),
        "gt", 0, HOUR_S, "0s", "warning",
        "{{ $values.B }} points were rejected", "A database would not take them; the coordinator's log says why.",
        "coordinator",
    ),
    Rule(
        "coordinator", "Coordinator does not write", 'SELECT count("epoch") FROM "coordinator" WHERE $timeFilter',
        "lt", 1, 15 * 60, "5m", "critical",
        "The coordinator has not written for 15 minutes", "It, its database or the way between them is down.",
        "coordinator", "Alerting",
    ),
)  # fmt: skip


def rule_of(rule: Rule, source_uid: str = SOURCE_UID) -> dict[str, object]:
    """The rule as Grafana's files have it; the API wants some more."""
    link = f"{{{{ externalURL }}}}d/tegu-{rule.page}/{rule.page}"
    if "$labels.device" in rule.summary:
        link += "?var-device={{ $labels.device }}"
    return {
        "uid": f"tegu-{rule.name}",
        "title": rule.title,
        "condition": "C",
        "data": [_ask(rule, source_uid), _reduce(), _compare(rule)],
        "noDataState": rule.absent,
        "execErrState": "Error",
        "for": rule.lasting,
        "annotations": {"summary": rule.summary, "description": rule.help, "dashboard": link},
        "labels": {"app": "tegu", "severity": rule.severity},
        "isPaused": False,
    }


def _ask(rule: Rule, source_uid: str) -> dict[str, object]:
    return {
        "refId": "A",
        "relativeTimeRange": {"from": rule.window_s, "to": 0},
        "datasourceUid": source_uid,
        "model": {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": source_uid},
            "query": checked(rule.query),
            "rawQuery": True,
            "resultFormat": "time_series",
            "intervalMs": 60_000,
            "maxDataPoints": 43_200,
        },
    }


def _expression(ref: str, kind: str, of: str, more: dict[str, object]) -> dict[str, object]:
    source = {"type": "__expr__", "uid": "__expr__"}
    model = {"refId": ref, "type": kind, "expression": of, "datasource": source, **more}
    return {"refId": ref, "relativeTimeRange": {"from": 0, "to": 0}, "datasourceUid": "__expr__", "model": model}


def _reduce() -> dict[str, object]:
    return _expression("B", "reduce", "A", {"reducer": "last", "settings": {"mode": "dropNN"}})


def _compare(rule: Rule) -> dict[str, object]:
    return _expression(
        "C", "threshold", "B", {"conditions": [{"evaluator": {"type": rule.way, "params": [rule.limit]}}]}
    )


def provisioned() -> dict[str, object]:
    """The file for Grafana's folder provisioning/alerting."""
    group = {"orgId": 1, "name": GROUP, "folder": FOLDER, "interval": f"{GROUP_S}s"}
    return {"apiVersion": 1, "groups": [{**group, "rules": [rule_of(rule) for rule in RULES]}]}


def group_of(folder_uid: str, source_uid: str) -> dict[str, object]:
    """The same group as the API takes it."""
    more = {"orgID": 1, "folderUID": folder_uid, "ruleGroup": GROUP}
    rules = [rule_of(rule, source_uid) | more for rule in RULES]
    return {"title": GROUP, "folderUid": folder_uid, "interval": GROUP_S, "rules": rules}
