"""What the coordinator must not forget, in one SQLite file (WAL, synchronous=FULL).

Everything that leads to an ack is in one transaction, and the ack, to the broker and to the device, goes out only after
its commit. Many updates share a commit (measured here: 286 commits a second one by one, 13,900 rows a second by 64).
A round closes in one transaction too: new initialization, new version, its row of history. So at whatever moment the
process is killed, what was acked is here, and what is here is counted once.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tegu.model import Model

from .aggregate import Weights
from .rounds import Key

APPLICATION_ID = 0x54656775  # "Tegu"
SCHEMA_VERSION = 1
KEPT_VERSIONS = 16  # whose norms can still be asked for
SCHEMA = """
CREATE TABLE model (name TEXT PRIMARY KEY, spec TEXT NOT NULL, version INTEGER NOT NULL, closed INTEGER NOT NULL,
    round_num INTEGER NOT NULL, turn TEXT NOT NULL, is_open INTEGER NOT NULL, initialization BLOB NOT NULL) STRICT;
CREATE TABLE updates (model TEXT NOT NULL, version INTEGER NOT NULL, device TEXT NOT NULL, boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (model, version, device)) STRICT, WITHOUT ROWID;
CREATE TABLE norm (model TEXT NOT NULL, version INTEGER NOT NULL, device TEXT NOT NULL, norm REAL NOT NULL,
    PRIMARY KEY (model, version, device)) STRICT, WITHOUT ROWID;
