"""What every panel must show of a building, worked out from its points in plain Python: no query language, no database.

A Worth says which points count, how they are grouped, and what becomes of each group: the same words for every query.
The table WORTH has one for each query of each panel; a test holds that none is missing.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from coordinator.metrics import BYTE_CLASSES, CURVE_SAMPLES, MEASUREMENTS, STATES, Point, Value

HOUR_S, DAY_S = 3600, 86400
Call = Callable[[Sequence[Point]], Value | None]
Numbers = list[float]


def _numbers(points: Sequence[Point], name: str) -> Numbers:
    return [float(point.fields[name]) for point in points if name in point.fields]


def _of(call: Callable[[Numbers], float]) -> Callable[[str], Call]:
    """A call of a field's numbers; None where there are none."""
    return lambda name: lambda points: call(_numbers(points, name)) if _numbers(points, name) else None


total, mean, median, most, least = _of(sum), _of(statistics.mean), _of(statistics.median), _of(max), _of(min)
count = _of(lambda numbers: float(len(numbers)))


def last(name: str) -> Call:
    def call(points: Sequence[Point]) -> Value | None:
        return next((point.fields[name] for point in reversed(points) if name in point.fields), None)

    return call


def beside(name: str, other: str) -> Call:
    """The `name` of the last point that has `other`."""

    def call(points: Sequence[Point]) -> Value | None:
        return next((point.fields.get(name) for point in reversed(points) if other in point.fields), None)

    return call


def ratio(above: Call, below: Call, times: float = 1) -> Call:
    def call(points: Sequence[Point]) -> Value | None:
        over, under = above(points), below(points)
        return times * float(over) / float(under) if over is not None and under else None

    return call


