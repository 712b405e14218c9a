"""Trains the runs of a recipe, averages and joins their models, and writes the results."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_s2s.data.reading import read_lines
from keras_s2s.recipes.evaluation import evaluate
from keras_s2s.recipes.recipe import Recipe, in_words, members_in_words, settings_of
from keras_s2s.system.files import write_json, write_lines
from keras_s2s.system.machine import machine, versions
from keras_s2s.system.version import __version__
from keras_s2s.training.folder import EPOCHS, SETTINGS
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import TRANSLATOR, save_translator

RESULT = "result.json"  # of one training
RESULTS = "results.json"  # of the recipe
ENSEMBLE = "ensemble.json"  # of one ensemble
AVERAGE = "average.keras"
PACKAGES = ("tensorflow", "keras", "numpy", "sentencepiece", "sacrebleu")  # in the results


def run_recipe(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    runs: Sequence[str] = (),
    seeds: Sequence[int] = (),
    epochs: int | None = None,
    pairs: int | None = None,
    say: Callable[[str], None] = print,
    console: Any = None,
) -> dict[str, Any]:
    """Trains and scores the runs of a recipe, and writes `results.json` below `output`.

    A finished training is not repeated, and a killed training goes on, so the same call always ends
    with the same results.

    Args:
        recipe: the recipe.
        data: folder that the recipe's file names start from. Nothing is written there.
        output: folder that receives the results, and a folder for each training with its
            translator.
        runs: names of the runs to train; all runs when empty.
        seeds: seeds that replace those of the recipe.
        epochs: largest number of epochs, which replaces that of the recipe. The results say that
            the trainings are shortened.
        pairs: number of training pairs that are read, from the first one on. The results say so
            too.
        say: function that is called with a line for every training.
        console: console on which trainings print their progress.

    Returns:
        The content of `results.json`, which is the settings, and for each run and seed its scores
        with their signatures, parameters, minutes, history, versions and machine. If the recipe has
        ensembles, it also holds every ensemble for which a training of each of its runs is
        finished.

    Raises:
        ValueError: If `runs` has a name that the recipe lacks, if the teacher of a run was not
            trained, or if no training can have the settings of a run.
        FileNotFoundError: If a file of the recipe is not below `data`.
        ImportError: If int8 models are to be scored and packages for the ONNX export are missing.
    """
    chosen = list(runs) or list(recipe.runs)
    _check_names(recipe, chosen)
    changes = {} if epochs is None else {"epochs": epochs, "patience": epochs}
    # All settings are made before the first training, because a mistake in the last would cost
    # hours.
    trainings = {
        (run, seed): settings_of(recipe, run, seed, data, output, **changes)
        for run in chosen
        for seed in seeds or recipe.seeds_of(run)
    }
    _check_teachers(recipe, chosen, output)
    _check_packages(recipe)
    limits = {"epochs": epochs, "pairs": pairs}
    shortened = {name: limit for name, limit in limits.items() if limit is not None}
    output.mkdir(parents=True, exist_ok=True)
    for number, ((run, seed), settings) in enumerate(trainings.items(), 1):
        title = f"{number}/{len(trainings)}  {run}, seed {seed}"
        file = Path(settings.output) / RESULT
        if file.exists():
            say(f"{title}: done before")
            continue
        say(title)
        teacher: dict[str, Any] = {}
        if pairs is not None:
            settings = _with_first_pairs(settings, pairs)
        if run in recipe.teachers:
            settings, teacher = _with_teacher(recipe, run, settings, output, pairs, say)
        result = _train_and_score(recipe, run, settings, data, console)
        _forget_ensembles(recipe, run, output)
        write_json(file, {**result, **teacher, "shortened": shortened})
    results = _results(recipe, data, output, say)
    write_json(output / RESULTS, results)
    return results


def _check_names(recipe: Recipe, runs: Sequence[str]) -> None:
    """Raises ValueError unless the recipe has all of these runs."""
    if unknown := set(runs) - set(recipe.runs):
        raise ValueError(
            f"The runs of recipe {recipe.name} are {', '.join(recipe.runs)}; got "
            f"{', '.join(sorted(unknown))}."
        )


def _check_teachers(recipe: Recipe, runs: Sequence[str], output: Path) -> None:
    """Raises ValueError if a run's teacher was not trained and is not among these runs."""
    for run in runs:
        teacher = recipe.teachers.get(run)
        if teacher is not None and teacher not in runs and not _finished(output, teacher):
            raise ValueError(
                f"The run {run} learns from {teacher}, but `{output}` has no model of {teacher}. "
                f"Run {teacher} first, or both."
            )


