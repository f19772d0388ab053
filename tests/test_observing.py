"""What is made of a message: the points of rounds, acks, telemetry, readings and states, by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from coordinator.metrics import MEASUREMENTS, Point, line, make_point
from coordinator.observing import Observed
from tegu import topics
from tegu.wire.messages import Ack, Manifest, Round, State
from tests.watched import SPEC, Watched

S = 10**9
T0 = 1_700_000_000 * S
DENSE = 4 * (11 * 24 + 24 + 24 * 2 + 2)  # bytes of SPEC as float32


class Scene:
    """An Observed that is told things by hand; `at` is the time in seconds."""

    def __init__(self, **told: Any) -> None:
        self.observed = Observed("home", "m", **{"silent_s": 100.0, "every_s": 10.0, **told})

    def heard(
        self, at: float, device: str, kind: str, payload: bytes, what: str = "", retained: bool = False
    ) -> list[Point]:
        topic = topics.device("home", device, kind, what)
        return self.observed.take(("heard", T0 + int(at * S), topic, payload, len(payload), retained))

    def said(self, at: float, topic: str, payload: bytes) -> list[Point]:
        return self.observed.take(("said", T0 + int(at * S), topic, payload, len(payload), True))

    def state(self, at: float, device: str, state: str = "ready", boot: int = 1, **more: Any) -> list[Point]:
        return self.heard(at, device, "state", State(state=state, boot=boot, model="m", **more).encode())

    def telemetry(self, at: float, device: str, boot: int = 1, **numbers: float) -> list[Point]:
        return self.heard(at, device, "telemetry", json.dumps({"boot": boot, **numbers}).encode())

    def manifest(self, at: float, version: int) -> list[Point]:
        told = Manifest(
            model="m", spec=SPEC, hash=1, version=version, bytes=500, sha256="0" * 64, chunks=1,
            inner_step_size=0.1, outer_step_size=0.25, samples=4, top_p=10.0,
        )  # fmt: skip
        return self.said(at, topics.model("home", "m", "manifest"), told.encode())

    def round(self, at: float, round_num: int, version: int, quorum: int = 2) -> list[Point]:
        opened = Round(round_num=round_num, version=version, opens_s=0, closes_s=60, quorum=quorum)
        return self.said(at, topics.model("home", "m", "round"), opened.encode())

    def update(self, at: float, device: str, size: int, result: str, version: int) -> list[Point]:
        """An update of `size` bytes of that version, and the coordinator's word a tenth of a second later."""
        topic = topics.device("home", device, "update", "m")
        head = b"\x12\x00\x00\x00" + bytes([version, 1, 1])
        first = self.observed.take(("heard", T0 + int(at * S), topic, head, size, False))
        ack = Ack(result=result, boot=1, sequence=1, version=version).encode()
        return first + self.said(at + 0.1, topics.device("home", device, "ack", "m"), ack)

    def tick(self, at: float) -> list[Point]:
        self.observed._ticked_ns = 0  # no ticks between: the clock was not set, time passed
        return self.observed.tick(T0 + int(at * S))


def only(points: list[Point], name: str) -> Point:
    found = [point for point in points if point.measurement == name]
    assert len(found) == 1, [point.measurement for point in points]
    return found[0]


def test_a_closed_round_is_one_point_with_all_that_passed_in_it() -> None:
    scene = Scene()
    for name in ("a", "b", "c"):
        scene.state(0, name)
    scene.manifest(1, 7)
    scene.round(2, 40, 7)
    scene.round(62, 41, 7)  # the deadline passed with nothing
    scene.telemetry(63, "a", loss_before=0.9, loss_after=0.5, compute_joules=0.0, radio_joules=0.0, session_joules=0.0)
    scene.telemetry(63, "a", compute_joules=0.25, radio_joules=0.5, session_joules=0.0)
    scene.telemetry(64, "b", loss_before=0.7, loss_after=0.3)
    scene.update(65, "a", 170, "accepted", 7)
    scene.update(66, "c", 90, "late", 7)
    scene.update(67, "b", 180, "accepted", 7)
    assert scene.manifest(69, 7) == []  # published anew: no new version
    ledger = scene.observed.ledger
    said_bytes = (
        len(Round(round_num=40, version=7, opens_s=0, closes_s=60, quorum=2).encode()) * 2 + ledger._manifest_bytes
    )
    point = only(scene.manifest(70, 8), "round")
    assert point.tags == ("home", "m")
    assert point.fields == {
        "round_num": 41, "version": 7, "ready": 3, "quorum": 2, "extended": 1, "accepted": 2, "late": 1,
        "duplicate": 0, "stale": 0, "limited": 0, "invalid": 0, "quorum_s": pytest.approx(65.1), "lasted_s": 68.0,
        "update_bytes": 440, "dense_bytes": 3 * DENSE, "said_bytes": said_bytes,
        "loss_before": 0.8, "loss_after": 0.4, "joules": 0.75, "outer_step_size": 0.25,
    }  # fmt: skip
    assert scene.manifest(71, 8) == []


