"""Exports tiny translators once for all tests: the folder of a version, and whole exports."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from keras_s2s.export import ExportReport, export_translator
from keras_s2s.export.saved_model.version import write_version
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.serving.registry import TARGET, check_server
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import beam_search
from keras_s2s.search import BeamSearch, Search
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

PAIRS = [("char", "word"), ("unigram", "bpe")]
WIDTH = 3
NAMES = ("serving_default", "beam", "ids", "alignments")  # the names of the signatures

# The libraries of TensorFlow Text that came last, and the first server that has each.
LATE_LIBRARIES = {"trimmer_ops": "2.20", "utf8_binarize_op": "2.20"}


class Served(NamedTuple):
    """A translator and its version folder, loaded through the C API."""

    translator: Translator
    beam: Search
    folder: Path
    session: RemoteSession

    def texts(self, given: list[bytes], name: str = "translation") -> list[str]:
        signature = "serving_default" if name == "translation" else "beam"
        found = self.session.run(signature, {"text": strings(given)})[name]
        return [text.decode("utf-8") for text in found.ravel()]


def planned(translator: Translator, beam: Search | None = None) -> ExportPlan:
    """Returns the plan of version 7 of a model for TensorFlow Serving."""
    beam = beam or beam_search(translator.search, None)
    return ExportPlan(translator, beam, TARGET, "cats", 7, ("serving",))


def serve(pair: tuple[str, str], folder: Path) -> Served:
    """Exports a translator with a pair of tokenizers; the caller closes the session."""
    translator = tiny_translator(*pair, cell="gru" if pair == PAIRS[0] else "lstm")
    beam = beam_search(translator.search, WIDTH)
    version = folder / "cats" / "7"
    version.parent.mkdir()
    write_version(planned(translator, beam), version)
    return Served(translator, beam, version, RemoteSession(version))


def strings(given: list[bytes]) -> np.ndarray:
    """Returns bytes as an array of objects, whatever their number."""
    array = np.empty(len(given), object)
    array[:] = given
    return array


def late_libraries(server: str) -> list[str]:
    """Returns the names of the libraries of TensorFlow Text that a server lacks."""
    version = check_server(server)
    return [name for name, first in LATE_LIBRARIES.items() if check_server(first) > version]


class Exported(NamedTuple):
    """A whole export, with its translator and its progress messages."""

    translator: Translator
    report: ExportReport
    messages: list[str]

    @property
    def folder(self) -> Path:
        return self.report.report.parent


def export(folder: Path) -> Exported:
    """Exports a translator of characters to words in every format to FOLDER/cats."""
    translator = tiny_translator("char", "word", search=BeamSearch(2, max_length=6))
    messages: list[str] = []
    report = export_translator(
        translator, folder / "cats", sentences=texts(30), progress=messages.append
    )
    return Exported(translator, report, messages)


# The wheels nearest to a stock TensorFlow Serving 2.20.
WHEELS = ("tensorflow_cpu==2.20.0", "tensorflow_text==2.20.1")
SITE_VARIABLE = "KERAS_S2S_TENSORFLOW_2_20"


def unpack_tensorflow_2_20(folder: Path) -> Path:
    """Unpacks the libraries of TensorFlow 2.20.0, or skips the test if they are unavailable."""
    named = os.environ.get(SITE_VARIABLE)
    if named:
        return Path(named)
    command = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    got = subprocess.run(
        [sys.executable, "-m", "pip", *command, *WHEELS], capture_output=True, check=False
    )
    if got.returncode:
        pytest.skip(
            f"cannot download {' and '.join(WHEELS)}; unpack them and name their folder in "
            f"{SITE_VARIABLE} to run this"
        )
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).name.startswith("libtensorflow_") or "text/python/ops/_" in name:
                    archive.extract(name, folder)
        wheel.unlink()
    return folder