def _check_packages(recipe: Recipe) -> None:
    """Raises ImportError if the recipe scores int8 models and packages for them are missing."""
    if any(evaluation.int8 for evaluation in recipe.evaluations):
        from keras_s2s.export.onnx.packages import check_packages

        check_packages("take `int8` out of the recipe")


def _with_first_pairs(settings: TrainingSettings, pairs: int) -> TrainingSettings:
    """Returns the same settings for the first training pairs, which are copied below the output."""
    folder = Path(settings.output).parent / "first-pairs"
    folder.mkdir(exist_ok=True)
    copies: dict[str, Any] = {}
    for name in ("source", "target", "data"):
        file = getattr(settings, name)
        if file is not None:
            copies[name] = str(folder / f"{pairs}-{Path(file).name}")
            lines = [line for _, line in zip(range(pairs), read_lines(file), strict=False)]
            write_lines(Path(copies[name]), lines)
    return dataclasses.replace(settings, **copies)


def _with_teacher(
    recipe: Recipe,
    run: str,
    settings: TrainingSettings,
    output: Path,
    pairs: int | None,
    say: Callable[[str], None],
) -> tuple[TrainingSettings, dict[str, Any]]:
    """Returns settings that learn from another run's models, and their record for the result."""
    from keras_s2s.training.distillation import distilled, taught_settings

    teacher = recipe.teachers[run]
    seeds = [training["seed"] for training in _finished(output, teacher)]
    # The name of the folder holds everything on which its text depends.
    first_pairs = "" if pairs is None else f"-{pairs}-pairs"
    folder = output / f"{run}-taught-by-{teacher}-{'-'.join(map(str, seeds))}{first_pairs}"
    if not folder.exists():
        say(f"{run}: its sources are translated by {teacher}, {in_words(seeds)}")
        distilled(settings, _joint_translator(recipe, {teacher: seeds}, output), folder)
    settings = taught_settings(settings, folder)
    if recipe.same_vocabulary(run, teacher):
        file = output / f"{teacher}-{seeds[0]}" / _scored_file(recipe)
        settings = dataclasses.replace(settings, tokenizers_from=file)
    return settings, {"teacher": {"run": teacher, "seeds": seeds}}


def _train_and_score(
    recipe: Recipe, run: str, settings: TrainingSettings, data: Path, console: Any
) -> dict[str, Any]:
    """Trains a run with one seed, or goes on with this training, and returns its result."""
    from keras_s2s.training.run import train
    from keras_s2s.translation.archive import load_translator
    from keras_s2s.translation.combination import average_translators

    folder = Path(settings.output)
    resumed = (folder / SETTINGS).exists()
    wall, processor = time.perf_counter(), time.process_time()
    trained = train(settings, resume=resumed, console=console)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    translator = load_translator(trained.path)
    if recipe.average:
        translator = average_translators(sorted((folder / EPOCHS).glob("*.keras")))
        save_translator(translator, folder / AVERAGE)
    return {
        "run": run,
        "seed": settings.seed,
        "parameters": trained.parameters,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "monitor": settings.monitor,
        "machine": machine(),
        "versions": {
            "keras_s2s": __version__,
            "python": platform.python_version(),
            **versions(PACKAGES),
        },
        # Of a resumed training, only the last part was measured.
        "minutes": None if resumed else round(wall / 60, 2),
        "processor_minutes": None if resumed else round(processor / 60, 2),
        "history": trained.history,
        "evaluations": [
            evaluate(evaluation, run, translator, data, folder) for evaluation in recipe.evaluations
        ],
    }


