"""What each study has: a use case, the settings of every algorithm on it, and the target that bytes and rounds are counted to.

All numbers that were tuned stand here. They were chosen on other seeds than the tables use (for recorded data there is no
other data: see docs/results). Every federated algorithm has the same devices; those that learn in several passes have
as many samples a round and more steps. `adapt_step` is the step with which an unseen device learns afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from experiments.usecases import UseCase

Changes = Mapping[str, Any]
DENSE: Changes = {"top_p": 100.0, "codec": "f32", "init_codec": "f32", "residual": False}


@dataclass(frozen=True)
class Recipe:
    """One algorithm of a study, as changes to the study's settings. federated: False for scratch and pooled."""

    title: str
    model: Changes = field(default_factory=dict)
    rounds: Changes = field(default_factory=dict)
    adapt_step: float = 0.0  # 0: the inner step
    steps: int = 0  # of pooled training, in all
    federated: bool = True


@dataclass(frozen=True)
class Study:
    """A use case with its recipes. folds: ways to leave data out, each run with every seed."""

    name: str
    title: str
    make: Callable[[Path | None, int, int], UseCase]  # folder of real data, seed, fold
    data: str  # the data set's name for `tegu data get`; empty: made up
    model: ModelSettings
    rounds: RoundSettings
    recipes: Mapping[str, Recipe]
    target_samples: int  # the target is the score after so many samples
    target: float
    folds: int = 1
    scratch_steps: tuple[float, ...] = (0.005, 0.01, 0.02, 0.05, 0.1)
    shots: tuple[int, int] = (0, 0)  # (shots, steps) of the score with repetition; 0: none

    def settings(self, recipe: Recipe, seed: int, rounds: int = 0) -> Settings:
        """The coordinator's settings for a recipe; rounds 0: the recipe's own."""
        told = replace(self.rounds, **recipe.rounds)
        told = replace(told, rounds=rounds or told.rounds)
        return Settings(
            LinkSettings(site="study", checkpoint=Path(":memory:")),
            replace(self.model, **{"seed": seed, **recipe.model}),
            told,
        )


def baselines(
    passes: int, batch: int, inner: float, adapt: float, outer: float, scratch: Changes | None = None
) -> dict[str, Recipe]:
    """The federated baselines, all dense float32 both ways."""
    several: Changes = {**DENSE, "passes": passes, "batch": batch, "inner_step_size": inner, **(scratch or {})}
    constant: Changes = {"schedule": "constant", "outer_step_size": 1.0}
    return {
        "reptile": Recipe("Reptile, in batches", several, {"algorithm": "reptile", "outer_step_size": outer}, adapt),
        "fedavg": Recipe("FedAvg", several, {"algorithm": "fedavg", **constant}, adapt),
        "fedprox": Recipe("FedProx", {**several, "proximal": 0.1}, {"algorithm": "fedprox", **constant}, adapt),
    }


def make_sine(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.sine import Sine

    return Sine(seed)


def make_presence(folder: Path | None, seed: int, fold: int) -> UseCase:
    from experiments.usecases.presence import Presence

    return Presence(folder, seed, fold)


def make_characters(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.characters import Characters

    return Characters(_needed(folder, "characters"), seed)


def make_raw_characters(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.characters import Characters

    return Characters(_needed(folder, "characters"), seed, preprocessing="raw", rotations=True)


def _needed(folder: Path | None, data: str) -> Path:
    if folder is None:
        raise ValueError(f"the data is not here: tegu data get {data}, or set TEGU_DATA")
    return folder
