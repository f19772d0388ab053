"""What may be said of the directory: where it is, who may write, and how much anybody may ask for."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from ..sparql.asking import Limits


@dataclass(frozen=True)
class DirectorySettings:
    """port 0: any that is free. token "": nobody writes. names: more host names that it answers to, "*": all.

    snapshots: below it is what foreign queries read; on the registry's file system, or all is copied. None: as temporary files.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    token: str = ""
    names: tuple[str, ...] = ()
    snapshots: Path | None = None
    queries: Limits = field(default_factory=Limits)
    queries_wait_s: float = 1.0  # for their turn; then they are told to come again
    questions_at_once: int = 4
    exports_at_once: int = 4  # each is a file until its reader has it
    most_body_bytes: int = 4 << 20
    most_query_bytes: int = 64 << 10
    most_import_bytes: int = 16 << 20
    body_s: float = 30.0  # for a whole request to arrive
    page: int = 100  # things, if nobody says how many
    most_page: int = 1000
    most_readers: int = 64  # of events
    history: int = 1000  # events that are kept for those who come back
    heartbeat_s: float = 15.0
    head_s: float = 10.0  # for the head of a request to arrive
    reader_s: float = 10.0  # who takes nothing of an answer for so long is dropped
    expiry_s: float = 5.0  # how late a registration may end
    most_connections: int = 256

    @property
    def answers_to(self) -> frozenset[str]:
        """The host names in requests that are answered; empty: all.

        On loopback anything else is a foreign page's trick to read what is here (DNS rebinding).
        """
        if "*" in self.names or not (self.names or _is_loopback(self.host)):
            return frozenset()
        return frozenset(["localhost", "127.0.0.1", "[::1]", *(name.lower() for name in self.names)])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
