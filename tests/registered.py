"""A registry's service as a process that can be killed and started again, and what a test asks it over HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from . import timeseries

T = TypeVar("T")
DEADLINE_S = 30.0


def until(look: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """What look() gives, once it gives something; AssertionError if it never does."""
    try:
        return timeseries.until(look, deadline_s)
    except TimeoutError as error:
        raise AssertionError(f"{what}: {error}") from error


class Registered:
    """`tegu registry serve` on a folder. start() returns when it answers."""

    def __init__(self, folder: Path, site: str, port: int, password: str) -> None:
        self.folder = folder
        self._command = [
            *(sys.executable, "-c", "import sys, tegu_command; sys.exit(tegu_command.main(sys.argv[1:]))"),
            *(
                "registry",
                "serve",
                "--folder",
                str(folder),
                "--site",
                site,
                "--http",
                "127.0.0.1:0",
                "--port",
                str(port),
            ),
        ]
        self._environment = os.environ | {"TEGU_PASSWORD": password}
        self._log = Path(f"{folder}.log")
        self.start()

    def start(self) -> None:
        (self.folder / "service.json").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        told = until(self._told, "the registry's service")
        self.url = str(told["url"])
        self.token = (self.folder / "token").read_text().strip()

    def _told(self) -> dict[str, Any]:
        assert self._process.poll() is None, self.log()
        try:
            found: dict[str, Any] = json.loads((self.folder / "service.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # --- what is asked ---

    def get(self, path: str, **query: str) -> Any:
        return self.send("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The answer as JSON. urllib.error.HTTPError: it is none of success."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def select(self, query: str) -> list[dict[str, str]]:
        """The rows of a SPARQL query: variable -> text."""
        rows = self.get("/search/sparql", query=query)["results"]["bindings"]
        return [{name: bound["value"] for name, bound in row.items()} for row in rows]

    def column(self, query: str) -> list[str]:
        """The only variable of each row, sorted."""
        return sorted(value for row in self.select(query) for value in row.values())
