"""A session alone: what goes in, what comes out, with numbers worked by hand.

The model is one weight w and one bias b. From w = 1, b = 0 the sample x = 2, y = 1 predicts 2, which is 1 too much; a step
of 0.5 moves w by -0.5 x 1 x 2 = -1 and b by -0.5 x 1 = -0.5: the delta is (-1, -0.5). At 50 percent one entry is sent: w.
"""

import hashlib
import json
from array import array
from binascii import crc32
from contextlib import suppress
from typing import Any

import pytest

from tegu import topics
from tegu.model import Model
from tegu.session import CHUNK_BYTES, RESEND_S, Session
from tegu.wire import CODECS
from tegu.wire.initialization import encode_init
from tegu.wire.messages import Ack, Manifest, Round, State
from tegu.wire.update import Update, decode_update, encode_update

ONE = Model("1 | dense 1 linear")
WIDE = Model("300 | dense 2 linear")  # 602 weights: 2,416 bytes and a header as float32, three chunks
STATE = topics.device("home", "a", "state")
UPDATE = topics.device("home", "a", "update", "m")
ACK = topics.device("home", "a", "ack", "m")
MANIFEST, ROUND, INIT = (topics.model("home", "m", kind) for kind in ("manifest", "round", "init"))
SAMPLE = ([2.0], [1.0])  # see above

ONLINE = State(state="online", boot=4).encode()


def initialization(weights: list[float], version: int, model: Model = ONE) -> bytes:
    return bytes(encode_init(model, array("f", weights), version))


def manifest(blob: bytes, version: int, shape: Model = ONE, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "model": "m",
        "spec": shape.spec,
        "hash": shape.shape_hash,
        "version": version,
        "bytes": len(blob),
        "sha256": hashlib.sha256(blob).hexdigest(),
        "chunks": -(-len(blob) // CHUNK_BYTES),
        "codec": "f32",
        "inner_step_size": 0.5,
        "samples": 1,
        "top_p": 50.0,
    }
    return Manifest(**{**fields, **changes}).encode()


def a_round(number: int, version: int, **changes: Any) -> bytes:
    fields = {"round_num": number, "version": version, "opens_s": 0, "closes_s": 60, "quorum": 2, **changes}
    return Round(**fields).encode()


def ack(result: str, sequence: int, boot: int = 1, version: int = 1) -> bytes:
    return Ack(result=result, boot=boot, sequence=sequence, version=version).encode()


class Stamping(Session):
    """A session that gets every delta with the checksum of the very weights that it holds.

    Most tests of deltas are about something else; a coordinator would compute it from what it published before.
    """

    def received(self, topic: str, payload: bytes) -> list[tuple[Any, ...]]:
        if "/delta/" in topic and self.model is not None and self._kept._start is not None:
            with suppress(ValueError):
                told = decode_update(payload, self.model)
                whole = array("f", bytes(4 * self.model.shared_size))
                for place, value in zip(told.indices, told.values, strict=True):
                    whole[place] = value
                stamp = crc32(self._kept._start.tobytes())
                payload = bytes(encode_update(self.model, whole, told.indices, told.codec, told.version, stamp))
        return super().received(topic, payload)


def a_session(**options: Any) -> Session:
    return Stamping("home", "a", "m", options.pop("boot", 1), **options)


def given(session: Session, version: int, weights: list[float], **changes: Any) -> Session:
    """The session after manifest, initialization and round of a version."""
    blob = initialization(weights, version)
    session.received(MANIFEST, manifest(blob, version, **changes))
    session.received(INIT, blob)
    session.received(ROUND, a_round(version, version))
    return session


def sent(effects: list[tuple[Any, ...]]) -> Update:
    """The one update among effects."""
    ((_, topic, payload, qos, retain),) = [effect for effect in effects if effect[0] == "publish"]
    assert (topic, qos, retain) == (UPDATE, 1, False)
    return decode_update(payload, ONE)


def entries(update: Update) -> dict[int, float]:
    return dict(zip(update.indices, update.values, strict=True))


# --- birth, will, leaving ---


def test_the_will_says_lost_with_this_boot_number() -> None:
    topic, payload = a_session(boot=7).will()
    state = State.decode(payload)
    assert (topic, state.state, state.boot) == (STATE, "lost", 7)


def test_every_state_tells_the_version_in_hand() -> None:
    session = a_session()
    assert State.decode(session.will()[1]).version == 0
    given(session, 7, [1.0, 0.0])
    for payload in (session.will()[1], session.connected()[0][2], session.leaving("sleeping")[0][2]):
        assert State.decode(payload).version == 7


def test_a_birth_is_retained_before_anything_is_subscribed() -> None:
    (kind, topic, payload, qos, retain), *rest = a_session(boot=7).connected()
    assert (kind, topic, qos, retain) == ("publish", STATE, 1, True)
    assert (State.decode(payload).state, State.decode(payload).boot) == ("ready", 7)
    assert rest == [
        ("subscribe", "tegu/1/home/coordinator/state"),
        ("subscribe", ACK),
        ("subscribe", "tegu/1/home/device/a/label"),
        ("subscribe", ROUND),
        ("subscribe", MANIFEST),
    ]


def test_a_thing_description_is_retained_behind_the_birth() -> None:
    assert a_session(thing=b"{}").connected()[1] == ("publish", "tegu/1/home/device/a/thing", b"{}", 1, True)


@pytest.mark.parametrize(("state", "wakes_s"), [("offline", 0), ("sleeping", 1_900_000_000)])
def test_leaving_says_where_to_and_until_when(state: str, wakes_s: int) -> None:
    ((kind, topic, payload, qos, retain),) = a_session(boot=3).leaving(state, wakes_s)
    said = State.decode(payload)
    assert (kind, topic, qos, retain) == ("publish", STATE, 1, True)
    assert (said.state, said.boot, said.wakes_s) == (state, 3, wakes_s)


@pytest.mark.parametrize(("site", "device", "model"), [("Home", "a", "m"), ("home", "a/b", "m"), ("home", "a", "")])
def test_names_that_cannot_stand_in_a_topic_are_an_error(site: str, device: str, model: str) -> None:
    with pytest.raises(ValueError, match="a-z, 0-9"):
        Session(site, device, model, 1)


# --- from the manifest to the ack ---


def test_a_life_from_manifest_to_ack() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    assert session.received(MANIFEST, manifest(blob, 1)) == [("subscribe", INIT)]
    assert session.received(INIT, blob) == [("unsubscribe", INIT)]
    assert not session.learning
    assert session.received(ROUND, a_round(1, 1)) == []
    assert session.learning
    update = sent(session.sample(*SAMPLE))
    assert update.key() == (1, 1, 1)
    assert (update.samples, entries(update)) == (1, {0: -1.0})
    assert not session.learning
    assert session.received(ACK, ack("accepted", 1)) == []
    assert (session.version, session.accepted, session.bad) == (1, 1, 0)


def test_it_learns_as_many_samples_as_the_manifest_says() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=3, top_p=100.0)
    assert session.sample([2.0], [1.0]) == []  # w = 0, b = -0.5
    assert session.sample([0.0], [0.5]) == []  # one too little: b = 0
    update = sent(session.sample([0.0], [1.0]))  # one too little: b = 0.5
    assert (update.samples, entries(update)) == (3, {0: -1.0, 1: 0.5})


