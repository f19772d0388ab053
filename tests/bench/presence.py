"""Presence in real rooms that never took part: every recorded room is left out once, for several seeds.

    TEGU_DATA=folder python tests/bench/presence.py [--seeds 5] [--rounds 120] [--init-codec int8]

The federation runs in memory through the real sessions, coordinator and wire (experiments/simulation.py), with the demo's
settings. Printed: balanced accuracy in per cent on the query days of the room left out, mean over the seeds.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from edge_agents import datasets
from edge_agents.agent import make_source
from experiments.fedavg import train
from experiments.results import Curve
from experiments.scoring import SAMPLES, adaptation_curve
from experiments.simulation import Simulation
from experiments.tasks import TASKS, Cast, presence, settings_of, split
from tegu.model import Model

TASK = TASKS["presence"]
DOWN_BYTES: list[int] = []  # that a device received, by run


def leave_one_out(folder: Path, room: int, seed: int, rounds: int, init_codec: str) -> tuple[Cast, list[Curve]]:
    """The curves of Tegu, FedAvg and a random start on recorded room number `room`."""
    cast = presence(8, seed, folder, room)
    learning, model = TASK.learning, Model(TASK.spec)
    settings = settings_of(TASK, seed=seed, devices=8, rounds=rounds)
    settings = replace(settings, model=replace(settings.model, init_codec=init_codec))
    sources = {f"device-{n + 1}": make_source(*split(text)) for n, text in enumerate(cast.devices)}
    simulation = Simulation(settings, sources)
    ours = simulation.run()
    DOWN_BYTES.append(simulation.sessions["device-1"].bytes["model_down"])
    first = model.initial(seed, learning.first_bias)
    fresh = [make_source(*split(text)) for text in cast.devices]
    step, passes = learning.inner_step_size, learning.fedavg_passes
    averaged = train(model, first, fresh, max(1, rounds // passes), learning.samples, step, passes)
    scratch = model.initial(seed + 1, learning.first_bias)
    starts = (("Tegu", ours, step), ("FedAvg", averaged, step), ("random start", scratch, learning.scratch_step))
    return cast, [
        adaptation_curve(label, model, weights, size, cast.unseen, TASK.score_name) for label, weights, size in starts
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=TASK.learning.rounds)
    parser.add_argument("--init-codec", default="int8", choices=("f32", "f16", "int8"))
    options = parser.parse_args()
    folder = datasets.find("presence")
    if folder is None:
        sys.stderr.write("the recorded rooms are not here: tegu data get presence, or set TEGU_DATA\n")
        return 1
    print(f"| room left out | start | {' | '.join(map(str, SAMPLES))} |")
    print("|---|---|" + "---|" * len(SAMPLES))
    totals: dict[str, list[list[float]]] = {}
    for room in range(3):
        found: dict[str, list[list[float]]] = {}
        for seed in range(options.seeds):
            cast, curves = leave_one_out(folder, room, seed, options.rounds, options.init_codec)
            for curve in curves:
                found.setdefault(curve.label, []).append(list(curve.score))
        for label, rows in found.items():
            totals.setdefault(label, []).extend(rows)
            print(line(cast.unseen[0]().name, label, rows), flush=True)
    for label, rows in totals.items():
        print(line("mean", label, rows))
    for label, rows in totals.items():
        print(line("worst run", label, rows, min))
        print(line("worst change", label, [[score - row[0] for score in row] for row in rows], min))
    print(f"\nA device received {max(DOWN_BYTES):,} bytes at most, with the initialization as {options.init_codec}.")
    return 0


def line(room: str, label: str, rows: list[list[float]], of: Callable[[Sequence[float]], float] = fmean) -> str:
    values = [100 * of(column) for column in zip(*rows, strict=True)]
    return f"| {room} | {label} | {' | '.join(f'{value:.1f}' for value in values)} |"


if __name__ == "__main__":
    sys.exit(main())
