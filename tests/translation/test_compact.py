"""Compact files hold the weights in 8 bits and everything else unchanged."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.combination import average_translators
from keras_s2s.translation.compact import is_compact, write_compact, write_whole
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator("unigram", "bpe", cell="gru", units=32)


@pytest.fixture(scope="module")
def files(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The translator as Keras saves it, and compact."""
    folder = tmp_path_factory.mktemp("files")
    whole, compact = folder / "whole.keras", folder / "compact.keras"
    translator.save(whole)
    write_compact(whole, compact)
    return whole, compact


def rounded(weights: np.ndarray) -> np.ndarray:
    """Written down plainly: every number of a column to the nearest of 255 even steps."""
    if weights.ndim != 2 or len(weights) < 8:
        return weights
    columns = []
    for column in weights.T:
        step = np.abs(column).max() / 127
        columns.append(np.round(column / step) * step if step else column)
    return np.stack(columns, axis=1)


def test_weights_are_the_nearest_of_255_steps_of_each_column(
    translator: Translator, files: tuple[Path, Path]
) -> None:
    loaded = load_translator(files[1])

    changed = 0
    for before, after in zip(translator.model.weights, loaded.model.weights, strict=True):
        whole, found = (keras.ops.convert_to_numpy(each) for each in (before, after))
        assert found.dtype == whole.dtype
        np.testing.assert_allclose(found, rounded(whole), rtol=1e-5, atol=1e-6)
        changed += not np.array_equal(found, whole)
    assert changed >= 6  # embeddings, kernels, attention, output


def test_everything_but_the_weights_is_what_it_was(
    translator: Translator, files: tuple[Path, Path]
) -> None:
    loaded = load_translator(files[1])

    assert type(loaded) is Translator
    assert loaded.get_config() == load_translator(files[0]).get_config()
    sentences = texts(20)
    encoded = translator.source_tokenizer.encode(sentences)
    assert loaded.source_tokenizer.encode(sentences) == encoded
    scores = [each.score(sentences, sentences) for each in (translator, loaded)]
    for before, after in zip(*scores, strict=True):
        assert after.log_prob == pytest.approx(before.log_prob, rel=0.05)


@pytest.mark.thorough
def test_whole_again_it_is_a_file_of_keras(files: tuple[Path, Path], tmp_path: Path) -> None:
    write_whole(files[1], tmp_path / "again.keras")

    again, compact = keras.saving.load_model(tmp_path / "again.keras"), load_translator(files[1])
    assert again(texts(10)) == compact(texts(10))
    # Rounded numbers are rounded to themselves, so that nothing is lost a second time.
    write_compact(tmp_path / "again.keras", tmp_path / "twice.keras")
    twice = load_translator(tmp_path / "twice.keras").model.get_weights()
    for before, after in zip(compact.model.get_weights(), twice, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-7)


def test_a_file_is_near_a_quarter_of_what_it_was(tmp_path: Path) -> None:
    tiny_translator("char", "word", units=512).save(tmp_path / "whole.keras")

    write_compact(tmp_path / "whole.keras", tmp_path / "compact.keras")

    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("compact", "whole")]
    assert sizes[0] / sizes[1] < 0.27


@pytest.mark.thorough
def test_compact_files_stand_where_others_do(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert [is_compact(each) for each in files] == [False, True]
    (tmp_path / "translator.keras").write_bytes(files[1].read_bytes())

    assert load_translator(tmp_path)(texts(3)) == load_translator(files[1])(texts(3))
    mean = average_translators([files[1], files[1]])
    assert mean(texts(5)) == load_translator(files[1])(texts(5))


@pytest.mark.thorough
def test_a_column_of_zeros_stays_one(tmp_path: Path) -> None:
    translator = tiny_translator("char", "word")
    embedding = translator.model.encoder.embedding.embeddings
    values = keras.ops.convert_to_numpy(embedding).copy()
    values[:, 1] = 0
    embedding.assign(values)
    translator.save(tmp_path / "whole.keras")

    write_compact(tmp_path / "whole.keras", tmp_path / "compact.keras")

    loaded = load_translator(tmp_path / "compact.keras").model.encoder.embedding.embeddings
    assert not keras.ops.convert_to_numpy(loaded)[:, 1].any()


def test_what_cannot_be_is_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is compact already"):
        write_compact(files[1], tmp_path / "x.keras")
    with pytest.raises(ValueError, match="is not compact"):
        write_whole(files[0], tmp_path / "x.keras")
    translator = tiny_translator("char", "word")
    kernel = translator.model.decoder.embedding.embeddings
    kernel.assign(kernel * np.nan)
    translator.save(tmp_path / "nan.keras")
    with pytest.raises(ValueError, match=r"are not finite.*take an earlier model"):
        write_compact(tmp_path / "nan.keras", tmp_path / "x.keras")
    assert not (tmp_path / "x.keras").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "first",
    [
        "models.precision",
        "translation.combination",
        "training.construction",
        "export.parity.quality",
    ],
)
def test_models_load_whichever_module_comes_first(first: str, files: tuple[Path, Path]) -> None:
    code = (
        f"import keras_s2s.{first}\nfrom keras_s2s.translation.archive import load_translator\n"
        f"print(type(load_translator({str(files[1])!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "Translator\n", done.stderr[-500:]
