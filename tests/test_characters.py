"""Handwritten characters: the preprocessing by hand, who has which drawings, the files, and Omniglot itself.

Most tests draw pictures of their own: 14x14 pixels, so that `raw` keeps every one, that spell who drew what.
"""

import io
import os
import sys
import zipfile
from importlib.util import find_spec
from itertools import pairwise
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from experiments.usecases import Episode, Samples, characters
from experiments.usecases.characters import CNN, MLP, TEST, TRAIN, Characters, alphabets, nearest_mean, norm, raw, split
from tegu.model import Model

if find_spec("PIL") is None:
    SENTENCE = f"Pillow is not installed; install it with: {sys.executable} -m pip install pillow"
    if os.environ.get("CI"):
        pytest.fail(SENTENCE, pytrace=False)
    pytest.skip(SENTENCE, allow_module_level=True)

from PIL import Image

PAPER = -0.6
FULL = 1.4
NAMES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")
PART = "images_background_small1"


# --- one picture ---


def picture(side: int, *places: tuple[int, int]) -> np.ndarray:
    """Ink at these rows and columns."""
    ink = np.zeros((side, side), np.float32)
    for row, column in places:
        ink[row, column] = 1
    return ink


def test_a_raw_cell_is_the_share_of_it_that_is_ink():
    # 21 pixels over 14 cells: a cell is 1.5 by 1.5. Row 1 lies half in cell row 0 and half in cell row 1.
    cells = raw(picture(21, (1, 0))).reshape(14, 14)
    assert cells[0, 0] == pytest.approx(2 * sqrt(0.5 / 2.25) - 0.6)
    assert cells[1, 0] == pytest.approx(2 * sqrt(0.5 / 2.25) - 0.6)
    assert np.count_nonzero(cells > PAPER + 1e-3) == 2


def test_raw_keeps_a_picture_of_its_own_size_the_right_way_up():
    x = raw(picture(14, (2, 11)))
    assert (x[2 * 14 + 11], x.argmax()) == (pytest.approx(FULL), 2 * 14 + 11)
    assert np.delete(x, 39) == pytest.approx(np.full(195, PAPER))


def test_norm_of_two_pixels_is_as_worked_by_hand():
    # Centre (10, 19), r.m.s. radius 9, so half as large: columns 6.5 -+ 4.5, row 6.5 half in row 6 and half in row 7.
    # Down, [1 2 1]/4 makes 1/8 3/8 3/8 1/8 of it; across, 1/4 1/2 1/4. The darkest cell is 3/16.
    cells = norm(picture(40, (10, 10), (10, 28))).reshape(14, 14)
    down, across = np.zeros(14), np.zeros(14)
    down[5:9] = 1 / 3, 1, 1, 1 / 3
    across[1:4] = across[10:13] = 0.5, 1, 0.5
    assert cells == pytest.approx(2 * np.sqrt(np.outer(down, across)) - 0.6, abs=1e-5)


def blob(side: int, at: tuple[int, int], scale: int = 1) -> np.ndarray:
    """An L of 12 by 20 pixels, or a multiple."""
    ink = np.zeros((side, side), np.float32)
    y, x = at
    ink[y : y + 12 * scale, x : x + 4 * scale] = 1
    ink[y + 8 * scale : y + 12 * scale, x : x + 20 * scale] = 1
    return ink


def test_norm_does_not_see_where_the_ink_is():
    assert norm(blob(105, (3, 60))) == pytest.approx(norm(blob(105, (50, 20))), abs=1e-4)


def test_norm_hardly_sees_how_large_the_ink_is():
    assert np.abs(norm(blob(105, (3, 4), 2)) - norm(blob(105, (3, 4), 4))).max() < 0.2
    assert np.abs(raw(blob(105, (3, 4), 2)) - raw(blob(105, (3, 4), 4))).max() > 1.9


def test_norm_never_enlarges_a_dot_or_a_dash():
    # Of 5 pixels' length at most, so as large as it was: columns 6.5 -+ 2, each half in two cells, as row 6.5 is.
    half = np.array([1 / 8, 3 / 8, 3 / 8, 1 / 8])
    down, across = np.zeros(14), np.zeros(14)
    down[5:9] = half
    across[3:7] += half
    across[7:11] += half
    cells = norm(picture(105, (90, 4), (90, 8))).reshape(14, 14)
    assert cells == pytest.approx(2 * np.sqrt(np.outer(down, across) / (3 / 8) ** 2) - 0.6, abs=1e-5)
    dot = norm(picture(105, (90, 4))).reshape(14, 14)
    assert dot == pytest.approx(2 * np.sqrt(np.outer(down, down) / (3 / 8) ** 2) - 0.6, abs=1e-5)


