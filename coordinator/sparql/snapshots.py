"""The registry as it was a moment ago, in files that another process can read.

A store on disk is copied by hard links (2 ms, if the snapshots are on the same file system), one in memory is written out.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from pyoxigraph import RdfFormat

from ..registry import Registry

NAME = "tegu-snapshots-"  # and the process, and letters
LOCK = "lock"  # a file, locked while the folder is used; in containers each process has the same number


class Snapshots:
    """Of one registry, in a folder of their own below `parent`; None: below the usual one for temporary files.

    Any thread may ask.
    """

    def __init__(self, registry: Registry, parent: Path | None = None) -> None:
        self._registry = registry
        self._parent = parent or Path(tempfile.gettempdir())
        self._changing = threading.Lock()
        self._made: Path | None = None
        self._lock: BinaryIO | None = None
        self._number = 0
        self._changes = -1  # of the registry, when the newest was made
        self._newest = Path()
        self._used: dict[object, Path] = {}  # by those who read

    def _folder(self) -> Path:
        if self._made is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            _remove_left_behind(self._parent)
            lock = None
            while lock is None:  # somebody who starts just now may have taken it for one that was left behind
                made = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-", dir=self._parent))
                lock = _locked(made)
            self._made, self._lock = made, lock
        return self._made

    def newest(self, reader: object) -> Path:
        """A snapshot with all that was changed before this call; it is there until the same reader asks anew.

        OSError: it cannot be written.
        """
        with self._changing:
            changes = self._registry.changes
            if changes != self._changes:
                self._number += 1
                self._newest = self._make(self._folder() / f"{self._number}")
                self._changes = changes
            self._used[reader] = self._newest
            return self._newest

    def _make(self, path: Path) -> Path:
        try:
            self._registry.store.backup(path)
            return path
        except RuntimeError:  # it is in memory
            path = path.with_suffix(".nq")
            self._registry.store.dump(path, RdfFormat.N_QUADS)
            return path

    def forget(self) -> None:
        """Remove all but the newest and those that are still read."""
        with self._changing:
            kept = {self._newest, *self._used.values()}
            for path in self._made.iterdir() if self._made is not None else ():
                if path in kept or path.suffix == ".export" or path.name == LOCK:
                    continue
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def spare(self) -> Path:
        """A file for an export."""
        with self._changing:
            folder = self._folder()
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".export", delete=False) as file:
            return Path(file.name)

    def close(self) -> None:
        """Remove them all."""
        with self._changing:
            made, lock = self._made, self._lock
            self._made, self._lock, self._changes = None, None, -1
        if made is not None and lock is not None:
            shutil.rmtree(made, ignore_errors=True)
            lock.close()


def _remove_left_behind(parent: Path) -> None:
    """Snapshots of processes that are no more, as they had no time to remove them."""
    for path in parent.glob(f"{NAME}*-*"):
        if not path.name.removeprefix(NAME).partition("-")[0].isdecimal():
            continue
        with contextlib.suppress(OSError):  # it is somebody else's
            if (lock := _locked(path)) is not None:
                with lock:
                    shutil.rmtree(path, ignore_errors=True)


def _locked(folder: Path) -> BinaryIO | None:
    """The folder's lock, which is free again when this is closed or its process ends.

    None: another has it, or the folder is gone. OSError: there can be no lock.
    """
    with contextlib.suppress(FileNotFoundError, BlockingIOError), contextlib.ExitStack() as failing:
        lock = failing.enter_context((folder / LOCK).open("ab"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat((folder / LOCK).stat(), os.fstat(lock.fileno())):
            failing.pop_all()
            return lock
    return None
