"""Writes lines to an InfluxDB and says in words what became of them.

API 2 (/api/v2/write: InfluxDB 2 and 3, 1.8, VictoriaMetrics) goes through the package influxdb-client, API 1
(/write: every 1.x) through the standard library. Both send gzip, nanoseconds, and wait ANSWER_S for the answer.
The token is read again for each write, so a file that is put right is noticed; it is never logged.
"""

import base64
import contextlib
import gzip
import http.client
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode, urlsplit

from ..settings import InfluxdbApi

ANSWER_S = 10.0
MOST_ANSWER = 1_000_000  # bytes read: 1.x quotes each line that it cannot read
MOST_DETAIL = 500  # letters of it that are logged
LONGEST_PAUSE_S = 300.0  # that a database may ask for
INSTALL = "the package influxdb-client is missing; install it with: pip install 'tegu[influxdb]'"
# A 400 that says none of this is about the request, such as a missing organization: no reason to give points up.
ABOUT_LINES = re.compile("partial write|pars|conflict|line protocol|dropped=|retention", re.IGNORECASE)


class Outcome(NamedTuple):
    """What became of a write. done: it is written. wait: try all of it again, later. split: it was too much at once.
    refused: some or all of it never will be written.

    reason: the rest of a sentence that begins with the database. detail: what the database itself said.
    dropped: lines that it says it refused, having written the others; 0: it does not say. pause_s: that it asks for.
    """

    kind: Literal["done", "wait", "split", "refused"]
    reason: str = ""
    detail: str = ""
    dropped: int = 0
    pause_s: float = 0.0


class Answer(NamedTuple):
    status: int
    text: str
    retry_after: str


class Database:
    """An InfluxDB. where: its name for people. ValueError: no such address or token, or a missing package."""

    def __init__(self, address: str, api: InfluxdbApi, org: str, bucket: str, token_file: str) -> None:
        if not _is_address(address):
            raise ValueError("influxdb must be an address like http://127.0.0.1:8086, without a user or a password")
        if not bucket:
            raise ValueError("bucket must name the bucket of InfluxDB 2, or the database of 1.x")
        self.where = f"InfluxDB at {address}"
        self._api, self._bucket, self._token_file = api, bucket, token_file
        self._post: _Api1 | _Api2 = _Api1(address, bucket) if api == "1" else _Api2(address, org, bucket)
        self._secret()

    def write(self, lines: bytes) -> Outcome:
        """Write lines, separated by line feeds. Does not raise."""
        try:
            return self._judge(self._post(lines, self._secret()))
        except (OSError, http.client.HTTPException) as error:  # before ValueError: a refused certificate is both
            return Outcome("wait", f"does not answer ({_cause(error)})")
        except ValueError as error:
            return Outcome("wait", str(error))

    def close(self) -> None:
        """Nothing is written any more."""
        self._post.close()

    def _secret(self) -> str:
        """What the token file says. ValueError if there is none, or nothing that could be a token."""
        if not self._token_file:
            return ""
        try:
            secret = Path(self._token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"needs its token_file {self._token_file}, which cannot be read: {error}") from None
        if self._api == "1" and ":" not in secret:
            raise ValueError(f"needs user:password in its token_file {self._token_file}")
        if not secret or not secret.isprintable() or (self._api == "2" and not secret.isascii()):
            raise ValueError(f"needs one line with its token in the token_file {self._token_file}")
        return secret

    def _judge(self, answer: Answer) -> Outcome:
        status, told = answer.status, _told(answer.text)
        detail = told[:MOST_DETAIL]
        if 200 <= status < 300:
            return Outcome("done")
        if status == 413:
            return Outcome("split", "takes no batch as large as this (413)", detail)
        if status == 422 or (status == 400 and ABOUT_LINES.search(told)):
            return Outcome("refused", f"does not take a line ({status})", detail, _dropped(told))
        asked_s = float(answer.retry_after) if answer.retry_after.isdecimal() else 0.0
        return Outcome("wait", self._reason(status), detail, pause_s=min(asked_s, LONGEST_PAUSE_S))

    def _reason(self, status: int) -> str:
        """Why it must wait."""
        name = "database" if self._api == "1" else "bucket"
        secret = "user and password" if self._api == "1" else "token"
        if status == 401 and not self._token_file:
            return f"asks for a {secret} (401); name a token_file"
        if status == 401:
            return f"refuses the {secret} in {self._token_file} (401)"
        if status == 403:
            return f"does not allow writing to the {name} {self._bucket} (403)"
        if status == 404:
            hint = ', or is an InfluxDB 1.x that needs influxdb_api = "1"' if self._api == "2" else ""
            return f"has no {name} {self._bucket} (404){hint}"
        if status == 429:
            return "asks for fewer writes (429)"
        if status >= 500:
            return f"cannot write now ({status})"
        return f"does not answer as an InfluxDB ({status})"


