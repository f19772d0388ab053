"""What a study says of its runs, on runs made up by hand; and that short studies find what long ones found."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from edge_agents import datasets
from experiments import fleet
from experiments.study.adapting import adapted, pooled
from experiments.study.claims import sentences
from experiments.study.command import folder_of, run
from experiments.study.memory import memory_of
from experiments.study.recommend import Budget, recommend
from experiments.study.runs import Job, path_of, run_all, run_job
from experiments.study.studies import STUDIES, Study
from experiments.study.tables import cost_table, curve_table, estimate, reached, rows
from experiments.study.variants import ablation, sweep
from experiments.usecases.sine import Sine
from tegu.model import Model

SINE = STUDIES["sine"]


def made_up(label: str, seed: int, score: float, fold: int = 0, **more: Any) -> dict[str, Any]:
    """A run whose score at the target's samples is `score` and gets there at the second mark."""
    return {
        "study": "sine",
        "label": label,
        "title": label.capitalize(),
        "seed": seed,
        "fold": fold,
        "samples": [0, 32],
        "score_name": "mean squared error",
        "curve": [4.0, score],
        "worst_tenth": [9.0, 2 * score],
        "history": [[100, 1000, 4000, 320, 1.0], [200, 2000, 8000, 640, 0.1]],
        "rounds": 200,
        "devices": 10,
        "updates": 2000,
        "up": 2000,
        "down": 8000,
        "weights": 1153,
        "algorithm_bytes": 5000,
        "device_bytes": 12000,
        "spec": "1 | dense 1 linear",
        "adapt_step": 0.05,
        "seconds": 1.0,
        "data": "made up",
        **more,
    }


def test_an_interval_is_students() -> None:
    # 1, 2, 3: mean 2, standard deviation 1, t = 4.303 with two degrees of freedom
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.spread) == (2.0, 1.0)
    assert found.half == pytest.approx(4.303 / math.sqrt(3), rel=1e-4)
    assert math.isnan(estimate([1.0]).half)


def test_a_seed_is_the_mean_of_its_folds() -> None:
    runs = [
        made_up("a", seed, score, fold) for seed, fold, score in ((0, 0, 1.0), (0, 1, 3.0), (1, 0, 4.0), (1, 1, 4.0))
    ]
    found = rows(SINE, runs)[0].curve[32]
    assert (found.mean, round(found.spread, 6)) == (3.0, round(math.sqrt(2), 6))


def test_the_target_is_reached_at_the_first_mark_that_is_as_good() -> None:
    mark = reached(SINE, [made_up("a", 0, 0.1)])
    assert mark is not None
    assert (mark.rounds, mark.up, mark.down, mark.steps) == (200, 2000, 8000, 64)
    # 10,000 bytes of ten devices at .235 uJ; 64 samples of 1,153 weights at 22 cycles, 200 updates at 55, 155 pJ each
    assert mark.radio_joules == pytest.approx(10_000 * 0.235e-6 / 10)
    assert mark.compute_joules == pytest.approx(1153 * (640 * 22 + 2000 * 55) * 155e-12 / 10)
    assert reached(SINE, [made_up("a", 0, 0.1, history=[[200, 1, 1, 1, 0.2]])]) is None
    assert reached(SINE, [made_up("a", 0, 0.1, history=[])]) is None


def test_a_row_has_the_target_only_if_every_seed_got_there() -> None:
    late = made_up("a", 1, 0.3, history=[[200, 2000, 8000, 640, 0.3]])
    row = rows(SINE, [made_up("a", 0, 0.1), late])[0]
    assert row.target is None
    assert row.reached == (1, 2)
    assert "| 1 of 2 | - | - |" in cost_table(SINE, [row], True)


def test_tables_print_means_with_their_intervals() -> None:
    found = rows(SINE, [made_up("a", seed, score) for seed, score in enumerate((0.1, 0.2, 0.3))])
    assert "| A | 4 ±0 | 0.2 ±0.248 |" in curve_table(found, True)
    assert "| 10.0 kB |" in cost_table(SINE, found, True)


