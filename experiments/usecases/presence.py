"""Presence in a room from its air: recorded offices and a simulated building (edge_agents.rooms, edge_agents.building).

One recorded room is left out and is what is adapted to; without recorded rooms it is a simulated one. Every support comes
from the first third of a room's days and every query from the days after them, so nothing leaks across time. Support is
asked for alternately empty and occupied, as a device asks for its labels.
"""

from pathlib import Path

import numpy as np

from edge_agents.rooms import Room, RoomSource, real_rooms, simulated_room
from edge_agents.sources import Source

from . import Episode, Samples, UseCase

STARTS = 8  # places in the unseen room's support from which adaptation is measured
FIRST_UNSEEN = 1_000_000  # number of a simulated room; the devices have the low ones
UNSEEN_SIMULATED = 12  # rooms, when there are no recorded ones


class Presence(UseCase):
    """folder: of the recorded rooms, or None. left_out: which of them is adapted to, by number."""

    name = "presence"
    title = "Is someone in the room?"
    spec = "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax"
    score_name = "balanced accuracy"
    samples = (0, 1, 2, 4, 8, 16, 32, 64, 128)

    def __init__(self, folder: Path | None, seed: int, left_out: int = 0, devices: int = 10) -> None:
        recorded = real_rooms(folder) if folder else []
        if recorded:
            unseen = recorded.pop(left_out % len(recorded))
            self._unseen = [(unseen, at * max(1, unseen.support_rows // STARTS)) for at in range(STARTS)]
            recorded = recorded[:devices]
            self.data_note = f"{len(recorded)} recorded and {devices - len(recorded)} SIMULATED rooms take part; {unseen.name} does not."
        else:
            self._unseen = [(simulated_room(seed, FIRST_UNSEEN + n), 0) for n in range(UNSEEN_SIMULATED)]
            self.data_note = f"All {devices} rooms and the unseen ones are SIMULATED."
        made = [simulated_room(seed, n) for n in range(1, devices - len(recorded) + 1)]
        self._rooms = [*recorded, *made][:devices]
        self.seed, self.devices, self._made_from = seed, devices, (folder, left_out)

    def support(self, device: int, round_num: int, count: int) -> Samples:
        """`count` samples from a place in the room's support that the round draws."""
        room = self._rooms[device]
        start = int(np.random.default_rng([self.seed, device, round_num, 5]).integers(room.support_rows))
        return _taken(RoomSource(room, start), count)

    def unseen(self) -> list[Episode]:
        """The unseen room from STARTS places of its support (or several simulated rooms)."""
        return [_episode(room, start, max(self.samples)) for room, start in self._unseen]

    def with_devices(self, count: int) -> "Presence":
        folder, left_out = self._made_from
        return Presence(folder, self.seed, left_out, count)


def _episode(room: Room, start: int, count: int) -> Episode:
    query = room.query()
    x = np.array([row for row, _ in query], dtype=np.float32)
    y = np.array([label for _, label in query], dtype=np.int64)
    return Episode(room.name, _taken(RoomSource(room, start), count), Samples(x, y))


def _taken(source: Source, count: int) -> Samples:
    rows = [source.next_support(n % 2) for n in range(count)]
    kept = [row for row in rows if row is not None]
    return Samples(np.array([x for x, _ in kept], dtype=np.float32), np.array([y for _, y in kept], dtype=np.int64))
