"""The page: which address shows what, and the server, which answers this machine only unless it is told otherwise."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .reader import Reader
from .store import Store, StoreError
from .web import coordinator, device, energy, fleet, learning, rounds, traffic
from .web.shell import Shell

HERE = Path(__file__).parent
FAVICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="#1f9a84" d="M3 15c3-7 9-9 13-6 2 1.5 4 1.5 5 0-1 5-5 6-8 4.5S7 13 3 19z"/></svg>'


def make_app(store: Store, names: tuple[str, ...]) -> FastAPI:
    """The application. names: the host names that it answers to; * for all. Others may be a foreign page's trick (DNS rebinding)."""
    reader = Reader(store)

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm(reader), name="warm")
        yield
        warming.cancel()
        reader.close()

    app = FastAPI(lifespan=alive, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(names), www_redirect=False)
    style, script = (HERE / "look.css").read_text("utf-8"), (HERE / "look.js").read_text("utf-8")
    ui.add_head_html(f"<style>{style}</style><script>{script}</script>", shared=True)

    def root() -> None:
        shell = Shell(reader)
        shell.build(_routes(shell))

    ui.run_with(
        app,
        root=root,
        title="Tegu",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=30.0,
    )
    return app


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: any that is free. OSError if it is not free, or no address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def serve(store: Store, listener: socket.socket, names: tuple[str, ...]) -> None:
    """Until it is told to end, by Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        make_app(store, names), log_level="warning", timeout_graceful_shutdown=2, ws_ping_interval=20
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


async def _warm(reader: Reader) -> None:
    with suppress(StoreError):
        await reader.warm()


def _routes(shell: Shell) -> dict[str, Callable[..., Any]]:
    async def one_device(id: str) -> None:
        await device.page(shell, id)

    return {
        "/": lambda: fleet.page(shell),
        "/rounds": lambda: rounds.page(shell),
        "/learning": lambda: learning.page(shell),
        "/bytes": lambda: traffic.page(shell),
        "/energy": lambda: energy.page(shell),
        "/coordinator": lambda: coordinator.page(shell),
        "/device/{id}": one_device,
    }