def test_the_order_round_manifest_init_serves_as_well() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    assert session.received(ROUND, a_round(1, 1)) == []
    assert session.received(MANIFEST, manifest(blob, 1)) == [("subscribe", INIT)]
    assert not session.learning
    session.received(INIT, blob)
    assert session.learning


def test_the_round_can_ask_for_another_share() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    session.received(MANIFEST, manifest(blob, 1))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1, top_p=100.0))
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0, 1: -0.5}


def test_a_sample_outside_of_a_round_adapts_the_room_and_sends_nothing() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    session.received(MANIFEST, manifest(blob, 1))
    session.received(INIT, blob)
    assert session.sample(*SAMPLE) == []
    assert session.learner is not None
    assert session.learner.weights.tolist() == [0.0, -0.5]
    session.received(ROUND, a_round(1, 1))  # a round starts from the initialization
    assert session.learner.weights.tolist() == [1.0, 0.0]


def test_a_sample_before_there_is_an_initialization_is_nothing() -> None:
    assert a_session().sample(*SAMPLE) == []


def test_a_bad_sample_is_an_error_and_does_not_count() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    with pytest.raises(ValueError, match="inputs"):
        session.sample([1.0, 2.0], [1.0])
    assert session.learning
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0}


def test_classes_are_asked_for_in_turn() -> None:
    session = a_session()
    model = Model("1 | dense 3 softmax")
    blob = initialization([0.0] * 6, 1, model)
    assert session.wanted is None
    session.received(MANIFEST, manifest(blob, 1, model, samples=9))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1))
    asked = []
    for _ in range(5):
        asked.append(session.wanted)
        session.sample([1.0], 0)
    assert asked == [0, 1, 2, 0, 1]


def test_a_version_that_was_answered_is_not_answered_again() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", 1))
    session.received(ROUND, a_round(2, 1))  # extended, or the coordinator came back
    assert not session.learning


def test_a_round_republished_while_it_learns_changes_nothing() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2)
    session.sample(*SAMPLE)
    session.received(ROUND, a_round(1, 1))
    session.received(ROUND, a_round(2, 1))
    update = sent(session.sample([0.0], [0.5]))
    assert (update.samples, entries(update)) == (2, {0: -1.0})


def test_only_the_invited_device_learns() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    session.received(MANIFEST, manifest(blob, 1))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1, invited="b"))
    assert not session.learning
    session.received(ROUND, a_round(2, 1, invited="a"))
    assert session.learning


def test_the_draw_is_by_device_and_round_number() -> None:
    # The CRC-32 of "a 1" is 1913543837: 38.37 percent leave it out, 38.38 percent take it in.
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    session.received(MANIFEST, manifest(blob, 1))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1, join_percent=38.37))
    assert not session.learning
    session.received(ROUND, a_round(1, 1, join_percent=38.38))
    assert session.learning


def test_a_round_that_is_taken_back_while_it_learns_ends_with_an_update() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.received(ROUND, b"")
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0}


def test_messages_of_others_and_broken_ones_are_dropped() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    for topic, payload in (
        ("tegu/1/lab/model/m/manifest", b"{}"),
        ("tegu/1/home/model/other/manifest", b"{}"),
        ("tegu/1/home/device/b/ack/m", ack("accepted", 1)),
        ("tegu/1/home/device/a/ack/other", ack("accepted", 1)),
        ("somebody/else", b"{}"),
    ):
        assert session.received(topic, payload) == []
    assert session.bad == 0
    for topic, payload in ((MANIFEST, b"{"), (ROUND, b"[]"), (ACK, b"\xff"), (topics.coordinator_state("home"), b"1")):
        assert session.received(topic, payload) == []
    assert session.bad == 4
    assert session.learning


# --- the model down ---


def test_chunks_are_pulled_one_by_one() -> None:
    session = a_session(chunked=True)
    weights = [float(n) for n in range(602)]
    blob = initialization(weights, 1, WIDE)
    topic = [topics.chunk("home", "m", 1, i) for i in range(3)]
    piece = [blob[at : at + CHUNK_BYTES] for at in range(0, len(blob), CHUNK_BYTES)]
    assert session.received(MANIFEST, manifest(blob, 1, WIDE)) == [("subscribe", topic[0])]
    assert session.received(topic[1], piece[1]) == []  # not its turn
    assert session.received(topic[0], piece[0]) == [("unsubscribe", topic[0]), ("subscribe", topic[1])]
    assert session.received(topic[0], piece[0]) == []  # twice
    assert session.received(topic[1], piece[1]) == [("unsubscribe", topic[1]), ("subscribe", topic[2])]
    assert session.received(topic[2], piece[2]) == [("unsubscribe", topic[2])]
    assert session.version == 1
    assert session.learner is not None
    assert session.learner.weights.tolist() == weights


def test_chunks_that_fill_the_last_piece_to_the_byte_end_there() -> None:
    model = Model("253 | dense 1 linear")  # 254 weights x 4 + 8 bytes of header and CRC
    blob = initialization([0.5] * 254, 1, model)
    assert len(blob) == CHUNK_BYTES
    session = a_session(chunked=True)
    session.received(MANIFEST, manifest(blob, 1, model))
    topic = topics.chunk("home", "m", 1, 0)
    assert session.received(topic, blob) == [("unsubscribe", topic)]
    assert session.version == 1


def test_a_download_that_a_newer_manifest_overtakes_begins_again() -> None:
    session = a_session(chunked=True)
    old, new = (initialization([float(v)] * 602, v, WIDE) for v in (1, 2))
    session.received(MANIFEST, manifest(old, 1, WIDE))
    session.received(topics.chunk("home", "m", 1, 0), old[:CHUNK_BYTES])
    assert session.received(MANIFEST, manifest(new, 2, WIDE)) == [("subscribe", topics.chunk("home", "m", 2, 0))]
    assert session.received(topics.chunk("home", "m", 1, 1), old[CHUNK_BYTES : 2 * CHUNK_BYTES]) == []
    for i in range(3):
        session.received(topics.chunk("home", "m", 2, i), new[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])
    assert session.version == 2


def test_a_download_that_the_link_cut_begins_again() -> None:
    session = a_session(chunked=True)
    blob = initialization([1.0] * 602, 1, WIDE)
    session.received(MANIFEST, manifest(blob, 1, WIDE))
    session.received(topics.chunk("home", "m", 1, 0), blob[:CHUNK_BYTES])
    assert session.connected()[-1] == ("subscribe", topics.chunk("home", "m", 1, 0))


def test_an_init_that_did_not_come_is_asked_for_again_on_the_next_connect() -> None:
    session = a_session()
    session.received(MANIFEST, manifest(initialization([1.0, 0.0], 1), 1))
    assert session.connected()[-1] == ("subscribe", INIT)


