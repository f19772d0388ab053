"""Which algorithm to deploy within a budget: reads the results that `tegu experiment compare` wrote, decides nothing new.

Of the algorithms that fit the budget the one with the best score on unseen tasks is recommended; whatever is within its 95 %
interval and costs fewer bytes goes before it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.results import bytes_text, joules_text

CHECKOUT = Path(__file__).resolve().parent.parent.parent / "docs" / "results"
HERE = CHECKOUT if CHECKOUT.is_dir() else Path(__file__).resolve().parent / "results"  # the wheel carries a copy


@dataclass(frozen=True)
class Budget:
    """Of the whole training: bytes both ways and joules of one device to the target, RAM of a device. None: no limit."""

    bytes: float | None = None
    joules: float | None = None
    ram: float | None = None


def load(folder: Path, task: str) -> dict[str, Any]:
    """The summary of a task. ValueError if there is none."""
    path = folder / f"{task}.json"
    if not path.exists():
        raise ValueError(f"no results for {task!r} in {folder}; make them with: tegu experiment compare {task}")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def fits(row: dict[str, Any], budget: Budget) -> str:
    """Why a row does not fit; empty if it does."""
    target = row["target"]
    if not row["up"]:
        return "is a reference, not a federation"
    if not row["online"]:
        return "needs a round's samples kept, which only simulated devices do"
    if target is None:
        return "does not get to the target with every seed"
    both = (target["up"] + target["down"]) / row["devices"]
    joules = target["compute_joules"] + target["radio_joules"]
    if budget.bytes is not None and both > budget.bytes:
        return f"takes {bytes_text(both)} a device"
    if budget.joules is not None and joules > budget.joules:
        return f"takes {joules_text(joules)} a device"
    if budget.ram is not None and row["device_bytes"] > budget.ram:
        return f"takes {bytes_text(row['device_bytes'])} of RAM"
    return ""


def recommend(summary: dict[str, Any], budget: Budget) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """(the row to deploy, None if none fits; why each other row was not taken)."""
    at, lower = str(summary["target_samples"]), summary["lower_is_better"]
    why: dict[str, str] = {}
    good = []
    for row in summary["rows"]:
        if reason := fits(row, budget):
            why[row["title"]] = reason
        else:
            good.append(row)
    if not good:
        return None, why
    best = min(good, key=lambda row: row["curve"][at]["mean"] * (1 if lower else -1))
    half = best["curve"][at]["half"] or 0.0
    near = [row for row in good if abs(row["curve"][at]["mean"] - best["curve"][at]["mean"]) <= half]
    chosen = min(near, key=lambda row: row["target"]["up"] + row["target"]["down"])
    for row in good:
        if row is not chosen:
            alike = "is as good within the interval, for more bytes" if row in near else "fits, and scores worse"
            why[row["title"]] = alike
    return chosen, why


def told(chosen: dict[str, Any], summary: dict[str, Any]) -> str:
    """A recommendation in words, with the figures behind it."""
    target, at = chosen["target"], str(summary["target_samples"])
    estimate = chosen["curve"][at]
    return (
        f"Deploy {chosen['title']}.\n"
        f"  settings: {chosen['settings']}\n"
        f"  score on unseen tasks after {at} samples, at the end of the run: {estimate['mean']:.4g} (95 % interval ±{estimate['half'] or 0:.2g})\n"
        f"  to the target ({summary['target']:g} after {at} samples): {target['rounds']:.0f} rounds, all devices together "
        f"{bytes_text(target['up'])} up and {bytes_text(target['down'])} down\n"
        f"  a device, modelled: {joules_text(target['compute_joules'])} compute, {joules_text(target['radio_joules'])} radio "
        f"(BLE); {bytes_text(chosen['device_bytes'])} of RAM\n"
    )
