"""One device on its way from one model to another: what it was told, answered and measured. No I/O, no clock.

    waiting      not asked yet: its stage has not begun, or it is offline or asleep
    asked        the model is its desired one; it has not said that it has it: it tries it, or does so again
    took         it reported the model under the desired version
    refused      it reported why it could not take it, or why it left it again
    recalled     its earlier model is desired again (an empty one if it had none)
    back         it reported that one (or, if it had none, any but the new one)
    lost         it did not, and why
    retired, quarantined, elsewhere (it has a later desired version of somebody else): no part of it any more

Versions of desired models grow per device. A report of an older one changes nothing; one of a newer one, while the
deployment is under way, says that our count was old: what we want is desired again above it. A device that tries a
model reports the one before under the new version without a reason: also one that had taken it and forgot, as when it
lost its files. It has a patience to take it again. A telemetry is known by
its boot and its count `bytes_telemetry_up`, which grow: none counts twice, and one without these does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tegu.topics import check_id

AWAKE = ("ready", "refused")  # states in which a device hears what is desired
ENERGY = {"mains": 0, "": 1, "battery": 2, "harvest": 3}  # who goes first
HAS_IT = ("asked", "took", "refused")  # or may have it
GOING_BACK = ("recalled", "back", "lost")
REMOVED = ("retired", "quarantined", "elsewhere")
MOST_VERSION = (1 << 31) - 2  # of a desired model: a board's integers
WHY_LETTERS = 200  # of a reason that are kept


@dataclass
class Move:
    """One device of a deployment. Telemetries are the values of the metric's names, the newest last."""

    device: str
    model: str  # the new one
    state: str
    energy: str
    earlier: str  # the model before, or empty
    version: int  # that was last desired, or was reported if that is more
    status: str = "waiting"
    why: str = ""
    stage: int = 0  # in which it was asked; 0: it was not
    asked_s: float = 0.0  # when it was asked, or came back since
    told: tuple[float, float] = (-1.0, -1.0)  # boot and count of the newest telemetry
    before: list[tuple[float, ...]] = field(default_factory=list)  # under the earlier model
    after: list[tuple[float, ...]] = field(default_factory=list)  # under the new one
    changed: bool = field(default=False, compare=False)  # since it was last kept
    due: bool = field(default=False, compare=False)  # what is desired of it is to be published

    @property
    def awake(self) -> bool:
        return self.state in AWAKE

    @property
    def wanted(self) -> str:
        """The model that is desired of a device that was asked."""
        return self.earlier if self.status in GOING_BACK else self.model

    @property
    def turn(self) -> tuple[bool, bool, int, str]:
        """Sorts devices by whose turn it is: ready first, mains before battery before harvest, then by id."""
        return self.state != "ready", not self.awake, ENERGY.get(self.energy, 1), self.device

    # --- what is asked of it ---

    def ask(self, stage: int, now_s: float) -> None:
        """The new model is desired."""
        self.stage, self.asked_s = stage, now_s
        self._desire("asked", "")

    def recall(self) -> None:
        """The earlier model is desired again. Why it refused the new one stays."""
        self._desire("recalled", self.why)

    def lose(self, why: str) -> None:
        """It will not be waited for."""
        self._become("lost", why)

    # --- what is heard of it ---

    def heard(self, state: str, now_s: float) -> None:
        """Its state: ready, sleeping, offline, lost or refused. Whoever comes back has a whole patience to answer."""
        if state == self.state:
            return
        if state in AWAKE and not self.awake:
            self.asked_s = now_s
        self.state, self.changed = state, True

    def reported(self, version: int, model: str, why: str, under_way: bool) -> None:
        """The desired version that it knows, the model that it runs, and why it did not take the desired one."""
        why = why[:WHY_LETTERS].encode("utf-8", "replace").decode()
        if self.status in ("retired", "elsewhere") or not self.version <= version <= MOST_VERSION or not _may_be(model):
            return
        if version > self.version:
            self._overtaken(version, model, why, under_way)
        elif self.status in HAS_IT:
            self._answered(model, why)
        elif self.status in GOING_BACK:
            self._answered_back(model, why)

    def telemetry(self, numbers: Mapping[str, float], values: tuple[float, ...], most: int) -> None:
        """A telemetry with these values of the metric's names; the newest `most` under each model are kept."""
        told = (numbers.get("boot", -1.0), numbers.get("bytes_telemetry_up", -1.0))
        if not (min(told) >= 0 and told > self.told):
            return
        self.told, self.changed = told, True
        window = {"waiting": self.before, "took": self.after}.get(self.status)
        if window is not None:
            window.append(values)
            del window[:-most]

    def retired(self) -> None:
        """It is there no more."""
        self.due = False
        if self.status == "recalled":
            self.lose("retired")
        elif self.status not in GOING_BACK:
            self._become("retired", "")

    def quarantined(self, why: str) -> None:
        """What it says of itself is not believed: it is not asked any more. It goes back with the others."""
        if self.status in ("waiting", "asked", "took"):
            self.due = False
            self._become("quarantined", why)

    def since(self, theirs: "Move", number: int) -> None:
        """A later deployment asked it and is over: it stays with that one, unless it came back to our model."""
        if theirs.stage and theirs.version > self.version:
            self.version, self.changed = theirs.version, True
            if theirs.status != "back" or theirs.earlier != self.model:
                self.due = False
                self._become("elsewhere", f"deployment {number} has asked it since")

    def reason(self, samples: int) -> str:
        """What people should know of it. samples: telemetries under the earlier model that its turn waits for."""
        if self.why or self.status not in ("waiting", "asked"):
            return self.why
        if not self.awake:
            return self.state or "not heard of yet"
        if self.status == "waiting" and len(self.before) < samples:
            return f"{len(self.before)} of {samples} telemetries under {self.earlier}"
        return ""

    # --- transitions ---

    def _answered(self, model: str, why: str) -> None:
        if why:
            self._become("refused", why)
        elif model == self.model and self.status != "took":
            self._become("took", "")
        elif model != self.model and self.status == "took":
            self.after.clear()
            self._become("asked", f"it runs {model or 'nothing'} again")

    def _answered_back(self, model: str, why: str) -> None:
        is_back = model == self.earlier or (not self.earlier and model != self.model)
        if why or (self.status == "back" and not is_back):
            self.lose(f"could not go back: {why or 'it runs ' + (model or 'nothing')}")
        elif is_back and self.status != "back":
            self._become("back", self.why if self.status == "recalled" else "")

    def _overtaken(self, version: int, model: str, why: str, under_way: bool) -> None:
        """It knows a later desired version than we do."""
        self.version, self.changed = version, True
        if self.status == "waiting":
            if not why and model != self.earlier:
                self.earlier = model
                self.before.clear()
        elif not under_way:
            self.due = False
            self._become("elsewhere", f"it has had desired version {version} since")
        elif self.status in GOING_BACK:
            self.recall()
        elif self.status in ("asked", "took"):
            self._desire("asked", "")

    def _desire(self, status: str, why: str) -> None:
        self.version += 1
        self.due = True
        self.after.clear()
        self._become(status, why)

    def _become(self, status: str, why: str) -> None:
        self.status, self.why, self.changed = status, why, True


def _may_be(model: str) -> bool:
    """Whether this can be a model's name, or none."""
    try:
        return model == "" or check_id(model) == model
    except ValueError:
        return False
