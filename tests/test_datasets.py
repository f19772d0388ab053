"""Fetching recorded data from a real web server on this machine: whole, broken off, wrong, absent."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_agents import datasets
from edge_agents.datasets import Content, DataSet, File

LIMIT_S = 30.0
FIRST = bytes(range(256)) * 2000
SECOND = b"id,value\r\n" * 5000


def content(data: bytes) -> Content:
    return Content(len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Shelf:
    """What the server gives out, how, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    break_after_bytes: int = 0  # the next answer ends so early, once
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range


class Answer(BaseHTTPRequestHandler):
    """GET with Range: bytes=N-."""

    shelf: Shelf

    def do_GET(self) -> None:
        shelf = self.shelf
        wanted = self.headers.get("Range", "")
        shelf.asked.append((self.path, wanted))
        data = shelf.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        begin = int(wanted[len("bytes=") : -1]) if wanted and shelf.ranges else 0
        if begin >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        stop, shelf.break_after_bytes = shelf.break_after_bytes or len(data), 0
        self.wfile.write(data[begin : begin + stop])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    held = Shelf()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("AnswerFrom", (Answer,), {"shelf": held}))
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="web server")
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def small(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A task of two small files, the second published as a zip; no mirror, no folder set."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("second.csv", SECOND)
    shelf.files = {"/first.txt": FIRST, "/second.zip": packed.getvalue()}
    files = (
        File("a/first.txt", f"{shelf.url}/first.txt", content(FIRST)),
        File(
            "b/second.csv", f"{shelf.url}/second.zip", content(SECOND), content(packed.getvalue()), (content(b"old"),)
        ),
    )
    monkeypatch.setitem(datasets.TASKS, "small", (DataSet("small", files, "made up", "nobody"),))
    monkeypatch.delenv("TEGU_DATA_URL", raising=False)
    monkeypatch.delenv("TEGU_DATA", raising=False)
    return shelf


@pytest.mark.usefixtures("small")
def test_files_are_downloaded_and_unpacked_into_their_places(tmp_path: Path):
    assert datasets.find("small", tmp_path) is None
    assert datasets.get("small", tmp_path, LIMIT_S) == tmp_path
    assert (tmp_path / "a/first.txt").read_bytes() == FIRST
    assert (tmp_path / "b/second.csv").read_bytes() == SECOND
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["first.txt", "second.csv"]
    assert datasets.find("small", tmp_path) == tmp_path


def test_what_is_there_is_not_downloaded_again(small: Shelf, tmp_path: Path):
    datasets.get("small", tmp_path, LIMIT_S)
    asked = len(small.asked)
    datasets.get("small", tmp_path, LIMIT_S)
    assert len(small.asked) == asked == 2


@pytest.mark.usefixtures("small")
def test_another_known_edition_serves_as_well(tmp_path: Path):
    datasets.get("small", tmp_path, LIMIT_S)
    (tmp_path / "b/second.csv").write_bytes(b"old")
    assert datasets.find("small", tmp_path) == tmp_path
    datasets.get("small", tmp_path, LIMIT_S)
    assert (tmp_path / "b/second.csv").read_bytes() == b"old"


@pytest.mark.usefixtures("small")
def test_a_file_changed_in_place_is_fetched_anew(tmp_path: Path):
    datasets.get("small", tmp_path, LIMIT_S)
    (tmp_path / "a/first.txt").write_bytes(b"x" * len(FIRST))
    datasets.get("small", tmp_path, LIMIT_S)
    assert (tmp_path / "a/first.txt").read_bytes() == FIRST


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(small: Shelf, tmp_path: Path):
    small.break_after_bytes = 200_000
    datasets.get("small", tmp_path, LIMIT_S)
    assert small.asked[:2] == [("/first.txt", ""), ("/first.txt", "bytes=200000-")]
    assert (tmp_path / "a/first.txt").read_bytes() == FIRST


def test_a_part_left_by_an_earlier_run_is_gone_on_with(small: Shelf, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/first.txt.part").write_bytes(FIRST[:1000])
    datasets.get("small", tmp_path, LIMIT_S)
    assert small.asked[0] == ("/first.txt", "bytes=1000-")


def test_a_server_without_ranges_sends_all_of_it_again(small: Shelf, tmp_path: Path):
    small.ranges = False
    small.break_after_bytes = 200_000
    datasets.get("small", tmp_path, LIMIT_S)
    assert (tmp_path / "a/first.txt").read_bytes() == FIRST


def test_other_bytes_than_published_are_thrown_away(small: Shelf, tmp_path: Path):
    small.files["/first.txt"] = FIRST[:-1] + b"!"
    with pytest.raises(ValueError, match=r"/first.txt is not the file that was published: 512000 bytes with sha256"):
        datasets.get("small", tmp_path, LIMIT_S)
    assert list((tmp_path / "a").iterdir()) == []


def test_a_file_that_is_too_long_is_refused_before_it_is_downloaded(small: Shelf, tmp_path: Path):
    small.files["/first.txt"] = FIRST + b"!"
    with pytest.raises(ValueError, match="512001 bytes long, expected 512000"):
        datasets.get("small", tmp_path, LIMIT_S)
    assert list((tmp_path / "a").iterdir()) == []


def test_a_mirror_gives_out_the_folder_as_it_is(small: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small.files = {"/mirror/a/first.txt": FIRST, "/mirror/b/second.csv": SECOND}
    monkeypatch.setenv("TEGU_DATA_URL", f"{small.url}/mirror/")
    datasets.get("small", tmp_path, LIMIT_S)
    assert [path for path, _ in small.asked] == ["/mirror/a/first.txt", "/mirror/b/second.csv"]
    assert datasets.find("small", tmp_path) == tmp_path


def test_without_a_connection_the_error_says_what_to_put_where(
    small: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TEGU_DATA_URL", "http://127.0.0.1:9")  # nobody listens on the discard port
    with pytest.raises(OSError, match=r"a/first.txt could not be downloaded \(.*refused") as caught:
        datasets.get("small", tmp_path, LIMIT_S)
    told = str(caught.value)
    assert f"  {tmp_path / 'a/first.txt'}\n    from {small.url}/first.txt\n" in told
    assert f"  {tmp_path / 'b/second.csv'}\n    from the file of that name in {small.url}/second.zip\n" in told


def test_a_file_that_is_not_on_the_server_is_an_error_with_the_same_advice(small: Shelf, tmp_path: Path):
    del small.files["/second.zip"]
    with pytest.raises(OSError, match=r"b/second.csv could not be downloaded \(HTTP Error 404") as caught:
        datasets.get("small", tmp_path, LIMIT_S)
    assert "by hand" in str(caught.value)
    assert len(small.asked) == 2  # a file that is not there is not asked for again


@pytest.mark.usefixtures("small")
def test_a_time_limit_that_is_over_ends_the_download(tmp_path: Path):
    with pytest.raises(OSError, match="it took too long"):
        datasets.get("small", tmp_path, 0.0)


def test_a_task_without_data_is_refused():
    with pytest.raises(ValueError, match="no data for 'sine'; there is data for: presence"):
        datasets.find("sine")


@pytest.mark.usefixtures("small")
def test_the_command_downloads_and_tells_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TEGU_DATA", str(tmp_path / "cache"))
    assert datasets.run(["get", "small"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cache'} has all of small\n"
    assert datasets.find("small") == tmp_path / "cache"
    assert datasets.run(["where"]) == 1  # presence is not there
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'cache'}\n"
    assert "presence" in told.err


@pytest.mark.usefixtures("small")
def test_the_command_fails_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TEGU_DATA_URL", "http://127.0.0.1:9")
    assert datasets.run(["get", "small", "--to", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("tegu data: a/first.txt could not be downloaded")


def test_the_list_names_licence_citation_and_checksum(capsys: pytest.CaptureFixture[str]):
    assert datasets.run(["list"]) == 0
    told = capsys.readouterr().out
    assert "CC BY 4.0" in told
    assert "Candanedo" in told
    assert "b2c4d0ce2b9e4e453c476f7125ef31aeec2d1f5c7f5572d0e80de3df6521ab56" in told