def test_what_does_not_fit_the_heap_is_refused_with_the_reason() -> None:
    session = a_session(free_heap_bytes=20_000)
    blob = initialization([1.0, 0.0], 1)
    ((kind, topic, payload, qos, retain),) = session.received(MANIFEST, manifest(blob, 1, heap_bytes=20_001))
    state = State.decode(payload)
    assert (kind, topic, qos, retain) == ("publish", STATE, 1, True)
    assert (state.state, state.boot, state.why) == ("refused", 1, "needs 20001 bytes of heap, has 20000")
    assert session.received(INIT, blob) == []
    assert session.version == 0


def test_what_just_fits_the_heap_is_taken_and_a_refusal_is_taken_back() -> None:
    session = a_session(free_heap_bytes=20_000)
    first, second = (initialization([1.0, 0.0], version) for version in (1, 2))
    session.received(MANIFEST, manifest(first, 1, heap_bytes=20_001))
    (_, topic, payload, _, _), fetch = session.received(MANIFEST, manifest(second, 2, heap_bytes=20_000))
    assert (topic, State.decode(payload).state) == (STATE, "ready")
    assert fetch == ("subscribe", INIT)


def test_a_machine_that_need_not_count_takes_any_size() -> None:
    blob = initialization([1.0, 0.0], 1)
    assert a_session().received(MANIFEST, manifest(blob, 1, heap_bytes=4_000_000_000)) == [("subscribe", INIT)]


def test_an_older_manifest_is_bad_and_changes_nothing() -> None:
    session = given(a_session(), 5, [1.0, 0.0])
    old = initialization([9.0, 9.0], 4)
    assert session.received(MANIFEST, manifest(old, 4)) == []
    assert session.received(INIT, old) == []
    assert (session.bad, session.version) == (1, 5)


def test_the_same_manifest_again_fetches_nothing() -> None:
    session = given(a_session(), 5, [1.0, 0.0])
    assert session.received(MANIFEST, manifest(initialization([1.0, 0.0], 5), 5)) == []


def test_other_weights_under_the_same_version_are_fetched() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", 1))
    blob = initialization([3.0, 0.0], 1)
    assert session.received(MANIFEST, manifest(blob, 1)) == [("subscribe", INIT)]
    session.received(INIT, blob)
    assert session.learner is not None
    assert session.learner.weights.tolist() == [3.0, 0.0]
    session.received(ROUND, a_round(1, 1))  # of the coordinator that began anew
    assert session.learning


def test_an_init_of_the_next_version_before_its_manifest_is_left_until_that_comes() -> None:
    session = a_session()
    first, second = initialization([1.0, 0.0], 1), initialization([2.0, 0.0], 2)
    session.received(MANIFEST, manifest(first, 1))
    assert session.received(INIT, second) == []
    assert (session.version, session.bad) == (0, 0)
    assert session.received(MANIFEST, manifest(second, 2)) == [("subscribe", INIT)]
    session.received(INIT, second)
    assert session.version == 2


def test_weights_with_another_hash_than_the_manifests_are_not_taken() -> None:
    session = a_session()
    session.received(MANIFEST, manifest(initialization([1.0, 0.0], 1), 1))
    assert session.received(INIT, initialization([1.0, 0.5], 1)) == []
    assert session.version == 0
    assert session.learner is None


def test_a_version_in_the_weights_that_is_not_the_manifests_is_bad() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 2)
    session.received(MANIFEST, manifest(blob, 1))
    assert session.received(INIT, blob) == []
    assert (session.version, session.bad) == (0, 1)


@pytest.mark.parametrize("wrong", [{"hash": 1}, {"spec": "1 | dense"}, {"model": "other"}, {"codec": "zip"}])
def test_a_manifest_that_does_not_agree_with_itself_is_bad(wrong: dict[str, Any]) -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    assert session.received(MANIFEST, manifest(blob, 1, **wrong)) == []
    assert (session.manifest, session.bad) == (None, 1)


def test_another_model_under_the_same_name_begins_anew() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)  # waits for its ack, which cannot come any more
    two = Model("2 | dense 1 linear")
    blob = initialization([1.0, 2.0, 3.0], 2, two)
    assert session.received(MANIFEST, manifest(blob, 2, two)) == [("subscribe", INIT)]
    session.received(INIT, blob)
    session.received(ROUND, a_round(2, 2))
    assert session.learning
    assert session.learner is not None
    assert session.learner.weights.tolist() == [1.0, 2.0, 3.0]


# --- sent again ---


def test_an_update_without_an_ack_is_sent_again_after_resend_s() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    first = session.sample(*SAMPLE)
    assert session.tick(1000.0) == []  # the clock of an update starts with the first tick after it
    assert session.tick(1000.0 + RESEND_S - 0.1) == []
    assert session.tick(1000.0 + RESEND_S) == first
    assert session.tick(1000.0 + RESEND_S + 0.1) == []
    assert session.tick(1000.2 + 2 * RESEND_S) == first


def test_after_its_ack_nothing_is_sent_again() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.tick(0.0)
    session.received(ACK, ack("accepted", 1))
    assert session.tick(1e6) == []
    assert [effect for effect in session.connected() if effect[1] == UPDATE] == []


def test_after_a_reconnect_an_update_without_an_ack_waits_for_word_of_the_coordinator() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    first = session.sample(*SAMPLE)
    effects = session.connected()
    assert {effect[0] for effect in effects} == {"publish", "subscribe"}
    assert first[0] not in effects  # it could be lost: nobody may listen yet
    assert ("subscribe", topics.coordinator_state("home")) in effects
    assert session.received(topics.coordinator_state("home"), ONLINE) == first


def test_a_coordinator_that_comes_online_has_the_update_sent_again_in_whatever_life() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    topic = topics.coordinator_state("home")
    assert session.received(topic, ONLINE) == []  # nothing waits
    first = session.sample(*SAMPLE)
    assert session.received(topic, State(state="offline", boot=4).encode()) == []
    assert session.received(topic, ONLINE) == first  # the broker may have lost it while the coordinator lived
    assert session.received(topic, State(state="online", boot=5).encode()) == first


def test_while_an_update_waits_no_round_begins_and_its_ack_begins_the_one_that_is_open() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    given(session, 2, [1.0, 0.0])
    assert (session.version, session.learning) == (2, False)
    session.received(ACK, ack("late", 1, version=2))
    assert session.learning


@pytest.mark.parametrize(("boot", "sequence"), [(1, 2), (1, 0), (0, 1), (2, 1)])
def test_the_ack_of_another_update_is_nothing(boot: int, sequence: int) -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    first = session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", sequence, boot))
    assert session.accepted == 0
    session.tick(0.0)
    assert session.tick(RESEND_S) == first


def test_a_second_ack_of_the_same_update_is_nothing() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    for _ in range(3):
        session.received(ACK, ack("accepted", 1))
    assert session.accepted == 1
    assert next_entries(session) == {1: -0.5}


