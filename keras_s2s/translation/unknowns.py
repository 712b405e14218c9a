"""Unknown tokens of an output, replaced by what they looked at in the source.

Luong et al. 2015, "Addressing the Rare Word Problem in Neural Machine Translation", with attention
in place of trained pointers, as in Jean et al. 2015.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_s2s.data.reading import read_tsv
from keras_s2s.text import Tokenizer
from keras_s2s.text.tokenizer import valid_text
from keras_s2s.text.vocabulary import WORD_PATTERN
from keras_s2s.translation.results import Translation

_WORD = re.compile(WORD_PATTERN)


@keras.saving.register_keras_serializable(package="keras_s2s")
class UnknownReplacement:
    """Puts, for each unknown token of an output, the source word it attended to most.

    1.  The source is split into words at white space. A word's weight is the sum of the attention
        weights of its tokens: one for a word tokenizer, its letters or pieces for the others. The
        end token and white space belong to no word.
    2.  The word with the largest weight is looked up in the dictionary, as it is written; a word
        that is not in it is copied. Where no word has any weight, the unknown token stays.
    3.  Unknown tokens side by side that are no words of their own, as letters and pieces are not,
        and that attend to one word stand for it once.

    The text of a `Translation` changes, its ids do not. A `Translator` takes it as
    `unknown_replacement` and saves it, dictionary and all.

    Args:
        dictionary: source words to what replaces them; or the path of a file of lines
            `source word<TAB>replacement`, of which the first of a word counts.

    Raises:
        TypeError: something else, or a mapping not of strings to strings.
        CorpusError: a file that cannot be read as such.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Translation, WordTokenizer
    >>> words = WordTokenizer(["we", "saw", "wir", "sahen"])
    >>> output = Translation("wir sahen ⁇", 0.0, 0.0, [6, 7, 1, 3], np.eye(4))
    >>> source = "we saw Aachen"
    >>> UnknownReplacement({"Aachen": "Aix"})(output, source, words, words).text
    'wir sahen Aix'
    """

    def __init__(self, dictionary: Mapping[str, str] | str | os.PathLike[str] | None = None):
        if isinstance(dictionary, (str, os.PathLike)):
            read: dict[str, str] = {}
            for source, target in read_tsv(dictionary):
                if source.strip():
                    read.setdefault(source.strip(), target.strip())
            dictionary = read
        if dictionary is not None and not isinstance(dictionary, Mapping):
            raise TypeError(
                f"`dictionary` must be a mapping, a path or None; got {type(dictionary).__name__}."
            )
        self.dictionary = dict(dictionary or {})
        for pair in self.dictionary.items():
            if not all(isinstance(text, str) for text in pair):
                raise TypeError(f"`dictionary` must hold strings for strings; got {pair!r}.")

    def __call__(
        self,
        translation: Translation,
        source: str,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
    ) -> Translation:
        """The translation with another text.

        Args:
            translation: its weights are `(T, S)`; positions past the source's tokens are the end.
            source: the text it is of.
            source_tokenizer: what made the source ids.
            target_tokenizer: what reads the target ids.
        """
        unknown_id = target_tokenizer.unknown_id
        if unknown_id not in translation.ids:
            return translation
        text = valid_text(source)
        words = [match.span() for match in _WORD.finditer(text)]
        # The last position is the end token, also where the source was cut.
        kept = translation.weights.shape[1] - 1
        owners = word_of_each(source_tokenizer.spans(text)[:kept], words)
        surfaces = target_tokenizer.surfaces(translation.ids)
        last: int | None = None  # the word the token before stands for, if it is unknown
        for t, token in enumerate(translation.ids):
            word = None
            if token == unknown_id:
                word = most_attended(translation.weights[t], owners, len(words))
            if word is not None:
                found = text[slice(*words[word])]
                said = surfaces[t].strip()
                before, _, behind = surfaces[t].partition(said) if said else ("", "", surfaces[t])
                again = word == last and not before
                surfaces[t] = "" if again else before + self.dictionary.get(found, found) + behind
            last = word
        return translation._replace(text="".join(surfaces))

    def get_config(self) -> dict[str, Any]:
        return {"dictionary": self.dictionary}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> UnknownReplacement:
        return cls(**config)


def word_of_each(
    spans: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]
) -> list[int | None]:
    """For each token the word it is of: the one it shares most with; None where it shares nothing.

    Args:
        spans: where each token comes from, in order.
        words: where the words are, in order.
    """
    found: list[int | None] = []
    first = 0
    for begin, end in spans:
        while first < len(words) and words[first][1] <= begin:
            first += 1
        best, most = None, 0
        for number in range(first, len(words)):
            if words[number][0] >= max(end, begin + 1):
                break
            # What comes from no character of its own is of the word it stands in.
            shared = max(min(end, words[number][1]) - max(begin, words[number][0]), begin == end)
            if shared > most:
                best, most = number, shared
        found.append(best)
    return found


def most_attended(weights: np.ndarray, owners: Sequence[int | None], words: int) -> int | None:
    """The word whose tokens have most of one target token's weights `(S,)`; the first of equals."""
    sums = np.zeros(words)
    for weight, owner in zip(weights, owners, strict=False):
        if owner is not None:
            sums[owner] += weight
    return int(sums.argmax()) if sums.any() else None
