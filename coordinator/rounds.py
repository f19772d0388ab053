"""The rounds of one model as a state machine: events and the time in, verdicts out. No I/O, no clock.

A round is open for one version of the initialization. Every update gets one verdict:

    accepted   counts in this round
    duplicate  this very update (device, version, boot, sequence) was accepted before; nothing changes. The last key of
               each device is enough to know: a device sends nothing new before it has the ack of what it sent
    late       made from the version before: its round closed without it
    stale      made from another version. (An earlier life of the device is no reason: a board keeps its update in flash)
    limited    the device was already heard in this round, was not invited or not admitted, or no round is open
    (invalid   is given where the bytes are decoded: it never gets here)

A round closes when `quorum` updates are in (not before interval_s is over), or at its deadline if there is at least one; a deadline with none extends it
under the next round number. A round may be for some devices only (`admitted`, see coordinator.admission): it closes when all of those are heard, if
they are fewer than the quorum. In a serial round (TinyReptile) one device is invited, in turn by id among those that are
ready; at the deadline the turn passes on.
"""

from dataclasses import dataclass, field

from tegu.wire.update import Update

from .settings import RoundSettings

Key = tuple[str, int, int, int]  # device, version, boot, sequence


@dataclass(frozen=True)
class OpenRound:
    """The round that is open. Times are of the caller's clock, in seconds."""

    round_num: int
    version: int
    opens_s: float
    closes_s: float
    quorum: int
    invited: str  # a device id, or empty for all
    admitted: frozenset[str] | None = None  # those for which it was opened; None: all


@dataclass
class Rounds:
    """State of the rounds of one model. What a checkpoint kept is given back to the constructor."""

    rules: RoundSettings
    version: int = 1
    closed: int = 0  # rounds closed so far
    round_num: int = 0  # of the last round that was opened
    turn: str = ""  # the device invited last
    last: dict[str, Key] = field(default_factory=dict)  # device -> what was last accepted of it
    boots: dict[str, int] = field(default_factory=dict)
    open: OpenRound | None = None
    ready: set[str] = field(default_factory=set)
    refused: dict[str, tuple[Key, str]] = field(default_factory=dict)  # device -> what was last refused, and how
    counts: dict[str, int] = field(default_factory=dict)  # verdicts since the last close

    @property
    def finished(self) -> bool:
        """All the rounds of the settings are closed."""
        return 0 < self.rules.rounds <= self.closed

    @property
    def heard(self) -> list[str]:
        """The devices whose updates count in this version, by id."""
        return sorted(device for device, key in self.last.items() if key[1] == self.version)

    # --- events ---

    def device(self, name: str, state: str, boot: int) -> None:
        """A device says its state. A last will of an earlier life says nothing about the present one."""
        if boot < self.boots.get(name, 0):
            return
        self.boots[name] = boot
        if state == "ready":
            self.ready.add(name)
        else:
            self.ready.discard(name)

    def receive(self, device: str, update: Update) -> str:
        """The verdict on an update of a device. To be called once for each delivery, in any order."""
        verdict = self._verdict(device, update)
        self.counts[verdict] = self.counts.get(verdict, 0) + 1
        if verdict == "accepted":
            self.last[device] = (device, *update.key())
            self.boots[device] = max(update.boot, self.boots.get(device, 0))
        elif verdict != "duplicate":
            self.refused[device] = ((device, *update.key()), verdict)
        return verdict

    def invalid(self) -> None:
        """Bytes came that are no update."""
        self.counts["invalid"] = self.counts.get("invalid", 0) + 1

    def tick(self, now_s: float) -> str:
        """What is due: 'open' a round, 'close' it, or '' for nothing."""
        if self.finished:
            return ""
        if self.open is None:
            return "open" if len(self.ready) >= (self.rules.first_wait if self.closed == 0 else 1) else ""
        if len(self.heard) >= self.open.quorum and now_s >= self.open.opens_s + self.rules.interval_s:
            return "close"
        if now_s < self.open.closes_s:
            return ""
        if self.heard:
            return "close"
        return "open" if self.ready or not self.rules.serial else ""

    # --- transitions ---

    def start(self, now_s: float, invited: str = "", admitted: frozenset[str] | None = None) -> OpenRound:
        """Open the next round (or the same version again under the next number)."""
        self.round_num += 1
        if self.rules.serial and not invited:
            invited = self._next_turn(admitted)
        quorum = 1 if self.rules.serial else self.rules.quorum
        if admitted is not None:
            quorum = max(1, min(quorum, len(admitted)))
        closes_s = now_s + self.rules.deadline_s
        self.open = OpenRound(self.round_num, self.version, now_s, closes_s, quorum, invited, admitted)
        return self.open

    def reopen(self, now_s: float, admitted: frozenset[str] | None = None) -> OpenRound:
        """After a restart: the round that was open goes on, with a whole deadline ahead of it."""
        self.round_num -= 1
        return self.start(now_s, self.turn if self.rules.serial else "", admitted)

    def close(self) -> None:
        """Close the open round and go to the next version."""
        self.counts = {}
        self.version += 1
        self.closed += 1
        self.open = None

    def _verdict(self, device: str, update: Update) -> str:
        key = (device, *update.key())
        if key == self.last.get(device):
            return "duplicate"
        known, verdict = self.refused.get(device, (None, ""))
        if key == known:
            return verdict  # final while this process lives: the device has already kept what was refused
        if update.version != self.version:
            return "late" if update.version == self.version - 1 else "stale"
        if self.open is None or device in self.heard:
            return "limited"
        if self.open.invited and device != self.open.invited:
            return "limited"
        if self.open.admitted is not None and device not in self.open.admitted:
            return "limited"
        return "accepted"

    def _next_turn(self, admitted: frozenset[str] | None) -> str:
        names = sorted(self.ready if admitted is None else self.ready & admitted)
        later = [name for name in names if name > self.turn]
        self.turn = (later or names or [self.turn])[0]
        return self.turn
