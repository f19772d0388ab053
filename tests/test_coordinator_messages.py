"""What reaches the coordinator from outside, however odd, changes nothing but a count. Federation alone, no broker."""

import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.federation import Federation
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.wire import F32
from tegu.wire.messages import Ack, State
from tegu.wire.update import encode_update

SETTINGS = Settings(
    LinkSettings(site="test", checkpoint=Path(":memory:")),
    ModelSettings(name="m", spec="1 | dense 1 linear"),
    RoundSettings(algorithm="tinyreptile", quorum=1),
)
READY = State(state="ready", boot=1).encode()


def update_topic(device: str) -> str:
    return f"tegu/1/test/device/{device}/update/m"


@pytest.mark.parametrize("device", ["Kitchen", "", "a" * 33, "a b", "ä", "+"])
def test_a_device_name_that_is_none_is_dropped(device: str) -> None:
    federation = Federation(SETTINGS)
    assert federation.batch([(update_topic(device), b"x"), (f"tegu/1/test/device/{device}/state", READY)]) == []
    assert federation.rounds.ready == set()
    assert federation.tick() == []


def test_bytes_that_are_no_update_are_counted_and_answered_and_change_nothing() -> None:
    federation = Federation(SETTINGS)
    before = federation.retained()
    ((topic, payload, retain),) = federation.batch([(update_topic("a"), b"\x12\x00garbage" * 3)])
    ack = Ack.decode(payload)
    assert (topic, retain) == (topics.device("test", "a", "ack", "m"), False)
    assert (ack.result, ack.why) == ("invalid", "CRC: does not match")
    assert federation.rounds.counts == {"invalid": 1}
    assert federation.retained() == before


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"state": 5}', b'{"state": "ready", "boot": -1}', b"\xff" * 300]
)
def test_a_state_that_cannot_be_read_is_dropped(payload: bytes) -> None:
    federation = Federation(SETTINGS)
    assert federation.batch([("tegu/1/test/device/a/state", payload)]) == []
    assert federation.rounds.ready == set()


def test_a_device_of_another_model_is_not_waited_for() -> None:
    federation = Federation(SETTINGS)
    federation.batch([("tegu/1/test/device/a/state", State(state="ready", boot=1, model="other").encode())])
    assert federation.rounds.ready == set()


def test_a_device_that_forgot_its_boot_number_is_told_the_highest_heard() -> None:
    federation = Federation(SETTINGS)
    federation.batch([("tegu/1/test/device/a/state", State(state="ready", boot=57).encode())])
    ((_, payload, _),) = federation.batch([("tegu/1/test/device/a/state", READY)])
    assert (Ack.decode(payload).result, Ack.decode(payload).least_boot) == ("stale", 57)


def test_a_model_too_long_for_its_manifest_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    spec = "9 | " + " | ".join(["dense 9 tanh"] * 25) + " | dense 2 softmax"
    model = replace(SETTINGS.model, spec=spec)
    settings = replace(SETTINGS, model=model, link=replace(SETTINGS.link, checkpoint=tmp_path / "c.sqlite"))
    with pytest.raises(ValueError, match="more than the 512 allowed"):
        Federation(settings)
    assert list(tmp_path.iterdir()) == []


def test_every_manifest_of_the_longest_model_that_is_taken_fits() -> None:
    rounds = RoundSettings(rounds=20, schedule="cosine", quorum=1)
    for layers in range(1, 25):
        spec = "9 | " + " | ".join(["dense 9 tanh"] * layers) + " | dense 2 softmax"
        model = replace(SETTINGS.model, name="a" * 32, spec=spec, inner_step_size=0.123456789)
        try:
            federation = Federation(replace(SETTINGS, model=model, rounds=rounds))
        except ValueError:
            break
        for _ in range(20):
            federation.rounds.closed += 1
            federation.rounds.version += 12345
            retained = {topic: payload for topic, payload, _ in federation.retained()}
            manifest = retained[topics.model("test", "a" * 32, "manifest")]
            assert len(manifest) <= 512
            assert json.loads(manifest)["spec"] == federation.model.spec
    assert layers > 8


def test_a_huge_update_is_cut_to_twice_the_running_median_norm_once_five_were_heard() -> None:
    rounds = RoundSettings(quorum=1)
    federation = Federation(replace(SETTINGS, rounds=rounds, model=replace(SETTINGS.model, init_codec="f32")))
    federation.batch([("tegu/1/test/device/a/state", READY)])
    federation.tick()
    model = Model("1 | dense 1 linear")
    for version, length in enumerate((1.0, 3.0, 2.0, 1.0, 1000.0), 1):  # the median of the five is 2
        before = federation.initialization.copy()
        delta = array("f", [length, 0.0])
        payload = encode_update(model, delta, array("H", [0]), F32, version, 1, version, 8)
        federation.batch([(update_topic("a"), bytes(payload))])
        federation.tick()
    assert (federation.initialization - before).tolist() == pytest.approx([4.0, 0.0])


def test_an_update_beyond_all_learning_is_invalid() -> None:
    federation = Federation(SETTINGS)
    delta = array("f", [3e38, 0.0])
    payload = encode_update(Model("1 | dense 1 linear"), delta, array("H", [0]), F32, 1, 1, 1, 8)
    ((_, ack, _),) = federation.batch([(update_topic("a"), bytes(payload))])
    assert Ack.decode(ack).result == "invalid"
    assert federation.rounds.heard == []


def test_a_serial_round_opens_for_nobody_while_nobody_is_ready() -> None:
    federation = Federation(SETTINGS)
    state = "tegu/1/test/device/a/state"
    federation.batch([(state, READY)])
    federation.tick()
    payload = encode_update(Model("1 | dense 1 linear"), array("f", [1.0, 0.0]), array("H", [0]), F32, 1, 1, 1, 8)
    federation.batch([(update_topic("a"), bytes(payload)), (state, State(state="lost", boot=1).encode())])
    out = {topic: payload for topic, payload, _ in federation.tick()}
    assert (federation.rounds.version, federation.rounds.open) == (2, None)
    assert out[topics.model("test", "m", "round")] == b""  # not one that invites all
    federation.batch([(state, READY)])
    federation.tick()
    assert federation.rounds.open is not None
    assert federation.rounds.open.invited == "a"
