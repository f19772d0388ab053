"""Every verdict and every transition of the rounds, then all of them at random against a plain model of what must hold."""

from array import array
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from coordinator.rounds import OpenRound, Rounds
from coordinator.settings import RoundSettings
from tegu.wire import F32
from tegu.wire.update import Update


def rules(**changes: Any) -> RoundSettings:
    return RoundSettings(**{"rounds": 3, "quorum": 2, "deadline_s": 10.0, **changes})


def update(version: int, boot: int = 1, sequence: int = 1) -> Update:
    return Update(F32, version, boot, sequence, 4, array("H"), array("f"))


def opened(*ready: str, now_s: float = 100.0, **changes: Any) -> Rounds:
    """Rounds whose first round is open, after these devices said that they are ready."""
    rounds = Rounds(rules(**changes))
    for device in ready:
        rounds.device(device, "ready", 1)
    rounds.start(now_s)
    return rounds


def restarted(rounds: Rounds) -> Rounds:
    """The same rounds after the checkpoint and back: nobody is known to be ready, no round is open."""
    return Rounds(
        rounds.rules,
        rounds.version,
        rounds.closed,
        rounds.round_num,
        rounds.turn,
        dict(rounds.last),
        dict(rounds.boots),
    )


# --- verdicts ---


def test_an_update_of_the_open_version_is_accepted_and_heard() -> None:
    rounds = opened()
    assert rounds.receive("a", update(1)) == "accepted"
    assert rounds.heard == ["a"]
    assert rounds.last == {"a": ("a", 1, 1, 1)}


def test_the_same_key_again_is_a_duplicate_and_changes_nothing() -> None:
    rounds = opened()
    rounds.receive("a", update(1))
    assert [rounds.receive("a", update(1)) for _ in range(3)] == ["duplicate"] * 3
    assert rounds.heard == ["a"]
    assert rounds.counts == {"accepted": 1, "duplicate": 3}
    assert rounds.tick(100.0) == ""


def test_the_same_key_is_still_a_duplicate_after_its_round_closed_and_after_a_restart() -> None:
    rounds = opened()
    rounds.receive("a", update(1))
    rounds.close()
    assert rounds.receive("a", update(1)) == "duplicate"
    assert restarted(rounds).receive("a", update(1)) == "duplicate"


def test_the_keys_of_two_devices_never_meet() -> None:
    rounds = opened()
    assert [rounds.receive(device, update(1)) for device in ("a", "b")] == ["accepted", "accepted"]
    assert rounds.heard == ["a", "b"]


def test_an_update_of_the_version_before_is_late() -> None:
    rounds = opened()
    rounds.receive("a", update(1))
    rounds.close()
    rounds.start(110.0)
    assert rounds.version == 2
    assert rounds.receive("b", update(1)) == "late"
    assert rounds.heard == []


def test_an_update_of_a_still_older_version_and_of_one_that_never_was_are_stale() -> None:
    rounds = Rounds(rules(rounds=0, schedule="constant"), version=5, closed=4)
    rounds.start(0.0)
    assert [rounds.receive("a", update(version)) for version in (3, 1, 6)] == ["stale"] * 3
    assert rounds.last == {}


def test_an_update_that_a_board_kept_over_a_loss_of_power_counts_once() -> None:
    rounds = opened()
    rounds.device("a", "ready", 2)
    assert rounds.receive("a", update(1, boot=1)) == "accepted"
    assert rounds.receive("a", update(1, boot=1)) == "duplicate"
    assert rounds.receive("a", update(1, boot=2)) == "limited"
    assert rounds.boots["a"] == 2


def test_an_accepted_update_tells_the_boot_number_too() -> None:
    rounds = opened()
    rounds.receive("a", update(1, boot=7))
    rounds.close()
    rounds.start(110.0)
    rounds.device("a", "ready", 6)
    assert rounds.ready == set()


def test_a_reborn_device_counts_once_a_version() -> None:
    rounds = opened()
    rounds.receive("a", update(1, boot=1))
    rounds.device("a", "ready", 2)
    assert rounds.receive("a", update(1, boot=2)) == "limited"
    assert rounds.receive("a", update(1, boot=1)) == "duplicate"
    assert rounds.last["a"] == ("a", 1, 1, 1)


