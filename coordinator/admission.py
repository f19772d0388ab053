"""For whom a round is opened: the answer of the registry to a question about devices. `[registry]` in the settings.

The coordinator asks before it opens a round; the registry answers with the devices that its graph selects (their memory,
sensors, room, whatever the condition says, and what the model needs), and says of the ready ones that are not among them
why. It keeps the answer with the round, and so does the checkpoint: a restart goes on with the same set.

A registry that does not answer must not stop learning: then the last answer stands. If there never was one, no round opens.
"""

import http.client
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from .reasons import fitting
from .settings import RegistrySettings

log = logging.getLogger("tegu.coordinator")
PATIENCE_S = 3.0  # with a registry, while everything else waits
AWAY_S = 30.0  # until one that did not answer is asked again
AGAIN_S = 2.0  # until one that selected nobody is asked again
ANSWER_BYTES = 16 << 20


@dataclass(frozen=True)
class Admitted:
    """An answer. devices: ids; outside: ready devices that are not among them, and why."""

    devices: frozenset[str]
    outside: dict[str, str] = field(default_factory=dict)
    condition: str = ""

    def to_json(self) -> str:
        return json.dumps({"devices": sorted(self.devices), "outside": self.outside, "where": self.condition})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Admitted":
        """ValueError: it cannot be read."""
        try:
            told = json.loads(text)
            devices, outside = told["devices"], told["outside"]
            if not all(isinstance(name, str) for name in [*devices, *outside, *outside.values()]):
                raise ValueError("names must be text")
            return cls(frozenset(devices), dict(outside), str(told.get("where", "")))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"the registry's answer cannot be read: {error!r}") from error

    def why(self, device: str) -> str:
        """Why a device is not admitted, short enough for an ack."""
        why = self.outside.get(device, self.condition or "not selected")
        return fitting(f"not in this round: {why}")


class Admission:
    """The registry of a model's rounds. OSError: its token cannot be read."""

    def __init__(self, settings: RegistrySettings, site: str, model_name: str) -> None:
        self._address = settings.address.rstrip("/") + "/registry/rounds"
        self.where = settings.where
        self._told = {"site": site, "model": model_name, "where": settings.where}
        token = Path(settings.token_file).read_text(encoding="utf-8").strip() if settings.token_file else ""
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._away_until_s = 0.0

    def ask(self, round_num: int, ready: Sequence[str]) -> Admitted | None:
        """The devices for a round, None if the registry does not answer; it is not asked again for a while then."""
        if monotonic() < self._away_until_s:
            return None
        body = json.dumps({**self._told, "round_num": round_num, "ready": sorted(ready)}).encode()
        request = urllib.request.Request(self._address, body, self._headers)
        answers: list[Admitted] = []
        asking = threading.Thread(target=self._fetch, args=(request, answers), name="admission", daemon=True)
        asking.start()
        asking.join(PATIENCE_S)  # a time limit of a socket is for each piece of an answer
        if answers:
            return answers[0]
        if asking.is_alive():
            log.warning("the registry at %s has not answered within %g s", self._address, PATIENCE_S)
        self._away_until_s = monotonic() + AWAY_S
        return None

    def _fetch(self, request: urllib.request.Request, answers: list[Admitted]) -> None:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                answers.append(Admitted.from_json(answer.read(ANSWER_BYTES)))
        except urllib.error.HTTPError as error:
            log.error("the registry refuses: %s %.300s", error, _said(error))
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.warning("the registry at %s does not answer: %r", self._address, error)


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(1000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
