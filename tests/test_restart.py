"""A board that loses its power: what it had learned, sent and been told counts once, and another coordinator is recognised."""

import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

from tegu.session import Session
from tegu.wire.messages import Ack

sys.path.append(str(Path(__file__).parent.parent / "mcu_firmware"))

import contextlib

import flash
import slots

from .test_session import (
    ACK,
    INIT,
    MANIFEST,
    ONE,
    ONLINE,
    ROUND,
    SAMPLE,
    a_round,
    delta,
    entries,
    given,
    initialization,
    manifest,
    sent,
)

COORDINATOR = "tegu/1/home/coordinator/state"


class PowerCut(Exception):
    """The board is off from here on."""


class Power:
    """Cuts at operation number `cut` of all begin, put and commit of slots; before it is carried out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cut: int = 0) -> None:
        self.cut, self.operations = cut, 0
        for name in ("begin", "put", "commit"):
            monkeypatch.setattr(slots.Slots, name, self._cutting(getattr(slots.Slots, name)))

    def _cutting(self, operation: Any) -> Any:
        def carry_out(own: slots.Slots, *arguments: Any) -> Any:
            self.operations += 1
            if self.operations == self.cut:
                raise PowerCut
            return operation(own, *arguments)

        return carry_out


def life(folder: Path, boot: int) -> Session:
    return Session("home", "a", "m", boot, kept=flash.FlashKept(f"{folder}/"))


class Coordinator:
    """Accepts one update a version of each device, as coordinator.rounds does; says so when asked to."""

    def __init__(self) -> None:
        self.accepted: list[dict[int, float]] = []
        self.key: tuple[int, int, int] | None = None

    def hear(self, session: Session, effects: list[tuple[Any, ...]]) -> None:
        update = sent(effects)
        result = "duplicate" if update.key() == self.key else "limited" if self.key else "accepted"
        if result == "accepted":
            self.key = update.key()
            self.accepted.append(entries(update))
        session.received(ACK, Ack(result=result, boot=update.boot, sequence=update.sequence, version=1).encode())


def live(session: Session, coordinator: Coordinator) -> None:
    """A round, from the first message to the ack."""
    given(session, 1, [0.5, 0.25])
    if session.learning:
        coordinator.hear(session, session.sample(*SAMPLE))
    effects = session.received(COORDINATOR, ONLINE)
    if effects:
        coordinator.hear(session, effects)


def residual_of(folder: Path) -> list[float]:
    kept = flash.FlashKept(f"{folder}/")
    file, length = kept._learned.open()
    with file:
        return array("f", file.read(length - flash.TAIL_BYTES)).tolist() if kept._has_residual else []


def test_wherever_the_power_goes_in_a_round_its_delta_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, whole = Coordinator(), tmp_path / "undisturbed"
    whole.mkdir()
    live(life(whole, 1), undisturbed)
    (expected,), left = undisturbed.accepted, residual_of(whole)
    assert len(expected) == 1
    assert sum(value != 0 for value in left) == 1
    cut = 0
    while True:
        cut += 1
        folder, coordinator = tmp_path / str(cut), Coordinator()
        folder.mkdir()
        with monkeypatch.context() as patch:
            power = Power(patch, cut)
            with contextlib.suppress(PowerCut):
                live(life(folder, 1), coordinator)
        if power.operations < cut:
            break
        for boot in (2, 3):
            live(life(folder, boot), coordinator)
        assert coordinator.accepted == [expected], f"cut at operation {cut}"
        assert residual_of(folder) == left, f"cut at operation {cut}"
    assert cut > 15


def test_a_board_that_was_off_does_not_learn_a_round_again_that_it_was_accepted_in(tmp_path: Path) -> None:
    coordinator = Coordinator()
    live(life(tmp_path, 1), coordinator)
    session = given(life(tmp_path, 2), 1, [0.5, 0.25])
    assert (session.version, session.learning) == (1, False)
    assert session.received(COORDINATOR, ONLINE) == []


def test_what_was_refused_is_not_taken_for_accepted_after_a_restart(tmp_path: Path) -> None:
    session = given(life(tmp_path, 1), 1, [0.5, 0.25])
    update = sent(session.sample(*SAMPLE))
    session.received(ACK, Ack(result="limited", boot=1, sequence=update.sequence, version=1).encode())
    session = given(life(tmp_path, 2), 1, [0.5, 0.25])
    assert session.learning


def test_what_came_by_deltas_is_still_in_hand_after_a_restart(tmp_path: Path) -> None:
    session = given(life(tmp_path, 1), 1, [0.5, 0.25])
    topic, payload = delta(2, {0: 0.5})
    session.received(ROUND, a_round(2, 2))
    stamped = given_stamp(session, payload)
    session.received(topic, stamped)
    assert session.version == 2
    again = life(tmp_path, 2)
    blob = initialization([0.5, 0.25], 1)
    assert again.received(MANIFEST, manifest(blob, 1)) == []
    assert (again.version, list(again.learner.weights if again.learner else [])) == (2, [1.0, 0.25])


def given_stamp(session: Session, payload: bytes) -> bytes:
    """The delta with the checksum of the weights that the session holds, as a coordinator would send it."""
    from tegu.wire.update import decode_update, encode_update

    told = decode_update(payload, ONE)
    whole = array("f", [dict(zip(told.indices, told.values, strict=True)).get(i, 0.0) for i in range(2)])
    return bytes(encode_update(ONE, whole, told.indices, told.codec, told.version, session._kept.crc()))


@pytest.mark.parametrize(("version", "weights"), [(1, [9.0, 9.0]), (3, [9.0, 9.0])])
def test_another_coordinator_does_not_get_what_was_learned_for_the_first(
    tmp_path: Path, version: int, weights: list[float]
) -> None:
    session = given(life(tmp_path, 1), 3, [0.5, 0.25])
    session.sample(*SAMPLE)
    assert session._kept.pending is not None
    again = life(tmp_path, 2)
    blob = initialization(weights, version)
    assert again.received(MANIFEST, manifest(blob, version)) == [("subscribe", INIT)]
    assert (again.version, again._kept.pending, residual_of(tmp_path)) == (0, None, [])
    again.received(INIT, blob)
    assert (again.version, list(again.learner.weights if again.learner else [])) == (version, weights)


def test_an_initialization_of_another_length_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    session = given(life(tmp_path, 1), 1, [0.5, 0.25])
    blob = initialization([1.0, 2.0], 2)
    longer = blob[:-4] + b"\0" + blob[-4:]
    session.received(MANIFEST, manifest(longer, 2))
    session.received(ROUND, a_round(2, 2))
    session.received(INIT, longer)
    assert (session.version, session.bad, list(session.learner.weights if session.learner else [])) == (
        1,
        1,
        [0.5, 0.25],
    )
