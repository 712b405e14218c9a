"""Tiny translators exported once for all tests: a version's folder, and whole exports."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from translators import texts, tiny_translator

from keras_s2s.export import ExportReport, export_translator
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.signatures import beam_search
from keras_s2s.export.version import write_version
from keras_s2s.search import BeamSearch, Search
from keras_s2s.translator import Translator

PAIRS = [("char", "word"), ("unigram", "bpe")]
WIDTH = 3


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


def serve(pair: tuple[str, str], folder: Path) -> Served:
    """Exports one pair of tokenizers; close the session."""
    translator = tiny_translator(*pair, cell="gru" if pair == PAIRS[0] else "lstm")
    beam = beam_search(translator.search, WIDTH)
    version = folder / "cats" / "7"
    version.parent.mkdir()
    write_version(translator, version, beam=beam)
    return Served(translator, beam, version, RemoteSession(version))


def strings(given: list[bytes]) -> np.ndarray:
    """Bytes as an array of objects, whatever their number."""
    array = np.empty(len(given), object)
    array[:] = given
    return array


class Exported(NamedTuple):
    """A whole export, what it said on the way, and the translator."""

    translator: Translator
    report: ExportReport
    messages: list[str]

    @property
    def folder(self) -> Path:
        return self.report.report.parent


def export(folder: Path) -> Exported:
    """Exports characters to words in every format, to FOLDER/cats."""
    translator = tiny_translator("char", "word", search=BeamSearch(2, max_length=6))
    messages: list[str] = []
    report = export_translator(
        translator, folder / "cats", sentences=texts(30), progress=messages.append
    )
    return Exported(translator, report, messages)
