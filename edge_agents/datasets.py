"""Recorded data: fetched from where its authors published it, checked by sha256, never part of the project. `tegu data`.

Each file is downloaded into `NAME.part` beside its place, goes on from there after a broken connection (HTTP Range, RFC
9110 section 14), and gets its name only when its checksum is right; of a zip that is packed anew now and then, the
checksum of what is in it. TEGU_DATA names the folder, else ~/.cache/tegu.
TEGU_DATA_URL names a mirror: the address of such a folder, as any web server gives it out.
"""

import argparse
import hashlib
import http.client
import io
import lzma
import os
import re
import struct
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

RAW = "https://raw.githubusercontent.com"
OFFICE = f"{RAW}/LuisM78/Occupancy-detection-data/ba2b1d7b53a71292ff61b867d3e16f0e539c7eb6"
OMNIGLOT = f"{RAW}/brendenlake/omniglot/master/python"
B4B = f"{RAW}/energietransitie/twomes-dataset-windesheim-brains4buildings2022/fe4507f3c11c2e3762b4f152f54e4de1276901aa"
CONNECTION_LIMIT_S = 20.0  # of silence
TRIES = 4  # of a connection that broke off
PIECE_BYTES = 1 << 16
DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError)
Progress = Callable[[str, int, int], None]  # file, bytes so far, bytes in all


