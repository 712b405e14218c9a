"""What was compared, kept beside an export: the artefacts, their inputs, what Keras gave for them.

With it an exported folder can be verified again, on another machine, without the model.
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

# The task of each signature; that of text to text is shared with ONNX models.
SERVED_TASKS = {TEXT: "text", BEAM: "served beam", IDS: "served ids", ALIGNMENTS: "alignments"}
# What runs each of them.
SERVED_BY = ("Python", "C API", "merged requests", "REST rows", "REST columns")


class Expectation(NamedTuple):
    """What an export must give.

    Attributes:
        artefacts: where each is, what runs it, and the name of its task.
        tasks: the tasks by name.
        server: the oldest TensorFlow Serving that is to load the SavedModels.
    """

    artefacts: list[tuple[Origin, str]]
    tasks: dict[str, Task]
    server: str


def tasks_of(plan: ExportPlan, texts: Sequence[str], wanted: Collection[str]) -> dict[str, Task]:
    """What Keras gives for the signatures of a SavedModel.

    Args:
        plan: the translator, the signatures, and the search of the signature `beam`.
        texts: the sentences.
        wanted: names out of `SERVED_TASKS`; the others are not computed.
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
    return {name: make() for name, make in makers.items() if name in wanted}


def write_expected(
    path: Path, artefacts: Sequence[Artefact], tasks: Mapping[str, Task], server: str
) -> None:
    """Writes what was compared; artefacts that cannot be found again are left out."""
    found = [
        {"origin": list(artefact.origin), "task": task_name(artefact)}
        for artefact in artefacts
        if artefact.origin is not None
    ]
    used = {entry["task"] for entry in found}
    described = {name: task.to_json() for name, task in tasks.items() if name in used}
    content = {"server": server, "artefacts": found, "tasks": described}
    # ASCII, since texts that are no UTF-8 are among them.
    write_json(path, content, indent=None, ensure_ascii=True, allow_nan=False)


def read_expected(folder: Path) -> Expectation:
    """What `write_expected` wrote into an exported folder.

    Raises:
        FileNotFoundError: If it is not there.
        ExportError: If it is damaged.
    """
    path = expected_file(folder)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        artefacts = [(Origin(*entry["origin"]), entry["task"]) for entry in found["artefacts"]]
        tasks = {name: Task.from_json(task) for name, task in found["tasks"].items()}
        server = found["server"]
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {error!r}. Export once more.") from error
    return Expectation(artefacts, tasks, server)


def task_name(artefact: Artefact) -> str:
    """The name of an artefact's task."""
    if artefact.task is not None:
        return artefact.task
    plain = artefact.ids is None and artefact.spec is None
    return SERVED_TASKS[TEXT] if plain else artefact.name
