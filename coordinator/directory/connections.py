"""A connection of the directory: it does not last for somebody who says nothing, or takes nothing of what is said."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """The server's, with the limits of DirectorySettings: head_s for the head of each request, reader_s to take some of an answer."""

    def __init__(self, config: Any, *others: Any, **named: Any) -> None:
        super().__init__(config, *others, **named)
        settings = config.app.state.parts.settings
        self._head_s: float = settings.head_s
        self._reader_s: float = settings.reader_s
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def _await_head(self) -> None:
        """What comes is no request yet, or the rest of one that has its answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _ended(self._head)
        elif self._head is None:  # else more bytes give no more time
            self._head = self.loop.call_later(self._head_s, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader = _ended(self._reader)
        self._await_last()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_last()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._await_last()

    def _await_last(self) -> None:
        """A connection that is closed lasts until its last bytes are taken."""
        if self.transport.is_closing():
            self._await_reader()

    def _await_reader(self) -> None:
        if self._reader is None:
            self._look_later(self.transport.get_write_buffer_size())

    def _look_later(self, left_bytes: int) -> None:
        self._reader = self.loop.call_later(self._reader_s, self._look, left_bytes)

    def _look(self, left_bytes: int) -> None:
        """Who has taken something meanwhile may go on."""
        now_bytes = self.transport.get_write_buffer_size()
        if now_bytes < left_bytes:
            self._look_later(now_bytes)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head, self._reader = _ended(self._head), _ended(self._reader)


def _ended(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
