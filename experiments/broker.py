"""Starts an MQTT broker for a demo, a test or a first try, on 127.0.0.1, and ends it again: also `tegu broker`.

A broker is a child process in a session of its own, so that Ctrl-C reaches only us and we end it in order. Beside
it sits a watchdog: a shell that reads a pipe whose other end we hold, and ends the broker when we are gone, however
we went. (PR_SET_PDEATHSIG is no help: it fires when the thread that started the child ends.)

A broker counts as started when it accepts a CONNECT from a user whose random password only we know: an answer on the
port is not enough, since it may come from another broker that was given the same free port.
"""

import argparse
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from experiments.broker_folder import EMBEDDED, HOST, MOSQUITTO, Prepared, prepare

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 5.0
ANSWER_S = 1.0  # for one attempt; there are many until the deadline
POLL_S = 0.01
FREE_PORT_TRIES = 5

# Of MQTT just what the first CONNECT needs: protocol levels (3.1.2.2), the types of two packets with their flags (2.1).
MQTT311, MQTT5 = 4, 5
CONNACK, DISCONNECT = 0x20, b"\xe0\x00"

# $0 is the broker's process id. The line ends by itself only when the pipe closes, that is when we are gone.
WATCHDOG = 'read _; kill "$0"'


class RunningBroker:
    """A broker process and how to reach it; a context manager that stops it.

    host, port: where MQTT 3.1.1 is spoken. port_mqtt5: where MQTT 5 is; the same port with mosquitto.
    kind: "mosquitto" or "embedded". note: one sentence for the screen. folder: its files, with broker.log.
    """

    def __init__(self, prepared: Prepared, folder: Path, ports: tuple[int, int], probe: tuple[str, str]) -> None:
        self.host = HOST
        self.port = ports[0]
        self.port_mqtt5 = ports[0] if prepared.kind == MOSQUITTO else ports[1]
        self.kind, self.note, self.folder = prepared.kind, prepared.note, folder
        self._command, self._probe = prepared.command, probe
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RunningBroker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def log(self) -> str:
        """What the broker has written since its last start."""
        return (self.folder / "broker.log").read_text(errors="replace")

    def restart(self) -> None:
        """Start it again on the same port with what its folder keeps, after stopping it if it still runs.

        OSError with its log if it dies or stays mute.
        """
        self.stop()
        with (self.folder / "broker.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._watchdog = subprocess.Popen(
                ["/bin/sh", "-c", WATCHDOG, str(self._process.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._wait_until_it_serves()
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End it as a power cut would: mosquitto keeps only what it saved before."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; mosquitto saves its state. Does nothing if it has ended already."""
        self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Until the broker ends by itself: its exit status."""
        return self._process.wait() if self._process is not None else 0

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        doors = [(self.port, MQTT311), (self.port_mqtt5, MQTT5)]
        while doors:
            if self.pid is None:
                raise OSError(f"the broker ended while it started; its log:\n{self.log()}")
            if time.monotonic() > deadline:
                raise OSError(f"the broker did not serve in {START_DEADLINE_S:g} s; its log:\n{self.log()}")
            if self._lets_us_in(*doors[0]):
                del doors[0]
            else:
                time.sleep(POLL_S)

    def _lets_us_in(self, port: int, level: int) -> bool:
        """Whether it accepts our CONNECT. False: it does not listen yet, has ended, or somebody else answers there."""
        try:
            with socket.create_connection((HOST, port), timeout=ANSWER_S) as link:
                link.sendall(_connect_packet(level, *self._probe))
                answer = link.recv(4)  # CONNACK, length, flags, return code: 0 is "accepted"
                if len(answer) < 4 or answer[0] != CONNACK or answer[3] != 0:
                    return False
                link.sendall(DISCONNECT)
                # Until it has closed its end too: with rumqttd this farewell could else meet the next CONNECT.
                while link.recv(256):
                    pass
                return True
        except OSError:
            return False

    def _end(self, how: signal.Signals) -> None:
        # The watchdog first: it must never see the pipe close and signal a process id that is free again.
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.communicate()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(folder: Path, users: Mapping[str, str], prefer: str | None = None, port: int = 0) -> RunningBroker:
    """Start a broker that lets in `users` (name to password) and keeps its files in `folder`, made if missing.

    prefer: "mosquitto" or "embedded"; None: mosquitto if installed, else embedded. port 0: a free one.
    The acl gives rights to coordinator, registry, join, labels and observer; any other name is a device's id.
    ValueError, FileNotFoundError: see `prepare`. OSError: it did not start, with its log.
    """
    probe = (f"probe-{secrets.token_hex(4)}", secrets.token_hex(16))
    tries = 1 if port else FREE_PORT_TRIES
    while True:
        tries -= 1
        ports = (port or free_port(), free_port())
        prepared = prepare(folder, {**users, probe[0]: probe[1]}, prefer, ports)
        broker = RunningBroker(prepared, folder, ports, probe)
        try:
            broker.restart()
            return broker
        except OSError as error:
            if not tries or "in use" not in str(error):
                raise


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now; somebody may a moment later."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _connect_packet(level: int, user: str, password: str) -> bytes:
    """CONNECT (MQTT 3.1.1 and 5, section 3.1): clean session, keep alive 60 s, a new client id."""
    flags = 0x80 | 0x40 | 0x02  # user name, password, clean
    fields = (_text("MQTT"), bytes((level, flags, 0, 60)), b"\0" if level == MQTT5 else b"")
    body = b"".join((*fields, _text(secrets.token_hex(8)), _text(user), _text(password)))
    return bytes((0x10, len(body))) + body  # one byte of length: the body is shorter than 128


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


def run(arguments: list[str]) -> int:
    """`tegu broker`: one broker in the foreground. 0: ended by Ctrl-C or SIGTERM; 1: the broker failed."""
    options = _options().parse_args(arguments)
    for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's `&` would have us ignore it
        signal.signal(ending, signal.default_int_handler)
    try:
        users = dict(_pair(line) for line in [*_lines(options.users), *options.user])
        with tempfile.TemporaryDirectory(prefix="tegu-broker-") as temporary:
            return _serve(options.folder or Path(temporary), users, options.kind, options.port)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu broker: {error}\n")
        return 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tegu broker", description="Run an MQTT broker for this machine until Ctrl-C, to try Tegu out."
    )
    parser.add_argument("--port", type=int, default=1883, help="default 1883; 0 takes a free one")
    parser.add_argument("--folder", type=Path, help="keeps its files over restarts; default: a temporary one")
    parser.add_argument("--users", type=Path, metavar="FILE", help="a file of lines name:password")
    parser.add_argument(
        "--user", action="append", default=[], metavar="NAME:PASSWORD", help="one more user; may be repeated"
    )
    parser.add_argument("--kind", choices=(MOSQUITTO, EMBEDDED), help="default: mosquitto if installed")
    return parser


def _lines(path: Path | None) -> list[str]:
    """The lines of a file of users, without empty ones and those that begin with #."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()] if path else []
    return [line for line in lines if line and not line.startswith("#")]


def _pair(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not colon:
        raise ValueError(f"a user is given as name:password, not {text!r}")
    return name, password


def _serve(folder: Path, users: dict[str, str], kind: str | None, port: int) -> int:
    made_up = {} if users else {name: secrets.token_urlsafe(9) for name in ("coordinator", "observer")}
    with start(folder, users or made_up, kind, port) as broker:
        sys.stdout.write(_how_to_connect(broker, list(users or made_up), made_up))
        sys.stdout.flush()
        status = broker.wait()
        sys.stderr.write(f"tegu broker: the broker ended by itself ({status}); its log:\n{broker.log()}")
        return 1


def _how_to_connect(broker: RunningBroker, names: list[str], made_up: dict[str, str]) -> str:
    """Sentences for the screen. A password is shown only when it was made up for this run."""
    mqtt5 = "" if broker.port_mqtt5 == broker.port else f"; MQTT 5 on {broker.host}:{broker.port_mqtt5}"
    lines = [
        broker.note,
        f"MQTT on {broker.host}:{broker.port}{mqtt5}; for this machine only",
        f"users: {', '.join(names)}",
        *(f"password of {name} for this run: {password}" for name, password in made_up.items()),
    ]
    if "observer" in names:  # watching under another name would throw its owner off
        login = f"-u observer -P {made_up.get('observer', 'PASSWORD')}"
        lines.append(f"watch: mosquitto_sub -h {broker.host} -p {broker.port} {login} -t 'tegu/1/#' -v")
    return "\n".join([*lines, "Ctrl-C ends it", ""])
