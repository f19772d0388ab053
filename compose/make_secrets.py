"""Makes the passwords and tokens for compose.yaml in secrets/, beside this folder. Python 3.11 or newer and nothing else.

python3 compose/make_secrets.py [DEVICE ...]

What is there stays as it is; for each device named it adds a user of the broker, whose password is in secrets/devices/. The
files are for everyone to read, since each container has a user of its own; the folder is for its owner only.
"""

import argparse
import base64
import hashlib
import re
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
USERS = ("coordinator", "observer")
PASSWORDS = ("influxdb_password", "influxdb_admin_token", "grafana_password")
# mosquitto_passwd of 2.0: $7$iterations$salt$hash, PBKDF2 with HMAC-SHA512, 12 bytes of salt, 64 of hash, as base64. As
# few iterations as there: what is hashed here has 192 random bits, and a broker hashes at each connect.
ITERATIONS, SALT_BYTES, HASH_BYTES = 101, 12, 64
PASSWORD_BYTES = 24
DEVICE = re.compile(r"[a-z0-9-]{1,32}")
RESERVED = ("coordinator", "coordinator-2", "registry", "join", "labels", "observer", "homeassistant")


def hashed(password: str, salt: bytes) -> str:
    """A password as a line of mosquitto's password file holds it."""
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, HASH_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def make(folder: Path, devices: list[str]) -> list[str]:
    """Fill the folder; the names of the files that are new. ValueError for a name that no device can have."""
    for name in devices:
        if not DEVICE.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"{name!r} is no device id: 1 to 32 of a-z, 0-9 and '-', and none of {', '.join(RESERVED)}"
            )
    for needed in (folder, folder / "devices"):
        needed.mkdir(mode=0o700, exist_ok=True)
    (folder / "tls").mkdir(exist_ok=True)
    (folder / "tls").chmod(0o755)  # the broker's user opens it
    new = [name for name in PASSWORDS if keep(folder / name)]
    new += [f"{name}_password" for name in USERS if keep(folder / f"{name}_password")]
    new += [f"devices/{name}" for name in devices if keep(folder / "devices" / name)]
    put(folder / ".gitignore", "*\n")
    put(folder / "coordinator.toml", settings((folder / "coordinator_password").read_text().strip()))
    passwords(folder)
    return new


def keep(path: Path) -> bool:
    """A new password in path, unless there is one: whether it is new."""
    if path.exists():
        return False
    put(path, secrets.token_urlsafe(PASSWORD_BYTES) + "\n")
    return True


def put(path: Path, text: str) -> None:
    """In place: a file that a container has mounted stays the same file."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def settings(password: str) -> str:
    """coordinator.toml with the password."""
    text = (HERE / "coordinator.toml").read_text(encoding="utf-8")
    return text.replace("[coordinator]\n", f'[coordinator]\npassword = "{password}"\n', 1)


def passwords(folder: Path) -> None:
    """Add to the broker's password file whoever is not in it: lines of people with other passwords stay."""
    path = folder / "broker_passwords"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line.partition(":")[0] for line in lines}
    files = {name: folder / f"{name}_password" for name in USERS}
    files |= {file.name: file for file in sorted((folder / "devices").iterdir())}
    for name, file in files.items():
        if name not in known:
            lines.append(f"{name}:{hashed(file.read_text().strip(), secrets.token_bytes(SALT_BYTES))}")
    put(path, "\n".join(lines) + "\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("make_secrets.py", description="Make the passwords and tokens for compose.yaml.")
    parser.add_argument("device", nargs="*", help="device id: a user of the broker")
    parser.add_argument(
        "--folder", type=Path, default=HERE.parent / "secrets", help="default: secrets, beside compose/"
    )
    options = parser.parse_args(arguments)
    try:
        new = make(options.folder, options.device)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"make_secrets.py: {error}\n")
        return 1
    sys.stdout.write(f"{options.folder}: new: {', '.join(new) or 'nothing'}\n")
    if any(name.startswith("devices/") for name in new):
        sys.stdout.write("a broker that runs must be told: docker compose kill --signal HUP broker\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
