"""Every test of the session, and some of sessions paired with rounds, once more: with what a device keeps in a board's flash.

The tests look into two private members of Kept; here they are read from the files.
"""

import sys
from array import array
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import tegu.kept

sys.path.append(str(Path(__file__).parent.parent / "mcu_firmware"))

import flash  # type: ignore[import-not-found]

from .test_session import *  # noqa: F403
from .test_session_and_rounds import (  # noqa: F401
    _whole_every_third_version,
    test_a_reboot_before_the_update_was_made_changes_nothing_when_all_of_a_delta_is_sent,
    test_a_wire_that_heals_leaves_nobody_stuck,
    test_half_of_the_devices_at_random_are_enough,
)


class Opened(flash.FlashKept):  # type: ignore[misc]
    """FlashKept, with its files as arrays."""

    @property
    def _start(self) -> Any:
        if not self.version:
            return None
        weights = array("f", bytes(4 * self._weights))
        self.restore(weights)
        return weights

    @property
    def _residual(self) -> Any:
        if not self._has_residual:
            return None
        file, length = self._learned.open()
        with file:
            return array("f", file.read(length - flash.TAIL_BYTES - len(self.pending or b"")))


@pytest.fixture(autouse=True)
def _in_flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()

    def kept() -> Opened:
        folder = tmp_path / "kept" / str(next(numbers))
        folder.mkdir(parents=True)
        return Opened(f"{folder}/")

    monkeypatch.setattr(tegu.kept, "Kept", kept)


def test_the_tests_above_do_run_in_flash(tmp_path: Path) -> None:
    from tegu.session import Session

    session = Session("home", "a", "m", 1)
    assert isinstance(session._kept, Opened)
    session._kept._learned.begin()
    session._kept.send(bytearray(b"update"), (1, 2, 3))
    assert Opened(f"{tmp_path}/kept/0/").pending == b"update"
