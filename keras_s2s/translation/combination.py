"""Combines several translators into one, by an ensemble or by the mean of their weights.

An ensemble averages the predictions of its models at every step, and takes as long as all of them
together. A model with the mean of their weights takes no longer than one of them, but all models
must have the same design.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from keras_s2s.models.ensemble import Ensemble, weight_shares
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.translator import Translator

# Settings that may differ between averaged models, because they affect the training of a model and
# not its results. Keras makes up the names.
_TRAINING_SETTINGS = frozenset(
    {
        *("name", "trainable", "trainable_embedding", "teacher_forcing", "guided_alignment"),
        *("dropout", "recurrent_dropout", "embedding_dropout", "word_dropout"),
    }
)


def ensemble_translators(
    translators: Sequence[Translator],
    mean: str = "probabilities",
    weights: Sequence[float] | None = None,
) -> Translator:
    """Combines translators into one, whose model is an `Ensemble` of their models.

    Args:
        translators: translators with the same tokenizers. Their models are used, not copied.
        mean: the kind of mean of the predictions, as for `Ensemble`.
        weights: a weight for each model, as for `Ensemble`.

    Returns:
        A new `Translator` with the search and the other settings of the first translator.

    Raises:
        ValueError: If there are no translators, if their tokenizers differ, or if `Ensemble`
            refuses the models or the weights.
    """
    _check_same_tokenizers(translators)
    members: list[Any] = [translator.model for translator in translators]
    return translators[0].with_model(Ensemble(members, mean, weights))


def average_translators(
    translators: Sequence[Translator | str | PathLike[str]],
    weights: Sequence[float] | None = None,
) -> Translator:
    """Averages the weights of translators of the same design with the same tokenizers.

    Each variable becomes `Σ_m w_m v_m` over the models `m`, with weights `w` that sum to 1.
    Averaging helps for checkpoints of one training, whose weights lie near each other. For models
    that were trained apart, use an `Ensemble`. Translators are loaded one after the other, so
    memory holds only the sum and one translator at a time.

    Args:
        translators: translators, or paths that `load_translator` takes.
        weights: a positive number for each translator, divided by their sum; equal when omitted.

    Returns:
        A new `Translator` with the search and the other settings of the first translator. The
        arguments do not change.

    Raises:
        ValueError: If there are no translators, if their designs or tokenizers differ, or if
            `weights` are not one positive number for each. The error names the setting or variable
            that differs.
        FileNotFoundError: If there is nothing at a path.
        TypeError: If `translators` is one translator or path instead of a sequence.
    """
    if isinstance(translators, str | PathLike | Translator):
        raise TypeError(
            "`translators` must be a sequence of translators or paths; got one "
            f"{type(translators).__name__}. Put it in a list."
        )
    if not translators:
        raise ValueError(
            "There must be at least one translator to average; got none. Give translators or paths."
        )
    shares = weight_shares(weights, len(translators))
    names = [_name(translator, number) for number, translator in enumerate(translators, 1)]
    first = _load_if_path(translators[0])
    sums = [_weighted(value, shares[0]) for value in first.model.get_weights()]
    for path, name, share in zip(translators[1:], names[1:], shares[1:], strict=True):
        translator = _load_if_path(path)
        _check_same_tokenizers([first, translator], [names[0], name])
        _check_same_design(first, translator, names[0], name)
        for total, value in zip(sums, translator.model.get_weights(), strict=True):
            total += _weighted(value, share)
        del translator
    average = first.copy()
    dtypes = [value.dtype for value in average.model.get_weights()]
    average.model.set_weights(
        [total.astype(dtype) for total, dtype in zip(sums, dtypes, strict=True)]
    )
    return average


def _check_same_tokenizers(
    translators: Sequence[Translator], names: Sequence[str] | None = None
) -> None:
    """Checks that all translators have the same tokenizers.

    Args:
        translators: at least one translator.
        names: names of the translators in an error; their numbers when omitted.

    Raises:
        ValueError: If tokenizers differ, or if there are no translators.
    """
    if not translators:
        raise ValueError("There must be at least one translator; got none. Give translators.")
    names = names or [f"translator {number}" for number in range(1, len(translators) + 1)]
    for side in ("source", "target"):
        first, *others = (getattr(translator, f"{side}_tokenizer") for translator in translators)
        for name, other in zip(names[1:], others, strict=True):
            if other != first:
                raise ValueError(
                    f"The {side} tokenizers must be the same; {names[0]} has {first!r} and {name} "
                    f"another, {other!r}. Train all models with the same tokenizers."
                )


def _weighted(value: np.ndarray, share: float) -> np.ndarray:
    """Returns `share · value` in float64, so that equal weights stay equal to the last digit."""
    product: np.ndarray = np.float64(share) * value.astype("float64")
    return product


def _load_if_path(translator: Translator | str | PathLike[str]) -> Translator:
    return translator if isinstance(translator, Translator) else load_translator(translator)


def _name(translator: Any, number: int) -> str:
    if isinstance(translator, Translator):
        return f"translator {number}"
    return f"`{fspath(translator)}`"


def _check_same_design(first: Translator, other: Translator, *names: str) -> None:
    difference = _difference("model", _design(first), _design(other))
    if difference is None:
        pairs = zip(first.model.weights, other.model.weights, strict=False)
        difference = next(
            (
                (variable.path, tuple(variable.shape), tuple(counterpart.shape))
                for variable, counterpart in pairs
                if tuple(variable.shape) != tuple(counterpart.shape)
            ),
            None,
        )
    if difference is None and len(first.model.weights) != len(other.model.weights):
        difference = "number of variables", len(first.model.weights), len(other.model.weights)
    if difference is not None:
        place, ours, theirs = difference
        raise ValueError(
            f"Only translators of one design can be averaged; {place} is {ours!r} in {names[0]} "
            f"and {theirs!r} in {names[1]}. Combine them with ensemble_translators instead."
        )


def _design(translator: Translator) -> dict[str, Any]:
    return {"class_name": type(translator.model).__name__, **translator.model.get_config()}


def _difference(place: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    """Returns the place and both values of the first difference of two configurations, or None."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in {**ours, **theirs} if key not in _TRAINING_SETTINGS]
        # Keras writes these keys beside a configuration, from which they follow.
        keys = [key for key in keys if key not in ("build_config", "compile_config")]
        pairs = [(f"{place}.{key}", ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return f"length of {place}", len(ours), len(theirs)
        pairs = [(f"{place}[{i}]", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return None if ours == theirs else (place.replace(".config", ""), ours, theirs)
    return next(filter(None, (_difference(*pair) for pair in pairs)), None)
