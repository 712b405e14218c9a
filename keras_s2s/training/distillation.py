"""Sequence-level knowledge distillation, which trains a student on a teacher's translations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from keras_s2s.data.reading import has_text
from keras_s2s.system.checks import check_instance
from keras_s2s.system.files import replacing, write_lines
from keras_s2s.training.settings.choices import FilePath
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.translator import Translator

DATA, SOURCE, TARGET = "data.tsv", "source", "target"


def distilled(
    settings: TrainingSettings, teacher: Translator, folder: FilePath
) -> TrainingSettings:
    """Adds a teacher's translations to the training text, and returns settings that read it.

    The translations of a model are easier to learn than those of people, and the translations of an
    ensemble are better than those of one model. A student that learns both the pairs and the
    translations comes near to its teachers, at its own size (Kim & Rush 2016; with ensembles,
    Freitag et al. 2017). An epoch has up to twice the pairs.

    Each different source is translated once, with the teacher's own search. A source without a
    translation is left out. The validation text stays the same.

    Args:
        settings: settings of the student's training.
        teacher: a `Translator`.
        folder: new folder for the text, which is written whole or not at all. It gets the files
            `source` and `target`, or `data.tsv` if `settings.data` is given. They hold first all
            pairs unchanged, and then the sources with their translations.

    Returns:
        Settings that read these files.

    Raises:
        CorpusError: If the training text cannot be used.
        FileExistsError: If the folder exists.
        TypeError: If `teacher` is not a `Translator`.

    Example:
        ```python
        teacher = ensemble_translators([load_translator(path) for path in paths])
        train(distilled(settings, teacher, Path("taught")))
        ```
    """
    check_instance("teacher", teacher, Translator)
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"`{folder}` is there already. Name another folder, or remove it.")
    pairs = [pair for pair in settings.pairs() if has_text(*pair)]
    sources = list(dict.fromkeys(source for source, _ in pairs))
    translations = teacher.stream(sources, batch_size=64)
    outputs = [" ".join(hypotheses[0].text.split()) for hypotheses in translations]
    translated = [pair for pair in zip(sources, outputs, strict=True) if has_text(*pair)]
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True, exist_ok=True)
        if settings.data is not None:
            write_lines(temporary / DATA, map("\t".join, (*pairs, *translated)))
        else:
            sides = zip(*pairs, *translated, strict=True)
            for name, lines in zip((SOURCE, TARGET), sides, strict=True):
                write_lines(temporary / name, lines)
    return taught_settings(settings, folder)


def taught_settings(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    """Returns the settings that read the files which `distilled` wrote to a folder."""
    if settings.data is not None:
        return dataclasses.replace(settings, data=folder / DATA)
    return dataclasses.replace(settings, source=folder / SOURCE, target=folder / TARGET)
