"""Replaces unknown tokens in an output by the source words that they attended to.

The method is that of Luong et al. 2015, "Addressing the Rare Word Problem in Neural Machine
Translation", with attention in place of trained pointers, as in Jean et al. 2015.
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
    """Replaces each unknown token of an output by the source word that it attended to most.

    1.  The source is split into words at white space. A word's weight is the sum of the attention
        weights of its tokens. A word is one token for a word tokenizer, and several letters or
        pieces for others. The end token and white space belong to no word.
    2.  The word with the largest weight is looked up in the dictionary, exactly as it is written. A
        word that the dictionary lacks is copied. If no word has any weight, the unknown token
        stays.
    3. Neighbouring unknown tokens that are only parts of words, such as letters or pieces, and that
       attend to the same word are replaced together by one copy of the word.

    The text of a `Translation` changes, but its ids do not. A `Translator` takes an instance as
    `unknown_replacement`, and saves it with its dictionary.

    Args:
        dictionary: a mapping from source words to their replacements, or the path of a file with
            lines `source word<TAB>replacement`. The first line of a word counts. None copies all
            words.

    Raises:
        TypeError: If `dictionary` is anything else, or if it does not map strings to strings.
        CorpusError: If the file cannot be read, or if a line has another number of columns.

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
            replacements: dict[str, str] = {}
            for source, target in read_tsv(dictionary):
                if source.strip():
                    replacements.setdefault(source.strip(), target.strip())
            dictionary = replacements
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
        """Returns the translation with unknown tokens replaced in its text.

        Args:
            translation: a translation of `source`, with attention weights `(T, S)`. Positions
                behind the tokens of the source stand for the end token.
            source: the source text.
            source_tokenizer: the tokenizer that made the source ids.
            target_tokenizer: the tokenizer that decoded the target ids.
        """
        unknown_id = target_tokenizer.unknown_id
        if unknown_id not in translation.ids:
            return translation
        text = valid_text(source)
        words = [match.span() for match in _WORD.finditer(text)]
        # The last position is the end token, even if the source was cut.
        source_length = translation.weights.shape[1] - 1
        token_words = words_of_tokens(source_tokenizer.spans(text)[:source_length], words)
        surfaces = target_tokenizer.surfaces(translation.ids)
        last: int | None = None  # the word that replaced the token before, if it was unknown
        for t, token in enumerate(translation.ids):
            word = None
            if token == unknown_id:
                word = most_attended(translation.weights[t], token_words, len(words))
            if word is not None:
                spelling = text[slice(*words[word])]
                mark = surfaces[t].strip()
                before, _, behind = surfaces[t].partition(mark) if mark else ("", "", surfaces[t])
                replacement = before + self.dictionary.get(spelling, spelling) + behind
                again = word == last and not before
                surfaces[t] = "" if again else replacement
            last = word
        return translation._replace(text="".join(surfaces))

    def get_config(self) -> dict[str, Any]:
        return {"dictionary": self.dictionary}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> UnknownReplacement:
        return cls(**config)


def words_of_tokens(
    spans: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]
) -> list[int | None]:
    """Finds the word that each token belongs to.

    Args:
        spans: the part of the text that each token comes from, `(begin, end)`, in order.
        words: the part of the text that each word takes, `(begin, end)`, in order.

    Returns:
        For each token the position of the word with which it shares the most characters, or None
        if it shares none.
    """
    token_words: list[int | None] = []
    first = 0
    for begin, end in spans:
        while first < len(words) and words[first][1] <= begin:
            first += 1
        best, most = None, 0
        for number in range(first, len(words)):
            if words[number][0] >= max(end, begin + 1):
                break
            # A token that comes from no character belongs to the word that it stands in.
            shared = max(min(end, words[number][1]) - max(begin, words[number][0]), begin == end)
            if shared > most:
                best, most = number, shared
        token_words.append(best)
    return token_words


def most_attended(weights: np.ndarray, token_words: Sequence[int | None], words: int) -> int | None:
    """Returns the source word that one target token attended to most, or None without any weight.

    Args:
        weights: `(S,)`, the attention weights of the target token.
        token_words: the word that each source token belongs to, or None.
        words: the number of words. Of words with equal weight the first one is returned.
    """
    sums = np.zeros(words)
    for weight, word in zip(weights, token_words, strict=False):
        if word is not None:
            sums[word] += weight
    return int(sums.argmax()) if sums.any() else None
