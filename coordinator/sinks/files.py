"""SQLite files of the monitor: opened, or refused with a sentence that says why."""

import sqlite3
from pathlib import Path


def open_file(path: Path, application_id: int, form: int, what: str, exclusive: bool) -> sqlite3.Connection:
    """A connection in WAL mode, for any one thread at a time. A new file gets application_id and form.

    exclusive: nobody else may open it meanwhile. ValueError: it is another program's, or damaged. OSError: it cannot be
    had.
    """
    try:
        db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            if exclusive:
                db.execute("PRAGMA locking_mode=EXCLUSIVE")
            _check(db, path, application_id, form, what)
            db.execute("PRAGMA journal_mode=WAL")
            # also takes the lock, so that a second program fails here
            db.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id={application_id}; PRAGMA user_version={form}; COMMIT"
            )
        except BaseException:
            db.close()
            raise
    except sqlite3.OperationalError as error:
        hint = "; another coordinator is running on it" if "locked" in str(error) else ""
        raise OSError(f"cannot use the {what} {path}: {error}{hint}") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"{path} is no {what} of Tegu, or is damaged ({error}); remove it or name another file"
        ) from error
    return db


def _check(db: sqlite3.Connection, path: Path, application_id: int, form: int, what: str) -> None:
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (found,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != application_id and (owner or found or tables):
        raise ValueError(f"{path} is a database of another program; name another file for the {what}")
    if owner == application_id and found != form:
        raise ValueError(f"{path} has {what} format {found}, this version of Tegu reads {form}; name another file")
