"""Variants of a study's TinyMetaFed: one ingredient changed at a time, and the sweep over P.

Which ingredients the paper has is known from its abstract alone (arXiv 2307.06822): partial local reconstruction, Top-P%
selective communication, online learning, few-shot learning. How each is done here is our reading, and an option.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .studies import Recipe, Study
from .tables import Row

ABLATION_TEXT = (
    "Each line changes one thing of TinyMetaFed as the study has it (first line) and leaves the rest as it was tuned for the "
    "whole: what a line loses is what the part is worth here, not in general."
)
SWEEP_TEXT = (
    "TinyMetaFed with all layers shared, P percent of the delta sent up, the initialization whole as int8 down, outer step 1. "
    "`10 devices` is a parallel round, for a third of the study's rounds; `1 device` a serial one, as in TinyReptile, for all of "
    "them: so 10 devices have learned from 3.3 times as many samples."
)
PERCENTS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)


def ablation(study: Study) -> dict[str, Recipe]:
    """The variants by label, the whole first."""
    whole = study.recipes["tinymetafed"]
    told = study.settings(whole, 0)
    spec, outer = told.model.spec, told.rounds.outer_step_size
    rounds = study.ablation_rounds or told.rounds.rounds
    found = {"whole": replace(whole, title="TinyMetaFed as it is")}

    def add(
        label: str, title: str, model: Mapping[str, Any] | None = None, rounds: Mapping[str, Any] | None = None
    ) -> None:
        changed = replace(
            whole, title=title, model={**whole.model, **(model or {})}, rounds={**whole.rounds, **(rounds or {})}
        )
        found[label] = changed

    if " local" in spec:
        add("all-shared", "no layer is local", {"spec": spec.replace(" local", ""), "adapt": "all"})
        adapt = "all" if told.model.adapt == "local" else "local"
        add("adapt", f"{adapt} layers adapt on the unseen device", {"adapt": adapt})
        add("strict", "local layer first, then the shared ones", {"rebuild": told.model.samples // 4})
    else:
        local = f"{spec} local"
        add("local", "the last layer is local", {"spec": local})
        add("local-only", "the last layer is local and alone adapts", {"spec": local, "adapt": "local"})
        add(
            "strict",
            "last layer local and first, then the shared ones",
            {"spec": local, "rebuild": told.model.samples // 4},
        )
    add("dense", "all of the delta is sent, int8", {"top_p": 100.0})
    add("forget", "no residual", {"residual": False})
    add("tensor", "P percent of each tensor", {"top_p_of": "tensor"})
    add("falling-p", "P falls from 25 percent", None, {"top_p_first": 25.0})
    add("whole-down", "the initialization goes down whole, int8", {"top_p_down": 0.0})
    add("dense-down", "the initialization goes down whole, float32", {"top_p_down": 0.0, "init_codec": "f32"})
    add("float", "updates in float32", {"codec": "f32"})
    add("constant", "constant outer step, half as large", None, {"schedule": "constant", "outer_step_size": outer / 2})
    add("linear", "outer step falls as a line", None, {"schedule": "linear"})
    add("warm-up", f"outer step grows over the first {rounds // 10} rounds", None, {"warm_up": rounds // 10})
    add("inner", "inner step falls from twice its size", None, {"inner_first": 2 * told.model.inner_step_size})
    add("senders", "mean over the senders of each weight", None, {"denominator": "senders"})
    add(
        "query",
        "half of the samples are query samples",
        {"query": told.model.samples // 2, "samples": told.model.samples // 2},
    )
    add(
        "momentum",
        "server momentum, a tenth of the outer step",
        None,
        {"server": "momentum", "outer_step_size": outer / 10},
    )
    add(
        "serial",
        "one device a round, as many rounds, outer step 1",
        None,
        {"algorithm": "tinyreptile", "outer_step_size": min(1.0, outer)},
    )
    return found


def sweep(study: Study) -> dict[str, Recipe]:
    """Recipes by label, `{devices}-{residual}-{percent}`."""
    whole = study.recipes["tinymetafed"]
    told = study.settings(whole, 0)
    model = {
        **whole.model,
        "spec": told.model.spec.replace(" local", ""),
        "adapt": "all",
        "top_p_down": 0.0,
        "rebuild": 0,
    }
    found = {}
    for devices, algorithm in ((10, "tinymetafed"), (1, "tinyreptile")):
        for residual in (True, False):
            for percent in PERCENTS:
                words = f"{devices} device{'s' if devices > 1 else ''}, {'residual' if residual else 'no residual'}"
                rounds = max(10, told.rounds.rounds // 3) * (3 if devices == 1 else 1)
                found[f"{devices}-{'residual' if residual else 'forget'}-{percent:g}"] = Recipe(
                    f"{words}, P {percent:g} %",
                    {**model, "top_p": percent, "residual": residual},
                    {**whole.rounds, "algorithm": algorithm, "outer_step_size": 1.0, "rounds": rounds},
                    whole.adapt_step,
                )
    return found


def sweep_lines(found: Sequence[Row], samples: int) -> dict[str, list[tuple[float, float, float]]]:
    """(P, the score at `samples`, half of its interval): a line for each number of devices, with and without residual."""
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for row in found:
        words, percent = row.title.rsplit(", P ", 1)
        estimated = row.curve[samples]
        lines.setdefault(words, []).append((float(percent.split()[0]), estimated.mean, estimated.half))
    return lines
