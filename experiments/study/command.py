"""`tegu experiment`: simulated federations, the comparison of all algorithms, and which of them to deploy."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from coordinator.algorithms import ALGORITHMS
from edge_agents import datasets
from experiments.results import bytes_text, joules_text, seconds_text

from .studies import STUDIES, Recipe, Study

KEPT = Path("results") / "runs"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(arguments: list[str]) -> int:
    """`tegu experiment list | run | compare | ablation | sweep | results | recommend`."""
    for name in THREADS:  # runs go side by side; a library's own threads would only get in their way
        os.environ.setdefault(name, "1")
    options = _parser().parse_args(arguments)
    try:
        status: int = options.does(options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu experiment: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; what is finished is kept, and is not run again\n")
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tegu experiment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="the tasks and their algorithms").set_defaults(does=_list)
    _add_run(commands.add_parser("run", help="one simulated federation"))
    for name, does, about in (
        ("compare", _compare, "every algorithm of a task: tables, plots, claims"),
        ("ablation", _ablation, "TinyMetaFed with one ingredient changed at a time"),
        ("sweep", _sweep, "over P, with and without residual, with 1 and 10 devices a round"),
    ):
        one = commands.add_parser(name, help=about)
        one.add_argument("task", choices=list(STUDIES))
        _add_many(one)
        one.set_defaults(does=does)
    everything = commands.add_parser("results", help="all of the results folder")
    _add_many(everything)
    everything.set_defaults(does=_results)
    _add_recommend(commands.add_parser("recommend", help="which algorithm, P, model and steps to deploy"))
    return parser


def _add_run(one: argparse.ArgumentParser) -> None:
    one.add_argument("task", choices=list(STUDIES))
    one.add_argument("algorithm", nargs="?", default="tinymetafed", help="default: tinymetafed; see `list`")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--fold", type=int, default=0, help="which room, speaker, ... is left out")
    one.add_argument("--rounds", type=int, default=0, help="default: the study's")
    one.add_argument("--devices", type=int, default=0, help="simulated devices; default: the study's")
    one.add_argument("--join", type=float, default=100.0, metavar="PERCENT", help="of the devices that are in a round")
    one.add_argument("--quorum", type=int, default=0, help="updates that close a round; default: the study's")
    one.add_argument("--dropout", type=float, default=0.0, help="chance that a device in a round is never heard of")
    one.add_argument("--spread", type=float, default=0.0, help="how unequal the devices' times are (log-normal)")
    one.add_argument("--top-p", type=float, metavar="PERCENT")
    one.add_argument("--top-p-down", type=float, metavar="PERCENT")
    one.add_argument("--kernel", default="", help="numba, numpy or python; default: the quickest there is")
    one.add_argument("--snapshot", type=Path, help="keep the run here as it goes, and go on from there")
    one.add_argument("--out", type=Path, help="write the initialization as raw float32")
    one.set_defaults(does=_run)


def _add_many(one: argparse.ArgumentParser) -> None:
    one.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default: 5)")
    one.add_argument("--rounds", type=int, default=0, help="fewer rounds, for a quick look; default: each recipe's")
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs side by side; default: one a core")
    one.add_argument("--out", type=Path, default=Path("results"), help="folder for tables and plots (default: results)")
    one.add_argument("--kept", type=Path, default=KEPT, help=f"folder of finished runs (default: {KEPT})")


def _add_recommend(one: argparse.ArgumentParser) -> None:
    from .recommend import HERE

    one.add_argument("--task", required=True, choices=list(STUDIES))
    one.add_argument("--budget-bytes", type=float, help="a device, both ways, until the target")
    one.add_argument("--budget-joules", type=float, help="a device, compute and BLE, until the target")
    one.add_argument("--ram", type=float, help="bytes of a device")
    one.add_argument("--results", type=Path, default=HERE, help="folder of `tegu experiment compare`")
    one.set_defaults(does=_recommend)


def folder_of(study: Study) -> Path | None:
    """Where the study's recorded data is: the known files, or whatever TEGU_DATA holds instead."""
    if not study.data:
        return None
    found = datasets.find(study.data)
    if found is None and os.environ.get("TEGU_DATA") and study.needs_data:
        return datasets.folder()
    return found


