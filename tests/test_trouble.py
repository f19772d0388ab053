"""Which device needs a visit: one case a rule, at its limit and just before it."""

from collections import deque
from typing import Any

import pytest

from coordinator.trouble import Seen, in_words, state_of, trouble

NOW_S = 1_700_000_000.0


def seen(**told: Any) -> Seen:
    return Seen("a", **{"heard_s": NOW_S, "changed_s": NOW_S, "version": 50, **told})


def of(length: int, *moments_s: float) -> "deque[Any]":
    return deque(moments_s, maxlen=length)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, (0, "")),
        ({"state": "offline", "heard_s": 0.0}, (0, "")),
        ({"heard_s": NOW_S - 900}, (0, "")),
        ({"heard_s": NOW_S - 901}, (2, "silent")),
        ({"state": "sleeping", "heard_s": NOW_S - 9000, "wakes_s": NOW_S - 800}, (0, "")),
        ({"state": "sleeping", "heard_s": NOW_S - 9000, "wakes_s": NOW_S - 1000}, (2, "did not wake up")),
        ({"state": "lost", "changed_s": NOW_S - 60}, (1, "link lost")),
        ({"state": "lost", "changed_s": NOW_S - 10800}, (2, "link lost")),
        ({"state": "refused", "why": "needs 9 bytes"}, (2, "the model does not fit: needs 9 bytes")),
        ({"starts_s": of(64, *[NOW_S - n for n in range(3)])}, (0, "")),
        ({"starts_s": of(64, *[NOW_S - n for n in range(4)])}, (1, "started 4 times in a day")),
        ({"starts_s": of(64, *[NOW_S - n for n in range(8)])}, (2, "started 8 times in a day")),
        ({"starts_s": of(64, *[NOW_S - 86400 - n for n in range(8)])}, (0, "")),
        ({"battery_percent": 26.0}, (0, "")),
        ({"battery_percent": 25.0}, (1, "battery at 25 %")),
        ({"battery_percent": 10.0}, (2, "battery at 10 %")),
        ({"failed_s": of(10, *[NOW_S - 3599] * 10)}, (2, "its sensor fails")),
        ({"failed_s": of(10, *[NOW_S - 3600] * 10)}, (0, "")),
        ({"failed_s": of(10, *[NOW_S] * 9)}, (0, "")),
        ({"invalid_s": of(3, *[NOW_S] * 3)}, (2, "sends what is no update")),
        ({"invalid_s": of(3, *[NOW_S] * 2)}, (0, "")),
        ({"gap_bytes": 2048}, (0, "")),
        ({"gap_bytes": 2049}, (1, "2,049 bytes do not add up")),
        ({"gap_bytes": 4000, "traffic_bytes": 100_000}, (0, "")),
        ({"version": 34}, (0, "")),
        ({"version": 33}, (1, "17 versions behind")),
        ({"version": 33, "state": "offline"}, (0, "")),
        ({"version": 0}, (0, "")),
        ({"version": 51}, (1, "holds version 51, the newest is 50: restart it")),
        ({"state": "sleeping", "heard_s": NOW_S - 9 * 86400, "wakes_s": NOW_S + 1e9}, (2, "did not wake up")),
        ({"losses": of(10, *[(1.0, 2.0)] * 10)}, (0, "")),  # type: ignore[arg-type]
        ({"losses": of(10, *[(1.0, 2.1)] * 10)}, (1, "learning makes it worse")),  # type: ignore[arg-type]
        ({"losses": of(10, *[(1.0, 9.0)] * 9)}, (0, "")),  # type: ignore[arg-type]
        ({"battery_percent": 20.0, "state": "refused", "why": "x"}, (2, "the model does not fit: x")),
    ],
)
def test_the_worst_that_is_known_is_the_verdict(told: dict[str, Any], expected: tuple[int, str]) -> None:
    assert trouble(seen(**told), 50, NOW_S) == expected


def test_silent_is_what_can_no_longer_be_believed() -> None:
    assert state_of(seen(heard_s=NOW_S - 31), NOW_S, 30.0) == "silent"
    assert state_of(seen(heard_s=NOW_S - 31, state="offline"), NOW_S, 30.0) == "offline"


def test_lengths_of_time_are_said_as_people_say_them() -> None:
    assert [in_words(s) for s in (0, 119, 120, 7199, 7200, 172799, 172800, 864000)] == [
        "0 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 days", "10 days",
    ]  # fmt: skip