def test_a_second_update_of_a_device_in_one_round_is_limited() -> None:
    rounds = opened()
    rounds.receive("a", update(1, sequence=1))
    assert rounds.receive("a", update(1, sequence=2)) == "limited"


def test_without_an_open_round_an_update_is_limited() -> None:
    assert Rounds(rules()).receive("a", update(1)) == "limited"


def test_a_device_that_is_not_invited_is_limited() -> None:
    rounds = opened("a", "b", algorithm="tinyreptile")
    assert rounds.receive("b", update(1)) == "limited"
    assert rounds.receive("a", update(1)) == "accepted"


def test_a_device_that_never_said_ready_counts_as_well() -> None:
    rounds = opened("a", "b")
    assert rounds.receive("c", update(1)) == "accepted"


def test_a_refused_update_does_not_move_the_boot_number() -> None:
    rounds = opened()
    rounds.receive("a", update(9, boot=1000))
    assert rounds.receive("a", update(1, boot=1)) == "accepted"


def test_verdicts_are_counted_until_the_round_closes() -> None:
    rounds = opened()
    rounds.invalid()
    for version, sequence in ((1, 1), (1, 1), (1, 2), (0, 3), (7, 4)):
        rounds.receive("a", update(version, sequence=sequence))
    assert rounds.counts == {"invalid": 1, "accepted": 1, "duplicate": 1, "limited": 1, "late": 1, "stale": 1}
    rounds.close()
    assert rounds.counts == {}


def test_a_verdict_on_an_update_is_final() -> None:
    """Both copies of one update are answered alike: else its device keeps as residual what was merged."""
    rounds = opened("a", "b", algorithm="tinyreptile")
    assert rounds.receive("b", update(1)) == "limited"
    assert rounds.start(110.0).invited == "b"
    assert rounds.receive("b", update(1)) == "limited"
    assert rounds.receive("b", update(1, sequence=2)) == "accepted"


# --- states of devices ---


def test_a_device_is_ready_until_it_says_otherwise() -> None:
    rounds = Rounds(rules())
    for state in ("sleeping", "offline", "lost", "refused"):
        rounds.device("a", "ready", 1)
        assert rounds.ready == {"a"}
        rounds.device("a", state, 1)
        assert rounds.ready == set()


def test_the_last_will_of_an_earlier_life_says_nothing() -> None:
    rounds = Rounds(rules())
    rounds.device("a", "ready", 2)
    rounds.device("a", "lost", 1)
    assert rounds.ready == {"a"}
    rounds.device("a", "lost", 2)
    assert rounds.ready == set()


def test_being_ready_in_an_earlier_life_says_nothing_either() -> None:
    rounds = Rounds(rules())
    rounds.device("a", "lost", 2)
    rounds.device("a", "ready", 1)
    assert rounds.ready == set()


# --- transitions ---


def test_the_first_round_waits_for_as_many_ready_devices_as_its_quorum() -> None:
    rounds = Rounds(rules())
    assert rounds.tick(1e9) == ""
    rounds.device("a", "ready", 1)
    rounds.device("a", "ready", 1)
    assert rounds.tick(1e9) == ""
    rounds.device("b", "ready", 1)
    assert rounds.tick(0.0) == "open"


def test_the_first_round_waits_for_wait_for_devices_if_that_is_set() -> None:
    rounds = Rounds(rules(wait_for=3))
    for device, due in (("a", ""), ("b", ""), ("c", "open")):
        rounds.device(device, "ready", 1)
        assert rounds.tick(0.0) == due


def test_a_serial_federation_begins_with_one_device() -> None:
    rounds = Rounds(rules(algorithm="tinyreptile", quorum=5))
    rounds.device("a", "ready", 1)
    assert rounds.tick(0.0) == "open"


def test_an_open_round_has_its_number_its_version_and_its_times() -> None:
    rounds = Rounds(rules(deadline_s=12.5))
    assert rounds.start(100.0) == OpenRound(1, 1, 100.0, 112.5, 2, "")


def test_the_quorum_closes_a_round_at_once() -> None:
    rounds = opened()
    rounds.receive("a", update(1))
    assert rounds.tick(100.0) == ""
    rounds.receive("b", update(1))
    assert rounds.tick(100.0) == "close"


