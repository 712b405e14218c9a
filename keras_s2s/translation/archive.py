"""Finds, loads and saves the `.keras` file of a translator.

Finding the file needs no Keras, so that the command line can refuse a wrong file before it waits
for TensorFlow.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from keras_s2s.system.files import replacing

if TYPE_CHECKING:
    from keras_s2s.translation.translator import Translator

TRANSLATOR = "translator.keras"
_EXPECTED = "Expected a .keras file that `keras-s2s train` or Translator.save wrote"


def find_translator(path: str | os.PathLike[str]) -> Path:
    """Finds the file of a saved translator, and checks that it can be read.

    Args:
        path: a `.keras` file, or a folder that holds `translator.keras`.

    Returns:
        The path of the `.keras` file: an undamaged archive whose config names a `Translator`.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If the file is not a saved translator, or if it is damaged.
    """
    path = Path(path)
    file = path / TRANSLATOR if path.is_dir() else path
    if not file.exists():
        raise FileNotFoundError(
            f"There is no model at `{path}`: `{file.name}` is not there. {_EXPECTED}, or the "
            "folder of a training run."
        )
    if file.suffix != ".keras" or not file.is_file():
        raise ValueError(f"`{file}` is not a model. {_EXPECTED}.")
    config = _read_config(file)
    if not isinstance(config, dict) or config.get("registered_name") != "keras_s2s>Translator":
        class_name = config.get("class_name") if isinstance(config, dict) else None
        raise ValueError(
            f"`{file}` holds {class_name or 'no Keras model'}, not a Translator. {_EXPECTED}."
        )
    return file


def _read_config(file: Path) -> object:
    """Reads the config of an archive, or None if it has none, and checks every other byte.

    Raises:
        ValueError: If the file is not an archive, or is damaged.
    """
    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(f"`{file}` is not a model, or is cut short. {_EXPECTED}.")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            if damaged is None:
                return json.loads(archive.read("config.json"))
    except KeyError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError):
        damaged = "its directory"
    raise ValueError(f"`{file}` is damaged: {damaged} cannot be read. Copy or train it anew.")


def load_translator(path: str | os.PathLike[str]) -> Translator:
    """Loads a translator from its `.keras` file, or from the folder of a training.

    Args:
        path: a `.keras` file, which may be compact, or a folder that holds `translator.keras`.

    Returns:
        The `Translator`, with tokenizers and search settings as saved.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If the file is not a saved translator, or is damaged.
    """
    file = find_translator(path)
    import keras

    from keras_s2s.translation.compact import is_compact, write_whole

    if not is_compact(file):
        return keras.saving.load_model(file)
    with TemporaryDirectory() as folder:
        whole = Path(folder) / TRANSLATOR
        write_whole(file, whole)
        return keras.saving.load_model(whole)


def save_translator(translator: Translator, path: Path) -> None:
    """Writes the file of a translator, in float32 and without its optimizer.

    Args:
        translator: the translator to save, which is not changed.
        path: a file name that ends with `.keras`. An existing file is replaced by a complete new
            one, or not at all.
    """
    with replacing(path) as temporary:
        translator.copy(mixed=False).save(temporary)