@dataclass(frozen=True)
class Content:
    """What bytes must be."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Members:
    """What a zip must hold, in any folder of it, however it is packed and whatever else is in it."""

    names: str  # a regular expression of whole base names; what it does not match is passed over
    count: int
    sha256: str  # over them, sorted by base name: the base name, a zero byte, the content
    most_bytes: int  # of a zip that is downloaded, and of them all unpacked


@dataclass(frozen=True)
class File:
    """A file of a data set: its place in the folder, where from, and its content. Inside a zip when `packed` says so.

    A file with `members` is itself a zip. It is checked by them, and has no content of its own.
    """

    path: str
    url: str
    content: Content | None = None
    packed: Content | None = None  # of the zip at url, which holds the file by its name
    also: tuple[Content, ...] = ()  # other editions that serve as well
    members: Members | None = None


@dataclass(frozen=True)
class DataSet:
    name: str
    files: tuple[File, ...]
    licence: str
    citation: str


DATA_SETS = (
    DataSet(
        "occupancy",
        (
            File(
                "occupancy/datatraining.txt",
                f"{OFFICE}/datatraining.txt",
                Content(596674, "b2c4d0ce2b9e4e453c476f7125ef31aeec2d1f5c7f5572d0e80de3df6521ab56"),
            ),
            File(
                "occupancy/datatest.txt",
                f"{OFFICE}/datatest.txt",
                Content(200766, "1b92c7c1b2838963464fa891a610cf3c5db4becb7189189b29b330107a584c7f"),
            ),
        ),
        "published for research; cite the paper",
        "L. M. Candanedo, V. Feldheim: Accurate occupancy detection of an office room from light, temperature, humidity "
        "and CO2 measurements using statistical learning models. Energy and Buildings 112 (2016) 28-39.",
    ),
    DataSet(
        "brains4buildings",
        (
            File(
                "brains4buildings/b4b_preprocess_properties.csv",
                f"{B4B}/preprocessed_data/b4b_preprocess_properties.zip",
                Content(1165963, "767e8f14366957c064421198df014e1c245376bb64ab46c48f815d59841ea4ea"),
                Content(1166119, "48ab54fef90f3d2ac560c38af5f64a465f8f2aa17265c653efcec2791a4804db"),
                # the rows of rooms 917810 and 999169 alone, with line feeds
                (Content(738837, "d12104e02b303c95f0cec900d69e2a6b141d249ba0f1f1ed112a7192f4681d19"),),
            ),
        ),
        "CC BY 4.0",
        "Windesheim University of Applied Sciences: Brains4Buildings 2022 data set, "
        "https://github.com/energietransitie/twomes-dataset-windesheim-brains4buildings2022",
    ),
)
CHARACTERS = (
    DataSet(
        "omniglot",
        (
            File(
                "omniglot/images_background_small1.zip",
                f"{OMNIGLOT}/images_background_small1.zip",
                Content(1319022, "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4"),
            ),
        ),
        "MIT",
        "B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic program "
        "induction. Science 350 (2015) 1332-1338.",
    ),
)
KEYWORDS = (
    DataSet(
        "fsdd",
        (
            File(
                "fsdd/recordings.zip",
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
                # an archive of a tag: the same recordings, packed anew now and then; the other speakers serve as they are
                members=Members(
                    r"\d_(george|jackson|nicolas|theo)_\d+\.wav",
                    2000,
                    "ca64ae3b52affe2dbd184327883ded9004a9eb06800ae48bf4f3cfe06994298e",
                    60_000_000,
                ),
            ),
        ),
        "CC BY-SA 4.0",
        "Z. Jackson et al.: Free Spoken Digit Dataset v1.0.10, https://github.com/Jakobovski/free-spoken-digit-dataset",
    ),
)
TASKS = {"presence": DATA_SETS, "characters": CHARACTERS, "keywords": KEYWORDS}


def folder() -> Path:
    """Where data is kept: TEGU_DATA, else ~/.cache/tegu."""
    given = os.environ.get("TEGU_DATA")
    return Path(given) if given else Path.home() / ".cache" / "tegu"


def files(task: str) -> list[File]:
    """The files a task needs. Raises ValueError naming the tasks there are."""
    if task not in TASKS:
        raise ValueError(f"no data for {task!r}; there is data for: {', '.join(TASKS)}")
    return [file for data_set in TASKS[task] for file in data_set.files]


def find(task: str, at: Path | None = None) -> Path | None:
    """The folder if all of the task's files are in it, else None. Nothing is downloaded.

    A look at sizes, and at the names in a zip that has members; the bytes are checked by get().
    """
    where = at or folder()
    return where if all(_likely(where / file.path, file) for file in files(task)) else None


def get(task: str, to: Path | None, time_limit_s: float, progress: Progress | None = None) -> Path:
    """The folder with all of the task's files in it; those missing are downloaded, those present are checked.

    to: the folder, else that of folder(). Raises OSError when a file cannot be had within time_limit_s in all, saying
    what to put where by hand, and ValueError when what was got is not what was published.
    """
    where = to or folder()
    ends_s = time.monotonic() + time_limit_s
    for file in files(task):
        place = where / file.path
        if _likely(place, file) and not _fault(place, file, _editions(file)):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(file, place, ends_s, progress or (lambda *_: None))
        except OSError as error:
            raise OSError(f"{file.path} could not be downloaded ({error}).\n{by_hand(task, where)}") from error
    return where


def by_hand(task: str, where: Path) -> str:
    """What to do without a connection, file by file."""
    lines = ["Without a connection, put these files there by hand:"]
    for file in files(task):
        lines.append(f"  {where / file.path}\n    from {_origin(file)}")
    lines.append(f"or point TEGU_DATA at a folder that has {', '.join(file.path for file in files(task))},")
    lines.append("or TEGU_DATA_URL at a web server that gives out such a folder.")
    return "\n".join(lines)


def _origin(file: File) -> str:
    name = Path(file.path).name
    if file.packed:
        return f"the file of that name in {file.url}"
    return file.url if file.url.endswith(f"/{name}") else f"{file.url}, renamed to {name}"


# --- is it the right one? --------------------------------------------------------------------------------------------


def _editions(file: File) -> tuple[Content, ...]:
    return (file.content, *file.also) if file.content else file.also


def _likely(place: Path, file: File) -> bool:
    """Whether the file is there and may be the right one. Reads no more than a zip's directory."""
    if not place.is_file():
        return False
    if file.members is None:
        return place.stat().st_size in {each.size_bytes for each in _editions(file)}
    try:
        with zipfile.ZipFile(place) as packed:
            return len(_matching(packed, file.members)) >= file.members.count
    except DAMAGE:
        return False


