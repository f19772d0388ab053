"""Recorded data: fetched from where its authors published it, checked by sha256, never part of the project. `tegu data`.

Each file is downloaded into `NAME.part` beside its place, goes on from there after a broken connection (HTTP Range, RFC
9110 section 14), and gets its name only when its checksum is right. TEGU_DATA names the folder, else ~/.cache/tegu.
TEGU_DATA_URL names a mirror: the address of such a folder, as any web server gives it out.
"""

import argparse
import hashlib
import http.client
import io
import os
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RAW = "https://raw.githubusercontent.com"
OFFICE = f"{RAW}/LuisM78/Occupancy-detection-data/ba2b1d7b53a71292ff61b867d3e16f0e539c7eb6"
OMNIGLOT = f"{RAW}/brendenlake/omniglot/master/python"
B4B = f"{RAW}/energietransitie/twomes-dataset-windesheim-brains4buildings2022/fe4507f3c11c2e3762b4f152f54e4de1276901aa"
CONNECTION_LIMIT_S = 20.0  # of silence
TRIES = 4  # of a connection that broke off
PIECE_BYTES = 1 << 16
Progress = Callable[[str, int, int], None]  # file, bytes so far, bytes in all


@dataclass(frozen=True)
class Content:
    """What bytes must be."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class File:
    """A file of a data set: its place in the folder, its content, and where from. Inside a zip when `packed` says so."""

    path: str
    url: str
    content: Content
    packed: Content | None = None  # of the zip at url, which holds the file by its name
    also: tuple[Content, ...] = ()  # other editions that serve as well


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
                Content(10272266, "b2865f20f3aa41f0f6a1a0da146afadc4a915ed5daf51cfdcb56d589d86b297a"),
            ),
        ),
        "CC BY-SA 4.0",
        "Z. Jackson et al.: Free Spoken Digit Dataset v1.0.10, "
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
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
    """The folder if all of the task's files are in it with a right size, else None. Nothing is downloaded."""
    where = at or folder()
    return where if all(_sized(where / file.path, file) for file in files(task)) else None


def get(task: str, to: Path | None, time_limit_s: float, progress: Progress | None = None) -> Path:
    """The folder with all of the task's files in it; those missing are downloaded, those present are checked.

    to: the folder, else that of folder(). Raises OSError when a file cannot be had within time_limit_s in all, saying
    what to put where by hand, and ValueError when what was got is not what was published.
    """
    where = to or folder()
    ends_s = time.monotonic() + time_limit_s
    for file in files(task):
        place = where / file.path
        if _sized(place, file) and _content(place) in (file.content, *file.also):
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
        how = f"the file of that name in {file.url}" if file.packed else file.url
        lines.append(f"  {where / file.path}\n    from {how}")
    lines.append(f"or point TEGU_DATA at a folder that has {', '.join(file.path for file in files(task))},")
    lines.append("or TEGU_DATA_URL at a web server that gives out such a folder.")
    return "\n".join(lines)


# --- one file --------------------------------------------------------------------------------------------------------


def _sized(place: Path, file: File) -> bool:
    return place.is_file() and place.stat().st_size in {each.size_bytes for each in (file.content, *file.also)}


def _content(place: Path) -> Content:
    with place.open("rb") as opened:
        return Content(place.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())


def _fetch(file: File, place: Path, ends_s: float, progress: Progress) -> None:
    """Download, check, unpack if packed, and give the file its name in one step."""
    mirror = os.environ.get("TEGU_DATA_URL")
    url = f"{mirror.rstrip('/')}/{file.path}" if mirror else file.url
    packed = None if mirror else file.packed
    allowed = (packed,) if packed else (file.content, *file.also)
    part = place.with_name(place.name + ".part")
    _download(url, part, max(each.size_bytes for each in allowed), ends_s, progress)
    found = _content(part)
    if found not in allowed:
        part.unlink()
        raise ValueError(
            f"{url} is not the file that was published: {found.size_bytes} bytes with sha256 {found.sha256}, "
            f"expected {allowed[0].size_bytes} bytes with {allowed[0].sha256}. It was thrown away."
        )
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
    request = urllib.request.Request(url, headers={"User-Agent": "tegu", "Accept-Encoding": "identity"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    with urllib.request.urlopen(request, timeout=min(CONNECTION_LIMIT_S, _left_s(ends_s))) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        done = begin if resumed else 0
        length = answer.headers.get("Content-Length")
        whole = done + int(length) if length else most_bytes
        if whole > most_bytes:
            raise ValueError(f"{url} is {whole} bytes long, expected {most_bytes}: not the file that was published")
        with part.open("ab" if resumed else "wb") as out:
            while piece := answer.read(min(PIECE_BYTES, most_bytes + 1 - done)):
                out.write(piece)
                done += len(piece)
                progress(part.stem, done, whole)
                _left_s(ends_s)
    return done >= whole if length else True


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
                sys.stdout.write(f"    {file.path}  {file.content.size_bytes} bytes  sha256 {file.content.sha256}\n")
                sys.stdout.write(f"      {file.url}\n")


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
        missing = [task for task in TASKS if find(task) is None]
        sys.stdout.write(f"{folder()}\n")
        if missing:
            sys.stderr.write(f"not all there: {', '.join(missing)}; `tegu data get {missing[0]}` fetches it\n")
        return 1 if missing else 0
    try:
        where = get(options.task, options.to, options.time_limit, _bar)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu data: {error}\n")
        return 1
    sys.stdout.write(f"{where} has all of {options.task}\n")
    return 0
