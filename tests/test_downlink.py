"""What the coordinator sends down when that is sparse: deltas between versions, and now and then a version whole.

The devices here are updates made by hand; what they would hold is worked out from the published bytes alone, with the
library's own decoders, as a device has them.
"""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coordinator.checkpoint import Checkpoint
from coordinator.federation import WHOLE_EVERY, Federation, Outgoing
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.session import CHUNK_BYTES
from tegu.sparse import add
from tegu.wire import CODECS
from tegu.wire.initialization import decode_init
from tegu.wire.messages import Manifest, Round, State
from tegu.wire.update import decode_update, encode_update

SPEC = "11 | dense 24 tanh | dense 2 softmax local"  # 288 shared parameters, 338 in all: two chunks as float32
MODEL = Model(SPEC)
INIT, MANIFEST, ROUND = (topics.model("home", "m", kind) for kind in ("init", "manifest", "round"))


def told(path: Path, model: dict[str, Any] | None = None, **rounds: Any) -> Settings:
    sparse: dict[str, Any] = {"name": "m", "spec": SPEC, "samples": 4, "top_p_down": 20.0}
    rules: dict[str, Any] = {"quorum": 1, "rounds": 200, "server": "momentum", "outer_step_size": 0.3, "clip": 0.0}
    return Settings(
        LinkSettings(checkpoint=path),
        ModelSettings(**{**sparse, **(model or {})}),
        RoundSettings(**{**rules, **rounds}),
    )


