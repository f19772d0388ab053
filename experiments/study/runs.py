"""Runs of a study: one algorithm, fold and seed each, kept as JSON files. What is there is not run again.

A run's file carries a hash of its settings, recipe and study, and of the recorded data where that is not the published one,
so a changed number is run anew; changed code is not seen (raise FORMAT). Runs
go side by side in processes, each with one thread; a run that was cut off leaves no file and starts again.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.settings import Settings, to_toml
from experiments import fleet
from experiments.fleet.simulation import FleetSimulation
from experiments.usecases import Episode, UseCase
from experiments.usecases.characters import nearest_mean
from tegu.energy import modelled
from tegu.model import Model

from .adapting import adapted, pooled, repeated, way_of
from .memory import memory_of
from .studies import Recipe, Study

FORMAT = 2  # of a run's file, and of what it counts
MARKS = 20  # of a run at which it is scored on its way
SCRATCH_SEED = 1000


@dataclass(frozen=True)
class Job:
    """One run. rounds 0: as the recipe says; label: the recipe's key, or what a sweep calls it."""

    study: Study
    label: str
    recipe: Recipe
    seed: int
    fold: int
    rounds: int = 0
    data: str = ""  # what tells other recorded data from the published one

    def settings(self) -> Settings:
        return self.study.settings(self.recipe, self.seed, self.rounds)

    def key(self) -> str:
        """A hash of what the run's result depends on."""
        told = [FORMAT, to_toml(self.settings()), repr(self.recipe), self.study.name, self.fold, self.seed]
        told += [repr((self.study.target_samples, self.study.scratch_steps, self.study.shots))]
        told += [self.data] if self.data else []
        told += ["both kinds of random weights"] if not self.recipe.federated else []
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def run_job(job: Job, folder: Path | None) -> dict[str, Any]:
    """What came of a run, ready for JSON. folder: of the real data."""
    started_s = time.perf_counter()
    use_case = job.study.make(folder, job.seed, job.fold)
    settings = job.settings()
    quorum = min(settings.rounds.quorum, use_case.devices)  # a round waits for all that there are
    settings = replace(settings, rounds=replace(settings.rounds, quorum=quorum))
    found: dict[str, Any] = {
        "study": job.study.name,
        "label": job.label,
        "title": job.recipe.title,
        "seed": job.seed,
        "fold": job.fold,
        "key": job.key(),
        "data": use_case.data_note,
        "samples": list(use_case.samples),
        "weights": Model(settings.model.spec).size,
        "spec": settings.model.spec,
        "online": settings.model.online,
        "devices": use_case.devices,
    }
    if job.recipe.federated:
        found |= _federated(job, use_case, settings)
    else:
        found |= _alone(job, use_case, settings)
    found["seconds"] = round(time.perf_counter() - started_s, 2)
    return found


def _federated(job: Job, use_case: UseCase, settings: Settings) -> dict[str, Any]:
    simulation = FleetSimulation(settings, use_case, job.seed)
    total = settings.rounds.rounds
    marks = {max(1, round(total * (n + 1) / MARKS)) for n in range(MARKS)}
    marks |= {max(1, round(total / 2**n)) for n in range(4, 9)}
    history, episodes = [], use_case.unseen()
    target = (job.study.target_samples,)
    for closed in simulation.run():
        if closed in marks:
            score = _curve(job, use_case, episodes, simulation.model, simulation.initialization, settings, target)
            history.append([closed, simulation.counts.up, simulation.counts.down, simulation.counts.steps, *score])
    counts, devices = simulation.counts, use_case.devices
    memory = memory_of(simulation.model, settings.model)
    return {
        **_scores(job, use_case, simulation.model, simulation.initialization, settings),
        "history": history,
        "rounds": total,
        "bytes": counts.bytes,
        "up": counts.up,
        "down": counts.down,
        "updates": counts.updates,
        "samples_seen": counts.samples,
        "steps": counts.steps,
        "diverged": counts.diverged,
        "late": counts.late,
        "energy": energy(simulation.model.size, counts.steps, counts.updates, counts.up + counts.down, devices),
        "algorithm_bytes": memory.algorithm_bytes,
        "device_bytes": memory.device_bytes,
    }


def energy(weights: int, steps: int, updates: int, both_ways: int, devices: int) -> dict[str, float]:
    """Modelled joules of one device on average, over BLE, whose sessions cost nothing of their own (tegu.energy).

    Every update is charged its selection and coding, also a dense one; decoding what comes down is not charged to anyone.
    """
    spent = modelled(weights, steps, updates, both_ways, updates, "ble")
    return {"compute": spent.compute_joules / devices, "radio": spent.radio_joules / devices}


