"""Sequence-level knowledge distillation: training text with the translations of a teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_s2s.folder import write_text
from keras_s2s.ranges import FilePath
from keras_s2s.reading import has_text
from keras_s2s.settings import TrainingSettings

# So many sources are translated at once: a bound on memory, not on their number.
_CHUNK = 4096


def distilled(settings: TrainingSettings, teacher: Any, folder: Path) -> TrainingSettings:
    """The same training, on its pairs and on its sources with a teacher's translations.

    What a model says is easier to learn than what people wrote, and of several models together it
    is better than of one: a student that learns both comes near to its teachers, at its own size
    (Kim & Rush 2016; with ensembles, Freitag et al. 2017). An epoch has twice the pairs.

    Each different source is translated once, with the search that the teacher is saved with. A
    source without a translation is left out. Validation is as it was.

    Args:
        settings: of the training of the student.
        teacher: a `Translator`.
        folder: receives the text: `source` and `target`, or `data.tsv` where `settings.data` is
            given, first all pairs as they are, then those with translations.

    Returns:
        Settings that read these files.

    Raises:
        CorpusError: training text that cannot be used.

    Example:
        ```python
        teacher = ensemble_translators([load_translator(path) for path in paths])
        train(distilled(settings, teacher, Path("taught")))
        ```
    """
    read = taught_settings(settings, folder)
    pairs = [pair for pair in settings.pairs() if has_text(*pair)]
    sources = list(dict.fromkeys(source for source, _ in pairs))
    outputs: list[str] = []
    for start in range(0, len(sources), _CHUNK):
        outputs += teacher(sources[start : start + _CHUNK], batch_size=64)
    taught = [
        (source, " ".join(output.split()))
        for source, output in zip(sources, outputs, strict=True)
        if output.strip()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    if read.data is not None:
        _write(read.data, ("\t".join(pair) for pair in (*pairs, *taught)))
        return read
    for path, side in zip(
        (read.source, read.target), zip(*pairs, *taught, strict=True), strict=True
    ):
        _write(str(path), side)
    return read


def taught_settings(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    """The settings that `distilled` gives, without writing anything."""
    if settings.data is not None:
        return dataclasses.replace(settings, data=folder / "data.tsv")
    return dataclasses.replace(settings, source=folder / "source", target=folder / "target")


def is_written(settings: TrainingSettings) -> bool:
    """Whether the training text that `distilled` writes is there, whole."""
    return Path(str(settings.data or settings.target)).exists()  # what is written last


def _write(path: FilePath, lines: Iterable[str]) -> None:
    write_text(Path(path), "".join(f"{line}\n" for line in lines))
