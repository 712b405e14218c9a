"""Runs a recipe: trains, averages, makes ensembles, and writes what came out as JSON."""

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

RESULT = "result.json"  # of a training
RESULTS = "results.json"  # of all
ENSEMBLE = "ensemble.json"  # of several together
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
    """Trains and scores what a recipe says, and writes `results.json` below `output`.

    What is finished is not done again, and a training that was killed goes on: the same call ends
    with the same results.

    Args:
        recipe: the recipe.
        data: folder that its file names start from; nothing is written there.
        output: folder that receives everything: a folder for each training, with the translator,
            and the results.
        runs: names of those to train; all when empty.
        seeds: in place of the recipe's.
        epochs: most epochs, in place of the recipe's; the results say that they are shortened.
        pairs: train on so many first pairs only; the same.
        say: gets a line for every training.
        console: where trainings print their progress.

    Returns:
        What `results.json` holds: settings, and for each run and seed its scores, with signatures,
        parameters, minutes, history, versions and machine; where the recipe has ensembles, those
        with a finished training of each of their runs.

    Raises:
        ValueError, FileNotFoundError: as `settings_of`; a name of a run that there is not, or of
            one whose teacher was not trained.
        ImportError: int8 models are to be scored, and packages of ONNX exports are missing.
    """
    wanted = list(runs) or list(recipe.runs)
    if unknown := set(wanted) - set(recipe.runs):
        raise ValueError(
            f"The runs of recipe {recipe.name} are {', '.join(recipe.runs)}; got "
            f"{', '.join(sorted(unknown))}."
        )
    shortened = {
        name: value for name, value in (("epochs", epochs), ("pairs", pairs)) if value is not None
    }
    changes = {} if epochs is None else {"epochs": epochs, "patience": epochs}
    todo = [(run, seed) for run in wanted for seed in seeds or recipe.seeds_of(run)]
    # All of them before the first: a mistake in the last would cost hours.
    every = {
        (run, seed): settings_of(recipe, run, seed, data, output, **changes) for run, seed in todo
    }
    for run in wanted:
        teacher = recipe.teachers.get(run)
        if teacher is not None and teacher not in wanted and not _finished(output, teacher):
            raise ValueError(
                f"The run {run} learns from {teacher}, of which `{output}` has no model. Run "
                f"{teacher} first, or both."
            )
    if any(evaluation.int8 for evaluation in recipe.evaluations):
        from keras_s2s.export.onnx.packages import check_packages

        check_packages("take `int8` out of the recipe")
    output.mkdir(parents=True, exist_ok=True)
    for number, (run, seed) in enumerate(todo, 1):
        settings = every[run, seed]
        folder = Path(settings.output)
        if (folder / RESULT).exists():
            say(f"{number}/{len(todo)}  {run}, seed {seed}: done before")
            continue
        say(f"{number}/{len(todo)}  {run}, seed {seed}")
        if pairs is not None:
            settings = _cut(settings, pairs)
        taught: dict[str, Any] = {}
        if run in recipe.teachers:
            settings, taught = _taught(recipe, run, settings, output, pairs, say)
        result = _train_and_score(recipe, run, settings, data, console)
        for name, runs_of_it in recipe.ensembles.items():
            if run in runs_of_it:  # one that was made before had another translator of this seed
                (_ensemble_folder(output, name) / ENSEMBLE).unlink(missing_ok=True)
        write_json(folder / RESULT, {**result, **taught, "shortened": shortened})
    found = _finished(output)
    results = {
        "recipe": recipe.name,
        "settings": dict(recipe.settings),
        "average": recipe.average,
        "results": found,
    }
    if recipe.ensembles:
        members = {
            name: {run: [each["seed"] for each in found if each["run"] == run] for run in of}
            for name, of in recipe.ensembles.items()
        }
        results["ensembles"] = [
            _ensemble(recipe, name, of, data, output, say)
            for name, of in members.items()
            if all(of.values()) and sum(map(len, of.values())) > 1
        ]
    write_json(output / RESULTS, results)
    return results