def test_paper_without_ink_is_paper():
    assert norm(picture(20)) == pytest.approx(np.full(196, PAPER))


@pytest.mark.parametrize("prepare", [raw, norm])
def test_a_turned_picture_gives_turned_inputs(prepare):
    ink = blob(105, (20, 30), 2)
    turned = np.rot90(prepare(ink).reshape(14, 14)).ravel()
    assert prepare(np.rot90(ink)) == pytest.approx(turned, abs=1e-4)


# --- pictures that spell who drew what ---


def spelled(alphabet: int, character: int, drawer: int) -> np.ndarray:
    """Three numbers as bits in row 5, ink in the corner above on the left and in no other corner."""
    bits = [(number >> bit) & 1 for number in (alphabet, character, drawer) for bit in range(5)][:14]
    return picture(14, (0, 0), *((5, column) for column, bit in enumerate(bits) if bit), *[(6, 0)] * (drawer >> 4))


def read(x: np.ndarray) -> tuple[int, int, int, int]:
    """(alphabet, character, drawer, quarter turns) of a drawing's inputs."""
    cells = x.reshape(14, 14) > 0
    turns = next(turns for turns in range(4) if np.rot90(cells, -turns)[0, 0])
    upright = np.rot90(cells, -turns)
    numbers = [sum(int(upright[5, 5 * n + bit]) << bit for bit in range(5) if 5 * n + bit < 14) for n in range(3)]
    return numbers[0], numbers[1], numbers[2] + 16 * int(upright[6, 0]), turns


def png(ink: np.ndarray) -> bytes:
    """Black on white, one bit, as in Omniglot."""
    file = io.BytesIO()
    Image.fromarray(np.where(ink > 0, 0, 255).astype(np.uint8)).convert("1").save(file, "PNG")
    return file.getvalue()


def pictures(names: tuple[str, ...] = NAMES, many: int = 6, part: str = PART) -> dict[str, bytes]:
    return {
        f"{part}/{name}/character{character + 1:02}/{100 * number + character:04}_{drawer + 1:02}.png": png(
            spelled(number, character, drawer)
        )
        for number, name in enumerate(names)
        for character in range(many)
        for drawer in range(20)
    }


def packed(folder: Path, files: dict[str, bytes], part: str = PART) -> Path:
    """The folder of recorded data with these files in omniglot/PART.zip."""
    (folder / "omniglot").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "omniglot" / f"{part}.zip", "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("data"), pictures())


def made(folder: Path, **wishes) -> Characters:
    return Characters(folder, **{"seed": 1, "preprocessing": "raw", "train": NAMES[:3], **wishes})


def test_the_drawings_are_read_ink_for_ink(folder: Path):
    given = made(folder).support(0, 0, 100)
    assert {float(value) for value in given.x.ravel()} == {float(np.float32(PAPER)), float(np.float32(FULL))}
    who = [read(x) for x in given.x]
    assert {drawer for _, _, drawer, _ in who} == set(range(20))
    assert len({character for _, character, _, _ in who}) == 5


def test_classes_come_in_turn_and_each_is_one_character(folder: Path):
    given = made(folder).support(0, 3, 12)
    assert given.x.dtype == np.float32 and given.x.shape == (12, 196)
    assert given.y.dtype == np.int64 and given.y.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    pairs = {(int(label), read(x)[1]) for x, label in zip(given.x, given.y, strict=True)}
    assert len(pairs) == len({character for _, character in pairs}) == 5


def test_a_device_has_one_alphabet_in_turn(folder: Path):
    case = made(folder, devices=7)
    for device in range(7):
        found = {read(x)[0] for round_num in range(4) for x in case.support(device, round_num, 15).x}
        assert found == {device % 3}


def test_labels_change_from_round_to_round(folder: Path):
    case = made(folder)
    firsts = {read(case.support(0, round_num, 1).x[0])[1] for round_num in range(60)}
    assert firsts == set(range(6))