# --- a round for others ---


def outside(round_num: int, version: int) -> bytes:
    """What a device hears that no query has selected."""
    return Ack(result="outside", version=version, round_num=round_num, why="has no sensor co2").encode()


def test_a_device_outside_of_the_round_keeps_and_sends_nothing_of_it_and_goes_on_at_the_next_version() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2)
    session.sample(*SAMPLE)
    assert session.received(ACK, outside(1, 1)) == []
    assert (session.learning, session.learned, session.diverged) == (False, 0, 0)
    assert session.learner is not None
    assert session.learner.weights.tolist() == [1.0, 0.0]
    session.received(ROUND, a_round(1, 1))  # as after a connect
    assert not session.learning
    given(session, 2, [1.0, 0.0], top_p=100.0)
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0, 1: -0.5}  # of version 2 alone


def test_another_round_of_the_same_version_may_be_for_this_device() -> None:
    session = given(a_session(), 1, [1.0, 0.0], top_p=100.0, samples=2)
    session.sample(*SAMPLE)
    session.received(ACK, outside(1, 1))
    session.received(ROUND, a_round(2, 1))
    assert session.learning
    session.received(ACK, outside(1, 1))  # that of the round before once more, or late
    assert session.sample(*SAMPLE) == []
    # w = 0, b = -0.5 predict -0.5, which is 0.5 too little: w moves by 0.5, b by 0.25. What round 1 began is not in it.
    assert entries(sent(session.sample([2.0], [0.0]))) == {0: -0.5, 1: -0.25}
    session.received(ACK, ack("limited", 1))
    session.received(ACK, outside(1, 1))
    session.received(ROUND, a_round(2, 1))
    assert not session.learning  # once a round


def test_one_that_learns_since_an_earlier_round_of_the_version_stops_in_that_which_is_for_others() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2)
    session.sample(*SAMPLE)
    session.received(ROUND, a_round(2, 1))
    assert (session.learning, session.learned) == (True, 1)
    session.received(ACK, outside(2, 1))
    assert (session.learning, session.learned) == (False, 0)
    session.received(ROUND, a_round(3, 1))
    assert session.learning


def test_a_round_for_others_leaves_the_residual_of_earlier_ones() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", 1))
    given(session, 2, [1.0, 0.0], samples=2)
    session.sample(*SAMPLE)
    session.received(ACK, outside(2, 2))
    assert next_entries(session, 3) == {1: -0.5}


def test_who_hears_that_a_round_is_for_others_before_it_has_begun_does_not_begin() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", 1))
    session.received(ACK, outside(2, 2))
    given(session, 2, [1.0, 0.0])
    assert (session.version, session.learning) == (2, False)
    assert given(session, 3, [1.0, 0.0]).learning


@pytest.mark.parametrize("version", [1, 3])
def test_that_another_versions_round_is_for_others_does_not_end_this_one(version: int) -> None:
    session = given(a_session(), 2, [1.0, 0.0], samples=2)
    session.sample(*SAMPLE)
    session.received(ACK, outside(version, version))
    assert (session.learning, session.learned) == (True, 1)


def test_that_an_older_round_was_for_others_does_not_make_a_device_answer_twice() -> None:
    session = given(a_session(), 2, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("accepted", 1, version=2))
    session.received(ACK, outside(1, 1))
    session.received(ROUND, a_round(3, 2))
    assert not session.learning


def test_a_verdict_on_one_update_is_told_and_no_word_on_the_rounds_of_its_version() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, Ack(result="outside", boot=1, sequence=1, version=1, why="has no sensor co2").encode())
    assert session.refused_why == "outside: has no sensor co2"
    assert session.idle
    session.received(ROUND, a_round(2, 1))
    assert session.learning


def test_why_an_update_was_refused_is_there_until_another_reason_comes() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    assert session.refused_why == ""
    session.received(ACK, Ack(result="limited", version=1, why="too often").encode())
    session.received(ACK, ack("accepted", 1))
    assert session.refused_why == "limited: too often"
    session.received(ACK, ack("late", 1))
    assert session.refused_why == "late"


# --- the residual ---


def next_entries(session: Session, version: int = 2) -> dict[int, float]:
    """What goes out in the next version, if all of it is sent and nothing new is learned: the residual, as float32."""
    given(session, version, [1.0, 0.0], top_p=100.0, codec="f32")
    return entries(sent(session.sample([2.0], [2.0])))  # what is predicted: a step of zero


@pytest.mark.parametrize("result", ["accepted", "duplicate"])
def test_after_an_accepted_update_the_residual_is_what_was_not_sent(result: str) -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0}
    session.received(ACK, ack(result, 1))
    assert next_entries(session) == {1: -0.5}


@pytest.mark.parametrize("result", ["stale", "late", "invalid", "limited", "outside"])
def test_after_any_other_answer_the_residual_is_all_of_it(result: str) -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack(result, 1))
    assert session.accepted == 0
    assert next_entries(session) == {0: -1.0, 1: -0.5}


def test_the_residual_has_the_rounding_of_int8_too() -> None:
    session = given(a_session(), 1, [1.0, 0.0], codec="int8", top_p=100.0)
    went = entries(sent(session.sample(*SAMPLE)))
    scale = 130 / 2**14  # 1/127 is 129.008 steps of 2**-14, the grain of a bfloat16 there; 1.0 is 126.03 scales
    assert went == {0: -126 * scale, 1: -63 * scale}
    session.received(ACK, ack("accepted", 1))
    assert next_entries(session) == {0: pytest.approx(-1 + 126 * scale), 1: pytest.approx(-0.5 + 63 * scale)}


def test_the_residual_joins_the_next_delta() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ACK, ack("late", 1, version=2))
    given(session, 2, [1.0, 0.0])
    assert entries(sent(session.sample(*SAMPLE))) == {0: -2.0}
    session.received(ACK, ack("accepted", 2))
    assert next_entries(session, 3) == {1: -1.0}


def test_what_was_learned_when_the_next_version_came_joins_the_residual() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2)
    assert session.sample(*SAMPLE) == []
    given(session, 2, [1.0, 0.0], samples=1)
    assert entries(sent(session.sample(*SAMPLE))) == {0: -2.0}


def test_local_layers_are_neither_sent_nor_kept() -> None:
    """x -> w x + b shared -> v y + c local, all identity: the shared part sees the error as the plain model does."""
    model = Model("1 | dense 1 linear | dense 1 linear local")
    session = a_session()
    blob = initialization([1.0, 0.0, 1.0, 0.0], 1, model)
    session.received(MANIFEST, manifest(blob, 1, model, top_p=100.0))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1))
    ((_, _, payload, _, _),) = session.sample(*SAMPLE)
    assert entries(decode_update(payload, model)) == {0: -1.0, 1: -0.5}
    assert session.learner is not None
    assert session.learner.weights.tolist() == [
        0.0,
        -0.5,
        0.0,
        -0.5,
    ]  # the local layer has learned: v - 0.5 x 2, c - 0.5
    blob = initialization([1.0, 0.0, 1.0, 0.0], 2, model)
    session.received(MANIFEST, manifest(blob, 2, model))
    session.received(INIT, blob)
    assert session.learner.weights.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_delta_of_nothing_is_an_update_without_entries() -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    assert entries(sent(session.sample([2.0], [2.0]))) == {}