def other_data(study: Study, folder: Path | None) -> str:
    """Names and sizes of recorded data that is not the published one; empty of that, and of no data."""
    if folder is None or datasets.find(study.data, folder) is not None:
        return ""
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in sorted(folder.rglob("*")) if path.is_file())


# --- one run ---------------------------------------------------------------------------------------------------------


def _list(_: argparse.Namespace) -> int:
    for study in STUDIES.values():
        data = "" if not study.data else f"  (data: tegu data get {study.data})"
        sys.stdout.write(f"{study.name}: {study.title}{data}\n")
        for label, recipe in study.recipes.items():
            told = ALGORITHMS[study.settings(recipe, 0).rounds.algorithm]
            does = f" ({told.devices})" if recipe.federated else ""
            sys.stdout.write(f"  {label:18} {recipe.title}{does}\n")
    return 0


def _recipe(study: Study, name: str) -> Recipe:
    if name not in study.recipes:
        raise ValueError(f"{study.name} has no algorithm {name!r}; there are {', '.join(study.recipes)}")
    return study.recipes[name]


def _run(options: argparse.Namespace) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from experiments.fleet import kernel
    from experiments.fleet.simulation import FleetSimulation, Trouble

    study = STUDIES[options.task]
    recipe = _recipe(study, options.algorithm)
    if not recipe.federated:
        raise ValueError(f"{options.algorithm} is no federation; `tegu experiment compare {study.name}` has it")
    use_case = study.make(folder_of(study), options.seed, options.fold)
    if options.devices:
        use_case = use_case.with_devices(options.devices)
    settings = study.settings(recipe, options.seed, options.rounds)
    changes = {name: value for name in ("top_p", "top_p_down") if (value := getattr(options, name)) is not None}
    quorum = options.quorum or min(settings.rounds.quorum, use_case.devices)
    settings = replace(
        settings,
        model=replace(settings.model, **changes),
        rounds=replace(settings.rounds, quorum=quorum, join_percent=options.join),
    )
    trouble = Trouble(options.dropout, options.spread)
    kept = options.snapshot if options.snapshot and options.snapshot.with_suffix(".npz").exists() else None
    simulation = FleetSimulation(settings, use_case, options.seed, trouble, kernel(options.kernel), kept)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        line = bar.add_task(
            f"{study.name} {options.algorithm}", total=settings.rounds.rounds, completed=simulation.closed
        )
        for closed in simulation.run():
            bar.update(line, completed=closed)
            if options.snapshot and closed % 50 == 0:
                simulation.save(options.snapshot)
    if options.snapshot:
        simulation.save(options.snapshot)
    _tell(recipe, simulation)
    if options.out:
        options.out.write_bytes(simulation.initialization.tobytes())
        sys.stdout.write(f"initialization: {options.out} ({simulation.model.spec})\n")
    return 0


def _tell(recipe: Recipe, simulation: Any) -> None:
    from experiments.fleet import kernel
    from experiments.study.adapting import adapted, way_of

    from .runs import energy

    use_case, counts, rules = simulation.use_case, simulation.counts, simulation.settings.model
    way = way_of(recipe, rules)
    curve = adapted(simulation.model, simulation.initialization, use_case, use_case.unseen(), way, kernel())
    sys.stdout.write(f"{use_case.data_note}\n{use_case.score_name} after n samples on tasks that no device has seen:\n")
    for n, value in zip(curve.samples, curve.mean(), strict=True):
        sys.stdout.write(f"  {n:4}  {value:.4f}\n")
    spent = energy(simulation.model.size, counts.steps, counts.updates, counts.up + counts.down, use_case.devices)
    sys.stdout.write(
        f"{simulation.closed} rounds, {counts.updates} updates ({counts.late} not accepted, {counts.diverged} diverged), "
        f"{seconds_text(simulation.clock_s)} of simulated time\n"
        f"all devices: up {bytes_text(counts.up)}, down {bytes_text(counts.down)} "
        f"({', '.join(f'{kind} {bytes_text(count)}' for kind, count in counts.bytes.items() if count)})\n"
        f"one device, modelled: compute {joules_text(spent['compute'])}, radio (BLE) {joules_text(spent['radio'])}\n"
    )


