"""Sequence-level knowledge distillation: training text with the translations of a teacher."""

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
    """The same training, on its pairs and on its sources with a teacher's translations.

    What a model says is easier to learn than what people wrote, and of several models together it
    is better than of one: a student that learns both comes near to its teachers, at its own size
    (Kim & Rush 2016; with ensembles, Freitag et al. 2017). An epoch has up to twice the
    pairs.

    Each different source is translated once, with the search that the teacher is saved with. A
    source without a translation is left out. Validation is as it was.

    Args:
        settings: of the training of the student.
        teacher: a `Translator`.
        folder: made to hold the text, whole or not at all: `source` and `target`, or `data.tsv`
            where `settings.data` is given, first all pairs as they are, then those with
            translations.

    Returns:
        Settings that read these files.

    Raises:
        CorpusError: training text that cannot be used.
        FileExistsError: there is such a folder.
        TypeError: a teacher that is none.

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
    taught = [pair for pair in zip(sources, outputs, strict=True) if has_text(*pair)]
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True, exist_ok=True)
        if settings.data is not None:
            write_lines(temporary / DATA, map("\t".join, (*pairs, *taught)))
        else:
            for name, side in zip((SOURCE, TARGET), zip(*pairs, *taught, strict=True), strict=True):
                write_lines(temporary / name, side)
    return taught_settings(settings, folder)


def taught_settings(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    """The settings that read what `distilled` wrote to a folder."""
    if settings.data is not None:
        return dataclasses.replace(settings, data=folder / DATA)
    return dataclasses.replace(settings, source=folder / SOURCE, target=folder / TARGET)