def test_the_deadline_closes_a_round_that_has_an_update() -> None:
    rounds = opened(now_s=100.0)
    rounds.receive("a", update(1))
    assert rounds.tick(109.9) == ""
    assert rounds.tick(110.0) == "close"


def test_a_deadline_without_updates_extends_the_version_under_the_next_number() -> None:
    rounds = opened(now_s=100.0)
    assert rounds.tick(109.9) == ""
    assert rounds.tick(110.0) == "open"
    assert rounds.start(110.0) == OpenRound(2, 1, 110.0, 120.0, 2, "")
    assert rounds.closed == 0


def test_a_close_goes_to_the_next_version() -> None:
    rounds = opened()
    rounds.receive("a", update(1))
    rounds.close()
    assert (rounds.version, rounds.closed, rounds.open, rounds.heard) == (2, 1, None, [])
    assert rounds.start(105.0) == OpenRound(2, 2, 105.0, 115.0, 2, "")
    assert rounds.receive("a", update(2, sequence=2)) == "accepted"


def test_after_the_last_round_nothing_is_due() -> None:
    rounds = opened("a", "b", rounds=1)
    rounds.receive("a", update(1))
    assert not rounds.finished
    rounds.close()
    assert rounds.finished
    assert rounds.tick(1e9) == ""
    assert [rounds.receive("b", update(version)) for version in (1, 2)] == ["late", "limited"]


def test_zero_rounds_never_finish() -> None:
    assert not Rounds(rules(rounds=0, schedule="constant"), version=1001, closed=1000).finished


def test_more_rounds_in_the_settings_go_on_where_the_last_ones_ended() -> None:
    rounds = Rounds(rules(rounds=5), version=4, closed=3, round_num=3)
    assert rounds.tick(0.0) == ""
    rounds.device("a", "ready", 1)
    assert rounds.tick(0.0) == "open"
    assert rounds.start(0.0).version == 4


def test_after_a_restart_the_same_round_is_open_with_a_whole_deadline() -> None:
    before = opened(now_s=100.0)
    before.receive("a", update(1))
    after = restarted(before)
    assert after.reopen(500.0) == OpenRound(1, 1, 500.0, 510.0, 2, "")
    assert after.heard == ["a"]
    assert after.receive("a", update(1)) == "duplicate"
    assert after.tick(509.0) == ""
    assert after.receive("b", update(1)) == "accepted"
    assert after.tick(509.0) == "close"


# --- serial rounds ---


def test_serial_turns_go_by_id_and_round_again() -> None:
    rounds = Rounds(rules(algorithm="tinyreptile", rounds=9))
    for device in ("c", "a", "b"):
        rounds.device(device, "ready", 1)
    turns = []
    for n in range(5):
        turns.append(rounds.start(float(n)).invited)
        rounds.receive(turns[-1], update(rounds.version, sequence=n))
        assert rounds.tick(float(n)) == "close"
        rounds.close()
    assert turns == ["a", "b", "c", "a", "b"]


def test_a_serial_round_needs_one_update_whatever_the_quorum() -> None:
    assert opened("a", algorithm="tinyreptile", quorum=5).open == OpenRound(1, 1, 100.0, 110.0, 1, "a")


def test_the_turn_passes_on_when_the_invited_device_stays_silent() -> None:
    rounds = opened("a", "b", now_s=100.0, algorithm="tinyreptile")
    assert rounds.tick(110.0) == "open"
    assert rounds.start(110.0) == OpenRound(2, 1, 110.0, 120.0, 1, "b")
    assert rounds.receive("a", update(1)) == "limited"


def test_a_lost_device_is_not_invited() -> None:
    rounds = opened("a", "b", "c", algorithm="tinyreptile")
    rounds.device("b", "lost", 1)
    assert rounds.start(110.0).invited == "c"


def test_a_restart_invites_the_same_device_again() -> None:
    rounds = opened("a", "b", algorithm="tinyreptile")
    rounds.start(110.0)
    assert restarted(rounds).reopen(500.0) == OpenRound(2, 1, 500.0, 510.0, 1, "b")


# --- all of it at random ---

DEVICES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(1, 3)