def compared(**dense: Any) -> list[str]:
    runs = [made_up("tinymetafed", seed, 0.05 + seed / 1000) for seed in range(2)]
    runs += [made_up("tinyreptile", seed, 0.05) for seed in range(2)]
    told = {"history": [[200, 50_000, 70_000, 6400, 0.1]], "algorithm_bytes": 11_000, **dense}
    runs += [made_up("reptile", seed, 0.05 + seed / 100, **told) for seed in range(2)]
    runs += [made_up("pooled", seed, 0.04, history=[], up=0) for seed in range(2)]
    return sentences(SINE, rows(SINE, runs), True)


def test_claims_are_held_or_not_by_their_figures() -> None:
    said = "\n".join(compared())
    assert "2.2 times (5.00 kB against 11.0 kB" in said
    assert "12.0 times (10.0 kB against 120 kB): **held**" in said
    assert "10.0 times (64 against 640 samples gone through): **held**" in said
    assert "0.000707 against 0.00707: **held**, a rough figure" in said
    assert "0.0505 against 0.04: TinyMetaFed is not better" in said
    worse = "\n".join(compared(history=[[150, 9_000, 20_000, 640, 0.1]]))
    assert "2.9 times (10.0 kB against 29.0 kB): **not held**" in worse
    assert "In no more rounds: 200.0 against 150.0: **not held**" in worse
    never = "\n".join(compared(history=[[200, 1, 1, 1, 9.0]]))
    assert "not comparable, the target is not reached in every run by Reptile" in never


def test_memory_counts_every_array() -> None:
    model = Model("2 | dense 3 tanh | dense 1 linear")  # 13 weights, 4 units, the widest layer 3
    rules = replace(SINE.model, spec=model.spec, samples=10, top_p=10.0)
    online = memory_of(model, rules)
    assert online.algorithm_bytes == 4 * (13 + 4 + 2 * 3 + 3)
    # initialization and residual; two entries (10 % of 13) of a 2-byte index, a byte for gap and sign, a byte's value
    assert online.device_bytes == online.algorithm_bytes + 4 * (13 + 13) + 2 * 4 + 1024
    batch = memory_of(model, replace(rules, passes=4, batch=5, top_p=100.0))
    assert batch.algorithm_bytes == 4 * (13 + 4 + 2 * 3 + 13 + 10 * 3)  # the gradient, and all of the round's samples


SUMMARY = {
    "target_samples": 8,
    "lower_is_better": False,
    "rows": [
        {"title": "Kept", "up": 1, "device_bytes": 9000, "curve": {"8": {"mean": 0.99, "half": 0.0}}, "online": False,
         "target": {"up": 1.0, "down": 1.0, "compute_joules": 0.0, "radio_joules": 0.0}},
        {"title": "Small", "up": 1, "device_bytes": 9000, "curve": {"8": {"mean": 0.84, "half": 0.01}},
         "target": {"up": 1e5, "down": 1e5, "compute_joules": 0.01, "radio_joules": 0.01}},
        {"title": "Large", "up": 1, "device_bytes": 9000, "curve": {"8": {"mean": 0.845, "half": 0.01}},
         "target": {"up": 1e6, "down": 1e6, "compute_joules": 0.01, "radio_joules": 0.5}},
        {"title": "Better", "up": 1, "device_bytes": 99000, "curve": {"8": {"mean": 0.9, "half": 0.01}},
         "target": {"up": 1e7, "down": 1e7, "compute_joules": 0.1, "radio_joules": 5.0}},
        {"title": "Never", "up": 1, "device_bytes": 9000, "curve": {"8": {"mean": 0.5, "half": 0.01}}, "target": None},
        {"title": "Pooled", "up": 0, "device_bytes": 9000, "curve": {"8": {"mean": 0.95, "half": 0.0}}, "target": None},
    ],
}  # fmt: skip
for row in SUMMARY["rows"]:  # type: ignore[attr-defined]
    row.update({"devices": 10, "online": row.get("online", True)})


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        (Budget(), "Better"),
        (Budget(bytes=1e6), "Small"),  # Large is better by less than its interval, for ten times the bytes
        (Budget(joules=1.0), "Small"),
        (Budget(ram=50_000), "Small"),
        (Budget(bytes=1000), None),
    ],
)
def test_the_recommendation_is_the_best_that_fits(budget: Budget, wanted: str | None) -> None:
    chosen, why = recommend(SUMMARY, budget)
    assert (chosen and chosen["title"]) == wanted
    assert why["Pooled"] == "is a reference, not a federation"
    assert why["Never"] == "does not get to the target with every seed"
    assert why["Kept"].startswith("needs a round's samples kept")
    assert len(why) == 6 - (wanted is not None)


