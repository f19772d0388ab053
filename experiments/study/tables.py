"""What the runs of a study say: a `Row` for each algorithm, and the rows as Markdown.

A seed's value is the mean over the folds; an interval is 95 % of the mean over seeds (Student's t), the spread their
standard deviation. "To the target" is the first of a run's marks at which its score on the unseen tasks is as good as the
study's target (some 25 marks, so a rough figure); a row has it only if every seed got there, on the mean of its folds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from experiments.results import bytes_text, joules_text

from .runs import energy
from .studies import Study

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
Runs = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with half of its 95 % interval, and their standard deviation."""

    mean: float
    half: float
    spread: float


@dataclass(frozen=True)
class Reached:
    """What it took to get to the target: means over the runs. Bytes are of all devices, joules and steps of one."""

    rounds: float
    up: float
    down: float
    steps: float
    compute_joules: float
    radio_joules: float

    @property
    def joules(self) -> float:
        return self.compute_joules + self.radio_joules

    @property
    def both(self) -> float:
        return self.up + self.down


@dataclass(frozen=True)
class Row:
    """One algorithm of a study, over all its runs."""

    label: str
    title: str
    curve: dict[int, Estimate]
    worst_tenth: dict[int, float]
    repeated: Estimate | None
    target: Reached | None
    reached: tuple[int, int]  # seeds that got to the target, of how many
    up: float  # bytes of all devices over the whole run
    down: float
    algorithm_bytes: int
    device_bytes: int
    diverged: int
    spec: str
    adapt_step: float
    devices: int
    online: bool  # what real devices can do


def estimate(values: Sequence[float]) -> Estimate:
    """Of one value a seed; of one seed alone, an interval is not known."""
    if len(values) < 2:
        return Estimate(values[0], math.nan, math.nan)
    spread = stdev(values)
    return Estimate(fmean(values), STUDENT.get(len(values), 2.262) * spread / math.sqrt(len(values)), spread)


def rows(study: Study, runs: Runs) -> list[Row]:
    """A row for each label, in the order in which they come."""
    labels = dict.fromkeys(run["label"] for run in runs)
    return [row(study, [run for run in runs if run["label"] == label]) for label in labels]


def row(study: Study, runs: Runs) -> Row:
    first = runs[0]
    seeds = sorted({run["seed"] for run in runs})

    def by_seed(value: Any) -> list[float]:
        return [fmean(value(run) for run in runs if run["seed"] == seed) for seed in seeds]

    marks = [reached(study, [run for run in runs if run["seed"] == seed]) for seed in seeds]
    there = [mark for mark in marks if mark is not None]
    return Row(
        label=first["label"],
        title=first["title"],
        curve={n: estimate(by_seed(lambda run, at=at: run["curve"][at])) for at, n in enumerate(first["samples"])},
        worst_tenth={n: fmean(run["worst_tenth"][at] for run in runs) for at, n in enumerate(first["samples"])},
        repeated=estimate(by_seed(lambda run: run["repeated"])) if "repeated" in first else None,
        target=_mean(there) if there and len(there) == len(seeds) else None,
        reached=(len(there), len(seeds)),
        up=fmean(run["up"] for run in runs),
        down=fmean(run["down"] for run in runs),
        algorithm_bytes=first["algorithm_bytes"],
        device_bytes=first["device_bytes"],
        diverged=sum(run.get("diverged", 0) for run in runs),
        spec=first["spec"],
        adapt_step=first["adapt_step"],
        devices=first.get("devices", 10),
        online=first.get("online", True),
    )


def reached(study: Study, folds: Runs) -> Reached | None:
    """What the runs of one seed had taken, on the mean of the folds, when their mean score first was at the target."""
    first = folds[0]
    lower = first["score_name"] == "mean squared error"
    for marks in zip(*(run.get("history", ()) for run in folds), strict=True):
        closed, up, down, steps, score = (fmean(column) for column in zip(*marks, strict=True))
        if score <= study.target if lower else score >= study.target:
            updates = fmean(run["updates"] for run in folds) * closed / first["rounds"]
            spent = energy(first["weights"], round(steps), round(updates), round(up + down), first["devices"])
            return Reached(closed, up, down, steps / first["devices"], spent["compute"], spent["radio"])
    return None


def _mean(marks: Sequence[Reached]) -> Reached:
    return Reached(*(fmean(getattr(mark, name) for mark in marks) for name in Reached.__dataclass_fields__))


# --- as Markdown -----------------------------------------------------------------------------------------------------


def score_text(value: float, lower_is_better: bool) -> str:
    """A share in per cent with one decimal; an error with three significant digits."""
    if not lower_is_better:
        return f"{100 * value:.1f}"
    return "diverged" if value > 1e6 else f"{value:.3g}"


def curve_table(found: Sequence[Row], lower_is_better: bool) -> str:
    """The adaptation curves: mean and half of the 95 % interval."""
    samples = list(found[0].curve)
    lines = [_line(["start", *map(str, samples)]), _line(["---"] * (1 + len(samples)))]
    for one in found:
        cells = []
        for estimated in one.curve.values():
            half = "" if math.isnan(estimated.half) else f" ±{score_text(estimated.half, lower_is_better)}"
            cells.append(score_text(estimated.mean, lower_is_better) + half)
        lines.append(_line([one.title, *cells]))
    return "\n".join(lines) + "\n"


def cost_table(study: Study, found: Sequence[Row], lower_is_better: bool) -> str:
    """What it takes to get to the target, and what it takes on the device."""
    head = ["algorithm", "seeds there", "rounds", "up", "down", "both", "steps a device", "compute", "radio (BLE)"]
    head += ["RAM to learn", "RAM with our session", f"spread at {study.target_samples}"]
    lines = [_line(head), _line(["---"] * len(head))]
    for one in found:
        if one.reached[1] and one.up:
            lines.append(_line(_costs(study, one, lower_is_better)))
    return "\n".join(lines) + "\n"


def _costs(study: Study, one: Row, lower_is_better: bool) -> list[str]:
    mark = one.target
    cells = [one.title, f"{one.reached[0]} of {one.reached[1]}"]
    if mark is None:
        cells += ["-"] * 7
    else:
        cells += [f"{mark.rounds:.0f}", bytes_text(mark.up), bytes_text(mark.down), bytes_text(mark.both)]
        cells += [f"{mark.steps:,.0f}", joules_text(mark.compute_joules), joules_text(mark.radio_joules)]
    spread = one.curve[study.target_samples].spread
    cells += [bytes_text(one.algorithm_bytes), bytes_text(one.device_bytes)]
    return [*cells, "-" if math.isnan(spread) else score_text(spread, lower_is_better)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
