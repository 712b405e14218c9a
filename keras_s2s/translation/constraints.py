"""Constraints in words on an output: its prefix, and phrases that are forbidden or required."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.search import Search
from keras_s2s.search.constraints import phrases
from keras_s2s.text import Tokenizer


class Constraints(NamedTuple):
    """Constraints on the output for one text, in words.

    The target tokenizer turns each phrase into a sequence of tokens, which is matched regardless of
    where words begin and end. So with subwords, forbidding "dog" may also forbid the beginning of
    "dogs", and does not forbid other ways to write "dog" in smaller pieces. Forbidding a phrase
    that the vocabulary cannot express changes nothing, but requiring such a phrase is an error.

    Attributes:
        prefix: text that the output begins with.
        forbidden: phrases that may not appear in the output.
        required: phrases that must appear in the output, in any order. They need a beam search.

    Example:
    >>> Constraints(prefix="a", forbidden=["b c"])
    Constraints(prefix='a', forbidden=['b c'], required=())
    """

    prefix: str = ""
    forbidden: Sequence[str] = ()
    required: Sequence[str] = ()


class SearchInputs:
    """The inputs of a search beside the source ids, which are constraints as ids, and noise.

    Constraints in words are checked here, for all texts and before the first batch. The search
    does not check them again.

    Args:
        count: the number of texts.
        constraints: one `Constraints` for all texts, one for each, or None.
        tokenizer: the target tokenizer.
        search: the search that takes the inputs.

    Raises:
        TypeError: If an item of `constraints` is not a `Constraints`, or its phrases are not
            strings.
        ValueError: If the number of constraints is not the number of texts, if the vocabulary
            cannot express a phrase, or if constraints exclude each other or do not fit the longest
            output of the search.
    """

    def __init__(
        self,
        count: int,
        constraints: Constraints | Sequence[Constraints] | None,
        tokenizer: Tokenizer,
        search: Search,
    ) -> None:
        per_text = _one_per_text(count, constraints)
        self.arrays = _id_arrays(per_text, tokenizer)
        phrases.check(self.arrays, search.max_length, tokenizer.end_id)
        self.search = search
        # All batches of a call draw from one seed. If the search has none, each call takes a new
        # seed, and nobody can repeat the draws.
        seed = getattr(search, "seed", None)
        self.seed = int(np.random.SeedSequence(seed).generate_state(1)[0])

    def for_batch(self, places: Sequence[int]) -> dict[str, np.ndarray]:
        """Returns the inputs for a batch of texts, no wider than the longest phrases among them.

        Args:
            places: the positions of the texts of the batch among all texts.

        Returns:
            The arrays by the names of the arguments of a search.
        """
        batch = list(places)
        inputs = {name: _trimmed(ids[batch]) for name, ids in self.arrays.items()}
        if self.search.needs_noise:
            shape = (self.search.n_best, self.search.max_length)
            # A text's noise depends on its position alone, not on its batch or on other texts.
            draws = [np.random.default_rng([self.seed, place]) for place in batch]
            inputs["noise"] = np.stack([draw.random(shape, dtype="float32") for draw in draws])
        return inputs


def _one_per_text(count: int, constraints: Any) -> list[Constraints]:
    """Returns the checked constraints of each text."""
    if constraints is None:
        constraints = Constraints()
    per_text = [constraints] * count if isinstance(constraints, Constraints) else list(constraints)
    if len(per_text) != count:
        raise ValueError(
            f"`constraints` must be one for all {count} texts, or one for each; got "
            f"{len(per_text)}. Give Constraints() for a text without any."
        )
    for number, wish in enumerate(per_text):
        if not isinstance(wish, Constraints):
            raise TypeError(
                f"`constraints` must hold Constraints; got {type(wish).__name__} for text {number}."
            )
        if not isinstance(wish.prefix, str):
            raise TypeError(f"`prefix` must be a string; got {wish.prefix!r} for text {number}.")
        for name in ("forbidden", "required"):
            words = getattr(wish, name)
            if isinstance(words, str) or not all(isinstance(word, str) for word in words):
                raise TypeError(
                    f"`{name}` must be a list of strings; got {words!r} for text {number}."
                )
    return per_text


def _id_arrays(per_text: list[Constraints], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Returns the constraints as ids, without the kinds that no text has.

    `prefix` is `(count, tokens)`, `forbidden` and `required` are `(count, phrases, tokens)`.
    """
    encoded: dict[str, list[int]] = {}

    def ids_of(phrase: str) -> list[int]:
        if phrase not in encoded:
            encoded[phrase] = tokenizer.encode([phrase])[0]
        return encoded[phrase]

    arrays: dict[str, np.ndarray] = {}
    unknown = tokenizer.unknown_id
    for name in ("prefix", "forbidden", "required"):
        rows: list[list[list[int]]] = []
        for number, wish in enumerate(per_text):
            texts = [wish.prefix] if name == "prefix" else list(getattr(wish, name))
            id_rows = [ids_of(text) for text in texts]
            for text, ids in zip(texts, id_rows, strict=True):
                if (not ids and name != "prefix") or (unknown in ids and name != "forbidden"):
                    raise ValueError(
                        f"Text {number}: `{name}` holds {text!r}, which the target vocabulary "
                        "cannot say. Use words that it has, or leave this phrase out."
                    )
            rows.append([ids for ids in id_rows if ids and unknown not in ids])
        if any(rows):
            arrays[name] = _phrase_array(rows)
    if "prefix" in arrays:
        arrays["prefix"] = arrays["prefix"][:, 0]
    return arrays


def _phrase_array(rows: list[list[list[int]]]) -> np.ndarray:
    """Returns the phrases of each text as `(count, phrases, tokens)` int32, −1 behind each."""
    most = max(map(len, rows))
    filled = [phrase for row in rows for phrase in [*row, *[[]] * (most - len(row))]]
    return padded(filled, pad_id=-1).reshape(len(rows), most, -1)


def _trimmed(ids: np.ndarray) -> np.ndarray:
    """Cuts off the positions that are padding in every row, but leaves one on each axis."""
    for axis in range(1, ids.ndim):
        others = tuple(a for a in range(ids.ndim) if a != axis)
        used = int((ids >= 0).any(axis=others).sum())
        ids = np.take(ids, range(max(used, 1)), axis=axis)
    return ids
