"""Lines that a database would not take, kept for people: a text file that the database's own tools can read again."""

import logging
from datetime import UTC, datetime
from pathlib import Path

MOST_BYTES = 4_000_000  # then it becomes FILE.old, in place of the one before
MOST_REASONS = 100  # that are told, each once

log = logging.getLogger("tegu.coordinator")


class Rejected:
    """count: points rejected since the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._told: set[str] = set()

    def add(self, where: str, reason: str, count: int, lines: list[bytes]) -> None:
        """Count and keep lines of which `count` were refused: all, unless there were too many to find out which."""
        self.count += count
        kept = f"the lines are in {self.path}"
        try:
            if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
                self.path.replace(self.path.with_name(self.path.name + ".old"))
            with self.path.open("ab") as file:
                head = f"# {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {count} of {len(lines)} refused: {reason}\n"
                file.write(head.encode("utf-8", "replace") + b"\n".join(lines) + b"\n")
        except OSError as error:
            kept = f"the lines are lost too: {error}"
        if reason not in self._told and len(self._told) < MOST_REASONS:
            self._told.add(reason)
            log.error("%s refuses points, %d at first: %s; %s", where, count, reason, kept)