def test_an_update_is_a_point_with_the_coordinators_word() -> None:
    scene = Scene()
    scene.state(0, "a")
    point = only(scene.update(5, "a", 123, "stale", 3), "update")
    assert point.tags == ("home", "a", "m", "stale")
    assert point.fields == {"bytes": 123, "version": 3, "behind": 0}
    head = b"\x12\x00\x00\x00" + bytes([3, 1, 2])
    scene.observed.take(("heard", T0 + 6 * S, topics.device("home", "a", "update", "m"), head, 99, False))
    answer = Ack(result="late", boot=1, sequence=2, version=4).encode()
    point = only(scene.said(7, topics.device("home", "a", "ack", "m"), answer), "update")
    assert point.fields == {"bytes": 99, "version": 3, "behind": 1}
    assert scene.said(8, topics.device("home", "a", "ack", "m"), answer) == []  # one that answers no update


def test_telemetry_goes_where_the_table_says_and_the_rest_keeps_its_name() -> None:
    scene = Scene()
    scene.state(0, "a")
    points = scene.telemetry(
        5, "a", version=3, samples=64, loss_before=0.5, loss_after=0.25, free_heap_bytes=5600, battery_percent=80,
        curve_0=0.5, curve_4=0.375, my_number=2.5, energy_modelled=1, compute_joules=1.0, radio_joules=2.0,
    )  # fmt: skip
    assert only(points, "device").fields == {
        "version": 3, "boot": 1, "samples": 64, "loss_before": 0.5, "loss_after": 0.25, "free_heap_bytes": 5600,
        "battery_percent": 80.0,
    }  # fmt: skip
    curve = [point for point in points if point.measurement == "adaptation"]
    assert [(point.tags[3], point.fields["loss"], point.fields["version"]) for point in curve] == [
        ("0", 0.5, 3),
        ("4", 0.375, 3),
    ]
    assert (only(points, "other").tags, only(points, "other").fields) == (("home", "a", "my_number"), {"value": 2.5})
    assert (only(points, "energy").tags[3], only(points, "energy").fields["joules"]) == ("modelled", 3.0)


def test_energy_is_what_was_spent_since_the_last_telemetry_and_a_restart_begins_anew() -> None:
    scene = Scene()
    scene.state(0, "a", boot=1)
    spent = [
        only(scene.telemetry(at, "a", boot=boot, energy_modelled=0, joules=joules, metered_s=9), "energy")
        for at, boot, joules in ((1, 1, 5.0), (2, 1, 7.5))
    ]
    scene.state(3, "a", boot=2)
    spent.append(only(scene.telemetry(4, "a", boot=2, energy_modelled=0, joules=1.5, metered_s=1), "energy"))
    assert [point.tags[3] for point in spent] == ["measured"] * 3
    assert [(point.fields["joules"], point.fields["total_joules"]) for point in spent] == [
        (5.0, 5.0),
        (2.5, 7.5),
        (1.5, 1.5),
    ]


def test_what_a_device_spent_before_anyone_watched_is_nobodys() -> None:
    scene = Scene(fresh=False)
    scene.heard(0, "a", "state", State(state="ready", boot=4, model="m").encode(), retained=True)
    point = only(scene.telemetry(1, "a", boot=4, energy_modelled=0, joules=100.0), "energy")
    assert (point.fields["joules"], point.fields["total_joules"]) == (0.0, 100.0)


def test_a_reading_is_its_value_whatever_form_of_senml() -> None:
    scene = Scene()
    scene.state(0, "a")
    assert only(scene.heard(1, "a", "sense", b'[{"n":"co2","u":"ppm","v":612}]', "co2"), "reading") == Point(
        "reading", ("home", "a", "co2"), {"value": 612.0}, T0 + S
    )
    assert only(scene.heard(1, "a", "sense", b'[{"vb":true}]', "motion"), "reading").fields == {"value": 1.0}
    for bad in (b"", b"[]", b"{}", b'[{"v":"12"}]', b'[{"v":NaN}]', b"[" * 4000, b'[{"v":1}]' + b" " * 5000, b"\xff"):
        assert scene.heard(2, "a", "sense", bad, "co2") == []
    assert scene.observed.bad == 8