# --- many runs -------------------------------------------------------------------------------------------------------


def _many(options: argparse.Namespace, study: Study, recipes: dict[str, Recipe]) -> list[dict[str, Any]]:
    """All runs of these recipes, with a line for each as it is done."""
    from .runs import Job, path_of, run_all

    folder = folder_of(study)
    study.make(folder, 0, 0)  # missing data is told now, not after hours
    told = other_data(study, folder)
    jobs = [
        Job(study, label, recipe, seed, fold, options.rounds, told)
        for seed in range(options.seeds)
        for fold in range(study.folds)
        for label, recipe in recipes.items()
    ]
    missing = sum(not path_of(job, options.kept).exists() for job in jobs)
    done = [0]

    def tell(job: Job, found: dict[str, Any]) -> None:
        done[0] += 1
        score = found["curve"][found["samples"].index(study.target_samples)]
        words = f"{study.name} {job.label}, fold {job.fold}, seed {job.seed}: {score:.4f} at {study.target_samples}"
        sys.stderr.write(f"[{done[0]}/{missing}] {words} ({found['seconds']:.0f} s)\n")
        sys.stderr.flush()

    return run_all(jobs, options.kept, folder, options.jobs, tell)


def _compare(options: argparse.Namespace) -> int:
    from .pages import comparison

    study = STUDIES[options.task]
    runs = _many(options, study, dict(study.recipes))
    comparison(options.out, study, runs, _command("compare", options, study))
    sys.stdout.write(f"{options.out / study.name}.md\n")
    return 0


def _ablation(options: argparse.Namespace) -> int:
    from .pages import variants
    from .variants import ABLATION_TEXT, ablation

    study = STUDIES[options.task]
    options = argparse.Namespace(**{**vars(options), "rounds": options.rounds or study.ablation_rounds})
    runs = _many(options, study, ablation(study))
    title = f"{study.title}: TinyMetaFed without one of its parts"
    variants(
        options.out, study, runs, f"{study.name}-ablation", title, ABLATION_TEXT, _command("ablation", options, study)
    )
    sys.stdout.write(f"{options.out / study.name}-ablation.md\n")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from .pages import variants
    from .plots import sweep as plot
    from .variants import SWEEP_TEXT, sweep, sweep_lines

    study = STUDIES[options.task]
    runs = _many(options, study, sweep(study))
    title = f"{study.title}: how much to send"
    found = variants(
        options.out, study, runs, f"{study.name}-sweep", title, SWEEP_TEXT, _command("sweep", options, study)
    )
    lines = sweep_lines(found, study.target_samples)
    plot(
        options.out / f"{study.name}-sweep.svg",
        lines,
        "P, percent",
        f"{runs[0]['score_name']}, {study.target_samples} samples",
    )
    sys.stdout.write(f"{options.out / study.name}-sweep.md\n")
    return 0


def _results(options: argparse.Namespace) -> int:
    from .pages import index

    for name in STUDIES:
        options.task = name
        _compare(options)
    seeds = options.seeds
    for name, enough in (("sine", 3), ("presence", 2)):
        options.task, options.seeds = name, min(enough, seeds)
        _ablation(options)
    options.task, options.seeds = "sine", seeds
    _sweep(options)
    index(options.out)
    sys.stdout.write(f"{options.out / 'README.md'}\n")
    return 0


def _command(name: str, options: argparse.Namespace, study: Study) -> str:
    words = f"tegu experiment {name} {study.name} --seeds {options.seeds}"
    return f"{words} --rounds {options.rounds}" if options.rounds else words


def _recommend(options: argparse.Namespace) -> int:
    from .recommend import Budget, load, recommend, told

    budget = Budget(options.budget_bytes, options.budget_joules, options.ram)
    summary = load(options.results, options.task)
    chosen, why = recommend(summary, budget)
    write = sys.stdout.write
    if chosen is None:
        write("Nothing fits:\n")
    else:
        write(told(chosen, summary))
        write("Not taken:\n")
    for title, reason in why.items():
        write(f"  {title}: {reason}\n")
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
