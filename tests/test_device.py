"""`tegu device`: real MicroPython at a cable (the unix port, and the emulated Cortex-M4F), a real broker's passwords."""

import json
import os
import re
import shlex
import signal
import socket
import stat
import struct
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agents.device import run
from edge_agents.device.flash import settings_files
from experiments import broker
from tests.cable import Cable, UnixBoard
from tests.parts import find_micropython, find_mpy_cross, needs
from tests.peer import Peer

ROOT = Path(__file__).parent.parent
DEADLINE_S = 20.0
WIFI = ["--ssid", "building", "--wifi-password", "secret", "--broker", "10.0.0.1", "--pins", "21,22"]
MAIN = """
import json
from tegu.topics import device
with open("settings.json") as file:
    told = json.load(file)
print(device(told["site"], told["device"], "state"), told["password"])
"""

# What the board runs when it is flashed: a program that leaves no memory.
HOARDER = b"""
hoard = []
for size in (4096, 256, 32):
    try:
        while True:
            hoard.append(bytearray(size))
    except MemoryError:
        pass
while True:
    time.sleep_ms(50)
"""


def settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    return found


def provision(folder: Path, *options: str, name: str = "room-7") -> int:
    return run(["provision", name, "--out", str(folder), *WIFI, *options])


# --- provision ---


def test_the_settings_are_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--site", "lab", "--pir", "27", "--meter", "ina219", "--utc-offset", "+05:30"]
    options += ["--room", "b1-2-07", "--energy", "battery"]
    assert provision(tmp_path, *options) == 0
    found = settings(tmp_path)
    password = found.pop("password")
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", password)
    assert found == {
        "device": "room-7",
        "site": "lab",
        "model": "presence",
        "room": "b1-2-07",
        "energy": "battery",
        "link": {
            "kind": "wifi",
            "ssid": "building",
            "wifi_password": "secret",
            "host": "10.0.0.1",
            "port": 1883,
            "tls": False,
        },
        "sensor": {"kind": "scd4x", "i2c": 0, "sda": 21, "scl": 22},
        "label": {"pir_pin": 27},
        "meter": {"kind": "ina219", "shunt_ohms": 0.1},
        "radio": "wifi",
        "utc_offset_s": 19800,
        "receive_bytes": 2048,
        "keepalive_s": 30,
        "sleep": 0,
        "watchdog_s": 0,
    }
    said = capsys.readouterr().out
    assert "mosquitto_passwd /var/lib/tegu-broker/passwords room-7" in said
    assert password not in said


def test_a_board_without_a_network_speaks_over_its_uart(tmp_path: Path) -> None:
    options = ["provision", "room-7", "--out", str(tmp_path), "--link", "serial", "--uart-pins", "P0_26,P0_27"]
    assert run([*options, "--sensor", "sht4x", "--pins", "4,5", "--utc-offset=-03:00"]) == 0
    found = settings(tmp_path)
    assert found["link"] == {"kind": "serial", "uart": 1, "tx": "P0_26", "rx": "P0_27", "baud": 115200}
    assert (found["radio"], found["utc_offset_s"]) == ("ble", -10800)
    options += ["--sensor", "sht4x", "--pins", "4,5", "--force", "--uart", "0", "--uart-pins", ""]
    assert run(options) == 0  # a board whose UART is where it is
    assert settings(tmp_path)["link"] == {"kind": "serial", "uart": 0, "baud": 115200}