def test_a_device_of_another_model_or_another_site_is_not_ours() -> None:
    scene = Scene()
    scene.heard(0, "x", "state", State(state="ready", boot=1, model="other").encode())
    assert scene.telemetry(1, "x", samples=3) == []
    topic = topics.device("elsewhere", "a", "state")
    assert scene.observed.take(("heard", T0, topic, State(state="ready", boot=1).encode(), 20, False)) == []
    assert scene.observed.devices == {}


def test_bad_bytes_are_counted_and_dropped() -> None:
    scene = Scene()
    scene.state(0, "a")
    for kind, payload in (("state", b"{"), ("telemetry", b"[1]"), ("telemetry", b'{"a":"b"}'), ("telemetry", b"\x00")):
        assert scene.heard(1, "a", kind, payload) == []
    assert scene.observed.take(("heard", T0, "tegu/1/home/device/BAD ID/state", b"{}", 2, False)) == []
    assert scene.observed.bad == 5


def test_a_status_is_written_at_a_change_and_once_an_hour_and_with_telemetry_now_and_then() -> None:
    scene = Scene(silent_s=10_000.0)
    first = only(scene.state(0, "a", version=3), "status")
    assert (first.fields["state"], first.fields["state_code"], first.fields["trouble_code"]) == ("ready", 0, 0)
    assert [point for point in scene.telemetry(10, "a", samples=1) if point.measurement == "status"] == []
    assert len([point for point in scene.telemetry(51, "a", samples=2) if point.measurement == "status"]) == 1
    assert [point for point in scene.tick(60) if point.measurement == "status"] == []
    assert len([point for point in scene.tick(3652) if point.measurement == "status"]) == 1


def test_a_device_that_falls_silent_is_said_so_and_marked_once() -> None:
    scene = Scene()
    scene.state(0, "a")
    assert [p.measurement for p in scene.tick(90)] == ["fleet"]
    points = scene.tick(110)
    status = only(points, "status").fields
    assert (status["state"], status["state_code"], status["trouble_code"]) == ("silent", 5, 2)
    assert (status["trouble"], status["silent_s"]) == ("silent", 110.0)
    assert only(points, "event").fields["text"] == "a: silent"
    fleet = only(points, "fleet").fields
    assert (fleet["devices"], fleet["ready"], fleet["silent"], fleet["visit"]) == (1, 0, 1, 1)
    assert [p.measurement for p in scene.tick(125)] == ["fleet"]
    points = scene.telemetry(130, "a", samples=1)
    assert only(points, "status").fields["state"] == "ready"
    assert (only(points, "event").tags[2], only(points, "event").fields["text"]) == (
        "recovered",
        "a: nothing is the matter any more",
    )
    assert [p.measurement for p in scene.tick(140)] == ["fleet"]


def test_starts_are_counted_as_they_are_seen() -> None:
    scene = Scene()
    for boot in range(1, 6):
        last = only([p for p in scene.state(boot, "a", boot=boot) if p.measurement == "status"], "status")
    assert (last.fields["starts"], last.fields["trouble"], last.fields["trouble_code"]) == (
        4,
        "started 4 times in a day",
        1,
    )
    assert scene.state(9, "a", state="lost", boot=2) == []  # the last will of an earlier life
    assert scene.observed.devices["a"].seen.state == "ready"


def test_a_checkpoint_put_back_is_a_rollback_and_any_other_start_a_restart() -> None:
    scene = Scene()
    back = only(scene.observed.restarted(3, 10, 25, T0), "event")
    assert (back.tags[2], back.fields) == ("rollback", {"text": "back from version 25 to 10", "version": 10})
    again = only(scene.observed.restarted(4, 25, 25, T0), "event")
    assert (again.tags[2], again.fields["text"]) == ("restart", "the coordinator's start number 4")


def test_a_device_taken_away_is_forgotten() -> None:
    scene = Scene()
    scene.state(0, "a")
    scene.heard(1, "a", "state", b"")
    assert scene.observed.devices == {} and scene.observed.ledger.accounts == {}


def test_numbers_of_its_own_have_a_limit() -> None:
    scene = Scene()
    scene.state(0, "a")
    made = [scene.telemetry(n, "a", **{f"n{n}": 1.0}) for n in range(100)]
    assert sum(point.measurement == "other" for points in made for point in points) == 64