class RoundsMachine(RuleBasedStateMachine):
    """Any device sends anything at any time. The model: sets and dicts of what was accepted, nothing else."""

    @initialize(algorithm=st.sampled_from(["tinymetafed", "tinyreptile"]), quorum=SMALL, last=st.integers(0, 4))
    def begin(self, algorithm: str, quorum: int, last: int) -> None:
        self.rounds = Rounds(rules(algorithm=algorithm, quorum=quorum, rounds=last, schedule="constant"))
        self.now_s = 0.0
        self.keys: set[tuple[str, int, int, int]] = set()  # every key that was ever accepted
        self.refused: set[tuple[str, int, int, int]] = set()
        self.counted: dict[int, set[str]] = {}  # version -> devices
        self.boots: dict[str, int] = {}
        self.versions = [1]

    @rule(device=DEVICES, state=st.sampled_from(["ready", "lost"]), boot=SMALL)
    def says(self, device: str, state: str, boot: int) -> None:
        was_ready = device in self.rounds.ready
        self.rounds.device(device, state, boot)
        old = boot < self.boots.get(device, 0)
        assert (device in self.rounds.ready) == (was_ready if old else state == "ready")
        self.boots[device] = max(boot, self.boots.get(device, 0))

    @rule(device=DEVICES, behind=st.integers(-1, 2), boot=SMALL, sequence=SMALL)
    def sends(self, device: str, behind: int, boot: int, sequence: int) -> None:
        version = self.rounds.version - behind
        key = (device, version, boot, sequence)
        verdict = self.rounds.receive(device, update(version, boot, sequence))
        r = self.rounds.open
        may = (
            behind == 0
            and r is not None
            and r.invited in ("", device)
            and device not in self.counted.get(version, set())
        )
        if verdict == "accepted":
            assert may and key not in self.keys
            self.keys.add(key)
            self.counted.setdefault(version, set()).add(device)
            self.boots[device] = max(boot, self.boots.get(device, 0))
        else:
            assert not may or key in self.refused
            self.refused.add(key)
        if verdict == "duplicate":
            assert key in self.keys
        if behind == 0 and key in self.keys:
            assert verdict in ("accepted", "duplicate")

    @rule(passed_s=st.floats(0, 15))
    def time_passes(self, passed_s: float) -> None:
        self.now_s += passed_s
        due = self.rounds.tick(self.now_s)
        heard = self.counted.get(self.rounds.version, set())
        if due == "close":
            r = self.rounds.open
            assert r is not None and heard and (len(heard) >= r.quorum or self.now_s >= r.closes_s)
            self.rounds.close()
            self.versions.append(self.rounds.version)
        elif due == "open":
            number = self.rounds.round_num
            assert not (self.rounds.open and heard)
            assert self.rounds.start(self.now_s).round_num == number + 1
        assert not (self.rounds.finished and self.rounds.tick(1e12))

    @rule()
    def restarts(self) -> None:
        before, self.rounds = self.rounds, restarted(self.rounds)
        if before.open is not None:
            again = self.rounds.reopen(self.now_s)
            assert (again.round_num, again.version) == (before.open.round_num, before.open.version)

    @invariant()
    def a_version_hears_each_device_once(self) -> None:
        if not hasattr(self, "rounds"):
            return
        assert self.rounds.heard == sorted(self.counted.get(self.rounds.version, set()))
        assert len(self.keys) == sum(len(devices) for devices in self.counted.values())

    @invariant()
    def versions_grow_by_one_a_close(self) -> None:
        if not hasattr(self, "rounds"):
            return
        assert self.versions == list(range(1, self.rounds.version + 1))
        assert self.rounds.closed == self.rounds.version - 1


TestRoundsAtRandom = RoundsMachine.TestCase
TestRoundsAtRandom.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, database=None)


def test_a_round_lasts_its_interval_though_its_quorum_is_in() -> None:
    rounds = Rounds(RoundSettings(quorum=1, deadline_s=100.0, interval_s=30.0), ready={"a"})
    rounds.start(1000.0)
    assert rounds.receive("a", Update(F32, 1, 1, 1, 8, array("H"), array("f"))) == "accepted"
    assert rounds.tick(1029.9) == ""
    assert rounds.tick(1030.0) == "close"
