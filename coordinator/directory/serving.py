"""The directory's server, in a thread of its own."""

import logging
import socket
import threading

import uvicorn
from fastapi import FastAPI

from ..deploying.deployments import Deployments
from ..documents.things import Things
from ..registry import Registry
from .app import make_app
from .connections import Connection
from .parts import Parts
from .settings import DirectorySettings

log = logging.getLogger("tegu.registry")
START_S = 20.0
STOP_S = 5.0  # for requests that are still being answered
MOST_HEADER_BYTES = 32 << 10


class Directory:
    """HTTP for a registry. known: its deployments, where there is a broker.

    >>> directory = Directory(registry, things, DirectorySettings(port=0))
    >>> directory.start()  # OSError: the address cannot be had
    >>> directory.url
    'http://127.0.0.1:8480'
    """

    def __init__(
        self, registry: Registry, things: Things, settings: DirectorySettings, known: Deployments | None = None
    ) -> None:
        self.settings = settings
        self.app: FastAPI = make_app(registry, things, settings, known)
        self.port = settings.port
        self._server = _Server(_config(self.app, settings))
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is, once it is started."""
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::") else self.settings.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """It answers when this returns. OSError: the address is not free, or none of this machine."""
        listener = _listen(self.settings.host, self.settings.port)
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="directory", daemon=True)
        self._thread.start()
        if not self._server.up.wait(START_S) or not self._server.started:
            raise OSError(f"the service at {self.url} does not start; the log says why")

    def _run(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        finally:
            listener.close()
            self._server.up.set()

    def stop(self) -> None:
        """Answer what has been asked, and end."""
        parts: Parts = self.app.state.parts
        parts.changes.close()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(2 * STOP_S)


class _Server(uvicorn.Server):
    """Tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(app: FastAPI, settings: DirectorySettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=settings.most_connections,
        timeout_graceful_shutdown=int(STOP_S),
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