def test_no_drawing_comes_twice_before_all_twenty_have_come(folder: Path):
    who = [read(x) for x in made(folder).support(1, 0, 110).x]
    assert len(set(who[:100])) == 100
    assert who[100:] == who[:10]


def test_the_same_seed_device_and_round_give_the_same_samples(folder: Path):
    first = made(folder).support(2, 9, 30)
    again = made(folder).support(2, 9, 30)
    assert np.array_equal(first.x, again.x) and np.array_equal(first.y, again.y)
    assert np.array_equal(made(folder).support(2, 9, 10).x, first.x[:10])
    others = [made(folder, seed=2).support(2, 9, 30), made(folder).support(5, 9, 30), made(folder).support(2, 10, 30)]
    assert not any(np.array_equal(first.x, other.x) for other in others)


def test_a_turn_makes_another_character_and_holds_for_all_its_drawings(folder: Path):
    case = made(folder, rotations=True)
    turns = set()
    for round_num in range(10):
        given = case.support(0, round_num, 20)
        kinds = {(int(label), read(x)[1], read(x)[3]) for x, label in zip(given.x, given.y, strict=True)}
        assert len(kinds) == 5
        turns |= {turned for _, _, turned in kinds}
    assert turns == {0, 1, 2, 3}
    assert {read(x)[3] for x in case.unseen()[0].support.x} == {0}
    assert {read(x)[3] for x in made(folder).support(0, 0, 50).x} == {0}


# --- the unseen ---


def test_an_unseen_task_has_fifteen_drawings_of_five_characters_and_five_more_to_score(folder: Path):
    episodes = made(folder, episodes=8).unseen()
    assert [episode.name for episode in episodes[:3]] == ["Delta 0", "Epsilon 1", "Delta 2"]
    for number, episode in enumerate(episodes):
        assert episode.support.y.tolist() == [0, 1, 2, 3, 4] * 15
        assert episode.query.y.tolist() == [0, 1, 2, 3, 4] * 5
        assert {read(x)[0] for x in (*episode.support.x, *episode.query.x)} == {3 + number % 2}


def test_support_and_query_agree_on_the_labels_and_share_no_drawer(folder: Path):
    for episode in made(folder, episodes=8).unseen():
        parts = [
            {(int(label), read(x)[1]) for x, label in zip(part.x, part.y, strict=True)}
            for part in (episode.support, episode.query)
        ]
        assert parts[0] == parts[1] and len(parts[0]) == 5
        teachers = {read(x)[2] for x in episode.support.x}
        assert len(teachers) == 15
        assert {read(x)[2] for x in episode.query.x} == set(range(20)) - teachers
        assert len({read(x) for x in episode.support.x}) == 75


def test_one_shot_is_not_all_by_one_hand(folder: Path):
    shots = [{read(x)[2] for x in episode.support.x[:5]} for episode in made(folder, episodes=8).unseen()]
    assert max(len(drawers) for drawers in shots) > 1


def test_the_unseen_are_the_same_for_the_same_seed(folder: Path):
    first, again, other = (made(folder, seed=seed, episodes=3).unseen() for seed in (4, 4, 5))
    assert all(np.array_equal(one.support.x, two.support.x) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0].support.x, other[0].support.x)
    assert len(made(folder).unseen()) == 100


def test_the_curve_asks_for_no_more_than_an_unseen_support_has(folder: Path):
    case = made(folder, episodes=1)
    assert case.samples == (0, 1, 2, 4, 5, 8, 10, 16, 25, 32)
    assert max(case.samples) <= len(case.unseen()[0].support)
    assert all(fewer < more for fewer, more in pairwise(case.samples))


# --- the split ---


def test_the_five_alphabets_are_split_as_the_figures_say():
    assert split(tuple(sorted((*TRAIN, *TEST, "Sanskrit"))), 7) == (
        ("Balinese", "Greek", "Latin"),
        ("Korean", "Early_Aramaic"),
    )


def test_other_alphabets_are_split_by_seed_four_to_six():
    splits = [split(NAMES, seed) for seed in range(20)]
    assert {(len(train), len(test)) for train, test in splits} == {(3, 2)}
    assert all(set(train) | set(test) == set(NAMES) for train, test in splits)
    assert split(NAMES, 3) == splits[3]
    assert len({test for _, test in splits}) > 3


