"""Real time series databases that tests start on 127.0.0.1, each in a folder of its own, and stop again.

`influxdb` runs influxd 1.6.7 (Debian's package influxdb): API 1 and InfluxQL. `victoria_metrics` runs VictoriaMetrics:
the write path of API 2, numbers only (text becomes 0), milliseconds. Both keep their data and their port over stop()
and start(). kill() is SIGKILL: influxd keeps what it had answered, VictoriaMetrics forgets its last seconds.
Beside each sits a shell that ends it should the tests be killed.

    with influxdb(tmp_path) as database:
        database.create("tegu")
        urllib.request.urlopen(f"{database.url}/write?db=tegu", b"m value=1i")
        database.rows("SELECT * FROM m", "tegu")  # [{"time": 1700000000000000000, "value": 1}]
"""

import base64
import json
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

START_DEADLINE_S = 30.0
ANSWER_S = 10.0
T = TypeVar("T")
POLL_S = 0.02
LAST_S = 4_102_444_800  # of the times that are read back: the year 2100
TRIES = 5  # with another port each
# Below the ports that the kernel hands out for connections: there a connect to nobody may reach itself.
PORTS = range(12_000, 32_000)
WATCHDOG = 'read _; kill -9 "$0"'  # $0 is the database's process id; the line is read when our end of the pipe closes

INFLUXD = """\
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "inmem"
  query-log-enabled = false
  max-series-per-database = {max_series}
  max-values-per-tag = {max_values}
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = {auth}
  log-enabled = false
  max-body-size = {max_body_bytes}
[continuous_queries]
  enabled = false
[logging]
  level = "warn"
  suppress-logo = true
"""


class RunningDatabase:
    """A database process. url: where it is. log: file with what it said."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Run it, until it answers. OSError if it ends instead, TimeoutError if it does neither."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.folder, stdout=log, stderr=log)
        watch = ["sh", "-c", WATCHDOG, str(self.pid)]
        self._watchdog = subprocess.Popen(watch, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None:
                self.stop()
                raise OSError(f"{self._command()[0]} ended: {self.log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"{self._command()[0]} does not answer: {self.log.read_text()[-2000:]}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it in order; its data stays. Nothing if it does not run."""
        if self._watchdog:
            self._watchdog.kill()
            self._watchdog.communicate()
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(ANSWER_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._watchdog = None

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process:
            self._process.kill()
        self.stop()

    def get(self, path: str, body: bytes | None = None) -> bytes:
        """What a GET of the path answers, or with a body a POST. urllib.error.HTTPError if it refuses."""
        asked = urllib.request.Request(self.url + path, body, self._headers())
        with urllib.request.urlopen(asked, timeout=ANSWER_S) as answer:
            return bytes(answer.read())

    def _headers(self) -> dict[str, str]:
        return {}

    def _answers(self) -> bool:
        try:
            self.get("/ping")
        except OSError:  # HTTPError is one
            return False
        return True

    def _command(self) -> list[str]:
        raise NotImplementedError


class RunningInflux(RunningDatabase):
    """influxd. login: (user, password) of its administrator, if it asks for one."""

    def __init__(self, folder: Path, port: int, login: tuple[str, str] | None, **limits: int) -> None:
        super().__init__(folder, port)
        self.login = login
        written = {"max_series": 1_000_000, "max_values": 100_000, "max_body_bytes": 25_000_000} | limits
        text = INFLUXD.format(folder=folder, port=port, auth="true" if login else "false", **written)
        (folder / "influxdb.conf").write_text(text)

    def start(self) -> None:
        super().start()
        if self.login:
            user, password = self.login  # the one thing that is open to all while there is no administrator
            self.query(f"CREATE USER \"{user}\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES")

    def create(self, database: str) -> None:
        """Make a database; nothing if it is there."""
        self.query(f'CREATE DATABASE "{database}"')

    def query(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """Run one statement of InfluxQL; its series: dicts of name, tags, columns, values. Times are in ns.

        ValueError with influxd's sentence if it does not like the statement.
        """
        asked = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ns"})
        try:
            answer = json.loads(self.get("/query", asked.encode()))
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error
        (result,) = answer["results"]
        if "error" in result:
            raise ValueError(result["error"])
        return list(result.get("series", []))

    def rows(self, text: str, database: str) -> list[dict[str, Any]]:
        """The same as one dict a row: its columns, and its tags where it is grouped by them."""
        return [
            series.get("tags", {}) | dict(zip(series["columns"], values, strict=True))
            for series in self.query(text, database)
            for values in series["values"]
        ]

    def _headers(self) -> dict[str, str]:
        if not self.login:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(":".join(self.login).encode()).decode()}

    def _command(self) -> list[str]:
        return [_program("influxd", "influxdb"), "-config", str(self.folder / "influxdb.conf")]


class RunningVictoria(RunningDatabase):
    """VictoriaMetrics. A field of a measurement is a series named measurement_field there; a text is 0."""

    def export(self, match: str) -> list[dict[str, Any]]:
        """Series that match, like '{__name__=~"device_.*"}': dicts of metric (labels), values, timestamps (ms)."""
        self.get("/internal/force_flush")
        asked = {"match[]": match, "start": 0, "end": LAST_S}  # without an end it would be now
        answer = self.get("/api/v1/export?" + urllib.parse.urlencode(asked))
        return [json.loads(row) for row in answer.splitlines()]

    def _answers(self) -> bool:
        try:
            return self.get("/health") == b"OK"
        except OSError:
            return False

    def _command(self) -> list[str]:
        options = ("-retentionPeriod=100y", "-memory.allowedBytes=128MB", "-loggerLevel=WARN", "-search.disableCache")
        address = f"-httpListenAddr=127.0.0.1:{self.port}"
        return [_program("victoria-metrics", "victoria-metrics"), address, f"-storageDataPath={self.folder}", *options]


@contextmanager
def influxdb(folder: Path, login: tuple[str, str] | None = None, **limits: int) -> Iterator[RunningInflux]:
    """influxd with no database yet. limits: max_series (a database), max_values (a tag), max_body_bytes."""
    with _running(folder / "influxdb", lambda own, port: RunningInflux(own, port, login, **limits)) as database:
        yield database


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[RunningVictoria]:
    with _running(folder / "victoria-metrics", RunningVictoria) as database:
        yield database


@contextmanager
def _running(folder: Path, make: Callable[[Path, int], Any]) -> Iterator[Any]:
    folder.mkdir(parents=True)
    for tries_left in reversed(range(TRIES)):
        database = make(folder, free_port())
        try:
            database.start()
            break
        except OSError:  # somebody may have taken the port meanwhile
            if not tries_left:
                raise
    try:
        yield database
    finally:
        database.stop()


def until(done: Callable[[], T], deadline_s: float = 30.0) -> T:
    """What it gives once it gives something; TimeoutError after deadline_s."""
    deadline = time.monotonic() + deadline_s
    while not (found := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s:.0f} s")
        time.sleep(POLL_S)
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def _program(name: str, package: str) -> str:
    """Its path; a server may be in a folder that is not on a user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise FileNotFoundError(f"{name} is not installed; install it with: sudo apt-get install {package}")
    return found
