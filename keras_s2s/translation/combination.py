"""Several translators as one: an ensemble of their models, or one model with their mean weights.

An ensemble averages what its models predict at every step, and is as slow as all of them together.
A model with the mean of their weights is no slower than each, and asks for models of one design.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from keras_s2s.models.ensemble import Ensemble, weight_shares
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.translator import Translator

# What decides how a model is trained, not what it computes. Names are made up by Keras.
_OF_TRAINING = frozenset(
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
    """One translator out of several: their models as an `Ensemble`, all else as in the first.

    Args:
        translators: with the same tokenizers; their models are used, not copied.
        mean: see `Ensemble`.
        weights: see `Ensemble`.

    Returns:
        A `Translator`.

    Raises:
        ValueError: If tokenizers differ, or `Ensemble` refuses the models or the weights.
    """
    _check_same_tokenizers(translators)
    members: list[Any] = [translator.model for translator in translators]
    return translators[0].with_model(Ensemble(members, mean, weights))


def average_translators(
    translators: Sequence[Translator | str | PathLike[str]],
    weights: Sequence[float] | None = None,
) -> Translator:
    """The mean of the weights of translators of one design with the same tokenizers.

    Each variable becomes `Σ_m w_m v_m`, with weights that sum to 1. It helps for checkpoints of one
    training, which lie near each other; models trained apart belong in an `Ensemble`. Translators
    are read one after the other: memory holds the sum and one of them, however many there are.

    Args:
        translators: translators, or the paths that `load_translator` takes.
        weights: a positive number for each; they are divided by their sum. Equal when omitted.

    Returns:
        A new `Translator` with search and other settings of the first; those given do not change.

    Raises:
        ValueError: no translators; designs or tokenizers that differ, with the setting or variable
            that does; weights that are not one positive number each.
        FileNotFoundError: a path with nothing there.
        TypeError: one path in place of a list of them.
    """
    if isinstance(translators, str | PathLike | Translator):
        raise TypeError(
            "`translators` must be a sequence of translators or paths; got one "
            f"{type(translators).__name__}. Pass [it]."
        )
    if not translators:
        raise ValueError("There must be at least one translator to average; got none.")
    shares = weight_shares(weights, len(translators))
    names = [_name(each, number) for number, each in enumerate(translators, 1)]
    first = _loaded(translators[0])
    sums = [_part(value, shares[0]) for value in first.model.get_weights()]
    for each, name, share in zip(translators[1:], names[1:], shares[1:], strict=True):
        other = _loaded(each)
        _check_same_tokenizers([first, other], [names[0], name])
        _check_same_design(first, other, names[0], name)
        for total, value in zip(sums, other.model.get_weights(), strict=True):
            total += _part(value, share)
        del other
    average = first.copy()
    dtypes = [value.dtype for value in average.model.get_weights()]
    average.model.set_weights(
        [total.astype(dtype) for total, dtype in zip(sums, dtypes, strict=True)]
    )
    return average


def _check_same_tokenizers(
    translators: Sequence[Translator], names: Sequence[str] | None = None
) -> None:
    """Raises ValueError unless all translators read and write the same ids.

    Args:
        translators: at least one.
        names: what to call them in the error; their numbers when omitted.
    """
    if not translators:
        raise ValueError("There must be at least one translator; got none.")
    names = names or [f"translator {number}" for number in range(1, len(translators) + 1)]
    for side in ("source", "target"):
        first, *others = (getattr(each, f"{side}_tokenizer") for each in translators)
        for name, other in zip(names[1:], others, strict=True):
            if other != first:
                raise ValueError(
                    f"The {side} tokenizers must be the same; {names[0]} has {first!r} and {name} "
                    f"another, {other!r}. Train all models with the tokenizers of one."
                )


def _part(value: np.ndarray, share: float) -> np.ndarray:
    """`share · value` in float64, so that equal weights come out equal to the last digit."""
    product: np.ndarray = np.float64(share) * value.astype("float64")
    return product


def _loaded(translator: Translator | str | PathLike[str]) -> Translator:
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
                (variable.path, tuple(variable.shape), tuple(its.shape))
                for variable, its in pairs
                if tuple(variable.shape) != tuple(its.shape)
            ),
            None,
        )
    if difference is None and len(first.model.weights) != len(other.model.weights):
        difference = "number of variables", len(first.model.weights), len(other.model.weights)
    if difference is not None:
        place, ours, theirs = difference
        raise ValueError(
            "Only translators of one design can be averaged; "
            f"{place} is {ours!r} in {names[0]} and {theirs!r} in {names[1]}."
        )


def _design(translator: Translator) -> dict[str, Any]:
    return {"class_name": type(translator.model).__name__, **translator.model.get_config()}


def _difference(place: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    """The first setting of a configuration that differs, and what it is on both sides."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = [key for key in {**ours, **theirs} if key not in _OF_TRAINING]
        # What Keras writes beside a configuration follows from it.
        keys = [key for key in keys if key not in ("build_config", "compile_config")]
        pairs = [(f"{place}.{key}", ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return f"length of {place}", len(ours), len(theirs)
        pairs = [(f"{place}[{i}]", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return None if ours == theirs else (place.replace(".config", ""), ours, theirs)
    return next(filter(None, (_difference(*pair) for pair in pairs)), None)
