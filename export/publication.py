"""Export as one call: a translator in, verified artefacts in their folders out."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING

from keras_s2s.export.comparison import ParityReport
from keras_s2s.export.errors import ParityError
from keras_s2s.export.expectation import (
    EXPECTED,
    SERVED_BY,
    SERVED_TASKS,
    tasks_of,
    write_expected,
    write_json,
)
from keras_s2s.export.places import onnx_folder, version_folder
from keras_s2s.export.runtimes import runtimes_below
from keras_s2s.export.serving.configuration import write_configuration
from keras_s2s.export.serving.registry import TARGET, check_server
from keras_s2s.export.signatures import beam_search
from keras_s2s.export.staging import publish, staging
from keras_s2s.export.summary import parity_markdown
from keras_s2s.export.version import replay_warmup, write_version
from keras_s2s.search import Search
from keras_s2s.text import SentencePieceTokenizer
from keras_s2s.translator import Translator

if TYPE_CHECKING:
    from keras_s2s.export.parity import Artefact
    from keras_s2s.export.runtimes import Runtimes
    from keras_s2s.export.tasks import Task

FORMATS = ("serving", "onnx")
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
        report: the file with the parity run.
        parity: the parity run.
    """

    saved_model: Path | None
    onnx: Path | None
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
    force: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Exports a translator, compares what it wrote with Keras, and publishes it if all is equal.

    1. `OUTPUT/serving/NAME/VERSION/`: a SavedModel with the signatures of `signatures`, warm-up
       requests and batching parameters; beside NAME `models.config` and `monitoring.config`.
    2. `OUTPUT/onnx/`: `model.onnx` from text to text and `model.ids.onnx` from ids to ids, both
       with the translator's own search, and more; see `onnx_files.write_onnx`.
    3. `OUTPUT/parity.json`: every comparison of every artefact with Keras, versions and machine;
       `OUTPUT/parity.md`, the same to read; `OUTPUT/parity.expected.json`, the inputs and what
       Keras gave for them, from which `verify_export` compares again.

    Everything is made and verified in a temporary folder inside OUTPUT and renamed into place at
    the end.

    Args:
        translator: a trained translator.
        output: folder that receives `serving/` and `onnx/`.
        name: the model's name for TensorFlow Serving; the output folder's name when omitted.
        version: version number; when omitted, one more than the highest there is. TensorFlow
            Serving loads the highest by itself, and never loads a number again whose files changed.
        formats: 'serving', 'onnx' or both.
        beam: hypotheses of the signature `beam`; the translator's own beam, or 5, when omitted.
        server: the oldest TensorFlow Serving that is to load the SavedModel; operators it lacks are
            refused.
        sentences: texts to verify with; random ones are added up to 100. In every case some awkward
            ones are: empty, over-long, bytes that are no UTF-8.
        force: replace the `onnx` folder and, where `version` was given, that version.
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
    _check_formats(formats)
    _check_settings(translator)
    check_server(server)
    if "onnx" in formats:
        _check_onnx(translator)
    saved_model = version_folder(output, name, version, force) if "serving" in formats else None
    onnx = onnx_folder(output, force) if "onnx" in formats else None
    if not translator.model.built:
        translator.model.build()
    search = _beam(translator, beam)

    with staging(output) as temporary, runtimes_below(temporary) as runtimes:
        artefacts: list[Artefact] = []
        if saved_model:
            tell("Writing the SavedModel")
            folder = temporary / saved_model.relative_to(output)
            folder.parent.mkdir(parents=True)
            write_version(translator, folder, beam=search, server=server)
            path = folder.relative_to(temporary).as_posix()
            tell("Replaying the warm-up requests")
            replay_warmup(runtimes.session(path), folder)
            artefacts += _served(runtimes, path)
        if onnx:
            (temporary / "onnx").mkdir()
            artefacts += _make_onnx(translator, temporary / "onnx", tell)
        parity, tasks = _verify(translator, search, artefacts, sentences, tell)
        write_json(temporary / REPORT, parity.to_json())
        if not parity.passed:
            os.replace(temporary / REPORT, output / FAILED_REPORT)
            raise _parity_error(parity, output / FAILED_REPORT)
        write_expected(temporary / EXPECTED, artefacts, tasks, server)
        (temporary / SUMMARY).write_text(parity_markdown(parity), encoding="utf-8")
        if saved_model:
            publish(temporary / saved_model.relative_to(output), saved_model, temporary)
            write_configuration(output / "serving", temporary)
        if onnx:
            publish(temporary / "onnx", onnx, temporary)
        for file in (EXPECTED, SUMMARY, REPORT):
            os.replace(temporary / file, output / file)
        (output / FAILED_REPORT).unlink(missing_ok=True)
    return ExportReport(saved_model, onnx, output / REPORT, parity)


