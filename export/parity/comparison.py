"""Compares exported artefacts with Keras, output for output.

Every artefact runs from its file. A SavedModel runs as a server loads it, and an ONNX model runs in
a program that never imports TensorFlow. Tokens and texts must be equal, and scores and attention
weights must agree within `TOLERANCE`. The batches differ in size, in composition and in length from
those that the graphs were traced with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity.reference import best_texts, source_rows
from keras_s2s.export.parity.report import SHOWN, Comparison
from keras_s2s.export.parity.tasks.ids import IdsTask
from keras_s2s.export.parity.tasks.n_best import NBestTask
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.parity.tasks.text import TextTask
from keras_s2s.export.runtimes.artefacts import BATCH_SIZES, Artefact, Run
from keras_s2s.export.specs.arrays import Arrays
from keras_s2s.export.specs.signatures import spec_of_ids, spec_of_text
from keras_s2s.export.specs.spec import IdsSpec, TextSpec
from keras_s2s.translation.translator import Translator

BATCHES = 256  # the largest number of batches of each size
# The tolerance is relative for scores above one. Sums over a sentence differed by some 1e-6.
TOLERANCE = 1e-4
SEED = 0


def compare(
    translator: Translator,
    artefacts: Sequence[Artefact],
    texts: Sequence[str],
    progress: Callable[[str], None] = lambda message: None,
    tasks: dict[str, Task] | None = None,
) -> list[Comparison]:
    """Runs every artefact on texts and on random samples, and compares its outputs with Keras.

    Args:
        translator: the translator that gives the expected outputs, in batches of 32.
        artefacts: the artefacts to compare.
        texts: source texts; a graph from ids to ids receives their ids.
        progress: a function that is called with a description of each next step.
        tasks: the tasks that artefacts name. A task that is made here for an artefact that names
            none is added, so that the caller can keep it.

    Returns:
        One comparison per batch size: 1 and 7 for Keras itself, and the sizes of each artefact.
        Every artefact has one more comparison, for the samples, an empty batch among them.
    """
    progress(f"Translating {len(texts)} sentences with Keras")
    tasks = {} if tasks is None else tasks
    if "text" not in tasks:
        tasks["text"] = TextTask.of(translator, texts, spec_of_text(translator))
    text_task = tasks["text"]
    keras_itself = Artefact("keras", _keras_run(translator), encode=_as_is)
    comparisons = _comparisons(text_task, keras_itself, len(texts), BATCH_SIZES[:-1], samples=False)
    for artefact in artefacts:
        progress(f"Comparing {artefact.name}")
        task: Task = text_task
        if artefact.task is not None:
            task = tasks[artefact.task]
        elif artefact.ids is not None:
            name, search = artefact.ids
            spec = artefact.spec
            if not isinstance(spec, IdsSpec):
                spec = spec_of_ids(translator, name, search)
            rows = source_rows(translator, texts)
            task = tasks[artefact.name] = IdsTask.of(translator, rows, spec, search)
        elif isinstance(artefact.spec, TextSpec):
            task = tasks[artefact.name] = NBestTask.of(translator, texts, artefact.spec)
        comparisons += compare_on(task, artefact)
    return comparisons


def compare_on(task: Task, artefact: Artefact) -> list[Comparison]:
    """Compares the outputs of one artefact with those that a task expects.

    Args:
        task: the task with its sources and expected outputs.
        artefact: the artefact to compare.

    Returns:
        One comparison per batch size of the artefact, then one for the samples of the task.
    """
    sentences = task.samples[1][0]  # the sources that come before the samples
    return _comparisons(task, artefact, sentences, artefact.sizes, samples=True)


def _comparisons(
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
    for (comparison, places), fed, returned in zip(batches, inputs, outputs, strict=True):
        _compare_batch(task, comparison, places, fed, returned)
    return comparisons


def _compare_batch(
    task: Task, comparison: Comparison, places: list[int], fed: Arrays, returned: Arrays
) -> None:
    if objections := task.spec.objections(fed, returned):
        comparison.sentences += len(places)
        comparison.objections += objections
        return
    for place, received in zip(places, task.rows(returned), strict=True):
        compare_row(task, comparison, place, received)


def compare_row(task: Task, comparison: Comparison, place: int, received: Any) -> None:
    """Adds the output for one source to a comparison.

    Args:
        task: the task with its sources and expected outputs.
        comparison: the comparison to add to.
        place: the index of the source in the task.
        received: the output of the artefact for this source.
    """
    comparison.sentences += 1
    if not task.equal(place, received):
        if len(comparison.mismatches) < SHOWN:
            comparison.mismatches.append(task.mismatch(place, received))
        return
    comparison.equal += 1
    for difference in task.score_differences(place, received):
        largest = comparison.largest_score_difference or 0.0
        comparison.largest_score_difference = max(largest, difference)
        _check_tolerance(comparison, "scores", difference)
    for difference in task.alignment_differences(place, received):
        largest = comparison.largest_alignment_difference or 0.0
        comparison.largest_alignment_difference = max(largest, difference)
        _check_tolerance(comparison, "alignments", difference)


def _check_tolerance(comparison: Comparison, quantity: str, difference: float) -> None:
    if not difference <= TOLERANCE:  # a NaN is not within it either
        comparison.objections.append(
            f"{quantity} must be within {TOLERANCE:g}; one differs by {difference:g}"
        )


def _keras_run(translator: Translator) -> Run:
    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        outputs: list[Arrays] = []
        for batch in batches:
            texts = batch["text"].tolist()
            outputs.append({"translation": _as_is(best_texts(translator, texts, len(texts)))})
        return outputs

    return run


def _as_is(texts: Sequence[str]) -> np.ndarray:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array