@dataclass(frozen=True)
class Worth:
    """columns: name and call. by: tags. window_s: of the time axis, 0: none. back_s: how far back from the end, 0: all.

    where: tags that points must have. of_each: the last point of each of these
    tags first, then one sum of them. best: only so many rows, the largest (or below zero the smallest).
    """

    measurement: str
    columns: dict[str, Call]
    by: tuple[str, ...] = ()
    window_s: int = 0
    back_s: int = 0
    where: dict[str, str] = field(default_factory=dict)
    of_each: tuple[str, ...] = ()
    best: int = 0

    def rows(self, points: Sequence[Point], from_s: int, to_s: int, chosen: dict[str, str]) -> list[dict[str, object]]:
        """time in seconds where there are windows, the tags, the columns; no row where all columns are None."""
        groups: dict[tuple[object, ...], list[Point]] = defaultdict(list)
        for point in self._kept(points, from_s, to_s, chosen):
            tags = self._tags(point)
            window = int(point.time_ns // 10**9 // self.window_s * self.window_s) if self.window_s else 0
            groups[(window, *(tags[name] for name in self.by))].append(point)
        made = [self._row(key, group) for key, group in groups.items()]
        rows = [row for row in made if any(row[name] is not None for name in self.columns)]
        if self.best:
            rows.sort(key=lambda row: float(str(row[next(iter(self.columns))])), reverse=self.best > 0)
        return rows[: abs(self.best)] if self.best else rows

    def _row(self, key: tuple[object, ...], group: list[Point]) -> dict[str, object]:
        row: dict[str, object] = {"time": key[0]} if self.window_s else {}
        row |= dict(zip(self.by, key[1:], strict=True))
        for name, call in self.columns.items():
            row[name] = self._summed(call, group) if self.of_each else call(group)
        return row

    def _summed(self, call: Call, group: list[Point]) -> float:
        each: dict[tuple[str, ...], list[Point]] = defaultdict(list)
        for point in group:
            each[tuple(self._tags(point)[name] for name in self.of_each)].append(point)
        return sum(float(call(points) or 0) for points in each.values())

    def _kept(self, points: Sequence[Point], from_s: int, to_s: int, chosen: dict[str, str]) -> Iterator[Point]:
        first_ns, last_ns = (to_s - self.back_s) * 10**9 + 1 if self.back_s else from_s * 10**9, to_s * 10**9
        wanted = self.where | chosen
        for point in points:
            if point.measurement == self.measurement and first_ns <= point.time_ns <= last_ns:
                tags = self._tags(point)
                if all(tags[name] == value for name, value in wanted.items() if name in tags):
                    yield point

    @staticmethod
    def _tags(point: Point) -> dict[str, str]:
        return dict(zip(MEASUREMENTS[point.measurement].tags, point.tags, strict=True))


def _same(call: Callable[[str], Call], *names: str) -> dict[str, Call]:
    return {name: call(name) for name in names}


def _lettered(dashboard: str, panel: str, worths: Sequence[Worth]) -> dict[tuple[str, str, str], Worth]:
    return {(dashboard, panel, chr(ord("A") + place)): worth for place, worth in enumerate(worths)}


def _reading(channel: str, *by: str) -> Worth:
    return Worth("reading", {"value": mean("value")}, by, 60, where={"channel": channel})


def _curve(call: Call, window_s: int = 0) -> list[Worth]:
    return [
        Worth("adaptation", {"loss": call}, (), window_s, where={"samples": str(samples)}) for samples in CURVE_SAMPLES
    ]


def _of_devices(place: int) -> Call:
    """The mean of each device's first (0) or last (-1) loss."""

    def call(points: Sequence[Point]) -> Value | None:
        each: dict[str, Numbers] = defaultdict(list)
        for point in points:
            each[point.tags[1]].append(float(point.fields["loss"]))
        return statistics.mean(losses[place] for losses in each.values())

    return call


def _gain(per: str, times: float) -> Call:
    def call(points: Sequence[Point]) -> Value | None:
        return statistics.mean(
            (float(each["loss_before"]) - float(each["loss_after"]))
            * float(each["accepted"])
            / float(each[per])
            * times
            for each in (point.fields for point in points)
            if each[per]
        )

    return call


def _now(call: Callable[[str], Call], name: str, shown: str = "", measurement: str = "status") -> Worth:
    return Worth(measurement, {shown or name: call(name)}, (), 0, 3 * HOUR_S)


def _fleet(name: str) -> Worth:
    return Worth("fleet", {name: last(name)}, (), 0, 3 * HOUR_S, of_each=("site", "model"))


RESULTS = ("accepted", "duplicate", "late", "stale", "limited", "invalid")
ROUND = ("round_num", "version", "ready", "quorum", *RESULTS, "extended", "quorum_s", "lasted_s")
LEDGER = tuple(f"{name}_{who}" for name in BYTE_CLASSES for who in ("device", "coordinator"))
PARTS = ("compute_joules", "radio_joules", "session_joules")
MODELLED, MEASURED = {"kind": "modelled"}, {"kind": "measured"}
WEEK_S, TEN_MIN_S = 7 * DAY_S, 600


def _heard(points: Sequence[Point]) -> float:
    return 1000 * float(last("heard_s")(points) or 0)


def _everything(points: Sequence[Point]) -> float:
    return sum(float(total(name)(points) or 0) for name in BYTE_CLASSES)


def _accepted_part(points: Sequence[Point]) -> float:
    return float(total("accepted")(points) or 0) / sum(float(total(name)(points) or 0) for name in RESULTS)


def _by_deadline(points: Sequence[Point]) -> float:
    return float(sum("quorum_s" not in point.fields for point in points))


WORTH: dict[tuple[str, str, str], Worth] = {
    # --- fleet ---
    ("fleet", "Need a visit", "A"): _fleet("visit"),
    ("fleet", "Keep an eye on", "A"): _fleet("watch"),
    ("fleet", "Silent", "A"): _fleet("silent"),
    ("fleet", "Link lost", "A"): _fleet("lost"),
    ("fleet", "Ready", "A"): _fleet("ready"),
    ("fleet", "Devices", "A"): _fleet("devices"),
    ("fleet", "Devices, worst first", "A"): Worth(
        "status",
        {"needs": last("trouble_code"), **_same(last, "state", "trouble", "behind", "starts"), "heard": _heard},
        ("device",), 0, 3 * HOUR_S,
    ),
    ("fleet", "Devices, worst first", "B"): Worth(
        "device", {"battery": last("battery_percent"), "rssi": last("rssi_dbm")}, ("device",), 0, WEEK_S
    ),
    ("fleet", "Devices, worst first", "C"): Worth("bytes", {"gap": last("gap")}, ("device",), 0, WEEK_S),
    **_lettered(
        "fleet", "Devices by state",
        [Worth("fleet", {state: last(state)}, (), 60, of_each=("site", "model")) for state in STATES],
    ),
    ("fleet", "Versions behind", "A"): Worth("fleet", {"behind": most("behind_most")}, ("model",), 60),
    ("fleet", "Bytes that differ", "A"): Worth("fleet", {"gap": most("gap_bytes")}, ("model",), 60),
    ("fleet", "Batteries, lowest first", "A"): Worth(
        "device", {"battery": last("battery_percent")}, ("device",), 0, WEEK_S, best=-10
    ),
    ("fleet", "Starts in 24 h, most first", "A"): Worth(
        "status", {"starts": last("starts")}, ("device",), 0, 3 * HOUR_S, best=10
    ),
    # --- device ---
    ("device", "Visit?", "A"): _now(last, "trouble_code", "needs"),
    ("device", "State", "A"): _now(last, "state_code", "state"),
    ("device", "Why", "A"): _now(last, "trouble"),
    ("device", "Last heard", "A"): Worth("status", {"heard": _heard}, (), 0, 3 * HOUR_S),
    ("device", "Versions behind", "A"): _now(last, "behind"),
    ("device", "Starts in 24 h", "A"): _now(last, "starts"),
    ("device", "Bytes that differ", "A"): Worth("bytes", {"gap": last("gap")}, (), 0, WEEK_S),
    ("device", "State over time", "A"): Worth("status", {"state": last("state")}, (), 60),
    ("device", "CO2", "A"): _reading("co2"),
    ("device", "Temperature and humidity", "A"): _reading("temperature"),
    ("device", "Temperature and humidity", "B"): _reading("humidity"),
    ("device", "Presence", "A"): _reading("presence"),
    ("device", "Other readings", "A"): _reading("illuminance", "channel"),
    ("device", "Other readings", "B"): Worth("other", {"value": mean("value")}, ("name",), 60),
    ("device", "Loss", "A"): Worth("device", {"before": mean("loss_before"), "after": mean("loss_after")}, (), 60),
    ("device", "Updates", "A"): Worth("update", {"updates": count("bytes")}, ("result",), TEN_MIN_S),
    ("device", "Bytes", "A"): Worth("bytes", _same(total, *BYTE_CLASSES), (), TEN_MIN_S),
    ("device", "Energy", "A"): Worth("energy", {"joules": total("joules")}, ("kind",), TEN_MIN_S),
    ("device", "Battery", "A"): Worth("device", _same(least, "battery_percent"), (), 60),
    ("device", "Link", "A"): Worth("device", _same(mean, "rssi_dbm"), (), 60),
    ("device", "Free heap", "A"): Worth("device", _same(least, "free_heap_bytes"), (), 60),
    ("device", "Starts", "A"): Worth("status", _same(most, "boot"), (), 60),
    ("device", "Version", "A"): Worth("device", _same(most, "version"), (), 60),
    ("device", "Version", "B"): Worth("fleet", {"newest": most("version")}, (), 60),
    # --- rounds ---
    ("rounds", "Rounds closed", "A"): Worth("round", {"rounds": count("round_num")}),
    ("rounds", "Time to quorum", "A"): Worth("round", {"quorum": median("quorum_s")}),
    ("rounds", "Length", "A"): Worth("round", {"lasted": median("lasted_s")}),
    ("rounds", "Updates accepted", "A"): Worth("round", _same(total, "accepted")),
    ("rounds", "Accepted of all", "A"): Worth("round", {"part": _accepted_part}),
    ("rounds", "Extended", "A"): Worth("round", _same(total, "extended")),
    ("rounds", "Time to quorum and length", "A"): Worth(
        "round", {"quorum": median("quorum_s"), "lasted": median("lasted_s"), "longest": most("lasted_s")}, (), 60
    ),
    ("rounds", "What became of the updates", "A"): Worth("round", _same(total, *RESULTS), (), TEN_MIN_S),
    ("rounds", "Ready, quorum and accepted", "A"): Worth("round", _same(mean, "ready", "quorum", "accepted"), (), 60),
    ("rounds", "How rounds close", "A"): Worth("round", {"quorum": count("quorum_s")}, (), TEN_MIN_S),
    ("rounds", "How rounds close", "B"): Worth("round", {"deadline": _by_deadline}, (), TEN_MIN_S),
    ("rounds", "How rounds close", "C"): Worth("round", _same(total, "extended"), (), TEN_MIN_S),
    ("rounds", "Latest rounds", "A"): Worth("round", _same(last, *ROUND), ("model",), 1),
    # --- convergence ---
    ("convergence", "Loss, mean of the fleet", "A"): Worth(
        "round", {"before": mean("loss_before"), "after": mean("loss_after")}, (), 60
    ),
    ("convergence", "Loss that is left after adapting", "A"): Worth(
        "round", {"left": ratio(mean("loss_after"), mean("loss_before"))}, (), 60
    ),
    ("convergence", "Outer step", "A"): Worth("round", {"step": last("outer_step_size")}, (), 60),
    **_lettered(
        "convergence", "Adaptation curve",
        [worth for pair in zip(_curve(_of_devices(0)), _curve(_of_devices(-1)), strict=True) for worth in pair],
    ),
    **_lettered("convergence", "Adaptation over versions", _curve(mean("loss"), HOUR_S)),
    ("convergence", "Loss after adapting, by device", "A"): Worth(
        "device", {"after": mean("loss_after")}, ("device",), TEN_MIN_S
    ),
    ("convergence", "Devices, least gain first", "A"): Worth(
        "device",
        {
            "after": last("loss_after"), "before": last("loss_before"), "version": beside("version", "loss_after"),
            "left": ratio(last("loss_after"), last("loss_before")),
        },
        ("device",), 0, WEEK_S,
    ),
    # --- communication ---
    ("communication", "All bytes", "A"): Worth("bytes", {"all": _everything}),
    ("communication", "Model, down", "A"): Worth("bytes", {"down": total("model_down")}),
    ("communication", "Updates, up", "A"): Worth("bytes", {"up": total("update_up")}),
    ("communication", "Telemetry, up", "A"): Worth("bytes", {"told": total("telemetry_up")}),
    ("communication", "Updates if dense", "A"): Worth("bytes", {"dense": total("dense_up")}),
    ("communication", "Smaller by", "A"): Worth("bytes", {"times": ratio(total("dense_up"), total("update_up"))}),
    **_lettered(
        "communication", "Bytes by class", [Worth("bytes", _same(total, name), (), TEN_MIN_S) for name in BYTE_CLASSES]
    ),
    ("communication", "Updates: sent and come", "A"): Worth("bytes", {"device": total("update_up")}, (), TEN_MIN_S),
    ("communication", "Updates: sent and come", "B"): Worth("update", {"coordinator": total("bytes")}, (), TEN_MIN_S),
    ("communication", "Smaller than dense by", "A"): Worth(
        "bytes", {"times": ratio(total("dense_up"), total("update_up"))}, (), TEN_MIN_S
    ),
    ("communication", "Updates by answer", "A"): Worth("update", {"updates": count("bytes")}, ("result",), TEN_MIN_S),
    ("communication", "Bytes that differ", "A"): Worth("bytes", {"gap": last("gap")}, ("device",), TEN_MIN_S),
    ("communication", "The ledger, largest differences first", "A"): Worth(
        "bytes", _same(last, "gap", *LEDGER), ("device",), 0, WEEK_S
    ),
    # --- energy ---
    ("energy", "Measured", "A"): Worth("energy", _same(total, "joules"), where=MEASURED),
    ("energy", "Modelled", "A"): Worth("energy", _same(total, "joules"), where=MODELLED),
    ("energy", "A device and round", "A"): Worth("round", {"joules": ratio(total("joules"), total("accepted"))}),
    ("energy", "A kilobyte of updates", "A"): Worth(
        "round", {"joules": ratio(total("joules"), total("update_bytes"), 1000)}
    ),
    ("energy", "Joules by kind", "A"): Worth("energy", _same(total, "joules"), ("kind",), TEN_MIN_S),
    **_lettered(
        "energy", "Joules by part",
        [Worth("energy", _same(total, name), (), TEN_MIN_S, where=MODELLED) for name in PARTS],
    ),
    ("energy", "Joules of a device in a telemetry's time", "A"): Worth(
        "energy", _same(mean, "joules"), ("kind",), TEN_MIN_S
    ),
    ("energy", "Devices that spend most", "A"): Worth("energy", _same(mean, "joules"), ("device", "kind"), best=6),
    ("energy", "Loss gained by a joule", "A"): Worth("round", {"gain": _gain("joules", 1)}, (), 60),
    ("energy", "Loss gained by a kilobyte", "A"): Worth("round", {"gain": _gain("update_bytes", 1000)}, (), 60),
    # --- coordinator ---
    **{
        ("coordinator", panel, "A"): Worth(
            "coordinator", {name: last(name)}, ("model",), 0, 3 * HOUR_S, best=-1 if low else 1
        )
        for panel, name, low in (
            ("Broker", "connected", True), ("Starts", "epoch", False), ("Waiting messages", "queue_messages", False),
            ("Dropped messages", "dropped_messages", False), ("Outputs that fail", "failing", False),
            ("Spool", "spool_percent", False), ("Lost points", "lost_points", False),
            ("Free disk", "disk_free_bytes", True),
        )
    },
    **{
        ("coordinator", panel, ref): Worth("coordinator", {name: call(name)}, ("model",), 600 if call is total else 60)
        for panel, ref, call, name in (
            ("Waiting messages over time", "A", most, "queue_messages"), ("Time of a commit", "A", mean, "commit_ms"),
            ("Age of the round", "A", most, "round_age_s"), ("Points for a database", "A", most, "waiting_points"),
            ("Points for a database", "B", most, "spool_points"), ("Spool over time", "A", most, "spool_percent"),
            ("Points written", "A", total, "written_points"), ("Memory", "A", most, "memory_bytes"),
            ("Dropped, lost, rejected", "A", most, "dropped_messages"), ("Processor", "A", mean, "cpu_percent"),
            ("Dropped, lost, rejected", "B", most, "lost_points"), ("Starts over time", "A", most, "epoch"),
            ("Dropped, lost, rejected", "C", most, "rejected_points"),
        )
    },
}  # fmt: skip