def _fault(place: Path, file: File, allowed: tuple[Content, ...]) -> str:
    """What is wrong with the file there, empty if nothing is. allowed: what it may be, unless its members say it."""
    if file.members:
        return _fault_of_members(place, file.members)
    found, wanted = _content(place), allowed[0]
    if found in allowed:
        return ""
    return (
        f"{found.size_bytes} bytes with sha256 {found.sha256}, expected {wanted.size_bytes} bytes with {wanted.sha256}"
    )


def _fault_of_members(place: Path, wanted: Members) -> str:
    expected = f"expected {wanted.count} with {wanted.sha256}"
    try:
        found = _members(place, wanted)
    except DAMAGE as error:
        return f"it cannot be unpacked ({str(error) or type(error).__name__}), {expected} in a zip"
    if found == wanted:
        return ""
    return f"{found.count} files in it match {wanted.names}, with sha256 {found.sha256}, {expected}"


def _matching(packed: zipfile.ZipFile, wanted: Members) -> list[tuple[str, zipfile.ZipInfo]]:
    """What counts in a zip, by base name and sorted by it."""
    named = [(each.filename.rsplit("/", 1)[-1], each) for each in packed.infolist()]
    name = re.compile(wanted.names)
    return sorted((each for each in named if name.fullmatch(each[0])), key=lambda each: each[0])


def _members(place: Path, wanted: Members) -> Members:
    """What the zip holds in place of those wanted. Raises one of DAMAGE when it cannot be unpacked."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(place) as packed:
        matching = _matching(packed, wanted)
        if sum(each.file_size for _, each in matching) > wanted.most_bytes:
            raise zipfile.BadZipFile(f"more than {wanted.most_bytes} bytes")
        for name, each in matching:
            digest.update(name.encode() + b"\0" + packed.read(each))
    return replace(wanted, count=len(matching), sha256=digest.hexdigest())


def _content(place: Path) -> Content:
    with place.open("rb") as opened:
        return Content(place.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())


# --- one download ----------------------------------------------------------------------------------------------------


def _fetch(file: File, place: Path, ends_s: float, progress: Progress) -> None:
    """Download, check, unpack if packed, and give the file its name in one step."""
    mirror = os.environ.get("TEGU_DATA_URL")
    url = f"{mirror.rstrip('/')}/{file.path}" if mirror else file.url
    packed = None if mirror else file.packed
    allowed = (packed,) if packed else _editions(file)
    part = place.with_name(place.name + ".part")
    most_bytes = file.members.most_bytes if file.members else max(each.size_bytes for each in allowed)
    _download(url, part, most_bytes, ends_s, progress)
    fault = _fault(part, file, allowed)
    if fault:
        part.unlink()
        raise ValueError(f"{url} is not the file that was published: {fault}. It was thrown away.")
    if packed:
        _unpack(part, file)
    part.replace(place)


def _download(url: str, part: Path, most_bytes: int, ends_s: float, progress: Progress) -> None:
    """url into part, from where an earlier try ended; at most most_bytes. Raises OSError after TRIES broken connections."""
    for tries_left in reversed(range(TRIES)):
        try:
            if _go_on(url, part, most_bytes, ends_s, progress):
                return
            problem: Exception = OSError("the connection broke off")
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)  # what is there is not the beginning of that file
            elif error.code < 500:
                raise
            problem = error
        except (http.client.HTTPException, ConnectionError) as error:
            problem = error
        if not tries_left:
            raise OSError(str(problem) or type(problem).__name__) from problem


def _go_on(url: str, part: Path, most_bytes: int, ends_s: float, progress: Progress) -> bool:
    """One connection's worth. True when the file is whole, as far as the server says."""
    begin = part.stat().st_size if part.exists() else 0
    if begin == most_bytes:
        return True
    with urllib.request.urlopen(_request(url, begin), timeout=min(CONNECTION_LIMIT_S, _left_s(ends_s))) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        done = begin if resumed else 0
        length = answer.headers.get("Content-Length")
        whole = done + int(length) if length else most_bytes
        if whole > most_bytes:
            raise ValueError(_too_long(url, f"{whole}", most_bytes))
        with part.open("ab" if resumed else "wb") as out:
            while piece := answer.read(min(PIECE_BYTES, most_bytes + 1 - done)):
                out.write(piece)
                done += len(piece)
                progress(part.stem, done, whole)
                _left_s(ends_s)
    if done > most_bytes:  # the server did not say how long it is
        part.unlink()
        raise ValueError(_too_long(url, f"{done} or more", most_bytes))
    if length:
        return done >= whole
    progress(part.stem, done, done)
    return True


