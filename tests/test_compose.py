"""compose.yaml, checked as far as it can be without a container engine.

By the Compose specification's own schema; every file, secret, variable and volume it names is there; the broker it mounts is
started, with the passwords that make_secrets.py makes; the coordinator's settings are read; health checks are run as they
stand against the real broker and the real metrics.
"""

import ast
import base64
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from broker_config.link import client
from coordinator.metrics import make_point
from coordinator.newest import Newest
from coordinator.prometheus import serve
from coordinator.settings import load
from experiments.broker import free_port
from tests.parts import needs
from tests.timeseries import until

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "compose"
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
TOLD: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = TOLD["services"]
PROVISIONING = ROOT / "dashboards" / "provisioning"
DEADLINE_S = 10.0


def make_secrets(folder: Path, *devices: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(COMPOSE / "make_secrets.py"), "--folder", str(folder), *devices]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Secrets, with one device."""
    assert make_secrets(tmp_path / "secrets", "room-1").returncode == 0
    return tmp_path / "secrets"


def mounts(service: str) -> dict[str, tuple[str, bool]]:
    """Where in the container -> (what, whether it is only read)."""
    made = {}
    for mount in SERVICES[service].get("volumes", []):
        source, target, *mode = mount.split(":")
        made[target] = source, mode == ["ro"]
    return made


# --- the file ---


def by_the_specification(text: str) -> list[str]:
    """Names of its services. ValueError for what the Compose specification does not know. It fills in no variables."""
    options = compose_spec.PyOptions()
    options.apply_merge = True
    told = options.from_yaml(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    told.validate()
    return sorted(told.service_names())


def test_it_is_a_compose_file_by_the_specification() -> None:
    assert by_the_specification(TEXT) == ["broker", "coordinator", "grafana", "influxdb"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    read_only: true", "    read_onli: true"),
        ("restart: unless-stopped", "restart: perhaps"),
        ("secrets: [grafana_password]", "secrets: [grafana_passwort]"),
        ("interval: 20s", "interval: soon"),
        ("condition: service_healthy", "condition: service_well"),
        ("127.0.0.1:9464:", "127.0.0.1:94640:"),
    ],
)
def test_the_specification_would_notice_a_slip(right: str, wrong: str) -> None:
    assert right in TEXT
    with pytest.raises(ValueError):
        by_the_specification(TEXT.replace(right, wrong, 1))


def test_every_image_is_pinned_to_one_version() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", service["image"])
    images = re.findall(r"^FROM (\S+)", (COMPOSE / "coordinator.Dockerfile").read_text(), re.MULTILINE)
    assert set(images) == {"python:3.12.12-slim-bookworm"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SERVICES["coordinator"]["image"] == f"tegu-coordinator:{project['version']}"


def test_its_head_says_that_it_was_not_run() -> None:
    assert "WRITTEN AND CHECKED WITHOUT A CONTAINER ENGINE, NOT RUN" in TEXT.split("\nname:")[0]
    assert "not built" in (COMPOSE / "coordinator.Dockerfile").read_text().split("FROM")[0]


def test_only_this_machine_is_served_unless_told_otherwise() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert re.fullmatch(r"(\$\{TEGU_[A-Z]+:-)?127\.0\.0\.1:\d+\}?:\d+", port)


def test_every_service_comes_back_and_says_whether_it_is_well() -> None:
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        for condition in service.get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}
    assert set(SERVICES["coordinator"]["depends_on"]) == {"broker", "influxdb"}


def test_every_file_it_mounts_is_there(folder: Path) -> None:
    for service in SERVICES:
        for source, only_read in mounts(service).values():
            if source.startswith("./secrets/"):
                assert (folder / source.removeprefix("./secrets/")).exists()
            elif source.startswith("./dashboards/") and not PROVISIONING.exists():
                continue
            elif source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in TOLD["volumes"]
            assert only_read or not source.startswith("./")
    used = {source for service in SERVICES for source, _ in mounts(service).values() if not source.startswith("./")}
    assert used == set(TOLD["volumes"])


def test_every_secret_is_made_and_used(folder: Path) -> None:
    used = set()
    for service in SERVICES.values():
        for secret in service.get("secrets", []):
            used.add(secret if isinstance(secret, str) else secret["source"])
        for name, value in service.get("environment", {}).items():
            if name.endswith("_FILE"):
                assert Path(value).name in service["secrets"]
                assert Path(value).parent == Path("/run/secrets")
            assert not re.search(r"(PASSWORD|TOKEN)$", name)
    assert used == set(TOLD["secrets"])
    for told in TOLD["secrets"].values():
        assert (folder / told["file"].removeprefix("./secrets/")).read_text().strip()


def test_the_coordinator_writes_and_grafana_reads_and_neither_holds_the_administrators_token() -> None:
    script = (COMPOSE / "influxdb_init.sh").read_text()
    written = dict(re.findall(r"^token (\w+) \w+ (\S+)$", script, re.MULTILINE))
    assert written == {"write": "/run/tokens/coordinator/write", "read": "/run/tokens/grafana/read"}
    influxdb = mounts("influxdb")
    assert mounts("coordinator")["/run/tokens"] == (influxdb["/run/tokens/coordinator"][0], True)
    assert mounts("grafana")["/run/tokens"] == (influxdb["/run/tokens/grafana"][0], True)
    assert "$(cat /run/tokens/read)" in SERVICES["grafana"]["entrypoint"][2].replace("$$", "$")
    assert "influxdb_admin_token" in SERVICES["influxdb"]["secrets"]
    for other in ("coordinator", "grafana", "broker"):
        assert "influxdb_admin_token" not in str(SERVICES[other])


def test_the_scripts_are_shell() -> None:
    script = COMPOSE / "influxdb_init.sh"
    assert os.access(script, os.X_OK)  # the image runs no other
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert subprocess.run(["sh", "-n", "-c", SERVICES["grafana"]["entrypoint"][2]]).returncode == 0
    assert subprocess.run(["sh", "-n", "-c", SERVICES["broker"]["healthcheck"]["test"][1]]).returncode == 0


def test_the_database_script_makes_a_mapping_and_two_tokens(tmp_path: Path) -> None:
    """With an `influx` that notes what it is asked and answers as influx-cli 2.7 prints a token; influxd 2 is not at hand."""
    answer = '{\n\\t"id": "0a",\n\\t"description": "x",\n\\t"token": "abc-DEF_123==",\n\\t"status": "active"\n}\n'
    (tmp_path / "influx").write_text(f"#!/bin/sh\necho \"$@\" >>{tmp_path}/asked\n[ $1 = v1 ] || printf '{answer}'\n")
    (tmp_path / "influx").chmod(0o755)
    text = (COMPOSE / "influxdb_init.sh").read_text().replace("/run/tokens", str(tmp_path / "tokens"))
    for name in ("coordinator", "grafana"):
        (tmp_path / "tokens" / name).mkdir(parents=True)
    names = {
        "DOCKER_INFLUXDB_INIT_BUCKET_ID": "b1",
        "DOCKER_INFLUXDB_INIT_ORG": "tegu",
        "DOCKER_INFLUXDB_INIT_USERNAME": "admin",
    }
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["bash", "-c", text], env={**names, **path}).returncode == 0
    assert (tmp_path / "asked").read_text().splitlines() == [
        "v1 dbrp create --db tegu --rp autogen --default --bucket-id b1",
        "auth create --org tegu --user admin --write-bucket b1 --description coordinator --json",
        "auth create --org tegu --user admin --read-bucket b1 --description Grafana --json",
    ]
    assert (tmp_path / "tokens" / "coordinator" / "write").read_text() == "abc-DEF_123==\n"
    assert (tmp_path / "tokens" / "grafana" / "read").read_text() == "abc-DEF_123==\n"


# --- Grafana ---


def test_provisioning_finds_what_it_names() -> None:
    if not PROVISIONING.exists():
        pytest.skip("dashboards/provisioning is not there")
    grafana = SERVICES["grafana"]
    known = {*grafana["environment"], "TEGU_INFLUXDB_TOKEN"}
    for path in PROVISIONING.rglob("*.yaml"):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        yaml.safe_load(text)
        assert set(re.findall(r"\$\{(\w+)\}", text)) <= known, path
    assert grafana["environment"]["TEGU_DASHBOARDS"] in mounts("grafana")
    monitor = load_settings()["monitor"]
    assert grafana["environment"]["TEGU_INFLUXDB_BUCKET"] == monitor["bucket"]
    assert grafana["environment"]["TEGU_INFLUXDB_URL"] == monitor["influxdb"]


# --- the coordinator ---


def load_settings() -> dict[str, Any]:
    return tomllib.loads((COMPOSE / "coordinator.toml").read_text())


def test_the_coordinators_settings_are_read_and_fit_the_file(folder: Path) -> None:
    settings = load(folder / "coordinator.toml")
    assert settings.link.password == (folder / "coordinator_password").read_text().strip()
    assert settings.link.host in SERVICES
    monitor, influxdb = settings.monitor, SERVICES["influxdb"]["environment"]
    assert monitor.influxdb == "http://influxdb:8086"
    assert monitor.org == influxdb["DOCKER_INFLUXDB_INIT_ORG"]
    assert monitor.bucket == influxdb["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert monitor.token_file == "/run/tokens/write"
    for path in (settings.link.checkpoint, Path(monitor.store), Path(monitor.spool)):
        assert str(path.parent) in mounts("coordinator")
    [port] = SERVICES["coordinator"]["ports"]
    assert monitor.prometheus.rpartition(":")[2] == port.rpartition(":")[2]
    assert SERVICES["coordinator"]["command"][1] == "/run/secrets/coordinator.toml"
    assert SERVICES["coordinator"]["secrets"] == [{"source": "coordinator_settings", "target": "coordinator.toml"}]


def test_the_image_leaves_the_secrets_out_and_runs_as_nobody_special() -> None:
    ignored = (COMPOSE / "coordinator.Dockerfile.dockerignore").read_text().split()
    assert {"secrets", ".git", ".venv"} <= set(ignored)
    text = (COMPOSE / "coordinator.Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) /", text, re.MULTILINE):
        assert source.startswith("--from") or (ROOT / source).is_file()
    assert text.index("\nUSER tegu\n") < text.index("\nENTRYPOINT")
    assert "--mount=type=secret" not in text


def test_the_lock_of_the_image_has_what_the_coordinator_needs_in_the_versions_tested() -> None:
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (COMPOSE / "requirements.lock").read_text(), re.MULTILINE))
    assert {"hatchling", "numpy", "paho-mqtt", "prometheus-client", "influxdb-client"} <= locked.keys()
    tested = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements-test.lock").read_text(), re.MULTILINE))
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    assert "://" not in (COMPOSE / "requirements.lock").read_text()


def test_the_coordinator_is_well_while_it_is_connected() -> None:
    newest = Newest()
    served = serve("127.0.0.1:0", newest.points)
    try:
        _, _, script, _ = SERVICES["coordinator"]["healthcheck"]["test"]
        assert Path(script).name == "healthy.py"
        url = f"http://127.0.0.1:{served.port}/metrics"

        def well() -> bool:
            return subprocess.run([sys.executable, "-I", COMPOSE / "healthy.py", url]).returncode == 0

        assert not well()  # it has said nothing yet
        for connected in (1, 0, 1):
            point = make_point("coordinator", ("home", "presence"), {"connected": connected}, 1)
            assert point is not None
            newest.put([point])
            assert well() == (connected == 1)
    finally:
        served.close()
    assert not well()


# --- the broker ---


@pytest.fixture
def broker(folder: Path, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The broker with the files that compose.yaml mounts: its port, and its log."""
    needs("mosquitto")
    place = tmp_path / "mosquitto"
    place.mkdir()
    for target, (source, _) in mounts("broker").items():
        name = target.removeprefix("/mosquitto/")
        if source.startswith("./secrets/"):
            (place / name).symlink_to(folder / source.removeprefix("./secrets/"))
        elif source.startswith("./"):
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place / name)
        else:
            (place / name).mkdir()
    port = free_port()
    listener = place / "listeners" / "building.conf"
    text = listener.read_text().replace("listener 1883\n", f"listener {port} 127.0.0.1\n")
    assert str(port) in text
    listener.write_text(f"{text}user root\n" if os.geteuid() == 0 else text)
    command = SERVICES["broker"]["command"]
    with (tmp_path / "log").open("wb") as log:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or ""
        process = subprocess.Popen([program, "-c", Path(command[2]).name], cwd=place, stdout=log, stderr=log)
        try:
            until(lambda: "running" in (tmp_path / "log").read_text() or process.poll() is not None, DEADLINE_S)
            yield port, tmp_path / "log"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def connects(port: int, user: str, password: str) -> bool:
    answers: list[bool] = []
    made = client(user, password)
    made.on_connect = lambda _, __, ___, reason, ____: answers.append(not reason.is_failure)
    made.connect("127.0.0.1", port)
    made.loop_start()
    until(lambda: answers, DEADLINE_S)
    made.disconnect()
    made.loop_stop()
    return answers[0]


