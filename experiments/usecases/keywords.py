"""Keywords: spoken digits, a device is a speaker. The Free Spoken Digit Dataset: 8 kHz, ten digits, 50 recordings each.

A device learns from what one person says. The unseen task is a person who never took part, from all of whose recordings
a few are learned and the rest scored. Two readings of it: `digits`, where a word means the same to everyone, and
`random labels`, where each round five of the words get the labels 0 to 4 in a new order, as in few-shot learning.
The features are those of tegu.speech, computed here for all recordings at once.
"""

import io
import re
import wave
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.usecases import Episode, Floats, Samples, UseCase
from tegu.speech import CENTRES, EMPHASIS, FLOOR, gain, mel_edges

RATE_HZ = 8000
FRAME, FRAMES, FILTERS, COEFFICIENTS, TRIM = 128, 20, 16, 13, 0.005  # as tegu.speech.Mfcc has them
WORDS = 10
WAYS = 5  # of random labels
SAMPLES = {"digits": (0, 1, 2, 4, 8, 10, 16, 20, 32, 50, 100), "random labels": (0, 1, 2, 4, 5, 8, 10, 16, 25, 32)}
SPLITS = {"digits": 10, "random labels": 20}
TRIMS, WARPS = (TRIM, TRIM / 10, 6 * TRIM), (1.0, 0.95, 1.05)  # the first are the plain ones
NO_DEVICE = 1 << 32  # in the place of a device's number, in seeds
GET = "get the spoken digits with: tegu data get keywords --to DIR, then TEGU_DATA=DIR"
NAME = re.compile(r"(?:.*/)?recordings/(\d)_([^/]+)_(\d+)\.wav")
Mode = Literal["digits", "random labels"]
Wave = NDArray[np.int16]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Recording:
    digit: int
    speaker: str
    number: int
    samples: Wave


# --- recordings ------------------------------------------------------------------------------------------------------


def load(folder: Path) -> list[Recording]:
    """All recordings, by speaker, digit and number: of fsdd/recordings in the folder, else of fsdd/recordings.zip.

    The files are {digit}_{speaker}_{number}.wav, of any speakers; others are passed over. FileNotFoundError if there are
    none, ValueError if one is not 8 kHz, 16 bits, mono.
    """
    found = []
    for name, content in _files(folder / "fsdd"):
        named = NAME.fullmatch(name)
        if named:
            found.append(Recording(int(named[1]), named[2], int(named[3]), _wave(name, content)))
    if not found:
        raise FileNotFoundError(f"{folder / 'fsdd'} has no recordings/DIGIT_SPEAKER_NUMBER.wav; {GET}")
    return sorted(found, key=lambda each: (each.speaker, each.digit, each.number))


def _files(at: Path) -> Iterator[tuple[str, bytes]]:
    if (at / "recordings").is_dir():
        for path in sorted((at / "recordings").glob("*.wav")):
            yield f"recordings/{path.name}", path.read_bytes()
    elif (at / "recordings.zip").is_file():
        try:
            with zipfile.ZipFile(at / "recordings.zip") as packed:
                for name in packed.namelist():
                    if name.endswith(".wav"):
                        yield name, packed.read(name)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{at / 'recordings.zip'} is damaged ({error}); {GET}") from error


def _wave(name: str, content: bytes) -> Wave:
    try:
        with wave.open(io.BytesIO(content)) as opened:
            form = opened.getframerate(), opened.getnchannels(), 8 * opened.getsampwidth()
            data = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{name} cannot be read ({error}); {GET}") from error
    if form != (RATE_HZ, 1, 16):
        raise ValueError(
            f"{name} has {form[0]} Hz, {form[1]} channels, {form[2]} bits; convert it to 8000 Hz, 1 and 16"
        )
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
    if len(samples) < FRAME or samples.min() == samples.max():
        raise ValueError(f"{name} is silent or shorter than {FRAME} samples; take it away or record it again")
    return samples


# --- features --------------------------------------------------------------------------------------------------------