def _request(url: str, begin: int) -> urllib.request.Request:
    request = urllib.request.Request(url, headers={"User-Agent": "tegu", "Accept-Encoding": "identity"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    return request


def _too_long(url: str, found_bytes: str, most_bytes: int) -> str:
    return f"{url} is {found_bytes} bytes long, expected at most {most_bytes}: not the file that was published"


def _left_s(ends_s: float) -> float:
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("it took too long")
    return left_s


def _unpack(part: Path, file: File) -> None:
    """Put the packed file in the place of its zip. Raises ValueError if it is not the one expected."""
    with zipfile.ZipFile(io.BytesIO(part.read_bytes())) as packed:
        content = packed.read(Path(file.path).name)
    found = Content(len(content), hashlib.sha256(content).hexdigest())
    if found != file.content:
        raise ValueError(f"{file.url} holds another file than expected (sha256 {found.sha256})")
    part.write_bytes(content)


# --- tegu data -------------------------------------------------------------------------------------------------------


def _bar(name: str, done_bytes: int, whole_bytes: int) -> None:
    """A line on stderr that is drawn over itself; only when a person looks on."""
    if not sys.stderr.isatty():
        return
    filled = 30 * done_bytes // max(1, whole_bytes)
    end = "\n" if done_bytes >= whole_bytes else ""
    sys.stderr.write(f"\r{name:32} [{'#' * filled}{'.' * (30 - filled)}] {done_bytes / 1e6:5.2f} MB{end}")
    sys.stderr.flush()


def _list() -> None:
    for task, data_sets in TASKS.items():
        sys.stdout.write(f"{task}\n")
        for data_set in data_sets:
            sys.stdout.write(f"  {data_set.name} ({data_set.licence})\n    {data_set.citation}\n")
            for file in data_set.files:
                sys.stdout.write(f"    {file.path}  {_pinned(file)}\n      {file.url}\n")


def _pinned(file: File) -> str:
    """By what a file is known."""
    if file.members:
        return f"a zip with {file.members.count} {file.members.names}  sha256 of these {file.members.sha256}"
    return f"{_editions(file)[0].size_bytes} bytes  sha256 {_editions(file)[0].sha256}"


def _where() -> int:
    """The folder, for a script; on stderr what is in it, unless all is."""
    missing = [task for task in TASKS if find(task) is None]
    there = [task for task in TASKS if task not in missing]
    sys.stdout.write(f"{folder()}\n")
    if missing and there:
        sys.stderr.write(f"there: {', '.join(there)}\n")
    if missing:
        sys.stderr.write(f"not there: {', '.join(f'{task} (tegu data get {task})' for task in missing)}\n")
    return 1 if missing else 0


def run(arguments: list[str]) -> int:
    """`tegu data get TASK [--to DIR]`, `tegu data list`, `tegu data where`."""
    parser = argparse.ArgumentParser("tegu data", description="Fetch the recorded data of a task.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("get", help="download what is missing, check what is there")
    fetch.add_argument("task", choices=list(TASKS))
    fetch.add_argument("--to", type=Path, help="folder (default: TEGU_DATA, else ~/.cache/tegu)")
    fetch.add_argument("--time-limit", type=float, default=600.0, metavar="SECONDS", help="in all (default: 600)")
    commands.add_parser("list", help="what there is, from where, under which licence")
    commands.add_parser("where", help="the folder, and whether the data is in it")
    options = parser.parse_args(arguments)
    if options.command == "list":
        _list()
        return 0
    if options.command == "where":
        return _where()
    try:
        where = get(options.task, options.to, options.time_limit, _bar)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu data: {error}\n")
        return 1
    sys.stdout.write(f"{where} has all of {options.task}\n")
    return 0
