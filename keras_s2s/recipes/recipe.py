"""Recipes: published tasks as one short file each, trained and scored by one command.

A recipe is `recipe.toml` in a folder of `recipes/`: settings of `train`, the runs that differ from
them, seeds, what is scored, and what was published. This module reads it; `recipe_run` runs it, and
`recipe_table` makes the table and the plots of what came out.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.training.settings.settings import FILES, VOCABULARY, TrainingSettings

RECIPE = "recipe.toml"
# Beside the package in a clone of the repository; an installed wheel has none.
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A test text, how it is decoded, and what is computed.

    Attributes:
        name: what the table calls it.
        metrics: names of metrics of outputs in `METRICS`.
        source: source file, below the data folder.
        target: its references.
        data: a TSV in place of the two; a source on several lines has several references.
        tokenize: sacreBLEU's tokenizer for BLEU.
        beam: width of the beam; None as the settings say.
        length_penalty: weight of GNMT's; None as the settings say.
        int8: whether the int8 ONNX model is run on it too.
        by_length: bounds, in words of the source, between which BLEU is computed apart.
    """

    name: str
    metrics: tuple[str, ...]
    source: str | None = None
    target: str | None = None
    data: str | None = None
    tokenize: str = "13a"
    beam: int | None = None
    length_penalty: float | None = None
    int8: bool = False
    by_length: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        known = [name for name, metric in METRICS.items() if metric.needs_outputs]
        if unknown := set(self.metrics) - set(known):
            raise ValueError(
                f"`metrics` must be of {', '.join(known)}; got {', '.join(sorted(unknown))}."
            )
        if (self.data is None) == (self.source is None or self.target is None):
            raise ValueError(
                f"Evaluation {self.name!r} needs `source` and `target`, or `data` alone."
            )

    def files(self, run: str) -> list[str]:
        """The files it reads, below the data folder."""
        names = (self.source, self.target, self.data)
        return [name.format(run=run) for name in names if name is not None]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of somebody else's: what it is, its numbers by metric, and what differs from ours."""

    name: str
    differs: str
    scores: Mapping[str, float]
    evaluation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What `recipe.toml` says.

    Attributes:
        name: of its folder.
        title: one line.
        settings: of every run, as `TrainingSettings` has them; files lie below the data folder, and
            `{run}` in a file name is the name of the run.
        runs: names, and the settings by which each differs.
        teachers: by run, the run before it whose models it learns from; see `distilled`. In the
            file, `teacher` of the run. Where both have the same settings of vocabularies, it takes
            the teacher's, so that they can be decoded together.
        seeds: each run is trained with each of them, unless it has its own.
        own_seeds: by run. In the file, `seeds` of the run.
        evaluations: what is scored.
        average: number of last epochs whose mean of weights is scored; 0 for the best epoch.
        ensembles: by name, the runs the translators of whose seeds are scored as one `Ensemble`.
        published: what others have.
        mean_of_runs: whether the table has a row with the mean over all runs.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    teachers: Mapping[str, str] = field(default_factory=dict)
    own_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    average: int = 0
    ensembles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    mean_of_runs: bool = False

    def seeds_of(self, run: str) -> tuple[int, ...]:
        """The seeds that a run is trained with."""
        return self.own_seeds.get(run, self.seeds)

    def same_vocabulary(self, *runs: str) -> bool:
        """Whether runs have the same settings of their vocabularies."""
        names = (*VOCABULARY, "tokenizers_from")
        given = [{**self.settings, **self.runs[run]} for run in runs]
        return all(each.get(name) == given[0].get(name) for each in given for name in names)


