"""A study's figures as SVG: adaptation curves, and the score against the bytes and the energy spent on the way."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "tegu", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)

from matplotlib import pyplot as plt  # noqa: E402

from .runs import energy  # noqa: E402
from .studies import Study  # noqa: E402
from .tables import Row, Runs  # noqa: E402

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f", "#8c564b", "#bcbd22")
DASHES = ("-", "--", "-.", ":")


def curves(path: Path, found: Sequence[Row], score_name: str) -> None:
    """Adaptation curves with their 95 % intervals, a symlog axis of samples."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for at, one in enumerate(found):
        samples = list(one.curve)
        mean = [one.curve[n].mean for n in samples]
        half = [one.curve[n].half for n in samples]
        style: dict[str, Any] = {
            "color": COLOURS[at % len(COLOURS)],
            "linestyle": DASHES[at // len(COLOURS) % len(DASHES)],
        }
        axes.errorbar(samples, mean, half, label=one.title, marker="o", markersize=3, capsize=2, linewidth=1.2, **style)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(samples, [str(n) for n in samples])
    axes.minorticks_off()
    axes.set_xlabel("samples learned online on an unseen task")
    _scale(axes, score_name)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def on_the_way(path: Path, study: Study, runs: Runs) -> None:
    """The score at the target's number of samples against the bytes of both ways, and against a device's energy."""
    figure, both = plt.subplots(1, 2, figsize=(10, 4.0), sharey=True)
    labels = dict.fromkeys(run["label"] for run in runs if run.get("history"))
    for at, label in enumerate(labels):
        own = [run for run in runs if run["label"] == label]
        for axes, x in zip(both, (_bytes, _joules), strict=True):
            xs = [fmean(x(run, row) for run, row in _rows_at(own, n)) for n in range(len(own[0]["history"]))]
            ys = [fmean(row[4] for _, row in _rows_at(own, n)) for n in range(len(own[0]["history"]))]
            style: dict[str, Any] = {
                "color": COLOURS[at % len(COLOURS)],
                "linestyle": DASHES[at // len(COLOURS) % len(DASHES)],
            }
            axes.plot(xs, ys, label=own[0]["title"], linewidth=1.2, **style)
    for axes, name in zip(both, ("bytes up and down, all devices", "joules of one device, modelled, BLE"), strict=True):
        axes.set_xscale("log")
        axes.axhline(study.target, color="#999999", linewidth=0.8)
        axes.set_xlabel(name)
    _scale(both[0], f"{runs[0]['score_name']}, {study.target_samples} samples")
    both[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def sweep(path: Path, lines: dict[str, list[tuple[float, float, float]]], x_name: str, score_name: str) -> None:
    """Lines of (x, score, half of its interval), x logarithmic."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for at, (label, points) in enumerate(lines.items()):
        xs, ys, halves = zip(*points, strict=True)
        style: dict[str, Any] = {"color": COLOURS[at % len(COLOURS)], "marker": "o", "markersize": 3, "capsize": 2}
        axes.errorbar(xs, ys, halves, label=label, linewidth=1.2, **style)
    axes.set_xscale("log")
    axes.set_xlabel(x_name)
    _scale(axes, score_name)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def _rows_at(runs: Runs, n: int) -> list[tuple[dict[str, Any], list[float]]]:
    return [(run, run["history"][n]) for run in runs]


def _bytes(_: dict[str, Any], row: Sequence[float]) -> float:
    return row[1] + row[2]


def _joules(run: dict[str, Any], row: Sequence[float]) -> float:
    updates = round(run["updates"] * row[0] / run["rounds"])
    return sum(energy(run["weights"], int(row[3]), updates, int(row[1] + row[2]), run["devices"]).values())


def _scale(axes: Any, score_name: str) -> None:
    axes.set_ylabel(score_name)
    if score_name.startswith("mean squared error"):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.005), min(high, 50))


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
