"""Run folders: what a broker needs on disk before it starts, and the command that starts it there.

mosquitto gets exactly `mosquitto.conf`, `acl` and `listeners/local.conf` of broker_config, except that the port is
another; its passwords are hashed by mosquitto_passwd. rumqttd, which the PyPI package iotcore brings along, gets a
TOML file (keys: rumqttd 0.20, `struct Config`), since without one it listens on all addresses and takes 20 kB at most.

A limit of rumqttd 0.20 (server/broker.rs, `remote`): when a client id comes again right after it has left by the other
listener, the listener may panic, and lets nobody in from then on. Seen twice under load; not in 2,800 connects to
one listener. A client that comes and goes is safe with a fresh id each time; mosquitto takes the user name anyway.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import broker_config

HOST = "127.0.0.1"
PACKET_BYTES = 327_680  # as max_packet_size in mosquitto.conf
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # often not on a user's PATH
INSTALL_MOSQUITTO = "sudo apt-get install mosquitto"

MOSQUITTO, EMBEDDED = "mosquitto", "embedded"

ROUTER = """\
id = 0

[router]
id = 0
max_connections = 2000
max_outgoing_packet_count = 200
# Messages live in one log for each filter, of so many segments; the oldest is dropped.
max_segment_size = 16777216
max_segment_count = 4
"""
DOOR = """
[v{version}.1]
name = "v{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {packet_bytes}
max_inflight_count = 100
dynamic_filters = true

[v{version}.1.connections.auth]
{users}"""


@dataclass(frozen=True)
class Prepared:
    """kind: "mosquitto" or "embedded". note: one sentence for the screen. command: to be run in the folder."""

    kind: str
    note: str
    command: tuple[str, ...]


def find_mosquitto() -> tuple[str, str] | None:
    """Paths of mosquitto and mosquitto_passwd, or None if either is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    broker, passwd = shutil.which("mosquitto", path=path), shutil.which("mosquitto_passwd", path=path)
    return (broker, passwd) if broker and passwd else None


def prepare(folder: Path, users: Mapping[str, str], prefer: str | None, ports: tuple[int, int]) -> Prepared:
    """Fill `folder` for `users` (name to password). ports: MQTT 3.1.1 and 5; mosquitto speaks both on the first.

    prefer: "mosquitto", "embedded", or None: mosquitto if installed, else embedded. ValueError: another `prefer`, or a
    user that no password file can hold. FileNotFoundError: not installed; the message says what installs it.
    """
    if prefer not in (None, MOSQUITTO, EMBEDDED):
        raise ValueError(f"prefer must be {MOSQUITTO!r} or {EMBEDDED!r}, not {prefer!r}")
    _check(users)
    found = find_mosquitto()
    if found and prefer != EMBEDDED:
        return _mosquitto(folder, users, ports[0], *found)
    if prefer == MOSQUITTO:
        raise FileNotFoundError(f"mosquitto is not installed; install it with: {INSTALL_MOSQUITTO}")
    if find_spec("iotcore") is None:
        raise FileNotFoundError(f"no MQTT broker here: {INSTALL_MOSQUITTO}, or a small one: pip install iotcore")
    return _embedded(folder, users, ports)


def _check(users: Mapping[str, str]) -> None:
    for name, password in users.items():
        if not name or any(letter in ":+#/" or not letter.isprintable() for letter in name):
            raise ValueError(f"not a user name: {name!r}")
        if not password or not password.isprintable():
            raise ValueError(f"user {name!r} needs a password of printable characters")


def _mosquitto(folder: Path, users: Mapping[str, str], port: int, broker: str, passwd: str) -> Prepared:
    for needed in ("listeners", "data"):
        (folder / needed).mkdir(parents=True, exist_ok=True)
    ours = broker_config.folder()
    for name in ("mosquitto.conf", "acl"):
        shutil.copyfile(ours / name, folder / name)
    listener = (ours / "listeners" / "local.conf").read_text().replace("listener 1883 ", f"listener {port} ")
    # Started by root, mosquitto would become the user `mosquitto`, who cannot write here.
    listener += f"user {pwd.getpwuid(os.geteuid()).pw_name}\n"
    (folder / "listeners" / "local.conf").write_text(listener)
    _write_private(folder / "passwords", "".join(f"{name}:{password}\n" for name, password in users.items()))
    _output_of([passwd, "-U", "passwords"], folder)  # hashes them in place; none ever stands on a command line
    (folder / "passwords").chmod(0o600)
    version = _output_of([broker, "-h"], folder).partition("\n")[0]
    note = f"{version}, configured as in a building: rights by topic, state survives a restart"
    return Prepared(MOSQUITTO, note.replace(" version", "", 1), (broker, "-c", "mosquitto.conf"))


def _output_of(command: list[str], folder: Path) -> str:
    """What it wrote. mosquitto -h ends with status 3 or 1 by version, so the status is looked at for a mute one only."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode and "version" not in done.stdout:
        raise OSError(f"{command[0]} failed: {done.stdout.strip()}")
    return done.stdout


def _embedded(folder: Path, users: Mapping[str, str], ports: tuple[int, int]) -> Prepared:
    folder.mkdir(parents=True, exist_ok=True)
    entries = "".join(f"{_toml(name)} = {_toml(password)}\n" for name, password in users.items())
    doors = [
        DOOR.format(version=version, host=HOST, port=port, packet_bytes=PACKET_BYTES, users=entries)
        for version, port in zip((4, 5), ports, strict=True)
    ]
    _write_private(folder / "rumqttd.toml", ROUTER + "".join(doors))
    # -P: a folder named iotcore where we stand is not the package. CRITICAL: rumqttd logs every packet as an error.
    options = ("--config", "rumqttd.toml", "--log-level", "CRITICAL")
    note = "iotcore's embedded broker: for trying out; no rights by topic, keeps nothing over a restart"
    return Prepared(EMBEDDED, note, (sys.executable, "-P", "-m", "iotcore", *options))


def _toml(text: str) -> str:
    """text as a basic string of TOML: JSON's, as long as nothing is escaped as a surrogate pair."""
    return json.dumps(text, ensure_ascii=False)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