# --- learning that diverges ---


def about_to_diverge(samples: int) -> Session:
    """Learns w = 1e30, then v = 0: x = 1e8 is 1e38 in between, so that a step of 10 x 1e38 makes v infinite."""
    model = Model("1 | dense 1 linear | dense 1 linear")
    session = a_session()
    blob = initialization([1e30, 0.0, 0.0, 0.0], 1, model)
    session.received(MANIFEST, manifest(blob, 1, model, inner_step_size=1.0, samples=samples))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1))
    return session


def test_a_delta_that_is_not_finite_is_not_sent_and_nothing_of_it_is_kept() -> None:
    session = about_to_diverge(samples=1)
    assert session.sample([1e8], [10.0]) == []  # the loss of this sample is 50
    assert (session.diverged, session.learning) == (1, False)
    assert session.tick(0.0) + session.tick(1e6) == []
    session.received(ROUND, a_round(2, 1, top_p=100.0))
    ((_, _, payload, _, _),) = session.sample([0.0], [2.0])
    assert entries(decode_update(payload, session.model or ONE)) == {3: 2.0}  # the last bias, of the new sample alone


def test_learning_that_has_diverged_ends_at_once_and_tries_the_next_round() -> None:
    session = about_to_diverge(samples=100)
    assert session.sample([1e8], [10.0]) == []
    assert session.learning
    assert session.sample([1e8], [10.0]) == []  # the loss is not finite any more
    assert (session.diverged, session.learning, session.learned) == (1, False, 0)
    assert session.learner is not None
    assert session.learner.weights.tolist() == array("f", [1e30, 0.0, 0.0, 0.0]).tolist()
    session.received(ROUND, a_round(1, 1))
    assert not session.learning
    session.received(ROUND, a_round(2, 1))
    assert session.learning


def test_diverging_outside_of_a_round_leaves_what_waits_for_its_ack_alone() -> None:
    session = given(a_session(), 1, [1e30, 0.0], inner_step_size=1.0, top_p=100.0)
    assert entries(sent(session.sample([0.0], [1.0]))) == {1: 1.0}
    assert session.sample([1e15], [0.0]) == []  # predicts 1e45
    assert session.diverged == 1
    session.received(ACK, ack("accepted", 1))
    assert next_entries(session) == {}


def test_a_long_sleep_does_not_turn_an_accepted_update_round() -> None:
    session = given(a_session(), 1, [1.0, 0.0], top_p=100.0)
    session.sample(*SAMPLE)  # accepted, but the ack was lost
    given(session, 1000, [1.0, 0.0], top_p=100.0)
    session.received(ACK, ack("duplicate", 1, version=1000))
    assert session.learning
    assert entries(sent(session.sample([2.0], [2.0]))) == {}  # neither the delta again nor its opposite


# --- a boot number that was forgotten ---


def test_a_device_that_forgot_its_boot_number_goes_on_above_the_highest_that_was_heard() -> None:
    session = given(a_session(boot=1), 1, [1.0, 0.0])
    told = Ack(result="stale", version=1, least_boot=57).encode()
    ((_, topic, payload, _, retain),) = session.received(ACK, told)
    assert (topic, State.decode(payload).state, State.decode(payload).boot, retain) == (STATE, "ready", 58, True)
    assert sent(session.sample(*SAMPLE)).boot == 58


# --- the ledger ---


def test_payload_bytes_are_counted_by_class() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    told, opened = manifest(blob, 1), a_round(1, 1)
    for topic, payload in ((MANIFEST, told), (INIT, blob), (ROUND, opened)):
        session.received(topic, payload)
    ((_, _, update, _, _),) = session.sample(*SAMPLE)
    session.received(topics.coordinator_state("home"), ONLINE)  # sent a second time
    ((_, topic, payload, qos, retain),) = session.telemetry({"loss_before": 0.5})
    assert (topic, qos, retain) == ("tegu/1/home/device/a/telemetry", 0, False)
    fields = json.loads(payload)
    assert fields["bytes_model_down"] == len(told) + len(blob) + len(opened)
    assert fields["bytes_update_up"] == 2 * len(update)
    assert (fields["version"], fields["boot"], fields["loss_before"]) == (1, 1, 0.5)
    assert session.bytes["telemetry_up"] == len(payload)


def test_codecs_are_told_by_name() -> None:
    assert CODECS == ("f32", "f16", "int8")
    for codec in CODECS:
        session = given(a_session(), 1, [1.0, 0.0], codec=codec)
        assert sent(session.sample(*SAMPLE)).codec == CODECS.index(codec)


# --- sparse deltas between versions ---


def delta(version: int, values: dict[int, float], model: Model = ONE, base: int | None = None) -> tuple[str, bytes]:
    """(topic, payload) of what leads to a version."""
    whole = array("f", [values.get(i, 0.0) for i in range(model.shared_size)])
    before = version - 1 if base is None else base
    payload = encode_update(model, whole, array("H", sorted(values)), CODECS.index("f32"), before)
    return topics.delta("home", "m", version), bytes(payload)


def pull(session: Session, effects: list[tuple[Any, ...]], retained: dict[str, bytes]) -> list[str]:
    """Give it what it subscribes to, if that is there, until it asks for nothing more; the last words of what it got."""
    got = []
    waiting = [effect[1] for effect in effects if effect[0] == "subscribe"]
    while waiting:
        topic = waiting.pop(0)
        if topic not in retained:
            continue
        got.append(topic.split("/model/m/")[-1])
        waiting += [effect[1] for effect in session.received(topic, retained[topic]) if effect[0] == "subscribe"]
    return got


def growing(version: int) -> list[float]:
    """A version's weights when every delta adds 1 to the bias."""
    return [1.0, version - 1.0]


def base_of(session: Session) -> list[float]:
    assert session._kept._start is not None
    return session._kept._start.tolist()


def at_version_1(**options: Any) -> Session:
    """A session that has version 1, and nothing to do."""
    session = a_session(**options)
    blob = initialization(growing(1), 1)
    pull(session, session.received(MANIFEST, manifest(blob, 1)), {INIT: blob, topics.chunk("home", "m", 1, 0): blob})
    assert session.version == 1
    return session