def test_the_broker_lets_in_whom_make_secrets_made(broker: tuple[int, Path], folder: Path) -> None:
    port, log = broker
    assert connects(port, "coordinator", (folder / "coordinator_password").read_text().strip())
    assert connects(port, "observer", (folder / "observer_password").read_text().strip())
    assert connects(port, "room-1", (folder / "devices" / "room-1").read_text().strip())
    assert not connects(port, "room-1", (folder / "observer_password").read_text().strip())
    assert not connects(port, "room-2", "x")
    assert "Error" not in log.read_text()


def test_the_brokers_health_check_says_yes_to_a_broker_that_serves(broker: tuple[int, Path]) -> None:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed; install it with: sudo apt-get install mosquitto-clients")
    port, _ = broker
    check = SERVICES["broker"]["healthcheck"]["test"][1].replace("$$", "$")
    assert "-p 1883" in check
    for at, well in ((port, True), (free_port(), False)):
        done = subprocess.run(["sh", "-c", check.replace("-p 1883", f"-p {at}")])
        assert (done.returncode == 0) == well


def test_a_password_is_hashed_as_mosquitto_passwd_hashes_it(tmp_path: Path) -> None:
    needs("mosquitto")
    theirs = tmp_path / "theirs"
    theirs.write_text("room-1:correct horse\n")
    program = shutil.which("mosquitto_passwd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/bin") or ""
    subprocess.run([program, "-U", str(theirs)], check=True)
    _, kind, iterations, salt, made = theirs.read_text().strip().split("$")
    names: dict[str, Any] = {"__name__": "make_secrets", "__file__": str(COMPOSE / "make_secrets.py")}
    exec(compile((COMPOSE / "make_secrets.py").read_text(), "make_secrets.py", "exec"), names)
    assert names["hashed"]("correct horse", base64.b64decode(salt)) == f"${kind}${iterations}${salt}${made}"


