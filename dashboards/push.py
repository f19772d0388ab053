"""Puts the dashboards and alert rules into a running Grafana, by its HTTP API. Doing it again changes nothing.

GrafanaError is one sentence that says whose fault it is. Only this module needs the package grafana-client.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import niquests
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException

from . import alerts, queries

OLDEST = 11
FOLDER_UID = "tegu"
ANSWER_S = 15.0


class GrafanaError(Exception):
    """What Grafana would not do, or that it could not be asked."""


@dataclass(frozen=True)
class Database:
    """An InfluxDB that Grafana shall ask. bucket: of InfluxDB 2 (mapped as a database), or the database of 1.x.

    token: of InfluxDB 2; or user:password of 1.x; or empty.
    """

    url: str
    bucket: str
    token: str = ""

    def settings(self) -> dict[str, Any]:
        """The datasource as the API takes it."""
        data = {"version": "InfluxQL", "dbName": self.bucket, "httpMode": "POST"}
        made: dict[str, Any] = {"name": "Tegu", "uid": alerts.SOURCE_UID, "type": "influxdb", "access": "proxy"}
        user, colon, password = self.token.partition(":")
        if colon:
            made |= {"user": user, "secureJsonData": {"password": password}}
        elif self.token:
            data["httpHeaderName1"] = "Authorization"
            made["secureJsonData"] = {"httpHeaderValue1": f"Token {self.token}"}
        return made | {"url": self.url, "jsonData": data}


class Grafana:
    """A Grafana, asked with the token of a service account that may edit dashboards, folders and alert rules."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GrafanaError(f"{url!r} is no address of a Grafana: http://HOST:3000 or https://...")
        path = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self.url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        self._api: Any = GrafanaApi.from_url(self.url, token, timeout=ANSWER_S)

    def push(self, database: Database | None, source_uid: str, rules: bool, told: Callable[[str], None]) -> None:
        """All of it, in the order in which the parts need each other. told: is given one line for each."""
        told(f"Grafana {self._version()} at {self.url}")
        told(f"folder {self._folder()}")
        source = self._created(database) if database else self._found(source_uid)
        told(f"datasource {source['name']} (uid {source['uid']})")
        for name in queries.names():
            told(f"dashboard {self._dashboard(queries.read(name), source)}")
        if rules:
            told(f"{self._rules(source['uid'])} alert rules")

    def _version(self) -> str:
        with self._asking("its version"):
            version = str(self._api.version)
        number = version.partition(".")[0]
        if not number.isdecimal() or int(number) < OLDEST:
            raise GrafanaError(f"Grafana {version} is too old: these dashboards need {OLDEST} or newer")
        return version

    def _folder(self) -> str:
        with self._asking("the folder"):
            if self._or_none(self._api.folder.get_folder, FOLDER_UID) is None:
                self._api.folder.create_folder(alerts.FOLDER, FOLDER_UID)
        return alerts.FOLDER

    def _created(self, database: Database) -> dict[str, Any]:
        wanted = database.settings()
        with self._asking("the datasource"):
            if self._or_none(self._api.datasource.get_datasource_by_uid, wanted["uid"]) is None:
                self._api.datasource.create_datasource(wanted)
            else:
                self._api.datasource.update_datasource_by_uid(wanted["uid"], wanted)
        return wanted

    def _found(self, uid: str) -> dict[str, Any]:
        """The datasource of this uid; without one the only InfluxDB there is."""
        with self._asking("the datasources"):
            there = [each for each in self._api.datasource.list_datasources() if each["type"] == "influxdb"]
        fit = [each for each in there if each["uid"] == uid] if uid else there
        if len(fit) == 1:
            return dict(fit[0])
        known = ", ".join(f"{each['uid']} ({each['name']})" for each in there) or "none"
        wanted = f"no InfluxDB datasource has the uid {uid}" if uid else "say which datasource"
        raise GrafanaError(f"{wanted}: --datasource UID or --influxdb ADDRESS; there are: {known}")

    def _dashboard(self, dashboard: dict[str, Any], source: dict[str, Any]) -> str:
        made = copy.deepcopy(dashboard)
        for variable in made["templating"]["list"]:
            if variable["type"] == "datasource":
                variable["current"] = {"text": source["name"], "value": source["uid"], "selected": True}
        body = {"dashboard": made, "folderUid": FOLDER_UID, "overwrite": True, "message": "tegu dashboards push"}
        with self._asking(f"the dashboard {made['uid']}"):
            answer = self._api.dashboard.update_dashboard(body)
        return f"{made['title']}: {self.url.rstrip('/')}{answer.get('url', '')}"

    def _rules(self, source_uid: str) -> int:
        group = alerts.group_of(FOLDER_UID, source_uid)
        with self._asking("the alert rules"):
            self._api.alertingprovisioning.update_rule_group(FOLDER_UID, alerts.GROUP, group, disable_provenance=True)
        return len(alerts.RULES)

    @staticmethod
    def _or_none(ask: Callable[[str], Any], uid: str) -> Any:
        """What there is of this uid, or None."""
        try:
            return ask(uid)
        except GrafanaClientError as error:
            if error.status_code == 404:
                return None
            raise

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Errors of the library as one sentence."""
        try:
            yield
        except GrafanaException as error:
            raise GrafanaError(f"{self.url}: {what}: {_sentence(error)}") from error
        except (niquests.exceptions.RequestException, OSError) as error:
            raise GrafanaError(f"no Grafana answers at {self.url} ({type(error).__name__}): is it running?") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GrafanaError(f"what answers at {self.url} is no Grafana: {what}: {error!r}") from error


def _sentence(error: GrafanaException) -> str:
    if error.status_code == 401:
        return "it does not know this token (401); make one for a service account, and look at --token-file"
    if error.status_code == 403:
        return "this token may not do that (403); its service account needs the role Editor, with --influxdb Admin"
    return str(error.message)
