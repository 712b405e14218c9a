"""Export as one call: a translator in, verified artefacts in their folders out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_s2s.export.errors import ParityError
from keras_s2s.export.guide.facts import write_readme
from keras_s2s.export.guide.parity_table import parity_markdown
from keras_s2s.export.guide.readme import README
from keras_s2s.export.metadata import settings_of
from keras_s2s.export.onnx.packages import check_onnx, needs_extensions
from keras_s2s.export.parity.comparison import compare
from keras_s2s.export.parity.expectation import (
    SERVED_BY,
    SERVED_TASKS,
    tasks_of,
    write_expected,
)
from keras_s2s.export.parity.quality import check_quality, check_quantization, compare_quality
from keras_s2s.export.parity.record import EXPECTED
from keras_s2s.export.parity.report import ParityReport
from keras_s2s.export.parity.sentences import parity_sentences
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.publication.places import (
    check_readme,
    model_name,
    other_folder,
    version_folder,
)
from keras_s2s.export.publication.preconditions import FORMATS, check_formats, check_settings
from keras_s2s.export.publication.staging import publish, staging
from keras_s2s.export.runtimes.artefacts import Artefact, Origin
from keras_s2s.export.runtimes.runtimes import Runtimes, runtimes_below
from keras_s2s.export.saved_model.version import replay_warmup, write_version
from keras_s2s.export.serving.configuration import write_configuration
from keras_s2s.export.serving.registry import TARGET, check_server
from keras_s2s.export.serving.triton import write_triton
from keras_s2s.export.specs.plan import ExportPlan, OnnxPlan
from keras_s2s.export.specs.signatures import TEXT, checked_beam
from keras_s2s.system.files import write_json
from keras_s2s.system.machine import machine, versions
from keras_s2s.translation.translator import Translator

REPORT = "parity.json"
SUMMARY = "parity.md"
FAILED_REPORT = "parity.failed.json"
PACKAGES = (  # whose versions the report names
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


@dataclass(frozen=True)
class ExportReport:
    """What an export published.

    Attributes:
        saved_model: the version folder for TensorFlow Serving, or None.
        onnx: the folder of the ONNX models, or None.
        triton: the folder of the repository for Triton, or None.
        report: the file with the parity run.
        parity: the parity run.
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
    """Exports a translator, compares what it wrote with Keras, and publishes it if all is equal.

    1. `OUTPUT/serving/NAME/VERSION/`: a SavedModel with the signatures of `signatures`, warm-up
       requests and batching parameters; beside NAME `models.config` and `monitoring.config`.
    2. `OUTPUT/onnx/`: `model.onnx` from text to text and `model.ids.onnx` from ids to ids, both
       with the translator's own search, and more; see `onnx_files.write_onnx`.
    3. `OUTPUT/triton/`: a model repository with `model.onnx`.
    4. `OUTPUT/parity.json`: every comparison of every artefact with Keras, versions and machine;
       `OUTPUT/parity.md`, the same to read; `OUTPUT/parity.expected.json`, the inputs and what
       Keras gave for them, from which `verify_export` compares again.
    5. `OUTPUT/README.md`: how to run this model, with its names, a sentence and its output, and how
       long it took here.

    Everything is made and verified in a temporary folder inside OUTPUT and renamed into place at
    the end.

    Args:
        translator: a trained translator.
        output: folder that receives `serving/` and `onnx/`.
        name: the model's name for TensorFlow Serving; the output folder's name when omitted.
        version: version number; when omitted, one more than the highest there is. TensorFlow
            Serving loads the highest by itself, and never loads a number again whose files changed.
        formats: any of 'serving', 'onnx' and, with it, 'triton'.
        beam: hypotheses of the signature `beam`; the translator's own beam, or 5, when omitted.
        server: the oldest TensorFlow Serving that is to load the SavedModel; operators it lacks are
            refused.
        sentences: texts to verify with; random ones are added up to 100. In every case some awkward
            ones are: empty, over-long, bytes that are no UTF-8.
        quantize: 'int8' also writes each ONNX model in 8 bits.
        references: one for each of the sentences, which int8 models are measured against.
        int8_drop: points of BLEU or of exact match in percent that int8 may lose; infinity for any.
        training: what the training reached, for the metadata of ONNX files, by name.
        force: replace the folders `onnx` and `triton` and, where `version` was given, that version.
        progress: called with what is done next.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If an argument has no meaning.
        FileExistsError: If something would be overwritten without `force`.
        ImportError: If a package is missing.
        ExportError: If the model cannot be exported.
        ParityError: If an artefact does not give what Keras gives. Nothing is published then, and
            `OUTPUT/parity.failed.json` tells the differences.
    """
    tell = progress or (lambda message: None)
    output = Path(output)
    check_formats(formats)
    check_settings(translator)
    check_server(server)
    if "onnx" in formats:
        check_onnx(translator)
    name = model_name(output, name)
    place = version_folder(output, name, version, force)
    saved_model = place if "serving" in formats else None
    onnx, triton = (
        other_folder(output, kind, force) if kind in formats else None
        for kind in ("onnx", "triton")
    )
    check_readme(output)
    check_quantization(quantize, formats, sentences, references, int8_drop)
    if not translator.model.built:
        translator.model.build()
    plan = ExportPlan(
        translator,
        checked_beam(translator, beam),
        server,
        name,
        int(place.name),
        tuple(formats),
        _onnx_plan(translator) if onnx else None,
    )

    with staging(output) as temporary, runtimes_below(temporary) as runtimes:
        artefacts: list[Artefact] = []
        if saved_model:
            artefacts += _write_served(plan, runtimes, tell)
        if plan.onnx:
            origin: dict[str, Any] = {"versions": versions(PACKAGES)}
            if training is not None:
                origin["training"] = training
            artefacts += _write_onnx(
                translator, plan.onnx, temporary, tell, int8=quantize is not None, origin=origin
            )
        if triton:
            write_triton(
                temporary / "onnx" / "model.onnx",
                temporary / "triton",
                plan.name,
                plan.version,
                extensions=needs_extensions(translator),
            )
        parity, tasks = _verify(plan, artefacts, sentences, tell)
        if quantize and parity.passed:
            tell("Measuring int8")
            parity.about["int8"] = _int8(temporary / "onnx", tasks, sentences, references)
        report = parity.to_json()
        write_json(temporary / REPORT, report, indent=1, ensure_ascii=True, allow_nan=False)
        if not parity.passed:
            os.replace(temporary / REPORT, output / FAILED_REPORT)
            raise _parity_error(parity, output / FAILED_REPORT)
        if quantize:
            check_quality(parity.about["int8"], int8_drop)
        write_expected(temporary / EXPECTED, artefacts, tasks, server)
        (temporary / SUMMARY).write_text(parity_markdown(parity), encoding="utf-8")
        tell("Timing what was exported")
        write_readme(plan, runtimes, parity, tasks)
        for folder in (saved_model, onnx, triton):
            if folder:
                publish(temporary / folder.relative_to(output), folder, temporary)
        if saved_model:
            write_configuration(output / "serving", temporary)
        for file in (EXPECTED, SUMMARY, README, REPORT):
            os.replace(temporary / file, output / file)
        (output / FAILED_REPORT).unlink(missing_ok=True)
    return ExportReport(saved_model, onnx, triton, output / REPORT, parity)


