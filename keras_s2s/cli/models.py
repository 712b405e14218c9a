"""Loads the translators that the options name."""

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
    """Raises for models that are not there, without TensorFlow.

    Raises:
        ArgumentError: `mean` without an ensemble.
        FileNotFoundError: nothing at a path.
        ValueError: what is there is not a saved translator.
    """
    if mean is not None and not ensemble:
        raise ArgumentError("--ensemble-mean needs --ensemble OTHER.")
    for path in (model, *(ensemble or ())):
        find_translator(path)


def load_models(
    model: Path, ensemble: Sequence[Path] | None = None, mean: EnsembleMean | None = None
) -> Translator:
    """The translator of one model, or of several decoded together."""
    with quiet_start():
        from keras_s2s.translation.archive import load_translator
        from keras_s2s.translation.combination import ensemble_translators

    translator = load_translator(model)
    if not ensemble:
        return translator
    others = [load_translator(path) for path in ensemble]
    return ensemble_translators([translator, *others], mean or "probabilities")
