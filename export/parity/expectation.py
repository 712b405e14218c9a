"""The expectation of an export: its artefacts, their inputs, and the outputs that Keras gave.

The expectation is a file in the exported folder. With this file, the folder can be verified again
on another machine, without the model.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity.record import expected_file
from keras_s2s.export.parity.reference import source_rows
from keras_s2s.export.parity.tasks.ids import IdsTask
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.parity.tasks.text import AlignmentsTask, BeamTask, TextTask
from keras_s2s.export.runtimes.artefacts import Artefact, Origin
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import ALIGNMENTS, BEAM, IDS, TEXT
from keras_s2s.system.files import write_json

# The task of each signature. The ONNX models from text to text share the first one.
SERVED_TASKS = {TEXT: "text", BEAM: "served beam", IDS: "served ids", ALIGNMENTS: "alignments"}
# The runtimes that run each signature.
SERVED_BY = ("Python", "C API", "merged requests", "REST rows", "REST columns")


class Expectation(NamedTuple):
    """The artefacts of an export and the outputs that they must give.

    Attributes:
        artefacts: for each artefact its path and runtime, and the name of its task.
        tasks: the tasks by name.
        server: the oldest version of TensorFlow Serving that must load the SavedModels.
    """

    artefacts: list[tuple[Origin, str]]
    tasks: dict[str, Task]
    server: str


def tasks_of(plan: ExportPlan, texts: Sequence[str], names: Collection[str]) -> dict[str, Task]:
    """Returns the tasks of the signatures of a SavedModel, with the outputs that Keras gives.

    Args:
        plan: the plan of the export.
        texts: the source texts.
        names: the names of the tasks to make, out of `SERVED_TASKS`.
    """
    translator, specs = plan.translator, plan.signatures
    makers = {
        SERVED_TASKS[TEXT]: lambda: TextTask.of(translator, texts, plan.text),
        SERVED_TASKS[BEAM]: lambda: BeamTask.of(translator, texts, specs[BEAM], plan.beam),
        SERVED_TASKS[IDS]: lambda: IdsTask.of(
            translator, source_rows(translator, texts), plan.ids, translator.search
        ),
        SERVED_TASKS[ALIGNMENTS]: lambda: AlignmentsTask.of(translator, texts, specs[ALIGNMENTS]),
    }
    return {name: make() for name, make in makers.items() if name in names}


def write_expected(
    path: Path, artefacts: Sequence[Artefact], tasks: Mapping[str, Task], server: str
) -> None:
    """Writes the expectation of an export.

    Args:
        path: the file to write.
        artefacts: the artefacts of the export; one without an origin is left out, because nobody
            could find it again.
        tasks: the tasks of the parity run by name.
        server: the oldest version of TensorFlow Serving that must load the SavedModels.
    """
    entries = [
        {"origin": list(artefact.origin), "task": task_name(artefact)}
        for artefact in artefacts
        if artefact.origin is not None
    ]
    names = {entry["task"] for entry in entries}
    described = {name: task.to_json() for name, task in tasks.items() if name in names}
    content = {"server": server, "artefacts": entries, "tasks": described}
    # ASCII, because some of the texts are not valid UTF-8.
    write_json(path, content, indent=None, ensure_ascii=True, allow_nan=False)


def read_expected(folder: Path) -> Expectation:
    """Reads the expectation that `write_expected` wrote into an exported folder.

    Args:
        folder: a folder that an export wrote.

    Raises:
        FileNotFoundError: If the file is missing.
        ExportError: If the file is damaged.
    """
    path = expected_file(folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        artefacts = [(Origin(*entry["origin"]), entry["task"]) for entry in content["artefacts"]]
        tasks = {name: Task.from_json(task) for name, task in content["tasks"].items()}
        server = content["server"]
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {error!r}. Export once more.") from error
    return Expectation(artefacts, tasks, server)


def task_name(artefact: Artefact) -> str:
    """Returns the name of the task that an artefact is compared on."""
    if artefact.task is not None:
        return artefact.task
    plain_text = artefact.ids is None and artefact.spec is None
    return SERVED_TASKS[TEXT] if plain_text else artefact.name
