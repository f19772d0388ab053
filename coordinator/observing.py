"""What the coordinator hears and says, turned into points. Events in, points out: no I/O, no clock.

An event is (way, time_ns, topic, payload, size, retained). way is heard or said; of a long payload only its size comes along
(of an update also its first bytes, which hold its key). Everything else, rounds, acks, states, the ledger, is worked out
here, so that a coordinator pays nothing for being watched but passing on what went through its hands.
"""

import json
from collections import deque
from dataclasses import dataclass, field

from tegu import topics
from tegu.model import Model
from tegu.session import MOST_BOOTS
from tegu.wire import WireError
from tegu.wire.messages import Ack, Manifest, Round, State, decode_numbers
from tegu.wire.update import peek_key

from .ledger import Ledger, Row
from .metrics import CURVE_SAMPLES, MEASUREMENTS, STATES, Point, Value, make_point
from .tally import Tally
from .trouble import SILENT_S, Seen, starts, state_of, trouble

Event = tuple[str, int, str, bytes, int, bool]
Told = dict[str, float]
HEADER_BYTES = 32  # of an update, enough for its key
HOUR_NS = 3600 * 10**9
MARK_NS = 600 * 10**9  # between two marks for a new version, and for the trouble of one device
JUMP_NS = 60 * 10**9  # a clock that moves so far between two ticks was set, or slept
STATUS_EVERY = 5  # times every_s: how often a device that says much is written down at most
MOST_DEVICES = 100_000
MOST_CHANNELS = 64  # of a device
MOST_OTHERS = 64  # names of numbers that are in no table, of all devices
SENML_BYTES = 4096
A_SECOND, AT_ONCE = 100.0, 2000.0  # messages of one device that are taken: what floods is counted, and left out
MOST_JOULES, MOST_LOSS = 1e9, 1e6  # beyond is no measurement
# What a message can raise that is not as it should be. (A UnicodeError is a ValueError.)
BAD_MESSAGE = (WireError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
OF_DEVICE = MEASUREMENTS["device"].fields
JOULES = ("compute_joules", "radio_joules", "session_joules")


@dataclass
class Device:
    """A device's record: what it last said, and what of it was last written down."""

    seen: Seen
    told: Told = field(default_factory=dict)  # its telemetry
    spent: Told = field(default_factory=dict)  # what of it was of energy, when it last told that
    channels: set[str] = field(default_factory=set)
    # (boot, sequence, version, bytes) of those that are not answered yet
    updates: deque[tuple[int, int, int, int]] = field(default_factory=lambda: deque(maxlen=8))
    allowed: float = AT_ONCE  # messages
    counted_ns: int = 0
    marked: bool = False  # that something is the matter with it, and not yet that this is over
    marked_code: int = 0
    marked_ns: int = -MARK_NS
    written: tuple[Value, ...] = ()  # of its status
    written_ns: int = 0


class Observed:
    """All that is known of one model's federation. fresh: nobody has watched these devices before."""

    def __init__(
        self, site: str, model_name: str, silent_s: float = SILENT_S, every_s: float = 60.0, fresh: bool = True
    ) -> None:
        self.site = site
        self.model_name = model_name
        self.devices: dict[str, Device] = {}
        self.ledger = Ledger(fresh)
        self.bad = 0  # messages that could not be read, or were too many
        self._silent_s = silent_s
        self._every_ns = int(every_s * 1e9)
        self._fleet_ns = self._ticked_ns = 0
        self._marked_ns = -MARK_NS
        self._tally: Tally | None = None
        self._dense_bytes = 0
        self._version = 0
        self._others: set[str] = set()

    @property
    def version(self) -> int:
        """The newest initialization."""
        return self._version

    def take(self, event: Event) -> list[Point]:
        """The points that an event makes."""
        way, time_ns, topic, payload, size, retained = event
        words = topics.parse(topic)
        if words is None or words[0] != self.site:
            return []
        _, owner, name, kind, rest = words
        try:
            if way == "said":
                return self._said(owner, name, kind, rest, payload, size, time_ns)
            if owner == "device":
                known = name if name in self.devices else topics.check_id(name)
                return self._heard(known, kind, rest, payload, size, retained, time_ns)
        except BAD_MESSAGE:
            self.bad += 1
        return []

    def tick(self, now_ns: int) -> list[Point]:
        """What time alone makes: claims that settle, devices that fall silent, the fleet as a whole."""
        jump_ns, self._ticked_ns = now_ns - (self._ticked_ns or now_ns), now_ns
        if abs(jump_ns) > JUMP_NS:
            self._move(jump_ns)
        points = self._ledger_points(self.ledger.settle(now_ns))
        if now_ns - self._fleet_ns < self._every_ns:
            return points
        self._fleet_ns = now_ns
        for device in self.devices.values():
            points += self._status(device, now_ns, False)
        return points + self._fleet(now_ns)

    def _move(self, jump_ns: int) -> None:
        """The clock was set: what lies between then and now has not passed."""
        self._fleet_ns += jump_ns
        self._marked_ns += jump_ns
        for device in self.devices.values():
            device.seen.heard_s += jump_ns / 1e9
            device.seen.changed_s += jump_ns / 1e9
            device.written_ns += jump_ns
            device.marked_ns += jump_ns
            device.counted_ns += jump_ns

    def restarted(self, epoch: int, version: int, before: int, now_ns: int) -> list[Point]:
        """The coordinator began; before: the newest version that was known until then, 0 if none."""
        self._version = version
        back = before > version
        text = f"back from version {before} to {version}" if back else f"the coordinator's start number {epoch}"
        return self._mark("rollback" if back else "restart", text, now_ns)

    # --- what the coordinator says ---

    def _said(
        self, owner: str, name: str, kind: str, rest: str, payload: bytes, size: int, time_ns: int
    ) -> list[Point]:
        if owner == "device" and kind == "ack" and rest == self.model_name:
            return self._ack(name, Ack.decode(payload), time_ns)
        if owner != "model" or name != self.model_name:
            return []
        points: list[Point] = []
        if kind == "delta" and rest.isdecimal():
            if size:
                points = self._newer(int(rest), time_ns)
            self.ledger.said_delta(int(rest), size)
        elif kind == "manifest":
            manifest: Manifest = Manifest.decode(payload)
            points = self._newer(manifest.version, time_ns)
            self._dense_bytes = 4 * Model(manifest.spec).shared_size
            self.ledger.said_manifest(manifest, size, time_ns)
        elif kind == "round":
            opened: Round | None = Round.decode(payload) if payload else None
            if opened is not None:
                points = self._newer(opened.version, time_ns)
                self._open(opened, time_ns)
            self.ledger.said_round(opened, size, time_ns)
        if self._tally is not None:
            self._tally.said_bytes += size
        return points

    def _open(self, opened: Round, time_ns: int) -> None:
        tally = self._tally
        if tally is None or tally.opened.version != opened.version:
            self._tally = Tally(opened, time_ns)
        elif tally.opened.round_num != opened.round_num:
            tally.extended += 1
            tally.opened = opened

    def _newer(self, version: int, time_ns: int) -> list[Point]:
        """A version is heard of: if it is a new one, the round that led to it is closed."""
        tally = self._tally
        self._version = max(self._version, version)
        if tally is None or version <= tally.opened.version:
            return []
        self._tally = None
        ready = sum(device.seen.state == "ready" for device in self.devices.values())
        manifest = self.ledger.manifest
        step = manifest.outer_step_size if manifest else None
        points = self._points("round", (), tally.values(time_ns, ready, self._dense_bytes, step), time_ns)
        if time_ns - self._marked_ns >= min(MARK_NS, 10 * self._every_ns):
            self._marked_ns = time_ns
            points += self._mark("version", f"version {version}", time_ns)
        return points

    def _ack(self, name: str, ack: Ack, time_ns: int) -> list[Point]:
        """The coordinator's word on the update that this device sent last; or only on how often it has started."""
        device = self.devices.get(name)
        if device is None or (ack.boot, ack.sequence) not in [update[:2] for update in device.updates]:
            return []  # it answers a state, or what was not noted
        while (update := device.updates.popleft())[:2] != (ack.boot, ack.sequence):
            pass  # its answer was not noted
        _, _, base, size = update
        if self._tally is not None:
            self._tally.ack(ack.result, time_ns)
        if ack.result == "invalid":
            device.seen.invalid_s.append(time_ns / 1e9)
            base = ack.version
        values: dict[str, Value | None] = {"bytes": size, "version": base, "behind": ack.version - base}
        return self._points("update", (name, self.model_name, ack.result), values, time_ns)

    # --- what it hears ---

    def _heard(
        self, name: str, kind: str, rest: str, payload: bytes, size: int, retained: bool, time_ns: int
    ) -> list[Point]:
        if kind == "state":
            return self._state(name, payload, retained, time_ns)
        device = self.devices.get(name)
        if device is None:
            return []  # its state is heard first, and says which model it is in
        device.seen.heard_s = time_ns / 1e9
        if not self._may(device, time_ns):
            return []
        if kind == "update" and rest == self.model_name:
            return self._update(device, payload, size, time_ns)
        if kind == "telemetry":
            return self._telemetry(device, payload, size, time_ns)
        if kind == "sense":
            return self._reading(device, rest, payload, time_ns)
        return []

    def _may(self, device: Device, time_ns: int) -> bool:
        """Whether one more message of this device is taken now."""
        passed_s = max(0, time_ns - device.counted_ns) / 1e9
        device.allowed = min(AT_ONCE, device.allowed + A_SECOND * passed_s)
        device.counted_ns = time_ns
        if device.allowed < 1:
            self.bad += 1
            return False
        device.allowed -= 1
        return True

    def _state(self, name: str, payload: bytes, retained: bool, time_ns: int) -> list[Point]:
        if not payload:  # its owner has taken it away
            self._forget(name)
            return []
        state: State = State.decode(payload)
        if state.model not in ("", self.model_name):
            self._forget(name)
            return []
        if state.state not in STATES or state.state == "silent" or state.boot >= MOST_BOOTS:
            return []
        device = self.devices.get(name)
        now_s = time_ns / 1e9
        if device is None:
            if len(self.devices) >= MOST_DEVICES:
                return []
            device = self.devices[name] = Device(Seen(name, changed_s=now_s, heard_s=now_s))
        seen = device.seen
        if state.boot < seen.boot or not self._may(device, time_ns):
            return []
        if state.boot > seen.boot and seen.boot and not retained:
            seen.starts_s.append(now_s)
        if state.state != seen.state:
            seen.changed_s = now_s
        if state.state != "lost" and not retained:
            seen.heard_s = now_s
        seen.state, seen.boot, seen.why, seen.wakes_s = (
            state.state,
            state.boot,
            printable(state.why),
            float(state.wakes_s),
        )
        seen.version = state.version or seen.version
        self.ledger.state(name, state.state, state.boot, state.version, retained, time_ns)
        return self._status(device, time_ns, True)

    def _forget(self, name: str) -> None:
        """It is not one of ours any more."""
        self.devices.pop(name, None)
        self.ledger.forget(name)

    def _update(self, device: Device, payload: bytes, size: int, time_ns: int) -> list[Point]:
        version, boot, sequence = peek_key(payload)
        device.updates.append((boot, sequence, version, size))
        if self._tally is not None:
            self._tally.updates += 1
            self._tally.update_bytes += size
        return self._ledger_points(self.ledger.update(device.seen.name, size, time_ns))

    def _telemetry(self, device: Device, payload: bytes, size: int, time_ns: int) -> list[Point]:
        numbers = decode_numbers(payload)
        seen, before = device.seen, device.told
        if not seen.boot <= numbers.get("boot", 0) < MOST_BOOTS:
            return []
        if numbers.get("boot", 0) != before.get("boot"):
            before, device.spent = {}, {}
        points = self._ledger_points(self.ledger.telemetry(seen.name, size, numbers, time_ns))
        device.told = numbers
        self._note(device, before, time_ns)
        values: dict[str, Value | None] = {word: numbers.get(word) for word in OF_DEVICE}
        points += self._points("device", (seen.name, self.model_name), values, time_ns)
        points += self._energy(device, numbers, time_ns)
        points += self._curve(seen.name, numbers, time_ns)
        points += self._other(seen.name, numbers, time_ns)
        losses = numbers.get("loss_before", MOST_LOSS), numbers.get("loss_after", MOST_LOSS)
        if max(map(abs, losses)) < MOST_LOSS:
            seen.losses.append(losses)
            if self._tally is not None:
                self._tally.losses.append(losses)
        return points + self._status(device, time_ns, False)

    def _note(self, device: Device, before: Told, time_ns: int) -> None:
        """What its telemetry says about how it is."""
        seen, numbers = device.seen, device.told
        seen.version = int(numbers.get("version", seen.version))
        seen.battery_percent = numbers.get("battery_percent")
        seen.traffic_bytes = int(sum(value for word, value in numbers.items() if word.startswith("bytes_")))
        failed = numbers.get("sensor_failed", 0) - before.get("sensor_failed", 0) if before else 0
        seen.failed_s.extend([time_ns / 1e9] * int(max(0, min(failed, seen.failed_s.maxlen or 0))))

    def _energy(self, device: Device, numbers: Told, time_ns: int) -> list[Point]:
        """What was spent since it last told; nothing is known of the time before that, unless it has just started."""
        modelled = numbers.get("energy_modelled", 1) != 0
        told = {word: numbers[word] for word in (JOULES if modelled else ("joules",)) if word in numbers}
        if not told or not all(0 <= value < MOST_JOULES for value in told.values()):
            return []
        known = device.spent or ({} if self._from_birth(device.seen.name) else told)
        if any(told[word] < known.get(word, 0.0) for word in told):
            known = {}  # its counters began anew
        device.spent = told
        parts = {word: value - known.get(word, 0.0) for word, value in told.items()}
        values: dict[str, Value | None] = {**parts, "joules": sum(parts.values()), "total_joules": sum(told.values())}
        if self._tally is not None:
            self._tally.joules += sum(parts.values())
        kind = "modelled" if modelled else "measured"
        return self._points("energy", (device.seen.name, self.model_name, kind), values, time_ns)

    def _from_birth(self, name: str) -> bool:
        """Whether all that a device counts since its start may be counted here."""
        account = self.ledger.accounts.get(name)
        return account is not None and account.born

    def _curve(self, name: str, numbers: Told, time_ns: int) -> list[Point]:
        points = []
        for samples in CURVE_SAMPLES:
            values: dict[str, Value | None] = {"loss": numbers.get(f"curve_{samples}")}
            if values["loss"] is not None:
                values["version"] = int(numbers.get("version", 0))
                points += self._points("adaptation", (name, self.model_name, str(samples)), values, time_ns)
        return points

    def _other(self, name: str, numbers: Told, time_ns: int) -> list[Point]:
        points = []
        for word, value in numbers.items():
            if word in OF_DEVICE or word in KNOWN or word.startswith("curve_") or not is_word(word):
                continue
            if word not in self._others and len(self._others) >= MOST_OTHERS:
                continue
            self._others.add(word)
            points += self._points("other", (name, word), {"value": float(value)}, time_ns)
        return points

    def _reading(self, device: Device, channel: str, payload: bytes, time_ns: int) -> list[Point]:
        if channel not in device.channels:
            topics.check_id(channel)
            if len(device.channels) >= MOST_CHANNELS:
                return []
            device.channels.add(channel)
        value = senml_value(payload)
        return self._points("reading", (device.seen.name, channel), {"value": value}, time_ns)

    # --- points ---

    def _points(self, name: str, tags: tuple[str, ...], values: dict[str, Value | None], time_ns: int) -> list[Point]:
        """One point, or none if nothing in it can be stored. tags: those after the site; a model's if there are none."""
        point = make_point(name, (self.site, *(tags or (self.model_name,))), values, time_ns)
        return [point] if point is not None else []

    def _mark(self, kind: str, text: str, time_ns: int) -> list[Point]:
        return self._points("event", (self.model_name, kind), {"text": text, "version": self._version}, time_ns)

    def _ledger_points(self, rows: list[Row]) -> list[Point]:
        points = []
        for row in rows:
            device = self.devices.get(row.device)
            if device is None:
                continue
            device.seen.gap_bytes = self.ledger.gaps.get(row.device, 0)
            values = {**row.values, "dense_up": row.updates * self._dense_bytes}
            points += self._points("bytes", (row.device, self.model_name), values, row.time_ns)
        return points

    def _status(self, device: Device, now_ns: int, at_once: bool) -> list[Point]:
        """How it is: when that has changed, once an hour, and between (unless at_once) as its telemetry comes."""
        seen, now_s = device.seen, now_ns / 1e9
        state = state_of(seen, now_s, self._silent_s)
        code, text = trouble(seen, self._version, now_s, self._silent_s)
        news = (state, code, seen.boot)
        waited_ns = now_ns - device.written_ns
        due_ns = STATUS_EVERY * self._every_ns if seen.heard_s * 1e9 > device.written_ns else HOUR_NS
        if news == device.written and not at_once and waited_ns < due_ns:
            return []
        before = int(device.written[1]) if device.written else 0
        device.written, device.written_ns = news, now_ns
        values: dict[str, Value | None] = {
            "state": state,
            "state_code": STATES[state],
            "trouble": text,
            "trouble_code": code,
            "boot": seen.boot,
            "starts": starts(seen, now_s),
            "version": seen.version,
            "behind": max(0, self._version - seen.version) if seen.version else 0,
            "heard_s": int(seen.heard_s),
            "silent_s": max(0.0, now_s - seen.heard_s),
        }
        points = self._points("status", (seen.name, self.model_name), values, now_ns)
        return points + self._change(device, before, code, text, now_ns)

    def _change(self, device: Device, before: int, code: int, text: str, now_ns: int) -> list[Point]:
        """A mark for a device that gets worse, of each kind at most one in MARK_NS, and one when that is over."""
        name = device.seen.name
        if code > before and (code > device.marked_code or now_ns - device.marked_ns >= MARK_NS):
            device.marked, device.marked_code, device.marked_ns = True, code, now_ns
            return self._mark("trouble" if code == 2 else "watch", f"{name}: {text}", now_ns)
        if code == 0 and device.marked:
            device.marked = False
            return self._mark("recovered", f"{name}: nothing is the matter any more", now_ns)
        return []

    def _fleet(self, now_ns: int) -> list[Point]:
        now_s = now_ns / 1e9
        states = [state_of(device.seen, now_s, self._silent_s) for device in self.devices.values()]
        codes = [trouble(device.seen, self._version, now_s, self._silent_s)[0] for device in self.devices.values()]
        behind = [
            self._version - device.seen.version
            for device, state in zip(self.devices.values(), states, strict=True)
            if state == "ready" and device.seen.version
        ]
        values: dict[str, Value | None] = {state: states.count(state) for state in STATES}
        values |= {"devices": len(states), "watch": codes.count(1), "visit": codes.count(2)}
        values |= {"version": self._version, "behind_most": max(behind, default=0)}
        values["gap_bytes"] = sum(self.ledger.gaps.values())
        return self._points("fleet", (), values, now_ns)


# What telemetry says that goes into measurements other than `device`.
KNOWN = {"bytes_model_down", "bytes_update_up", "bytes_telemetry_up", "energy_modelled", "joules", "metered_s", *JOULES}


def printable(text: str) -> str:
    """The text of a device as it may be shown and stored: no control characters, no half characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def is_word(name: str) -> bool:
    """Whether a name may become a tag: short, and of letters, digits, - and _."""
    return 0 < len(name) <= 40 and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


def senml_value(payload: bytes) -> float:
    """The value of the last record of a SenML pack (RFC 8428): a number, or 1 and 0 for true and false. ValueError if none."""
    if len(payload) > SENML_BYTES:
        raise ValueError("longer than a reading is")
    try:
        record = json.loads(payload)[-1]
        value = record.get("v", record.get("vb"))
    except (ValueError, RecursionError, IndexError, KeyError, TypeError, AttributeError):
        raise ValueError("not SenML") from None
    if not isinstance(value, int | float) or not abs(value) < 1e38:
        raise ValueError("no value")
    return float(value)
