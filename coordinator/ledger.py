"""The ledger: payload bytes of every device, counted by the device and by the coordinator, and set against each other.

    model_down    manifest, rounds, initialization, deltas. The coordinator counts what a device that follows the protocol is
                  sent: what was published while it was connected, what is retained when it connects, and what it fetches by
                  the rules of tegu.session. A device that fetches twice, or misses something, differs.
    update_up     updates, as often as they come
    telemetry_up  telemetry, without the message that tells it

A device tells its counts in its telemetry, as sums since its start. What is on its way at that moment is counted by one of the
two only, so a claim of the device agrees if the coordinator's count is the same at any moment from the claim to the next
one (its updates), or was since the one before (what goes down). No I/O, no clock.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from tegu.wire.messages import Manifest, Round

from .metrics import BYTE_CLASSES, Value

SETTLE_NS = 5_000_000_000  # after which nothing is on its way any more
TOGETHER_NS = 1_000_000_000  # in which a telemetry and the update that it counts come, and what was sent arrives
MOST_BYTES = 1 << 48  # that a device can have counted
MOST_TOTALS = 256  # of what went down since the last claim


class Row(NamedTuple):
    """One claim of a device and what the coordinator says: a point of `bytes`."""

    device: str
    time_ns: int
    values: dict[str, Value | None]
    updates: int  # that the device made since its claim before


@dataclass
class Account:
    """A device's bytes since its start, by the coordinator's count."""

    boot: int
    version: int = 0  # in its hands, by the rules
    connected: bool = False
    refused: bool = False
    update_up: int = 0
    telemetry_up: int = 0
    down: list[int] = field(
        default_factory=lambda: [0]
    )  # the sum after each message, from the one on that was last told
    born: bool = False  # it is watched since its start
    before: dict[str, int] = field(
        default_factory=dict
    )  # what it had counted when watching began; empty: not known yet
    claim: dict[str, int] = field(default_factory=dict)  # what it says, and is not settled
    told: dict[str, int] = field(default_factory=dict)  # what it said before
    time_ns: int = 0  # of the claim
    up_ns: int = 0  # when an update last came
    down_ns: int = 0  # when something last went down
    telemetry_before: int = 0  # telemetry_up when the claim came

    def add_down(self, size: int, time_ns: int) -> None:
        """A message goes down to it."""
        if not size:
            return
        self.down.append(self.down[-1] + size)
        self.down_ns = time_ns
        if len(self.down) > 2 * MOST_TOTALS:
            del self.down[:-MOST_TOTALS]

    def is_still(self) -> bool:
        """Whether nothing was on its way when the device made its claim, but for the update that the claim counts."""
        return self.up_ns <= self.time_ns + TOGETHER_NS and self.down_ns <= self.time_ns - TOGETHER_NS

    def nearest_down(self, wanted: int) -> int:
        """The sum of what went down that is nearest to the device's own; earlier ones are not needed again."""
        at = min(range(len(self.down)), key=lambda i: (abs(self.down[i] - wanted), -i))
        del self.down[:at]
        return self.down[0]


