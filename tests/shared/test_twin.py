"""A device's side of its twin: which model it has, what it goes back to, and what it says of it."""

import json

from given import error_of

from tegu.twin import Twin
from tegu.wire import WireError


def wish(version, model):
    return json.dumps({"version": version, "model": model}).encode()


def told(twin):
    """(version, model, why) that it reports; None where it does not say why."""
    fields = json.loads(twin.reported())
    return fields["version"], fields["model"], fields.get("why")


def test_a_device_that_heard_of_no_wish_has_the_model_of_its_settings():
    twin = Twin("presence")
    assert (twin.model, twin.before) == ("presence", "")
    assert told(twin) == (0, "presence", None)


def test_a_newer_wish_changes_the_model_and_an_older_one_nothing():
    twin = Twin("presence")
    assert twin.hear(wish(3, "sine"))
    assert (twin.model, twin.before) == ("sine", "presence")
    for version in (3, 2, 0):
        assert not twin.hear(wish(version, "characters"))
    assert (twin.model, twin.before) == ("sine", "presence")


def test_a_model_is_reported_when_it_is_served_and_the_one_before_until_then():
    twin = Twin("presence")
    twin.hear(wish(3, "sine"))
    assert told(twin) == told(Twin("presence", twin.encode())) == (3, "presence", None)
    twin.serve()
    assert told(twin) == told(Twin("presence", twin.encode())) == (3, "sine", None)


def test_a_wish_for_no_model_is_one_for_that_of_the_settings():
    twin = Twin("presence")
    twin.hear(wish(1, "sine"))
    twin.hear(wish(2, ""))
    assert (twin.model, twin.before, told(twin)) == ("presence", "", (2, "presence", None))  # it was never left
    twin.hear(wish(3, "sine"))
    twin.serve()
    twin.hear(wish(4, ""))
    assert (twin.model, twin.before, told(twin)) == ("presence", "sine", (4, "sine", None))
    twin.serve()
    assert told(twin) == (4, "presence", None)


def test_a_wish_for_the_model_that_it_has_is_only_reported():
    twin = Twin("presence")
    assert twin.hear(wish(1, "presence"))
    assert (twin.before, told(twin)) == ("", (1, "presence", None))


def test_a_model_that_cannot_be_served_is_left_for_the_one_before_with_the_reason():
    twin = Twin("presence")
    twin.hear(wish(1, "sine"))
    twin.go_back("takes 1 inputs")
    assert (twin.before, told(twin)) == ("", (1, "presence", "sine: takes 1 inputs"))
    assert twin.hear(wish(2, "presence"))
    assert told(twin) == (2, "presence", None)


def test_of_two_wishes_on_trial_it_goes_back_to_what_was_served():
    twin = Twin("presence")
    twin.hear(wish(1, "sine"))
    twin.hear(wish(2, "characters"))
    twin.go_back("takes 196 inputs")
    assert told(twin) == (2, "presence", "characters: takes 196 inputs")
    twin.hear(wish(3, "sine"))
    twin.serve()
    twin.hear(wish(4, "characters"))
    assert twin.before == "sine"


def test_back_to_what_was_served_is_no_trial():
    twin = Twin("presence")
    twin.hear(wish(1, "sine"))
    twin.hear(wish(2, "presence"))
    assert (twin.model, twin.before) == ("presence", "")


def test_a_model_that_can_be_none_is_not_tried():
    twin = Twin("presence")
    for version, name in ((1, "Sine/2"), (2, "\x00" * 70)):
        assert twin.hear(wish(version, name))
        assert told(twin) == (version, "presence", "no model has such a name")


def test_a_twin_outlives_a_restart_and_a_change_of_the_settings_wins():
    twin = Twin("presence")
    twin.hear(wish(7, "sine"))
    again = Twin("presence", twin.encode())
    assert (again.model, again.before, again.version) == ("sine", "presence", 7)
    again.go_back("takes 1 inputs")
    assert told(Twin("presence", again.encode())) == (7, "presence", "sine: takes 1 inputs")
    assert told(Twin("characters", again.encode())) == (7, "characters", None)


def test_what_it_says_fits_into_a_message():
    twin = Twin("presence")
    twin.hear(wish(1, "s" * 32))
    twin.go_back("x" * 1000)
    assert told(twin)[2] == "s" * 32 + ": " + "x" * 166


def test_what_is_no_wish_changes_nothing():
    twin = Twin("presence")
    for bad in (
        b"",
        b"{",
        b"[]",
        b'{"version": 1}',
        b'{"version": -1, "model": "sine"}',
        b'{"version": 1, "model": 2}',
    ):
        error_of(WireError, twin.hear, bad)
    assert told(twin) == (0, "presence", None)