def test_a_round_brings_the_delta_that_leads_to_its_version() -> None:
    session = at_version_1()
    topic, payload = delta(2, {0: 0.5})
    assert session.received(ROUND, a_round(2, 2)) == [("subscribe", topic)]
    assert session.received(topic, payload) == [("unsubscribe", topic)]
    assert (session.version, session.learning, base_of(session)) == (2, True, [1.5, 0.0])
    update = sent(session.sample(*SAMPLE))  # predicts 3, which is 2 too much
    assert (update.key(), entries(update)) == ((2, 1, 1), {0: -2.0})


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("lag", "whole"), [(1, 0), (31, 0), (32, 0), (33, 0), (63, 0), (64, 65), (65, 65), (95, 65), (96, 97)]
)
@pytest.mark.parametrize("round_first", [False, True])
def test_who_was_away_takes_the_deltas_or_what_is_whole_and_the_deltas_after_it(
    lag: int, whole: int, chunked: bool, round_first: bool
) -> None:
    """Whole are 1, 33, 65, 97, each with the deltas since the one before it."""
    now = 1 + lag
    newest = 1 + lag // 32 * 32
    kept = range(max(1, newest - 32) + 1, now + 1)
    blob = initialization(growing(newest), newest)
    retained = dict(delta(version, {1: 1.0}) for version in kept)
    retained |= {INIT: blob, topics.chunk("home", "m", newest, 0): blob}
    news = [(MANIFEST, manifest(blob, newest, deltas=min(32, newest - 1))), (ROUND, a_round(now, now))]
    session = at_version_1(chunked=chunked)
    session.connected()
    got = [
        what
        for message in (news[::-1] if round_first else news)
        for what in pull(session, session.received(*message), retained)
    ]
    assert (session.version, session.learning, base_of(session)) == (now, True, growing(now))
    assert session.learner is not None
    assert session.learner.weights.tolist() == growing(now)
    first = [f"chunk/{whole}/0" if chunked else "init"] if whole else []
    assert got == first + [f"delta/{version}" for version in range(max(1, whole) + 1, now + 1)]


@pytest.mark.parametrize("chunked", [False, True])
def test_after_a_reconnect_the_round_may_come_before_the_manifest_that_says_that_there_are_no_deltas(
    chunked: bool,
) -> None:
    session = at_version_1(chunked=chunked)
    session.connected()
    session.received(ROUND, a_round(2, 2))
    blob = initialization([3.0, 0.0], 2)
    retained = {INIT: blob, topics.chunk("home", "m", 2, 0): blob}
    assert pull(session, session.received(MANIFEST, manifest(blob, 2)), retained) != []
    assert (session.version, session.learning, base_of(session)) == (2, True, [3.0, 0.0])


def test_a_delta_that_comes_twice_counts_once() -> None:
    session = at_version_1()
    session.received(ROUND, a_round(3, 3))
    for _ in range(3):
        session.received(*delta(2, {1: 1.0}))
    assert (session.version, session.bad, base_of(session)) == (2, 0, growing(2))
    session.received(*delta(3, {1: 1.0}))
    session.received(*delta(3, {1: 1.0}))
    session.received(*delta(2, {1: 1.0}))
    assert (session.version, session.learning, base_of(session)) == (3, True, growing(3))


def test_a_delta_of_a_later_version_is_left_and_one_from_another_base_is_bad() -> None:
    session = at_version_1()
    session.received(ROUND, a_round(3, 3))
    assert session.received(*delta(3, {1: 1.0})) == []
    assert session.bad == 0
    assert session.received(*delta(2, {1: 1.0}, base=2)) == []
    assert (session.version, session.bad, base_of(session)) == (1, 1, growing(1))


def test_bytes_that_are_no_delta_change_nothing() -> None:
    session = at_version_1()
    session.received(ROUND, a_round(2, 2))
    topic, payload = delta(2, {0: 1.0, 1: 1.0})
    other_model = delta(2, {0: 1.0}, Model("2 | dense 1 linear"))[1]
    not_finite = bytearray(payload)
    not_finite[-8:-4] = b"\x00\x00\x80\x7f"
    not_finite[-4:] = crc32(not_finite[:-4]).to_bytes(4, "little")
    spoilt = [payload[:-1], payload + b"\0", b"\0", b"{}", other_model, bytes(not_finite)]
    spoilt += [payload[:i] + bytes([payload[i] ^ 0x10]) + payload[i + 1 :] for i in range(len(payload))]
    for wrong in spoilt:
        assert session.received(topic, wrong) == []
    assert session.bad == len(spoilt)
    for elsewhere in ("delta/02", "delta/2/0", "delta/", "delta", "delta/x"):
        assert session.received(topics.model("home", "m", elsewhere), payload) == []
    assert (session.version, base_of(session)) == (1, growing(1))
    session.received(topic, payload)
    assert (session.version, base_of(session)) == (2, [2.0, 1.0])


def test_a_delta_before_there_is_an_initialization_is_nothing() -> None:
    session = a_session()
    assert session.received(*delta(1, {0: 1.0})) == []
    session.received(MANIFEST, manifest(initialization(growing(1), 1), 1))
    assert session.received(*delta(1, {0: 1.0})) == []
    assert (session.version, session.bad) == (0, 0)


def stamped(version: int, base: list[float]) -> tuple[str, bytes]:
    """A delta that adds 1 to the bias, of a coordinator that published `base` before."""
    whole, stamp = array("f", [0.0, 1.0]), crc32(array("f", base).tobytes())
    payload = encode_update(ONE, whole, array("H", [1]), CODECS.index("f32"), version - 1, stamp)
    return topics.delta("home", "m", version), bytes(payload)


def test_a_delta_of_other_weights_under_the_same_version_sends_the_device_for_the_whole_with_the_next_round() -> None:
    session = Session("home", "a", "m", 1)
    blob = initialization(growing(1), 1)
    pull(session, session.received(MANIFEST, manifest(blob, 1)), {INIT: blob})
    session.received(ROUND, a_round(2, 2))
    topic, payload = stamped(2, growing(1))
    session.received(topic, payload)
    assert (session.version, base_of(session)) == (2, growing(2))
    # a coordinator that was put back to an older checkpoint has another version 2, and says how it goes on from there
    session.received(ROUND, a_round(3, 3))
    topic, payload = stamped(3, [7.0, 7.0])
    assert session.received(topic, payload) == [("unsubscribe", topic)]
    assert (session.version, session.bad) == (0, 0)
    assert session.received(ROUND, a_round(4, 4)) == [("subscribe", INIT)]
    session.received(INIT, blob)
    assert (session.version, base_of(session)) == (1, growing(1))


def test_deltas_are_of_the_shared_layers_alone() -> None:
    model = Model("1 | dense 1 linear local | dense 1 linear")
    session = a_session()
    blob = initialization([1.0, 2.0, 3.0, 4.0], 1, model)
    session.received(MANIFEST, manifest(blob, 1, model))
    session.received(INIT, blob)
    session.received(ROUND, a_round(2, 2))
    session.received(*delta(2, {0: 10.0, 1: 20.0}, model))
    assert base_of(session) == [1.0, 2.0, 13.0, 24.0]


def test_a_device_that_is_not_in_the_round_leaves_the_new_version_where_it_is() -> None:
    session = at_version_1()
    for version in (2, 33, 34, 65):
        blob = initialization(growing(version), version)
        assert session.received(MANIFEST, manifest(blob, version)) == []
        assert session.received(ROUND, a_round(version, version, invited="b")) == []
    assert session.received(ROUND, b"") == []
    assert (session.version, session.bad) == (1, 0)
    blob = initialization(growing(65), 65)
    assert session.received(ROUND, a_round(66, 65, invited="a")) == [("subscribe", INIT)]
    session.received(INIT, blob)
    assert (session.version, session.learning) == (65, True)