def _forget_ensembles(recipe: Recipe, run: str, output: Path) -> None:
    """Removes the results of ensembles that include an earlier training of a run."""
    for name, members in recipe.ensembles.items():
        if run in members:
            (_ensemble_folder(output, name) / ENSEMBLE).unlink(missing_ok=True)


def _results(
    recipe: Recipe, data: Path, output: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Collects the results of all finished trainings, and scores the ensembles of them."""
    trainings = _finished(output)
    results = {
        "recipe": recipe.name,
        "settings": dict(recipe.settings),
        "average": recipe.average,
        "results": trainings,
    }
    if recipe.ensembles:
        seeds = {
            run: [training["seed"] for training in trainings if training["run"] == run]
            for run in recipe.runs
        }
        members = {
            name: {run: seeds[run] for run in runs} for name, runs in recipe.ensembles.items()
        }
        results["ensembles"] = [
            _ensemble(recipe, name, seeds_of, data, output, say)
            for name, seeds_of in members.items()
            if all(seeds_of.values()) and sum(map(len, seeds_of.values())) > 1
        ]
    return results


def _ensemble(
    recipe: Recipe,
    name: str,
    members: Mapping[str, Sequence[int]],
    data: Path,
    output: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Scores translators as one ensemble, unless its result with the same members exists.

    Args:
        recipe: the recipe.
        name: name of the ensemble.
        members: runs, each with the seeds whose translators belong to the ensemble.
        data: folder that the recipe's file names start from.
        output: folder with the trainings. The ensemble gets a folder in it.
        say: function that is called with a line for the ensemble.
    """
    folder = _ensemble_folder(output, name)
    title = f"{name}, ensemble of {members_in_words(members)}"
    if (folder / ENSEMBLE).exists():
        before = _read(folder / ENSEMBLE)
        if before["members"] == members:
            say(f"{title}: done before")
            return before
    say(title)
    folder.mkdir(exist_ok=True)
    translator = _joint_translator(recipe, members, output)
    save_translator(translator, folder / TRANSLATOR)
    run = next(iter(members))  # all runs of an ensemble are scored on the same text
    result = {
        "name": name,
        "members": members,
        "parameters": translator.model.count_params(),
        "evaluations": [
            evaluate(evaluation, run, translator, data, folder) for evaluation in recipe.evaluations
        ],
    }
    write_json(folder / ENSEMBLE, result)
    return result


def _ensemble_folder(output: Path, name: str) -> Path:
    return output / f"{name.replace(' ', '-')}-ensemble"


def _joint_translator(recipe: Recipe, members: Mapping[str, Sequence[int]], output: Path) -> Any:
    """Loads the translators of runs and their seeds, and joins several into an ensemble."""
    from keras_s2s.translation.archive import load_translator
    from keras_s2s.translation.combination import ensemble_translators

    translators = [
        load_translator(output / f"{run}-{seed}" / _scored_file(recipe))
        for run, seeds in members.items()
        for seed in seeds
    ]
    return translators[0] if len(translators) == 1 else ensemble_translators(translators)


def _scored_file(recipe: Recipe) -> str:
    """Returns the name of the translator in a training's folder that is scored."""
    return AVERAGE if recipe.average else TRANSLATOR


def _finished(output: Path, run: str | None = None) -> list[dict[str, Any]]:
    """Reads the results of the finished trainings of one run or of all runs."""
    trainings = [_read(path) for path in sorted(output.glob(f"*/{RESULT}"))]
    return [training for training in trainings if run in (None, training["run"])]


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result
