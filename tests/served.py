"""A tiny translator exported once for all tests of what is served, and the sessions over it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from translators import tiny_translator

from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.signatures import beam_search
from keras_s2s.export.version import write_version
from keras_s2s.search import Search
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