def features_many(recordings: Sequence[Wave], trim: float = TRIM, warps: Sequence[float] = (1.0,)) -> Floats:
    """float32 (warps, recordings, 260): what tegu.speech.Mfcc(trim=trim, warp=warp) makes of each recording at 8 kHz.

    ValueError with its index for a recording that is too short or silent.
    """
    frames = np.stack([_frames(index, samples, trim) for index, samples in enumerate(recordings)])
    power = np.abs(np.fft.rfft(frames * np.hamming(FRAME))) ** 2
    return np.stack([_cepstra(power @ _bank(warp)) for warp in warps]).astype(np.float32)


def _frames(index: int, samples: Wave, trim: float) -> NDArray[np.float64]:
    """20 frames of 128 samples, spread evenly over the loud part, with the high tones raised."""
    chunk = RATE_HZ // 100
    centred = samples - samples.mean() if len(samples) >= FRAME else np.zeros(FRAME)
    energy = np.square(centred[: len(centred) // chunk * chunk]).reshape(-1, chunk).sum(axis=1)
    if not energy.max() > 0.0:
        raise ValueError(f"recording {index} is silent or shorter than {FRAME} samples; leave it out")
    loud = np.flatnonzero(energy > trim * energy.max())
    start = min(int(loud[0]) * chunk, len(samples) - FRAME)
    end = max(int(loud[-1] + 1) * chunk, start + FRAME)
    starts = start + np.arange(FRAMES) * (end - start - FRAME) // (FRAMES - 1)
    before = np.concatenate((centred[:1], centred[:-1]))
    raised: NDArray[np.float64] = (centred - EMPHASIS * before)[starts[:, None] + np.arange(FRAME)]
    return raised


def _bank(warp: float) -> NDArray[np.float64]:
    """The filters' weights, (65 bins, 16)."""
    edges = np.array(mel_edges(FILTERS, warp))
    hertz = np.arange(FRAME // 2 + 1)[:, None] * RATE_HZ / FRAME
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    weights: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return weights


def _cepstra(bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """(recordings, 260) from the power in each band, (recordings, 20, 16)."""
    logarithms = np.log(np.maximum(bands, FLOOR * bands.max(axis=(1, 2), keepdims=True)))
    c, m = np.arange(COEFFICIENTS)[:, None], np.arange(FILTERS)
    cepstra = logarithms @ (np.sqrt(2.0 / FILTERS) * np.cos(np.pi * c * (m + 0.5) / FILTERS)).T
    cepstra = (cepstra - [CENTRES.get(i, 0.0) for i in range(COEFFICIENTS)]) * [gain(i) for i in range(COEFFICIENTS)]
    cepstra[:, :, 0] -= cepstra[:, :, 0].mean(axis=1, keepdims=True)
    flat: NDArray[np.float64] = cepstra.reshape(len(bands), -1)
    return flat


# --- the use case ----------------------------------------------------------------------------------------------------


class Keywords(UseCase):
    """folder: as of TEGU_DATA. leave_out: the speaker that takes no part, by name or by number in alphabetical order.

    Without leave_out everyone is a device and nobody is unseen. varied: in the rounds each recording is trimmed at one of
    three thresholds and heard through one of three filter banks, drawn anew (after vocal tract length perturbation, N.
    Jaitly, G. Hinton 2013), so that few speakers stand for more. Unseen tasks are never varied.
    ValueError if a speaker has too few recordings of a word, leave_out is not among the speakers, or nobody is left.
    """

    name = "keywords"
    score_name = "accuracy"

    def __init__(
        self, folder: Path, seed: int, leave_out: str | int | None = None, mode: Mode = "digits", varied: bool = True
    ) -> None:
        if mode not in SAMPLES:
            raise ValueError(f"the mode is one of {', '.join(SAMPLES)}, not {mode!r}")
        recordings = load(folder)
        names = sorted({each.speaker for each in recordings})
        self.left_out = _named(names, leave_out)
        self.speakers = [name for name in names if name != self.left_out]
        if not self.speakers:
            raise ValueError(f"nobody is left without {self.left_out}; add recordings of another speaker")
        self.devices = len(self.speakers)
        self.seed, self.mode = seed, mode
        classes = WORDS if mode == "digits" else WAYS
        self.title = "Spoken digits" if mode == "digits" else "Five spoken words, labelled anew"
        self.spec = f"{FRAMES * COEFFICIENTS} | dense 64 tanh | dense {classes} softmax"
        self.samples = SAMPLES[mode]
        self.data_note = _note(self.speakers, self.left_out, varied)
        self._rows = {name: _rows_of(recordings, name) for name in names}
        self._check_counts()
        self._x = _variants(recordings, TRIMS if varied else TRIMS[:1], WARPS if varied else WARPS[:1])

    def support(self, device: int, round_num: int, count: int) -> Samples:
        """Classes in turn, in a new order each turn; no recording comes twice before all of its class were used."""
        random = np.random.default_rng((self.seed, device, round_num))
        rows, labels = _in_turn(random, self._rows[self.speakers[device]], self._words(random), count)
        return Samples(self._x[random.integers(len(self._x), size=count), rows], labels)

    def unseen(self) -> list[Episode]:
        """The left-out speaker's recordings, split at random several times; the query has all that the support has not."""
        if self.left_out is None:
            return []
        return [self._episode(self.left_out, split) for split in range(SPLITS[self.mode])]

    def _episode(self, speaker: str, split: int) -> Episode:
        random = np.random.default_rng((self.seed, NO_DEVICE, split))
        words = self._words(random)
        rows, labels = _in_turn(random, self._rows[speaker], words, self.samples[-1])
        rest = [np.setdiff1d(self._rows[speaker][word], rows) for word in words]
        query = Samples(
            self._x[0, np.concatenate(rest)], np.repeat(np.arange(len(words)), [len(each) for each in rest])
        )
        return Episode(f"{speaker}, split {split}", Samples(self._x[0, rows], labels), query)

    def _words(self, random: np.random.Generator) -> Indices:
        """The digit that each label stands for."""
        return np.arange(WORDS) if self.mode == "digits" else random.permutation(WORDS)[:WAYS]

    def _check_counts(self) -> None:
        for name, rows in self._rows.items():
            least = (
                -(-self.samples[-1] // (WORDS if self.mode == "digits" else WAYS)) + 1 if name == self.left_out else 1
            )
            for digit, each in enumerate(rows):
                if len(each) < least:
                    raise ValueError(
                        f"{name} has {len(each)} recordings of the digit {digit} and needs {least}; "
                        f"add some, or take this speaker's files away"
                    )


def _named(names: list[str], wanted: str | int | None) -> str | None:
    if wanted is None or wanted in names:
        return wanted if wanted is None else str(wanted)
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return names[wanted]
    raise ValueError(f"no speaker {wanted!r} to leave out; there are, from 0: {', '.join(names)}")


def _note(speakers: list[str], left_out: str | None, varied: bool) -> str:
    note = f"Recorded spoken digits (Free Spoken Digit Dataset): {', '.join(speakers)} took part"
    note += "." if left_out is None else f", {left_out} did not."
    return note + " In the rounds their recordings were trimmed and warped at random." if varied else note


def _rows_of(recordings: list[Recording], speaker: str) -> list[Indices]:
    """Of each digit, the places of the speaker's recordings."""
    found = [(each.digit, at) for at, each in enumerate(recordings) if each.speaker == speaker]
    return [np.array([at for digit, at in found if digit == wanted], np.int64) for wanted in range(WORDS)]


def _variants(recordings: list[Recording], trims: Sequence[float], warps: Sequence[float]) -> Floats:
    """(variants, recordings, 260), the plain ones first."""
    waves = [each.samples for each in recordings]
    return np.concatenate([features_many(waves, trim, warps) for trim in trims])


def _in_turn(random: np.random.Generator, rows: list[Indices], words: Indices, count: int) -> tuple[Indices, Indices]:
    """(rows, labels) of `count` recordings: every label once, in a new order, then every label once again."""
    pools = [random.permutation(rows[word]) for word in words]
    turns = [random.permutation(len(words)) for _ in range(-(-count // len(words)))]
    chosen = [(pools[label][at % len(pools[label])], label) for at, turn in enumerate(turns) for label in turn][:count]
    both = np.array(chosen, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