def _beam(translator: Translator, width: int | None) -> Search:
    if width is not None and (isinstance(width, bool) or not isinstance(width, int) or width < 1):
        raise ValueError(f"`beam` must be a positive integer; got {width!r}.")
    size = translator.target_tokenizer.vocabulary_size
    search = beam_search(translator.search, width)
    if search.width > size:
        raise ValueError(
            f"`beam` must be at most the number of target ids, {size}; got {search.width}."
        )
    return search


def _check_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if isinstance(formats, str) or unknown or not formats:
        raise ValueError(
            f"`formats` must be one or more of {', '.join(map(repr, FORMATS))}; got {formats!r}."
        )


def _check_settings(translator: Translator) -> None:
    if translator.search.needs_noise:
        raise ValueError(
            "`translator.search` draws its outputs, and an exported graph that draws cannot be "
            f"proven equal to Keras; it is {type(translator.search).__name__}. Set it to a "
            "GreedySearch or a BeamSearch to export."
        )
    for name in ("unknown_replacement", "choice"):
        if getattr(translator, name) is not None:
            raise ValueError(
                f"`translator.{name}` is not part of exported graphs, which would give other texts "
                f"than the translator; it is {type(getattr(translator, name)).__name__}. Set it to "
                "None to export."
            )


def _check_onnx(translator: Translator) -> None:
    needed = ["onnx", "tf2onnx", "onnxruntime"]
    tokenizers = (translator.source_tokenizer, translator.target_tokenizer)
    if any(isinstance(tokenizer, SentencePieceTokenizer) for tokenizer in tokenizers):
        needed.append("onnxruntime_extensions")
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"An ONNX export needs {', '.join(missing)}, which cannot be found. Install with "
            "pip install 'keras-s2s[onnx]', or leave 'onnx' out of the formats."
        )
    dtypes = translator.model.compute_dtypes
    if dtypes != {"float32"}:
        raise ValueError(
            f"A model must compute in float32 to become ONNX; got {', '.join(sorted(dtypes))}. "
            "Make it once more under the dtype policy 'float32' and set_weights() of this one."
        )


def _served(runtimes: Runtimes, path: str) -> list[Artefact]:
    """Every signature of a SavedModel, in Python's TensorFlow and through the C API."""
    from keras_s2s.export.parity import Origin

    return [
        runtimes.artefact(Origin(runtime, path, signature), task)
        for signature, task in SERVED_TASKS.items()
        for runtime in SERVED_BY
    ]


def _make_onnx(translator: Translator, folder: Path, tell: Progress) -> list[Artefact]:
    from keras_s2s.export.onnx_files import write_onnx

    return write_onnx(translator, folder, tell)


def _verify(
    translator: Translator,
    beam: Search,
    artefacts: list[Artefact],
    given: Sequence[str] | None,
    tell: Progress,
) -> tuple[ParityReport, dict[str, Task]]:
    from keras_s2s.export.metadata import settings_of
    from keras_s2s.export.parity import compare
    from keras_s2s.export.sentences import parity_sentences

    begin = time.monotonic()
    texts = parity_sentences(translator, given)
    tell("Running Keras for what must be equal")
    wanted = {artefact.task for artefact in artefacts if artefact.task is not None}
    tasks = tasks_of(translator, beam, texts, wanted)
    comparisons = compare(translator, artefacts, texts, tell, tasks)
    about = {
        "settings": settings_of(translator, translator.search),
        "versions": {"python": platform.python_version(), **_versions(PACKAGES)},
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }
    origin = {"count": len(texts), "given": len(given or [])}
    return ParityReport(origin, comparisons, about, time.monotonic() - begin), tasks


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = package_version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _parity_error(parity: ParityReport, report: Path) -> ParityError:
    failures = parity.failures()
    return ParityError(
        f"{len(failures)} of {len(parity.comparisons)} comparisons with Keras failed, so nothing "
        f"was published: {'; '.join(failures)}. The whole comparison is in {report}."
    )
