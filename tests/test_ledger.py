"""The ledger: what devices count and what the coordinator counts, over a wire that loses nothing, and one that does."""

from pathlib import Path
from random import Random

import pytest

from coordinator.observing import Observed
from tegu import topics
from tegu.wire.messages import State
from tests.watched import Watched

MANIFEST = topics.model("home", "m", "manifest")
CLASSES = ("model_down", "update_up", "telemetry_up")


@pytest.mark.parametrize("down", [0.0, 20.0], ids=["whole", "deltas"])
@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("join_percent", [100.0, 60.0])
def test_undisturbed_both_counts_agree_to_the_byte(
    tmp_path: Path, down: float, delay: int, join_percent: float
) -> None:
    quorum = 4 if join_percent == 100.0 else 1
    world = Watched(
        tmp_path / "c.sqlite", 4, delay, down=down, join_percent=join_percent, quorum=quorum, interval_s=1.0
    )
    for member in world.members.values():
        world.connect(member)
    world.run(900)
    world.run(100, learn=False)
    assert world.federation.rounds.version > 40
    for name, member in world.members.items():
        rows = world.of("bytes", name)
        assert len(rows) >= 10
        assert [row.fields["gap"] for row in rows] == [0] * len(rows)
        last = rows[-1].fields
        world.tell(member)
        assert last["update_up_device"] == last["update_up_coordinator"] == member.session.bytes["update_up"] > 0
        for kind in CLASSES:
            assert sum(int(row.fields[kind]) for row in rows) == last[f"{kind}_device"]
            assert last[f"{kind}_device"] == last[f"{kind}_coordinator"]
        assert last["model_down_device"] > 1000