def find_recipe(name: str | os.PathLike[str]) -> Path:
    """The file of a recipe, from its name or its path.

    Args:
        name: a folder of `recipes/`, or the path of another folder or of a TOML file.

    Raises:
        FileNotFoundError: there is none; the message names those there are.
    """
    given = Path(name)
    for path in (given, given / RECIPE, RECIPES / name / RECIPE):
        if path.is_file():
            return path
    known = sorted(path.parent.name for path in RECIPES.glob(f"*/{RECIPE}"))
    raise FileNotFoundError(
        f"There is no recipe `{name}`. Expected {', '.join(known) or 'a path'}, or the path of a "
        f"{RECIPE}; recipes come with a clone of the repository."
    )


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe.

    Args:
        path: of a `recipe.toml`.

    Raises:
        ValueError: no TOML, or keys or values that a recipe has not.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text)
        runs = given.pop("runs", {path.parent.name: {}})
        teachers = {run: own.pop("teacher") for run, own in runs.items() if "teacher" in own}
        own_seeds = {run: _tuple(own.pop("seeds")) for run, own in runs.items() if "seeds" in own}
        ensembles = {name: _tuple(each) for name, each in given.pop("ensembles", {}).items()}
        evaluations = tuple(
            Evaluation(**{key: _tuple(value) for key, value in each.items()})
            for each in given.pop("evaluations", ())
        )
        published = tuple(Published(**each) for each in given.pop("published", ()))
        recipe = Recipe(
            name=path.parent.name,
            runs=runs,
            teachers=teachers,
            own_seeds=own_seeds,
            ensembles=ensembles,
            evaluations=evaluations,
            published=published,
            **{key: _tuple(value) for key, value in given.items()},
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"`{path}` is no recipe: {error}") from error
    if wrong := _wrong(recipe):
        raise ValueError(f"`{path}` is no recipe: {wrong}")
    return recipe


def _wrong(recipe: Recipe) -> str | None:
    """What cannot be, of a recipe whose keys are all there; None where nothing is wrong."""
    if not recipe.evaluations or not recipe.runs or not recipe.seeds:
        return "it needs seeds, runs and evaluations."
    for seeds in (recipe.seeds, *recipe.own_seeds.values()):
        if not isinstance(seeds, tuple) or not seeds or not all(type(s) is int for s in seeds):
            return f"`seeds` must be a list of whole numbers; got {seeds!r}."
    flag: object = recipe.mean_of_runs  # of whatever type the file has
    if not isinstance(flag, bool):
        return f"`mean_of_runs` must be true or false; got {flag!r}."
    names = list(recipe.runs)
    for run, teacher in recipe.teachers.items():
        if teacher not in names[: names.index(run)]:
            return (
                f"`teacher` of {run} must be a run before it; got {teacher!r} of "
                f"{', '.join(names)}."
            )
    for name, runs in recipe.ensembles.items():
        if not isinstance(runs, tuple) or not runs or [r for r in names if r in runs] != [*runs]:
            order = ", ".join(names)
            return f"the ensemble {name} must be a list of {order}, in this order; got {runs!r}."
        if sum(len(recipe.seeds_of(run)) for run in runs) < 2:
            return f"the ensemble {name} needs two seeds or more; got one."
        texts = ({tuple(each.files(run)) for run in runs} for each in recipe.evaluations)
        if any(len(each) > 1 for each in texts):
            return f"the ensemble {name} is of runs that are scored on other texts."
        if not recipe.same_vocabulary(*runs):  # else it would fail after hours of training
            return f"the ensemble {name} is of runs with other settings of their vocabularies."
    return None


def settings_of(
    recipe: Recipe, run: str, seed: int, data: Path, output: Path, **changes: Any
) -> TrainingSettings:
    """The settings of one training of a recipe.

    Args:
        recipe: the recipe.
        run: one of its runs.
        seed: the seed.
        data: folder that the file names of the recipe start from.
        output: folder of all trainings; this one gets `RUN-SEED` in it.
        **changes: settings in place of the recipe's.

    Raises:
        ValueError: settings that cannot be.
        FileNotFoundError: a file of the recipe is not below `data`.
    """
    given = {**recipe.settings, **recipe.runs[run]}
    for name in FILES:
        if name in given:
            given[name] = str(data / str(given[name]).format(run=run))
    names = [str(given[name]) for name in FILES if name in given]
    names += [str(data / name) for each in recipe.evaluations for name in each.files(run)]
    for name in names:
        if not Path(name).is_file():
            raise FileNotFoundError(
                f"The recipe reads `{name}`, which is not there. Name the folder that holds its "
                "data (--data)."
            )
    if recipe.average:
        given["keep_checkpoints"] = recipe.average
    try:
        return TrainingSettings(
            **{**given, "seed": seed, "output": str(output / f"{run}-{seed}"), **changes}
        )
    except TypeError as error:
        raise ValueError(f"The settings of recipe {recipe.name} cannot be: {error}") from error


def in_words(seeds: Sequence[int]) -> str:
    """Seeds as one would write them: `seed 1`, `seeds 1, 2`."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def members_in_words(members: Mapping[str, Sequence[int]]) -> str:
    """Runs with their seeds as one would write them: `one (seeds 1, 2) and two (seed 1)`."""
    return " and ".join(f"{run} ({in_words(seeds)})" for run, seeds in members.items())


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
