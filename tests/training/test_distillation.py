"""A training text gets the translations of a teacher."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_s2s as s2s
from keras_s2s.data.reading import read_lines, read_tsv
from keras_s2s.training.distillation import taught_settings
from keras_s2s.training.settings.settings import TrainingSettings

PAIRS = [("a b", "1 2"), ("b", "2"), ("a b", "1 and 2"), ("", "7"), ("c a", "3 1")]


def made(**controls: Any) -> s2s.Translator:
    keras.utils.set_random_seed(1)
    source, target = s2s.WordTokenizer(["a", "b", "c"]), s2s.WordTokenizer(["x", "y"])
    model = s2s.Seq2Seq(
        s2s.Encoder(vocabulary_size=source.vocabulary_size, embedding_size=4, units=4),
        s2s.Decoder(vocabulary_size=target.vocabulary_size, embedding_size=4, units=8),
    )
    model.build()
    search = s2s.BeamSearch(2, max_length=4, **controls)
    return s2s.Translator(model, source, target, search, max_source_length=8)


@pytest.fixture(scope="module")
def teacher() -> s2s.Translator:
    return made(min_length=2)


def settings_for(folder: Path, **given: Any) -> TrainingSettings:
    tsv = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
    (folder / "pairs.tsv").write_text(tsv, encoding="utf-8")
    for name, side in zip(("s", "t"), zip(*PAIRS, strict=True), strict=True):
        (folder / name).write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
    return TrainingSettings(output=folder / "out", val_data=folder / "pairs.tsv", **given)


def test_each_source_is_translated_once_after_all_pairs(
    tmp_path: Path, teacher: s2s.Translator
) -> None:
    settings = settings_for(tmp_path, data=tmp_path / "pairs.tsv", seed=7)
    taught = s2s.distilled(settings, teacher, tmp_path / "taught")

    real = [pair for pair in PAIRS if pair[0]]
    sources = ["a b", "b", "c a"]
    translations = teacher(sources)
    assert all(translations)
    assert list(read_tsv(str(taught.data))) == real + list(zip(sources, translations, strict=True))
    assert (taught.seed, taught.val_data) == (7, settings.val_data)
    assert taught == taught_settings(settings, tmp_path / "taught")


@pytest.mark.thorough
def test_of_two_files_two_are_made(tmp_path: Path, teacher: s2s.Translator) -> None:
    settings = settings_for(tmp_path, source=tmp_path / "s", target=tmp_path / "t")
    named = taught_settings(settings, tmp_path / "taught")
    assert not (tmp_path / "taught").exists()
    taught = s2s.distilled(settings, teacher, tmp_path / "taught")

    assert taught == named
    assert {path.name for path in (tmp_path / "taught").iterdir()} == {"source", "target"}
    of_tsv = settings_for(tmp_path, data=tmp_path / "pairs.tsv")
    expected = list(s2s.distilled(of_tsv, teacher, tmp_path / "tsv").pairs())
    assert list(taught.pairs()) == expected
    assert len(list(read_lines(str(taught.source)))) == len(expected) == 7


@pytest.mark.thorough
def test_a_source_without_a_translation_is_left_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, data=tmp_path / "pairs.tsv")
    silent = made()
    bias = silent.model.decoder.output_layer.bias
    bias.assign(9.0 * (np.arange(bias.shape[0]) == silent.target_tokenizer.end_id))
    assert not any(silent(["a b", "b", "c a"]))
    taught = s2s.distilled(settings, silent, tmp_path / "taught")
    assert list(taught.pairs()) == [pair for pair in PAIRS if pair[0]]


def test_what_is_there_is_not_written_over(tmp_path: Path, teacher: s2s.Translator) -> None:
    settings = settings_for(tmp_path, data=tmp_path / "pairs.tsv")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="is there already"):
        s2s.distilled(settings, teacher, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_teacher_is_a_translator(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, data=tmp_path / "pairs.tsv")
    with pytest.raises(TypeError, match="`teacher` must be a Translator; got str"):
        s2s.distilled(settings, "deep.keras", tmp_path / "taught")  # type: ignore[arg-type]
    assert not (tmp_path / "taught").exists()
