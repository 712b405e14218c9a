"""Reads recipes, which describe published tasks in one short file each.

A recipe is the file `recipe.toml` in a folder of `recipes/`. It names the settings of `train`, the
runs that differ from them, the seeds, the evaluations, and the results that others have published.
This module reads the file, `run` trains and scores the runs, and `table` presents the results.
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
# The recipes lie beside the package in a clone of the repository. An installed wheel has none.
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A test text, with the settings of its decoding and the metrics to compute.

    Attributes:
        name: name of the evaluation in the table.
        metrics: names of metrics of outputs in `METRICS`.
        source: source file, below the data folder.
        target: file with the references of `source`, below the data folder.
        data: TSV file in place of `source` and `target`. A source on several lines has several
            references.
        tokenize: sacreBLEU's tokenizer for BLEU.
        beam: width of the beam; None takes the width of the settings.
        length_penalty: weight of GNMT's length penalty; None takes the weight of the settings.
        int8: whether the int8 ONNX model is scored too.
        by_length: numbers of source words that separate groups of sentences. The metrics of each
            group are computed too.
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
                f"`metrics` must be among {', '.join(known)}; got {', '.join(sorted(unknown))}."
            )
        if (self.data is None) == (self.source is None or self.target is None):
            raise ValueError(
                f"Evaluation {self.name!r} needs `source` and `target`, or `data` alone."
            )

    def files(self, run: str) -> list[str]:
        """Returns the names of the files to read, below the data folder, for a run."""
        names = (self.source, self.target, self.data)
        return [name.format(run=run) for name in names if name is not None]


@dataclass(frozen=True, kw_only=True)
class Published:
    """Results that others have published, as a row of the table.

    Attributes:
        name: name of the row.
        differs: words for the differences from the runs of the recipe.
        scores: score by name of metric, in the unit of the table.
        evaluation: name of the evaluation that the scores belong to; all evaluations if None.
    """

    name: str
    differs: str
    scores: Mapping[str, float]
    evaluation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The contents of a `recipe.toml`.

    Attributes:
        name: name of the folder of the file.
        title: title of the table, in one line.
        settings: settings of every run, as in `TrainingSettings`. Files lie below the data folder,
            and `{run}` in a file name stands for the name of the run.
        runs: settings by which each run differs, by name of the run.
        teachers: earlier run from whose models a run learns, as `distilled` explains, by name of
            the run. In the file, it is the key `teacher` of the run. If both runs have the same
            settings of vocabularies, the run takes those of its teacher, so that an ensemble can
            decode with both.
        seeds: seeds with which each run is trained, unless the run has its own.
        own_seeds: seeds of a run, by its name. In the file, they are the key `seeds` of the run.
        evaluations: test texts that are scored.
        average: number of last epochs whose averaged weights are scored; 0 scores the best epoch.
        ensembles: runs by name of the ensemble. The translators of all seeds of these runs are
            scored as one `Ensemble`.
        published: results that others have published.
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
        """Returns the seeds with which a run is trained."""
        return self.own_seeds.get(run, self.seeds)

    def same_vocabulary(self, *runs: str) -> bool:
        """Returns whether runs have the same settings of their vocabularies."""
        names = (*VOCABULARY, "tokenizers_from")
        first, *rest = ({**self.settings, **self.runs[run]} for run in runs)
        return all(settings.get(name) == first.get(name) for settings in rest for name in names)


def find_recipe(name: str | os.PathLike[str]) -> Path:
    """Finds the file of a recipe by its name or its path.

    Args:
        name: name of a folder of `recipes/`, or path of another folder or of a TOML file.

    Raises:
        FileNotFoundError: If there is no such recipe. The message names the existing recipes.
    """
    for path in (Path(name), Path(name) / RECIPE, RECIPES / name / RECIPE):
        if path.is_file():
            return path
    known = sorted(path.parent.name for path in RECIPES.glob(f"*/{RECIPE}"))
    raise FileNotFoundError(
        f"There is no recipe `{name}`. Expected {', '.join(known) or 'a path'}, or the path of a "
        f"{RECIPE}; recipes come with a clone of the repository."
    )


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe from its file.

    Args:
        path: path of a `recipe.toml`.

    Raises:
        ValueError: If the file is not TOML, or if it has keys or values that a recipe cannot have.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
        runs = content.pop("runs", {path.parent.name: {}})
        teachers = {run: keys.pop("teacher") for run, keys in runs.items() if "teacher" in keys}
        own_seeds = {
            run: _tuple(keys.pop("seeds")) for run, keys in runs.items() if "seeds" in keys
        }
        ensembles = {
            name: _tuple(members) for name, members in content.pop("ensembles", {}).items()
        }
        evaluations = tuple(
            Evaluation(**{key: _tuple(value) for key, value in keys.items()})
            for keys in content.pop("evaluations", ())
        )
        published = tuple(Published(**keys) for keys in content.pop("published", ()))
        recipe = Recipe(
            name=path.parent.name,
            runs=runs,
            teachers=teachers,
            own_seeds=own_seeds,
            ensembles=ensembles,
            evaluations=evaluations,
            published=published,
            **{key: _tuple(value) for key, value in content.items()},
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"`{path}` is no recipe: {error}") from error
    if fault := _fault(recipe):
        raise ValueError(f"`{path}` is no recipe: {fault}")
    return recipe


def _fault(recipe: Recipe) -> str | None:
    """Describes a fault in the values of a recipe, or returns None if there is none."""
    if not recipe.evaluations or not recipe.runs or not recipe.seeds:
        return "it needs seeds, runs and evaluations."
    for seeds in (recipe.seeds, *recipe.own_seeds.values()):
        if not isinstance(seeds, tuple) or not seeds or not all(type(s) is int for s in seeds):
            return f"`seeds` must be a list of whole numbers; got {seeds!r}."
    flag: object = recipe.mean_of_runs  # of any type that TOML has
    if not isinstance(flag, bool):
        return f"`mean_of_runs` must be true or false; got {flag!r}."
    names = list(recipe.runs)
    for run, teacher in recipe.teachers.items():
        if teacher not in names[: names.index(run)]:
            return (
                f"`teacher` of {run} must be a run before it; got {teacher!r} of "
                f"{', '.join(names)}."
            )
    faults = (_ensemble_fault(recipe, name, runs) for name, runs in recipe.ensembles.items())
    return next(filter(None, faults), None)


def _ensemble_fault(recipe: Recipe, name: str, runs: Any) -> str | None:
    """Describes why runs cannot be an ensemble, before hours of training, or returns None."""
    names = list(recipe.runs)
    if not isinstance(runs, tuple) or not runs or [r for r in names if r in runs] != [*runs]:
        order = ", ".join(names)
        return f"the ensemble {name} must be a list of {order}, in this order; got {runs!r}."
    if sum(len(recipe.seeds_of(run)) for run in runs) < 2:
        return f"the ensemble {name} needs two seeds or more; got one."
    for evaluation in recipe.evaluations:
        if len({tuple(evaluation.files(run)) for run in runs}) > 1:
            return f"the ensemble {name} is of runs that are scored on other texts."
    if not recipe.same_vocabulary(*runs):
        return f"the ensemble {name} is of runs with other settings of their vocabularies."
    return None


def settings_of(
    recipe: Recipe, run: str, seed: int, data: Path, output: Path, **changes: Any
) -> TrainingSettings:
    """Makes the settings of one training of a recipe.

    Args:
        recipe: the recipe.
        run: name of one of its runs.
        seed: seed of the training.
        data: folder that the file names of the recipe start from.
        output: folder of all trainings, in which this one gets the folder `RUN-SEED`.
        **changes: settings that replace those of the recipe.

    Raises:
        ValueError: If no training can have these settings.
        FileNotFoundError: If a file of the recipe is not below `data`.
    """
    settings = {**recipe.settings, **recipe.runs[run]}
    for name in FILES:
        if name in settings:
            settings[name] = str(data / str(settings[name]).format(run=run))
    files = [str(settings[name]) for name in FILES if name in settings]
    for evaluation in recipe.evaluations:
        files += [str(data / name) for name in evaluation.files(run)]
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(
                f"The recipe reads `{file}`, which is not there. Name the folder that holds its "
                "data (--data)."
            )
    if recipe.average:
        settings["keep_checkpoints"] = recipe.average
    try:
        return TrainingSettings(
            **{**settings, "seed": seed, "output": str(output / f"{run}-{seed}"), **changes}
        )
    except TypeError as error:
        raise ValueError(f"The settings of recipe {recipe.name} cannot be: {error}") from error


def in_words(seeds: Sequence[int]) -> str:
    """Writes seeds as a person would, such as `seed 1` or `seeds 1, 2`."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def members_in_words(members: Mapping[str, Sequence[int]]) -> str:
    """Writes runs with their seeds, such as `one (seeds 1, 2) and two (seed 1)`."""
    return " and ".join(f"{run} ({in_words(seeds)})" for run, seeds in members.items())


def _tuple(value: Any) -> Any:
    """Returns a list as a tuple, and any other value unchanged."""
    return tuple(value) if isinstance(value, list) else value
