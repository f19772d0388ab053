"""Handwritten characters: five of a kind never seen, told apart after a few drawings of each. Omniglot at 14x14.

Data: B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum: Human-level concept learning through probabilistic program induction.
Science 350 (2015) 1332-1338. Each character was drawn once by each of twenty people, as a 105x105 picture of one bit.

TinyReptile (arXiv 2304.05201) and TinyMetaFed (2307.06822) name the task. Size, preprocessing, models and the split into
devices are our choice. A device has one alphabet, and at each round other characters of it under other labels: what is
shared is how to tell characters apart, never which ones.

Both preprocessings end in x = 2 * sqrt(ink) - 0.6: the square root keeps thin strokes. Initializations learned with it
adapted better than with ink in 0..1 or in -1..1.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.results import ScoreName

from . import Episode, Floats, Samples, UseCase

Drawn = NDArray[np.float32]  # (character, drawer, inputs): an alphabet

SIDE = 14
DRAWERS = 20
SUPPORT_DRAWERS = 15  # of an unseen task; the others' drawings are its query
MLP = "196 | dense 64 tanh | dense 64 tanh | dense 5 softmax"  # 17,093 parameters
CNN = "14x14x1 | conv 8 3x3 stride 2 same relu | conv 16 3x3 stride 2 same relu | dense 24 tanh | dense 5 softmax"  # 7,541
TRAIN, TEST = ("Balinese", "Greek", "Latin"), ("Korean", "Early_Aramaic")  # the default, where all five are
UNSEEN_PART = 0.4  # of the alphabets, where they are not
PARTS = ("images_background_small1", "images_background_small2", "images_background", "images_evaluation")
ADDRESS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"


# --- one picture -----------------------------------------------------------------------------------------------------

RADIUS = 4.5  # r.m.s. distance of the ink from its centre, in cells
CELLS = np.arange(SIDE, dtype=np.float32)
CENTRE = (SIDE - 1) / 2
BLUR = np.asarray(np.eye(SIDE) / 2 + np.eye(SIDE, k=1) / 4 + np.eye(SIDE, k=-1) / 4, np.float32)


def raw(ink: Floats) -> Floats:
    """A picture (height, width) of ink 1 on paper 0 as 196 inputs, -0.6 to 1.4: the share of ink in each cell."""
    rows, columns = (_shares(length) for length in ink.shape)
    return _scaled(rows @ ink @ columns.T)


def norm(ink: Floats) -> Floats:
    """The same, but the ink's centre of mass goes to the middle and its r.m.s. radius to RADIUS; ink beyond is cut off.

    What a board can do in two passes over the ink and with no more than the 196 cells: the first sums up places and
    their squares, the second adds each ink pixel to the four cells around where it goes. Then [1 2 1] / 4 down and
    across, and the darkest cell is 1. Ink is never enlarged, a dot stays a dot. Paper without ink is all -0.6.
    """
    y, x = np.nonzero(ink > 0.5)
    if not len(y):
        return _scaled(np.zeros((SIDE, SIDE), np.float32))
    y, x = y - y.mean(), x - x.mean()
    scale = RADIUS / max(RADIUS, float(np.sqrt(np.mean(y * y + x * x))))
    cells = BLUR @ (_near(CENTRE + scale * y) @ _near(CENTRE + scale * x).T) @ BLUR
    return _scaled(cells / cells.max())


def _scaled(cells: NDArray[Any]) -> Floats:
    return np.asarray(2 * np.sqrt(cells) - 0.6, np.float32).ravel()


def _shares(length: int) -> Floats:
    """(SIDE, length): the part of each cell that each pixel covers; a row's sum is 1."""
    edges = np.arange(SIDE + 1) * length / SIDE
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(covered, 0) * SIDE / length, np.float32)


def _near(places: NDArray[np.float64]) -> Floats:
    """(SIDE, pixels): 1 in the cell where a pixel is, falling to 0 at a cell's distance."""
    return np.asarray(np.maximum(0, 1 - np.abs(CELLS[:, None] - places)), np.float32)


Preprocessing = Literal["raw", "norm"]
PREPARE: dict[Preprocessing, Callable[[Floats], Floats]] = {"raw": raw, "norm": norm}


# --- the files -------------------------------------------------------------------------------------------------------