def _ensemble(
    recipe: Recipe,
    name: str,
    members: Mapping[str, Sequence[int]],
    data: Path,
    output: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Scores the translators of runs and their seeds as one, unless that was done of the same."""
    folder = _ensemble_folder(output, name)
    what = f"{name}, ensemble of {members_in_words(members)}"
    if (folder / ENSEMBLE).exists():
        before = _read(folder / ENSEMBLE)
        if before["members"] == members:
            say(f"{what}: done before")
            return before
    say(what)
    folder.mkdir(exist_ok=True)
    translator = _together(recipe, members, output)
    save_translator(translator, folder / TRANSLATOR)
    result = {
        "name": name,
        "members": members,
        "parameters": translator.model.count_params(),
        "evaluations": [
            # All runs of it are scored on one text.
            evaluate(each, next(iter(members)), translator, data, folder)
            for each in recipe.evaluations
        ],
    }
    write_json(folder / ENSEMBLE, result)
    return result


def _ensemble_folder(output: Path, name: str) -> Path:
    return output / f"{name.replace(' ', '-')}-ensemble"


def _taught(
    recipe: Recipe,
    run: str,
    settings: TrainingSettings,
    output: Path,
    pairs: int | None,
    say: Callable[[str], None],
) -> tuple[TrainingSettings, dict[str, Any]]:
    """Settings of a training that learns from another run's models, and what is said of it."""
    from keras_s2s.training.distillation import distilled, taught_settings

    teacher = recipe.teachers[run]
    seeds = [each["seed"] for each in _finished(output, teacher)]
    # The name says what the text depends on: another text is in another folder.
    cut = "" if pairs is None else f"-{pairs}-pairs"
    folder = output / f"{run}-taught-by-{teacher}-{'-'.join(map(str, seeds))}{cut}"
    if not folder.exists():
        say(f"{run}: its sources are translated by {teacher}, {in_words(seeds)}")
        distilled(settings, _together(recipe, {teacher: seeds}, output), folder)
    settings = taught_settings(settings, folder)
    if recipe.same_vocabulary(run, teacher):
        file = output / f"{teacher}-{seeds[0]}" / _scored(recipe)
        settings = dataclasses.replace(settings, tokenizers_from=file)
    return settings, {"teacher": {"run": teacher, "seeds": seeds}}


def _together(recipe: Recipe, members: Mapping[str, Sequence[int]], output: Path) -> Any:
    """One translator of those of runs and their seeds."""
    from keras_s2s.translation.archive import load_translator
    from keras_s2s.translation.combination import ensemble_translators

    translators = [
        load_translator(output / f"{run}-{seed}" / _scored(recipe))
        for run, seeds in members.items()
        for seed in seeds
    ]
    return translators[0] if len(translators) == 1 else ensemble_translators(translators)


def _finished(output: Path, run: str | None = None) -> list[dict[str, Any]]:
    """The results of the trainings that are finished, of one run or of all."""
    found = [_read(path) for path in sorted(output.glob(f"*/{RESULT}"))]
    return [each for each in found if run in (None, each["run"])]


def _scored(recipe: Recipe) -> str:
    """The translator of a training's folder that is scored."""
    return AVERAGE if recipe.average else TRANSLATOR


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _train_and_score(
    recipe: Recipe, run: str, settings: TrainingSettings, data: Path, console: Any
) -> dict[str, Any]:
    from keras_s2s.training.run import train
    from keras_s2s.translation.archive import load_translator
    from keras_s2s.translation.combination import average_translators

    folder = Path(settings.output)
    begun = (folder / SETTINGS).exists()
    wall, processor = time.perf_counter(), time.process_time()
    trained = train(settings, resume=begun, console=console)
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
        # Of a training that was taken up again, only the last part was measured.
        "minutes": None if begun else round(wall / 60, 2),
        "processor_minutes": None if begun else round(processor / 60, 2),
        "history": trained.history,
        "evaluations": [
            evaluate(each, run, translator, data, folder) for each in recipe.evaluations
        ],
    }


def _cut(settings: TrainingSettings, pairs: int) -> TrainingSettings:
    """The same settings on the first training pairs, which are copied below the output."""
    folder = Path(settings.output).parent / "first-pairs"
    folder.mkdir(exist_ok=True)
    changes: dict[str, Any] = {}
    for name in ("source", "target", "data"):
        file = getattr(settings, name)
        if file is not None:
            changes[name] = str(folder / f"{pairs}-{Path(file).name}")
            lines = [line for _, line in zip(range(pairs), read_lines(file), strict=False)]
            write_lines(Path(changes[name]), lines)
    return dataclasses.replace(settings, **changes)