@pytest.mark.parametrize("join_percent", [38.37, 38.38])
def test_who_is_not_drawn_fetches_nothing(join_percent: float) -> None:  # of "a 1", see above
    session = at_version_1()
    drawn = join_percent == 38.38
    asked = [("subscribe", topics.delta("home", "m", 2))] if drawn else []
    assert session.received(ROUND, a_round(1, 2, join_percent=join_percent)) == asked


def test_a_device_that_is_in_no_round_has_an_initialization_nevertheless() -> None:
    session = a_session()
    session.received(ROUND, a_round(40, 40, invited="b"))
    blob = initialization(growing(33), 33)
    assert session.received(MANIFEST, manifest(blob, 33, deltas=32)) == [("subscribe", INIT)]
    assert session.received(INIT, blob) == [("unsubscribe", INIT)]
    assert (session.version, session.learning) == (33, False)


def test_a_new_device_takes_what_is_whole_and_then_the_deltas_of_its_round() -> None:
    session = a_session()
    blob = initialization(growing(33), 33)
    retained = {INIT: blob} | dict(delta(version, {1: 1.0}) for version in range(2, 37))
    session.received(ROUND, a_round(36, 36))
    got = pull(session, session.received(MANIFEST, manifest(blob, 33, deltas=32)), retained)
    assert got == ["init", "delta/34", "delta/35", "delta/36"]
    assert (session.version, session.learning, base_of(session)) == (36, True, growing(36))


@pytest.mark.parametrize(("deltas", "way"), [(3, ["delta/2", "delta/3", "delta/4"]), (2, ["init"]), (0, ["init"])])
def test_the_last_version_is_for_everybody(deltas: int, way: list[str]) -> None:
    session = at_version_1()
    blob = initialization(growing(4), 4)
    retained = {INIT: blob} | dict(delta(version, {1: 1.0}) for version in (2, 3, 4))
    told = manifest(blob, 4, deltas=deltas, finished=1)
    assert pull(session, session.received(MANIFEST, told), retained) == way
    assert (session.version, base_of(session)) == (4, growing(4))
    assert weights_of(session) == growing(4)  # which is what the room uses
    assert session.received(MANIFEST, told) == []
    assert [effect[1] for effect in session.connected() if effect[1] == INIT] == []


def test_deltas_that_went_with_a_coordinator_are_replaced_by_what_is_whole() -> None:
    """The last version is told again, by a coordinator that has no deltas any more."""
    session = at_version_1()
    blob = initialization(growing(4), 4)
    session.received(MANIFEST, manifest(blob, 4, deltas=3, finished=1))
    session.received(*delta(2, {1: 1.0}))
    topic = topics.delta("home", "m", 3)
    assert session.connected()[-1] == ("subscribe", topic)
    assert session.received(topic, b"") == []  # cleared
    assert session.received(MANIFEST, manifest(blob, 4, finished=1)) == [("subscribe", INIT)]
    session.received(INIT, blob)
    assert (session.version, session.bad, base_of(session)) == (4, 0, growing(4))


def test_the_one_delta_that_went_with_a_coordinator_is_replaced_by_what_is_whole() -> None:
    session = at_version_1()
    assert session.received(ROUND, a_round(2, 2)) == [("subscribe", topics.delta("home", "m", 2))]
    blob = initialization(growing(2), 2)
    assert session.received(MANIFEST, manifest(blob, 2)) == [("subscribe", INIT)]
    session.received(INIT, blob)
    assert (session.version, session.learning) == (2, True)


def test_a_link_that_breaks_within_the_deltas_goes_on_where_it_was() -> None:
    session = at_version_1()
    session.received(ROUND, a_round(4, 4))
    session.received(*delta(2, {1: 1.0}))
    retained = dict(delta(version, {1: 1.0}) for version in (2, 3, 4))
    assert pull(session, session.connected(), retained) == ["delta/3", "delta/4"]
    assert (session.version, session.learning, base_of(session)) == (4, True, growing(4))


def test_an_empty_chunk_is_not_the_end_of_a_download() -> None:
    session = a_session(chunked=True)
    blob = initialization([1.0] * 602, 1, WIDE)
    session.received(MANIFEST, manifest(blob, 1, WIDE))
    topic = [topics.chunk("home", "m", 1, i) for i in range(3)]
    session.received(topic[0], blob[:CHUNK_BYTES])
    assert session.received(topic[1], b"") == []  # cleared, and published again
    for i in (1, 2):
        session.received(topic[i], blob[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])
    assert session.version == 1


def test_what_was_learned_when_a_delta_came_joins_the_residual_and_counts_once() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2, top_p=100.0)
    assert session.sample(*SAMPLE) == []  # (-1, -0.5)
    session.received(ROUND, a_round(2, 2))
    assert session.learning
    session.received(*delta(2, {1: 0.5}))
    assert (session.learning, session.learned, base_of(session)) == (True, 1, [1.0, 0.5])
    update = sent(session.sample([2.0], [2.0]))  # predicts 2.5: (-0.5, -0.25)
    assert (update.key(), update.samples, entries(update)) == ((2, 1, 1), 2, {0: -1.5, 1: -0.75})
    session.received(ACK, ack("accepted", 1, version=2))
    session.received(ROUND, a_round(3, 3))
    session.received(*delta(3, {1: -0.5}))
    session.sample([2.0], [2.0])
    assert entries(sent(session.sample([2.0], [2.0]))) == {}


@pytest.mark.parametrize(("result", "left"), [("accepted", {1: -0.5}), ("late", {0: -1.0, 1: -0.5})])
def test_an_update_that_waits_while_a_delta_comes_is_taken_off_the_residual_when_it_is_accepted(
    result: str, left: dict[int, float]
) -> None:
    session = given(a_session(), 1, [1.0, 0.0])
    session.sample(*SAMPLE)
    session.received(ROUND, a_round(2, 2, top_p=100.0))
    session.received(*delta(2, {0: 1.0}))
    assert (session.version, session.learning) == (2, False)
    session.received(ACK, ack(result, 1, version=2))
    assert session.learning
    assert entries(sent(session.sample([2.0], [4.0]))) == left  # what w = 2 predicts


def test_a_residual_older_than_its_limit_is_dropped_on_the_way_through_the_deltas() -> None:
    for lag, left in ((64, {0: -1.0, 1: -0.5}), (65, {})):
        session = given(a_session(), 1, [1.0, 0.0])
        session.sample(*SAMPLE)
        session.received(ACK, ack("late", 1))
        retained = dict(delta(version, {}) for version in range(2, 67))
        now = 1 + lag
        pull(session, session.received(ROUND, a_round(now, now, top_p=100.0)), retained)
        assert session.version == now
        assert entries(sent(session.sample([2.0], [2.0]))) == left


