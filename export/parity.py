"""Compares exported artefacts with Keras, output for output.

Every artefact runs from its file: a SavedModel as a server loads it, an ONNX model in a program
that never imports TensorFlow. Tokens and texts must be equal, scores within `TOLERANCE`; the
batches differ in size, in composition and in length from what was traced.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_s2s.export.comparison import SHOWN, Comparison
from keras_s2s.export.details import DetailsTask
from keras_s2s.export.errors import ExportError
from keras_s2s.export.ids_tasks import IdsTask
from keras_s2s.export.reference import source_rows, translations
from keras_s2s.export.sentences import as_valid
from keras_s2s.export.signatures import TEXT
from keras_s2s.export.spec import IdsSpec, TextSpec
from keras_s2s.export.tasks import Arrays, Encode, Task
from keras_s2s.export.text_tasks import TextTask
from keras_s2s.search import Search
from keras_s2s.translator import Translator

if TYPE_CHECKING:
    from keras_s2s.export.saved_model import LoadedModel

BATCH_SIZES = (1, 7, 32)
BATCHES = 256  # of each size, at most
TOLERANCE = (
    1e-4  # relative for scores above one; sums over a sentence were seen to differ by some 1e-6
)
SEED = 0

RUNNER = Path(__file__).with_name("runner.py")

Run = Callable[[Sequence[Arrays]], Sequence[Arrays]]


class Origin(NamedTuple):
    """Where an artefact is and what runs it.

    Attributes:
        runtime: one of `runtimes.RUNTIMES`.
        path: its path in the output folder.
        signature: of a SavedModel's signatures, which; else "".
    """

    runtime: str
    path: str
    signature: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.path, self.signature, f"({self.runtime})") if part)


class Artefact(NamedTuple):
    """An exported graph that can be run.

    Attributes:
        name: what the report calls it: its path in the output folder.
        run: batches of inputs to batches of outputs; raises ExportError when it cannot.
        ids: for a graph from ids to ids, its name and the search inside; None for text to text.
        encode: from Python strings to what the runtime takes.
        task: the name of a task of the caller's, for a graph that is neither of these.
        origin: where it is and what runs it, so that it can be run again; None for what was made
            by hand.
        sizes: the batch sizes to compare at.
        takes_nothing: whether it can be given an empty batch.
        spec: what it declares, where that is more than what a SavedModel does.
    """

    name: str
    run: Run
    ids: tuple[str, Search] | None = None
    encode: Encode = as_valid
    task: str | None = None
    origin: Origin | None = None
    sizes: Sequence[int] = BATCH_SIZES
    takes_nothing: bool = True
    spec: IdsSpec | TextSpec | None = None


def compare(
    translator: Translator,
    artefacts: Sequence[Artefact],
    texts: Sequence[str],
    progress: Callable[[str], None] = lambda message: None,
    tasks: dict[str, Task] | None = None,
) -> list[Comparison]:
    """Runs every artefact on the texts and on samples of its spec, and compares with Keras.

    Args:
        translator: gives the expected outputs, at batch 32.
        artefacts: what to compare.
        texts: sources; graphs of ids receive their ids.
        progress: is told what is done next.
        tasks: the tasks that artefacts name; those made here for the others are added, so that a
            caller can keep them.

    Returns:
        For Keras itself at batch 1 and 7, and for every artefact, one comparison per batch size,
        and for artefacts one for the samples, an empty batch among them.
    """
    progress(f"Translating {len(texts)} sentences with Keras")
    tasks = {} if tasks is None else tasks
    if "text" not in tasks:
        tasks["text"] = TextTask.of(translator, texts)
    text_task = tasks["text"]
    keras_itself = Artefact("keras", _keras_run(translator), encode=_as_is)
    found = _compared(text_task, keras_itself, len(texts), BATCH_SIZES[:-1], samples=False)
    for artefact in artefacts:
        progress(f"Comparing {artefact.name}")
        task: Task = text_task
        if artefact.task is not None:
            task = tasks[artefact.task]
        elif artefact.ids is not None:
            spec = artefact.spec if isinstance(artefact.spec, IdsSpec) else None
            rows = source_rows(translator, texts)
            task = tasks[artefact.name] = IdsTask.of(translator, *artefact.ids, rows, spec=spec)
        elif isinstance(artefact.spec, TextSpec):
            task = tasks[artefact.name] = DetailsTask.of(translator, texts, artefact.spec)
        found += compare_on(task, artefact)
    return found


def compare_on(task: Task, artefact: Artefact) -> list[Comparison]:
    """Compares one artefact with what a task expects: every batch size, then the samples."""
    sentences = task.samples[1][0]  # the samples come last
    return _compared(task, artefact, sentences, artefact.sizes, samples=True)


def _compared(
    task: Task, artefact: Artefact, sentences: int, sizes: Sequence[int], *, samples: bool
) -> list[Comparison]:
    batches: list[tuple[Comparison, list[int]]] = []
    for size in sizes:
        comparison = Comparison(artefact.name, size)
        order = np.random.default_rng(SEED + size).permutation(sentences)[: size * BATCHES].tolist()
        batches += [(comparison, order[i : i + size]) for i in range(0, len(order), size)]
    if samples:
        comparison = Comparison(artefact.name, None)
        batches += [
            (comparison, places) for places in task.samples if places or artefact.takes_nothing
        ]
    comparisons = list({id(comparison): comparison for comparison, _ in batches}.values())
    inputs = [task.inputs(places, artefact.encode) for _, places in batches]
    try:
        outputs = artefact.run(inputs)
    except ExportError as error:
        comparisons[0].objections.append(str(error))
        return comparisons[:1]
    for (comparison, places), given, returned in zip(batches, inputs, outputs, strict=True):
        _compare_batch(task, comparison, places, given, returned)
    return comparisons


def _compare_batch(
    task: Task, comparison: Comparison, places: list[int], given: Arrays, returned: Arrays
) -> None:
    if objections := task.spec.objections(given, returned):
        comparison.sentences += len(places)
        comparison.objections += objections
        return
    for place, received in zip(places, task.rows(returned), strict=True):
        compare_row(task, comparison, place, received)


def compare_row(task: Task, comparison: Comparison, place: int, received: Any) -> None:
    """Adds to a comparison what came out for one source."""
    comparison.sentences += 1
    if not task.equal(place, received):
        if len(comparison.mismatches) < SHOWN:
            comparison.mismatches.append(task.mismatch(place, received))
        return
    comparison.equal += 1
    for difference in task.score_differences(place, received):
        largest = comparison.largest_score_difference or 0.0
        comparison.largest_score_difference = max(largest, difference)
        _object(comparison, "scores", difference)
    for difference in task.alignment_differences(place, received):
        largest = comparison.largest_alignment_difference or 0.0
        comparison.largest_alignment_difference = max(largest, difference)
        _object(comparison, "alignments", difference)


def _object(comparison: Comparison, what: str, difference: float) -> None:
    if not difference <= TOLERANCE:  # NaN is not
        comparison.objections.append(
            f"{what} must be within {TOLERANCE:g}; one differs by {difference:g}"
        )


def _keras_run(translator: Translator) -> Run:
    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        outputs: list[Arrays] = []
        for batch in batches:
            texts = batch["text"].tolist()
            outputs.append({"translation": _as_is(translations(translator, texts, len(texts)))})
        return outputs

    return run


def _as_is(texts: Sequence[str]) -> np.ndarray:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def saved_model_run(folder: Path) -> Run:
    """Runs the signature serving_default of a SavedModel out of its folder."""
    from keras_s2s.export.saved_model import LoadedModel

    return signature_run(LoadedModel(folder), TEXT)


def signature_run(model: LoadedModel, signature: str) -> Run:
    """Runs a signature of a SavedModel in this program's TensorFlow."""
    import tensorflow as tf

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        try:
            serve = model.signature(signature)
            return [serve(batch) for batch in batches]
        except (tf.errors.OpError, OSError, ValueError) as error:
            name = model.folder.name
            raise ExportError(f"{name} failed to run: {_first_line(str(error))}") from error

    return run


def onnx_run(path: Path, step: Path | None = None) -> Run:
    """Runs an ONNX model out of its file, in a program of its own that never imports TensorFlow.

    Args:
        path: the file; of an encoder where there is a `step`.
        step: the other half of a pair, which the program loops over.
    """

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        request = {
            "model": str(path),
            "step": str(step) if step else None,
            "batches": [{name: array.tolist() for name, array in b.items()} for b in batches],
        }
        # -P: the program's folder holds a module named onnx.
        command = [sys.executable, "-P", str(RUNNER)]
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
            raise ExportError(f"{path.name} failed to run: {lines[-1]}")
        answer = json.loads(done.stdout)
        if "tensorflow" in answer["packages"]:
            raise ExportError(f"{path.name} was run in a program that imported TensorFlow.")
        return [{name: _array(**value) for name, value in b.items()} for b in answer["batches"]]

    return run


def _array(values: Any, dtype: str, shape: list[int]) -> np.ndarray:
    return np.array(values, dtype).reshape(shape)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