def test_adaptation_is_the_learners_on_each_task_and_scores_only_the_query() -> None:
    use_case = Sine(3, tasks=4)
    model = Model(use_case.spec)
    start = np.frombuffer(model.initial(1, 1.0, True), dtype=np.float32)
    found = adapted(model, start, use_case, use_case.unseen(), fleet.Way(0.05), fleet.kernel())
    episode = use_case.unseen()[2]
    weights = start[None].copy()
    fleet.learn(
        model,
        weights,
        episode.support.x[None, :8],
        episode.support.y[None, :8],
        fleet.Way(0.05),
        fleet.kernel("python"),
    )
    out = fleet.predict(model, weights, episode.query.x)[0]
    assert found.score[found.samples.index(8), 2] == pytest.approx(
        float(((out - episode.query.y) ** 2).mean()), rel=1e-4
    )


def test_pooled_training_learns_the_mean_of_all_tasks() -> None:
    use_case = Sine(3, tasks=30)
    model = Model(use_case.spec)
    start = np.frombuffer(model.initial(1, 1.0, True), dtype=np.float32)
    after = pooled(model, start, use_case, 20_000, 0.02, 1, fleet.kernel())
    before, now = (
        adapted(model, w, use_case, use_case.unseen(), fleet.Way(0.02), fleet.kernel(), (0,)).mean()[0]
        for w in (start, after)
    )
    assert now < 0.8 * before


def test_a_finished_run_is_not_run_again_and_a_changed_one_is(tmp_path: Path) -> None:
    recipe = SINE.recipes["tinymetafed"]
    job = Job(SINE, "tinymetafed", recipe, 0, 0, 20)
    found = run_all([job], tmp_path, None, 1, lambda *_: None)[0]
    path = path_of(job, tmp_path)
    path.write_text(json.dumps(found | {"curve": [7.0]}))
    assert run_all([job], tmp_path, None, 1, lambda *_: None)[0]["curve"] == [7.0]
    for changed in (
        replace(job, rounds=21),
        replace(job, seed=1),
        replace(job, recipe=replace(recipe, adapt_step=0.01)),
    ):
        assert path_of(changed, tmp_path) != path


def test_the_same_job_gives_the_same_result() -> None:
    job = Job(SINE, "tinymetafed", SINE.recipes["tinymetafed"], 3, 0, 30)
    first, second = run_job(job, None), run_job(job, None)
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_every_variant_has_settings_that_hold() -> None:
    for study in STUDIES.values():
        for recipe in (*study.recipes.values(), *ablation(study).values(), *sweep(study).values()):
            study.settings(recipe, 0)


