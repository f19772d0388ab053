"""Texts of queries in InfluxQL, checked against the table of measurements while the dashboards are built.

A query is written as text, so that it can be tried by hand; `checked` reads every name in double quotes and refuses one
that no measurement of the query has. Only InfluxQL, which InfluxDB 1.x, 2.x (with DBRP) and 3 answer; no Flux.
Tables are grouped by one tag at most: one of Grafana's two parsers mixes up the columns of several.
"""

import re

from coordinator.metrics import MEASUREMENTS

# Everything about the sites and models that are chosen above a dashboard; .* when all are.
SCOPE = '"site" =~ /^${site:regex}$/ AND "model" =~ /^${model:regex}$/'
# And of the devices, where they can be chosen.
CHOSEN = SCOPE + ' AND "device" =~ /^${device:regex}$/'
# One device, whichever model it is in: readings have no model.
ONE = '"site" =~ /^${site:regex}$/ AND "device" = \'${device}\''
# How things stood when the chosen time ends. Who is watched is written down once an hour at least.
LATEST = "time > ${__to}ms - 3h AND time <= ${__to}ms"
# The same for what only a device tells, which may sleep or be silent for long.
LATEST_TOLD = "time > ${__to}ms - 7d AND time <= ${__to}ms"

_NAME = re.compile(r'"([^"]*)"')
_FROM = re.compile(r'\bFROM "([^"]+)"')
_ALIAS = re.compile(r'\bAS "([^"]+)"')


def checked(text: str) -> str:
    """The query on one line. ValueError names a measurement, field or tag that is not in the table of measurements."""
    text = " ".join(text.split())
    read = _FROM.findall(text)
    known = set(_ALIAS.findall(text)) | set(read)
    for name in read:
        if name not in MEASUREMENTS:
            raise ValueError(f"no measurement {name!r} in: {text}")
        known.update(MEASUREMENTS[name].fields, MEASUREMENTS[name].tags)
    if not read:
        raise ValueError(f"no measurement in: {text}")
    for name in _NAME.findall(text):
        if name not in known:
            raise ValueError(f"{' and '.join(read)} has no {name!r}, asked for in: {text}")
    return text


def summed(measurement: str, field: str, scope: str, moment: str, window: str = "") -> str:
    """A field of a measurement that is written per model, added up over the models: the last value of each window.

    window: like time($__interval); without it one value of the whole time. One field a query: InfluxDB 1.6 takes 50
    times as long for six fields in a subquery as for one.
    """
    by = f"{window}, " if window else ""
    inner = f'SELECT last("{field}") AS "{field}" FROM "{measurement}" WHERE {moment} AND {scope} '
    inner += f'GROUP BY {by}"site", "model"{" fill(none)" if window else ""}'
    text = f'SELECT sum("{field}") AS "{field}" FROM ({inner})'
    return text + (f" WHERE {moment} GROUP BY {window} fill(null)" if window else "")


def over_time(what: str, measurement: str, scope: str, by: str = "", fill: str = "null") -> str:
    """A value for each window of the chosen time, null where there is none; by: tags, each a line of its own.

    A line bridges nulls up to a limit (see panels), so that a pause shows whatever the length of a window is.
    """
    more = "".join(f', "{tag}"' for tag in by.split())
    group = f"GROUP BY time($__interval){more} fill({fill})"
    return f'SELECT {what} FROM "{measurement}" WHERE $timeFilter AND {scope} {group}'


def at_end(what: str, measurement: str, scope: str, moment: str = LATEST, by: str = "") -> str:
    """How it was when the chosen time ends; by: one tag, each of its values a row."""
    return f'SELECT {what} FROM "{measurement}" WHERE {moment} AND {scope}' + (f' GROUP BY "{by}"' if by else "")


def in_all(what: str, measurement: str, scope: str, by: str = "") -> str:
    """One value of the whole chosen time; by: one tag, each of its values a row."""
    return f'SELECT {what} FROM "{measurement}" WHERE $timeFilter AND {scope}' + (f' GROUP BY "{by}"' if by else "")
