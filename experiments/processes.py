"""Child processes that end with us: in order when we stop, and by a watchdog when we are gone without a word.

Each child is in a session of its own, so that Ctrl-C reaches only us. The watchdog is a shell that reads a pipe whose
other end we hold; when the pipe closes it ends the children.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

WATCHDOG = 'read _; kill "$@"'
STOP_DEADLINE_S = 8.0


class Children:
    """A context manager that starts `python -m MODULE ARGUMENTS` processes and leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self, name: str, module: str, arguments: list[str], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a child; what it prints goes to {name}.log in the folder. environment: added to ours."""
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self._running[name] = child
        self._watch()
        return child

    def wait(self, name: str, limit_s: float) -> None:
        """Until that child has ended, or limit_s has gone by."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._running[name].wait(limit_s)

    def ended(self) -> str:
        """A sentence on the first child that has ended with an error, else empty."""
        for name, child in self._running.items():
            if child.poll() not in (None, 0):
                said = self._log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                return f"{name} ended with status {child.returncode}: {' / '.join(said) or 'it said nothing'}"
        return ""

    def stop(self) -> None:
        """End all that still run, last started first; those that do not listen are killed."""
        children = list(self._running.values())[::-1]
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            try:
                child.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._running.clear()
        self._unwatch()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _watch(self) -> None:
        self._unwatch()
        pids = [str(child.pid) for child in self._running.values() if child.poll() is None]
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", *pids],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _unwatch(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.communicate()