def alphabets(folder: Path) -> dict[str, Path]:
    """The alphabets there are, by name, and the zip or unpacked folder in folder/omniglot that has each.

    Raises ValueError saying what to put where if there is none, or if a zip cannot be read.
    """
    found: dict[str, Path] = {}
    for part in PARTS:
        for place in (folder / "omniglot" / f"{part}.zip", folder / "omniglot" / part):
            if place.exists():
                found |= {name.split("/")[1]: place for name in _names(place) if name.split("/")[1] not in found}
    if not found:
        raise ValueError(
            f"no handwritten characters in {folder / 'omniglot'}; `tegu data get characters` fetches them, "
            f"or put {PARTS[0]}.zip there from {ADDRESS}/{PARTS[0]}.zip"
        )
    return dict(sorted(found.items()))


def load(place: Path, alphabet: str, preprocessing: Preprocessing) -> Drawn:
    """An alphabet of that zip or folder, (characters, DRAWERS, 196), in the files' order. ValueError naming a bad file."""
    characters: dict[str, list[Floats]] = {}
    for name, png in _drawings(place, alphabet):
        characters.setdefault(name.split("/")[2], []).append(PREPARE[preprocessing](_ink(f"{place}: {name}", png)))
    for character, drawings in characters.items():
        if len(drawings) != DRAWERS:
            raise ValueError(f"{place}: {alphabet}/{character} has {len(drawings)} drawings, expected {DRAWERS}")
    return np.array(list(characters.values()), np.float32)


def _names(place: Path) -> list[str]:
    """PART/Alphabet/characterNN/XXXX_YY.png, in order."""
    if place.is_dir():
        names = [path.relative_to(place.parent).as_posix() for path in place.glob("*/*/*.png")]
    else:
        with _unpacked(place) as packed:
            names = packed.namelist()
    return sorted(name for name in names if _is_drawing(name.split("/"), place.stem))


