"""Finds and loads the translators that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_s2s.cli.options import ArgumentError, EnsembleMean
from keras_s2s.cli.terminal import quiet_start
from keras_s2s.translation.archive import find_translator

if TYPE_CHECKING:
    from keras_s2s.translation.translator import Translator


def check_models(
    model: Path, ensemble: Sequence[Path] | None = None, mean: EnsembleMean | None = None
) -> None:
    """Checks without TensorFlow that the models exist.

    Args:
        model: path of the first translator.
        ensemble: paths of the translators that decode together with it.
        mean: the kind of mean that the ensemble takes.

    Raises:
        ArgumentError: If `mean` is given without an ensemble.
        FileNotFoundError: If there is nothing at a path.
        ValueError: If a path leads to anything other than a saved translator.
    """
    if mean is not None and not ensemble:
        raise ArgumentError("--ensemble-mean needs --ensemble OTHER.")
    for path in (model, *(ensemble or ())):
        find_translator(path)


def load_models(
    model: Path, ensemble: Sequence[Path] | None = None, mean: EnsembleMean | None = None
) -> Translator:
    """Loads the translator of one model, or of several models that decode together."""
    with quiet_start():
        from keras_s2s.translation.archive import load_translator
        from keras_s2s.translation.combination import ensemble_translators

    translator = load_translator(model)
    if not ensemble:
        return translator
    others = [load_translator(path) for path in ensemble]
    return ensemble_translators([translator, *others], mean or "probabilities")
