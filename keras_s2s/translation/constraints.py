"""What the output for a text must begin with, must not say and must say, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.data.padding import padded
from keras_s2s.search import Search
from keras_s2s.search.constraints.phrases import check
from keras_s2s.text import Tokenizer


class Constraints(NamedTuple):
    """Wishes for the output of one text; the target tokenizer makes tokens of them.

    A phrase is a sequence of tokens, wherever words begin and end: with subwords, what forbids
    "dog" may forbid the beginning of "dogs", and leaves other ways to write "dog" out of smaller
    pieces. What the vocabulary lacks needs no forbidding, and cannot be required.

    Attributes:
        prefix: text that the output begins with.
        forbidden: phrases that may not appear.
        required: phrases that must appear, in any order; they need a beam search.

    Example:
    >>> Constraints(prefix="a", forbidden=["b c"])
    Constraints(prefix='a', forbidden=['b c'], required=())
    """

    prefix: str = ""
    forbidden: Sequence[str] = ()
    required: Sequence[str] = ()


class Controls:
    """What a search takes for each of some texts beside their ids: constraints, and noise.

    Constraints in words are checked here, for all texts and before the first batch. The search
    does not check them again.

    Args:
        count: number of texts.
        constraints: one `Constraints` for all texts, one for each, or None.
        tokenizer: the target's.
        search: the search that will take them.

    Raises:
        TypeError: something that is no `Constraints`, or no text in one.
        ValueError: not one for each text; words that have no tokens; demands that exclude each
            other, or that do not fit the search's longest output.
    """

    def __init__(
        self,
        count: int,
        constraints: Constraints | Sequence[Constraints] | None,
        tokenizer: Tokenizer,
        search: Search,
    ) -> None:
        each = _for_each(count, constraints)
        self.arrays = _arrays(each, tokenizer)
        check(self.arrays, search.max_length, tokenizer.end_id)
        self.search = search
        # Without a seed, draws that nobody can repeat; the same for all batches of a call.
        seed = getattr(search, "seed", None)
        self.seed = int(np.random.SeedSequence(seed).generate_state(1)[0])

    def of(self, places: Sequence[int]) -> dict[str, np.ndarray]:
        """The part of a batch: the texts at these places, cut to the longest phrases among them."""
        chosen = list(places)
        found = {name: _trimmed(ids[chosen]) for name, ids in self.arrays.items()}
        if self.search.needs_noise:
            shape = (self.search.n_best, self.search.max_length)
            # By the place of each text: batches and other texts change nothing.
            draws = [np.random.default_rng([self.seed, place]) for place in chosen]
            found["noise"] = np.stack([draw.random(shape, dtype="float32") for draw in draws])
        return found


def _for_each(count: int, constraints: Any) -> list[Constraints]:
    if constraints is None:
        constraints = Constraints()
    each = [constraints] * count if isinstance(constraints, Constraints) else list(constraints)
    if len(each) != count:
        raise ValueError(
            f"`constraints` must be one for all {count} texts, or one for each; got {len(each)}."
        )
    for number, one in enumerate(each):
        if not isinstance(one, Constraints):
            raise TypeError(
                f"`constraints` must hold Constraints; got {type(one).__name__} for text {number}."
            )
        if not isinstance(one.prefix, str):
            raise TypeError(f"`prefix` must be a string; got {one.prefix!r} for text {number}.")
        for name in ("forbidden", "required"):
            words = getattr(one, name)
            if isinstance(words, str) or not all(isinstance(word, str) for word in words):
                raise TypeError(
                    f"`{name}` must be a list of strings; got {words!r} for text {number}."
                )
    return each


def _arrays(each: list[Constraints], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """The names that any text needs, each `(count, phrases, tokens)` or `(count, tokens)`."""
    known: dict[str, list[int]] = {}

    def ids(word: str) -> list[int]:
        if word not in known:
            known[word] = tokenizer.encode([word])[0]
        return known[word]

    arrays: dict[str, np.ndarray] = {}
    unknown = tokenizer.unknown_id
    for name in ("prefix", "forbidden", "required"):
        rows: list[list[list[int]]] = []
        for number, one in enumerate(each):
            words = [one.prefix] if name == "prefix" else list(getattr(one, name))
            phrases = [ids(word) for word in words]
            for word, phrase in zip(words, phrases, strict=True):
                if (not phrase and name != "prefix") or (unknown in phrase and name != "forbidden"):
                    raise ValueError(
                        f"Text {number}: `{name}` holds {word!r}, which the target vocabulary "
                        "cannot say. Use words that it has, or leave this out."
                    )
            rows.append([phrase for phrase in phrases if phrase and unknown not in phrase])
        if any(rows):
            arrays[name] = _phrase_array(rows)
    if "prefix" in arrays:
        arrays["prefix"] = arrays["prefix"][:, 0]
    return arrays


def _phrase_array(rows: list[list[list[int]]]) -> np.ndarray:
    """The phrases of each text as `(count, phrases, tokens)` int32, −1 behind each."""
    most = max(map(len, rows))
    filled = [phrase for row in rows for phrase in [*row, *[[]] * (most - len(row))]]
    return padded(filled, pad_id=-1).reshape(len(rows), most, -1)


def _trimmed(ids: np.ndarray) -> np.ndarray:
    """Without what is padding in every row, but for one place of each axis."""
    for axis in range(1, ids.ndim):
        others = tuple(a for a in range(ids.ndim) if a != axis)
        used = int((ids >= 0).any(axis=others).sum())
        ids = np.take(ids, range(max(used, 1)), axis=axis)
    return ids
