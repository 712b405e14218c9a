"""Tests of finding, loading and saving the file of a translator."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.translation.archive import find_translator, load_translator, save_translator
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator()


@pytest.mark.thorough
def test_folder_is_loaded_by_the_translator_in_it(translator: Translator, tmp_path: Path) -> None:
    translator.save(tmp_path / "translator.keras")

    assert load_translator(tmp_path)(texts(3)) == translator(texts(3))
    assert load_translator(str(tmp_path))(texts(3)) == translator(texts(3))


@pytest.fixture(scope="module")
def saved(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "t.keras"
    translator.save(path)
    return path.read_bytes()


def test_nothing_at_the_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model at `.*nothing`"):
        load_translator(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"`translator\.keras` is not there"):
        load_translator(tmp_path)


def flipped(content: bytes, place: float) -> bytes:
    at = int(place * len(content))
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("t.keras", lambda content: b"", "is not a model, or is cut short"),
        ("t.keras", lambda content: b"one two\n", "is not a model, or is cut short"),
        ("t.keras", lambda content: content[: len(content) // 2], "is cut short"),
        ("t.keras", lambda content: content[:-1], "is cut short|is damaged"),
        ("t.keras", lambda content: flipped(content, 0.5), "is damaged"),
        ("t.txt", lambda content: content, "is not a model"),
        ("t.zip", lambda content: content, "is not a model"),
    ],
)
def test_file_that_is_no_model_is_refused(
    saved: bytes, tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    (tmp_path / name).write_bytes(change(saved))

    with pytest.raises(ValueError, match=message):
        load_translator(tmp_path / name)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_damage_anywhere_is_found_or_harmless(
    saved: bytes, tmp_path_factory: pytest.TempPathFactory, place: float, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.keras"
    path.write_bytes(saved[: int(place * len(saved))] if cut else flipped(saved, place))
    try:
        find_translator(path)
    except ValueError:
        return
    assert not cut


def test_other_models_are_named(tmp_path: Path, translator: Translator) -> None:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"other\.keras` holds Sequential, not a Translator"):
        load_translator(tmp_path / "other.keras")

    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(ValueError, match="holds no Keras model, not a Translator"):
        load_translator(tmp_path / "zip.keras")

    translator.model.save(tmp_path / "part.keras")
    with pytest.raises(ValueError, match="holds Seq2Seq, not a Translator"):
        load_translator(tmp_path / "part.keras")


def test_saving_a_translator_replaces_the_file_as_a_whole(
    translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copy.keras"
    save_translator(translator, path)
    before = path.read_bytes()

    def half(model: keras.Model, path: Path) -> None:
        path.write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(Killed):
        save_translator(translator, path)

    assert path.read_bytes() == before
