"""Topics are built and parsed as the table in tegu.topics has them."""

from given import error_of

from tegu import topics


def test_every_topic_of_the_table_is_built():
    assert topics.coordinator_state("home") == "tegu/1/home/coordinator/state"
    assert topics.model("home", "room", "manifest") == "tegu/1/home/model/room/manifest"
    assert topics.chunk("home", "room", 17, 3) == "tegu/1/home/model/room/chunk/17/3"
    assert topics.device("home", "pi-3", "state") == "tegu/1/home/device/pi-3/state"
    assert topics.device("home", "pi-3", "update", "room") == "tegu/1/home/device/pi-3/update/room"
    assert topics.join("home", "pi-3") == "tegu/1/home/join/pi-3"


def test_every_topic_that_is_built_is_parsed_back():
    assert topics.parse(topics.coordinator_state("a")) == ("a", "coordinator", "", "state", "")
    assert topics.parse(topics.model("a", "b", "round")) == ("a", "model", "b", "round", "")
    assert topics.parse(topics.chunk("a", "b", 17, 3)) == ("a", "model", "b", "chunk", "17/3")
    assert topics.parse(topics.device("a", "b", "telemetry")) == ("a", "device", "b", "telemetry", "")
    assert topics.parse(topics.device("a", "b", "ack", "c")) == ("a", "device", "b", "ack", "c")
    assert topics.parse(topics.join("a", "b")) == ("a", "join", "b", "", "")


def test_a_topic_of_others_is_none():
    for topic in (
        "",
        "tegu",
        "tegu/1/",
        "tegu/2/a/device/b/state",
        "$SYS/uptime",
        "tegu/1/a/coordinator",
        "tegu/1/a/else/b/c",
    ):
        assert topics.parse(topic) is None, topic


def test_a_plus_subscribes_to_all():
    assert topics.device("home", "+", "update", "+") == "tegu/1/home/device/+/update/+"
    assert topics.device(topics.ANY, topics.ANY, "state") == "tegu/1/+/device/+/state"


def test_an_id_is_1_to_32_small_letters_digits_and_hyphens():
    for word in ("a", "pi-3", "0", "-", "a" * 32):
        assert topics.check_id(word) == word
    for word in ("", "A", "a/b", "+", "#", "a b", "a_b", "a.b", "\u00e4", "a\n", "\0", "a" * 33):
        assert "id must be" in error_of(ValueError, topics.check_id, word), word


def test_no_topic_is_built_from_a_bad_id():
    for bad in ("", "#", "a/b", "A"):
        error_of(ValueError, topics.coordinator_state, bad)
        error_of(ValueError, topics.model, bad, "b", "init")
        error_of(ValueError, topics.model, "a", bad, "init")
        error_of(ValueError, topics.chunk, "a", bad, 1, 1)
        error_of(ValueError, topics.device, bad, "b", "state")
        error_of(ValueError, topics.device, "a", bad, "state")
        error_of(ValueError, topics.join, "a", bad)
    error_of(ValueError, topics.device, "a", "b", "update", "#")