def _write_served(plan: ExportPlan, runtimes: Runtimes, tell: Progress) -> list[Artefact]:
    """The SavedModel; every signature of it, in Python's TensorFlow and through the C API."""
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


def _onnx_plan(translator: Translator) -> OnnxPlan:
    from keras_s2s.export.onnx.files import onnx_plan  # onnx and tf2onnx are needed for ONNX alone

    return onnx_plan(translator)


def _write_onnx(
    translator: Translator, plan: OnnxPlan, temporary: Path, tell: Progress, **wishes: Any
) -> list[Artefact]:
    from keras_s2s.export.onnx.files import write_onnx

    folder = temporary / "onnx"
    folder.mkdir()
    return write_onnx(translator, plan, folder, tell, **wishes)


def _int8(
    folder: Path,
    tasks: dict[str, Task],
    sentences: Sequence[str] | None,
    references: Sequence[str] | None,
) -> dict[str, Any]:
    texts = sentences if references is not None else tasks["text"].sources
    return compare_quality(
        folder / "model.onnx", folder / "model.int8.onnx", texts or [], references
    )


def _verify(
    plan: ExportPlan,
    artefacts: list[Artefact],
    given: Sequence[str] | None,
    tell: Progress,
) -> tuple[ParityReport, dict[str, Task]]:
    translator = plan.translator
    begin = time.monotonic()
    texts = parity_sentences(translator, given)
    tell("Running Keras for what must be equal")
    wanted = {artefact.task for artefact in artefacts if artefact.task is not None}
    tasks = tasks_of(plan, texts, {SERVED_TASKS[TEXT], *wanted})
    comparisons = compare(translator, artefacts, texts, tell, tasks)
    about = {
        "settings": settings_of(translator, translator.search),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "machine": machine(),
    }
    origin = {"count": len(texts), "given": len(given or [])}
    return ParityReport(origin, comparisons, about, time.monotonic() - begin), tasks


def _parity_error(parity: ParityReport, report: Path) -> ParityError:
    failures = parity.failures()
    return ParityError(
        f"{len(failures)} of {len(parity.comparisons)} comparisons with Keras failed, so nothing "
        f"was published: {'; '.join(failures)}. The whole comparison is in {report}."
    )
