"""The device's side of its twin: the registry says which model it wants a device to have, the device says which one it has.

Retained on device/{device}/desired and /reported (tegu.wire.messages). A wish has a number; one that is not above the newest
that was heard is old. A model that the device cannot serve is left again for the one before, with the reason. Until it is known
to serve it, it says that it has the one before. A wish for no model is one for the model of its settings. No I/O.
"""

import json

from .topics import check_id
from .wire.messages import Desired, Reported

WHY_LETTERS = 200
NAMES = ("settings", "model", "before", "version", "why")  # of what is kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Twin:
    """model: that the device has, or tries; before: the one to go back to while it tries, else empty; version: of the newest wish;
    why: it has another model than was wished for."""

    def __init__(self, model_name: str, kept: "bytes | bytearray" = b"") -> None:
        """model_name: of the settings, which win if they have changed; kept: what encode() gave in an earlier life, if any.

        ValueError: kept cannot be read.
        """
        self.settings = self.model = model_name
        self.before = self.why = ""
        self.version = 0
        if kept:
            told: "dict[str, Any]" = json.loads(kept)
            self.version = told["version"]
            if told["settings"] == model_name:
                self.model, self.before, self.why = told["model"], told["before"], told["why"]

    def encode(self) -> bytes:
        """To be kept until the next life."""
        return json.dumps({name: getattr(self, name) for name in NAMES}).encode()

    def hear(self, payload: bytes) -> bool:
        """What the registry wants. True: it is news, to be kept; `model` may be another one now. WireError: it cannot be read."""
        told = Desired.decode(payload)
        if told.version <= self.version:
            return False
        self.version, self.why = told.version, ""
        wanted = told.model or self.settings
        try:
            check_id(wanted, "model")
        except ValueError:
            self.why = "no model has such a name"
            return True
        if wanted != self.model:
            self.before = self.before or self.model
            self.model = wanted
        if self.model == self.before:
            self.before = ""
        return True

    def serve(self) -> None:
        """The model that was tried is served: there is no way back from here but another wish."""
        self.before = ""

    def go_back(self, why: str) -> None:
        """The model that is tried cannot be served."""
        self.why = ("%s: %s" % (self.model, why))[:WHY_LETTERS]
        self.model, self.before = self.before, ""

    def reported(self) -> bytes:
        """What the device says: while it tries a model, the one before, without a why."""
        payload: bytes = Reported(version=self.version, model=self.before or self.model, why=self.why).encode()
        return payload
