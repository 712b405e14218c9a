"""The proof of an export: the parity run with Keras, and the measurement of int8."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_s2s.export.errors import ParityError
from keras_s2s.export.metadata import settings_of
from keras_s2s.export.parity.comparison import compare
from keras_s2s.export.parity.expectation import SERVED_TASKS, tasks_of
from keras_s2s.export.parity.quality import compare_quality
from keras_s2s.export.parity.report import ParityReport
from keras_s2s.export.parity.sentences import parity_sentences
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.runtimes.artefacts import Artefact
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import TEXT
from keras_s2s.system.machine import machine, versions

PACKAGES = (  # the packages whose versions the report and the ONNX files name
    "keras-s2s",
    "keras",
    "tensorflow",
    "tensorflow-text",
    "sentencepiece",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-extensions",
    "numpy",
)

Progress = Callable[[str], None]


def run_parity(
    plan: ExportPlan,
    artefacts: Sequence[Artefact],
    sentences: Sequence[str] | None,
    tell: Progress,
) -> tuple[ParityReport, dict[str, Task]]:
    """Compares every artefact with Keras.

    Args:
        plan: the plan of the export.
        artefacts: the artefacts that were written.
        sentences: the caller's source texts, or None; `parity_sentences` adds others.
        tell: a function that is called with a description of each next step.

    Returns:
        The report of the run, and the tasks by name with their inputs and expected outputs.
    """
    translator = plan.translator
    begin = time.monotonic()
    texts = parity_sentences(translator, sentences)
    tell("Running Keras for the expected outputs")
    names = {artefact.task for artefact in artefacts if artefact.task is not None}
    tasks = tasks_of(plan, texts, {SERVED_TASKS[TEXT], *names})
    comparisons = compare(translator, artefacts, texts, tell, tasks)
    about = {
        "settings": settings_of(translator, translator.search),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "machine": machine(),
    }
    counts = {"count": len(texts), "given": len(sentences or [])}
    return ParityReport(counts, comparisons, about, time.monotonic() - begin), tasks


def measure_int8(
    folder: Path,
    tasks: dict[str, Task],
    sentences: Sequence[str] | None,
    references: Sequence[str] | None,
) -> dict[str, Any]:
    """Measures size, speed and quality of the int8 text model with `compare_quality`.

    Args:
        folder: the folder of the ONNX models.
        tasks: the tasks of the parity run by name, whose texts are translated without references.
        sentences: the caller's source texts, which are translated with references.
        references: one reference translation for each of the sentences, or None.
    """
    texts = sentences if references is not None else tasks["text"].sources
    return compare_quality(
        folder / "model.onnx", folder / "model.int8.onnx", texts or [], references
    )


def parity_error(parity: ParityReport, report: Path) -> ParityError:
    """Returns the error for a parity run that failed.

    Args:
        parity: the report of the parity run.
        report: the file that holds the report.
    """
    failures = parity.failures()
    return ParityError(
        f"{len(failures)} of {len(parity.comparisons)} comparisons with Keras failed, so nothing "
        f"was published: {'; '.join(failures)}. The whole comparison is in {report}."
    )
