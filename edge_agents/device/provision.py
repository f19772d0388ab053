"""A new board's identity: a checked device id, a random password, and the settings.json that its firmware reads.

The settings name a file beside them where the board needs one (the authority's certificate as DER, which every port of
MicroPython can read, or recorded readings); `tegu device flash` copies it along. Passwords stand in the settings in the
clear, as they do in the board's flash, so the file is for its owner only.
"""

import argparse
import getpass
import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tegu.topics import check_id

LINKS = ("wifi", "serial", "unix")
SENSORS = ("scd4x", "sht4x", "replay")
RESERVED = (
    "coordinator",
    "coordinator-2",
    "registry",
    "join",
    "labels",
    "observer",
    "homeassistant",
)  # broker_config/acl gives these names other rights
PASSWORD_BYTES = 18  # 24 letters
RECEIVE_BYTES = 2048
KEEPALIVE_S = 30
CA_FILE = "ca.der"
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # often not on a user's PATH
INSTALLED_PASSWORDS = "/var/lib/tegu-broker/passwords"

Settings = dict[str, Any]


def provision(options: argparse.Namespace) -> None:
    """`tegu device provision`: write the settings, add the device to a password file, or say how to."""
    settings = settings_of(options, secrets.token_urlsafe(PASSWORD_BYTES))
    der = authority(options.ca) if options.ca is not None else b""
    folder: Path = options.out or Path(options.name)
    path = folder / "settings.json"
    if path.exists() and not options.force:
        raise FileExistsError(f"{path} exists; --force replaces it, and the device gets another password")
    if options.password_file is not None:
        add_user(options.password_file, settings["device"], settings["password"], options.force)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # passwords do not belong into a repository
    if der:
        (folder / CA_FILE).write_bytes(der)
    if options.replay is not None and options.replay.resolve() != (folder / options.replay.name).resolve():
        shutil.copyfile(options.replay, folder / options.replay.name)
    write_private(path, json.dumps(settings, indent=2) + "\n")
    sys.stdout.write(_said(settings, path, options.password_file))


def _said(settings: Settings, path: Path, password_file: Path | None) -> str:
    name = settings["device"]
    lines = [f"{path}: settings of {name}, with its passwords; keep it to yourself"]
    if password_file is None:
        lines += [
            "Let the broker know it, with the password that stands there:",
            f"  sudo mosquitto_passwd {INSTALLED_PASSWORDS} {name}",
        ]
    else:
        lines.append(f"{password_file}: {name} is in it")
    lines.append("  sudo systemctl reload mosquitto")
    lines += ["Then, with the board at a USB port:", f"  tegu device flash --port /dev/ttyACM0 --settings {path}"]
    return "\n".join(lines) + "\n"


# --- settings ---


def settings_of(options: argparse.Namespace, password: str) -> Settings:
    """settings.json as a dict. ValueError: an option that is missing or cannot be. Asks for a Wi-Fi password."""
    name = check_id(options.name, "device")
    if name in RESERVED:
        raise ValueError(f"{name} is not a device's name: the broker's acl gives it other rights")
    settings: Settings = {
        "device": name,
        "password": password,
        "site": check_id(options.site, "site"),
        "model": check_id(options.model, "model"),
        "link": _link(options),
        "sensor": _sensor(options),
        "radio": options.radio or ("wifi" if options.link == "wifi" else "ble"),
        "utc_offset_s": utc_offset_s(options.utc_offset),
        "receive_bytes": options.receive_bytes,
        "keepalive_s": options.keepalive_s,
        "sleep": options.sleep_s,
        "watchdog_s": options.watchdog_s,
    }
    if options.room:
        settings["room"] = check_id(options.room, "room")
    if options.energy is not None:
        settings["energy"] = options.energy
    if options.pir is not None:
        settings["label"] = {"pir_pin": _pin(options.pir)}
    if options.meter is not None:
        settings["meter"] = {"kind": options.meter, "shunt_ohms": options.shunt_ohms}
    return settings


def _link(options: argparse.Namespace) -> Settings:
    if options.link == "serial":
        link: Settings = {"kind": "serial", "uart": options.uart, "baud": options.baud}
        if options.uart_pins:
            link["tx"], link["rx"] = _pins(options.uart_pins, "--uart-pins TX,RX")
        return link
    link = {"kind": options.link}
    if options.link == "wifi":
        link["ssid"], link["wifi_password"] = _wifi(options)
    link["host"], link["port"] = address(options.broker, 1883 if options.ca is None else 8883)
    link["tls"] = options.ca is not None
    if options.ca is not None:
        link["ca"] = CA_FILE
    return link


