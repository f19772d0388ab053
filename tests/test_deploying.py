"""Every transition of a staged deployment, with times and versions worked by hand."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.deploying.stages import (
    Candidate,
    Deployment,
    Rules,
    plan,
)
from tests.deployments import NEW, OLD, asked, candidates, rules, started, statuses, take, tell

METRIC = "loss_after <= 0.5"


def in_the_second_stage(**parts: Any) -> Deployment:
    """Of 20 devices: d00 took it at 0 s, and d01 is asked at 10 s."""
    deployment = started(20, **parts)
    take(deployment, "d00")
    deployment.tick(10.0)
    assert deployment.stage == 2
    return deployment


def in_the_last_stage(devices: int | list[Candidate] = 4, **parts: Any) -> Deployment:
    """d00 and d01 took it; the last stage began at 20 s, with all others."""
    deployment = started(devices, **parts)
    take(deployment, "d00")
    deployment.tick(10.0)
    take(deployment, "d01")
    deployment.tick(20.0)
    assert (deployment.stage, deployment.status) == (3, "running")
    return deployment


# --- the plan ---


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (20, [1, 2, 20]), (21, [1, 3, 21]), (100, [1, 10, 100])]
)
def test_one_device_then_a_tenth_but_one_more_at_least_then_all(count: int, sizes: list[int]) -> None:
    assert plan(1, NEW, "", candidates(count), rules()).sizes == sizes


def test_the_first_is_ready_before_asleep_on_mains_before_battery_and_lowest_by_id() -> None:
    chosen = [
        Candidate("a", "sleeping", "mains"),
        Candidate("b", "ready", "battery"),
        Candidate("c", "ready", "harvest"),
        Candidate("e", "ready", "mains"),
        Candidate("d", "ready", "mains"),
        Candidate("f", "refused", "mains"),
        Candidate("g", "ready", ""),
    ]
    assert plan(1, NEW, "", chosen, rules()).stages() == [["d"], ["e"], ["g", "b", "c", "f", "a"]]


def test_devices_that_run_the_model_already_are_left_out() -> None:
    chosen = [*candidates(2), Candidate("other", "ready", "mains", NEW, 3)]
    assert list(plan(1, NEW, "", chosen, rules()).moves) == ["d00", "d01"]


def test_a_plan_that_cannot_be_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=f"no device fits {NEW} where floor = 9"):
        plan(1, NEW, "floor = 9", [], rules())
    with pytest.raises(ValueError, match=f"every device that was selected runs {NEW} already"):
        plan(1, NEW, "", candidates(2, earlier=NEW), rules())
    with pytest.raises(ValueError, match="a device is there twice"):
        plan(1, NEW, "", candidates(1) * 2, rules())
    with pytest.raises(ValueError, match="model must be"):
        plan(1, "No Model", "", candidates(1), rules())
    with pytest.raises(ValueError, match=r"'loss_after <= before' compares with the earlier model, and d00 has none"):
        plan(1, NEW, "", candidates(1, earlier=""), rules(metric="loss_after <= before"))


def test_rules_that_cannot_be_are_refused() -> None:
    for parts in ({"samples": 0}, {"hold_s": -1.0}, {"patience_s": 0.0}, {"needed_percent": 0.0}, {"metric": "?"}):
        with pytest.raises(ValueError, match=r"samples|seconds|share|metric"):
            Rules(**parts)


def test_the_later_of_two_deployments_that_want_a_device_is_refused_until_the_first_is_over() -> None:
    first = started(3)
    with pytest.raises(ValueError, match=f"d00 belongs to deployment 7 of {NEW}, which is running"):
        plan(8, "comfort", "", candidates(1), rules(), [first])
    assert list(plan(8, "comfort", "", [Candidate("x")], rules(), [first]).moves) == ["x"]
    first.abort(1.0)
    assert list(plan(8, "comfort", "", candidates(1), rules(), [first]).moves) == ["d00"]


def test_a_planned_deployment_asks_nobody_until_it_is_started() -> None:
    deployment = plan(1, NEW, "", candidates(3), rules())
    deployment.tick(0.0)
    assert (deployment.status, deployment.effects(), deployment.holds()) == ("planned", [], {"d00", "d01", "d02"})
    deployment.start(5.0)
    deployment.tick(5.0)
    assert deployment.effects() == [("desire", "d00", 5, NEW)]


# --- on ---


def test_a_device_is_asked_under_the_next_version_and_only_once() -> None:
    deployment = started(20)
    assert deployment.effects() == [("desire", "d00", 5, NEW)]
    deployment.tick(1.0)
    assert deployment.effects() == []


def test_stage_by_stage_to_the_end() -> None:
    deployment = started(21)
    assert asked(deployment) == ["d00"]
    take(deployment, "d00")
    deployment.tick(10.0)
    assert asked(deployment) == ["d01", "d02"]
    take(deployment, "d01")
    deployment.tick(20.0)
    assert (deployment.stage, asked(deployment)) == (2, [])
    take(deployment, "d02")
    deployment.tick(30.0)
    rest = [f"d{at:02d}" for at in range(3, 21)]
    assert (deployment.stage, asked(deployment)) == (3, rest)
    take(deployment, *rest)
    deployment.tick(40.0)
    assert (deployment.status, deployment.started_s, deployment.ended_s) == ("done", 0.0, 40.0)
    assert list(statuses(deployment)) == ["took"]


def test_a_report_of_an_older_version_or_of_another_model_is_no_answer() -> None:
    deployment = started(20)
    deployment.reported("d00", 4, NEW)
    deployment.reported("d00", 5, OLD)
    deployment.reported("nobody", 5, NEW)
    deployment.tick(1.0)
    assert (deployment.stage, deployment.moves["d00"].status) == (1, "asked")


def test_a_report_twice_is_one_report() -> None:
    deployment = in_the_second_stage()
    take(deployment, "d00", "d00")
    deployment.tick(11.0)
    assert (deployment.stage, statuses(deployment)["asked"]) == (2, ["d01"])


def test_a_device_that_knows_a_later_version_is_asked_again_above_it() -> None:
    deployment = started(20)
    deployment.effects()
    deployment.reported("d00", 9, OLD)
    assert deployment.effects() == [("desire", "d00", 10, NEW)]
    deployment.reported("d00", 10, NEW)
    deployment.reported("d01", 6, "presence-3")  # not asked yet: somebody moved it since the plan
    deployment.tick(10.0)
    assert deployment.effects() == [("desire", "d01", 7, NEW)]
    assert deployment.moves["d01"].earlier == "presence-3"


def test_a_version_or_a_model_that_cannot_be_is_not_believed() -> None:
    deployment = started(20)
    deployment.effects()
    deployment.reported("d00", 1 << 31, OLD)
    deployment.reported("d00", 9, "../other")
    assert (deployment.moves["d00"].version, deployment.effects()) == (5, [])


# --- the metric ---


def test_a_stage_waits_for_enough_telemetries_of_each_device() -> None:
    deployment = started(20, metric=METRIC, samples=2)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.4)
    deployment.tick(1.0)
    assert deployment.stage == 1
    tell(deployment, "d00", 2, loss_after=0.6)  # the mean is 0.5
    deployment.tick(2.0)
    assert deployment.stage == 2


def test_a_telemetry_counts_once_and_only_with_the_numbers_of_the_metric() -> None:
    deployment = started(20, metric=METRIC, samples=2)
    take(deployment, "d00")
    for at, numbers in ((5, {"loss_after": 0.4}), (5, {"loss_after": 0.4}), (3, {"loss_after": 0.4}), (6, {"heap": 1})):
        tell(deployment, "d00", at, **numbers)
    deployment.telemetry("d00", {"loss_after": 0.4})
    assert deployment.moves["d00"].after == [(0.4,)]
    deployment.telemetry("d00", {"boot": 2, "bytes_telemetry_up": 0, "loss_after": 0.3})  # its next life counts anew
    assert deployment.moves["d00"].after == [(0.4,), (0.3,)]


def test_a_telemetry_from_before_the_report_does_not_count_nor_does_it_later() -> None:
    deployment = started(20, metric=METRIC)
    tell(deployment, "d00", 1, loss_after=0.1)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.1)
    assert deployment.moves["d00"].after == []


def test_the_newest_telemetries_count() -> None:
    deployment = started(1, metric=METRIC, samples=2, hold_s=50.0)
    take(deployment, "d00")
    for at, loss in ((1, 0.1), (2, 0.7), (3, 0.5)):
        tell(deployment, "d00", at, loss_after=loss)
    deployment.tick(1.0)
    assert deployment.why == "stage 1: loss_after is 0.6, more than 0.5"  # (0.7 + 0.5) / 2


def test_a_failed_metric_goes_back_and_says_so() -> None:
    deployment = started(20, metric=METRIC)
    deployment.effects()
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.7)
    deployment.tick(2.0)
    assert (deployment.status, deployment.why) == ("rolling back", "stage 1: loss_after is 0.7, more than 0.5")
    assert deployment.effects() == [("desire", "d00", 6, OLD)]


def test_the_metric_is_judged_over_the_devices_of_the_stage_alone() -> None:
    deployment = in_the_second_stage(metric="")
    assert deployment.summary()["after"] == {}
    deployment = started(30, metric=METRIC)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.0)
    deployment.tick(1.0)
    take(deployment, "d01", "d02")
    tell(deployment, "d01", 1, loss_after=0.5)
    tell(deployment, "d02", 1, loss_after=0.7)
    assert deployment.summary()["after"] == {"loss_after": 0.6}
    deployment.tick(2.0)
    assert deployment.why == "stage 2: loss_after is 0.6, more than 0.5"


def test_the_metric_must_go_on_to_hold() -> None:
    deployment = started(20, metric=METRIC, hold_s=30.0)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.4)
    deployment.tick(10.0)
    deployment.tick(39.0)
    assert (deployment.stage, deployment.held_s) == (1, 10.0)
    deployment.tick(40.0)
    assert (deployment.stage, deployment.held_s) == (2, None)


def test_a_metric_that_fails_while_it_has_to_hold_goes_back() -> None:
    deployment = started(20, metric=METRIC, hold_s=30.0)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.4)
    deployment.tick(10.0)
    tell(deployment, "d00", 2, loss_after=0.9)
    deployment.tick(20.0)
    assert deployment.status == "rolling back"


def test_a_device_has_its_turn_when_enough_is_known_of_it_under_its_earlier_model() -> None:
    deployment = started(3, metric="loss_after <= 1.1 * before", samples=2)
    assert asked(deployment) == []
    assert deployment.summary()["devices"]["waiting"]["d00"] == f"0 of 2 telemetries under {OLD}"
    for at, loss in enumerate((0.9, 0.5, 0.3)):
        tell(deployment, "d02", at, loss_after=loss)  # the newest two: 0.4
    deployment.tick(1.0)
    assert asked(deployment) == ["d02"]
    take(deployment, "d02")
    tell(deployment, "d02", 3, loss_after=0.43)
    tell(deployment, "d02", 4, loss_after=0.45)
    assert deployment.summary()["before"] == {"loss_after": 0.4}
    deployment.tick(2.0)
    assert deployment.stage == 2  # 0.44 is 1.1 * 0.4


def test_what_was_told_before_a_device_was_asked_again_counts_no_more() -> None:
    deployment = started(20, metric=METRIC)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.4)
    deployment.reported("d00", 9, NEW)
    take(deployment, "d00")
    deployment.tick(1.0)
    assert (deployment.stage, deployment.moves["d00"].version, deployment.moves["d00"].after) == (1, 10, [])


def test_what_was_told_under_a_model_that_was_replaced_since_the_plan_is_no_comparison() -> None:
    deployment = plan(1, NEW, "", candidates(1), rules(metric="loss_after <= before"))
    tell(deployment, "d00", 1, loss_after=0.4)
    deployment.reported("d00", 9, "presence-3")
    deployment.start(0.0)
    deployment.tick(0.0)
    assert (asked(deployment), deployment.moves["d00"].before) == ([], [])


def test_a_device_that_comes_back_begins_the_hold_time_anew() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "sleeping")], needed_percent=50.0)
    deployment.rules = replace(deployment.rules, hold_s=30.0)
    take(deployment, "d02")
    deployment.tick(70.0)
    assert deployment.held_s == 70.0
    deployment.state("z", "ready", 80.0)
    deployment.tick(80.0)
    assert deployment.held_s is None
    take(deployment, "z")
    deployment.tick(90.0)
    deployment.tick(119.0)
    assert (deployment.status, deployment.held_s) == ("running", 90.0)
    deployment.tick(120.0)
    assert deployment.status == "done"


def test_nobody_is_asked_any_more_when_the_patience_is_over_and_the_hold_time_is_not() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "sleeping")], needed_percent=50.0)
    deployment.rules = replace(deployment.rules, hold_s=30.0)
    take(deployment, "d02")
    deployment.tick(150.0)
    deployment.effects()
    deployment.state("z", "ready", 170.0)
    deployment.tick(170.0)
    assert (deployment.held_s, deployment.effects()) == (150.0, [])
    deployment.tick(180.0)
    assert (deployment.status, deployment.effects()) == ("done", [("desire", "z", 1, NEW)])


# --- asleep, offline ---


def test_who_is_not_awake_waits_and_is_taken_when_back() -> None:
    chosen = [Candidate("a", "sleeping"), *candidates(4)]
    deployment = in_the_last_stage(chosen)
    assert statuses(deployment) == {"waiting": ["a"], "took": ["d00", "d01"], "asked": ["d02", "d03"]}
    assert deployment.summary()["devices"]["waiting"] == {"a": "sleeping"}
    take(deployment, "d02", "d03")
    deployment.tick(30.0)
    deployment.effects()
    assert deployment.status == "running"
    deployment.state("a", "ready", 40.0)
    deployment.tick(40.0)
    assert deployment.effects() == [("desire", "a", 1, NEW)]
    take(deployment, "a")
    deployment.tick(41.0)
    assert deployment.status == "done"


def test_the_first_stage_waits_for_a_device_that_is_awake() -> None:
    deployment = started(candidates(3, state="offline"))
    assert asked(deployment) == []
    deployment.state("d01", "ready", 50.0)
    deployment.tick(50.0)
    assert asked(deployment) == ["d01"]


def test_a_first_device_that_falls_asleep_is_not_replaced() -> None:
    deployment = started(20)
    deployment.state("d00", "sleeping", 1.0)
    deployment.tick(2.0)
    assert asked(deployment) == ["d00"]
    deployment.tick(100.0)
    assert deployment.why == "stage 1: 0 of 1 devices took it and told enough in 100 s, 1 are needed"


def test_the_needed_share_lets_a_stage_go_on_without_those_that_fell_asleep() -> None:
    deployment = started(50, needed_percent=75.0)  # sizes 1, 5, 50: four in the second stage, three needed
    take(deployment, "d00")
    deployment.tick(1.0)
    take(deployment, "d01", "d02")
    deployment.state("d03", "lost", 2.0)
    deployment.tick(3.0)
    assert deployment.stage == 2
    deployment.state("d04", "offline", 4.0)
    deployment.tick(5.0)
    assert deployment.stage == 2  # two of four
    deployment.state("d03", "ready", 6.0)
    take(deployment, "d03")
    deployment.tick(7.0)
    assert deployment.stage == 3


def test_a_device_that_is_awake_is_waited_for_whatever_the_share() -> None:
    deployment = started(50, needed_percent=50.0)
    take(deployment, "d00")
    deployment.tick(1.0)
    take(deployment, "d01", "d02", "d03")
    deployment.tick(100.0)
    assert deployment.stage == 2
    deployment.tick(101.0)
    assert deployment.why == "d04 is ready and has not answered for 100 s"


def test_a_device_that_comes_back_has_a_whole_patience_to_answer() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "ready")], needed_percent=50.0)
    take(deployment, "d02")
    deployment.state("z", "sleeping", 21.0)
    deployment.state("z", "ready", 119.0)
    deployment.tick(119.5)
    assert deployment.status == "running"
    deployment.tick(120.0)  # the stage's patience is over, z's is not: half of the stage is enough
    assert deployment.status == "done"


def test_the_last_stage_ends_with_its_patience_and_the_absent_find_the_model_when_they_come_back() -> None:
    chosen = [*candidates(4), Candidate("z", "sleeping", "battery", OLD, 8)]
    deployment = in_the_last_stage(chosen, needed_percent=60.0)
    take(deployment, "d02", "d03")
    deployment.tick(119.0)
    assert deployment.status == "running"
    deployment.effects()
    deployment.tick(120.0)
    assert (deployment.status, deployment.effects()) == ("done", [("desire", "z", 9, NEW)])
    assert deployment.summary()["devices"]["asked"] == {"z": "sleeping"}
    deployment.reported("z", 9, NEW)
    assert statuses(deployment) == {"took": ["d00", "d01", "d02", "d03", "z"]}


def test_too_few_of_the_last_stage_take_all_back() -> None:
    chosen = [*candidates(3), Candidate("y", "offline"), Candidate("z", "sleeping")]
    deployment = in_the_last_stage(chosen, needed_percent=60.0)
    take(deployment, "d02")
    deployment.tick(120.0)
    assert deployment.why == "stage 3: 1 of 3 devices took it and told enough in 100 s, 2 are needed"
    assert statuses(deployment) == {"recalled": ["d00", "d01", "d02"], "waiting": ["y", "z"]}


def test_a_late_one_that_cannot_take_it_is_listed_and_takes_nobody_back() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "sleeping")], needed_percent=50.0)
    take(deployment, "d02")
    deployment.tick(120.0)
    deployment.effects()
    deployment.reported("z", 1, "", "no room")
    deployment.tick(121.0)
    assert (deployment.status, deployment.effects()) == ("done", [])
    assert deployment.summary()["devices"]["refused"] == {"z": "no room"}


def test_after_the_end_a_later_desire_of_somebody_else_is_left_alone() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "sleeping")], needed_percent=50.0)
    take(deployment, "d02")
    deployment.tick(120.0)
    deployment.effects()
    deployment.reported("d00", 6, "comfort")
    deployment.reported("z", 5, "comfort")
    assert deployment.effects() == []
    assert deployment.summary()["devices"]["elsewhere"] == {
        "d00": "it has had desired version 6 since",
        "z": "it has had desired version 5 since",
    }


# --- back ---


def test_a_device_that_cannot_take_it_takes_all_back_to_their_own_earlier_models() -> None:
    chosen = [*candidates(1), Candidate("d01", "ready", "mains"), *candidates(3)[2:]]
    deployment = in_the_last_stage(chosen)
    deployment.effects()
    deployment.reported("d02", 5, OLD, "shape hash differs")
    deployment.tick(30.0)
    assert deployment.why == "d02 could not take it: shape hash differs"
    assert deployment.effects() == [("desire", "d00", 6, OLD), ("desire", "d01", 2, ""), ("desire", "d02", 6, OLD)]
    take(deployment, "d00", "d01")
    deployment.tick(31.0)
    assert deployment.status == "rolling back"
    take(deployment, "d02")
    deployment.tick(32.0)
    assert (deployment.status, deployment.ended_s) == ("rolled back", 32.0)
    assert deployment.summary()["devices"] == {"back": {"d00": "", "d01": "", "d02": "shape hash differs"}}


def test_a_device_that_leaves_the_model_again_with_a_reason_has_refused_it() -> None:
    deployment = in_the_second_stage()
    deployment.reported("d00", 5, OLD, "a sample has 2 inputs, not 1")
    deployment.tick(11.0)
    assert deployment.why == "d00 could not take it: a sample has 2 inputs, not 1"


def test_a_device_that_forgot_that_it_had_the_model_and_tries_it_again_goes_on() -> None:
    deployment = started(20, metric=METRIC)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.9)
    deployment.state("d00", "lost", 50.0)
    deployment.state("d00", "ready", 60.0)
    deployment.reported("d00", 0, OLD)  # of its settings
    deployment.reported("d00", 5, OLD)  # it hears what is desired, and tries it
    deployment.tick(61.0)
    assert deployment.status == "running"
    assert deployment.summary()["devices"]["asked"] == {"d00": f"it runs {OLD} again"}
    take(deployment, "d00")
    tell(deployment, "d00", 2, loss_after=0.4)
    deployment.tick(159.0)
    assert deployment.moves["d00"].why == ""


def test_a_device_that_leaves_the_model_without_a_reason_is_waited_for_as_long_as_any() -> None:
    deployment = in_the_second_stage()
    take(deployment, "d01")
    deployment.state("d00", "offline", 50.0)
    deployment.state("d00", "ready", 60.0)
    deployment.reported("d00", 5, OLD)
    deployment.tick(159.0)
    assert deployment.status == "running"
    deployment.tick(160.0)
    assert deployment.why == "d00 is ready and has not answered for 100 s"


def test_a_device_that_tries_the_model_has_not_taken_it_and_one_that_tries_its_earlier_one_is_not_back() -> None:
    deployment = started(20)
    deployment.reported("d00", 5, OLD)
    deployment.tick(99.0)
    assert (deployment.stage, deployment.moves["d00"].status) == (1, "asked")
    take(deployment, "d00")
    deployment.rollback(99.5)
    deployment.reported("d00", 6, NEW)
    deployment.tick(100.0)
    assert (deployment.status, deployment.moves["d00"].status) == ("rolling back", "recalled")
    take(deployment, "d00")
    deployment.tick(101.0)
    assert (deployment.status, deployment.moves["d00"].status) == ("rolled back", "back")


def test_who_was_not_asked_is_not_taken_back() -> None:
    deployment = in_the_second_stage()
    deployment.effects()
    deployment.reported("d01", 5, OLD, "full")
    deployment.tick(11.0)
    assert [device for _, device, _, _ in deployment.effects()] == ["d00", "d01"]
    assert len(statuses(deployment)["waiting"]) == 18


def test_an_answer_to_the_older_desire_is_not_taken_for_being_back() -> None:
    deployment = in_the_second_stage()
    deployment.rollback(11.0)
    deployment.reported("d00", 5, NEW)
    deployment.reported("d01", 5, OLD, "full")
    deployment.reported("d01", 6, NEW)
    assert statuses(deployment)["recalled"] == ["d00", "d01"]


def test_who_does_not_come_back_is_lost_by_name_and_back_when_it_does() -> None:
    deployment = in_the_second_stage()
    deployment.rollback(11.0)
    take(deployment, "d00")
    deployment.state("d01", "lost", 12.0)
    deployment.tick(110.0)
    assert deployment.status == "rolling back"
    deployment.tick(111.0)
    assert deployment.status == "rolled back"
    assert deployment.summary()["devices"]["lost"] == {"d01": "not back after 100 s; last lost"}
    deployment.reported("d01", 6, OLD)
    assert statuses(deployment)["back"] == ["d00", "d01"]


def test_a_device_that_cannot_go_back_is_lost() -> None:
    deployment = started(3)
    deployment.rollback(1.0)
    deployment.reported("d00", 6, NEW, "the file is gone")
    deployment.tick(2.0)
    assert (deployment.status, deployment.why) == ("rolled back", "people asked for it")
    assert deployment.summary()["devices"]["lost"] == {"d00": "could not go back: the file is gone"}


def test_a_device_that_was_back_and_runs_it_again_is_lost() -> None:
    deployment = started(3)
    deployment.rollback(1.0)
    take(deployment, "d00")
    deployment.reported("d00", 6, NEW)
    assert deployment.summary()["devices"]["lost"] == {"d00": f"could not go back: it runs {NEW}"}


def test_a_device_that_had_no_model_is_back_with_any_but_the_new_one() -> None:
    deployment = started([Candidate("a", "ready")])
    deployment.rollback(1.0)
    deployment.reported("a", 2, NEW)
    assert statuses(deployment) == {"recalled": ["a"]}
    deployment.reported("a", 2, "of-its-settings")
    assert statuses(deployment) == {"back": ["a"]}


def test_going_back_asks_above_a_later_version_too() -> None:
    deployment = started(3)
    deployment.rollback(1.0)
    deployment.effects()
    deployment.reported("d00", 8, NEW)
    assert deployment.effects() == [("desire", "d00", 9, OLD)]


def test_with_nobody_asked_it_is_rolled_back_at_once() -> None:
    deployment = started(candidates(3, state="offline"))
    deployment.tick(100.0)
    assert deployment.status == "rolling back"
    deployment.tick(100.0)
    assert (deployment.status, deployment.effects()) == ("rolled back", [])


# --- taken away ---


def test_a_waiting_device_that_is_retired_or_quarantined_is_not_asked() -> None:
    deployment = in_the_second_stage()
    deployment.retired("d02")
    deployment.quarantined("d03", "forms: no href")
    take(deployment, "d01")
    deployment.effects()
    deployment.tick(11.0)
    assert asked(deployment) == [f"d{at:02d}" for at in range(4, 20)]
    assert deployment.summary()["devices"]["quarantined"] == {"d03": "forms: no href"}


def test_in_a_later_stage_another_takes_the_place_of_one_that_is_taken_away() -> None:
    deployment = in_the_second_stage()
    deployment.effects()
    deployment.retired("d01")
    deployment.tick(11.0)
    assert (deployment.status, asked(deployment)) == ("running", ["d02"])


def test_without_its_first_device_it_goes_back() -> None:
    deployment = started(20)
    deployment.quarantined("d00", "forms: no href")
    deployment.tick(1.0)
    assert deployment.why == "d00, the first device, is quarantined"
    assert deployment.effects() == [("desire", "d00", 6, OLD)]


def test_a_retired_device_is_lost_at_once_when_the_others_go_back() -> None:
    deployment = in_the_second_stage()
    deployment.retired("d00")
    deployment.effects()
    deployment.rollback(11.0)
    assert deployment.effects() == [("desire", "d01", 6, OLD)]
    assert deployment.summary()["devices"]["lost"] == {"d00": "retired"}
    deployment.retired("d01")
    deployment.tick(12.0)
    assert (deployment.status, statuses(deployment)["lost"]) == ("rolled back", ["d00", "d01"])


def test_a_quarantined_device_goes_back_with_the_others_and_its_word_counted_no_more() -> None:
    deployment = in_the_second_stage()
    deployment.quarantined("d00", "forms: no href")
    deployment.reported("d00", 5, OLD, "full")
    deployment.tick(11.0)
    assert deployment.status == "running"
    deployment.rollback(12.0)
    take(deployment, "d00")
    assert statuses(deployment)["back"] == ["d00"]


def test_what_was_not_published_yet_is_not_when_the_device_is_taken_away() -> None:
    deployment = started(20)
    deployment.retired("d00")
    assert deployment.effects() == []


# --- people ---


def test_a_pause_goes_neither_on_nor_back_and_stops_the_clocks() -> None:
    deployment = started(20, hold_s=30.0)
    take(deployment, "d00")
    deployment.tick(10.0)
    deployment.pause(20.0)
    deployment.tick(500.0)
    assert (deployment.status, deployment.stage) == ("paused", 1)
    deployment.resume(520.0)
    deployment.tick(539.0)
    assert deployment.stage == 1
    deployment.tick(540.0)  # 10 s before the pause and 20 s after it
    assert (deployment.stage, deployment.stage_s) == (2, 540.0)


def test_what_is_heard_in_a_pause_counts_after_it() -> None:
    deployment = started(20)
    deployment.pause(1.0)
    deployment.reported("d00", 5, OLD, "full")
    deployment.tick(2.0)
    assert deployment.status == "paused"
    deployment.resume(3.0)
    deployment.tick(3.0)
    assert deployment.why == "d00 could not take it: full"


def test_a_pause_is_not_taken_from_a_devices_patience() -> None:
    deployment = started(20)
    deployment.pause(60.0)
    deployment.resume(1060.0)
    deployment.tick(1099.0)
    assert deployment.status == "running"
    deployment.tick(1100.0)
    assert deployment.why == "d00 is ready and has not answered for 100 s"


def test_an_abort_leaves_all_as_they_are() -> None:
    deployment = in_the_last_stage()
    deployment.reported("d02", 5, OLD, "full")
    deployment.effects()
    deployment.abort(25.0)
    assert (deployment.status, deployment.why) == ("aborted", "people ended it")
    deployment.tick(26.0)
    assert deployment.effects() == []
    assert statuses(deployment) == {"took": ["d00", "d01"], "refused": ["d02"], "asked": ["d03"]}


def test_people_can_go_back_after_the_end_unless_a_device_belongs_to_another_by_now() -> None:
    deployment = started(1)
    take(deployment, "d00")
    deployment.tick(1.0)
    other = plan(8, "comfort", "", candidates(1, earlier=NEW, version=5), rules())
    with pytest.raises(ValueError, match="d00 belongs to deployment 8 of comfort, which is planned"):
        deployment.rollback(2.0, [deployment, other])
    other.abort(2.0)
    deployment.effects()
    deployment.rollback(2.0, [deployment, other])
    assert (deployment.status, deployment.ended_s) == ("rolling back", None)
    assert deployment.effects() == [("desire", "d00", 6, OLD)]


def test_going_back_after_the_end_leaves_a_device_to_whoever_asked_it_since() -> None:
    deployment = started(2)
    take(deployment, "d00")
    deployment.tick(1.0)
    take(deployment, "d01")
    deployment.tick(2.0)
    later = [plan(8 + at, "comfort", "", [Candidate(f"d{at:02d}", "ready", "", NEW, 5)], rules()) for at in range(2)]
    for other in later:
        other.start(3.0)
        other.tick(3.0)
        take(other, *other.moves)
    later[0].tick(4.0)
    later[1].rollback(4.0)
    take(later[1], "d01")
    later[1].tick(5.0)
    assert [other.status for other in later] == ["done", "rolled back"]
    deployment.effects()
    deployment.rollback(6.0, [deployment, *later])
    assert deployment.effects() == [("desire", "d01", 8, OLD)]  # it came back from there under 7, to our model
    assert deployment.summary()["devices"]["elsewhere"] == {"d00": "deployment 8 has asked it since"}


def test_it_listens_until_all_have_answered() -> None:
    deployment = in_the_last_stage([*candidates(3), Candidate("z", "sleeping")], needed_percent=50.0)
    take(deployment, "d02")
    deployment.tick(120.0)
    assert (deployment.status, deployment.holds(), deployment.listens) == ("done", set(), True)
    take(deployment, "z")
    assert deployment.listens  # what is to be published is not yet
    deployment.effects()
    assert not deployment.listens


def test_what_people_ask_for_at_the_wrong_time_is_refused() -> None:
    deployment = started(1)
    for ask in (deployment.resume, deployment.start):
        with pytest.raises(ValueError, match="deployment 7 is running"):
            ask(1.0)
    deployment.rollback(1.0)
    for ask in (deployment.pause, deployment.abort, deployment.rollback):
        with pytest.raises(ValueError, match="deployment 7 is rolling back"):
            ask(1.0)


def test_after_a_restart_every_patience_begins_anew() -> None:
    deployment = started(20, hold_s=30.0)
    deployment.restarted(5000.0)
    deployment.tick(5099.0)
    assert deployment.status == "running"
    take(deployment, "d00")
    deployment.tick(5099.0)
    deployment.restarted(9000.0)
    deployment.tick(9029.0)
    assert deployment.stage == 1
    deployment.tick(9030.0)
    assert deployment.stage == 1  # it has held since 9029 s only, the first time that it was looked at
    deployment.tick(9059.0)
    assert deployment.stage == 2


def test_what_was_desired_and_not_answered_can_be_published_again() -> None:
    deployment = in_the_second_stage()
    deployment.effects()
    deployment.again()
    assert deployment.effects() == [("desire", "d01", 5, NEW)]


def test_the_summary_says_where_it_stands() -> None:
    deployment = started([*candidates(2), Candidate("z", "offline")], metric=METRIC)
    take(deployment, "d00")
    tell(deployment, "d00", 1, loss_after=0.25)
    assert deployment.summary() == {
        "number": 7,
        "model": NEW,
        "where": "room type = office",
        "status": "running",
        "why": "",
        "stage": 1,
        "stages": [1, 2, 3],
        "metric": METRIC,
        "after": {"loss_after": 0.25},
        "before": {},
        "devices": {"took": {"d00": ""}, "waiting": {"d01": "", "z": "offline"}},
    }