@contextmanager
def _unpacked(place: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(place) as packed:
            yield packed
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{place} is not a whole zip ({error}); fetch it again: {ADDRESS}/{place.name}") from error


def _is_drawing(words: list[str], part: str) -> bool:
    return len(words) == 4 and words[0] == part and words[2].startswith("character") and words[3].endswith(".png")


def _drawings(place: Path, alphabet: str) -> Iterator[tuple[str, bytes]]:
    names = [name for name in _names(place) if name.split("/")[1] == alphabet]
    if place.is_dir():
        yield from ((name, (place.parent / name).read_bytes()) for name in names)
        return
    with _unpacked(place) as packed:
        yield from ((name, packed.read(name)) for name in names)


def _ink(name: str, png: bytes) -> Floats:
    """The picture as float32 (height, width): 1 where it is dark, 0 elsewhere."""
    if find_spec("PIL") is None:
        raise ValueError("characters need Pillow; install it with: pip install 'tegu[experiments]'")
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as picture:
            return np.asarray(np.asarray(picture.convert("L")) < 128, np.float32)
    except (OSError, SyntaxError) as error:  # the latter for a broken PNG
        raise ValueError(f"{name} is not a picture ({error})") from error


# --- the use case ----------------------------------------------------------------------------------------------------

ROUND, UNSEEN, SPLIT = 0, 1, 2  # the streams of random numbers of one seed


class Characters(UseCase):
    """`ways` characters of one alphabet a device. folder: that of recorded data, with omniglot/ in it.

    train, test: names of alphabets; without one of them it is all the others, without both the split of split().
    rotations: a device's character may be turned by 90, 180 or 270 degrees, which makes another character of it. Unseen
    ones are never turned. episodes: how many unseen tasks. Raises ValueError as alphabets() and load() do, and for a
    split that cannot be.
    """

    name = "characters"
    title = "Five handwritten characters never seen"
    score_name: ScoreName = "accuracy"
    samples = (0, 1, 2, 4, 5, 8, 10, 16, 25, 32)

    def __init__(
        self,
        folder: Path,
        seed: int,
        preprocessing: Preprocessing = "norm",
        train: tuple[str, ...] | None = None,
        test: tuple[str, ...] | None = None,
        ways: int = 5,
        devices: int = 10,
        rotations: bool = False,
        episodes: int = 100,
    ) -> None:
        if preprocessing not in PREPARE:
            raise ValueError(f"no preprocessing {preprocessing!r}; there are: {', '.join(PREPARE)}")
        places = alphabets(folder)
        self.seed, self.ways, self.devices, self.rotations, self.episodes = seed, ways, devices, rotations, episodes
        self.train, self.test = split(tuple(places), seed, train, test)
        self.spec = f"{MLP.rpartition('|')[0]}| dense {ways} softmax"
        self.data_note = self._note(preprocessing)
        self._drawn = {name: load(places[name], name, preprocessing) for name in self.train + self.test}
        for name, drawn in self._drawn.items():
            if len(drawn) < ways:
                raise ValueError(f"{name} has {len(drawn)} characters, too few to tell {ways} apart")

    def _note(self, preprocessing: str) -> str:
        turned = ", some of them turned" if self.rotations else ""
        return (
            f"Omniglot, real handwriting ({preprocessing}); {self.devices} simulated devices with one alphabet each, device "
            f"n the n-th in turn of {', '.join(self.train)}{turned}. No device has {', '.join(self.test)}."
        )

    def support(self, device: int, round_num: int, count: int) -> Samples:
        """Classes in turn; no drawing twice before all of its character's have been given."""
        random = np.random.default_rng((self.seed, ROUND, device, round_num))
        drawn = self._drawn[self.train[device % len(self.train)]]
        rows = []
        for character in random.choice(len(drawn), self.ways, replace=False):
            turns = int(random.integers(4)) if self.rotations else 0
            rows.append(_turned(drawn[character, random.permutation(DRAWERS)], turns))
        return _in_turn(np.stack(rows), count)

    def unseen(self) -> list[Episode]:
        """The drawers of a query drew nothing of its support, whose drawers come in another order for each character."""
        return [self._episode(number) for number in range(self.episodes)]

    def _episode(self, number: int) -> Episode:
        random = np.random.default_rng((self.seed, UNSEEN, number, 0))
        name = self.test[number % len(self.test)]
        drawn = self._drawn[name][random.choice(len(self._drawn[name]), self.ways, replace=False)]
        drawers = random.permutation(DRAWERS)
        teachers, others = drawers[:SUPPORT_DRAWERS], drawers[SUPPORT_DRAWERS:]
        support = np.stack([character[random.permutation(teachers)] for character in drawn])
        query = drawn[:, others]
        return Episode(
            f"{name} {number}",
            _in_turn(support, self.ways * len(teachers)),
            _in_turn(query, self.ways * len(others)),
        )


def split(
    there: tuple[str, ...], seed: int, train: tuple[str, ...] | None = None, test: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The alphabets that take part and the unseen ones. Without wishes: TRAIN and TEST if all are there, else by seed.

    Raises ValueError for an alphabet that is not there, that is wished for twice, or if one of the two has none.
    """
    if unknown := [name for name in (train or ()) + (test or ()) if name not in there]:
        raise ValueError(f"no alphabet {', '.join(unknown)}; there are: {', '.join(there)}")
    if train is None and test is None:
        if set(TRAIN + TEST) <= set(there):
            return TRAIN, TEST
        mixed = [str(name) for name in np.random.default_rng((seed, SPLIT, 0, 0)).permutation(sorted(there))]
        test = tuple(sorted(mixed[: max(1, round(UNSEEN_PART * len(mixed)))]))
    train = tuple(name for name in there if name not in (test or ())) if train is None else train
    test = tuple(name for name in there if name not in train) if test is None else test
    if not train or not test or len(set(train + test)) < len(train + test):
        raise ValueError(
            f"alphabets that take part ({', '.join(train)}) and unseen ones ({', '.join(test)}) must differ"
        )
    return train, test


def nearest_mean(episode: Episode, samples: int) -> float:
    """Accuracy of the nearest class mean of the inputs, after the first `samples` of the support: the least to beat."""
    x, y = episode.support.x[:samples], episode.support.y[:samples]
    classes = np.unique(y)
    means = np.stack([x[y == label].mean(axis=0) for label in classes])
    distances = np.square(episode.query.x[:, None] - means).sum(axis=2)
    return float(np.mean(classes[distances.argmin(axis=1)] == episode.query.y))


def _turned(drawings: Floats, turns: int) -> Floats:
    """Drawings (n, 196) turned by that many quarters."""
    return np.rot90(drawings.reshape(-1, SIDE, SIDE), turns, (1, 2)).reshape(drawings.shape)


def _in_turn(drawn: Drawn, count: int) -> Samples:
    """`count` samples out of (classes, drawings, inputs): labels 0, 1, 2, ... in turn; from the start again at the end."""
    number = np.arange(count)
    label = number % len(drawn)
    return Samples(drawn[label, number // len(drawn) % drawn.shape[1]], label.astype(np.int64))
