"""What `tegu watch` shows, as values: against a small building worked out by hand (see tests/watching.py)."""

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from dashboards.watch.store import NS, Reading, Store, StoreError
from dashboards.watch.views import coordinator, costs, learning, periods, rounds
from dashboards.watch.views.device import device
from dashboards.watch.views.fleet import fleet, natural

from .watching import MODEL, Written, building, ledger, minute, point, round_closed, status, write

NOW_S = 1_790_000_040  # at a whole minute
NOW_NS = NOW_S * NS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write(tmp_path_factory.mktemp("store") / "telemetry.sqlite", building(NOW_S)))


def hour(at: Reading) -> periods.Period:
    return periods.period(at, "hour")


def test_the_worst_device_comes_first_and_its_trouble_is_told_as_of_now(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = fleet(at)
    assert [told.name for told in found.devices] == ["room-2", "room-3", "room-1"]
    silent, sleeping, ready = found.devices
    assert (silent.state, silent.trouble, silent.heard_s) == ("silent", "silent for 3 h", 3 * 3600)
    assert (sleeping.trouble, sleeping.battery_percent, sleeping.gap_bytes) == ("battery at 20 %", 20.0, 8)
    assert (ready.trouble, ready.heard_s, ready.loss_after) == ("", 5.0, 0.2)


def test_versions_behind_are_counted_from_the_newest_that_anyone_has(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = fleet(at)
    assert found.version == 6  # room-1's telemetry; the fleet's own point still says 5
    assert {told.name: told.behind for told in found.devices} == {"room-1": 0, "room-2": 4, "room-3": 1}


def test_the_fleet_is_counted_by_state_and_by_need(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = fleet(at)
    assert found.states == {"ready": 1, "sleeping": 1, "silent": 1}
    assert (found.heard, found.count(1), found.count(2)) == (2, 1, 1)


def test_a_device_that_the_coordinator_has_forgotten_is_not_listed(tmp_path: Path) -> None:
    gone, there = status("gone", "ready", NOW_S - 4 * 3600), status("there", "ready", NOW_S - 60)
    with Store(write(tmp_path / "s.sqlite", [gone, there])).reading(NOW_NS) as at:
        assert [told.name for told in fleet(at).devices] == ["there"]


def test_devices_of_another_model_are_not_shown(tmp_path: Path) -> None:
    before = point("status", ("room-1", "older"), NOW_S - 90, state="ready")
    with Store(write(tmp_path / "s.sqlite", [before, status("room-2", "ready", NOW_S - 60)])).reading(NOW_NS) as at:
        assert (at.model, [told.name for told in fleet(at).devices]) == (MODEL, ["room-2"])


def test_names_are_sorted_as_people_count() -> None:
    assert sorted(["room-10", "room-2", "attic"], key=natural) == ["attic", "room-2", "room-10"]


def test_bytes_are_summed_by_class_and_set_against_dense(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = costs.communication(at, hour(at))
    assert [found.total(column) for column in range(4)] == [3000, 300, 110, 4800]
    assert (found.all_bytes, found.smaller_times, found.gap_bytes) == (3410, 16.0, 8)
    assert [values[0] for _, values in found.steps if values[0]] == [2000, 1000]
    assert [told.device for told in found.devices] == ["room-3", "room-1"]
    assert found.devices[0].classes["update_up"] == costs.Count(2000, 1992, 8)
    assert found.per_round[0][1:] == (200.0, 3200.0)


def test_counts_too_large_for_64_bits_together_leave_every_page_readable(tmp_path: Path) -> None:
    most = 2**63 - 1
    points = [*minute(NOW_S - 60), status("evil", "ready", NOW_S - 30)]
    points.append(ledger("evil", NOW_S - 30, 0, 0, 0))
    points += [point("bytes", ("evil", MODEL), NOW_S - 20 + at / 10, model_down=most, dense_up=most) for at in range(3)]
    points += [round_closed(number, NOW_S - 10 + number / 10, accepted=most, update_bytes=most) for number in range(3)]
    with Store(write(tmp_path / "s.sqlite", points)).reading(NOW_NS) as at:
        assert costs.communication(at, hour(at)).total(0) == 3 * 2**63
        found = device(at, "evil", hour(at))
        assert rounds.rounds(at, hour(at)).merged == 3 * 2**63
    assert found is not None
    assert [row[1] for row in found.bytes_steps] == [0, 3 * 2**63]


def test_energy_is_summed_by_what_it_was_spent_on(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = costs.energy(at, hour(at))
    assert [found.total(column) for column in range(5)] == [0.25, 0.5, 0.125, 0.125, 3.0]
    assert found.all_joules == 4.0
    assert found.devices == (
        costs.Spent("room-3", "measured", 50.0, 0.5),
        costs.Spent("room-1", "modelled", 20.0, 0.02),
    )


def test_a_trend_compares_the_first_third_with_the_last(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = learning.learning(at, hour(at))
    assert (found.trend.words, found.trend.first, found.trend.last) == ("improving", 0.8, 0.4)
    assert found.trend.percent == pytest.approx(-50.0)
    assert [row[1:] for row in found.losses][:2] == [(1.0, 0.8), (0.9, 0.8)]
    assert [mark.kind for mark in found.marks] == ["restart"]


@pytest.mark.parametrize(
    ("losses", "words"),
    [([1.0] * 5, ""), ([1.0, 1.0, 0.9, 0.9, 0.98, 0.98], "steady"), ([1.0, 1.0, 1.0, 1.0, 1.1, 1.1], "worse")],
)
def test_a_small_change_is_steady_and_five_rounds_are_too_few(losses: list[float], words: str) -> None:
    assert learning.compare(losses).words == words


def test_the_adaptation_curve_is_the_mean_of_each_devices_newest(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = learning.learning(at, hour(at))
        own = learning.curve(at, "DESC", "room-1")
    assert found.now == learning.Curve(((0, pytest.approx(0.6)), (4, pytest.approx(0.3))), 2, 5, 6)
    assert found.first is not None
    assert found.first.points == ((0, pytest.approx(0.7)), (4, pytest.approx(0.55)))
    assert own == learning.Curve(((0, 0.8), (4, 0.4)), 1, 6, 6)


def test_devices_that_gain_least_come_first(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = learning.gains(at, 10)
    assert found == (learning.Gain("room-3", 0.4, 0.3), learning.Gain("room-1", 0.5, 0.2))
    assert [round(gain.percent) for gain in found] == [25, 60]


def test_rounds_are_listed_newest_first_with_what_became_of_the_updates(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = rounds.rounds(at, hour(at))
    assert [one.number for one in found.latest] == [6, 5, 4, 3, 2, 1]
    assert (found.count, found.merged, found.answered) == (6, 12, 13)
    assert found.latest[0].results["late"] == 1
    assert found.open_s == 4.0  # the coordinator said so now


def test_an_open_round_is_counted_from_the_last_close_if_that_came_after(tmp_path: Path) -> None:
    points = [*minute(NOW_S - 60, round_age_s=100.0), round_closed(1, NOW_S - 25)]
    with Store(write(tmp_path / "s.sqlite", points)).reading(NOW_NS) as at:
        assert rounds.open_s(at) == 25.0


def test_one_device_has_its_states_counts_and_receipts(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = device(at, "room-1", hour(at))
        unknown = device(at, "attic", hour(at))
    assert unknown is None
    assert found is not None
    assert found.results == {"accepted": 1, "late": 1}
    assert [(one.state, (one.end_ns - one.start_ns) / NS) for one in found.stretches] == [("ready", 20.0)]
    assert found.readings["co2"][0][1] == 612.0
    assert found.fleet_curve is not None
    assert found.fleet_curve.devices == 2


def test_the_coordinators_health_is_said_in_sentences(store: Store) -> None:
    with store.reading(NOW_NS) as at:
        found = coordinator.health(at, hour(at))
    assert [check.code for check in found.checks] == [0, 0, 0, 0]
    assert [event.text for event in found.events] == ["room-2: silent for 15 min", "the coordinator's start number 1"]
    bad = coordinator.checks(
        {"connected": 0, "failing": 1, "spool_points": 1200, "spool_percent": 90.0, "disk_free_bytes": 1e6}
    )
    assert [check.text for check in bad if check.code == 2] == [
        "Not connected to the broker",
        "1 of the stores cannot be written",
        "1,200 measurements wait on disk for a database (90 % of the room there is)",
        "The disk is almost full",
    ]


def test_a_young_store_is_shown_by_the_hour_and_an_old_one_by_the_day(tmp_path: Path, store: Store) -> None:
    with store.reading(NOW_NS) as at:
        young = periods.period(at)
    old = Store(write(tmp_path / "s.sqlite", [*minute(NOW_S - 3 * 3600), *minute(NOW_S)]))
    with old.reading(NOW_NS) as at:
        assert (young.word, periods.period(at).word) == ("hour", "day")
    assert (young.end_ns, young.step_ns) == (NOW_NS, 60 * NS)
    assert young.start_ns == (NOW_S - 3540) * NS


def test_what_a_clock_that_was_ahead_wrote_does_not_stand_for_the_newest(tmp_path: Path) -> None:
    later_s = NOW_S + 7200
    points = [
        *minute(NOW_S - 120),
        *minute(NOW_S - 60),
        status("room-1", "lost", NOW_S - 60),
        round_closed(4, NOW_S - 30),
    ]
    points += [*minute(later_s), status("room-1", "ready", later_s), status("room-9", "ready", later_s)]
    points += [round_closed(9, later_s), point("event", (MODEL, "trouble"), later_s, text="ahead", version=1)]
    points += [status("room-2", "ready", NOW_S + 50)]  # two clocks may be a little apart
    store = Store(write(tmp_path / "s.sqlite", points))
    with store.reading(NOW_NS) as at:
        assert [(told.name, told.state) for told in fleet(at).devices] == [("room-1", "lost"), ("room-2", "ready")]
        assert [one.number for one in rounds.latest(at, 10)] == [4]
        assert (coordinator.events(at, 10), at.late, at.newest_ns) == ((), False, (NOW_S + 50) * NS)
    with store.reading(NOW_NS + 3600 * NS) as at:
        assert (at.late, at.quiet_s) == (True, 3550)


def test_a_store_that_nobody_writes_is_shown_up_to_its_end(store: Store) -> None:
    with store.reading(NOW_NS + 170 * NS) as at:
        assert not at.late
    with store.reading(NOW_NS + 3 * 86400 * NS) as at:
        assert (at.late, at.quiet_s) == (True, 3 * 86400)
        assert periods.period(at, "hour").end_ns == NOW_NS
        assert fleet(at).devices[0].trouble == "silent for 3 days"


def test_sums_that_are_kept_are_those_of_the_past_only(tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written:
        written.put(
            *minute(NOW_S - 7000),
            *minute(NOW_S),
            ledger("room-1", NOW_S - 6000, 10, 1, 1),
            ledger("room-1", NOW_S - 30, 20, 1, 1),
        )
        store = Store(written.path)
        with store.reading(NOW_NS) as at:
            first = costs.byte_steps(at, periods.period(at, "day"))
            kept = len(at.closed)
        written.put(ledger("room-2", NOW_S - 20, 400, 1, 1))
        with store.reading(NOW_NS) as at:
            again = costs.byte_steps(at, periods.period(at, "day"))
    assert sum(values[0] for _, values in first) == 30
    assert sum(values[0] for _, values in again) == 430
    assert 0 < kept < len(first)


def test_a_store_of_an_earlier_release_lacks_columns_and_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "s.sqlite", building(NOW_S))
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE status DROP COLUMN starts")
        db.execute("ALTER TABLE device DROP COLUMN battery_percent")
        for name in ("bytes", "event", "adaptation"):
            db.execute(f"DROP TABLE {name}")
    db.close()
    with Store(path).reading(NOW_NS) as at:
        found = fleet(at)
        assert [(told.starts, told.battery_percent, told.gap_bytes) for told in found.devices] == [(0, None, None)] * 3
        assert costs.communication(at, hour(at)).all_bytes == 0
        assert learning.learning(at, hour(at)).now is None
        assert coordinator.events(at, 10) == ()


def test_a_store_that_was_just_made_is_empty_not_wrong(tmp_path: Path) -> None:
    with Store(write(tmp_path / "s.sqlite", [])).reading(NOW_NS) as at:
        over = periods.period(at)
        assert (at.model, at.late, over.word) == ("", False, "hour")
        assert fleet(at).devices == ()
        assert rounds.rounds(at, over).open_s is None
        assert costs.energy(at, over).all_joules == 0
        assert learning.learning(at, over).trend.words == ""
        assert coordinator.health(at, over).checks == ()


def test_what_is_no_store_says_so(tmp_path: Path) -> None:
    junk = tmp_path / "junk.sqlite"
    junk.write_bytes(b"these are not the bytes of a database at all " * 100)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    for path, words in (
        (tmp_path / "none", "there is no store"),
        (junk, "is no store of Tegu"),
        (other, "but no store of Tegu"),
    ):
        with pytest.raises(StoreError, match=words), Store(path).reading():
            pytest.fail("it was opened")


def test_a_store_at_rest_is_read_without_the_right_to_write_beside_it() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder / "s.sqlite", building(NOW_S))
        folder.chmod(0o555)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)
            with Store(path).reading(NOW_NS) as at:
                assert len(fleet(at).devices) == 3
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_the_stamp_of_a_store_changes_when_it_is_written(tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written:
        store = Store(written.path)
        before = store.stamp()
        assert store.stamp() == before
        written.put(*minute(NOW_S))
        assert store.stamp() != before