class Shelf:
    """What a broker keeps, and a coordinator that fills it. One device answers every round."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept: dict[str, bytes] = {}
        self.seen: list[tuple[str, bytes]] = []
        self.model = Model(settings.model.spec)
        self.federation = self._started()
        self._random = Random(7)

    def take(self, out: Outgoing) -> None:
        for topic, payload, retain in out:
            self.seen.append((topic, payload))
            if retain and payload:
                self.kept[topic] = payload
            elif retain:
                self.kept.pop(topic, None)

    def connect(self) -> "Shelf":
        self.take(self.federation.retained())
        ready = (topics.device("home", "a", "state"), State(state="ready", boot=1).encode())
        self.take(self.federation.batch([ready]))
        self.take(self.federation.tick())
        return self

    def answer(self) -> None:
        """The device's update of the open round, all of which is new."""
        version, size = self.federation.rounds.version, self.model.shared_size
        values = array("f", [self._random.gauss(0, 0.1) for _ in range(size)])
        payload = encode_update(self.model, values, array("H", range(size)), 0, version, 1, version, 4)
        self.federation.batch([(topics.device("home", "a", "update", "m"), bytes(payload))])

    def close(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.answer()
            self.take(self.federation.tick())

    def crash(self, settings: Settings | None = None) -> None:
        """The coordinator dies and is there again; it has not connected yet."""
        self.federation.checkpoint.close()
        self.settings = settings or self.settings
        self.federation = self._started()

    def _started(self) -> Federation:
        checkpoint = Checkpoint(self.settings.link.checkpoint, "m", self.model)
        checkpoint._db.execute("PRAGMA synchronous=OFF")  # processes die here, not machines
        return Federation(self.settings, lambda: 0.0, lambda: 0.0, checkpoint)

    @property
    def version(self) -> int:
        return self.federation.rounds.version

    @property
    def manifest(self) -> Manifest:
        told: Manifest = Manifest.decode(self.kept[MANIFEST])
        return told

    @property
    def deltas(self) -> list[int]:
        """The versions to which a delta is kept."""
        return sorted(int(topic.rpartition("/")[2]) for topic in self.kept if "/delta/" in topic)

    @property
    def chunks(self) -> list[int]:
        """The versions of which there are chunks."""
        return sorted({int(topic.split("/")[-2]) for topic in self.kept if "/chunk/" in topic})

    def whole(self) -> "array[float]":
        """What the manifest names, whichever way it is taken."""
        told, blob = self.manifest, self.kept[INIT]
        pieces = [self.kept[topics.chunk("home", "m", told.version, i)] for i in range(told.chunks)]
        assert b"".join(pieces) == blob
        assert all(len(piece) == CHUNK_BYTES for piece in pieces[:-1])
        assert (hashlib.sha256(blob).hexdigest(), len(blob)) == (told.sha256, told.bytes)
        version, weights = decode_init(blob, self.model)
        assert version == told.version
        return weights

    def step(self, weights: "array[float]", version: int) -> None:
        """From the version before to this one."""
        change = decode_update(self.kept[topics.delta("home", "m", version)], self.model)
        assert change.version == version - 1
        add(self.model.shared, weights, change.indices, change.values)

    def held(self) -> bytes:
        """What a device that begins now holds in the end: what is whole, and the deltas since."""
        weights = self.whole()
        for version in range(self.manifest.version + 1, self.version + 1):
            self.step(weights, version)
        return weights.tobytes()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(told(tmp_path / "c.sqlite"))
    yield made.connect()
    made.federation.checkpoint.close()


@pytest.mark.parametrize("codec", CODECS)
def test_deltas_make_what_the_coordinator_believes_to_be_published_to_the_bit(tmp_path: Path, codec: str) -> None:
    shelf = Shelf(told(tmp_path / "c.sqlite", {"codec": codec})).connect()
    first = shelf.whole()
    for version in range(2, 12):
        shelf.close()
        shelf.step(first, version)
        assert first.tobytes() == shelf.held() == shelf.federation.published.tobytes()
        assert first.tobytes() != shelf.federation.initialization.tobytes()
        assert (Round.decode(shelf.kept[ROUND]).version, shelf.manifest.version) == (version, 1)


def test_a_delta_has_its_share_of_the_entries_and_what_it_leaves_out_comes_later(shelf: Shelf) -> None:
    shelf.close()
    change = decode_update(shelf.kept[topics.delta("home", "m", 2)], MODEL)
    assert len(change.indices) == 58  # 20 % of 288 are 57.6
    missing = shelf.federation.initialization[:288] - shelf.federation.published[:288]
    assert sorted(abs(missing))[-1] <= min(abs(value) for value in change.values)
    for _ in range(12):  # with nothing new, what is missing shrinks to the rounding of int8
        shelf.federation.algorithm_state = shelf.federation.algorithm_state * 0
        empty = encode_update(MODEL, array("f", bytes(4 * 288)), array("H"), 0, shelf.version, 1, shelf.version, 4)
        shelf.federation.batch([(topics.device("home", "a", "update", "m"), bytes(empty))])
        shelf.take(shelf.federation.tick())
    left = abs(shelf.federation.initialization - shelf.federation.published).max()
    assert left < 0.02 * abs(missing).max()
    assert shelf.held() == shelf.federation.published.tobytes()


def test_every_32nd_version_is_whole_and_all_that_led_to_the_one_before_is_cleared(shelf: Shelf) -> None:
    assert (WHOLE_EVERY, shelf.manifest.version, shelf.manifest.deltas, shelf.chunks) == (32, 1, 0, [1])
    wholes = {33: (32, [1, 33]), 65: (32, [33, 65]), 97: (32, [65, 97])}
    first, newest = shelf.whole(), 1
    for version in range(2, 110):
        shelf.seen.clear()
        shelf.close()
        shelf.step(first, version)
        assert shelf.held() == first.tobytes() == shelf.federation.published.tobytes()
        if version not in wholes:
            assert [topic for topic, _ in shelf.seen] == [topics.delta("home", "m", version), ROUND]
            continue
        deltas, chunks = wholes[version]
        assert (shelf.manifest.version, shelf.manifest.deltas, shelf.chunks) == (version, deltas, chunks)
        assert shelf.deltas == list(range(newest + 1, version + 1))
        order = [topic for topic, payload in shelf.seen if payload]
        chunk = [topics.chunk("home", "m", version, i) for i in range(2)]  # float32: 1,364 bytes
        assert order == [topics.delta("home", "m", version), *chunk, INIT, MANIFEST, ROUND]
        emptied = [topic for topic, payload in shelf.seen if not payload]
        assert all(
            shelf.seen.index((topic, b"")) > shelf.seen.index((MANIFEST, shelf.kept[MANIFEST])) for topic in emptied
        )
        newest = version


def test_a_connect_long_afterwards_brings_no_delta_that_was_cleared(shelf: Shelf) -> None:
    shelf.close(109)
    assert shelf.version == 110
    again = [topic for topic, payload, _ in shelf.federation.retained() if "/delta/" in topic and payload]
    assert again == [topics.delta("home", "m", version) for version in range(66, 111)]


def test_the_deltas_that_a_manifest_speaks_of_are_there(shelf: Shelf) -> None:
    """A device so many versions behind can do without what is whole, at any moment."""
    at: dict[int, bytes] = {1: shelf.held()}
    for _ in range(70):
        shelf.close()
        at[shelf.version] = shelf.federation.published.tobytes()
        if shelf.version not in (2, 32, 33, 34, 64, 65, 66, 71):
            continue
        behind = max(1, shelf.manifest.version - shelf.manifest.deltas)
        weights = array("f", at[behind])
        for version in range(behind + 1, shelf.version + 1):
            shelf.step(weights, version)
            assert weights.tobytes() == at[version]


def test_a_second_connect_publishes_the_same_again(shelf: Shelf) -> None:
    shelf.close(40)
    before = dict(shelf.kept)
    shelf.kept.clear()  # another broker, or one that lost its disk
    shelf.take(shelf.federation.retained())
    assert shelf.chunks == [33]  # those before are for who was in the middle of them
    assert shelf.kept == {topic: payload for topic, payload in before.items() if "/chunk/1/" not in topic}


@pytest.mark.parametrize("rounds", [0, 1, 5, 32, 33, 70])
def test_after_a_restart_the_present_version_is_whole_and_nothing_of_an_earlier_life_stays(
    shelf: Shelf, rounds: int
) -> None:
    shelf.close(rounds)
    held, version = shelf.held(), shelf.version
    shelf.crash()
    assert shelf.federation.published.tobytes() == held
    shelf.connect()
    assert (shelf.manifest.version, shelf.manifest.deltas, shelf.deltas) == (version, 0, [])
    assert (shelf.held(), Round.decode(shelf.kept[ROUND]).version) == (held, version)
    shelf.close(3)
    assert shelf.deltas == [version + 1, version + 2, version + 3]
    assert shelf.held() == shelf.federation.published.tobytes()


def test_a_restart_between_the_commit_and_the_publishing_changes_nothing_of_what_devices_end_with(
    tmp_path: Path,
) -> None:
    ends = []
    for dies_at in (None, 3):
        shelf = Shelf(told(tmp_path / f"{dies_at}.sqlite")).connect()
        for n in range(6):
            shelf.answer()
            out = shelf.federation.tick()
            if n == dies_at:
                shelf.crash()
                shelf.connect()
            else:
                shelf.take(out)
            assert shelf.held() == shelf.federation.published.tobytes()
        ends.append((shelf.held(), shelf.federation.algorithm_state.tobytes()))
    assert ends[0] == ends[1]


def test_rounds_that_close_before_the_first_connect_do_not_leave_the_deltas_of_an_earlier_life(shelf: Shelf) -> None:
    shelf.close(5)
    shelf.crash()
    shelf.answer()
    shelf.federation.tick()  # there is no broker: nothing of it goes out
    shelf.answer()
    shelf.federation.tick()
    shelf.connect()
    assert (shelf.version, shelf.held()) == (8, shelf.federation.published.tobytes())
    assert set(shelf.deltas) <= {7, 8}
    weights = shelf.whole()
    for version in range(shelf.manifest.version + 1, 9):
        shelf.step(weights, version)
    assert weights.tobytes() == shelf.federation.published.tobytes()


def test_the_last_version_is_whole_for_whoever_comes_and_a_delta_for_those_who_were_there(tmp_path: Path) -> None:
    shelf = Shelf(told(tmp_path / "c.sqlite", rounds=4)).connect()
    first = shelf.whole()
    shelf.close(4)
    assert (shelf.manifest.version, shelf.manifest.finished, shelf.manifest.deltas) == (5, 1, 4)
    assert ROUND not in shelf.kept
    for version in range(2, 6):
        shelf.step(first, version)
    assert first.tobytes() == shelf.held() == shelf.federation.published.tobytes()
    last = decode_update(shelf.kept[topics.delta("home", "m", 5)], MODEL)
    assert len(last.indices) > 250  # all that is missing, but for what rounds to nothing
    left = abs(shelf.federation.initialization - shelf.federation.published).max()
    assert left <= 0.51 / 127 * max(abs(value) for value in last.values)
    digest = shelf.manifest.sha256
    shelf.crash()
    shelf.connect()
    assert (shelf.manifest.sha256, shelf.manifest.finished, shelf.manifest.deltas) == (digest, 1, 0)
    assert shelf.deltas == []


def test_a_round_that_changes_nothing_has_a_delta_of_nothing(tmp_path: Path) -> None:
    shelf = Shelf(told(tmp_path / "c.sqlite", server="")).connect()
    empty = encode_update(MODEL, array("f", bytes(4 * 288)), array("H"), 0, 1, 1, 1, 4)
    shelf.federation.batch([(topics.device("home", "a", "update", "m"), bytes(empty))])
    shelf.take(shelf.federation.tick())
    change = decode_update(shelf.kept[topics.delta("home", "m", 2)], MODEL)
    assert (len(change.indices), shelf.version) == (0, 2)
    assert shelf.held() == shelf.whole().tobytes()


def test_the_local_layer_stays_what_it_was(shelf: Shelf) -> None:
    first = shelf.whole()[288:]
    shelf.close(40)
    assert shelf.whole()[288:] == first


def test_deltas_are_a_small_part_of_what_is_whole(shelf: Shelf) -> None:
    """A fifth of 288 parameters: some 9 bits each, and 3 of its gap; all 338 have 32 bits as float32, 8 as int8."""
    first = len(shelf.kept[INIT])
    shelf.close(35)
    sizes = [len(payload) for topic, payload in shelf.seen if "/delta/" in topic and payload]
    assert len(sizes) == 35
    assert max(sizes) < 58 * 12 / 8 + 30
    assert (first < 338 + 20, len(shelf.kept[INIT]) > 4 * 338) == (True, True)


# --- settings that change between two starts ---


def test_sparse_after_whole_versions_publishes_the_version_anew_in_the_bits_that_deltas_need(tmp_path: Path) -> None:
    settings = told(tmp_path / "c.sqlite", {"top_p_down": 0.0})
    shelf = Shelf(settings).connect()
    shelf.close(3)
    rounded = shelf.whole()  # int8
    shelf.crash(replace(settings, model=replace(settings.model, top_p_down=20.0)))
    shelf.connect()
    assert shelf.whole() != rounded
    assert shelf.held() == shelf.federation.published.tobytes() == shelf.federation.initialization.tobytes()
    shelf.close(3)
    assert (shelf.deltas, shelf.held()) == ([5, 6, 7], shelf.federation.published.tobytes())


def test_whole_versions_after_sparse_ones_stay_the_same_under_one_number_and_leave_no_deltas(tmp_path: Path) -> None:
    settings = told(tmp_path / "c.sqlite", {"init_codec": "f32"})
    shelf = Shelf(settings).connect()
    shelf.close(3)
    held = shelf.held()
    shelf.crash(replace(settings, model=replace(settings.model, top_p_down=0.0)))
    shelf.connect()
    assert (shelf.held(), shelf.deltas) == (held, [])
    shelf.federation._save()  # as a round does that nobody answers
    shelf.crash()
    shelf.connect()
    assert (shelf.manifest.version, shelf.held()) == (4, held)
    shelf.close()
    assert shelf.held() == shelf.federation.initialization.tobytes()


def test_a_file_from_before_there_were_algorithms_and_deltas_goes_on(tmp_path: Path) -> None:
    settings = told(tmp_path / "c.sqlite", {"top_p_down": 0.0, "init_codec": "f32"}, server="")
    shelf = Shelf(settings).connect()
    shelf.close(3)
    held = shelf.held()
    shelf.federation.checkpoint._db.execute("DROP TABLE algorithm")
    shelf.crash()
    shelf.connect()
    assert (shelf.manifest.version, shelf.held()) == (4, held)
    shelf.federation.checkpoint._db.execute("DROP TABLE algorithm")
    shelf.crash(told(tmp_path / "c.sqlite"))
    shelf.connect()
    assert (shelf.manifest.version, shelf.held()) == (4, held)
    shelf.close(2)
    assert shelf.held() == shelf.federation.published.tobytes()


@pytest.mark.parametrize(
    ("before", "after", "rows", "stays"),
    [
        ("momentum", "momentum", 1, True),
        ("momentum", "adam", 2, False),
        ("adam", "momentum", 1, False),
        ("momentum", "", 0, False),
        ("", "adam", 2, False),
    ],
)
def test_the_state_of_another_algorithm_is_not_taken(
    tmp_path: Path, before: str, after: str, rows: int, stays: bool
) -> None:
    settings = told(tmp_path / "c.sqlite", server=before)
    shelf = Shelf(settings).connect()
    shelf.close(2)
    state = shelf.federation.algorithm_state
    shelf.crash(told(tmp_path / "c.sqlite", server=after))
    assert shelf.federation.algorithm_state.shape == (rows, 288)
    assert (shelf.federation.algorithm_state.tobytes() == state.tobytes()) is stays
    assert stays or not shelf.federation.algorithm_state.any()
    shelf.connect()
    shelf.close(2)
    assert shelf.held() == shelf.federation.published.tobytes()


def test_a_model_that_shares_nothing_starts_twice(tmp_path: Path) -> None:
    shelf = Shelf(told(tmp_path / "c.sqlite", {"spec": "2 | dense 2 softmax local", "top_p_down": 0.0}, server=""))
    shelf.crash()
    assert shelf.federation.algorithm_state.shape == (0, 0)