def _wifi(options: argparse.Namespace) -> tuple[str, str]:
    if not options.ssid:
        raise ValueError("a link of kind wifi needs --ssid")
    password = options.wifi_password
    if password is None:
        try:
            password = getpass.getpass(f"Password of the Wi-Fi network {options.ssid}: ")
        except EOFError as error:
            raise ValueError("nobody is here to ask for the Wi-Fi password: give --wifi-password") from error
    return options.ssid, password


def _sensor(options: argparse.Namespace) -> Settings:
    if options.sensor == "replay":
        if options.replay is None or not options.replay.is_file():
            raise ValueError(f"a sensor of kind replay needs --replay FILE, not {options.replay}")
        return {"kind": "replay", "file": options.replay.name}
    sda, scl = _pins(options.pins, "--pins SDA,SCL")
    return {"kind": options.sensor, "i2c": options.i2c, "sda": sda, "scl": scl}


def _pins(told: str, option: str) -> tuple[int | str, int | str]:
    words = [word.strip() for word in told.split(",")]
    if len(words) != 2 or not all(words) or words[0] == words[1]:
        raise ValueError(f"two pins are needed: {option}, as 21,22; not {told!r}")
    return _pin(words[0]), _pin(words[1])


def _pin(word: str) -> int | str:
    """A number where the board numbers its pins, else their name, as P0_26."""
    return int(word) if word.isdigit() else word


def address(told: str, default_port: int) -> tuple[str, int]:
    """(host, port) of HOST, HOST:PORT, or an IPv6 address in brackets with or without a port."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/\s]+)(?::([0-9]{1,5}))?", told)
    port = int(found[2] or default_port) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError(f"--broker HOST or HOST:PORT is needed, not {told!r}")
    return found[1].strip("[]"), port


def utc_offset_s(told: str | None) -> int:
    """Seconds of +HH:MM, -HH:MM or +HH; of this machine's clock for None."""
    if told is None:
        offset = datetime.now().astimezone().utcoffset()
        return round(offset.total_seconds()) if offset is not None else 0
    found = re.fullmatch(r"([+-])([0-9]{1,2})(?::([0-5][0-9]))?", told)
    if found is None or int(found[2]) > 14:
        raise ValueError(f"--utc-offset is +HH:MM or, with an equals sign, --utc-offset=-HH:MM; not {told!r}")
    seconds = int(found[2]) * 3600 + int(found[3] or 0) * 60
    return -seconds if found[1] == "-" else seconds


def authority(path: Path) -> bytes:
    """The certificate as DER. ValueError: not one certificate, in PEM."""
    text = path.read_text("ascii", errors="replace")
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"{path} must hold one certificate in PEM, not {len(found)}")
    return ssl.PEM_cert_to_DER_cert(found[0])


# --- the broker ---


def add_user(password_file: Path, name: str, password: str, replace: bool) -> None:
    """Put the user into mosquitto's password file, or make one; the file keeps its owner, group and mode.

    OSError: no mosquitto_passwd, no right to change the file, or the user is there already.
    """
    entry = _hashed(name, password)
    lines = password_file.read_text().splitlines() if password_file.exists() else []
    others = [line for line in lines if not line.startswith(name + ":")]
    if len(others) < len(lines) and not replace:
        raise FileExistsError(f"{password_file} has {name} already; --force gives it another password")
    try:
        _replace(password_file, "\n".join([*others, entry]) + "\n")
    except PermissionError as error:
        raise PermissionError(f"no right to change {password_file}: use sudo, or leave --password-file out") from error


def _hashed(name: str, password: str) -> str:
    """The line that mosquitto_passwd makes; the password never stands on a command line."""
    program = shutil.which("mosquitto_passwd", path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)))
    if program is None:
        raise FileNotFoundError("no mosquitto_passwd here; install mosquitto, or leave --password-file out")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passwords"
        write_private(path, f"{name}:{password}\n")
        done = subprocess.run([program, "-U", str(path)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"mosquitto_passwd failed: {done.stderr.strip() or done.stdout.strip()}")
        return path.read_text().strip()


def _replace(path: Path, text: str) -> None:
    """As write_private, but with the owner, group and mode of the file that is there."""
    part = path.with_name(path.name + ".new")
    write_private(part, text)
    if path.exists():
        there = path.stat()
        os.chown(part, there.st_uid, there.st_gid)
        part.chmod(there.st_mode & 0o7777)
    part.replace(path)


def write_private(path: Path, text: str) -> None:
    """Write for the owner only; the old text or the new one is there, never half of one."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