class Ledger:
    """All devices of one model. Feed it what the coordinator hears and says, in that order.

    fresh: nobody has watched these devices before, so what they counted while nobody listened may be counted now.
    """

    def __init__(self, fresh: bool = True) -> None:
        self._fresh = fresh
        self.accounts: dict[str, Account] = {}
        self.gaps: dict[str, int] = {}  # device -> bytes on which the two counts differ, of its last claim
        self.manifest: Manifest | None = None
        self._manifest_bytes = 0
        self._round: Round | None = None
        self._round_bytes = 0
        self._delta_bytes: dict[int, int] = {}  # by the version that it leads to

    # --- what the coordinator says ---

    def said_manifest(self, manifest: Manifest, size: int, time_ns: int) -> None:
        self.manifest, self._manifest_bytes = manifest, size
        self._to_all(size, time_ns)

    def said_round(self, opened: Round | None, size: int, time_ns: int) -> None:
        """None: there is no open round any more."""
        self._round, self._round_bytes = opened, size
        self._to_all(size, time_ns)

    def said_delta(self, version: int, size: int) -> None:
        """An empty one takes a delta away."""
        self._delta_bytes.pop(version, None)
        if size:
            self._delta_bytes[version] = size

    def _to_all(self, size: int, time_ns: int) -> None:
        for device, account in self.accounts.items():
            if account.connected:
                account.add_down(size, time_ns)
                self._fetch(device, account, time_ns)

    def _fetch(self, device: str, account: Account, time_ns: int) -> None:
        """What the device now asks for, as tegu.session has it."""
        told, opened = self.manifest, self._round
        if told is None or account.refused:
            return
        newest = told.version
        if opened is not None and opened.version >= newest and opened.invites(device):
            newest = opened.version
        elif account.version and not told.finished:
            return
        if account.version < newest and (account.version == 0 or account.version + told.deltas < told.version):
            account.add_down(told.bytes, time_ns)
            account.version = told.version
        while account.version < newest and account.version + 1 in self._delta_bytes:
            account.version += 1
            account.add_down(self._delta_bytes[account.version], time_ns)

    # --- what it hears ---

    def state(self, device: str, state: str, boot: int, version: int, retained: bool, time_ns: int) -> None:
        """A device's birth or death. retained: it was said before the coordinator listened, or is said again."""
        account = self.accounts.get(device)
        if account is not None and boot < account.boot:
            return
        if state != "ready":
            if account is not None:
                account.refused = account.connected = state == "refused"
            return
        same = account is not None and account.boot == boot
        if account is not None and same and account.connected and (retained or account.refused):
            account.refused = False  # it was there all the time: the news is at most that the model fits now
        else:
            if account is None or not same:
                account = self.accounts[device] = Account(boot)
                account.born = not retained
                account.before = {} if retained else dict.fromkeys(BYTE_CLASSES, 0)
            known = 0 if version > self._newest() else version  # of a coordinator that was there before this one
            account.connected, account.refused, account.version = True, False, known
            account.add_down(self._manifest_bytes, time_ns)
            account.add_down(self._round_bytes, time_ns)
        self._fetch(device, account, time_ns)

    def _newest(self) -> int:
        """The newest version that was published; nothing is known of it before the first."""
        if self.manifest is None:
            return 1 << 32
        opened = self._round.version if self._round else 0
        return max(self.manifest.version, opened, *self._delta_bytes, 0)

    def forget(self, device: str) -> None:
        """It is gone."""
        self.accounts.pop(device, None)
        self.gaps.pop(device, None)

    def forgive(self) -> None:
        """Something was not noted: compare each device anew from its next quiet moment on."""
        for account in self.accounts.values():
            account.claim, account.before = {}, {}
        self._fresh = False

    def update(self, device: str, size: int, time_ns: int) -> list[Row]:
        """An update came, of whatever kind. The row is of the claim that it makes agree."""
        account = self.accounts.get(device)
        if account is None:
            return []
        account.update_up += size
        account.up_ns = time_ns
        return self._settle(device, account, False) if self._agrees(account) else []

    def telemetry(self, device: str, size: int, numbers: dict[str, float], time_ns: int) -> list[Row]:
        """A device tells its counts; rows are of the claim before, and of this one if it agrees already."""
        boot = int(numbers.get("boot", 0))
        account = self.accounts.get(device)
        if account is None or account.boot < boot:  # its birth was not heard
            account = self.accounts[device] = Account(boot, int(numbers.get("version", 0)), True)
        elif boot < account.boot:
            return []
        rows = self._settle(device, account, False)
        claim = {name: int(numbers.get(f"bytes_{name}", 0)) for name in BYTE_CLASSES}
        claim["updates"] = int(numbers.get("updates", 0))
        claim["version"] = int(numbers.get("version", 0))
        if not all(0 <= value < MOST_BYTES for value in claim.values()):
            raise ValueError("counts that cannot be")
        account.claim = claim
        account.time_ns = time_ns
        account.telemetry_before = account.telemetry_up
        account.telemetry_up += size
        return rows + (self._settle(device, account, False) if self._agrees(account) else [])

    def settle(self, now_ns: int) -> list[Row]:
        """Rows of claims that have waited long enough: nothing of theirs is on its way any more."""
        rows = []
        for device, account in self.accounts.items():
            if account.claim and now_ns - max(account.time_ns, account.up_ns) > SETTLE_NS:
                rows += self._settle(device, account, True)
        return rows

    # --- the comparison ---

    def _agrees(self, account: Account) -> bool:
        """Whether the claim that waits is what the coordinator counts, as far as updates go."""
        if not account.claim:
            return False
        sums_match = account.claim["update_up"] == account.update_up and account.claim["model_down"] in account.down
        if sums_match and not account.before:  # then nothing was missed: it only spoke to nobody before
            account.born = self._fresh
            unheard = account.claim["telemetry_up"] - account.telemetry_before
            account.before = {**dict.fromkeys(BYTE_CLASSES, 0), "telemetry_up": unheard}
        if not account.before:
            return False
        return account.claim["update_up"] - account.before["update_up"] == account.update_up

    def _settle(self, device: str, account: Account, quiet: bool) -> list[Row]:
        """The row of the claim that waits, if one does. quiet: both sides have counted all that it speaks of."""
        claim, account.claim = account.claim, {}
        if not claim:
            return []
        counted = dict(zip(BYTE_CLASSES, (account.down[-1], account.update_up, account.telemetry_before), strict=True))
        still = quiet and account.is_still()
        if still:
            account.version = claim["version"]  # a retained state may be older than what it has fetched since
        if not account.before:  # watched from some moment of its life on: from the first that can be compared
            if not still:
                return []
            account.before = {name: claim[name] - counted[name] for name in BYTE_CLASSES}
        before, told = account.before, account.told or (dict.fromkeys(claim, 0) if account.born else claim)
        counted["model_down"] = account.nearest_down(claim["model_down"] - before["model_down"])
        values: dict[str, Value | None] = {}
        for name in BYTE_CLASSES:
            values[name] = claim[name] - told[name]
            values[f"{name}_device"] = claim[name]
            values[f"{name}_coordinator"] = counted[name] + before[name]
            values[f"{name}_gap"] = claim[name] - counted[name] - before[name]
        self.gaps[device] = sum(abs(claim[name] - counted[name] - before[name]) for name in BYTE_CLASSES)
        account.told = claim
        values["gap"] = self.gaps[device]
        return [Row(device, account.time_ns, values, claim["updates"] - told["updates"])]
