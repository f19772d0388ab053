"""Which device fits which model, for all of them at once: facts by questions, the join with numpy and bit masks.

10,000 devices and 1,000 models are ten million pairs: too many for the rows of one query (coordinator/queries/matching.rq, which
says the same of a small site), and little for 1,000 comparisons of arrays. The rule is that of devices_that_can_run.rq and
devices_that_can_train.rq. What a device leaves behind is worked out likewise: `answer` asks any question, that one included.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pyoxigraph import NamedNode

from .registry import Given, Registry, Row
from .semantics.terms import term

WORD_BITS = 64
NOBODY = np.iinfo(np.int64).max  # bytes that no device has
VERBS = {"run": "needsRamBytes", "train": "needsTrainingRamBytes"}
Bytes = NDArray[np.int64]
Masks = NDArray[np.uint64]  # (things, words)
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Matching:
    """IRIs of all devices that are not in quarantine, and of all models; runs and trains: bool (models, devices)."""

    devices: list[str]
    models: list[str]
    runs: Bools
    trains: Bools

    def pairs(self, train: bool = False) -> Iterator[tuple[str, str]]:
        """(model, device) of each that fit, sorted; made one by one, as they may be millions."""
        fits = self.trains if train else self.runs
        devices = np.array(sorted(range(len(self.devices)), key=self.devices.__getitem__), np.intp)
        for model in sorted(range(len(self.models)), key=self.models.__getitem__):
            for place in np.flatnonzero(fits[model, devices]):
                yield self.models[model], self.devices[devices[place]]


@dataclass(frozen=True)
class Needs:
    """Of models, by verb: the RAM to run, and to train; bytes, NOBODY: it cannot be. Flash, -1: none."""

    ram: Mapping[str, Bytes]
    flash: Bytes
    sensors: Masks


@dataclass(frozen=True)
class Offers:
    """Of devices. -1: it does not say."""

    ram: Bytes
    flash: Bytes
    sensors: Masks

    def fit(self, needs: Needs, model: int, verb: str) -> Bools:
        """Which of them can run or train a model."""
        found: Bools = self.ram >= needs.ram[verb][model]
        found &= self.flash >= needs.flash[model]
        for word, wanted in enumerate(needs.sensors[model]):
            if wanted:
                found &= (self.sensors[:, word] & wanted) == wanted
        return found


def match(registry: Registry) -> Matching:
    """Every pair that fits."""
    models, devices = registry.ask("requirements"), registry.ask("capabilities")
    kinds = sorted({kind for model in models for kind in (model["sensors"] or "").split()})
    bits = {kind: bit for bit, kind in enumerate(kinds)}
    needs, offers = _needs(models, bits), _offers(devices, bits)
    runs, trains = (np.zeros((len(models), len(devices)), bool) for _ in VERBS)
    for model in range(len(models)):
        runs[model], trains[model] = (offers.fit(needs, model, verb) for verb in VERBS)
    return Matching([row["device"] for row in devices], [row["model"] for row in models], runs, trains)


def answer(registry: Registry, question: str, most: int | None = None, /, **given: Given) -> list[Row]:
    """The answer to a question of coordinator/queries, as Registry.ask gives it, but complete also where a query is too slow:
    `retirement` tells as well for which models no device is left (`model has no device left to run it`, `... to train it`).

    most: of `matching`, whose rows may be millions, no more than so many; None: all.
    """
    if question == "matching" and not given:
        return _matching(registry, most)
    rows = registry.ask(question, **given)
    if question == "retirement":
        device = given["device"]
        rows += _left_behind(registry, device if isinstance(device, NamedNode) else NamedNode(str(device)))
    return rows


def _matching(registry: Registry, most: int | None) -> list[Row]:
    """The first rows of `matching`."""
    found = match(registry)
    runs = ((*pair, "run") for pair in found.pairs())
    trains = ((*pair, "train") for pair in found.pairs(train=True))
    rows = islice(heapq.merge(runs, trains), most)
    return [{"model": model, "device": device, "can": verb} for model, device, verb in rows]


def _left_behind(registry: Registry, device: NamedNode) -> list[Row]:
    """A row of `retirement` for each model that nobody else can run, or train.

    Nearly always one of the largest devices can, which is soon asked; only for the models that are left all are looked through.
    """
    ram, flash = (registry.facts(device, term(fact)) for fact in ("tegu:ramBytes", "tegu:flashBytes"))
    if not ram or registry.facts(device, term("tegu:quarantined")):
        return []
    kinds = sorted(set(registry.facts(device, term("tegu:sensor"))))
    bits = {kind: bit for bit, kind in enumerate(kinds)}
    models = registry.ask("requirements")
    needs = _needs(models, bits)
    largest = [row for row in registry.ask("largest_devices") if row["device"] != device.value]
    enough = needs.flash <= max(flash, default=-1)
    able = [
        (verb, model) for verb in VERBS for model in np.flatnonzero(enough & (needs.ram[verb] <= max(ram))).tolist()
    ]
    missed = _unfit(_offers(largest, bits), needs, able, 0)
    if missed:
        places = {str(place): place - 1 for place in range(1, len(kinds) + 1)}
        everyone = _offers(registry.ask("of_its_sensors", device=device), places)
        missed = _unfit(everyone, needs, missed, 1)  # itself
    what = {verb: f"model has no device left to {verb} it" for verb in VERBS}
    return [
        {"what": what[verb], "thing": models[number]["model"], "sensor": None, "left": 0} for verb, number in missed
    ]


def _unfit(offers: Offers, needs: Needs, wanted: Sequence[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Of (verb, model), those that at most so many devices fit."""
    return [(verb, number) for verb, number in wanted if np.count_nonzero(offers.fit(needs, number, verb)) <= most]


def _needs(models: Sequence[Row], bits: Mapping[str, int]) -> Needs:
    """Of rows of requirements.rq. bits: of the kinds of sensors that there are; what needs another cannot be."""
    ram = _bytes(models, "needsRamBytes", NOBODY)
    ram[[not bits.keys() >= set((model["sensors"] or "").split()) for model in models]] = NOBODY
    training = np.maximum(ram, _bytes(models, "needsTrainingRamBytes", NOBODY))
    flash = _bytes(models, "needsFlashBytes", -1)
    flash[flash == 0] = -1
    return Needs({"run": ram, "train": training}, flash, _masks(models, bits))


def _offers(devices: Sequence[Row], bits: Mapping[str, int]) -> Offers:
    """Of rows of capabilities.rq, or of_its_sensors.rq."""
    return Offers(_bytes(devices, "ramBytes", -1), _bytes(devices, "flashBytes", -1), _masks(devices, bits))


def _bytes(rows: Sequence[Row], fact: str, unsaid: int) -> Bytes:
    return np.array([unsaid if row[fact] is None else row[fact] for row in rows], np.int64)


def _masks(rows: Sequence[Row], bits: Mapping[str, int]) -> Masks:
    """A bit for each of a row's sensors that has one."""
    made = np.zeros((len(rows), len(bits) // WORD_BITS + 1), np.uint64)
    known: dict[str, list[int]] = {"": [0] * made.shape[1]}
    for number, row in enumerate(rows):
        text = row["sensors"] or ""
        if text not in known:
            known[text] = [0] * made.shape[1]
            for kind in bits.keys() & set(text.split()):
                known[text][bits[kind] // WORD_BITS] |= 1 << bits[kind] % WORD_BITS
        made[number] = known[text]
    return made
