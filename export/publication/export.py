"""`export_translator`: plans, writes, proves and publishes an export in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_s2s.export.guide.facts import write_readme
from keras_s2s.export.guide.parity_table import parity_markdown
from keras_s2s.export.guide.readme import README
from keras_s2s.export.onnx.packages import check_onnx, needs_extensions
from keras_s2s.export.parity.expectation import SERVED_BY, SERVED_TASKS, write_expected
from keras_s2s.export.parity.quality import check_quality, check_quantization
from keras_s2s.export.parity.record import EXPECTED
from keras_s2s.export.parity.report import ParityReport
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.publication.places import Places, model_name, places_of
from keras_s2s.export.publication.preconditions import FORMATS, check_formats, check_settings
from keras_s2s.export.publication.proof import (
    PACKAGES,
    Progress,
    measure_int8,
    parity_error,
    run_parity,
)
from keras_s2s.export.publication.staging import publish, staging
from keras_s2s.export.runtimes.artefacts import Artefact, Origin
from keras_s2s.export.runtimes.runtimes import Runtimes, runtimes_below
from keras_s2s.export.saved_model.version import replay_warmup, write_version
from keras_s2s.export.serving.configuration import write_configuration
from keras_s2s.export.serving.registry import TARGET, check_server
from keras_s2s.export.serving.triton import write_triton
from keras_s2s.export.specs.plan import ExportPlan, OnnxPlan
from keras_s2s.export.specs.signatures import checked_beam
from keras_s2s.system.files import write_json
from keras_s2s.system.machine import versions
from keras_s2s.translation.translator import Translator

REPORT = "parity.json"
SUMMARY = "parity.md"
FAILED_REPORT = "parity.failed.json"


@dataclass(frozen=True)
class ExportReport:
    """The folders and files that an export published, and the parity run that proved them.

    Attributes:
        saved_model: the version folder for TensorFlow Serving, or None if it was not exported.
        onnx: the folder of the ONNX models, or None if they were not exported.
        triton: the folder of the model repository for Triton, or None if it was not exported.
        report: the file with the report of the parity run.
        parity: the report of the parity run.
    """

    saved_model: Path | None
    onnx: Path | None
    triton: Path | None
    report: Path
    parity: ParityReport

    def __str__(self) -> str:
        lines = []
        if self.saved_model:
            lines.append(f"SavedModel  {self.saved_model}")
        if self.onnx:
            sizes = (
                f"{path.name} {path.stat().st_size / 1e6:.1f} MB"
                for path in sorted(self.onnx.glob("*.onnx"))
            )
            lines.append(f"ONNX        {self.onnx} ({', '.join(sizes)})")
        if self.triton:
            lines.append(f"Triton      {self.triton}")
        lines.append(
            f"Parity      passed on {self.parity.sentences['count']} sentences, scores within "
            f"{self.parity.largest_score_difference:.0e}; see {self.report}"
        )
        return "\n".join(lines)


def export_translator(
    translator: Translator,
    output: str | Path,
    *,
    name: str | None = None,
    version: int | None = None,
    formats: Sequence[str] = FORMATS,
    beam: int | None = None,
    server: str = TARGET,
    sentences: Sequence[str] | None = None,
    quantize: str | None = None,
    references: Sequence[str] | None = None,
    int8_drop: float = 1.0,
    training: Mapping[str, float] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Exports a translator, proves the export equal to Keras, and publishes it.

    It publishes, below the folder OUTPUT:

    1. `serving/NAME/VERSION/`, a SavedModel with the signatures of `specs.signatures`, warm-up
       requests and batching parameters; and beside NAME, `models.config` and `monitoring.config`.
    2. `onnx/`, with `model.onnx` from text to text, `model.ids.onnx` from ids to ids, both with the
       translator's own search, and further models; see `onnx.files.write_onnx`.
    3. `triton/`, a model repository with `model.onnx`.
    4. `parity.json`, which holds every comparison of every artefact with Keras, the versions and
       the machine; `parity.md`, the same as a page to read; and `parity.expected.json`, the inputs
       and the outputs that Keras gave for them, with which `verify_export` compares again.
    5. `README.md`, which says how to run this model by its names, with an example and the time that
       batches took on this machine.

    Everything is written and proven in a temporary folder inside OUTPUT and renamed into place at
    the end.

    Args:
        translator: a trained translator.
        output: the folder OUTPUT.
        name: the model's name for TensorFlow Serving; the name of OUTPUT when omitted.
        version: the version number; when omitted, one more than the highest existing one.
            TensorFlow Serving loads the highest version by itself, and never loads a version again
            whose files changed.
        formats: one or more of 'serving', 'onnx' and 'triton'; 'triton' needs 'onnx'.
        beam: number of hypotheses of the signature `beam`; when omitted, the width of the
            translator's own beam search, or 5 for any other search.
        server: the oldest version of TensorFlow Serving that must load the SavedModel. Operators
            that it lacks are refused.
        sentences: texts for the comparison with Keras. Random texts are added until there are 100.
            Awkward texts are always added: empty, over-long, bytes that are not valid UTF-8.
        quantize: 'int8' to write each ONNX model in 8 bits too.
        references: one reference translation for each of the sentences, for scoring the int8 model.
        int8_drop: points of BLEU, or of exact match in percent, that int8 may lose; infinity for no
            limit.
        training: numbers that the training reached, by name, for the metadata of the ONNX files.
        force: whether to replace the folders `onnx` and `triton` and, if `version` is given, that
            version.
        progress: a function that is called with a description of each next step.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If an argument is invalid, or arguments contradict each other.
        FileExistsError: If a file or folder would be overwritten without `force`.
        ImportError: If a package is missing.
        ExportError: If the model cannot be exported.
        ParityError: If an artefact does not give the outputs of Keras. Then nothing is published,
            and `OUTPUT/parity.failed.json` lists the differences.
    """
    tell = progress or (lambda message: None)
    output = Path(output)
    check_formats(formats)
    check_settings(translator)
    check_server(server)
    if "onnx" in formats:
        check_onnx(translator)
    name = model_name(output, name)
    places = places_of(output, name, version, formats, force=force)
    check_quantization(quantize, formats, sentences, references, int8_drop)
    plan = _plan(translator, name, places.version, formats, beam, server)

    with staging(output) as temporary, runtimes_below(temporary) as runtimes:
        artefacts = _write(plan, runtimes, tell, int8=quantize is not None, training=training)
        parity, tasks = run_parity(plan, artefacts, sentences, tell)
        if not parity.passed:
            _write_report(parity, temporary / REPORT)
            os.replace(temporary / REPORT, output / FAILED_REPORT)
            raise parity_error(parity, output / FAILED_REPORT)
        if quantize:
            tell("Measuring int8")
            quality = measure_int8(temporary / "onnx", tasks, sentences, references)
            parity.about["int8"] = quality
            check_quality(quality, int8_drop)
        _describe(plan, runtimes, artefacts, parity, tasks, tell)
        _publish(places, output, temporary)
    return ExportReport(places.saved_model, places.onnx, places.triton, output / REPORT, parity)