# --- make_secrets.py ---


def test_secrets_are_made_once(folder: Path) -> None:
    before = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    done = make_secrets(folder, "room-1", "room-2")
    assert "new: devices/room-2" in done.stdout
    assert "kill --signal HUP broker" in done.stdout
    after = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert after.pop("room-2") not in before.values()
    passwords = after.pop("broker_passwords")
    assert passwords.startswith(before.pop("broker_passwords"))
    assert [line.split(":")[0] for line in passwords.splitlines()] == ["coordinator", "observer", "room-1", "room-2"]
    assert after == before
    assert "new: nothing" in make_secrets(folder).stdout


def test_secrets_stay_out_of_version_control_and_of_other_peoples_hands(folder: Path) -> None:
    assert (folder / ".gitignore").read_text() == "*\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("coordinator.toml", "broker_passwords", "influxdb_password", "devices/room-1"):
        assert (folder / name).stat().st_mode & 0o777 == 0o644
    assert (folder / "tls").stat().st_mode & 0o777 == 0o755
    made = {path.read_text() for path in folder.glob("*_*") if "broker" not in path.name}
    assert len(made) == 5
    assert min(len(password.strip()) for password in made) == 32


@pytest.mark.parametrize("name", ["Room 1", "room_1", "r" * 33, "a:b", "../x", "coordinator", "join"])
def test_a_name_that_is_no_device_id_makes_nothing(tmp_path: Path, name: str) -> None:
    done = make_secrets(tmp_path / "secrets", "--", name)
    assert done.returncode == 1
    assert "no device id" in done.stderr
    assert not (tmp_path / "secrets").exists()


def test_the_script_needs_nothing_but_python() -> None:
    for name in ("make_secrets.py", "healthy.py"):
        tree = ast.parse((COMPOSE / name).read_text())
        for found in ast.walk(tree):
            if isinstance(found, ast.Import):
                assert {alias.name.partition(".")[0] for alias in found.names} <= sys.stdlib_module_names
            elif isinstance(found, ast.ImportFrom):
                assert (found.module or "").partition(".")[0] in sys.stdlib_module_names