@pytest.mark.parametrize("down", [0.0, 20.0], ids=["whole", "deltas"])
def test_what_is_lost_on_the_way_is_the_difference_to_the_byte(tmp_path: Path, down: float) -> None:
    def lost(device: str, kind: str, draw: Random) -> bool:
        return device in ("room-1", "room-2") and draw.random() < {"update": 0.2, "telemetry": 0.3}[kind]

    world = Watched(tmp_path / "c.sqlite", 4, 2, lost, down=down, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(3000)
    world.lost = None
    world.run(400, learn=False)  # long enough for what waits to be sent again
    for member in world.members.values():
        world.tell(member)
    world.run(100, learn=False)
    for name in world.members:
        last = world.of("bytes", name)[-1].fields
        assert last["update_up_gap"] == world.lost_bytes[name, "update"]
        assert last["telemetry_up_gap"] == world.lost_bytes[name, "telemetry"]
        assert last["model_down_gap"] == 0
        assert last["gap"] == world.lost_bytes[name, "update"] + world.lost_bytes[name, "telemetry"]
    assert world.lost_bytes["room-1", "update"] > 300
    assert world.observed.devices["room-1"].seen.gap_bytes == world.of("bytes", "room-1")[-1].fields["gap"]


def test_a_device_that_starts_anew_begins_a_new_account(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 3, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(300)
    member = world.members["room-1"]
    world.cut(member)
    world.run(50)
    member.boot, member.updates = 2, 0
    member.start()
    world.connect(member)
    world.run(300)
    world.run(100, learn=False)
    rows = [row for row in world.of("bytes", "room-1") if row.time_ns > world.points[0].time_ns + 35 * 10**9]
    assert rows[0].fields["update_up_device"] == rows[0].fields["update_up"]
    assert rows[-1].fields["update_up_coordinator"] == member.session.bytes["update_up"]
    assert [row.fields["update_up_gap"] for row in rows] == [0] * len(rows)
    assert [row.fields["model_down_gap"] for row in rows] == [0] * len(rows)


def test_a_link_that_comes_back_costs_both_sides_the_same_news(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 3, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(300)
    world.run(60, learn=False)  # nothing is on its way when the link goes
    member = world.members["room-1"]
    world.cut(member)
    world.run(100)
    before = member.session.bytes["model_down"]
    world.connect(member)
    world.run(300)
    world.run(100, learn=False)
    last = world.of("bytes", "room-1")[-1].fields
    assert member.session.bytes["model_down"] > before
    assert (last["model_down_gap"], last["update_up_gap"]) == (0, 0)


def test_what_is_said_again_to_a_coordinator_that_connects_anew_is_no_new_connection(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1)
    member = world.members["room-1"]
    world.connect(member)
    world.run(5)
    account = world.observed.ledger.accounts["room-1"]
    before = account.down[-1]
    topic, payload = member.session.will()[0], member.session._state("ready")
    world.observed.take(("heard", world.now_ns, topic, payload, len(payload), True))
    assert account.down[-1] == before > 0


def test_a_device_that_was_there_before_is_compared_from_its_first_quiet_moment_on(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(200)
    seen = Observed("home", "m", every_s=1.0)  # of a coordinator that begins now
    for topic, payload in world.retained.items():
        kept = payload if topics.parse(topic)[3] in ("manifest", "round") else b""  # type: ignore[index]
        seen.take(("said", world.now_ns, topic, kept, len(payload), True))
    for member in world.members.values():
        topic, payload = member.session.will()[0], member.session._state("ready")
        seen.take(("heard", world.now_ns, topic, payload, len(payload), True))
    world.observed = seen
    world.points.clear()
    world.run(100)
    assert world.of("bytes") == []  # something is always on its way
    world.run(80, learn=False)
    for member in world.members.values():
        world.tell(member)
    world.run(80, learn=False)
    first = world.of("bytes", "room-1")[0].fields
    assert (first["gap"], first["update_up"], first["model_down"]) == (0, 0, 0)
    world.run(200)
    world.run(80, learn=False)
    rows = world.of("bytes", "room-1")
    assert [row.fields["gap"] for row in rows] == [0] * len(rows)
    assert sum(int(row.fields["update_up"]) for row in rows) == (
        int(rows[-1].fields["update_up_device"]) - int(first["update_up_device"])
    )
    assert rows[-1].fields["update_up_device"] == world.members["room-1"].session.bytes["update_up"]


def test_a_device_that_waited_for_the_coordinator_is_known_from_its_start(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    said = [(topic, payload) for _, topic, payload, _ in world.up_queue]  # and retained, for nobody listened yet
    world.up_queue.clear()
    world.run(3, learn=False)
    for topic, payload in said:
        world.observed.take(("heard", world.now_ns, topic, payload, len(payload), True))
        world.publish(world.federation.batch([(topic, payload)]))
    world.run(200)
    rows = world.of("bytes", "room-1")
    assert len(rows) > 5
    assert rows[0].fields["update_up"] == rows[0].fields["update_up_device"]
    assert {row.fields["gap"] for row in rows} == {0}


def test_what_was_not_noted_is_forgiven_and_what_is_lost_after_that_is_not(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1, quorum=2, interval_s=1.0)
    for member in world.members.values():
        world.connect(member)
    world.run(100)
    world.observed.ledger.update("room-1", 5000, world.now_ns)  # as if the notes were wrong
    world.observed.ledger.forgive()
    world.run(80, learn=False)
    for member in world.members.values():
        world.tell(member)
    world.run(80, learn=False)
    world.lost = lambda device, kind, _: device == "room-1" and kind == "telemetry"
    world.tell(world.members["room-1"])
    world.lost = None
    world.run(100)
    world.run(80, learn=False)
    last = world.of("bytes", "room-1")[-1].fields
    assert last["gap"] == last["telemetry_up_gap"] == world.lost_bytes["room-1", "telemetry"] > 50


def test_a_coordinator_that_comes_back_takes_the_version_from_the_device_not_from_its_old_state(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1, down=20.0, quorum=2, interval_s=1.0)
    said: list[tuple[str, bytes]] = []
    for member in world.members.values():
        world.connect(member)
        said.append((member.session.will()[0], member.session._state("ready")))  # version 0: retained ever since
    world.run(300)
    world.run(60, learn=False)
    world.observed = Observed("home", "m", every_s=1.0, fresh=False)
    for topic, payload in world.retained.items():
        kept = payload if topics.parse(topic)[3] in ("manifest", "round") else b""  # type: ignore[index]
        world.observed.take(("said", world.now_ns, topic, kept, len(payload), True))
    for topic, payload in said:
        world.observed.take(("heard", world.now_ns, topic, payload, len(payload), True))
    world.points.clear()
    world.run(20, learn=False)
    for member in world.members.values():
        world.tell(member)
    world.run(80, learn=False)
    world.run(600)
    world.run(80, learn=False)
    rows = world.of("bytes")
    assert len(rows) > 20
    assert {row.fields["gap"] for row in rows} == {0}


def test_a_version_of_a_coordinator_that_is_no_more_is_none(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1)
    topic = topics.device("home", "room-1", "state")
    state = State(state="ready", boot=1, model="m", version=41).encode()
    world.observed.take(("heard", world.now_ns, topic, state, len(state), False))
    assert world.observed.ledger.accounts["room-1"].down[-1] == len(world.retained[MANIFEST]) + len(
        world.federation._encoded(1)
    )


def test_counts_that_cannot_be_are_no_claim(tmp_path: Path) -> None:
    world = Watched(tmp_path / "c.sqlite", 2, 1)
    world.connect(world.members["room-1"])
    world.run(5)
    for count in (1 << 48, -1):
        with pytest.raises(ValueError, match="cannot be"):
            world.observed.ledger.telemetry("room-1", 10, {"boot": 1, "bytes_update_up": count}, world.now_ns)
