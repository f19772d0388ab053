"""Watches a federation as anyone may who can read the broker, and turns what passes into RoundRows and DeviceRows.

Nothing here comes from inside the coordinator or a device: updates are counted as they pass, verdicts by their acks,
losses and energy by the devices' telemetry.
"""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from broker_config.link import client
from tegu import topics
from tegu.model import Model
from tegu.wire import WireError
from tegu.wire.messages import Ack, Manifest, Round, State, decode_numbers

from .results import DeviceRow, RoundRow

USER = "observer"
Message = tuple[str, bytes]


@dataclass
class Tally:
    """What passed since the last closed round."""

    verdicts: dict[str, int] = field(default_factory=dict)
    bytes_up: int = 0
    since_s: float = 0.0


class Observer:
    """State of what was seen; `see` takes a message and returns the row of the round that it closes, if it does."""

    def __init__(self, site: str, model_name: str) -> None:
        self.site = site
        self.model_name = model_name
        self.ready: set[str] = set()
        self.finished = False
        self.manifest: Manifest | None = None
        self._telemetry: dict[str, dict[str, float]] = {}
        self._version = 0  # the newest that was heard of
        self._round_num = 0  # of the round that is open
        self._down_before = 0
        self._tally = Tally()

    def see(self, topic: str, payload: bytes, now_s: float) -> RoundRow | None:
        words = topics.parse(topic)
        if words is None or words[0] != self.site:
            return None
        _, owner, name, kind, rest = words
        try:
            if owner == "model" and name == self.model_name and kind == "manifest":
                return self._on_manifest(Manifest.decode(payload), now_s)
            if owner == "model" and name == self.model_name and kind == "delta" and payload and rest.isdecimal():
                return self._on_version(int(rest), now_s)
            if owner == "device" and kind == "update":
                self._tally.bytes_up += len(payload)
            elif owner == "device" and kind == "ack":
                result = Ack.decode(payload).result
                self._tally.verdicts[result] = self._tally.verdicts.get(result, 0) + 1
            elif owner == "device" and kind == "state":
                self._on_state(name, State.decode(payload))
            elif owner == "device" and kind == "telemetry":
                self._telemetry.setdefault(name, {}).update(decode_numbers(payload))  # a heartbeat tells no losses
            elif owner == "model" and name == self.model_name and kind == "round" and payload:
                self._round_num = Round.decode(payload).round_num
        except WireError:
            return None
        return None

    def _on_state(self, device: str, state: State) -> None:
        if state.state == "ready":
            self.ready.add(device)
        else:
            self.ready.discard(device)

    def _on_manifest(self, manifest: Manifest, now_s: float) -> RoundRow | None:
        self.manifest = manifest
        self.finished = bool(manifest.finished)
        return self._on_version(manifest.version, now_s)

    def _on_version(self, version: int, now_s: float) -> RoundRow | None:
        """The row of the round that led to a version: told by its delta, or by its manifest if it comes whole."""
        before, self._version = self._version, max(self._version, version)
        if before == 0 or version <= before:
            self._tally.since_s = self._tally.since_s or now_s
            return None
        tally, self._tally = self._tally, Tally(since_s=now_s)
        down = sum(self._number(device, "bytes_model_down") for device in self._telemetry)
        row = RoundRow(
            round_num=self._round_num,
            version=version,
            accepted=tally.verdicts.get("accepted", 0),
            late=tally.verdicts.get("late", 0),
            stale=tally.verdicts.get("stale", 0),
            bytes_up=tally.bytes_up,
            bytes_down=int(down) - self._down_before,
            query_loss_before=self._mean("loss_before"),
            query_loss_after=self._mean("loss_after"),
            closed_after_s=now_s - tally.since_s,
        )
        self._down_before = int(down)
        return row

    def device_row(self, device: str, source: str, simulated: bool) -> DeviceRow:
        """What the device last said of itself."""
        assert self.manifest is not None
        updates = int(self._number(device, "updates"))
        joules = {name: self._number(device, f"{name}_joules") for name in ("compute", "radio", "session")}
        return DeviceRow(
            device=device,
            source=source,
            simulated=simulated,
            updates=updates,
            samples=int(self._number(device, "samples")),
            bytes_up=int(self._number(device, "bytes_update_up")),
            dense_bytes_up=updates * 4 * Model(self.manifest.spec).shared_size,
            bytes_down=int(self._number(device, "bytes_model_down")),
            energy_joules=sum(joules.values()),
            energy_kind="modelled",
            compute_joules=joules["compute"],
            radio_joules=joules["radio"],
            session_joules=joules["session"],
        )

    def _number(self, device: str, name: str) -> float:
        return float(self._telemetry.get(device, {}).get(name, 0))

    def _mean(self, name: str) -> float:
        values = [told[name] for told in self._telemetry.values() if name in told]
        return sum(values) / len(values) if values else float("nan")


class Tap:
    """A subscription to everything of a site: a context manager; iterate over (topic, payload) as they come."""

    def __init__(self, host: str, port: int, password: str, site: str) -> None:
        self._queue: queue.Queue[Message] = queue.Queue()
        self._client = client(USER, password)
        self._client.on_message = lambda _c, _u, message: self._queue.put((message.topic, bytes(message.payload)))
        self._client.on_connect = lambda client, *_: client.subscribe(topics.everything(site), 1)
        self._address = host, port

    def __enter__(self) -> "Tap":
        self._client.connect(*self._address)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def messages(self, wait_s: float) -> Iterator[Message]:
        """All that have come; waits up to wait_s for the first."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                yield self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            deadline = min(deadline, time.monotonic())