def test_the_command_lists_runs_and_complains(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["list"]) == 0
    assert "sine: Sine regression" in capsys.readouterr().out
    out = tmp_path / "init.f32"
    assert run(["run", "sine", "--rounds", "5", "--snapshot", str(tmp_path / "kept"), "--out", str(out)]) == 0
    assert "5 rounds, 50 updates" in capsys.readouterr().out
    assert out.stat().st_size == 4 * 1153
    assert run(["run", "sine", "tinymetafedd"]) == 1
    assert "there are tinymetafed, tinyreptile" in capsys.readouterr().err
    assert run(["run", "sine", "pooled"]) == 1
    assert run(["recommend", "--task", "sine", "--results", str(tmp_path)]) == 1
    assert "tegu experiment compare sine" in capsys.readouterr().err


def test_compare_writes_a_page_with_its_plots(tmp_path: Path) -> None:
    arguments = ["compare", "sine", "--rounds", "10", "--seeds", "2", "--jobs", "2", "--out", str(tmp_path)]
    assert run([*arguments, "--kept", str(tmp_path / "runs")]) == 0
    page = (tmp_path / "sine.md").read_text()
    for row in ("| TinyMetaFed |", "| From scratch |", "| First-order MAML |"):
        assert row in page
    assert all((tmp_path / f"sine-{name}.svg").stat().st_size > 5000 for name in ("curves", "way"))
    assert len(json.loads((tmp_path / "sine.json").read_text())["rows"]) == len(SINE.recipes)


# --- short versions, with what they are expected to find ---------------------------------------------------------------


def folder(study: Study) -> Path | None:
    found = folder_of(study)
    if found is None and study.data:
        pytest.skip(f"no {study.data}: TEGU_DATA=folder, or tegu data get {study.data}")
    return found


# study, algorithm, rounds, samples, the score expected and how far from it a run may be; the mean of two seeds
SHORT = [
    ("sine", "tinymetafed", 800, 32, 0.033, 0.02),
    ("sine", "tinyreptile", 3000, 32, 0.067, 0.05),
    ("sine", "scratch", 0, 32, 4.15, 0.5),
    ("presence", "tinymetafed", 40, 8, 0.964, 0.02),
    ("presence", "reptile", 40, 8, 0.957, 0.02),
    ("characters", "tinymetafed", 60, 5, 0.754, 0.04),
    ("characters", "scratch", 0, 5, 0.724, 0.06),
    ("keywords", "tinymetafed", 60, 10, 0.784, 0.05),
    ("keywords", "scratch", 0, 10, 0.679, 0.05),
    ("keywords-random", "tinymetafed", 120, 5, 0.764, 0.04),
]


@pytest.mark.parametrize(("name", "label", "rounds", "samples", "expected", "within"), SHORT)
def test_a_short_study_finds_what_is_expected(
    name: str, label: str, rounds: int, samples: int, expected: float, within: float
) -> None:
    study = STUDIES[name]
    place = folder(study)
    found = [run_job(Job(study, label, study.recipes[label], seed, 0, rounds), place) for seed in (0, 1)]
    score = fmean(one["curve"][one["samples"].index(samples)] for one in found)
    assert score == pytest.approx(expected, abs=within)
    assert all(one.get("diverged", 0) == 0 for one in found)


def test_a_sparse_update_is_as_good_as_a_dense_one_for_a_twentieth_of_the_bytes() -> None:
    study = STUDIES["sine"]
    sparse, dense = study.recipes["tinymetafed"], ablation(study)["dense"]
    ours, theirs = (run_job(Job(study, "a", recipe, 0, 0, 600), None) for recipe in (sparse, dense))
    at = ours["samples"].index(32)
    assert ours["bytes"]["update"] * 20 < 4 * 1120 * theirs["updates"]
    assert ours["curve"][at] < theirs["curve"][at] + 0.1


def test_the_data_of_a_study_is_where_tegu_data_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEGU_DATA", str(tmp_path))
    assert datasets.find("characters") is None
    assert folder_of(STUDIES["characters"]) == tmp_path  # whatever alphabets are in it
    assert folder_of(STUDIES["presence"]) is None  # without recorded rooms it is simulated
    assert folder_of(SINE) is None
