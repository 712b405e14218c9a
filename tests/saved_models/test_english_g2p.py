"""The committed grapheme-to-phoneme translator loads, pronounces words, and is as its card says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from keras_s2s.export.parity.quality import outputs_of
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.translator import Translator

FOLDER = Path(__file__).resolve().parents[2] / "saved_models" / "english-g2p"
WORDS = {
    "attention": "AH T EH N SH AH N",
    "keyboard": "K IY B AO R D",
    "window": "W IH N D OW",
    "knight": "N AY T",
    "phonetics": "F AH N EH T IH K S",
}


@pytest.fixture(scope="module")
def translator() -> Translator:
    return load_translator(FOLDER / "translator.keras")


def test_it_says_words_in_either_case(translator: Translator) -> None:
    for words in (list(WORDS), [word.upper() for word in WORDS]):
        assert dict(zip(WORDS, translator(words), strict=True)) == WORDS


def test_its_onnx_file_says_them_without_keras() -> None:
    found = outputs_of(FOLDER / "model.int8.onnx", list(WORDS))
    assert dict(zip(WORDS, found, strict=True)) == WORDS


def test_both_files_are_below_ten_megabytes() -> None:
    files = [FOLDER / "translator.keras", FOLDER / "model.int8.onnx"]
    assert sum(file.stat().st_size for file in files) < 10e6


def test_the_card_has_the_measured_scores_and_sizes() -> None:
    scores = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) MB \| ([\d.]+) % \| ([\d.]+) % \|", card, re.M)
    assert len(rows) == 2
    for name, megabytes, wer, per in rows:
        measured = scores[name]
        assert measured["bytes"] == (FOLDER / name).stat().st_size
        assert (float(wer), float(per)) == (measured["wer"], measured["per"])
        assert float(megabytes) == pytest.approx(measured["bytes"] / 1e6, abs=0.05)