def test_what_is_not_wished_for_is_all_the_rest():
    assert split(NAMES, 0, train=("Beta",)) == (("Beta",), ("Alpha", "Gamma", "Delta", "Epsilon"))
    assert split(NAMES, 0, test=("Beta", "Alpha")) == (("Gamma", "Delta", "Epsilon"), ("Beta", "Alpha"))
    assert split(NAMES, 0, ("Alpha",), ("Beta",)) == (("Alpha",), ("Beta",))


@pytest.mark.parametrize(
    ("train", "test"),
    [(("Alpha", "Beta"), ("Beta",)), (NAMES, None), ((), NAMES), (("Alpha", "Alpha"), ("Beta",))],
)
def test_an_alphabet_cannot_be_taught_and_unseen(train, test):
    with pytest.raises(ValueError, match=r"alphabets that take part \(.*\) and unseen ones \(.*\) must differ"):
        split(NAMES, 0, train, test)


def test_an_alphabet_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="no alphabet Klingon; there are: Alpha, Beta, Gamma, Delta, Epsilon"):
        split(NAMES, 0, train=("Klingon", "Alpha"))


# --- the models, the note, the least to beat ---


def test_the_models_are_as_small_as_they_say(folder: Path):
    case = made(folder)
    assert case.spec == MLP
    assert Model(MLP).size == 196 * 64 + 64 + 64 * 64 + 64 + 64 * 5 + 5 == 17093
    # 7x7 and 4x4 after the strides: 8 * 9 + 8, 16 * 72 + 16, 24 * 256 + 24, 5 * 24 + 5
    assert Model(CNN).size == 80 + 1168 + 6168 + 125 == 7541
    assert Model(made(folder, ways=3).spec).classes == 3
    assert made(folder, ways=3).support(0, 0, 4).y.tolist() == [0, 1, 2, 0]


def test_the_note_says_who_has_what(folder: Path):
    note = made(folder, devices=4).data_note
    assert "4 simulated devices with one alphabet each" in note
    assert "Alpha, Beta, Gamma. No device has Delta, Epsilon." in note


def test_the_nearest_mean_is_as_worked_by_hand():
    def one(*values: float) -> np.ndarray:
        return np.array(values, np.float32)[:, None]

    support = Samples(one(0, 10, 4, 20), np.array([0, 1, 0, 1]))
    episode = Episode("made up", support, Samples(one(1, 6, 8, 7), np.array([0, 0, 1, 1])))
    assert nearest_mean(episode, 2) == 0.75  # means 0 and 10: all above 5 are taken for 1, so is the 6
    assert nearest_mean(episode, 4) == 0.5  # means 2 and 15: all below 8.5 are taken for 0


# --- the files ---


def test_an_unpacked_folder_gives_what_the_zip_gives(folder: Path, tmp_path: Path):
    with zipfile.ZipFile(folder / "omniglot" / f"{PART}.zip") as out:
        out.extractall(tmp_path / "omniglot")
    assert list(alphabets(tmp_path)) == sorted(NAMES)
    assert np.array_equal(made(tmp_path).support(1, 2, 25).x, made(folder).support(1, 2, 25).x)


def test_the_parts_add_up_and_the_first_that_has_an_alphabet_counts(tmp_path: Path):
    packed(tmp_path, pictures(NAMES[:2]))
    packed(tmp_path, pictures(NAMES[1:3], part="images_evaluation"), "images_evaluation")
    found = alphabets(tmp_path)
    assert {name: place.stem for name, place in found.items()} == {
        "Alpha": PART,
        "Beta": PART,
        "Gamma": "images_evaluation",
    }


def test_what_else_a_zip_holds_is_passed_over(tmp_path: Path):
    more = {f"{PART}/.DS_Store": b"", f"__MACOSX/{PART}/Alpha/character01/._0001_01.png": b"no", f"{PART}/Alpha/": b""}
    packed(tmp_path, {**pictures(), **more})
    assert list(alphabets(tmp_path)) == sorted(NAMES)
    assert len(made(tmp_path).support(0, 0, 5)) == 5


def test_a_folder_without_characters_says_what_to_put_where(tmp_path: Path):
    with pytest.raises(ValueError, match=r"omniglot; `tegu data get characters`.*or put images_background_small1.zip"):
        Characters(tmp_path, 1)


