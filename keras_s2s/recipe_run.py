"""Runs a recipe: trains, averages, scores, and writes what came out as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_s2s import __version__
from keras_s2s.folder import SETTINGS, write_json, write_text
from keras_s2s.reading import group_references, read_lines, read_references, read_tsv
from keras_s2s.recipe import Evaluation, Recipe, settings_of
from keras_s2s.settings import TrainingSettings

RESULT = "result.json"
RESULTS = "results.json"


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
        parameters, minutes, history, versions and machine.

    Raises:
        ValueError, FileNotFoundError: as `settings_of`; a name of a run that there is not.
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
    todo = [(run, seed) for run in wanted for seed in seeds or recipe.seeds]
    # All of them before the first: a mistake in the last would cost hours.
    every = {
        (run, seed): settings_of(recipe, run, seed, data, output, **changes) for run, seed in todo
    }
    if any(evaluation.int8 for evaluation in recipe.evaluations):
        from keras_s2s.export.preconditions import check_packages

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
        result = _train_and_score(recipe, run, settings, data, console)
        write_json(folder / RESULT, {**result, "shortened": shortened})
    found = sorted(output.glob(f"*/{RESULT}"))
    results = {
        "recipe": recipe.name,
        "settings": dict(recipe.settings),
        "average": recipe.average,
        "results": [json.loads(path.read_text(encoding="utf-8")) for path in found],
    }
    write_json(output / RESULTS, results)
    return results


def _train_and_score(
    recipe: Recipe, run: str, settings: TrainingSettings, data: Path, console: Any
) -> dict[str, Any]:
    from keras_s2s.averaging import average_translators
    from keras_s2s.training import EPOCHS, save_translator, train
    from keras_s2s.translator import load_translator

    folder = Path(settings.output)
    begun = (folder / SETTINGS).exists()
    wall, processor = time.perf_counter(), time.process_time()
    trained = train(settings, resume=begun, console=console)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    translator = load_translator(trained.path)
    if recipe.average:
        translator = average_translators(sorted((folder / EPOCHS).glob("*.keras")))
        save_translator(translator, folder / "average.keras")
    return {
        "run": run,
        "seed": settings.seed,
        "parameters": trained.parameters,
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "monitor": settings.monitor,
        "machine": _machine(),
        "versions": _versions(),
        # Of a training that was taken up again, only the last part was measured.
        "minutes": None if begun else round(wall / 60, 2),
        "processor_minutes": None if begun else round(processor / 60, 2),
        "history": trained.history,
        "evaluations": [
            _evaluate(each, run, translator, data, folder) for each in recipe.evaluations
        ],
    }


def _evaluate(
    evaluation: Evaluation, run: str, translator: Any, data: Path, folder: Path
) -> dict[str, Any]:
    if evaluation.data is not None:
        sources, references = group_references(read_tsv(data / evaluation.data.format(run=run)))
    else:
        names = [data / name for name in evaluation.files(run)]
        sources, references = read_references(names[0], names[1:])
    changes = {"width": evaluation.beam, "length_penalty": evaluation.length_penalty}
    given = {name: value for name, value in changes.items() if value is not None}
    translator = translator.with_model(translator.model)  # so that others keep their search
    translator.search = translator.search.like(**given)
    name = evaluation.name.replace(" ", "-")
    outputs = _written(translator(sources, batch_size=64), folder / f"{name}.out")
    int8 = None
    if evaluation.int8:
        from keras_s2s.export.onnx_files import write_int8
        from keras_s2s.export.quality import outputs_of

        with TemporaryDirectory() as temporary:
            model = Path(temporary) / "model.int8.onnx"
            write_int8(translator, model)
            found = _written(outputs_of(model, sources), folder / f"{name}.int8.out")
            size = model.stat().st_size
        int8 = {
            "megabytes": round(size / 1e6, 2),
            "scores": _scores(evaluation, found, references),
        }
    search = translator.search  # of beams: `train` saves no other
    return {
        "name": evaluation.name,
        "sentences": len(outputs),
        "beam": search.width,
        "length_penalty": _in_words(search.length_penalty),
        "scores": _scores(evaluation, outputs, references),
        "int8": int8,
        "by_length": [
            {
                "words": [low, high],
                "sentences": len(rows),
                "scores": _scores(
                    evaluation, [outputs[i] for i in rows], [references[i] for i in rows]
                ),
            }
            for low, high, rows in _lengths(evaluation.by_length, sources)
        ],
    }


def _written(texts: Sequence[str], path: Path) -> list[str]:
    """Texts, each as one line, after they were written to a file."""
    lines = [" ".join(text.splitlines()) for text in texts]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return lines


def _in_words(penalty: Any) -> str:
    """A length penalty as one would write it: `GNMT(alpha=1.0)`."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in penalty.get_config().items())
    return f"{type(penalty).__name__}({arguments})"


def _scores(
    evaluation: Evaluation, outputs: list[str], references: list[list[str]]
) -> dict[str, dict[str, Any]]:
    from keras_s2s import scores

    functions = {
        "bleu": lambda *given: scores.bleu(*given, tokenize=evaluation.tokenize),
        "chrf": scores.chrf,
        "exact_match": scores.exact_match,
        "wer": scores.word_error_rate,
        "per": scores.phone_error_rate,
    }
    return {name: functions[name](outputs, references)._asdict() for name in evaluation.metrics}


def _lengths(
    bounds: Sequence[int], sources: Sequence[str]
) -> Iterable[tuple[int, int | None, list[int]]]:
    """Rows whose source has from `low` to `high` words, for each two neighbouring bounds."""
    if not bounds:
        return
    starts = [1, *(bound + 1 for bound in bounds)]
    for low, high in zip(starts, [*bounds, None], strict=True):
        rows = [
            i
            for i, text in enumerate(sources)
            if low <= len(text.split()) and (high is None or len(text.split()) <= high)
        ]
        if rows:
            yield low, high, rows


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
            write_text(Path(changes[name]), "".join(f"{line}\n" for line in lines))
    return dataclasses.replace(settings, **changes)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("tensorflow", "keras", "numpy", "sentencepiece", "sacrebleu")
    return {
        "keras_s2s": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores}
