"""`tegu watch`: what the coordinator has written down, as a page in a browser or in this terminal."""

import argparse
import errno
import socket
import sys
import threading
import webbrowser
from pathlib import Path

from .store import Store, StoreError

USUAL_STORE = Path("telemetry.sqlite")
USUAL_PORT = 8350
THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")
ABOUT = """What the coordinator has written down, live: is every device there, does one need a visit, is it still
learning, what does it cost. It only reads; it may be started and ended at any time."""
MORE = """The page has no login. It answers this machine only; with --host it answers others as well, so put a proxy that asks
who they are in front of it, and name the proxy's host name with --name."""
INSTALL = "pip install 'tegu[watch]' (in a checkout: pip install -e '.[watch]')"


def run(arguments: list[str]) -> int:
    """`tegu watch`. 0: ended by Ctrl-C, or the snapshot is printed; 1: there is nothing to show; 2: called wrongly."""
    told = _parse(arguments)
    store = Store(told.store)
    try:
        with store.reading():
            pass
    except StoreError as error:
        return _fail(_what_to_do(error, told.store))
    try:
        return _in_terminal(store) if told.terminal else _in_browser(store, told)
    except ModuleNotFoundError as error:
        return _fail(f"needs {error.name}, which is not installed; install it with: {INSTALL}")


def _in_terminal(store: Store) -> int:
    from .terminal import watch

    try:
        watch(store)
    except StoreError as error:
        return _fail(f"{error}.")
    except KeyboardInterrupt:
        return 0
    return 0


def _in_browser(store: Store, told: argparse.Namespace) -> int:
    from .page import serve

    try:
        listener = _listen(told.host, told.port)
    except OSError as error:
        return _fail(f"cannot listen on {told.host}, port {told.port or 'any'}: {error.strerror or error}")
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    sys.stdout.write(f"Watching {told.store}\nOpen {address} in a browser; Ctrl-C ends it.\n")
    sys.stdout.flush()
    if told.browser:
        threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
    serve(store, listener, _names(told))
    return 0


def _listen(host: str, port: int | None) -> socket.socket:
    """On the port that was asked for; if none was, on the usual one or else any."""
    from .page import listen

    if port is not None:
        return listen(host, port)
    try:
        return listen(host, USUAL_PORT)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return listen(host, 0)


def _names(told: argparse.Namespace) -> tuple[str, ...]:
    """Host names that the page answers to. Who listens to all the world on purpose need not name them."""
    if told.host in THIS_MACHINE or told.name:
        return (*THIS_MACHINE, told.host, *told.name)
    return ("*",)


def _what_to_do(error: StoreError, path: Path) -> str:
    if path.exists():
        return f"{error}."
    return (
        f"{error}. A coordinator writes it: `tegu coordinator SETTINGS` with store = {str(path)!r} in the section [monitor] of its "
        "settings, as it is unless you change it. Start it, or name the store: tegu watch PATH. `tegu demo` prints the one of its run."
    )


def _fail(text: str) -> int:
    sys.stderr.write(f"tegu watch: {text}\n")
    return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tegu watch", description=ABOUT, epilog=MORE)
    parser.add_argument(
        "store", nargs="?", type=Path, default=USUAL_STORE, help=f"the embedded store; default: {USUAL_STORE}"
    )
    parser.add_argument("--terminal", action="store_true", help="show it here, not in a browser")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine only"
    )
    parser.add_argument("--port", type=int, help=f"default: {USUAL_PORT}, or another one if that is taken; 0: any")
    parser.add_argument(
        "--name", action="append", default=[], help="host name under which others see it; may be given again"
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")
    told = parser.parse_args(arguments)
    if told.port is not None and not 0 <= told.port < 65536:
        parser.error("--port must be 0 to 65535")
    return told