def _alone(job: Job, use_case: UseCase, settings: Settings) -> dict[str, Any]:
    """Scratch and pooled: no federation. Both get their best step, scratch also its better kind of random weights, chosen
    on the scored tasks themselves, which flatters them."""
    model = Model(settings.model.spec)
    memory = memory_of(model, settings.model)
    costs = {"algorithm_bytes": memory.algorithm_bytes, "device_bytes": memory.device_bytes, "up": 0, "down": 0}
    best: dict[str, Any] = {}
    if job.recipe.nearest:
        return costs | _nearest(use_case)
    for start in _starts(job, use_case, model, settings):
        for step in job.study.scratch_steps:
            recipe = replace(job.recipe, adapt_step=step)
            scores = _scores(replace(job, recipe=recipe), use_case, model, start, settings)
            at = use_case.samples.index(job.study.target_samples)
            if not best or _better(use_case, scores["curve"][at], best["curve"][at]):
                best = scores | {"adapt_step": step}
    return costs | best


def _nearest(use_case: UseCase) -> dict[str, Any]:
    """No learning at all: the nearest class mean of the inputs. Without a sample it can only guess."""
    episodes = use_case.unseen()
    scores = [[nearest_mean(one, n) if n else 1 / len(set(one.query.y)) for one in episodes] for n in use_case.samples]
    curve = [float(np.mean(row)) for row in scores]
    worst = [float(np.percentile(row, 10)) for row in scores]
    named = {"score_name": use_case.score_name, "adapt_step": 0.0, "algorithm_bytes": 0, "device_bytes": 0}
    return {**named, "curve": curve, "worst_tenth": worst, "loss": [0.0 for _ in curve]}


def _starts(job: Job, use_case: UseCase, model: Model, settings: Settings) -> list[fleet.Floats]:
    told = settings.model
    kinds = [told.initial == "fan-in"] if job.recipe.steps else [False, True]
    random = [
        np.frombuffer(model.initial(job.seed + SCRATCH_SEED, told.first_bias, fan_in), dtype=np.float32)
        for fan_in in kinds
    ]
    if not job.recipe.steps:
        return random
    return [pooled(model, random[0], use_case, job.recipe.steps, told.inner_step_size, job.seed, fleet.kernel())]


def _better(use_case: UseCase, one: float, other: float) -> bool:
    return one < other if use_case.score_name == "mean squared error" else one > other


def _curve(
    job: Job,
    use_case: UseCase,
    episodes: Sequence[Episode],
    model: Model,
    start: fleet.Floats,
    settings: Settings,
    samples: tuple[int, ...],
) -> list[float]:
    found = adapted(model, start, use_case, episodes, way_of(job.recipe, settings.model), fleet.kernel(), samples)
    return [_finite(value) for value in found.mean()]


def _scores(job: Job, use_case: UseCase, model: Model, start: fleet.Floats, settings: Settings) -> dict[str, Any]:
    way = way_of(job.recipe, settings.model)
    episodes = use_case.unseen()
    curve = adapted(model, start, use_case, episodes, way, fleet.kernel())
    worst = 90 if use_case.score_name == "mean squared error" else 10
    found = {
        "score_name": use_case.score_name,
        "adapt_step": way.step,
        "curve": [_finite(value) for value in curve.mean()],
        "loss": [_finite(float(value)) for value in curve.loss.mean(axis=1)],
        "worst_tenth": [_finite(float(value)) for value in np.percentile(curve.score, worst, axis=1)],
    }
    shots, steps = job.study.shots
    if shots:
        again = repeated(model, start, use_case, episodes, way, fleet.kernel(), shots, steps)
        found["repeated"] = _finite(float(again.mean()))
    return found


def _finite(value: float) -> float:
    """JSON has no infinity: what diverged counts as a very large number."""
    return float(value) if math.isfinite(value) else 1e9


# --- many runs -------------------------------------------------------------------------------------------------------


def path_of(job: Job, kept: Path) -> Path:
    return kept / job.study.name / f"{job.label}-fold{job.fold}-seed{job.seed}-{job.key()}.json"


def run_all(
    jobs: Sequence[Job], kept: Path, folder: Path | None, processes: int, done: Callable[[Job, dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """The results of all jobs, in their order; those not in the folder `kept` are run, `processes` side by side."""
    missing = [job for job in jobs if not path_of(job, kept).exists()]
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if missing:
        with ProcessPoolExecutor(max_workers=processes) as pool:
            waiting = {pool.submit(run_job, job, folder): job for job in missing}
            for ready in as_completed(waiting):
                job, found = waiting[ready], ready.result()
                save(path_of(job, kept), found)
                done(job, found)
    return [json.loads(path_of(job, kept).read_text(encoding="utf-8")) for job in jobs]


def save(path: Path, found: dict[str, Any]) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found) + "\n", encoding="utf-8")
    part.replace(path)