def test_the_example_has_every_setting_that_provision_writes(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(_certificate(tmp_path))
    options = ["--pir", "27", "--meter", "ina219", "--room", "b1-2-07", "--energy", "battery"]
    assert provision(tmp_path, *options, "--ca", str(tmp_path / "ca.crt")) == 0
    example = json.loads((ROOT / "mcu_firmware" / "settings.example.json").read_text())
    by_hand = {"telemetry_s", "battery", "battery.pin", "battery.scale", "battery.empty", "battery.full"}
    assert _names(settings(tmp_path)) == _names(example) - by_hand


def test_the_firmware_takes_the_settings(tmp_path: Path) -> None:
    needs("micropython")
    assert provision(tmp_path, "--pir", "27", "--meter", "ina219") == 0
    script = f"import board; print(board.load_settings('{tmp_path / 'settings.json'}')['device'])"
    folders = f"{ROOT / 'mcu_firmware'}{os.pathsep}{ROOT / 'mcu_firmware' / 'lib'}"
    command = [str(find_micropython()), "-c", script]
    done = subprocess.run(command, env=os.environ | {"MICROPYPATH": folders}, capture_output=True, text=True)
    assert done.stdout == "room-7\n", done.stdout + done.stderr


def _names(found: dict[str, Any]) -> set[str]:
    inner = {f"{name}.{of}" for name, value in found.items() if isinstance(value, dict) for of in value}
    return set(found) | inner


def _certificate(folder: Path) -> str:
    needs("openssl")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=Building CA", "-keyout", str(folder / "ca.key")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_authoritys_certificate_goes_along_as_der(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("Building CA\n" + _certificate(tmp_path))
    assert provision(tmp_path, "--ca", str(tmp_path / "ca.crt")) == 0
    link = settings(tmp_path)["link"]
    assert (link["port"], link["tls"], link["ca"]) == (8883, True, "ca.der")
    command = ["openssl", "x509", "-in", str(tmp_path / "ca.crt"), "-outform", "der"]
    assert (tmp_path / "ca.der").read_bytes() == subprocess.run(command, check=True, capture_output=True).stdout


def test_only_the_owner_may_read_the_settings(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        provision(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600


def test_the_passwords_stay_out_of_a_repository_and_their_folder_is_enough_for_flash(tmp_path: Path) -> None:
    assert provision(tmp_path) == 0
    assert (tmp_path / ".gitignore").read_text() == "*\n"
    assert [file.path for file in settings_files(tmp_path)] == ["settings.json"]


def test_settings_alone_need_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["flash", "--port", "/dev/ttyNONE", "--settings-only"]) == 1
    assert "--settings-only needs --settings FILE" in capsys.readouterr().err


def test_an_identity_is_not_replaced_by_accident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provision(tmp_path)
    first = settings(tmp_path)
    assert provision(tmp_path) == 1
    assert "settings.json exists; --force replaces it" in capsys.readouterr().err
    assert settings(tmp_path) == first
    assert provision(tmp_path, "--force") == 0
    second = settings(tmp_path)
    assert second.pop("password") != first.pop("password")
    assert second == first


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--site", "My Home"], "site must be 1 to 32 of a-z, 0-9"),
        (["--room", "B1.2.07"], "room must be 1 to 32 of a-z, 0-9"),
        (["--broker", "mqtt://10.0.0.1"], "--broker HOST or HOST:PORT is needed"),
        (["--broker", "10.0.0.1:99999"], "--broker HOST or HOST:PORT is needed"),
        (["--pins", "21"], "two pins are needed: --pins SDA,SCL"),
        (["--pins", "21,21"], "two pins are needed"),
        (["--ssid", ""], "needs --ssid"),
        (["--utc-offset", "CET"], "--utc-offset is +HH:MM"),
        (["--sensor", "replay"], "needs --replay FILE"),
        (["--ca", __file__], "must hold one certificate in PEM, not 0"),
        (["--link", "serial", "--uart-pins", "4"], "two pins are needed: --uart-pins TX,RX"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert provision(tmp_path, *options) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "settings.json").exists()


@pytest.mark.parametrize("name", ["Room-7", "room/7", "", "coordinator", "observer", "join", "labels"])
def test_names_that_are_no_devices_are_refused(tmp_path: Path, name: str) -> None:
    assert provision(tmp_path, name=name) == 1


def test_a_recording_goes_along(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("1,2,3\n")
    assert provision(tmp_path / "out", "--sensor", "replay", "--replay", str(tmp_path / "day.csv")) == 0
    assert settings(tmp_path / "out")["sensor"] == {"kind": "replay", "file": "day.csv"}
    assert (tmp_path / "out" / "day.csv").read_text() == "1,2,3\n"


def test_a_provisioned_device_is_let_in_by_the_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("mosquitto")
    with broker.start(tmp_path / "broker", {"coordinator": "coordinator"}, "mosquitto") as running:
        passwords = running.folder / "passwords"
        mode = passwords.stat().st_mode
        others = passwords.read_text()
        assert provision(tmp_path, "--password-file", str(passwords)) == 0
        assert passwords.read_text().startswith(others)
        assert passwords.stat().st_mode == mode
        assert provision(tmp_path / "again", "--password-file", str(passwords)) == 1
        assert "has room-7 already" in capsys.readouterr().err
        first = settings(tmp_path)["password"]
        running.restart()
        with Peer(running, "room-7", password=first) as peer:
            peer.publish("tegu/1/home/device/room-7/telemetry", b"{}")
        assert provision(tmp_path, "--force", "--password-file", str(passwords)) == 0
        running.restart()
        with pytest.raises(ConnectionRefusedError):
            Peer(running, "room-7", password=first)
        with Peer(running, "room-7", password=settings(tmp_path)["password"]):
            pass


# --- flash ---

LIBRARY = ROOT / "mcu_firmware" / "lib" / "tegu"
SMALL = {"lib/tegu/__init__", "lib/tegu/topics", "lib/tegu/wire/__init__"}


def small(ending: str) -> set[str]:
    return {name + ending for name in SMALL}


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A firmware of two real modules, a main.py that says what it found, and a part of tegu: copying takes its time."""
    from edge_agents.device import firmware as module
    from edge_agents.device import flash

    folder = tmp_path / "firmware"
    (folder / "native" / "built").mkdir(parents=True)
    for name in ("sensors.py", "energy.py"):
        (folder / name).write_bytes((ROOT / "mcu_firmware" / name).read_bytes())
    (folder / "main.py").write_text(MAIN)
    (folder / "manifest.py").write_text("not for the board")
    (tmp_path / "tegu" / "wire").mkdir(parents=True)
    for name in SMALL:
        path = Path(name.removeprefix("lib/") + ".py")
        (tmp_path / path).write_bytes((LIBRARY.parent / path).read_bytes())
    monkeypatch.setattr(flash, "folder", lambda: folder)
    monkeypatch.setattr(module, "library", lambda: tmp_path / "tegu")
    return folder


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A provisioned settings.json."""
    (tmp_path / "day.csv").write_text("1,2,3\n")
    provision(tmp_path / "room-7", "--sensor", "replay", "--replay", str(tmp_path / "day.csv"))
    return tmp_path / "room-7" / "settings.json"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[UnixBoard]:
    needs("micropython")
    with UnixBoard(tmp_path) as board:
        yield board


def put(port: str, *options: str) -> int:
    return run(["flash", "--port", port, *options])


def files_on(port: str) -> dict[str, bytes]:
    """All that is on the board, by its path."""
    from edge_agents.device.console import Console

    found: dict[str, bytes] = {}
    with Console(port, 115200) as console:

        def walk(folder: str) -> None:
            for entry in console._transport.fs_listdir(folder):
                path = f"{folder}/{entry.name}".lstrip("/")
                if entry.st_mode & 0x4000:
                    walk(path)
                else:
                    found[path] = bytes(console._transport.fs_readfile(path))

        walk("")
    return found


@pytest.fixture
def kept(board: UnixBoard, monkeypatch: pytest.MonkeyPatch) -> UnixBoard:
    """A board that is not restarted, which would end it: MicroPython's unix port forgets its flash then."""
    from edge_agents.device.console import Console

    monkeypatch.setattr(Console, "restart", lambda self: self._transport.exit_raw_repl())
    return board


def test_a_board_has_everything_byte_for_byte(
    kept: UnixBoard, firmware: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("mpy-cross")
    (firmware / "native" / "built" / "tegu_native_x64.mpy").write_bytes(b"native")
    assert put(kept.port, "--settings", str(identity)) == 0
    found = files_on(kept.port)
    modules = {"sensors.mpy", "energy.mpy", "main.py", "settings.json", "day.csv", "lib/tegu_native.mpy"}
    assert set(found) == small(".mpy") | modules
    assert found["settings.json"] == identity.read_bytes()
    assert found["main.py"] == (firmware / "main.py").read_bytes()
    assert found["lib/tegu_native.mpy"] == b"native"
    source = LIBRARY / "topics.py"
    command = [str(find_mpy_cross()), "-O3", "-s", "lib/tegu/topics.py", "-o", "-", str(source)]
    assert found["lib/tegu/topics.mpy"] == subprocess.run(command, check=True, capture_output=True).stdout
    said = capsys.readouterr().out
    assert said.index("topics.mpy") < said.index("main.py") < said.index("settings.json")
    assert f"{len(found)} files copied and checked, 0 were there" in said
    assert put(kept.port) == 0  # keeps its settings
    assert f"0 files copied and checked, {len(found) - 2} were there" in capsys.readouterr().out


def test_only_what_differs_is_copied_and_main_comes_last(
    kept: UnixBoard, firmware: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert put(kept.port, "--settings", str(identity), "--source") == 0
    assert small(".py") | {"sensors.py"} <= set(files_on(kept.port))
    capsys.readouterr()
    (firmware / "sensors.py").write_text("# another\n")
    assert put(kept.port, "--source") == 0
    assert re.findall(r"/2\] (\S+)", capsys.readouterr().out) == ["sensors.py", "main.py"]


@pytest.mark.usefixtures("firmware")
def test_a_module_is_on_the_board_once(kept: UnixBoard, identity: Path) -> None:
    # MicroPython imports sensors.py before sensors.mpy: an old one would stay in use for ever.
    needs("mpy-cross")
    assert put(kept.port, "--settings", str(identity), "--source") == 0
    assert put(kept.port) == 0
    found = set(files_on(kept.port))
    assert "sensors.mpy" in found
    assert "sensors.py" not in found
    assert not found & small(".py")


def test_a_native_module_of_another_version_does_not_stay(kept: UnixBoard, firmware: Path, identity: Path) -> None:
    native = firmware / "native" / "built" / "tegu_native_x64.mpy"
    native.write_bytes(b"native")
    assert put(kept.port, "--settings", str(identity)) == 0
    native.unlink()
    assert put(kept.port, "--settings", str(identity), "--settings-only") == 0
    assert "lib/tegu_native.mpy" in files_on(kept.port)
    assert put(kept.port) == 0
    assert "lib/tegu_native.mpy" not in files_on(kept.port)


@pytest.mark.usefixtures("firmware")
def test_a_restarted_board_leaves_the_prompt(board: UnixBoard, identity: Path) -> None:
    assert put(board.port, "--settings", str(identity)) == 0
    assert board.process.wait(DEADLINE_S) == 0  # the unix port ends at a soft reset


@pytest.mark.usefixtures("firmware")
def test_firmware_with_tegu_in_it_gets_its_settings_only(kept: UnixBoard, identity: Path) -> None:
    assert put(kept.port, "--settings-only") == 1
    assert put(kept.port, "--settings", str(identity), "--settings-only") == 0
    assert set(files_on(kept.port)) == {"settings.json", "day.csv"}


@pytest.mark.usefixtures("firmware")
def test_a_board_that_has_no_settings_wants_some(kept: UnixBoard, capsys: pytest.CaptureFixture[str]) -> None:
    assert put(kept.port) == 1
    assert "no settings.json yet: --settings FILE" in capsys.readouterr().err
    assert files_on(kept.port) == {}


def test_a_file_that_was_damaged_on_the_way_is_found(
    kept: UnixBoard, firmware: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert put(kept.port, "--settings", str(identity), "--source") == 0
    (firmware / "sensors.py").write_text("# good one\n")
    kept.cable.spoiled = (b64encode(b"# good one\n"), b64encode(b"# baad one\n"))
    assert put(kept.port, "--source") == 1
    assert "sensors.py came out wrong on the board" in capsys.readouterr().err
    kept.cable.spoiled = None
    assert "main.py" not in files_on(kept.port)  # half a firmware does not start
    assert put(kept.port, "--source") == 0


@pytest.mark.usefixtures("firmware")
def test_too_small_a_flash_is_a_sentence_and_stays_as_it_was(
    tmp_path: Path, identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("micropython")
    with UnixBoard(tmp_path, blocks=16) as tiny:
        assert put(tiny.port, "--settings", str(identity)) == 1
        said = re.search(r"not enough room: ([\d,]+) bytes are needed, 7,168 are free", capsys.readouterr().err)
        assert said is not None
        assert int(said[1].replace(",", "")) > 10_000
        assert files_on(tiny.port) == {}


def test_a_flash_that_fills_up_is_a_sentence(tmp_path: Path) -> None:
    from edge_agents.device.console import Console

    needs("micropython")
    with (
        UnixBoard(tmp_path, blocks=16) as tiny,
        Console(tiny.port, 115200) as console,
        pytest.raises(OSError, match="file system is full"),
    ):
        console.write("large", bytes(16 * 512), lambda *_: None)


def test_what_the_board_raises_is_told(board: UnixBoard) -> None:
    from edge_agents.device.console import Console

    with Console(board.port, 115200) as console, pytest.raises(OSError, match="the board says: ZeroDivisionError"):
        console._transport.exec("pass")
        with console._speaking():
            console._transport.exec("1 // 0")


@pytest.mark.usefixtures("firmware")
def test_a_port_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["flash"], ["monitor"]):
        assert run([*command, "--port", "/dev/ttyNONE"]) == 1
        assert "no port /dev/ttyNONE; is the board plugged in?" in capsys.readouterr().err


@pytest.mark.usefixtures("firmware")
def test_a_port_that_another_program_has_is_a_sentence(board: UnixBoard, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_agents.device.port import open_port

    other = open_port(board.port, 115200, 1.0)
    try:
        assert put(board.port) == 1
    finally:
        other.close()
    assert "ttyBoard is busy: end the other program" in capsys.readouterr().err


def test_a_port_without_the_right_to_it_is_a_sentence() -> None:
    from edge_agents.device.port import why_closed

    error = PermissionError(13, "Permission denied")  # not made by a real port: these tests may run as root
    assert "usermod -aG dialout" in why_closed("/dev/ttyACM0", error)


def test_a_port_where_nobody_answers_is_a_sentence(tmp_path: Path) -> None:
    from edge_agents.device.console import Console

    silent, other = socket.socketpair()
    sentence = r"no MicroPython answers at .*ttySilent; press the board's reset button"
    with (
        silent,
        other,
        Cable(silent.fileno(), tmp_path / "ttySilent") as cable,
        pytest.raises(OSError, match=sentence),
    ):
        Console(str(cable.port), 115200, answer_s=0.2)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (("micropython", (1, 22, 2), 6 | 2 << 8 | 7 << 10), "MicroPython 1.22.2 loads .mpy files of version 6.2"),
        (("micropython", (1, 18, 0), 5), "loads .mpy files of version 5.0, and ours are 6.3"),
        (("micropython", (9, 0, 0), 7), "loads .mpy files of version 7.0"),
        (("circuitpython", (9, 2, 1), 6 | 3 << 8), "the board runs circuitpython 9.2.1"),
    ],
)
def test_an_interpreter_that_cannot_run_it_is_a_sentence(facts: tuple[Any, ...], sentence: str) -> None:
    from edge_agents.device.console import Facts
    from edge_agents.device.flash import check

    with pytest.raises(ValueError, match=re.escape(sentence)):
        check(Facts((*facts, "rp2", "", 4096, 100, False)))


def test_the_native_module_is_exactly_the_boards(tmp_path: Path) -> None:
    from edge_agents.device.firmware import architecture, find_native

    # sys.implementation._mpy of a Cortex-M4F, an ESP32-S3, an ESP32-C3, an RP2040, and a board without native code
    found = [architecture(6 | 3 << 8 | number << 10) for number in (7, 10, 11, 4, 0)]
    assert found == ["armv7emsp", "xtensawin", "rv32imc", "armv6m", ""]
    folder = tmp_path / "mcu_firmware"
    packed = folder / "native" / "built" / "tegu_native_armv7emsp.mpy"
    made = tmp_path / "build" / "native-xtensawin" / "tegu_native.mpy"
    for path in (packed, packed.with_name("tegu_native_armv7m.mpy"), made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_native(folder, "armv7emsp", "nrf52") == packed
    assert find_native(folder, "xtensawin", "esp32") == made
    assert [find_native(folder, arch, "any") for arch in ("armv7em", "armv6m", "rv32imc", "")] == [None] * 4


def test_a_board_that_takes_floats_otherwise_gets_no_native_module(tmp_path: Path) -> None:
    # An RP2350 is an armv7emsp, but its MicroPython calls by softfp: it would load the module and learn nonsense.
    from edge_agents.device.firmware import find_native

    built = tmp_path / "native" / "built"
    built.mkdir(parents=True)
    for arch in ("armv7emsp", "rv32imc"):
        (built / f"tegu_native_{arch}.mpy").touch()
    assert find_native(tmp_path, "armv7emsp", "rp2") is None
    assert find_native(tmp_path, "rv32imc", "rp2") == built / "tegu_native_rv32imc.mpy"


@pytest.mark.parametrize("text", ["", "[]", '{"device": "a"}', '{"device": "a", "password": "b", "link": 1}'])
@pytest.mark.usefixtures("firmware")
def test_what_is_not_a_boards_settings_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "s.json").write_text(text)
    assert put("/dev/ttyNONE", "--settings", str(tmp_path / "s.json")) == 1
    assert "s.json is not a board's settings.json" in capsys.readouterr().err


def test_an_emulated_cortex_m4f_is_flashed_and_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.emulator import EmulatedBoard, build_firmware, make_image, read_image

    for part in ("qemu-system-arm", "arm-none-eabi-gcc", "micropython", "mpy-cross"):
        needs(part)
    (tmp_path / "room.f32").write_bytes(struct.pack("<HHHH12f", 11, 0, 1, 0, *range(12)))  # one recorded sample
    options = ["--link", "serial", "--sensor", "replay", "--replay", str(tmp_path / "room.f32")]
    assert provision(tmp_path / "room-7", *options) == 0
    identity = tmp_path / "room-7" / "settings.json"
    image = make_image({"main.py": HOARDER}, tmp_path / "flash.img")
    with EmulatedBoard(build_firmware(), image) as board:
        with Cable(board._console.fileno(), tmp_path / "ttyBoard") as cable:
            assert put(str(cable.port), "--settings", str(identity)) == 0
        said = capsys.readouterr().out
        assert "Cortex-M4F of 256 KB, MicroPython 1.25.0, armv7emsp" in said
        assert "with the native module that is in its firmware" in said
        board.read_until(b"tegu: device room-7 boot 1 free heap ", DEADLINE_S)
    found = read_image(image)
    firmware = ROOT / "mcu_firmware"
    wanted = {f"lib/tegu/{path.relative_to(LIBRARY).with_suffix('.mpy')}" for path in LIBRARY.rglob("*.py")}
    wanted |= {path.with_suffix(".mpy").name for path in firmware.glob("*.py")} - {"main.mpy", "manifest.mpy"}
    assert wanted | {"main.py", "settings.json", "room.f32"} <= set(found)
    assert found["settings.json"] == identity.read_bytes()


# --- monitor ---


def test_the_monitor_shows_lines_with_times_and_survives_the_cable_being_pulled(tmp_path: Path) -> None:
    board, console = socket.socketpair()
    with board, console, Cable(console.fileno(), tmp_path / "ttyBoard") as cable:
        command = f"from edge_agents.device import run; raise SystemExit(run(['monitor', '--port', '{cable.port}']))"
        with subprocess.Popen(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, text=True, bufsize=1, env=_unbuffered()
        ) as process:
            try:
                assert process.stdout is not None
                assert "ttyBoard is open; Ctrl-C leaves" in process.stdout.readline()
                board.sendall(b"version 7\r\nlo")
                assert _without_time(process.stdout.readline()) == "version 7"
                board.sendall(b"ss 0.25\r\n>>> ")
                assert _without_time(process.stdout.readline()) == "loss 0.25"
                assert _without_time(process.stdout.readline()) == ">>>"  # not ended, but quiet
                cable.unplug()
                assert "ttyBoard is gone; waiting for it" in process.stdout.readline()
                cable.plug()
                assert "ttyBoard is back" in process.stdout.readline()
                board.sendall("20 °C\n".encode())
                assert _without_time(process.stdout.readline()) == "20 °C"
                process.send_signal(signal.SIGINT)
                assert process.wait(DEADLINE_S) == 0
            finally:
                process.kill()


def _unbuffered() -> dict[str, str]:
    folders = f"{ROOT}{os.pathsep}{ROOT / 'mcu_firmware' / 'lib'}"
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": folders, "PYTHONIOENCODING": "utf-8"}


def _without_time(line: str) -> str:
    found = re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} (.*)\n", line)
    assert found is not None, line
    return found[1]


# --- the guide ---

GUIDE = (ROOT / "docs" / "guides" / "boards.md").read_text(encoding="utf-8")


def test_the_commands_of_the_guide_are_understood() -> None:
    from edge_agents import gateway
    from edge_agents.device import _parser

    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    told = [line[1:] for line in lines if line[0] == "tegu"]
    assert [line[:2] for line in told] == [
        ["device", "provision"],
        ["device", "flash"],
        ["device", "monitor"],
        ["device", "provision"],
        ["gateway", "--port"],
    ]
    for line in told:
        (_parser().parse_args if line[0] == "device" else gateway._parse)(line[1:])


def test_the_guide_tells_of_no_option_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("provision", "flash", "monitor"):
        with pytest.raises(SystemExit):
            run([command, "--help"])
    known = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<![a-z-])--[a-z][a-z0-9-]+", GUIDE)) <= known | {"--host", "--example"}


def test_the_guide_names_what_is_really_said() -> None:
    folders = (ROOT / "edge_agents" / "device", ROOT / "mcu_firmware")
    sources = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    table = GUIDE.split("## When something is wrong")[1].split("\n## ")[0]
    said = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(said) == 12
    assert [words for words in said if words not in sources] == []