class _Api1:
    """POST /write, a connection a write: one that was kept would be found dead after each restart of the database."""

    def __init__(self, address: str, database: str) -> None:
        self._found = urlsplit(address)
        self._path = f"{self._found.path.rstrip('/')}/write?{urlencode({'db': database, 'precision': 'ns'})}"
        secure = self._found.scheme == "https"
        self._connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection

    def __call__(self, lines: bytes, secret: str) -> Answer:
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        if secret:
            headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        host = self._found.hostname or ""
        with contextlib.closing(self._connection(host, self._found.port, timeout=ANSWER_S)) as connection:
            with contextlib.suppress(BrokenPipeError):  # a server that has read enough says why
                connection.request("POST", self._path, gzip.compress(lines, 1), headers)
            answer = connection.getresponse()
            text = answer.read(MOST_ANSWER).decode("utf-8", "replace")
            return Answer(answer.status, text, answer.getheader("Retry-After", ""))

    def close(self) -> None:
        """Nothing is open."""


class _Api2:
    """influxdb-client, one synchronous write at a time, without its retries: the spool does that, and outlives us."""

    def __init__(self, address: str, org: str, bucket: str) -> None:
        try:
            self._package: Any = import_module("influxdb_client")
            self._write_api: Any = import_module("influxdb_client.client.write_api")
            self._refusal: Any = import_module("influxdb_client.rest").ApiException
            self._broken: Any = import_module("urllib3").exceptions.HTTPError
        except ImportError as error:
            raise ValueError(INSTALL) from error
        self._address, self._org, self._bucket = address, org, bucket
        self._secret = ""
        self._client: Any = None

    def __call__(self, lines: bytes, secret: str) -> Answer:
        if self._client is None or secret != self._secret:
            self.close()
            self._client = self._package.InfluxDBClient(
                self._address, secret, org=self._org, enable_gzip=True, timeout=int(ANSWER_S * 1000), retries=False
            )
            self._secret = secret
        writer = self._client.write_api(write_options=self._write_api.SYNCHRONOUS)
        try:
            writer.write(self._bucket, self._org, lines, self._package.WritePrecision.NS)
        except self._refusal as error:
            if not error.status:  # a certificate, says influxdb-client with the cause as a text
                raise OSError(error.reason) from error.__context__
            return Answer(error.status, str(error.body or error.reason), (error.headers or {}).get("Retry-After", ""))
        except self._broken as error:
            raise OSError(_cause(error)) from error
        return Answer(204, "", "")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _cause(error: BaseException) -> str:
    """The innermost reason in a line, without the addresses of objects that the outer ones hold."""
    while error.__cause__ is not None:
        error = error.__cause__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _told(text: str) -> str:
    """What an answer says, on one line: InfluxDB 2's message, 1.x's error, or its beginning."""
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(text)
        text = str(answer.get("message") or answer.get("error") or text)
    return " ".join(text.split())


def _dropped(told: str) -> int:
    """The number in "partial write: field type conflict: ... dropped=3". Lines that 1.x cannot read are not in it."""
    if "partial write" not in told:
        return 0
    number = told.rpartition("dropped=")[2]
    return told.count("unable to parse '") + (int(number) if number.isdecimal() else 0)


def _is_address(address: str) -> bool:
    try:
        found = urlsplit(address)
        return bool(found.hostname) and "@" not in found.netloc and found.port != 0 and not found.query + found.fragment
    except ValueError:  # of a port that is none
        return False
