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
    steps: int = 0  # of pooled training, in all: as many samples as TinyMetaFed's devices learn from
    federated: bool = True
    nearest: bool = field(default=False, repr=False)  # nearest class mean


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
    ablation_rounds: int = 0  # of every variant, when the study's own would take too long
    remark: str = ""  # why a claim is missed
    needs_data: bool = False  # False: without recorded data it is simulated

    def settings(self, recipe: Recipe, seed: int, rounds: int = 0) -> Settings:
        """The coordinator's settings for a recipe; rounds 0: the recipe's own."""
        told = replace(self.rounds, **recipe.rounds)
        told = replace(told, rounds=rounds or told.rounds)
        return Settings(
            LinkSettings(site="study", checkpoint=Path(":memory:")),
            replace(self.model, **{"seed": seed, **recipe.model}),
            told,
        )


def make_sine(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.sine import Sine

    return Sine(seed)


def make_presence(folder: Path | None, seed: int, fold: int) -> UseCase:
    from experiments.usecases.presence import Presence

    return Presence(folder, seed, fold)


def make_characters(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.characters import Characters

    return Characters(_needed(folder, "characters"), seed, rotations=True)


def make_raw_characters(folder: Path | None, seed: int, fold: int) -> UseCase:  # noqa: ARG001
    from experiments.usecases.characters import Characters

    return Characters(_needed(folder, "characters"), seed, preprocessing="raw", rotations=True)


def make_keywords(folder: Path | None, seed: int, fold: int) -> UseCase:
    from experiments.usecases.keywords import Keywords

    return Keywords(_needed(folder, "keywords"), seed, leave_out=fold)


def make_keywords_random(folder: Path | None, seed: int, fold: int) -> UseCase:
    from experiments.usecases.keywords import Keywords

    return Keywords(_needed(folder, "keywords"), seed, leave_out=fold, mode="random labels")


def _needed(folder: Path | None, data: str) -> Path:
    if folder is None:
        raise ValueError(f"the data is not here: tegu data get {data}, or set TEGU_DATA")
    return folder


# --- the studies -----------------------------------------------------------------------------------------------------

CONSTANT: Changes = {"schedule": "constant", "outer_step_size": 1.0}
UNCUT = Recipe("TinyMetaFed, dense float32", DENSE)  # the same learning with nothing left out on the way


def federated(
    passes: int, batch: int, inner: float, adapt: float, outer: float, adam: float = 0.005
) -> dict[str, Recipe]:
    """The baselines that go several times through a round's samples, and those of one gradient; dense float32 both ways."""
    several: Changes = {**DENSE, "passes": passes, "batch": batch, "inner_step_size": inner}
    return {
        "reptile": Recipe("Reptile, in batches", several, {"algorithm": "reptile", "outer_step_size": outer}, adapt),
        "fedavg": Recipe("FedAvg", several, {"algorithm": "fedavg", **CONSTANT}, adapt),
        "fedprox": Recipe("FedProx", {**several, "proximal": 0.1}, {"algorithm": "fedprox", **CONSTANT}, adapt),
        "fedavgm": Recipe(
            "FedAvg, server momentum", several, {"algorithm": "fedavgm", "outer_step_size": outer / 10}, adapt
        ),
        "fedadam": Recipe("FedAdam", several, {"algorithm": "fedadam", "outer_step_size": adam}, adapt),
    }


def one_gradient(inner: float, samples: int, query: int, outer: float) -> dict[str, Recipe]:
    """FedSGD and first-order MAML, whose delta is a single step."""
    return {
        "fedsgd": Recipe("FedSGD", {**DENSE, "batch": 0}, {"algorithm": "fedsgd", "outer_step_size": outer}, inner),
        "fomaml": Recipe(
            "First-order MAML",
            {**DENSE, "samples": samples - query, "query": query},
            {"algorithm": "fomaml", "outer_step_size": outer},
            inner,
        ),
    }


def alone(pooled_steps: int) -> dict[str, Recipe]:
    """The references without a federation."""
    return {
        "pooled": Recipe("Pooled, fine-tuned", steps=pooled_steps, federated=False),
        "scratch": Recipe("From scratch", federated=False),
    }


# Where a label means something else in each round, there is no function that pooled samples could teach.
ALONE_RELABELLED = {"scratch": Recipe("From scratch", federated=False)}
NEAREST = Recipe("Nearest class mean, no learning", federated=False, nearest=True)

SINE = Study(
    name="sine",
    title="Sine regression",
    make=make_sine,
    data="",
    model=ModelSettings(
        "sine",
        "1 | dense 32 tanh | dense 32 tanh | dense 1 linear",
        first_bias=1.0,
        initial="fan-in",
        inner_step_size=0.05,
        samples=32,
    ),
    rounds=RoundSettings(rounds=3300, quorum=10, schedule="cosine", outer_step_size=6.0, clip=0.0),
    recipes={
        "tinymetafed": Recipe(
            "TinyMetaFed",
            {
                "spec": "1 | dense 32 tanh | dense 32 tanh | dense 1 linear local",
                "adapt": "local",
                "top_p": 2.0,
                "top_p_down": 5.0,
            },
        ),
        "tinyreptile": Recipe(
            "TinyReptile",
            {**DENSE, "inner_step_size": 0.04},
            {"algorithm": "tinyreptile", "outer_step_size": 1.0, "rounds": 10_000},
        ),
        **federated(passes=2, batch=4, inner=0.1, adapt=0.05, outer=2.0, adam=0.02),
        **one_gradient(inner=0.05, samples=32, query=16, outer=5.0),
        **alone(pooled_steps=1_056_000),
    },
    target_samples=32,
    target=0.15,
    shots=(10, 32),
    ablation_rounds=1100,
    remark="Memory: of so small a network the activations are a tenth of the weights, so that doing without the gradient and "
    "the kept samples cannot quite halve it.",
)

PRESENCE = Study(
    name="presence",
    title="Presence in rooms",
    make=make_presence,
    data="presence",
    model=ModelSettings(
        "presence",
        "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax",
        first_bias=1.0,
        inner_step_size=0.04,
        samples=60,
    ),
    rounds=RoundSettings(rounds=120, quorum=10, schedule="cosine", outer_step_size=4.0),
    recipes={
        "tinymetafed": Recipe("TinyMetaFed", {"top_p": 10.0, "top_p_down": 10.0}),
        "tinymetafed-dense": UNCUT,
        "tinyreptile": Recipe(
            "TinyReptile", DENSE, {"algorithm": "tinyreptile", "outer_step_size": 0.5, "rounds": 1000}
        ),
        **federated(passes=2, batch=5, inner=0.1, adapt=0.04, outer=2.0),
        **one_gradient(inner=0.04, samples=60, query=20, outer=2.0),
        **alone(pooled_steps=72_000),
    },
    target_samples=8,
    target=0.83,
    remark="Bytes: every algorithm is at this target after two or three rounds, when most of what a device has received is the "
    "manifest and its first initialization, which sparse updates do not make smaller. All of TinyMetaFed's 120 rounds together "
    "take what 8 rounds of Reptile take.",
    folds=3,
)

CHARACTERS = Study(
    name="characters",
    title="Handwritten characters, 5-way, normalised",
    make=make_characters,
    data="characters",
    model=ModelSettings(
        "characters", "196 | dense 64 tanh | dense 64 tanh | dense 5 softmax", inner_step_size=0.03, samples=25
    ),
    rounds=RoundSettings(rounds=250, quorum=10, schedule="cosine", outer_step_size=0.6),
    recipes={
        "tinymetafed": Recipe("TinyMetaFed", {"top_p": 10.0, "top_p_down": 10.0}),
        "tinymetafed-dense": UNCUT,
        "tinyreptile": Recipe(
            "TinyReptile", DENSE, {"algorithm": "tinyreptile", "outer_step_size": 0.3, "rounds": 1200}
        ),
        **federated(passes=2, batch=5, inner=0.3, adapt=0.03, outer=0.4),
        **one_gradient(inner=0.03, samples=25, query=10, outer=8.0),
        **ALONE_RELABELLED,
        "nearest": NEAREST,
    },
    target_samples=5,
    target=0.79,
    needs_data=True,
)

RAW_CHARACTERS = replace(
    CHARACTERS,
    name="characters-raw",
    title="Handwritten characters, 5-way, raw pixels",
    make=make_raw_characters,
    model=replace(CHARACTERS.model, inner_step_size=0.05),
    rounds=replace(CHARACTERS.rounds, rounds=600, outer_step_size=1.0),
    recipes={
        "tinymetafed": Recipe("TinyMetaFed", {"top_p": 3.0, "top_p_down": 3.0}),
        "tinyreptile": Recipe(
            "TinyReptile", DENSE, {"algorithm": "tinyreptile", "outer_step_size": 0.3, "rounds": 2000}
        ),
        "reptile": federated(passes=2, batch=5, inner=0.3, adapt=0.05, outer=1.0)["reptile"],
        **ALONE_RELABELLED,
        "nearest": NEAREST,
    },
    target=0.52,
)

KEYWORDS = Study(
    name="keywords",
    title="Spoken digits, a device is a speaker",
    make=make_keywords,
    data="keywords",
    model=ModelSettings("keywords", "260 | dense 64 tanh | dense 10 softmax", inner_step_size=0.03, samples=30),
    rounds=RoundSettings(rounds=300, quorum=10, schedule="cosine", outer_step_size=2.0),
    recipes={
        "tinymetafed": Recipe("TinyMetaFed", {"top_p": 10.0, "top_p_down": 10.0}),
        "tinymetafed-dense": UNCUT,
        "tinyreptile": Recipe(
            "TinyReptile", DENSE, {"algorithm": "tinyreptile", "outer_step_size": 0.5, "rounds": 900}
        ),
        **federated(passes=4, batch=10, inner=0.1, adapt=0.03, outer=1.0),
        **one_gradient(inner=0.03, samples=30, query=10, outer=8.0),
        **alone(pooled_steps=27_000),
    },
    target_samples=10,
    target=0.82,
    folds=4,
    needs_data=True,
)

RANDOM_KEYWORDS = replace(
    KEYWORDS,
    name="keywords-random",
    title="Spoken digits, five of them under random labels",
    make=make_keywords_random,
    model=replace(KEYWORDS.model, spec="260 | dense 64 tanh | dense 5 softmax", inner_step_size=0.05, samples=25),
    rounds=replace(KEYWORDS.rounds, rounds=700, outer_step_size=1.0),
    recipes={
        "tinymetafed": Recipe("TinyMetaFed", {"top_p": 5.0, "top_p_down": 5.0}),
        "tinyreptile": Recipe(
            "TinyReptile", DENSE, {"algorithm": "tinyreptile", "outer_step_size": 0.5, "rounds": 2000}
        ),
        "reptile": federated(passes=2, batch=5, inner=0.3, adapt=0.05, outer=1.0)["reptile"],
        **ALONE_RELABELLED,
    },
    target_samples=5,
    target=0.78,
)

STUDIES = {study.name: study for study in (SINE, PRESENCE, CHARACTERS, RAW_CHARACTERS, KEYWORDS, RANDOM_KEYWORDS)}