def test_an_answer_that_was_not_noted_shifts_no_other() -> None:
    scene = Scene()
    scene.state(0, "a")
    topic = topics.device("home", "a", "update", "m")
    for n, (version, size) in enumerate(((3, 111), (4, 222)), 1):
        head = b"\x12\x00\x00\x00" + bytes([version, 1, n])
        scene.observed.take(("heard", T0 + n * S, topic, head, size, False))
    told = Ack(result="stale", version=4, least_boot=1).encode()  # of a state, not of an update
    assert scene.said(3, topics.device("home", "a", "ack", "m"), told) == []
    told = Ack(result="accepted", boot=1, sequence=2, version=4).encode()
    point = only(scene.said(4, topics.device("home", "a", "ack", "m"), told), "update")
    assert (point.fields["bytes"], point.fields["behind"]) == (222, 0)


def test_nothing_that_a_device_can_say_ends_the_watching() -> None:
    scene = Scene()
    scene.state(0, "a")
    for failed in (1, -1e37, 1e37, True):
        scene.telemetry(1, "a", sensor_failed=failed)
    for words in (
        '{"boot":1e300}',
        '{"boot":-5}',
        '{"boot":1,"bytes_update_up":1e37}',
        '{"boot":1,"bytes_update_up":-1}',
    ):
        scene.heard(2, "a", "telemetry", words.encode())
    scene.state(3, "a", boot=2**31)
    assert scene.observed.devices["a"].seen.boot == 1
    assert only(scene.telemetry(4, "a", samples=3), "device").fields["samples"] == 3


def test_absurd_energy_and_losses_are_no_measurements() -> None:
    scene = Scene()
    scene.state(0, "a")
    scene.round(1, 1, 1)
    assert [p for p in scene.telemetry(2, "a", energy_modelled=0, joules=3e37) if p.measurement == "energy"] == []
    assert only(scene.telemetry(3, "a", energy_modelled=0, joules=7.0), "energy").fields["joules"] == 7.0
    scene.telemetry(4, "a", samples=1)  # one that tells no energy
    assert only(scene.telemetry(5, "a", energy_modelled=0, joules=9.0), "energy").fields["joules"] == 2.0
    assert only(scene.telemetry(6, "a", energy_modelled=0, joules=4.0), "energy").fields["joules"] == 4.0  # began anew
    scene.telemetry(7, "a", loss_before=1e30, loss_after=-1e30)
    scene.telemetry(8, "a", loss_before=0.5, loss_after=0.25)
    closed = only(scene.round(9, 2, 2), "round").fields
    assert (closed["loss_before"], closed["loss_after"], closed["joules"]) == (0.5, 0.25, 13.0)


def test_a_device_that_floods_is_counted_and_left_out() -> None:
    scene = Scene()
    scene.state(0, "a")
    taken = sum(len(scene.heard(1, "a", "sense", b'[{"v":1}]', "co2")) for _ in range(5000))
    assert 1990 <= taken <= 2000
    assert scene.observed.bad == 5000 - taken
    assert len(scene.heard(2, "a", "sense", b'[{"v":1}]', "co2")) == 1  # a second later there is room again


def test_a_clock_that_is_set_makes_nobody_silent() -> None:
    scene = Scene()
    scene.state(0, "a")
    for at in (10, 20, 86_420, 86_430, 430, 440):
        points = scene.observed.tick(T0 + at * S)
        assert [p.fields["silent"] for p in points if p.measurement == "fleet"] in ([], [0]), at
        assert [p for p in points if p.measurement == "event"] == []
    assert [p.fields["silent"] for p in scene.tick(600) if p.measurement == "fleet"] == [1]


def test_a_device_that_moves_to_another_model_is_not_ours_any_more() -> None:
    scene = Scene()
    scene.state(0, "a")
    scene.heard(1, "a", "state", State(state="ready", boot=2, model="other").encode())
    assert scene.observed.devices == {} and scene.observed.ledger.accounts == {}
    assert scene.telemetry(2, "a", boot=2, samples=1) == []


def test_a_reason_is_shown_without_what_a_terminal_would_obey() -> None:
    scene = Scene()
    status = only(scene.state(0, "a", state="refused", why="a\x1b]0;b\x9bc\nd\ud800"), "status")
    assert status.fields["trouble"] == "the model does not fit: a?]0;b?c?d?"


