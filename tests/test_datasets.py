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
from edge_agents.datasets import Content, DataSet, File, Members

LIMIT_S = 30.0
FIRST = bytes(range(256)) * 2000
SECOND = b"id,value\r\n" * 5000
SPOKEN = {"0_ann_0.wav": b"zero" * 99, "1_ann_0.wav": b"one!" * 99, "0_bob_0.wav": b"nil." * 99}
MOST_BYTES = 4000  # of an archive


def content(data: bytes) -> Content:
    return Content(len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Shelf:
    """What the server gives out, how, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    break_after_bytes: int = 0  # the next answer ends so early, once
    ranges: bool = True
    lengths: bool = True  # says how long an answer is
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
        if shelf.lengths:
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
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="web server")
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
    with pytest.raises(ValueError, match="512001 bytes long, expected at most 512000"):
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


# --- a zip that is checked by its members ---


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def archive_of(spoken: dict[str, bytes]) -> bytes:
    """As a tag's archive has it: a folder on top, in another order, with another speaker and other files."""
    members = {f"digits-1.0/recordings/{name}": spoken[name] for name in reversed(spoken)}
    return zipped({"digits-1.0/README.md": b"!", "digits-1.0/recordings/0_eve_0.wav": b"?", **members}, 8)


@pytest.fixture
def spoken(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A task of one zip with the three recordings of two speakers; published as an archive with a third speaker."""
    # sorted by base name: by digit, then by speaker
    order = b"".join(name.encode() + b"\0" + SPOKEN[name] for name in ("0_ann_0.wav", "0_bob_0.wav", "1_ann_0.wav"))
    members = Members(r"\d_(ann|bob)_\d\.wav", 3, hashlib.sha256(order).hexdigest(), MOST_BYTES)
    file = File("c/recordings.zip", f"{shelf.url}/v1.zip", members=members)
    shelf.files = {"/v1.zip": archive_of(SPOKEN)}
    monkeypatch.setitem(datasets.TASKS, "spoken", (DataSet("spoken", (file,), "made up", "nobody"),))
    monkeypatch.delenv("TEGU_DATA_URL", raising=False)
    monkeypatch.delenv("TEGU_DATA", raising=False)
    return shelf


def put(folder: Path, data: bytes) -> Path:
    place = folder / "c/recordings.zip"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    return place


@pytest.mark.parametrize("lengths", [True, False])
def test_an_archive_with_a_folder_on_top_and_more_speakers_serves(spoken: Shelf, tmp_path: Path, lengths: bool):
    spoken.lengths = lengths
    assert datasets.find("spoken", tmp_path) is None
    datasets.get("spoken", tmp_path, LIMIT_S)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["recordings.zip"]
    assert (tmp_path / "c/recordings.zip").read_bytes() == spoken.files["/v1.zip"]
    assert datasets.find("spoken", tmp_path) == tmp_path


def test_the_same_recordings_packed_otherwise_are_not_downloaded_again(spoken: Shelf, tmp_path: Path):
    put(tmp_path, zipped({f"recordings/{name}": data for name, data in SPOKEN.items()}))
    assert datasets.find("spoken", tmp_path) == tmp_path
    datasets.get("spoken", tmp_path, LIMIT_S)
    assert spoken.asked == []


def test_a_zip_that_is_there_may_be_longer_than_a_download(spoken: Shelf, tmp_path: Path):
    put(tmp_path, zipped({**SPOKEN, "0_eve_0.wav": b"?" * (MOST_BYTES + 1)}))
    datasets.get("spoken", tmp_path, LIMIT_S)
    assert spoken.asked == []


def test_an_archive_with_one_byte_of_a_recording_changed_is_thrown_away(spoken: Shelf, tmp_path: Path):
    spoken.files["/v1.zip"] = archive_of({**SPOKEN, "0_bob_0.wav": b"nil," + b"nil." * 98})
    sentence = (
        r"/v1.zip is not the file that was published: 3 files in it match .*, with sha256 [0-9a-f]{64}, "
        r"expected 3 with [0-9a-f]{64}\. It was thrown away\.$"
    )
    with pytest.raises(ValueError, match=sentence):
        datasets.get("spoken", tmp_path, LIMIT_S)
    assert list((tmp_path / "c").iterdir()) == []


def test_an_archive_with_a_recording_under_another_name_is_thrown_away(spoken: Shelf, tmp_path: Path):
    renamed = {"1_bob_0.wav" if name == "0_bob_0.wav" else name: data for name, data in SPOKEN.items()}
    spoken.files["/v1.zip"] = archive_of(renamed)
    with pytest.raises(ValueError, match="not the file that was published: 3 files in it match"):
        datasets.get("spoken", tmp_path, LIMIT_S)


def test_an_archive_with_a_recording_twice_is_thrown_away(spoken: Shelf, tmp_path: Path):
    twice = {f"{top}/{name}": data for top in "ab" for name, data in SPOKEN.items()}
    spoken.files["/v1.zip"] = zipped(twice)
    with pytest.raises(ValueError, match=r"6 files in it match .* expected 3 with"):
        datasets.get("spoken", tmp_path, LIMIT_S)


@pytest.mark.parametrize("at", [0, 60], ids=["a header", "a recording"])
def test_a_damaged_archive_is_thrown_away(spoken: Shelf, tmp_path: Path, at: int):
    damaged = bytearray(zipped(SPOKEN))
    damaged[at] ^= 1
    spoken.files["/v1.zip"] = bytes(damaged)
    with pytest.raises(ValueError, match=r"published: it cannot be unpacked \(.+\), expected 3 with .* in a zip"):
        datasets.get("spoken", tmp_path, LIMIT_S)
    assert list((tmp_path / "c").iterdir()) == []


def test_what_is_not_a_zip_is_thrown_away(spoken: Shelf, tmp_path: Path):
    spoken.files["/v1.zip"] = b"<html>Sign in to this network</html>"
    with pytest.raises(ValueError, match=r"it cannot be unpacked \(File is not a zip file\)"):
        datasets.get("spoken", tmp_path, LIMIT_S)
    assert list((tmp_path / "c").iterdir()) == []


@pytest.mark.parametrize(("lengths", "told"), [(True, "9999 bytes"), (False, "4001 or more bytes")])
def test_an_archive_that_is_too_long_is_refused(spoken: Shelf, tmp_path: Path, lengths: bool, told: str):
    spoken.lengths = lengths
    spoken.files["/v1.zip"] = bytes(9999)
    with pytest.raises(ValueError, match=f"{told} long, expected at most 4000: not the file that was published"):
        datasets.get("spoken", tmp_path, LIMIT_S)
    assert list((tmp_path / "c").iterdir()) == []


def test_an_archive_that_unpacks_to_too_much_is_thrown_away(spoken: Shelf, tmp_path: Path):
    spoken.files["/v1.zip"] = archive_of({**SPOKEN, "0_bob_0.wav": bytes(MOST_BYTES)})
    assert len(spoken.files["/v1.zip"]) < MOST_BYTES
    with pytest.raises(ValueError, match=r"cannot be unpacked \(more than 4000 bytes\)"):
        datasets.get("spoken", tmp_path, LIMIT_S)


def test_a_mirror_gives_out_any_zip_with_the_members(spoken: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spoken.files = {"/mirror/c/recordings.zip": zipped(SPOKEN)}
    monkeypatch.setenv("TEGU_DATA_URL", f"{spoken.url}/mirror")
    datasets.get("spoken", tmp_path, LIMIT_S)
    assert [path for path, _ in spoken.asked] == ["/mirror/c/recordings.zip"]
    assert datasets.find("spoken", tmp_path) == tmp_path


def test_looking_goes_by_names_and_getting_by_bytes(spoken: Shelf, tmp_path: Path):
    place = put(tmp_path, zipped({**SPOKEN, "0_bob_0.wav": b"somebody else"}))
    assert datasets.find("spoken", tmp_path) == tmp_path
    datasets.get("spoken", tmp_path, LIMIT_S)
    assert place.read_bytes() == spoken.files["/v1.zip"]


@pytest.mark.usefixtures("spoken")
def test_a_zip_with_too_few_names_and_one_that_does_not_open_are_not_there(tmp_path: Path):
    put(tmp_path, zipped({name: data for name, data in SPOKEN.items() if "bob" not in name} | {"0_eve_0.wav": b"?"}))
    assert datasets.find("spoken", tmp_path) is None
    put(tmp_path, zipped(SPOKEN)[:-30])
    assert datasets.find("spoken", tmp_path) is None


def test_by_hand_an_archive_is_renamed(spoken: Shelf, tmp_path: Path):
    told = datasets.by_hand("spoken", tmp_path)
    assert f"  {tmp_path / 'c/recordings.zip'}\n    from {spoken.url}/v1.zip, renamed to recordings.zip\n" in told


# --- limits and the command ---


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


@pytest.mark.usefixtures("small", "spoken")
def test_where_tells_what_is_there_and_what_fetches_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for task in ("presence", "characters", "keywords"):
        monkeypatch.delitem(datasets.TASKS, task)
    monkeypatch.setenv("TEGU_DATA", str(tmp_path))
    assert datasets.run(["where"]) == 1
    none = "not there: small (tegu data get small), spoken (tegu data get spoken)\n"
    assert capsys.readouterr() == (f"{tmp_path}\n", none)
    put(tmp_path, zipped(SPOKEN))
    assert datasets.run(["where"]) == 1
    assert capsys.readouterr() == (f"{tmp_path}\n", "there: spoken\nnot there: small (tegu data get small)\n")
    monkeypatch.delitem(datasets.TASKS, "small")
    assert datasets.run(["where"]) == 0
    assert capsys.readouterr() == (f"{tmp_path}\n", "")


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
    assert r"a zip with 2000 \d_(george|jackson|nicolas|theo)_\d+\.wav  sha256 of these ca64ae3b52affe2d" in told
