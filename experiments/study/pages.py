"""A study's page: its tables, plots and sentences in a folder, as Markdown, SVG and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import plots
from .claims import sentences
from .studies import STUDIES, Study
from .tables import Row, Runs, cost_table, curve_table, rows, score_text

INDEX = """# Results

Made by `make results` (`tegu experiment results --out docs/results`) and by nothing else: the tables, the plots and every
sentence on these pages come from the runs. Seeds are in the head of each page. On another processor the digits differ
within the intervals (docs/decisions/0010).

How to read it. Every algorithm has the same devices and the same samples a round; those that go through a round's samples
several times take more steps. All bytes are MQTT payloads, both ways, of all devices, real encoders and decoders
included. Energy is modelled, not measured. Intervals and spreads are over seeds, which draw the initialization, the
samples and the unseen tasks; with recorded data the speakers, rooms and alphabets are the same few for every seed, and what
another speaker or room would do is not in them. Settings were tuned by hand on other seeds, those of TinyMetaFed and Reptile
with more care than those of FedAdam, FedProx, FedSGD and first-order MAML; with recorded data there is nothing else to tune on
than the data itself, so expect somewhat less on other alphabets, speakers and rooms. Under random labels pooled training
has no function to learn and is left out; pooling all characters under their true names and transferring the body is known to
be as good as meta-learning, and needs everyone's images in one place. TinyReptile and TinyMetaFed are known to us from their
abstracts: what they leave open is our reading.
"""


def comparison(out: Path, study: Study, runs: Runs, command: str) -> list[Row]:
    """Write the comparison of all algorithms of a study."""
    found = rows(study, runs)
    lower = runs[0]["score_name"] == "mean squared error"
    plots.curves(out / f"{study.name}-curves.svg", found, runs[0]["score_name"])
    plots.on_the_way(out / f"{study.name}-way.svg", study, runs)
    parts = [
        f"# {study.title}\n",
        _how(study, runs, command),
        "## On tasks that no device has seen\n",
        f"{_score_words(lower, runs[0]['score_name'])}, mean ± half of the 95 % interval over the seeds, after that many "
        "samples learned online in one pass.\n",
        curve_table(found, lower),
        _repeated(study, found, lower),
        f"The tenth of the unseen tasks (for recorded rooms and speakers: of the splits of one) that does worst, after "
        f"{study.target_samples} samples: "
        + "; ".join(f"{one.title} {score_text(one.worst_tenth[study.target_samples], lower)}" for one in found)
        + ".\n",
        f"![adaptation curves]({study.name}-curves.svg)\n",
        "## What it takes\n",
        f"To the target: {score_text(study.target, lower)} after {study.target_samples} samples on the unseen tasks. Bytes "
        "are MQTT payloads of all devices together, as the coordinator's own encoders and decoders counted them; energy is "
        "modelled, of one device (mcu_firmware/lib/tegu/energy.py), without Wi-Fi sessions; RAM is counted (experiments/study/memory.py).\n",
        cost_table(study, found, lower),
        f"![on the way to the target]({study.name}-way.svg)\n",
        "## The claims\n",
        *(f"- {sentence}" for sentence in sentences(study, found, lower)),
        *([f"\n{study.remark}"] if study.remark else []),
        "",
        "## The settings\n",
        *(f"- **{one.title}**: {_settings(study, one)}" for one in found),
    ]
    _write(out / f"{study.name}.md", "\n".join(parts) + "\n")
    _write(out / f"{study.name}.json", json.dumps(summary(study, found, lower), indent=1) + "\n")
    return found


def summary(study: Study, found: Sequence[Row], lower_is_better: bool) -> dict[str, Any]:
    """What `tegu experiment recommend` reads."""
    return {
        "study": study.name,
        "lower_is_better": lower_is_better,
        "target": study.target,
        "target_samples": study.target_samples,
        "claims": [*sentences(study, found, lower_is_better), *([study.remark] if study.remark else [])],
        "rows": [_plain(asdict(one)) | {"settings": _settings(study, one)} for one in found],
    }


def _plain(value: Any) -> Any:
    """Five digits are enough, and JSON has no nan."""
    if isinstance(value, float):
        return None if value != value else float(f"{value:.5g}")
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def index(out: Path) -> None:
    """The folder's first page: what every study's table says about the claims."""
    parts = [INDEX]
    for study in STUDIES.values():
        path = out / f"{study.name}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"## [{study.title}]({study.name}.md)\n", *(f"- {claim}" for claim in kept["claims"]), ""]
            more = [name for name in ("ablation", "sweep") if (out / f"{study.name}-{name}.md").exists()]
            parts += [f"Also: {', '.join(f'[{name}]({study.name}-{name}.md)' for name in more)}.\n"] if more else []
    _write(out / "README.md", "\n".join(parts))


def variants(out: Path, study: Study, runs: Runs, name: str, title: str, text: str, command: str) -> list[Row]:
    """Write a table of variants of one algorithm: an ablation, a sweep."""
    found = rows(study, runs)
    lower = runs[0]["score_name"] == "mean squared error"
    parts = [
        f"# {title}\n",
        _how(study, runs, command),
        text + "\n",
        curve_table(found, lower),
        cost_table(study, found, lower),
    ]
    if name.endswith("-sweep"):
        parts.append(f"![score by P]({name}.svg)\n")
    _write(out / f"{name}.md", "\n".join(parts))
    return found


def _score_words(lower: bool, name: str) -> str:
    return "Mean squared error" if lower else f"{name.capitalize()} in per cent"


def _how(study: Study, runs: Runs, command: str) -> str:
    seeds = sorted({run["seed"] for run in runs})
    folds = f", each with {study.folds} ways to leave data out" if study.folds > 1 else ""
    return (
        f"`{command}`: seeds {', '.join(map(str, seeds))}{folds}; {len(runs)} runs, "
        f"{sum(run['seconds'] for run in runs) / 60:.0f} minutes of one core.\n\n"
        + "\n".join(f"- {note}" for note in dict.fromkeys(run["data"] for run in runs if run["seed"] == seeds[0]))
        + "\n"
    )


def _repeated(study: Study, found: Sequence[Row], lower: bool) -> str:
    shots, steps = study.shots
    if not shots:
        return ""
    cells = (f"{one.title} {score_text(one.repeated.mean, lower)}" for one in found if one.repeated)
    return f"After {steps} single-sample steps over {shots} samples, again and again: {'; '.join(cells)}.\n"


def _settings(study: Study, one: Row) -> str:
    """All that it takes to repeat an algorithm: the steps and rounds, and what else is not as the settings have it."""
    recipe = study.recipes.get(one.label)
    if recipe is None or not recipe.federated:
        return f"`{one.spec}`; adapted with step {one.adapt_step:g}"
    told = study.settings(recipe, 0)
    words = [
        f"{told.rounds.rounds} rounds of {told.model.samples} samples",
        f"inner step {told.model.inner_step_size:g}",
        f"outer step {told.rounds.outer_step_size:g} ({told.rounds.schedule})",
        f"P {told.model.top_p:g} up, {f'{told.model.top_p_down:g}' if told.model.top_p_down else 'whole'} down",
    ]
    said = {"spec", "inner_step_size", "outer_step_size", "schedule", "rounds", "samples", "top_p", "top_p_down"}
    words += [f"{name} {value}" for name, value in {**recipe.model, **recipe.rounds}.items() if name not in said]
    return f"`{one.spec}`; " + ", ".join([*words, f"adapted with step {one.adapt_step:g}"])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