def _plan(
    translator: Translator,
    name: str,
    version: int,
    formats: Sequence[str],
    beam: int | None,
    server: str,
) -> ExportPlan:
    """Builds the model if necessary, and decides which graphs the export holds."""
    if not translator.model.built:
        translator.model.build()
    return ExportPlan(
        translator,
        checked_beam(translator, beam),
        server,
        name,
        version,
        tuple(formats),
        _onnx_plan(translator) if "onnx" in formats else None,
    )


def _onnx_plan(translator: Translator) -> OnnxPlan:
    from keras_s2s.export.onnx.files import onnx_plan  # only ONNX needs the package onnx

    return onnx_plan(translator)


def _write(
    plan: ExportPlan,
    runtimes: Runtimes,
    tell: Progress,
    *,
    int8: bool,
    training: Mapping[str, float] | None,
) -> list[Artefact]:
    """Writes every format of the plan, and returns the artefacts to compare with Keras."""
    artefacts: list[Artefact] = []
    if "serving" in plan.formats:
        artefacts += _write_served(plan, runtimes, tell)
    if plan.onnx:
        origin: dict[str, Any] = {"versions": versions(PACKAGES)}
        if training is not None:
            origin["training"] = training
        artefacts += _write_onnx(
            plan.translator, plan.onnx, runtimes.folder, tell, int8=int8, origin=origin
        )
    if "triton" in plan.formats:
        write_triton(
            runtimes.folder / "onnx" / "model.onnx",
            runtimes.folder / "triton",
            plan.name,
            plan.version,
            extensions=needs_extensions(plan.translator),
        )
    return artefacts


def _write_served(plan: ExportPlan, runtimes: Runtimes, tell: Progress) -> list[Artefact]:
    """Writes the SavedModel, and returns each signature in each runtime as an artefact."""
    folder = runtimes.folder / plan.path
    tell("Writing the SavedModel")
    folder.parent.mkdir(parents=True)
    write_version(plan, folder)
    tell("Replaying the warm-up requests")
    replay_warmup(runtimes.session(plan.path), folder)
    return [
        runtimes.artefact(Origin(runtime, plan.path, signature), task)
        for signature, task in SERVED_TASKS.items()
        for runtime in SERVED_BY
    ]


def _write_onnx(
    translator: Translator,
    plan: OnnxPlan,
    temporary: Path,
    tell: Progress,
    *,
    int8: bool,
    origin: Mapping[str, Any],
) -> list[Artefact]:
    """Writes the ONNX models, and returns all but those in int8 as artefacts."""
    from keras_s2s.export.onnx.files import write_onnx

    folder = temporary / "onnx"
    folder.mkdir()
    return write_onnx(translator, plan, folder, tell, int8=int8, origin=origin)


def _write_report(parity: ParityReport, path: Path) -> None:
    write_json(path, parity.to_json(), indent=1, ensure_ascii=True, allow_nan=False)


def _describe(
    plan: ExportPlan,
    runtimes: Runtimes,
    artefacts: Sequence[Artefact],
    parity: ParityReport,
    tasks: Mapping[str, Task],
    tell: Progress,
) -> None:
    """Writes the files that describe a proven export: report, expectation and README."""
    folder = runtimes.folder
    _write_report(parity, folder / REPORT)
    (folder / SUMMARY).write_text(parity_markdown(parity), encoding="utf-8")
    write_expected(folder / EXPECTED, artefacts, tasks, plan.server)
    tell("Timing the exported models")
    write_readme(plan, runtimes, parity, tasks)


def _publish(places: Places, output: Path, temporary: Path) -> None:
    """Moves a finished export from its temporary folder into place."""
    for folder in (places.saved_model, places.onnx, places.triton):
        if folder:
            publish(temporary / folder.relative_to(output), folder, temporary)
    if places.saved_model:
        write_configuration(output / "serving", temporary)
    for file in (EXPECTED, SUMMARY, README, REPORT):
        os.replace(temporary / file, output / file)
    (output / FAILED_REPORT).unlink(missing_ok=True)