CREATE TABLE last_update (model TEXT NOT NULL, device TEXT NOT NULL, version INTEGER NOT NULL, boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL, PRIMARY KEY (model, device)) STRICT, WITHOUT ROWID;
CREATE TABLE device (name TEXT PRIMARY KEY, boot INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE history (model TEXT NOT NULL, version INTEGER NOT NULL, round_num INTEGER NOT NULL,
    outer_step_size REAL NOT NULL, accepted INTEGER NOT NULL, verdicts TEXT NOT NULL, opened_s REAL NOT NULL,
    closed_s REAL NOT NULL, PRIMARY KEY (model, version)) STRICT, WITHOUT ROWID;
CREATE TABLE coordinator (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL) STRICT;
INSERT INTO coordinator VALUES (1, 0);
"""
ALGORITHM = """
CREATE TABLE IF NOT EXISTS algorithm (model TEXT PRIMARY KEY, state BLOB NOT NULL, published BLOB) STRICT
"""  # younger than the rest, as is the next: a file without it gets it
ADMISSION = """
CREATE TABLE IF NOT EXISTS admission (model TEXT PRIMARY KEY, round_num INTEGER NOT NULL, answer TEXT NOT NULL) STRICT
"""


@dataclass(frozen=True)
class Kept:
    """What is known of a model: enough to go on as if nothing had happened."""

    version: int
    closed: int
    round_num: int
    turn: str
    is_open: bool
    initialization: Weights
    last: dict[str, Key]
    boots: dict[str, int]
    algorithm_state: bytes  # float64, as coordinator.algorithms has it
    published: Weights | None  # what devices hold, when it is not the initialization to the bit


class Checkpoint:
    """One model's state on disk. A ValueError says that the file belongs to something else; OSError that it cannot be had."""

    def __init__(self, path: Path, model_name: str, model: Model) -> None:
        self._name = model_name
        self._model = model
        try:
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")  # a second coordinator on this file must not start
            self._check_owner(path)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._prepare()
        except sqlite3.OperationalError as error:
            hint = "; another coordinator is running on it" if "locked" in str(error) else ""
            raise OSError(f"cannot use the checkpoint {path}: {error}{hint}") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not a checkpoint of Tegu: {error}") from error

    def _check_owner(self, path: Path) -> None:
        """ValueError if the file is another program's, or of another format."""
        (owner,) = self._db.execute("PRAGMA application_id").fetchone()
        (form,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != APPLICATION_ID and (tables or owner or form):
            raise ValueError(f"{path} is a database of another program; name another checkpoint file")
        if owner == APPLICATION_ID and form != SCHEMA_VERSION:
            raise ValueError(f"{path} has checkpoint format {form}, this version of Tegu reads {SCHEMA_VERSION}")

    def _prepare(self) -> None:
        (owner,) = self._db.execute("PRAGMA application_id").fetchone()
        if owner != APPLICATION_ID:
            marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
            self._db.executescript(f"BEGIN; {SCHEMA} {marks} COMMIT;")
        self._db.execute(ALGORITHM)
        self._db.execute(ADMISSION)

    def close(self) -> None:
        self._db.close()

    def save_copy(self, path: Path) -> None:
        """A copy of all of it in another file, which takes the place of that file."""
        with closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

    def load_copy(self, path: Path) -> None:
        """Take all that a copy holds instead of what is here."""
        with closing(sqlite3.connect(path)) as copy:
            copy.backup(self._db)

    def next_epoch(self) -> int:
        """Grow the epoch by one, durably, and return it: at each start of the coordinator."""
        self._db.execute("UPDATE coordinator SET epoch = epoch + 1")
        (epoch,) = self._db.execute("SELECT epoch FROM coordinator").fetchone()
        return int(epoch)

    def load(self) -> Kept | None:
        """What is kept of the model, None if it is new. ValueError if the file holds it with other layers."""
        row = self._db.execute(
            "SELECT spec, version, closed, round_num, turn, is_open, initialization FROM model WHERE name = ?",
            (self._name,),
        ).fetchone()
        if row is None:
            return None
        spec, version, closed, round_num, turn, is_open, blob = row
        if spec != self._model.spec:
            raise ValueError(
                f"the checkpoint holds {self._name} as '{spec}', the settings say '{self._model.spec}': "
                "give the new model another name"
            )
        last = {
            device: (device, of_version, boot, sequence)
            for device, of_version, boot, sequence in self._db.execute(
                "SELECT device, version, boot, sequence FROM last_update WHERE model = ?", (self._name,)
            )
        }
        boots = dict(self._db.execute("SELECT name, boot FROM device"))
        weights = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        row = self._db.execute("SELECT state, published FROM algorithm WHERE model = ?", (self._name,)).fetchone()
        state, blob = row or (b"", None)
        published = None if blob is None else np.frombuffer(blob, dtype="<f4").astype(np.float32)
        return Kept(version, closed, round_num, turn, bool(is_open), weights, last, boots, state, published)

    # --- inside a transaction ---

    def begin(self) -> None:
        """Start collecting; nothing is kept before commit()."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """All since begin() is on disk when this returns."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Forget all since begin()."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def add_update(self, key: Key, norm: float, payload: bytes) -> None:
        """An accepted update."""
        device, version, boot, sequence = key
        self._db.execute(
            "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?)", (self._name, version, device, boot, sequence, payload)
        )
        self._db.execute("INSERT INTO norm VALUES (?, ?, ?, ?)", (self._name, version, device, norm))
        self._db.execute(
            "INSERT OR REPLACE INTO last_update VALUES (?, ?, ?, ?, ?)", (self._name, device, version, boot, sequence)
        )
        self.set_boot(device, boot)

    def set_boot(self, device: str, boot: int) -> None:
        """The highest boot number heard of a device."""
        self._db.execute(
            "INSERT INTO device VALUES (?1, ?2) ON CONFLICT DO UPDATE SET boot = max(boot, ?2)", (device, boot)
        )

    def save_model(
        self, version: int, closed: int, round_num: int, turn: str, is_open: bool, initialization: Weights
    ) -> None:
        """The model as it now stands; updates of versions that cannot come again are dropped, norms a while later."""
        self._db.execute(
            "INSERT OR REPLACE INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._name,
                self._model.spec,
                version,
                closed,
                round_num,
                turn,
                int(is_open),
                initialization.astype("<f4").tobytes(),
            ),
        )
        self._db.execute("DELETE FROM updates WHERE model = ? AND version < ?", (self._name, version))
        self._db.execute("DELETE FROM norm WHERE model = ? AND version < ?", (self._name, version - KEPT_VERSIONS))

    def save_algorithm(self, state: bytes, published: Weights | None) -> None:
        """The algorithm's state as bytes, and what devices hold, if that is not the initialization."""
        blob = None if published is None else published.astype("<f4").tobytes()
        self._db.execute("INSERT OR REPLACE INTO algorithm VALUES (?, ?, ?)", (self._name, state, blob))

    def save_admission(self, round_num: int, answer: str) -> None:
        """For whom a round was opened, as coordinator.admission writes it."""
        self._db.execute("INSERT OR REPLACE INTO admission VALUES (?, ?, ?)", (self._name, round_num, answer))

    def add_history(
        self, version: int, round_num: int, step: float, accepted: int, verdicts: str, opened_s: float, closed_s: float
    ) -> None:
        """The row of a closed round. verdicts: JSON, verdict -> count."""
        self._db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._name, version, round_num, step, accepted, verdicts, opened_s, closed_s),
        )

    # --- reading ---

    def admission(self) -> tuple[int, str] | None:
        """(round_num, answer) of the last round that was opened for some devices only."""
        row = self._db.execute("SELECT round_num, answer FROM admission WHERE model = ?", (self._name,)).fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def norms(self, since_version: int) -> list[float]:
        """The norms of the updates of that version and the later ones, at most KEPT_VERSIONS back."""
        rows = self._db.execute("SELECT norm FROM norm WHERE model = ? AND version >= ?", (self._name, since_version))
        return [norm for (norm,) in rows]

    def payloads(self, version: int) -> Iterator[bytes]:
        """The updates of a version as they came, one by one, by device id."""
        rows = self._db.execute(
            "SELECT payload FROM updates WHERE model = ? AND version = ? ORDER BY device", (self._name, version)
        )
        for (payload,) in rows:
            yield payload
