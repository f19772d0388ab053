"""How long the registry's questions take on a large site, and how long it takes to load one.

    python -m tests.bench.registry_scale                      # 10,000 devices, 1,000 models: under two minutes
    python -m tests.bench.registry_scale --check              # and the answers are held against plain loops
    python -m tests.bench.registry_scale --facts              # without whole Thing Descriptions: a quarter of the triples
    python -m tests.bench.registry_scale --batches            # loaded as devices come, not at once

The site is made by the rules of tests.registry_building. Its devices enter as they do in life: what each would announce is
expanded to a Thing Description and that to triples; this is part of loading. Goals: load < 60 s, each question < 200 ms, all
pairs < 10 s. A question's time is the median and the slowest over its parameters, each the fastest of five runs (others may be
busy on the machine), with the answer as Python values; the store is on disk.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pyoxigraph import NamedNode, Triple

from coordinator import matching
from coordinator.registry import Registry, Row
from coordinator.semantics import terms, things
from coordinator.semantics.terms import KINDS, term
from tests import registry_reference as reference
from tests.registry_building import SITE, TOP_1, Device, Site, site
from tests.registry_triples import fingerprint, graphs, quads

LOAD_GOAL_S, QUESTION_GOAL_MS, MATCHING_GOAL_S = 60.0, 200.0, 10.0
BATCH = 500  # graphs
TRIED, RUNS = 12, 5  # parameters of a question, and how often each
CHANNELS = {short: channel for channel, short in KINDS.items()}


@dataclass(frozen=True)
class Timed:
    """Of a question: milliseconds, and rows of its largest answer."""

    name: str
    median_ms: float
    worst_ms: float
    rows: int


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--devices", type=int, default=10_000)
    told.add_argument("--models", type=int, default=1_000)
    told.add_argument("--seed", type=int, default=0)
    told.add_argument("--check", action="store_true", help="hold the answers against plain loops")
    told.add_argument("--facts", action="store_true", help="devices without whole Thing Descriptions")
    told.add_argument("--batches", action="store_true", help="load by Registry.replace_graphs, 500 graphs a time")
    wanted = told.parse_args()
    made = site(wanted.devices, wanted.models, wanted.seed)
    print(f"{len(made.devices):,} devices, {len(made.models):,} models, {len(made.rounds):,} rounds", end="; ")
    print(f"N-Quads of their facts have SHA-256 {fingerprint(graphs(made))[:16]}")
    late = []
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder) / "registry", SITE)
        late += [_load(registry, made, wanted.facts, wanted.batches)]
        print("\n| question | median | slowest | goal | rows at most |\n| --- | ---: | ---: | ---: | ---: |")
        late += [_shown(timed) for timed in _questions(registry, made, random.Random(wanted.seed))]
        late += [_match(registry)]
        wrong = list(_check(registry, made, random.Random(wanted.seed))) if wanted.check else []
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    if wanted.check and not wrong:
        print("\nEvery answer is that of the plain loops.")
    return 1 if wrong or any(late) else 0


def _load(registry: Registry, made: Site, facts: bool, batches: bool) -> bool:
    """Whether it took too long."""
    began_s = time.perf_counter()
    every = _described(made, facts)
    if batches:
        while batch := dict(islice(every, BATCH)):
            registry.replace_graphs(batch)
    else:
        registry.store.bulk_extend(quad for name, triples in every for quad in quads({name: triples}))
    registry.store.optimize()  # else RocksDB is still at it while the questions are timed
    registry.close()
    took_s = time.perf_counter() - began_s
    print(f"{len(registry.store):,} triples loaded in {took_s:.1f} s; goal {LOAD_GOAL_S:g} s")
    return took_s > LOAD_GOAL_S


def _described(made: Site, facts: bool) -> Iterator[tuple[NamedNode, list[Triple]]]:
    """Every graph by its name."""
    every = graphs(made)
    if not facts:
        for device in made.devices:
            document = things.expand(SITE, device.name, _announcement(device))
            name = terms.device(SITE, device.name)
            del every[name]
            yield name, things.triples(document)
    yield from every.items()


def _announcement(device: Device) -> bytes:
    told: dict[str, Any] = {
        "tm": "urn:tegu:tm:device:1",
        "title": device.title,
        "model": "presence",
        "sensors": {CHANNELS[kind]: "1" for kind in sorted(device.sensors)},
        "radio": device.radio,
        "energy": device.energy,
        "firmware": device.firmware,
        "room": device.room,
    }
    sizes = {"ram": device.ram_bytes, "flash": device.flash_bytes}
    return json.dumps(told | {name: size for name, size in sizes.items() if size is not None}).encode()


# --- questions ---


def _questions(registry: Registry, made: Site, draw: random.Random) -> Iterator[Timed]:
    metric = term(TOP_1).value
    chosen = draw.sample(made.models, min(TRIED, len(made.models)))
    chosen[0] = min(
        made.models, key=lambda one: (len(one.sensors), one.needs_ram_bytes or 0)
    )  # most devices can run it
    models = [terms.model(SITE, one.name).value for one in chosen]
    devices = [terms.device(SITE, one.name).value for one in draw.sample(made.devices, TRIED)]
    rooms = [terms.room(SITE, one.name).value for one in draw.sample(made.rooms, TRIED)]
    lines = [one for one in made.models if one.version is not None]
    versions = [f"{terms.model(SITE, one.name).value}:{one.version}" for one in lines[:TRIED]]
    several = [" ".join(draw.sample(models, min(3, len(models)))) for _ in devices]
    words = ["arduino", "office 2", "hears yes", "tells what is spoken", "Arduino TinyML Kit 17", "nonesuch"]
    for question, given in (
        ("devices_that_can_run", [{"model": model} for model in models]),
        ("devices_that_can_train", [{"model": model} for model in models]),
        ("models_that_run_on", [{"device": device, "metric": metric} for device in devices]),
        ("models_that_train_on", [{"device": device, "metric": metric} for device in devices]),
        ("models_together_on_a_device", _pairs("device", devices, "models", several)),
        ("missing_sensors", _pairs("model", models, "room", rooms)),
        ("stale_devices", [{}]),
        ("lineage", [{"version": version} for version in versions]),
        ("retirement", [{"device": device} for device in devices]),
        ("text_search", [{"words": text} for text in words]),
        ("why_not", _pairs("device", devices, "model", models)),
        ("device_facts", [{"device": device} for device in devices]),
        ("device_state", [{"device": device} for device in devices]),
        ("versions_of_model", [{"model": terms.model(SITE, one.name).value} for one in lines[:TRIED]]),
    ):
        yield _timed(question, [lambda one=one, name=question: matching.answer(registry, name, **one) for one in given])


def _pairs(first: str, firsts: list[str], second: str, seconds: list[str]) -> list[dict[str, str]]:
    return [{first: one, second: other} for one, other in zip(firsts, seconds, strict=False)]


def _timed(name: str, asking: list[Callable[[], list[Row]]]) -> Timed:
    times, rows = [], 0
    for ask in asking:
        rows = max(rows, len(ask()))
        took = []
        for _ in range(RUNS):
            began_s = time.perf_counter()
            ask()
            took.append(time.perf_counter() - began_s)
        times.append(1000 * min(took))
    return Timed(name, statistics.median(times), max(times), rows)


def _shown(timed: Timed) -> bool:
    """Whether it took too long."""
    print(
        f"| {timed.name} | {timed.median_ms:.0f} ms | {timed.worst_ms:.0f} ms | {QUESTION_GOAL_MS:.0f} ms | {timed.rows:,} |"
    )
    sys.stdout.flush()
    return timed.worst_ms > QUESTION_GOAL_MS


def _match(registry: Registry) -> bool:
    began_s = time.perf_counter()
    found = matching.match(registry)
    took_s = time.perf_counter() - began_s
    pairs = int(found.runs.sum()) + int(found.trains.sum())
    print(f"| all pairs | {took_s * 1000:.0f} ms | | {MATCHING_GOAL_S * 1000:,.0f} ms | {pairs:,} |")
    return took_s > MATCHING_GOAL_S


# --- against plain loops ---


def _check(registry: Registry, made: Site, draw: random.Random) -> Iterator[str]:
    """What differs."""
    found = matching.match(registry)
    for train, pairs in (
        (False, reference.pairs_to_run(made.devices, made.models)),
        (True, reference.pairs_to_train(made.devices, made.models)),
    ):
        ours = {(_name(device), _name(model)) for model, device in found.pairs(train)}
        print(f"{len(pairs):,} pairs {'to train' if train else 'to run'} by plain loops")
        if ours != pairs:
            yield f"{len(ours ^ pairs):,} pairs, train = {train}"
    for model in draw.sample(made.models, min(TRIED, len(made.models))):
        for question, can in (("run", reference.can_run), ("train", reference.can_train)):
            rows = registry.ask(f"devices_that_can_{question}", model=terms.model(SITE, model.name))
            if {_name(row["device"]) for row in rows} != {one.name for one in made.devices if can(one, model)}:
                yield f"devices that can {question} {model.name}"
    for device in draw.sample(made.devices, TRIED):
        for question in ("run", "train"):
            rows = registry.ask(
                f"models_that_{question}_on", device=terms.device(SITE, device.name), metric=term(TOP_1)
            )
            if [_name(row["model"]) for row in rows] != reference.best_first(
                device, made.models, train=question == "train"
            ):
                yield f"models that {question} on {device.name}"
    yield from _check_losses(registry, made, found, draw)


def _check_losses(registry: Registry, made: Site, found: matching.Matching, draw: random.Random) -> Iterator[str]:
    """Of devices that are the only ones for a model, and of some others."""
    alone = [found.devices[row.argmax()] for row in found.runs if row.sum() == 1]
    chosen = set(map(_name, alone)) | {one.name for one in draw.sample(made.devices, TRIED)}
    for name in sorted(chosen):
        rows = matching.answer(registry, "retirement", device=terms.device(SITE, name))
        ours = {(row["what"].split()[-2], _name(row["thing"])) for row in rows if "no device left" in row["what"]}
        others = [one for one in made.devices if one.name != name]
        (device,) = (one for one in made.devices if one.name == name)
        theirs = {
            (verb, model.name)
            for model in made.models
            for verb, can in (("run", reference.can_run), ("train", reference.can_train))
            if can(device, model) and not any(can(one, model) for one in others)
        }
        if ours != theirs:
            yield f"what is lost with {name}"


def _name(iri: str) -> str:
    return iri.rpartition(":")[2]


if __name__ == "__main__":
    sys.exit(main())