def test_a_federation_makes_points_of_every_round_and_device(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 3, 1, quorum=3, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(300)
    rounds = world.of("round")
    assert [point.fields["version"] for point in rounds] == list(range(1, len(rounds) + 1))
    assert len(rounds) == world.federation.rounds.closed > 10
    assert {point.fields["accepted"] for point in rounds} == {3}
    updates = world.of("update")
    assert sum(int(point.fields["update_bytes"]) for point in rounds) == sum(
        int(point.fields["bytes"]) for point in updates if int(point.fields["version"]) <= len(rounds)
    )
    assert {point.tags[3] for point in updates} == {"accepted"}


def test_every_point_fits_the_table(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 3, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(150)
    assert {point.measurement for point in world.points} >= {"status", "device", "bytes", "update", "round", "fleet"}
    for point in world.points:
        told = MEASUREMENTS[point.measurement]
        assert len(point.tags) == len(told.tags)
        assert all(type(value) is told.fields[name].kind for name, value in point.fields.items())
        assert "\n" not in line(point)


# --- the table -------------------------------------------------------------------------------------------------------


def test_a_point_has_the_kinds_of_the_table_and_leaves_out_what_cannot_be_stored() -> None:
    tags = ("home", "a", "m")
    values = {"version": 3.0, "loss_before": 1, "loss_after": math.nan, "battery_percent": None, "samples": 2.0**70}
    point = make_point("device", tags, values, 5)
    assert point == Point("device", tags, {"version": 3, "loss_before": 1.0}, 5)
    assert [type(value) for value in point.fields.values()] == [int, float]
    assert make_point("device", tags, {"loss_after": math.inf}, 5) is None
    for name, given, values in (("devise", tags, {}), ("device", tags[:2], {}), ("device", tags, {"co2": 1})):
        with pytest.raises(ValueError, match=r"devise|tags|co2"):
            make_point(name, given, values, 5)


def test_a_line_is_what_influxdb_reads() -> None:
    point = Point("event", ("home", "m", "trouble"), {"text": 'say "a\\b"\nend', "version": 4}, 12)
    assert line(point) == 'event,site=home,model=m,kind=trouble text="say \\"a\\\\b\\" end",version=4i 12'
    assert line(Point("other", ("home", "a", "x y=,z"), {"value": 0.1}, 1)) == (
        "other,site=home,device=a,name=x\\ y\\=\\,z value=0.1 1"
    )


def test_a_link_that_comes_and_goes_is_marked_once_in_ten_minutes() -> None:
    scene = Scene()
    marks = [
        (point.tags[2], point.fields["text"])
        for n in range(20)
        for point in scene.state(n, "a", state="lost" if n % 2 else "ready")
        if point.measurement == "event"
    ]
    assert marks == [("watch", "a: link lost"), ("recovered", "a: nothing is the matter any more")]


def test_a_device_that_starts_anew_counts_from_nothing() -> None:
    scene = Scene()
    scene.state(0, "a")
    scene.telemetry(1, "a", energy_modelled=0, joules=1.0, sensor_failed=50)
    scene.state(2, "a", boot=2)
    point = only(scene.telemetry(3, "a", boot=2, energy_modelled=0, joules=3.0, sensor_failed=51), "energy")
    assert point.fields["joules"] == 3.0


def test_a_sensor_that_fails_is_noticed_and_one_that_failed_long_ago_is_not() -> None:
    scene = Scene()
    scene.state(0, "a")
    for at in range(1, 20):
        scene.telemetry(at, "a", sensor_failed=7)
    assert scene.tick(20) and scene.observed.devices["a"].written[1] == 0
    scene.telemetry(21, "a", sensor_failed=17)
    assert scene.observed.devices["a"].written[1] == 2


def test_the_quorum_is_reached_by_the_update_that_makes_it_not_by_the_first_or_the_last() -> None:
    scene = Scene()
    for name in ("a", "b", "c"):
        scene.state(0, name)
    scene.round(10, 1, 1, quorum=2)
    for at, name in ((11, "a"), (13, "b"), (17, "c")):
        scene.update(at, name, 100, "accepted", 1)
    assert only(scene.round(20, 2, 2), "round").fields["quorum_s"] == pytest.approx(3.1)


def test_an_older_version_that_is_said_again_is_not_the_newest() -> None:
    scene = Scene()
    scene.round(1, 5, 9)
    scene.manifest(2, 8)  # whole versions are published now and then; deltas lead on from them
    assert scene.observed.version == 9