def test_weights_that_are_forgotten_learn_nothing_more() -> None:
    """Other weights under the same version are on their way; meanwhile a sample would make those in hand diverge."""
    session = given(a_session(), 1, [1e30, 0.0], inner_step_size=1.0)
    session.received(MANIFEST, manifest(initialization([1.0, 0.0], 1), 1))
    assert session.sample([1e15], [0.0]) == []
    assert session.learner is not None
    assert session.learner.weights.tolist() == array("f", [1e30, 0.0]).tolist()


# --- what else a manifest and a round can ask for ---

TWO = Model("1 | dense 1 linear | dense 1 linear local")  # x -> w x + b shared -> v y + c local, from 1, 0, 1, 0


def with_a_local_layer(opened: bytes = b"", **changes: Any) -> Session:
    session = a_session()
    blob = initialization([1.0, 0.0, 1.0, 0.0], 1, TWO)
    session.received(MANIFEST, manifest(blob, 1, TWO, top_p=100.0, **changes))
    session.received(INIT, blob)
    session.received(ROUND, opened)
    return session


def weights_of(session: Session) -> list[float]:
    assert session.learner is not None
    return session.learner.weights.tolist()


def test_rebuilding_comes_before_the_shared_layers_learn() -> None:
    session = with_a_local_layer(a_round(1, 1), samples=2, rebuild=1)
    assert session.sample([2.0], [1.5]) == []  # 0.5 too much: v - 0.5 x 0.5 x 2, c - 0.5 x 0.5
    assert weights_of(session) == [1.0, 0.0, 0.5, -0.25]
    ((_, _, payload, _, _),) = session.sample([2.0], [-0.25])  # predicts 0.75; through v the shared layer sees 0.5
    assert weights_of(session) == [0.5, -0.25, 0.5, -0.25]
    assert entries(decode_update(payload, TWO)) == {0: -0.5, 1: -0.25}


def test_a_version_that_comes_meanwhile_is_rebuilt_on_from_the_beginning() -> None:
    session = with_a_local_layer(a_round(1, 1), samples=3, rebuild=1)
    session.sample([2.0], [1.5])
    session.sample([2.0], [-0.25])  # as above: the shared layer has learned (-0.5, -0.25)
    session.received(ROUND, a_round(2, 2))
    session.received(*delta(2, {1: 1.0}, TWO))
    assert (session.learning, session.learned) == (True, 0)
    assert weights_of(session) == [1.0, 1.0, 1.0, 0.0]
    assert session.sample([2.0], [3.0]) == []  # what is predicted
    assert session.sample([2.0], [3.0]) == []
    ((_, _, payload, _, _),) = session.sample([2.0], [3.0])
    update = decode_update(payload, TWO)
    assert (update.samples, entries(update)) == (3, {0: -0.5, 1: -0.25})


def test_outside_of_the_rounds_the_local_layers_alone_may_learn() -> None:
    session = with_a_local_layer(adapt="local")
    session.sample([2.0], [1.5])
    assert weights_of(session) == [1.0, 0.0, 0.5, -0.25]
    session.received(ROUND, a_round(1, 1))
    assert weights_of(session) == [1.0, 0.0, 1.0, 0.0]
    session.sample([2.0], [1.0])  # in the round all learn: as test_local_layers_are_neither_sent_nor_kept
    assert weights_of(session) == [0.0, -0.5, 0.0, -0.5]
    session.sample([2.0], [0.5])  # 1 too little, x of the local layer is -0.5: v - 0.25, c + 0.5
    assert weights_of(session) == [0.0, -0.5, -0.25, 0.0]


def test_a_share_of_each_tensor_takes_the_bias_too() -> None:
    assert entries(sent(given(a_session(), 1, [1.0, 0.0], by_tensor=1).sample(*SAMPLE))) == {0: -1.0, 1: -0.5}
    assert entries(sent(given(a_session(), 1, [1.0, 0.0]).sample(*SAMPLE))) == {0: -1.0}


@pytest.mark.parametrize("result", ["accepted", "late"])
def test_without_a_residual_what_was_left_out_is_forgotten(result: str) -> None:
    session = given(a_session(), 1, [1.0, 0.0], residual=0)
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0}
    session.received(ACK, ack(result, 1))
    given(session, 2, [1.0, 0.0], residual=0, top_p=100.0)
    assert entries(sent(session.sample([2.0], [2.0]))) == {}


def test_without_a_residual_what_was_learned_when_a_delta_came_still_counts() -> None:
    session = given(a_session(), 1, [1.0, 0.0], samples=2, top_p=100.0, residual=0)
    session.sample(*SAMPLE)  # (-1, -0.5)
    session.received(ROUND, a_round(2, 2))
    session.received(*delta(2, {1: 0.5}))
    update = sent(session.sample([2.0], [2.0]))  # (-0.5, -0.25), as above
    assert (update.samples, entries(update)) == (2, {0: -1.5, 1: -0.75})


def test_a_round_has_its_own_step() -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    session.received(MANIFEST, manifest(blob, 1, top_p=100.0))
    session.received(INIT, blob)
    session.received(ROUND, a_round(1, 1, inner_step_size=0.25))
    assert entries(sent(session.sample(*SAMPLE))) == {0: -0.5, 1: -0.25}
    session.sample([0.0], [0.75])  # outside of it the manifest's, 0.5: b is 1 too small
    assert weights_of(session) == [0.5, 0.25]
    session.received(ACK, ack("accepted", 1))
    session.received(ROUND, a_round(2, 2))
    session.received(*delta(2, {}))
    assert entries(sent(session.sample(*SAMPLE))) == {0: -1.0, 1: -0.5}


@pytest.mark.parametrize(
    "wrong", [{"rebuild": 1}, {"rebuild": 2}, {"adapt": "shared"}, {"deltas": -1}, {"by_tensor": "yes"}]
)
def test_a_manifest_that_asks_for_what_there_is_not_is_bad(wrong: dict[str, Any]) -> None:
    session = a_session()
    blob = initialization([1.0, 0.0], 1)
    assert session.received(MANIFEST, manifest(blob, 1, **wrong)) == []
    assert (session.manifest, session.bad) == (None, 1)


@pytest.mark.parametrize("wrong", [{"inner_step_size": 1.5}, {"inner_step_size": -0.1}, {"top_p": 101.0}])
def test_a_round_out_of_range_is_bad_and_changes_nothing(wrong: dict[str, Any]) -> None:
    session = at_version_1()
    assert session.received(ROUND, a_round(1, 1, **wrong)) == []
    assert (session.bad, session.learning) == (1, False)


def test_what_could_not_be_taken_is_asked_for_once_more() -> None:
    session = a_session()
    assert session.missed() == []
    blob = initialization([0.0, 0.0], 1)
    assert session.received(MANIFEST, manifest(blob, 1)) == [("subscribe", INIT)]
    assert session.missed() == [("subscribe", INIT)]
    assert session.missed() == []
