"""A registry's service over HTTP: the same methods as registry_folder.Folder has, and plain calls for `tegu deploy`.

W3C WoT Discovery for things, SPARQL 1.1 Protocol for queries, ours for the rest (coordinator/directory).
"""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from pyoxigraph import (
    NamedNode,
    Quad,
    QueryResultsFormat,
    QuerySolutions,
    RdfFormat,
    Triple,
    parse_query_results,
    serialize,
)

from ..registry import plain
from ..semantics.description import Description
from ..semantics.terms import model

PATIENCE_S = 60.0
STATUS = ":status"
TD, ROWS = "application/td+json", "application/sparql-results+json"
EXPORTS = {RdfFormat.TURTLE: "turtle", RdfFormat.TRIG: "trig", RdfFormat.N_QUADS: "nquads"}
Json = dict[str, Any]


class AccessError(Exception):
    """The service cannot be reached, or refuses: a sentence for people."""


class Service:
    """A service. token: empty, it is only read. notes: what the answers lack, for people."""

    def __init__(self, url: str, token: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise AccessError(f"{url!r} is no address; it must be like http://127.0.0.1:8480")
        self._url = url
        self._token = token
        self.notes: list[str] = []

    @cached_property
    def site(self) -> str:
        return str(self.call("GET", "/registry/status")["site"])

    def questions(self) -> list[Json]:
        return list(self.call("GET", "/registry/questions"))

    def ask(self, question: str, **given: str | float) -> list[Json]:
        found = self.call("GET", f"/registry/questions/{_quoted(question)}?{urllib.parse.urlencode(given)}")
        self._note(found.get("cut", ""))
        return list(found["rows"])

    def select(self, text: str) -> list[Json]:
        headers, content = self.request("POST", "/search/sparql", text.encode(), "application/sparql-query", ROWS)
        self._note(headers.get("Tegu-Cut", ""))
        found = parse_query_results(content, QueryResultsFormat.JSON)
        if not isinstance(found, QuerySolutions):
            return [{"answer": bool(found)}]
        names = [variable.value for variable in found.variables]
        return [{name: plain(row[name]) for name in names} for row in found]

    def put_thing(self, document: Json) -> tuple[str, bool]:
        content, id = json.dumps(document).encode(), document.get("id")
        if isinstance(id, str):
            headers, _ = self.request("PUT", f"/things/{_quoted(id)}", content, TD)
            return id, headers[STATUS] == "201"
        headers, _ = self.request("POST", "/things", content, TD)
        return urllib.parse.unquote(headers["Location"].removeprefix("/things/")), True

    def patch_thing(self, id: str, patch: Json) -> None:
        self.request("PATCH", f"/things/{_quoted(id)}", json.dumps(patch).encode(), "application/merge-patch+json")

    def remove_thing(self, id: str) -> None:
        self.request("DELETE", f"/things/{_quoted(id)}")

    def put_model(self, name: str, description: Description) -> str:
        content = json.dumps(asdict(description)).encode()
        self.request("PUT", f"/registry/models/{_quoted(name)}", content, "application/json")
        return model(self.site, name).value

    def put_graphs(self, graphs: Mapping[NamedNode, Sequence[Triple]]) -> None:
        quads = [Quad(t.subject, t.predicate, t.object, name) for name, triples in graphs.items() for t in triples]
        content = serialize(quads, format=RdfFormat.N_QUADS) or b""
        self.request("POST", "/registry/import?name=given", content, "application/n-quads")

    def export(self, form: RdfFormat) -> bytes:
        return self.request("GET", f"/registry/export?format={EXPORTS[form]}", accept="*/*")[1]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """JSON to a path, and the JSON that comes back."""
        content = None if body is None else json.dumps(body).encode()
        return json.loads(self.request(method, path, content, "application/json")[1] or b"null")

    def request(
        self, method: str, path: str, content: bytes | None = None, kind: str = "", accept: str = "application/json"
    ) -> tuple[Mapping[str, str], bytes]:
        """The headers (with STATUS) and the content of the answer. AccessError: it is no success."""
        headers = {"Accept": accept} | ({"Content-Type": kind} if content is not None else {})
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(self._url + path, content, headers, method=method)
        try:
            with OPENER.open(request, timeout=PATIENCE_S) as answer:
                return {**answer.headers, STATUS: str(answer.status)}, answer.read()
        except urllib.error.HTTPError as error:
            raise AccessError(_sentence(error, bool(self._token))) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise AccessError(f"the registry at {self._url} cannot be reached: {why}") from error

    def _note(self, cut: str) -> None:
        if cut:
            self.notes.append(cut)


class _Stay(urllib.request.HTTPRedirectHandler):
    """The token is for this service: it goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _sentence(error: urllib.error.HTTPError, with_token: bool) -> str:
    """Of a problem (RFC 9457) that the service tells; W3C WoT Discovery adds what is wrong with a Thing Description."""
    if error.code in (401, 403):
        missing = "" if with_token else "; it wants a token: --token-file FILE, or TEGU_REGISTRY_TOKEN"
        return f"the registry does not allow it ({error.code}){missing}"
    try:
        told = json.loads(error.read(1 << 20))
        said = str(told.get("detail") or told.get("title") or error.reason)
        faults = [f"{one['field']}: {one['description']}" for one in told.get("validationErrors", [])]
        return "; ".join([said, *faults])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the registry answers {error.code} {error.reason}"
