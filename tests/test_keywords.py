"""Spoken digits as a use case: who hears what, what nobody may see twice, and the features against those of a board."""

import math
import os
import wave
import zipfile
from array import array
from pathlib import Path

import numpy as np
import pytest

from experiments.usecases.keywords import TRIMS, WARPS, Keywords, Samples, features_many, load
from tegu.model import Model
from tegu.speech import Mfcc

EACH = 12  # recordings of a digit in the made-up set


def spoken(digit: int, voice: float, number: int) -> bytes:
    """A made-up word: a tone of its own for every digit and voice, each time of another length and hiss."""
    rng = np.random.default_rng((digit, int(100 * voice), number))
    t = np.arange(1600 + 80 * number) / 8000
    sound = np.sin(2 * math.pi * (300 + 250 * digit) * voice * t) * np.hanning(len(t)) + rng.normal(0, 0.01, len(t))
    return (8000 * sound).astype("<i2").tobytes()


def write(path: Path, samples: bytes, rate_hz: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three made-up speakers, ann, bob and cem, with 12 recordings of each digit."""
    at = tmp_path_factory.mktemp("data")
    for name, voice in (("ann", 1.1), ("bob", 0.9), ("cem", 1.0)):
        for digit in range(10):
            for number in range(EACH):
                write(at / f"fsdd/recordings/{digit}_{name}_{number}.wav", spoken(digit, voice, number))
    return at


def rows(samples: Samples) -> list[bytes]:
    return [row.tobytes() for row in samples.x]


def rows_of(folder: Path, speaker: str) -> dict[bytes, int]:
    """The plain features of all of a speaker's recordings, with the digit."""
    of_speaker = [each for each in load(folder) if each.speaker == speaker]
    x = features_many([each.samples for each in of_speaker])[0]
    return {row.tobytes(): each.digit for row, each in zip(x, of_speaker, strict=True)}


# --- who takes part ---


def test_the_speaker_left_out_is_never_in_the_rounds_and_alone_in_the_unseen_tasks(folder: Path) -> None:
    case = Keywords(folder, 1, "bob", varied=False)
    bob = rows_of(folder, "bob")
    assert case.speakers == ["ann", "cem"]
    assert case.devices == 2
    for device, name in enumerate(case.speakers):
        heard = {row for round_num in range(5) for row in rows(case.support(device, round_num, 60))}
        assert heard <= set(rows_of(folder, name))
        assert not heard & set(bob)
    for episode in case.unseen():
        assert {*rows(episode.support), *rows(episode.query)} == set(bob)


def test_no_recording_is_in_both_support_and_query(folder: Path) -> None:
    episodes = Keywords(folder, 1, "bob").unseen()
    assert len(episodes) == 10
    for episode in episodes:
        support, query = rows(episode.support), rows(episode.query)
        assert (len(support), len(query)) == (100, 10 * EACH - 100)
        assert len({*support, *query}) == 10 * EACH
    assert len({rows(episode.support)[0] for episode in episodes}) > 5  # each splits anew


def test_a_speaker_is_left_out_by_name_or_by_number(folder: Path) -> None:
    assert Keywords(folder, 0, 2).left_out == "cem"
    everyone = Keywords(folder, 0)
    assert (everyone.devices, everyone.left_out, everyone.unseen()) == (3, None, [])
    for unknown in ("dan", 3, -1):
        with pytest.raises(ValueError, match=r"no speaker .* to leave out; there are, from 0: ann, bob, cem"):
            Keywords(folder, 0, unknown)


# --- the order of the samples ---


def test_a_round_has_its_classes_in_turn_with_their_right_labels(folder: Path) -> None:
    case = Keywords(folder, 3, "bob", varied=False)
    ann = rows_of(folder, "ann")
    given = case.support(0, 7, 35)
    assert given.x.shape == (35, 260)
    assert (given.x.dtype, given.y.dtype) == (np.float32, np.int64)
    assert all(sorted(given.y[at : at + 10]) == list(range(10)) for at in (0, 10, 20))
    assert len(set(given.y[30:])) == 5
    assert [ann[row] for row in rows(given)] == list(given.y)


def test_no_recording_comes_twice_before_all_of_its_word_were_used(folder: Path) -> None:
    given = Keywords(folder, 3, "bob", varied=False).support(1, 0, 10 * EACH + 10)
    assert len(set(rows(given)[: 10 * EACH])) == 10 * EACH
    assert set(rows(given)[10 * EACH :]) < set(rows(given)[: 10 * EACH])


def test_the_same_seed_device_and_round_give_the_same_and_others_do_not(folder: Path) -> None:
    first, again = Keywords(folder, 5, "bob"), Keywords(folder, 5, "bob")
    here = first.support(0, 9, 20)
    first.support(1, 3, 20)
    assert rows(here) == rows(again.support(0, 9, 20)) == rows(first.support(0, 9, 20))
    for other in (again.support(0, 10, 20), again.support(1, 9, 20), Keywords(folder, 6, "bob").support(0, 9, 20)):
        assert rows(here) != rows(other)
    for mine, yours in zip(first.unseen(), again.unseen(), strict=True):
        assert (mine.name, rows(mine.support), rows(mine.query)) == (yours.name, rows(yours.support), rows(yours.query))


def test_varied_recordings_are_heard_at_other_trims_and_warps_and_unseen_ones_are_plain(folder: Path) -> None:
    case = Keywords(folder, 0, "bob")
    waves = [each.samples for each in load(folder) if each.speaker == "ann"]
    heard = set(rows(case.support(0, 0, 120)))
    of_variant = [{row.tobytes() for row in each} for trim in TRIMS for each in features_many(waves, trim, WARPS)]
    assert len(of_variant) == 9
    assert heard <= set().union(*of_variant)
    assert all(heard & each for each in of_variant)
    assert all(set(rows(episode.support)) <= set(rows_of(folder, "bob")) for episode in case.unseen())


# --- random labels ---


def test_random_labels_mean_the_same_within_a_round_and_something_else_in_the_next(folder: Path) -> None:
    case = Keywords(folder, 2, "bob", mode="random labels", varied=False)
    ann = rows_of(folder, "ann")
    meanings = set()
    for round_num in range(6):
        given = case.support(0, round_num, 20)
        digits = [ann[row] for row in rows(given)]
        meaning = dict(zip(given.y.tolist(), digits, strict=True))
        assert sorted(meaning) == list(range(5))
        assert len(set(meaning.values())) == 5
        assert [meaning[label] for label in given.y.tolist()] == digits
        meanings.add(tuple(meaning[label] for label in range(5)))
    assert len(meanings) == 6


def test_an_unseen_task_of_random_labels_scores_the_words_it_was_taught(folder: Path) -> None:
    case = Keywords(folder, 2, "bob", mode="random labels")
    bob = rows_of(folder, "bob")
    for episode in case.unseen():
        taught = {
            (label, bob[row]) for label, row in zip(episode.support.y.tolist(), rows(episode.support), strict=True)
        }
        asked = {(label, bob[row]) for label, row in zip(episode.query.y.tolist(), rows(episode.query), strict=True)}
        assert taught == asked
        assert len(taught) == 5
        assert not set(rows(episode.support)) & set(rows(episode.query))
        assert (len(episode.support), len(episode.query)) == (32, 5 * EACH - 32)


def test_the_model_fits_the_samples_of_either_mode(folder: Path) -> None:
    digits, labels = Keywords(folder, 0, "bob"), Keywords(folder, 0, "bob", "random labels")
    assert (Model(digits.spec).inputs, Model(digits.spec).classes, Model(digits.spec).size) == (260, 10, 17354)
    assert Model(labels.spec).classes == 5
    assert digits.samples[-1] == len(digits.unseen()[0].support) == 100
    assert labels.samples[-1] == len(labels.unseen()[0].support) == 32


# --- features ---


def agree(waves: list[np.ndarray]) -> None:
    for trim, warp in ((TRIMS[0], 1.0), (TRIMS[1], WARPS[1]), (TRIMS[2], WARPS[2])):
        mfcc = Mfcc(trim=trim, warp=warp)
        for samples, row in zip(waves, features_many(waves, trim, (warp,))[0], strict=True):
            assert list(mfcc.features(array("h", samples.tobytes()))) == pytest.approx(row.tolist(), rel=1e-4, abs=1e-4)


def test_all_at_once_makes_the_features_that_a_board_makes(folder: Path) -> None:
    agree([each.samples for each in load(folder)][::20])


def test_words_at_the_edges_of_a_recording_have_the_features_that_a_board_makes() -> None:
    click = np.zeros(900, np.int16)
    click[850:] = 1000  # in the last hundredth of a second that is whole, and behind it
    shortest = np.arange(128, dtype=np.int16) ** 2 % 501
    agree([click, click[::-1].copy(), shortest, np.where(np.arange(777) < 700, 3, 9000).astype(np.int16)])


def test_silence_is_refused_with_the_number_of_the_recording() -> None:
    with pytest.raises(ValueError, match="recording 1 is silent or shorter than 128 samples"):
        features_many([np.arange(900, dtype=np.int16), np.full(900, 7, np.int16)])


# --- the files ---


def test_a_zip_serves_as_well_as_its_folder_also_one_of_the_whole_repository(folder: Path, tmp_path: Path) -> None:
    for inside in ("", "free-spoken-digit-dataset-1.0.10/"):
        at = tmp_path / (inside or "plain")
        (at / "fsdd").mkdir(parents=True)
        with zipfile.ZipFile(at / "fsdd/recordings.zip", "w") as packed:
            for path in sorted((folder / "fsdd/recordings").glob("*_ann_*.wav"), reverse=True):
                packed.write(path, f"{inside}recordings/{path.name}")
            packed.writestr(f"{inside}recordings/readme.wav", "not a recording")
            packed.writestr(f"{inside}README.md", "not a recording")
        found = [(each.digit, each.number, each.samples.tobytes()) for each in load(at)]
        assert found == [(digit, number, spoken(digit, 1.1, number)) for digit in range(10) for number in range(EACH)]


@pytest.mark.parametrize(
    ("rate_hz", "channels", "samples", "sentence"),
    [
        (16000, 1, spoken(1, 1.0, 0), "16000 Hz, 1 channels, 16 bits; convert it to 8000 Hz, 1 and 16"),
        (8000, 2, spoken(1, 1.0, 0), "8000 Hz, 2 channels"),
        (8000, 1, bytes(3200), "is silent or shorter than 128 samples; take it away or record it again"),
        (8000, 1, spoken(1, 1.0, 0)[:200], "is silent or shorter than 128 samples"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named(
    tmp_path: Path, rate_hz: int, channels: int, samples: bytes, sentence: str
) -> None:
    write(tmp_path / "fsdd/recordings/1_ann_0.wav", samples, rate_hz, channels)
    with pytest.raises(ValueError, match=f"recordings/1_ann_0.wav .*{sentence}"):
        load(tmp_path)


def test_a_damaged_recording_or_zip_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd/recordings.zip").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"recordings.zip is damaged .*tegu data get keywords"):
        load(tmp_path)
    write(tmp_path / "fsdd/recordings/1_ann_0.wav", spoken(1, 1.0, 0))
    (tmp_path / "fsdd/recordings/2_ann_0.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"recordings/2_ann_0.wav cannot be read .*tegu data get keywords"):
        load(tmp_path)


def test_a_folder_without_recordings_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"DIGIT_SPEAKER_NUMBER\.wav; get the spoken digits with: tegu data get keywords"
    ):
        Keywords(tmp_path, 0)


def test_a_speaker_with_too_few_recordings_is_named_with_the_digit(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        for digit in range(10):
            for number in range(10):
                write(tmp_path / f"fsdd/recordings/{digit}_{name}_{number}.wav", spoken(digit, 1.0, number))
    assert Keywords(tmp_path, 0).devices == 2
    with pytest.raises(ValueError, match="bob has 10 recordings of the digit 0 and needs 11; add some"):
        Keywords(tmp_path, 0, "bob")
    assert Keywords(tmp_path, 0, "bob", "random labels").devices == 1  # 7 in the support, at least one in the query
    for path in (tmp_path / "fsdd/recordings").glob("*_bob_*.wav"):
        path.unlink()
    with pytest.raises(ValueError, match="nobody is left without ann; add recordings of another speaker"):
        Keywords(tmp_path, 0, "ann")


def test_an_unknown_mode_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="the mode is one of digits, random labels, not 'words'"):
        Keywords(folder, 0, "bob", "words")  # type: ignore[arg-type]


# --- the recorded digits themselves ---


@pytest.fixture
def data() -> Path:
    given = os.environ.get("TEGU_DATA")
    if given:
        return Path(given)
    sentence = "TEGU_DATA is not set; get the spoken digits with: tegu data get keywords --to DIR, then TEGU_DATA=DIR"
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def test_the_recorded_digits_are_50_of_each_by_each_speaker(data: Path) -> None:
    found = [(each.speaker, each.digit) for each in load(data)]
    assert {"george", "jackson", "nicolas", "theo"} <= {speaker for speaker, _ in found}
    assert {found.count(each) for each in set(found)} == {50}


def test_recorded_words_have_the_features_that_a_board_makes(data: Path) -> None:
    agree([each.samples for each in load(data)][::50])


def test_an_unseen_speakers_words_lie_near_those_of_the_others(data: Path) -> None:
    """The nearest class mean of the others' words, without any learning, is right for most (of ten) on each speaker."""
    scores = []
    for left_out in ("george", "jackson", "nicolas", "theo"):
        case = Keywords(data, 0, left_out, varied=False)
        heard = [case.support(device, 0, 500) for device in range(case.devices)]
        x, y = np.concatenate([each.x for each in heard]), np.concatenate([each.y for each in heard])
        means = np.stack([x[y == digit].mean(axis=0) for digit in range(10)])
        query = case.unseen()[0].query
        nearest = np.square(query.x[:, None] - means).sum(axis=2).argmin(axis=1)
        scores.append(float((nearest == query.y).mean()))
    assert min(scores) > 0.55
    assert sum(scores) / len(scores) > 0.68
