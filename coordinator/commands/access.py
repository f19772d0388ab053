"""The way to a registry for commands: over HTTP where a service runs, else its folder, opened here.

A service has the lock of its folder, and says where it is in the file `service.json` there. It is found by --url, by
TEGU_REGISTRY, or by that file; its token by --token-file, by TEGU_REGISTRY_TOKEN, or in the folder, for whoever may read it there.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from pyoxigraph import NamedNode, RdfFormat, Triple

from ..semantics.description import Description
from .http import AccessError, Service

ADDRESS_FILE, TOKEN_FILE = "service.json", "token"  # in the folder, written by the service
USUAL_FOLDER = Path("registry")
Json = dict[str, Any]

__all__ = ["USUAL_FOLDER", "Access", "AccessError", "access", "find_service"]


class Access(Protocol):
    """What can be asked of a registry and done to it. ValueError, OSError, AccessError: a sentence for people.

    notes: what the answers so far lack, as a service gives only so many rows.
    """

    notes: list[str]

    @property
    def site(self) -> str: ...

    def questions(self) -> list[Json]:
        """{name, says, parameters: {name: {kind, means}}} of each."""

    def ask(self, question: str, **given: str | float) -> list[Json]:
        """The rows of a named question: IRIs as texts, literals as values."""

    def select(self, text: str) -> list[Json]:
        """The rows of a query in SPARQL; of an ASK one row {answer: bool}."""

    def put_thing(self, document: Json) -> tuple[str, bool]:
        """A Thing Description, in place of what was there: its id, and whether it is new."""

    def patch_thing(self, id: str, patch: Json) -> None:
        """Change a part of one (RFC 7396)."""

    def remove_thing(self, id: str) -> None:
        """Forget one. A device that announces itself anew comes back."""

    def put_model(self, name: str, description: Description) -> str:
        """A model of the site, in place of what was there: its IRI."""

    def put_graphs(self, graphs: Mapping[NamedNode, Sequence[Triple]]) -> None:
        """Each of these graphs holds these triples from now on and nothing else. A service refuses those that it writes itself."""

    def export(self, form: RdfFormat) -> bytes:
        """All of it."""


@contextmanager
def access(folder: Path, url: str, token_file: Path | None, site: str, made: bool) -> Iterator[Access]:
    """The service if there is one, else the folder. made: a folder that is not there is made."""
    where = _address(folder, url)
    if where:
        yield Service(where, _token(token_file, folder, bool(_given(url))))
        return
    from .folder import Folder

    opened = Folder(folder, site, made)
    try:
        yield opened
    finally:
        opened.close()


def find_service(folder: Path | None, url: str, token_file: Path | None) -> Service:
    """The service. AccessError: there is none."""
    folder = folder or USUAL_FOLDER
    where = _address(folder, url)
    if not where:
        raise AccessError(
            f"no registry service was found: {folder} has no {ADDRESS_FILE}. "
            "Start one with `tegu registry serve`, or name it by --url"
        )
    return Service(where, _token(token_file, folder, bool(_given(url))))


def _address(folder: Path, url: str) -> str:
    """Of the service; empty: none is known. What a service left behind that was killed counts for nothing."""
    if given := _given(url):
        return given
    try:
        with (folder / ADDRESS_FILE).open(encoding="utf-8") as file:
            return "" if _is_free(file) else str(json.load(file)["url"]).rstrip("/")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise AccessError(f"{folder / ADDRESS_FILE} cannot be read: {error!r}") from error


def _is_free(file: IO[str]) -> bool:
    """Whether nobody holds the lock on it: its service has ended, and whoever is at that address now is somebody else."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _given(url: str) -> str:
    return (url or os.environ.get("TEGU_REGISTRY", "")).rstrip("/")


def _token(path: Path | None, folder: Path, elsewhere: bool) -> str:
    """Empty: nobody gave one. elsewhere: the service may be another one than the folder's, whose token is not for it."""
    if path is None:
        given = os.environ.get("TEGU_REGISTRY_TOKEN", "").strip()
        path = folder / TOKEN_FILE
        if given or elsewhere or not os.access(path, os.R_OK):
            return given
    text = path.read_text(encoding="utf-8").strip()
    if not text or any(letter.isspace() for letter in text):
        raise ValueError(f"{path} does not hold one token")
    return text