def test_a_zip_cut_short_says_to_fetch_it_again(folder: Path, tmp_path: Path):
    whole = (folder / "omniglot" / f"{PART}.zip").read_bytes()
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / f"{PART}.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"small1.zip is not a whole zip \(.*\); fetch it again: https://raw"):
        Characters(tmp_path, 1)


def test_a_zip_whose_bytes_were_changed_says_to_fetch_it_again(folder: Path, tmp_path: Path):
    whole = bytearray((folder / "omniglot" / f"{PART}.zip").read_bytes())
    whole[whole.index(b"IDAT") + 6] ^= 255
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / f"{PART}.zip").write_bytes(whole)
    with pytest.raises(ValueError, match=r"not a whole zip \(Bad CRC-32 .*\); fetch it again"):
        made(tmp_path)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path):
    files = pictures()
    name = next(name for name in files if "Beta/character03" in name)
    packed(tmp_path, {**files, name: b"not a picture"})
    with pytest.raises(ValueError, match=rf"{name} is not a picture"):
        made(tmp_path)


def test_a_missing_drawing_is_told(tmp_path: Path):
    files = pictures()
    del files[next(name for name in files if "Gamma/character02" in name)]
    with pytest.raises(ValueError, match="Gamma/character02 has 19 drawings, expected 20"):
        made(packed(tmp_path, files))


def test_an_alphabet_with_too_few_characters_is_refused(folder: Path):
    with pytest.raises(ValueError, match="Alpha has 6 characters, too few to tell 7 apart"):
        made(folder, ways=7)


def test_an_unknown_preprocessing_is_refused(folder: Path):
    with pytest.raises(ValueError, match="no preprocessing 'sharp'; there are: raw, norm"):
        made(folder, preprocessing="sharp")


def test_without_pillow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(characters, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"characters need Pillow; install it with: pip install 'tegu\[experiments\]'"):
        made(folder)


# --- Omniglot itself ---


@pytest.fixture
def data() -> Path:
    given = os.environ.get("TEGU_DATA")
    if given:
        return Path(given)
    sentence = "TEGU_DATA is not set; get Omniglot with: tegu data get characters --to DIR, then TEGU_DATA=DIR"
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def test_the_alphabets_have_as_many_characters_as_were_published(data: Path):
    places = alphabets(data)
    found = {name: characters.load(places[name], name, "raw").shape[:2] for name in TRAIN + TEST}
    assert found == {
        "Balinese": (24, 20),
        "Greek": (24, 20),
        "Latin": (26, 20),
        "Korean": (40, 20),
        "Early_Aramaic": (22, 20),
    }


def test_a_published_drawing_is_as_counted_out_with_another_method(data: Path):
    place = alphabets(data)["Greek"]
    name, content = next(characters._drawings(place, "Greek"))
    dark = ~np.asarray(Image.open(io.BytesIO(content)).convert("1"))
    assert dark.shape == (105, 105) and 0.01 < dark.mean() < 0.2  # thin strokes on much paper
    enlarged = np.kron(dark, np.ones((2, 2)))  # 210 pixels: 15 a cell
    shares = enlarged.reshape(14, 15, 14, 15).mean(axis=(1, 3))
    assert name.endswith("_01.png")
    assert characters.load(place, "Greek", "raw")[0, 0] == pytest.approx(2 * np.sqrt(shares).ravel() - 0.6, abs=1e-5)


@pytest.mark.parametrize(
    ("preprocessing", "least_one_shot", "least_five_shots"), [("raw", 0.43, 0.59), ("norm", 0.84, 0.945)]
)
def test_the_nearest_mean_reaches_what_it_should(data: Path, preprocessing, least_one_shot, least_five_shots):
    case = Characters(data, 1, preprocessing)
    assert (case.train, case.test) == (TRAIN, TEST)
    episodes = case.unseen()
    assert float(np.mean([nearest_mean(episode, 5) for episode in episodes])) >= least_one_shot
    assert float(np.mean([nearest_mean(episode, 25) for episode in episodes])) >= least_five_shots


def test_no_published_drawing_is_in_support_and_query(data: Path):
    for episode in Characters(data, 2, "raw", episodes=10).unseen():
        assert not {x.tobytes() for x in episode.support.x} & {x.tobytes() for x in episode.query.x}
